"""The table of attacks in `docs/attacks.md`: made from what the tests find, and held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sealkeep_conformance.attacks import (
    DEED_GROUPS,
    DEEDS,
    GROUPS,
    Broken,
    Found,
    Harmless,
    Lacking,
    Locked,
    NotPaired,
    Outcome,
    Refused,
    Unreadable,
    Unseen,
    family,
)

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

DEED_NAMES: Final = {title: {deed.name: deed.signs for deed in deeds} for title, deeds in DEED_GROUPS.items()}
ALL_NAMES: Final = [name for group in (*NAMES.values(), *DEED_NAMES.values()) for name in group]

_HEAD: Final = """\
# What a lying relay can do, and a hostile device, and what comes of it

These tables are written by the tests that carry the attacks out (`make attacks`), and every run holds them against them.
The attacks are the catalogues of `sealkeep_conformance.attacks`, and its relay, `sealkeep_conformance.relay`, carries out
those of a relay. Those of a device that was enrolled once and turns on the others stand at the end.

Each attack of a relay begins with honest devices in step; one of them is then lied to. Beside what the table says, every
run checks that

- what the device finds is the same on a second try, and after a restart;
- where it finds something, its database is as it was before the failing answer, also after a restart, and it asks for and
  sends nothing more than the rules by which it finds it say (REL-13, REL-14, SEG-15, VIE-03);
- once the relay is honest again, and another device has written, all devices come to one view that holds every message.
  Where the table says “for good” they do not: the account's own devices have signed two histories that exclude each other.

*Exit* is the exit status of a command that meets it: 3 where the relay has misbehaved, 1 where that is not proved.
A code of spec §9.2 comes with its family, and with device and seq where they are known.
"""

_DEED_HEAD: Final = """\
# What a hostile device can do

Device 3 turns on the others, which are honest, as the relay is unless “it helps” stands there. *Relay* is what an honest
one answers; where that refuses it, the others find what stands beside it as soon as a relay shows it to them all the same.
*What stays* is found at the end, when the honest devices have synced and written again: how many of their messages all of
them show, in one view unless it says otherwise; which commands that took; and whether the hostile device is in the account
still. What a device writes in its own name, and what it reads, no client can tell from honest use (spec §1.5).
"""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What there is after a hostile device's deed: how many of `written` messages all honest devices show; whether they
    show one view, what that device wrote included; the commands that it took; whether it is still in the account."""

    shown: int
    written: int
    alike: bool
    commands: tuple[str, ...]
    active: bool

    def __str__(self) -> str:
        messages = "all messages" if self.shown == self.written else f"{self.shown} of {self.written} messages"
        taken = f", after {' and '.join(f'`{command}`' for command in self.commands)}" if self.commands else ""
        views = "" if self.alike else ", and of what it wrote what each was shown"
        return f"{messages}{views}{taken}; it is {'still in' if self.active else 'out'}"


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
            return f"nothing as yet (spec §{outcome.section})"
        case Unreadable(code, device, seq):
            return f"`{code}` ({family(code)}), device {device}, seq {seq}: it is marked as unreadable, and passed over"
        case Locked(unopened, None):
            return f"a key that does not open: it renews the keys, and {unopened} segment waits"
        case Locked(_, by):
            return f"a key from device {by} that does not open: it reads what it can, and sends nothing"
        case Lacking(epochs, by):
            return f"{epochs} key that the kit does not open, owed by device {by}"


def answer(said: Outcome | None) -> str:
    """What a relay answers to a deed, in words."""
    match said:
        case None:
            return "it helps"
        case Refused(code):
            return f"refuses: `{code}`"
    return "takes it"


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
        self._record(name, row(name, says, finding(outcome, lasting=lasting), status))

    def record_deed(self, name: str, said: Outcome | None, outcome: Outcome, status: int, stays: Aftermath) -> None:
        """Note what came of what a device signed: what the relay answered (None: it helped), what the others found, and
        what there was at the end. The first two must be what the catalogue says, and all of it what the file says."""
        deed = DEEDS[name]
        assert (said, outcome) == (deed.answer, deed.outcome), name
        cells = (f"`{name}`", deed.signs, answer(said), finding(outcome), str(status), str(stays))
        self._record(name, f"| {' | '.join(cells)} |")

    def _record(self, name: str, line: str) -> None:
        self.rows[name] = line
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
    parts.append(_DEED_HEAD)
    for title, group in DEED_NAMES.items():
        parts.append(
            f"## {title}\n\n| attack | it … | relay | the others find | exit | what stays |\n|---|---|---|---|---|---|"
        )
        parts += [rows[name] for name in group]
        parts.append("")
    return "\n".join(parts)
