"""The table of attacks in `docs/attacks.md`: made from what the tests find, and held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sealkeep_conformance.attacks import GROUPS, Broken, Found, Harmless, NotPaired, Outcome, Refused, Unseen, family

PATH: Final = Path(__file__).parents[2] / "docs" / "attacks.md"

# Attacks that need more than one victim, or a device that helps the relay: each has a test of its own.
FORKS: Final = {
    "fork-segments": "splits the account in two, and shows each half only what it wrote itself",
    "fork-roster": "lets two devices join under one number, each in a roster of its own, and then mixes the two",
    "fork-newcomer": "drops the roster in which a device joined, for another one of the same length",
    "fork-removed": "hides a removal from a device, together with the removed device, which goes on writing",
    "entry-forgotten": "acknowledges the entry by which a device joins with the kit, and forgets it",
    "false-wrap": "hands out a wrap that a device of the account made, of another secret than the roster commits to",
    "refused-served-third": "serves a refused header to a device that has read neither it nor the one which replaced it",
}
REPAIRED: Final = {
    "repair-entries-swallowed": "says that the lost entries, and one behind them, stand, and keeps none of them",
    "repair-entries-lost-answer": "breaks the line behind the lost entries, and one behind them, which it keeps",
    "repair-entries-forgotten": "breaks the line behind the lost entries, and one behind them, and keeps none of them",
}
NAMES: Final = {
    **{title: {attack.name: attack.says for attack in group} for title, group in GROUPS.items()},
    "Lost entries": REPAIRED,
    "Forks": FORKS,
}

_HEAD: Final = """\
# What a lying relay can do, and what comes of it

This table is written by the tests that carry the attacks out (`make attacks`), and every run holds them against it. The
attacks are the catalogue of `sealkeep_conformance.attacks`, and its relay, `sealkeep_conformance.relay`, carries them out.

Each attack begins with honest devices in step; one of them is then lied to. Beside what the table says, every run checks
that

- what the device finds is the same on a second try, and after a restart;
- where it finds something, its database is as it was before the failing answer, also after a restart, and it asks for and
  sends nothing more than the rules by which it finds it say (REL-13, REL-14, SEG-15, VIE-03);
- once the relay is honest again, and another device has written, all devices come to one view that holds every message.
  Where the table says “for good” they do not: the account's own devices have signed two histories that exclude each other.

*Exit* is the exit status of a command that meets it: 3 where the relay has misbehaved, 1 where that is not proved.
A code of spec §9.2 comes with its family, and with device and seq where they are known.
"""


def finding(outcome: Outcome, *, lasting: bool = False) -> str:
    """What the device finds, in words."""
    match outcome:
        case Found(code, device, seq):
            place = [f"{name} {value}" for name, value in (("device", device), ("seq", seq)) if value is not None]
            found = ", ".join([f"`{code}` ({family(code)})", *place])
            return f"{found}; for good" if lasting else found
        case Broken():
            return "a broken line, to be tried again"
        case Refused(code):
            return f"a refusal, `{code}`"
        case Harmless():
            return "nothing, and loses nothing"
        case NotPaired():
            return "a pairing that failed; the code is used up"
        case Unseen():
            return "nothing as yet (spec §1.4)"


def row(name: str, says: str, found: str, status: int) -> str:
    return f"| `{name}` | {says} | {found} | {status} |"


@dataclass
class AttackTable:
    """The rows as they were found; `checked_in` is what the file says, None where it is to be written anew."""

    checked_in: str | None
    rows: dict[str, str] = field(default_factory=dict)

    def record(self, name: str, outcome: Outcome, status: int, *, lasting: bool = False) -> None:
        """Note what came of an attack; it must be what the file says."""
        says = next(group[name] for group in NAMES.values() if name in group)
        self.rows[name] = row(name, says, finding(outcome, lasting=lasting), status)
        if self.checked_in is not None:
            assert self.rows[name] in self.checked_in.splitlines(), (
                f"{PATH.name} says something else than\n{self.rows[name]}\nIf this is right, run `make attacks`."
            )

    def render(self) -> str:
        """The whole file. Raises `KeyError` for an attack that was not carried out."""
        return render(self.rows)


def render(rows: Mapping[str, str]) -> str:
    parts = [_HEAD]
    for title, group in NAMES.items():
        parts.append(f"## {title}\n\n| attack | the relay … | the device finds | exit |\n|---|---|---|---|")
        parts += [rows[name] for name in group]
        parts.append("")
    return "\n".join(parts)
