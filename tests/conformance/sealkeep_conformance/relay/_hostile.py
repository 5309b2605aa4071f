"""The relay that lies on demand: the honest one, the faults that are on, and what was asked."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from sealkeep_conformance.relay._copying import forgotten
from sealkeep_conformance.relay._exchange import Exchange
from sealkeep_conformance.relay._honest import Honest
from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay._question import Question
from sealkeep_conformance.relay._scope import Asked, Injected, Scope
from sealkeep_conformance.relay.faults import Fault
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import INCARNATION_SIZE
from sealkeep_protocol.types import AccountId

_NO_ACCOUNTS: Final[Mapping[AccountId, Ledger]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a relay stores; `incarnation` None: the one that it began with."""

    accounts: Mapping[AccountId, Ledger] = field(default_factory=lambda: _NO_ACCOUNTS)
    incarnation: bytes | None = None
    restored: tuple[bytes, int] | None = None


@dataclass
class Hostile:
    """All state of a hostile relay. Every method may be called from any thread."""

    honest: Honest
    injected: dict[int, Injected] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    _doors: dict[str, tuple[AccountId, Signer]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _first: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._first = self.honest.incarnation

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
            accounts = {account: ledger.copy() for account, ledger in self.honest.accounts.items()}
            return Snapshot(accounts, self.honest.incarnation, self.honest.restored)

    def restore(self, snapshot: Snapshot) -> None:
        """Be honest, with what there was at a snapshot and an empty log; nobody can tell that time has gone back."""
        with self._lock:
            self.injected.clear()
            self.log.clear()
            self._doors.clear()
            self.honest.accounts = {account: ledger.copy() for account, ledger in snapshot.accounts.items()}
            self.honest.incarnation = snapshot.incarnation or self._first
            self.honest.restored = snapshot.restored

    def put_back(self, backup: Snapshot) -> None:
        """Be restored from a backup, as an operator does who tells the devices so (§11.5)."""
        with self._lock:
            honest = self.honest
            honest.accounts = {account: forgotten(ledger) for account, ledger in backup.accounts.items()}
            honest.restored = honest.incarnation, honest.now()
            honest.incarnation = secrets.token_bytes(INCARNATION_SIZE)

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
