"""The relay that lies on demand: the honest one, the faults that are on, and what was asked."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sealkeep_conformance.relay._exchange import Exchange
from sealkeep_conformance.relay._honest import Honest
from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay._question import Question, Route
from sealkeep_conformance.relay.faults import Fault
from sealkeep_protocol.roster import Signer
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


Snapshot = Mapping[AccountId, Ledger]


@dataclass
class Hostile:
    """All state of a hostile relay. Every method may be called from any thread."""

    honest: Honest
    injected: dict[int, Injected] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    _doors: dict[str, tuple[AccountId, Signer]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # Faults, and what they are taken from and to

    def inject(self, fault: Fault, scope: Scope) -> int:
        """Turn a fault on; its number."""
        with self._lock:
            number = next(self._numbers)
            self.injected[number] = Injected(number, fault, scope)
            return number

    def lift(self, number: int | None = None) -> None:
        """Turn one fault off, or all of them. Raises `KeyError` for one that is not on."""
        with self._lock:
            gone = list(self.injected.values()) if number is None else [self.injected[number]]
            for one in gone:
                del self.injected[one.number]
                one.fault.lifted(self.honest)

    def snapshot(self) -> Snapshot:
        """All accounts as they are; later changes do not touch it."""
        with self._lock:
            return {account: ledger.copy() for account, ledger in self.honest.accounts.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Be honest, with these accounts and an empty log."""
        with self._lock:
            self.injected.clear()
            self.log.clear()
            self._doors.clear()
            self.honest.accounts = {account: ledger.copy() for account, ledger in snapshot.items()}

    def edit(self, change: Callable[[dict[AccountId, Ledger]], object]) -> None:
        """Change what is stored, as whoever owns the disk can."""
        with self._lock:
            change(self.honest.accounts)

    # One request

    @contextmanager
    def exchange(self, question: Question) -> Iterator[Exchange]:
        """Answer one request: the exchange carries it out, and its `reply` is what to send."""
        with self._lock:
            asked = Asked(next(self._numbers), question)
            self.log.append(asked)
        yield Exchange(self, asked, self._lock)

    def meet(self, question: Question) -> list[Injected]:
        """Count a question; the faults that are to have a part in its answer, in the order in which they were turned on."""
        account, signer = self._asker(question)
        found = []
        for one in self.injected.values():
            scope = one.scope
            if (
                question.route in one.fault.routes
                and (scope.routes is None or question.route in scope.routes)
                and scope.account in (None, account)
                and scope.door in (None, question.door)
                and (scope.device is None or signer == Signer.device(scope.device))
            ):
                one.met += 1
                if one.is_due:
                    found.append(one)
        return found

    def _asker(self, question: Question) -> tuple[AccountId | None, Signer | None]:
        if question.signer is not None:
            return question.account, question.signer
        account, signer = self._doors.get(question.door, (None, None)) if question.door else (None, None)
        return question.account or account, signer if question.account in (None, account) else None

    def came_in(self, door: str, account: AccountId, signer: Signer) -> None:
        """A signer has logged in through a door."""
        if door:
            self._doors[door] = (account, signer)
