"""Whom a fault is for, and what was asked: what a hostile relay keeps of its faults and of its requests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sealkeep_conformance.relay._question import Question, Route
from sealkeep_conformance.relay.faults import Fault
from sealkeep_protocol.types import AccountId


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a fault is for (None: everybody), on which of its routes, and how often (None: until it is lifted), after it let
    `skip` such requests pass.

    `door` and `device` both name a device: by the URL that it uses, or by its number, which is known from its login on.
    """

    account: AccountId | None = None
    door: str | None = None
    device: int | None = None
    routes: Collection[Route] | None = None
    times: int | None = None
    skip: int = 0


@dataclass
class Injected:
    """A fault that is on. `met` counts the requests that it was for."""

    number: int
    fault: Fault
    scope: Scope
    met: int = 0

    @property
    def is_due(self) -> bool:
        """Whether the request that was met last is one to be answered wrongly."""
        past = self.met - self.scope.skip
        return past > 0 and (self.scope.times is None or past <= self.scope.times)


@dataclass
class Asked:
    """One request as it came, and the numbers of the faults that had a part in its answer."""

    number: int
    question: Question
    status: int = 0
    faults: tuple[int, ...] = ()

    @property
    def route(self) -> Route:
        return self.question.route
