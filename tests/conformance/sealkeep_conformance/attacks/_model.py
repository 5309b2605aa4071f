"""What an attack is: devices brought into a state, one of them lied to, and what it has to find."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sealkeep_conformance.relay import Ledger, Route
from sealkeep_conformance.relay.faults import Fault
from sealkeep_protocol.types import AccountId

Act: TypeAlias = Literal["sync", "verify", "prove", "recover", "pair", "repair"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that one device does on the way to a stage. `fault` is on for it alone; with `fails` it breaks the line.

    `attach` writes a message with a file. `put-back` is the relay's: it is restored from a backup that was made at the
    stage which `text` names.
    """

    device: str
    do: Literal["create", "recover", "write", "attach", "sync", "put-back"]
    text: str = ""
    fault: Callable[[], Fault] | None = None
    routes: Collection[Route] | None = None
    skip: int = 0
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A state of an account and its devices: another stage, and what happens then. `devices` are those there are."""

    name: str
    after: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an attack may have to know of the accounts at the relay: the victim's, and a neighbour's."""

    account: AccountId
    neighbour: AccountId
    ledger: Ledger


# What the victim finds


@dataclass(frozen=True, slots=True)
class Found:
    """It names what is wrong: an error of spec §9.2, with device and seq where they are known."""

    code: str
    device: int | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """It takes it for a broken line (ERR-01), and tries again later."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It takes it for an honest relay's refusal, with this problem code (§9.1)."""

    code: str


@dataclass(frozen=True, slots=True)
class Harmless:
    """It goes on, and nothing is lost: what the relay said did not matter."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """It cannot know, as that section of the threat model says. The sync ends well; `lacks` are the texts that it was not
    shown."""

    lacks: tuple[str, ...] = ()
    section: str = "1.4"


@dataclass(frozen=True, slots=True)
class NotPaired:
    """The pairing fails at both ends, and the code is used up (PAI-04, PAI-08)."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It marks a segment that its author made so that nobody can read it, says so, and goes on (SEG-22)."""

    code: str
    device: int
    seq: int


@dataclass(frozen=True, slots=True)
class Locked:
    """It was given no key that opens. It keeps as many segments as it cannot read yet, and renews the keys itself; where it
    may not, it says which device locked it out, and seals nothing (ROS-21)."""

    unopened: int
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Lacking:
    """The kit does not open that many epochs, and it is said which device owed them (`kit verify`)."""

    epochs: int
    by: int


Outcome: TypeAlias = Found | Broken | Refused | Harmless | Unseen | NotPaired | Unreadable | Locked | Lacking

FAMILIES: Final = {
    "malformed": ("malformed", "too-large", "unsupported"),
    "authentication": ("signature", "key", "identity", "commitment", "ciphertext", "digest"),
    "history": (
        *("rollback", "fork", "gap", "replay", "missing", "roster", "author", "epoch", "pinned", "clone"),
        *("receipt", "refusal"),
    ),
}


def family(code: str) -> str:
    """The family of a client's error code (§9.2)."""
    return next(name for name, codes in FAMILIES.items() if code in codes)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. `faults` are made for each use, and are on for the victim alone, on these routes (None: on all that they
    touch). The act `prove` is to verify, all files by their bytes. With the act `pair` the phone lets the desk in, and
    either may be the victim; the act `repair` is a repair and, where nothing is missing after it, a sync, as the command
    does. `confirms` are the routes that the victim may ask once more before it reports (REL-13, §6.6), beside those that
    its finding allows.
    """

    name: str
    says: str
    stage: str
    faults: Callable[[Facts], Sequence[Fault]]
    outcome: Outcome
    victim: str = "laptop"
    act: Act = "sync"
    routes: Collection[Route] | None = None
    confirms: Collection[Route] = ()

    @property
    def asked_again(self) -> set[Route]:
        """What the victim may ask after the lie, before it reports."""
        code = self.outcome.code if isinstance(self.outcome, Found) else ""
        return {*self.confirms, *_ASKED_AGAIN.get(code, ())}


# For a header that the relay only names it asks first (VIE-03), and after a loss whether the store is another one (VIE-10).
_ASKED_AGAIN: Final[dict[str, tuple[Route, ...]]] = {"fork": ("feed",), "rollback": ("info",)}
