"""Chunks, claims and storage proofs (spec §12.4, §12.5), on bytes and values, without a socket."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sealkeep_protocol import cbor
from sealkeep_protocol.files import CHALLENGE_SIZE, MAX_CHUNK, check_chunk_ids, is_chunk_length, prove
from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import Proof
from sealkeep_protocol.types import AccountId, DeviceId, Seq
from sealkeep_server import log
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._accounts import Accounts
from sealkeep_server.service._reading import intact
from sealkeep_server.settings import Settings
from sealkeep_server.stores import ChunkId, DamagedError, FullError, OpenChunk, Parts, Put, Store

MAX_CLAIMED = 1000
MAX_PROVED = 256
PROVED_BYTES = 64 * MAX_CHUNK
_SWEPT_AT_ONCE = 256  # files that are unlinked in one commit
_PROVED_AT_ONCE = 16  # answers that are sent together


@dataclass(frozen=True, slots=True)
class Proved:
    """What a storage proof is asked over: a chunk, or a segment by device and seq."""

    challenge: bytes
    target: ChunkId | tuple[DeviceId, Seq]


class Files:
    """Takes, keeps, gives and proves chunks. `now` gives seconds since 1970.

    Methods raise `ProblemError`, or what `problems.problem_of` translates.
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        identity: SigningKey,
        settings: Settings,
        *,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._identity = identity
        self._settings = settings
        self._now = now
        self._proofs: Counter[AccountId] = Counter()  # under way
        self._proving = asyncio.Semaphore(settings.proofs)

    # Claims and puts

    async def claim(self, account: AccountId, signer: Signer, chunks: cbor.Item) -> bytes:
        """Keep what is there of these chunks for a while; which are not, encoded."""
        self._check_writer(signer)
        if not isinstance(chunks, list) or not chunks:
            raise ProblemError("malformed", f"A claim is an array of 1 to {MAX_CLAIMED} ids.")
        ids = [ChunkId(one) for one in check_chunk_ids(chunks, most=MAX_CLAIMED)]
        now, until = self._claimed()
        missing = await self._store.chunks.claim(account, ids, now=now, until=until)
        return cbor.encode({1: missing, 2: self._settings.claim_seconds})

    async def put(
        self, account: AccountId, signer: Signer, chunk: ChunkId, slices: AsyncIterator[bytes], length: int | None
    ) -> bool:
        """Take a chunk as it comes; False where it is there already. `length` is what the peer says of it beforehand."""
        self._check_writer(signer)
        if length is not None:
            self._check_size(length, whole=True)
        arriving = await self._store.chunks.receive()
        try:
            async for data in slices:
                self._check_size(arriving.size + len(data), whole=False)
                await arriving.write(data)
            self._check_size(arriving.size, whole=True)
            # FIL-12: "A relay MUST answer a put only after it has compared the hash of all that came with the id, and the
            # chunk is durable; …"
            if arriving.id != chunk:
                raise ProblemError("invalid", "These bytes have another hash than the id says.")
            # REL-06: removed since the request began, it writes nothing any more.
            await self._accounts.signer_key(account, signer)
            now, until = self._claimed()
            done = await self._store.chunks.put(account, arriving, now=now, until=until, allowed=self._room_for_chunks)
            if done is Put.MENDED:
                log.warning("chunk-mended")  # the operator's disk changed or lost what was there
            return done is not Put.KNOWN
        except FullError:
            raise ProblemError("quota", "Free some room first; what is here stays.") from None
        finally:
            await arriving.discard()

    @staticmethod
    def _check_size(size: int, *, whole: bool) -> None:
        if size > MAX_CHUNK:
            raise ProblemError("too-large", f"A chunk has at most {MAX_CHUNK} bytes.")
        # FIL-01: "The length of a chunk MUST be 16 more than a bucket P of §2.3 with 240 ≤ P ≤ 1,048,576; a relay and a
        # reader MUST refuse any other."
        if whole and not is_chunk_length(size):
            raise ProblemError("invalid", "No chunk has this length.")

    @staticmethod
    def _check_writer(signer: Signer) -> None:
        if signer.is_recovery:
            raise ProblemError("forbidden", "Only a device claims and puts chunks.")

    @property
    def _room_for_chunks(self) -> int | None:
        # §12.4: "`quota` where less room would be left than an append's largest item needs."
        allowed = self._settings.account_bytes
        return allowed - self._settings.item_bytes if allowed else None

    def _claimed(self) -> tuple[int, int]:
        """Now, and when a claim made now ends, in ms."""
        now = int(self._now() * 1000)
        return now, now + self._settings.claim_seconds * 1000

    # Reading

    async def open(self, account: AccountId, chunk: ChunkId) -> OpenChunk:
        """A chunk that is there and whole; the caller closes it."""
        found = await self._store.chunks.open(account, chunk)
        if found is None:
            raise ProblemError("not-found", "The chunk is not here.")
        return found

    async def named(self, account: AccountId, device: DeviceId, seq: Seq) -> bytes:
        """The ids that came with a segment, encoded."""
        chunks = await self._store.chunks.named(account, device, seq)
        if chunks is None:
            raise ProblemError("not-found", "There is no such segment.")
        return cbor.encode(list(chunks))

    # Proofs

    @contextmanager
    def proving(self, account: AccountId) -> Iterator[None]:
        """One account does not ask for many proofs at a time: each costs the reading of what it is over."""
        if self._proofs[account] >= self._settings.account_proofs:
            raise ProblemError("busy", headers={"Retry-After": str(self._settings.retry_after_seconds)})
        self._proofs[account] += 1
        try:
            yield
        finally:
            self._proofs[account] -= 1
            if not self._proofs[account]:
                del self._proofs[account]

    async def prove(self, account: AccountId, body: bytes, asked: cbor.Item) -> AsyncIterator[list[bytes]]:
        """Answers, encoded, some at a time, and the relay's signature over them; `body` is the request as it came."""
        wanted = _wanted(asked)
        chunks = [one.target for one in wanted if not isinstance(one.target, tuple)]
        places = [one.target for one in wanted if isinstance(one.target, tuple)]
        if await self._store.chunks.stored_bytes(account, chunks, places) > PROVED_BYTES:
            raise ProblemError("too-large", f"Proofs are over {PROVED_BYTES} bytes at most; ask in parts.")
        return self._answers(account, body, wanted)

    async def _answers(self, account: AccountId, body: bytes, wanted: Sequence[Proved]) -> AsyncIterator[list[bytes]]:
        hashed = hashlib.sha256()
        for start in range(0, len(wanted), _PROVED_AT_ONCE):
            answers = []
            for one in wanted[start : start + _PROVED_AT_ONCE]:
                async with self._proving:  # taken for one at a time, so that all accounts get their turn
                    answers.append(cbor.encode(await self._answer(account, one)))
                hashed.update(answers[-1])
            yield answers
        proof = Proof(hashlib.sha256(body).digest(), hashed.digest(), self._store.incarnation)
        yield [cbor.encode(proof.sign(account, self._identity))]

    async def _answer(self, account: AccountId, asked: Proved) -> bytes | None:
        try:
            parts = await self._parts(account, asked.target)
        except DamagedError as error:
            log.fault("proof-fault", error)  # the operator has to know; the device is told that it is not there
            return None
        if parts is None:
            return None
        return await asyncio.to_thread(prove, asked.challenge, *parts)

    async def _parts(self, account: AccountId, target: ChunkId | tuple[DeviceId, Seq]) -> Sequence[bytes] | None:
        if isinstance(target, tuple):
            device, seq = target
            run = await self._store.feed(account, device, seq, Parts.BODIES, limit=1, size=1)
            if not run.segments or run.segments[0].seq != seq:
                return None
            [segment] = await intact(run.segments[:1])
            return None if segment.body is None else (segment.summary or b"", segment.body)
        found = await self._store.chunks.open(account, target)
        if found is None:
            return None
        try:
            return [await found.read(0, found.size)]
        finally:
            await found.close()

    # Housekeeping

    async def sweep(self) -> int:
        """Erase what nobody needs any more, in steps that let others write in between; returns how many chunks."""
        now = int(self._now() * 1000)
        idle_since = now - self._settings.idle_chunk_seconds * 1000
        swept = 0
        while True:
            step = await self._store.chunks.sweep(now=now, idle_since=idle_since, limit=_SWEPT_AT_ONCE)
            swept += step
            if step < _SWEPT_AT_ONCE:
                return swept


def _wanted(asked: cbor.Item) -> list[Proved]:
    if not isinstance(asked, list) or not asked:
        raise ProblemError("malformed", f"The body is an array of 1 to {MAX_PROVED} [challenge, target].")
    if len(asked) > MAX_PROVED:
        raise ProblemError("too-large", f"At most {MAX_PROVED} proofs at a time.")
    return [_proved(one) for one in asked]


def _proved(asked: cbor.Item) -> Proved:
    if isinstance(asked, list) and len(asked) == 2:
        challenge, target = asked
        if isinstance(challenge, bytes) and len(challenge) == CHALLENGE_SIZE:
            if isinstance(target, bytes):
                return Proved(challenge, ChunkId(check_chunk_ids([target])[0]))
            if isinstance(target, list) and len(target) == 2 and all(type(n) is int and n > 0 for n in target):
                return Proved(challenge, (DeviceId(target[0]), Seq(target[1])))
    raise ProblemError("malformed", "A proof is asked for by [challenge, target]: 32 bytes; a chunk, or [device, seq].")
