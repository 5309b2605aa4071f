"""Checkpoint codes (spec §11.1): what two devices say aloud to learn whether they were shown one and the same history."""

from __future__ import annotations

from collections.abc import Iterable

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.primitives import mac
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import DeviceId, ObjectId, Seq

CODE_WORDS = 4

Words = tuple[str, str]


def seen_heads(roster: Roster, heads: Iterable[Head]) -> list[Head]:
    """The heads that a checkpoint covers, ascending by device: of a removed device nothing beyond its pin."""
    seen = []
    for head in heads:
        removal = roster.devices[head.device].removal
        if removal is None or head.seq <= removal.seq:
            seen.append(head)
        elif removal.seq:
            seen.append(Head(DeviceId(head.device), Seq(removal.seq), ObjectId(removal.header_id)))
    return sorted(seen)


def checkpoint_code(keys: EpochKeys, roster: Roster, heads: Iterable[Head], words: Words) -> bytes:
    """32 bytes, of which the first 44 bits are shown as four words (`WordList.encode`).

    `keys` are those of the roster's newest epoch; `roster` and `heads`, of all feeds, what this device has verified
    itself; `words` the two random ones. Raises `UsageError` for another epoch's keys.
    """
    # VIE-01: "A device MUST compute a code from the roster and the heads that it has verified itself, with the key of that
    # roster's newest epoch."
    if keys.number != roster.epoch:
        raise UsageError("a checkpoint code takes the key of the newest epoch")
    pins = [list(device.removal) for _, device in sorted(roster.devices.items()) if device.removal is not None]
    said = [roster.account, *words, roster.head, [list(head) for head in seen_heads(roster, heads)], pins]
    return mac(keys.checkpoint_key, cbor.encode(said))
