"""One request to a hostile relay, carried out over what its faults let it see, and its answer as they leave it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sealkeep_conformance.relay._answers import (
    Answer,
    Appended,
    Done,
    Entered,
    MailboxMade,
    MessageAnswer,
    Problem,
    Reply,
    Span,
)
from sealkeep_conformance.relay._chunks import MissingChunksError
from sealkeep_conformance.relay._copying import take_copy
from sealkeep_conformance.relay._items import Copied, ProofsAsked, copied_segment, segment
from sealkeep_conformance.relay._ledger import Ledger, StaleError, Stored
from sealkeep_conformance.relay._problems import ProblemError, problem_of
from sealkeep_conformance.relay._question import Question, Route
from sealkeep_conformance.relay._scope import Asked, Injected
from sealkeep_conformance.relay.faults import Scene
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.roster import Signer

if TYPE_CHECKING:
    from sealkeep_conformance.relay._hostile import Hostile

_SIGNED: Final[frozenset[Route]] = frozenset(
    {"wraps", "append", "copy", "changes", "feed", "heads", "claim", "chunk-put", "chunk-get", "chunks-of", "prove"}
)
"""Routes that need a token."""


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
        self._taken: list[Stored] = []  # of a batch
        self._last = 0  # the seq before, in an append

    @property
    def question(self) -> Question:
        return self._asked.question

    def admit(self, token: str | None) -> None:
        """Find out who asks, and what they are shown."""
        question, honest = self.question, self._honest
        with self._lock:
            if question.route in _SIGNED:
                assert question.account is not None
                self._asked.question = replace(question, signer=honest.bearer(question.account, token))
            self._meet()
            if question.account is not None and not self._makes_account:
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
    def _makes_account(self) -> bool:
        """Whether the account need not be there yet."""
        question = self.question
        return question.route == "copy-roster" and question.account not in self._honest.accounts

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
                case "chunks-of":
                    self._answer = honest.chunks_of(question, self._shown)

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

    def check_sender(self) -> None:
        """Raises `ProblemError` (`forbidden`) where no device asks."""
        _ = self._sender

    @property
    def _sender(self) -> int:
        signer = self.question.signer
        if signer is None or signer.is_recovery:
            raise ProblemError("forbidden")
        return signer.number

    def take(self, item: cbor.Item) -> None:
        """The next item of an append."""
        with self._lock:
            device, sent = self._sender, segment(item)
            if not self._carries_out:
                self._shown.keep(device, sent.header, sent.summary, sent.body)
                return
            try:
                stored = self._honest.take(self._shown, device, sent)
            except StaleError as stale:
                if not self._taken:
                    self._answer = self._honest.stale(self._shown, stale)
                raise
            if stored.seq <= self._last:
                raise ProblemError("invalid")  # a batch ascends
            self._last = stored.seq
            self._took(stored)

    def take_copy(self, item: cbor.Item) -> None:
        """The next copied segment (§11.4)."""
        with self._lock:
            self._must_carry_out()
            device, sent = copied_segment(item)
            stored = take_copy(self._shown, self._sender, device, sent, now=self._honest.now())
            if self._taken and self._taken[-1].device == device and stored.seq <= self._taken[-1].seq:
                raise ProblemError("invalid")  # of one feed, what follows each other ascends
            self._took(stored)

    def _took(self, stored: Stored) -> None:
        self._taken.append(stored)
        receipts = self._honest.receipts(self._shown, self._taken)
        is_copied = self.question.route == "copy"
        last = len(self._taken) if is_copied else int(self._shown.feed_head(stored.device).seq)
        self._answer = Appended(last, receipts, tuple(self._taken))

    def copy_roster(self, items: Sequence[Copied]) -> None:
        """Copied roster entries (§11.4)."""
        with self._lock:
            self._must_carry_out()
            account = self.question.account
            assert account is not None
            after = self._honest.copy_entries(account, self._ledger, items)
            if self._ledger is None:
                self._honest.accounts[account] = after
            else:
                self._ledger.become(after)
            self._answer = Entered(after.roster.number, new=False)

    def finish_batch(self) -> None:
        """Its items have come to their end."""
        with self._lock:
            self._must_carry_out()
            if not self._taken:
                raise ProblemError("malformed")

    def claim(self, chunks: Sequence[bytes]) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.claim(self._shown, chunks)

    def put_chunk(self, data: bytes) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.put_chunk(self._shown, self.question.chunk or b"", data)

    def chunk_size(self) -> int:
        """Bytes of the chunk that is asked for. Raises `ProblemError` (`not-found`)."""
        with self._lock:
            found = self._shown.chunks.stored.get(self.question.chunk or b"")
            if found is None:
                raise ProblemError("not-found")
            return len(found)

    def get_chunk(self, span: Span) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.chunk(self.question, self._shown, span)

    def prove(self, asked: ProofsAsked) -> None:
        with self._lock:
            self._must_carry_out()
            self._answer = self._honest.prove(self._shown, asked)

    def _must_carry_out(self) -> None:
        if not self._carries_out:
            raise ProblemError("unavailable")

    def fail(self, error: ProblemError | PeerError) -> None:
        """The request ends with a problem; of a batch, what came before it still counts."""
        if self._taken or isinstance(error, StaleError):
            return
        problem = problem_of(error) if isinstance(error, PeerError) else error
        missing = error.missing if isinstance(error, MissingChunksError) else ()
        self._answer = Problem(problem.code, missing=missing, headers=problem.headers)

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
