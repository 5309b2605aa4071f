"""What a fault is: one way in which a relay may misbehave, at one or more points between a request and its answer.

Every fault is a dataclass whose fields are numbers, texts, truth values or bytes, so that it can be named from another
process (`make_fault`). Faults compose: each takes what the one before it has left.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

from sealkeep_conformance.relay._answers import Answer, Reply
from sealkeep_conformance.relay._honest import Honest
from sealkeep_conformance.relay._ledger import Ledger, Stored
from sealkeep_conformance.relay._question import ROUTES, Question, Route
from sealkeep_protocol.types import AccountId

PAGES: Final[frozenset[Route]] = frozenset({"changes", "feed"})
READS: Final[frozenset[Route]] = PAGES | {"heads"}


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault acts: the question, and the honest relay with all that it knows."""

    question: Question
    relay: Honest

    @property
    def ledger(self) -> Ledger | None:
        """The account that is asked for, as it is."""
        account = self.question.account
        return None if account is None else self.relay.accounts.get(account)

    def stored(self, device: int, seq: int, account: bytes = b"") -> Stored:
        """A segment of this account, or of another one. Raises `LookupError` where there is none: the test is wrong."""
        ledger = self.relay.accounts.get(AccountId(account)) if account else self.ledger
        found = None if ledger is None else ledger.at(device, seq)
        if found is None:
            raise LookupError(f"no segment {seq} of device {device}")
        return found


class Fault:
    """The base of all faults, which does nothing. The first line of a fault's docstring says what it does."""

    name: ClassVar[str]
    routes: ClassVar[Collection[str]] = ROUTES  # where it does anything

    def carries_out(self, scene: Scene) -> bool:
        """Whether the request is carried out at all; where not, the answer is `unavailable` until a fault changes it."""
        return True

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        """The account as this request is shown it."""
        return ledger

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        """What is answered instead."""
        return answer

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        """What goes over the line instead."""
        return reply

    def lifted(self, relay: Honest) -> None:
        """The relay is honest again."""


FAULTS: Final[dict[str, type[Fault]]] = {}
Kind = TypeVar("Kind", bound=type[Fault])


@dataclass_transform(field_specifiers=(dataclasses.field,))
def fault(kind: Kind) -> Kind:
    """Make a class a fault: a dataclass, known by its name in words (`StaleHead`: `stale-head`)."""
    dataclass(kind)  # in place
    kind.name = re.sub("(?<!^)(?=[A-Z])", "-", kind.__name__).lower()
    FAULTS[kind.name] = kind
    return kind


def parameters(kind: type[Fault]) -> list[dataclasses.Field[Any]]:
    """The fields that a fault is made with."""
    return [field for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]


def make_fault(name: str, values: Mapping[str, Any]) -> Fault:
    """Make a fault by name; bytes are given as hexadecimal text. Raises `ValueError` for what there is not."""
    kind = FAULTS.get(name)
    if kind is None:
        raise ValueError(f"there is no fault {name!r}; there are: {', '.join(sorted(FAULTS))}")
    known = {field.name: field for field in parameters(kind)}
    if unknown := values.keys() - known.keys():
        raise ValueError(f"{name} has no parameter {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    given = {key: _value(name, known[key], value) for key, value in values.items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


_TYPES: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "str": (str,), "bool": (bool,), "float": (int, float)}


def _value(name: str, field: dataclasses.Field[Any], value: Any) -> Any:
    declared = str(field.type)
    if value is None and "None" in declared:
        return None
    plain = declared.removesuffix(" | None")
    if plain == "bytes" and isinstance(value, str):
        return bytes.fromhex(value)
    allowed = _TYPES.get(plain)
    if allowed is None or not isinstance(value, allowed) or (isinstance(value, bool) and plain != "bool"):
        raise ValueError(f"{name}: {field.name} is a value of type {declared}")
    return value


def describe(kind: type[Fault]) -> str:
    """What a fault does, in one line."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit changed; negative bits count from the end."""
    changed = bytearray(data)
    bit %= 8 * len(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
