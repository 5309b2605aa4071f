"""The catalogue of attacks: what a hostile relay does to a device, and what the device has to find (spec §1.2, §1.4).

An attack begins from a stage that honest devices have come to. One device, the victim, is then lied to: it must find what
`outcome` says, change nothing, ask for nothing more, and find the same after a restart; once the relay is honest again, all
devices must come to one view.

`DEEDS` is the catalogue of what a hostile device can sign, with or without a relay that helps it.
"""

from typing import Final

from sealkeep_conformance.attacks._devices import DEED_GROUPS, DEEDS, Deed
from sealkeep_conformance.attacks._files import FILES
from sealkeep_conformance.attacks._joining import KEYS, LOGIN, RECOVERY, ROSTER
from sealkeep_conformance.attacks._model import (
    Attack,
    Broken,
    Facts,
    Found,
    Harmless,
    Lacking,
    Locked,
    NotPaired,
    Outcome,
    Refused,
    Stage,
    Step,
    Unreadable,
    Unseen,
    family,
)
from sealkeep_conformance.attacks._pairing import PAIRING
from sealkeep_conformance.attacks._reading import CURSORS, HEADS, HISTORY, LINE, SEGMENTS
from sealkeep_conformance.attacks._repairing import REPAIR
from sealkeep_conformance.attacks._stages import RELAY, STAGES, devices_of, path_to, texts_of
from sealkeep_conformance.attacks._writing import RECEIPTS, REFUSALS, VERIFYING

GROUPS: Final = {
    "History": HISTORY,
    "Segments": SEGMENTS,
    "Cursors and positions": CURSORS,
    "Heads": HEADS,
    "The line": LINE,
    "Roster": ROSTER,
    "Keys": KEYS,
    "Login and denials": LOGIN,
    "Receipts": RECEIPTS,
    "Refusals": REFUSALS,
    "Verifying again": VERIFYING,
    "Files": FILES,
    "Joining by the kit": RECOVERY,
    "Pairing": PAIRING,
    "Repair": REPAIR,
}
ATTACKS: Final = {attack.name: attack for group in GROUPS.values() for attack in group}

__all__ = [
    "ATTACKS",
    "DEEDS",
    "DEED_GROUPS",
    "GROUPS",
    "RELAY",
    "STAGES",
    "Attack",
    "Broken",
    "Deed",
    "Facts",
    "Found",
    "Harmless",
    "Lacking",
    "Locked",
    "NotPaired",
    "Outcome",
    "Refused",
    "Stage",
    "Step",
    "Unreadable",
    "Unseen",
    "devices_of",
    "family",
    "path_to",
    "texts_of",
]
