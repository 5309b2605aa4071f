"""The honest relay: every route of spec §8 over accounts in memory. What it answers, a fault may change afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sealkeep_conformance.relay._answers import (
    Answer,
    ChallengeAnswer,
    ChunkAnswer,
    ChunkIds,
    Claimed,
    Created,
    Done,
    Entered,
    Heads,
    Info,
    Item,
    Page,
    Problem,
    Proofs,
    RosterPage,
    Span,
    Token,
    Wraps,
)
from sealkeep_conformance.relay._chunks import CLAIM_SECONDS
from sealkeep_conformance.relay._copying import copy_entries
from sealkeep_conformance.relay._entry_limit import EntryLimit
from sealkeep_conformance.relay._items import BatchItem, Copied, ProofsAsked
from sealkeep_conformance.relay._ledger import Ledger, StaleError, Stored
from sealkeep_conformance.relay._mailboxes import Mailboxes
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_conformance.relay._question import Question
from sealkeep_protocol import cbor
from sealkeep_protocol.files import MAX_CHUNK, prove
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import (
    CHALLENGE_NONCE_SIZE,
    INCARNATION_SIZE,
    Challenge,
    Proof,
    Receipt,
    Refusal,
    verify_challenge,
    verify_login,
)
from sealkeep_protocol.types import AccountId, DeviceId, Seq

PROVED_BYTES = 64 * MAX_CHUNK


@dataclass(frozen=True, slots=True)
class Limits:
    """What the relay takes and gives at most, announced under the same names (§8.1); all in bytes or counts."""

    body_bytes: int = 64 << 20
    object_bytes: int = 4 << 20
    item_bytes: int = 616 << 10
    batch_items: int = 1024
    header_bytes: int = 16 << 10
    page_items: int = 10_000
    page_bytes: int = 64 << 20
    challenge_seconds: int = 120
    token_seconds: int = 900
    roster_seconds: int = 3600
    roster_entries: int = 100
    roster_reserve: int = 4
    mailbox_seconds: int = 600
    mailbox_wait_seconds: int = 20

    def announced(self) -> dict[str, int]:
        sizes = ("body_bytes", "object_bytes", "item_bytes", "batch_items", "header_bytes", "page_items", "page_bytes")
        return {name: getattr(self, name) for name in (*sizes, "mailbox_seconds")}


@dataclass
class Honest:
    """Accounts by id, and the relay's own keys. `now` gives milliseconds since 1970.

    Each route takes the ledger that it looks at, so that a fault may have it look at another one.
    """

    key: SigningKey
    incarnation: bytes
    now: Callable[[], int]
    limits: Limits = field(default_factory=Limits)
    accounts: dict[AccountId, Ledger] = field(default_factory=dict)
    restored: tuple[bytes, int] | None = None  # the incarnation before a backup was put back, and when that was (ms)
    mailboxes: Mailboxes = field(init=False)
    entry_limit: EntryLimit = field(init=False)
    _tokens: dict[str, tuple[AccountId, Signer, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.limits
        self.mailboxes = Mailboxes(self.now, limits.mailbox_seconds)
        self.entry_limit = EntryLimit(limits.roster_entries, limits.roster_reserve, limits.roster_seconds * 1000)

    @classmethod
    def make(cls, now: Callable[[], int], limits: Limits) -> Honest:
        return cls(SigningKey(secrets.token_bytes(32)), secrets.token_bytes(INCARNATION_SIZE), now, limits)

    def ledger(self, account: AccountId | None) -> Ledger:
        """Raises `ProblemError` (`not-found`)."""
        if account is None or account not in self.accounts:
            raise ProblemError("not-found")
        return self.accounts[account]

    # §8.1, §8.2

    def info(self) -> Answer:
        restored = None if self.restored is None else list(self.restored)
        return Info(self.key.public, self.incarnation, self.limits.announced(), restored)

    def create(self, genesis: bytes, wraps: Sequence[bytes]) -> Answer:
        ledger = Ledger.begin(genesis, wraps, self.now())
        known = self.accounts.setdefault(ledger.account, ledger)
        if known.entries[0] != genesis:  # the same content under another signature
            raise ProblemError("fork")
        return Created(ledger.account, known is ledger)

    def roster(self, question: Question, ledger: Ledger) -> Answer:
        return RosterPage(tuple(ledger.entries[question.number("from", 0) :]), ledger.roster.number)

    def enter(self, ledger: Ledger, expected: int, entry: bytes, wraps: Sequence[bytes]) -> Answer:
        made = ledger.append_entry(expected, entry, wraps, self.now(), self.entry_limit.check)
        return Entered(expected + 1, made)

    def wraps(self, question: Question, ledger: Ledger) -> Answer:
        return Wraps(tuple(ledger.wraps_for(_signer(question))))

    # §8.3

    def challenge(self, ledger: Ledger, signer: Signer) -> Answer:
        ledger.signer_key(signer, self.now())
        expires = self.now() + self.limits.challenge_seconds * 1000
        challenge = Challenge(signer, expires, secrets.token_bytes(CHALLENGE_NONCE_SIZE))
        return ChallengeAnswer(challenge.sign(ledger.account, self.key))

    def log_in(self, ledger: Ledger, challenge: bytes, login: bytes) -> tuple[Answer, Signer]:
        # REL-07: "A token MUST be bound to one account and signer and expire; a relay MUST refuse a challenge that is
        # expired (after 120 s) or not its own, and a login for another challenge, signer or identity."
        challenge_id, said = verify_challenge(challenge, ledger.account, self.key.public)
        if said.expires <= self.now():
            raise ProblemError("unauthorized")
        key = ledger.signer_key(said.signer, self.now())
        verify_login(login, ledger.account, key, challenge_id=challenge_id, identity=self.key.public)
        text = secrets.token_urlsafe(32)
        self._tokens[text] = (ledger.account, said.signer, self.now() + self.limits.token_seconds * 1000)
        return Token(text, self.limits.token_seconds), said.signer

    def bearer(self, account: AccountId, text: str | None) -> Signer:
        """Who carries a token. Raises `ProblemError` (`unauthorized`)."""
        found = self._tokens.get(text or "")
        if found is None or found[0] != account or found[2] <= self.now():
            raise ProblemError("unauthorized")
        return found[1]

    def admit(self, ledger: Ledger, signer: Signer) -> None:
        """Raises `ProblemError` (`revoked`, `closed`)."""
        # REL-06: "A relay MUST check the token's signer against the roster as it stands at every request; a removed one
        # gets `revoked`."
        ledger.signer_key(signer, self.now())

    # §8.4

    def take(self, ledger: Ledger, device: int, item: BatchItem) -> Stored:
        """Take one segment. Raises as `Ledger.take` does."""
        stored, _ = ledger.take(
            device, item.header, item.summary, item.body, item.chunks, missing_ok=item.missing_ok, now=self.now()
        )
        return stored

    def receipt(self, ledger: Ledger, stored: Stored) -> bytes:
        receipt = Receipt(stored.header_id, stored.position, self.incarnation)
        return receipt.sign(ledger.account, self.key)

    def receipts(self, ledger: Ledger, taken: Sequence[Stored]) -> tuple[bytes, ...]:
        return tuple(self.receipt(ledger, stored) for stored in taken)

    def stale(self, ledger: Ledger, stale: StaleError) -> Answer:
        """`epoch-stale` with the refusal that is due."""
        said = stale.verified.header
        refusal = Refusal(
            stale.verified.id,
            DeviceId(said.device),
            Seq(said.seq),
            ledger.roster.number,
            ledger.roster.head,
            self.incarnation,
        )
        return Problem("epoch-stale", refusal.sign(ledger.account, self.key))

    # §11.4

    def copy_entries(self, account: AccountId, ledger: Ledger | None, items: Sequence[Copied]) -> Ledger:
        """The account with copied entries behind its own. Raises as `copy_entries` does."""
        restored = None if self.restored is None else self.restored[1]
        return copy_entries(account, ledger, items, now=self.now(), restored=restored, limit=self.entry_limit)

    # §8.5

    def heads(self, ledger: Ledger) -> Answer:
        heads = tuple((stored.device, stored.seq, bytes(stored.header_id)) for stored in ledger.heads())
        return Heads(self.incarnation, ledger.position, heads, ledger.used)

    def changes(self, question: Question, ledger: Ledger) -> Answer:
        after, wanted = question.number("after", 0), question.incarnation
        parts, limit = question.parts, question.limit
        if wanted is not None and wanted != self.incarnation:
            raise ProblemError("incarnation")
        found = [stored for stored in ledger.log if stored.position > after]
        return self._page(found, after, lambda stored: stored.position, parts, limit, question.number("short", 0))

    def feed(self, question: Question, ledger: Ledger) -> Answer:
        if question.device is None or question.device not in ledger.roster.devices:
            raise ProblemError("not-found")
        first = question.number("from", 1)
        found = [stored for stored in ledger.feed_of(question.device) if stored.seq >= first]
        return self._page(found, first, lambda stored: stored.seq + 1, question.parts, question.limit)

    def _page(
        self,
        found: Sequence[Stored],
        start: int,
        cursor: Callable[[Stored], int],
        parts: str,
        limit: int | None,
        short: int = 0,
    ) -> Page:
        items: list[Item] = []
        room = self.limits.page_bytes
        most = min(self.limits.page_items, limit or self.limits.page_items)
        for stored in found[:most]:
            if room <= 0:
                break
            is_short = parts == "summaries" and len(stored.body) <= short  # REL-15
            items.append(item_of(stored, "bodies" if is_short else parts))
            room -= len(items[-1].encode())
        position = cursor(found[len(items) - 1]) if items else start
        return Page(tuple(items), position, len(items) < len(found), self.incarnation)

    # §12.4, §12.5

    def claim(self, ledger: Ledger, chunks: Sequence[bytes]) -> Answer:
        return Claimed(ledger.chunks.claim(chunks, self.now()), CLAIM_SECONDS)

    def put_chunk(self, ledger: Ledger, chunk: bytes, data: bytes) -> Answer:
        return Done(ledger.chunks.put(chunk, data, self.now()))

    def chunk(self, question: Question, ledger: Ledger, span: Span) -> Answer:
        ledger.chunks.sweep(self.now())
        found = ledger.chunks.stored.get(question.chunk or b"")
        if found is None:
            raise ProblemError("not-found")
        return ChunkAnswer(found, f'"{(question.chunk or b"").hex()}"', span)

    def chunks_of(self, question: Question, ledger: Ledger) -> Answer:
        device, seq = question.device or 0, question.seq or 0
        if ledger.at(device, seq) is None:
            raise ProblemError("not-found")
        return ChunkIds(ledger.chunks.stamps.get((device, seq), ()))

    def prove(self, ledger: Ledger, asked: ProofsAsked) -> Answer:
        found = [self._bytes_of(ledger, target) for _, target in asked.wanted]
        if sum(sum(map(len, parts)) for parts in found if parts is not None) > PROVED_BYTES:
            raise ProblemError("too-large")
        answers = [
            None if parts is None else prove(challenge, *parts)
            for (challenge, _), parts in zip(asked.wanted, found, strict=True)
        ]
        encoded = b"".join(map(cbor.encode, answers))
        proof = Proof(sha256(asked.body), sha256(encoded), self.incarnation)
        return Proofs(tuple(answers), proof.sign(ledger.account, self.key))

    @staticmethod
    def _bytes_of(ledger: Ledger, target: bytes | tuple[int, int]) -> tuple[bytes, ...] | None:
        if isinstance(target, bytes):
            chunk = ledger.chunks.stored.get(target)
            return None if chunk is None else (chunk,)
        stored = ledger.at(*target)
        return None if stored is None else (stored.summary, stored.body)


def item_of(stored: Stored, parts: str = "bodies") -> Item:
    """A segment as it stands on a page."""
    return Item(
        stored.position,
        stored.device,
        stored.seq,
        stored.header,
        stored.summary if parts != "headers" else None,
        stored.body if parts == "bodies" else None,
    )


def _signer(question: Question) -> Signer:
    if question.signer is None:
        raise ProblemError("unauthorized")
    return question.signer
