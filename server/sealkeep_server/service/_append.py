"""Taking segments (spec §8.4): one batch is judged item by item, stored in prefixes, and answered with receipts.

Each header is judged against the account's roster and the feed's head as they were read; the store takes it only if both
are still so (`stores._interface`). Where they are not, what is pending is judged again. Bodies are made durable while
the next item is still arriving, so that a batch of any length holds a few of them in memory.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.segments import VerifiedHeader, check_chunks, check_parts, verify_header
from sealkeep_protocol.statements import Receipt, Refusal
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId
from sealkeep_server.problems import ProblemError, is_fault, problem_of
from sealkeep_server.service._accounts import Account, Accounts
from sealkeep_server.service._item import BatchItem, appended_item
from sealkeep_server.service._judging import StaleError, View, head_after, judge_next
from sealkeep_server.service._pending import Pending, Staging
from sealkeep_server.stores import ConflictError, FeedHead, FullError, MissingChunksError, NewSegment, Placed, Store

_COMMIT_BYTES = 1 << 20  # a longer batch is committed in prefixes of about this size
_COMMIT_ITEMS = 128


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch: the feed's last seq, and the receipts of the prefix that is durable."""

    last_seq: int
    receipts: list[bytes]


class Batch:
    """One append: `add` items until it returns False, then `finish`; `abandon` in any case at the end."""

    def __init__(
        self,
        accounts: Accounts,
        store: Store,
        identity: SigningKey,
        account: AccountId,
        device: DeviceId,
        limit: int,
        allowed: int | None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._identity = identity
        self._account = account
        self._device = device
        self._sender = device  # who must be active; the author himself
        self._limit = limit
        self._allowed = allowed  # bytes that the account may use
        self._count = 0
        self._last_seq = 0  # of the item before
        self._view: View | None = None
        self._judged: FeedHead | None = None  # the feed's head with all that is pending
        self._pending: list[Pending] = []
        self._pending_bytes = 0
        self._staging = Staging(store)
        self._commit: asyncio.Task[None] | None = None
        self._receipts: list[bytes] = []
        self._problem: ProblemError | None = None
        self._broken = (
            False  # a run that was to be stored ended the prefix: what is pending behind it has no predecessor
        )
        self.fault: Exception | None = None  # what the operator has to know of

    async def add(self, item: cbor.Item) -> bool:
        """Judge an item, and store it sooner or later; False: the prefix has ended, nothing more is taken."""
        try:
            taken_apart = appended_item(item)
        except (PeerError, ProblemError) as error:
            self.end(error)
            return False
        return await self.add_item(taken_apart)

    async def add_item(self, item: BatchItem) -> bool:
        """As `add`."""
        if self._problem is None:
            try:
                await self._take(item)
            except Exception as error:
                self.end(error)
        return self._problem is None

    def end(self, error: Exception) -> None:
        """The prefix ends here, since this is wrong with what comes next: what came before it still counts."""
        if self._problem is None:
            self._blame(error)

    async def finish(self) -> Appended:
        """Store what is pending. Raises the problem of the first item where nothing could be taken."""
        await self._settle()
        if not self._receipts and isinstance(self._problem, StaleError):
            await self._explain_stale(self._problem)
        if self._receipts:
            return Appended((await self._look()).feed.seq, self._receipts)
        raise self._problem or ProblemError("malformed", "A batch has one item at least.")

    @property
    def problem(self) -> ProblemError | None:
        """What ended the prefix, if anything did."""
        return self._problem

    async def abandon(self) -> None:
        """Let go of bodies that found no segment."""
        if self._commit is not None:
            await asyncio.gather(self._commit, return_exceptions=True)
        left, self._pending = self._pending, []
        await self._staging.discard(left)

    # What another way in does otherwise (`_copying`)

    async def _author_key(self, _: Account) -> bytes:
        return await self._accounts.signer_key(self._account, Signer.device(self._device))

    def _judge(self, verified: VerifiedHeader, head: FeedHead, state: Account) -> None:
        """Judge a header that is not stored and whose seq is free, in the order of §6.6. Raises `PeerError` or
        `ProblemError`."""
        header = verified.header
        if header.roster > state.roster.number:
            raise ProblemError("roster-conflict", f"The roster's head is entry {state.roster.number}.")
        if header.epoch != state.roster.epoch and header.roster < state.roster.number:
            raise StaleError(verified)
        # So what is left is of the current epoch (SEG-14): an older one's roster head is an older one too.
        judge_next(verified, head, state)

    async def _append(self, roster: int, after: FeedHead, segments: Sequence[NewSegment]) -> int:
        return await self._store.append(self._account, roster, after, segments, allowed=self._allowed)

    # One item

    async def _take(self, item: BatchItem) -> None:
        self._count += 1
        if self._count > self._limit:
            raise ProblemError("too-large", "Send the rest in another batch.")
        view = await self._look()
        judged = self._judged or view.feed
        key = await self._author_key(view.state)
        # REL-08: "A relay MUST check of every header all that §6 lets it see without a key: frame, signature, address,
        # chain, roster head, epoch, pin, lengths, hashes, buckets."  The frame, the signature, the device of the address
        # and the bucket are checked here, the rest in `_judge`; the seq of the address is the header's place in the batch.
        # SEG-01: "A reader and a relay MUST refuse a header whose device and seq are not those of the address where it is
        # offered."
        verified = verify_header(item.header, account=self._account, device=self._device, seq=None, key=key)
        header = verified.header
        if header.seq <= self._last_seq:
            raise ProblemError("invalid", "The segments of a batch ascend by seq.")
        self._last_seq = header.seq
        if header.seq <= judged.seq:
            await self._settle()
            if not self._broken:
                await self._known(verified)
            return
        if header.roster > view.state.roster.number:  # the roster may have moved on since the batch began
            await self._settle()
            if self._broken:
                return
            view = await self._look(anew=True)
            judged = view.feed
        self._judge(verified, judged, view.state)
        if item.summary is None or item.body is None:
            raise ProblemError("invalid", "A header of the current epoch comes with its summary and body.")
        check_parts(header, summary=item.summary, body=item.body)
        # FIL-15: "A relay MUST refuse (`invalid`) an item, also of the copy route, whose ids are not those of field 20; …"
        check_chunks(header, item.chunks)
        pending = Pending(verified, item.summary, item.body, b"".join(item.chunks), item.missing_ok)
        if len(item.body) > self._store.inline_bytes:
            pending.body = await self._staging.stage(item.body)
        self._pending.append(pending)
        self._pending_bytes += pending.size
        self._judged = head_after(verified)
        if self._pending_bytes >= _COMMIT_BYTES or len(self._pending) >= _COMMIT_ITEMS:
            await self._start_commit()

    async def _look(self, *, anew: bool = False) -> View:
        """The view, read where there is none yet. The roster first: a feed's head that is newer than it does no harm."""
        if self._view is None or anew:
            state = await self._accounts.open(self._account)
            if state.roster.signing_key(Signer.device(self._sender)) is None:
                # Removed since the request began: that comes before whatever else is wrong by now (REL-06).
                raise ProblemError("revoked", "The account's roster, which needs no token, shows why.")
            self._view = View(state, await self._store.feed_head(self._account, self._device))
        return self._view

    async def _known(self, verified: VerifiedHeader) -> None:
        """A header at a place that is taken already."""
        place = await self._store.place(self._account, self._device, verified.header.seq)
        if place is None or place.stored is None:
            raise ProblemError("fork")
        self._same(verified, place.stored)

    def _same(self, verified: VerifiedHeader, stored: Placed) -> None:
        # SEG-17: "A relay MUST answer the same header at the same place with the same receipt (within one incarnation),
        # and a different one as `fork`."
        if stored.header_id != verified.id:
            raise ProblemError("fork", "Another header stands at this seq.")
        self._receipts.append(self._receipt(verified.id, stored.position))

    def _blame(self, error: Exception) -> None:
        self._problem = problem_of(error)
        if is_fault(error):
            self.fault = error

    def _break(self, error: Exception) -> None:
        """A run could not be stored: this comes before whatever was wrong with later items."""
        self._broken = True
        self._blame(error)

    # Storing

    async def _start_commit(self) -> None:
        """Commit what is pending while further items arrive; one commit at a time keeps the order."""
        if self._commit is not None:
            await self._commit
        if self._pending and not self._broken:
            batch, self._pending, self._pending_bytes = self._pending, [], 0
            self._commit = asyncio.ensure_future(self._store_all(batch))

    async def _settle(self) -> None:
        """Wait until nothing is pending."""
        if self._commit is not None:
            await self._commit
            self._commit = None
        if self._pending and not self._broken:
            batch, self._pending, self._pending_bytes = self._pending, [], 0
            await self._store_all(batch)

    async def _store_all(self, batch: list[Pending]) -> None:
        """Store a run of judged segments; what has to be judged again and fails ends the prefix."""
        kept = batch
        try:
            while kept:
                view = await self._look()
                segments = [await pending.segment() for pending in kept]
                try:
                    # SEG-18: "A relay MUST answer an append only after header, summary and body are durable."
                    first = await self._append(view.state.roster.number, view.feed, segments)
                except ConflictError:
                    kept = await self._judge_again(kept)
                    continue
                except (MissingChunksError, FullError) as error:
                    rest, kept = kept[error.index :], kept[: error.index]
                    self._break(_lacking(error))
                    await self._staging.discard(rest)
                    continue
                for position, pending in enumerate(kept, start=first):
                    self._receipts.append(self._receipt(pending.verified.id, position))
                self._view = View(view.state, head_after(kept[-1].verified))
                kept = []
        except Exception as error:
            self._break(error)
            await self._staging.discard(kept)

    async def _judge_again(self, batch: list[Pending]) -> list[Pending]:
        """The roster or the feed has moved on: which of these are still to be stored?"""
        rest: list[Pending] = []
        try:
            view = await self._look(anew=True)
            head = view.feed
            for pending in batch:
                if pending.verified.header.seq <= head.seq and not rest:
                    await self._known(pending.verified)
                else:
                    self._judge(pending.verified, head, view.state)
                    rest.append(pending)
                    head = head_after(pending.verified)
        except Exception as error:
            self._break(error)
        finally:
            await self._staging.discard([pending for pending in batch if pending not in rest])
        return rest

    # What the relay signs

    def _receipt(self, header_id: ObjectId, position: int) -> bytes:
        return Receipt(header_id, position, self._store.incarnation).sign(self._account, self._identity)

    async def _explain_stale(self, problem: StaleError) -> None:
        """Add the refusal that is due to a stale header, or find that it is stored after all."""
        verified, header = problem.verified, problem.verified.header
        # SEG-14: "A relay MUST refuse a header of another epoch than the current one, in the transaction of the append
        # itself, and MUST sign a refusal only for a header that is not stored and whose roster head is below the roster's
        # head at that moment."  This look is one moment: with its roster, no header of an older epoch can come after it.
        # VIE-08: what is answered here is remembered before it is signed.
        place = await self._store.refuse(self._account, self._device, header.seq, header.roster)
        if place is None:
            return
        if place.stored is not None:
            self._problem = None
            self._same(verified, place.stored)
        elif header.roster < place.roster.number:
            refusal = Refusal(
                verified.id,
                self._device,
                header.seq,
                place.roster.number,
                place.roster.entry_id,
                self._store.incarnation,
            ).sign(self._account, self._identity)
            problem.members["refusal"] = base64.urlsafe_b64encode(refusal).rstrip(b"=").decode()


def _lacking(error: MissingChunksError | FullError) -> ProblemError:
    """Why a segment that nothing is wrong with is not taken (§6.6, step 8)."""
    if isinstance(error, FullError):
        return ProblemError("quota", "Free some room first; what is here stays.")
    return ProblemError(
        "chunks-missing",
        "Put these chunks again and send the same item; or send it with missing-ok where they are gone.",
        members={"missing": [chunk.hex() for chunk in error.missing]},
    )
