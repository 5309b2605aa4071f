"""The relay that lies on demand: the honest one, the faults that are on, and what was asked."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sealkeep_conformance.relay._answers import Answer, Done, MailboxMade, MessageAnswer, Problem, Reply
from sealkeep_conformance.relay._honest import Honest
from sealkeep_conformance.relay._ledger import Ledger, StaleError
from sealkeep_conformance.relay._problems import ProblemError, problem_of
from sealkeep_conformance.relay._question import Question, Route
from sealkeep_conformance.relay.faults import Fault, Scene
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError
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


class Exchange:
    """A request under way. The methods raise `ProblemError` or `PeerError`; `fail` makes that the answer."""

    def __init__(self, hostile: Hostile, asked: Asked, lock: threading.RLock) -> None:
        self._hostile = hostile
        self._honest = hostile.honest
        self._asked = asked
        self._lock = lock
        self._met: list[Injected] = []
        self._ledger: Ledger | None = None
        self._carries_out = True
        self._answer: Answer = Problem("internal")
        self._receipts: list[bytes] = []
        self._last = 0  # the seq before, in an append

    @property
    def question(self) -> Question:
        return self._asked.question

    def admit(self, token: str | None) -> None:
        """Find out who asks, and what they are shown."""
        question, honest = self.question, self._honest
        with self._lock:
            if question.route in ("wraps", "append", "changes", "feed", "heads"):
                assert question.account is not None
                self._asked.question = replace(question, signer=honest.bearer(question.account, token))
            self._meet()
            if question.account is not None:
                ledger = honest.ledger(question.account)
                for one in self._met:
                    shown = one.fault.view(self._scene, ledger)
                    if shown is not ledger:
                        self._blame(one)
                    ledger = shown
                self._ledger = ledger
                if self.question.signer is not None:
                    honest.admit(ledger, self.question.signer)

    @property
    def _scene(self) -> Scene:
        return Scene(self.question, self._honest)

    def _meet(self) -> None:
        self._met = self._hostile.meet(self.question)
        for one in self._met:
            if not one.fault.carries_out(self._scene):
                self._carries_out = False
                self._blame(one)

    def _blame(self, one: Injected) -> None:
        if one.number not in self._asked.faults:
            self._asked.faults += (one.number,)

    @property
    def _shown(self) -> Ledger:
        if self._ledger is None:
            raise ProblemError("not-found")
        return self._ledger

    # Carrying it out

    def read(self) -> None:
        """A route without a body."""
        with self._lock:
            if not self._carries_out:
                raise ProblemError("unavailable")
            question, honest = self.question, self._honest
            match question.route:
                case "info":
                    self._answer = honest.info()
                case "health":
                    self._answer = Done()
                case "roster":
                    self._answer = honest.roster(question, self._shown)
                case "wraps":
                    self._answer = honest.wraps(question, self._shown)
                case "heads":
                    self._answer = honest.heads(self._shown)
                case "changes":
                    self._answer = honest.changes(question, self._shown)
                case "feed":
                    self._answer = honest.feed(question, self._shown)

    def create(self, genesis: bytes, wraps: Sequence[bytes]) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.create(genesis, wraps)

    def enter(self, expected: int, entry: bytes, wraps: Sequence[bytes]) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.enter(self._shown, expected, entry, wraps)

    def challenge(self, signer: Signer) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.challenge(self._shown, signer)

    def log_in(self, challenge: bytes, login: bytes) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer, signer = self._honest.log_in(self._shown, challenge, login)
            self._hostile.came_in(self.question.door, self._shown.account, signer)

    def make_mailbox(self, secret: bytes) -> None:
        with self._lock:
            self._must_carry_out()
            number = self._honest.mailboxes.make(secret)
            self._answer = MailboxMade(number, self._honest.limits.mailbox_seconds)

    def put_message(self, secret: bytes, message: bytes) -> None:
        with self._lock:
            self._must_carry_out()
            number, place = self._mailbox
            self._answer = Done(self._honest.mailboxes.put(number, place, secret, message))

    def get_message(self, secret: bytes) -> bool:
        """Look for a message; whether it is there."""
        with self._lock:
            self._must_carry_out()
            message = self._honest.mailboxes.get(*self._mailbox, secret)
            self._answer = MessageAnswer(message)
            return message is not None

    def end_mailbox(self, secret: bytes) -> None:
        with self._lock:
            self._must_carry_out()
            self._honest.mailboxes.end(self._mailbox[0], secret)
            self._answer = Done()

    @property
    def _mailbox(self) -> tuple[int, int]:
        question = self.question
        return question.mailbox or 0, question.message or 0

    def take(self, item: cbor.Item) -> None:
        """The next item of an append."""
        with self._lock:
            signer = self.question.signer
            if signer is None or signer.is_recovery:
                raise ProblemError("forbidden")
            header, summary, body = _shape(item)
            if not self._carries_out:
                self._shown.keep(signer.number, header, summary, body)
                return
            try:
                stored, receipt = self._honest.take(self._shown, signer.number, header, summary, body)
            except StaleError as stale:
                if not self._receipts:
                    self._answer = self._honest.stale(self._shown, stale)
                raise
            if stored.seq <= self._last:
                raise ProblemError("invalid")  # a batch ascends
            self._last = stored.seq
            self._receipts.append(receipt)
            self._answer = self._honest.appended(self._shown, signer.number, self._receipts)

    def finish_append(self) -> None:
        """Its items have come to their end."""
        with self._lock:
            self._must_carry_out()
            if not self._receipts:
                raise ProblemError("malformed")

    def _must_carry_out(self) -> None:
        if not self._carries_out:
            raise ProblemError("unavailable")

    def fail(self, error: ProblemError | PeerError, headers: Mapping[str, str] | None = None) -> None:
        """The request ends with a problem; of a batch, what came before it still counts."""
        if self._receipts or isinstance(error, StaleError):
            return
        problem = problem_of(error) if isinstance(error, PeerError) else error
        self._answer = Problem(problem.code, headers=headers or {})

    # Answering

    def reply(self) -> Reply:
        """What goes over the line."""
        with self._lock:
            answer = self._answer
            for one in self._met:
                changed = one.fault.answer(self._scene, answer)
                if changed != answer:
                    self._blame(one)
                answer = changed
            reply = answer.reply()
            for one in self._met:
                sent = one.fault.reply(self._scene, reply)
                if sent != reply:
                    self._blame(one)
                reply = sent
            self._asked.status = reply.status
            return reply


def _shape(item: cbor.Item) -> tuple[bytes, bytes | None, bytes | None]:
    """Header, summary and body of an item of a batch. Raises `ProblemError` (`malformed`, `unsupported`)."""
    if not isinstance(item, list) or len(item) not in (1, 4):
        raise ProblemError("malformed")
    *parts, chunks = item if len(item) == 4 else [*item, []]
    if not all(isinstance(part, bytes) for part in parts) or not isinstance(chunks, list):
        raise ProblemError("malformed")
    if chunks:
        raise ProblemError("unsupported")
    if len(parts) == 1:
        return parts[0], None, None
    header, summary, body = parts
    return header, summary, body
