"""Writing in a sync: sealing what waits, sending it, and what the relay's answers mean (spec §6.6, §8.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sealkeep_client.answers import Appended, ChunksMissingError, EpochStaleError, Heads
from sealkeep_client.engine._actions import (
    Append,
    AppendItem,
    DropPending,
    LoadPending,
    Offered,
    PackOutbox,
    PendingSegment,
    Progress,
    ReadHeads,
    SavePending,
    Settle,
    Steps,
    TakePacked,
)
from sealkeep_client.engine._following import follow_roster
from sealkeep_client.engine._heads import compare_heads
from sealkeep_client.engine._own_feed import check_own_feed
from sealkeep_client.engine._packed import Packed
from sealkeep_client.engine._packing import Packer, seal_records
from sealkeep_client.engine._session import BATCH, Session
from sealkeep_client.engine._uploader import Uploader
from sealkeep_protocol.errors import HistoryError, MalformedError, RefusedError
from sealkeep_protocol.records import RecordIds
from sealkeep_protocol.segments import SealedSegment, SegmentClass
from sealkeep_protocol.statements import Receipt, verify_receipt, verify_refusal

_REFUSALS: Final = 8  # in a row, before a relay is taken to refuse for ever


class Writer:
    """Writes what waits, and counts it.

    `random` gives fresh bytes; `sent_to` is the relay's incarnation when the segments that still wait for an answer
    were sealed.
    """

    def __init__(
        self, session: Session, ids: RecordIds | None, random: Callable[[int], bytes], sent_to: bytes | None
    ) -> None:
        self._session = session
        self._ids = ids
        self._random = random
        self._sent_to = sent_to
        self._packer = Packer()
        self.uploader = Uploader(session)
        self._put_again: set[bytes] = set()  # chunks, for the first pending segment
        self._refusals = 0  # in a row
        self._carried: dict[int, int] = {}  # records by seq, of what this sync sealed
        self.segments = self.records = self.bytes = 0

    def write(self, incarnation: bytes) -> Steps[None]:
        """Send what waits for an answer, then seal and send what waits in the outbox, and upload the contents that
        marks wait for, until nothing waits. What is in the outbox goes before what has to be uploaded first."""
        while True:
            yield from self.uploader.settle()
            try:
                yield from self._write_records(incarnation)
                while (yield from self.uploader.upload()):
                    yield from self._write_records(incarnation)
                return
            except EpochStaleError as stale:
                self._refusals += 1
                if self._refusals > _REFUSALS:
                    raise HistoryError("refusal", "the relay refuses every segment, whatever the roster") from stale
                yield from follow_roster(self._session)
                yield from self._drop(stale)

    def _write_records(self, incarnation: bytes) -> Steps[None]:
        session = self._session
        while True:
            pending: list[PendingSegment] = yield LoadPending(session.account.feed(session.account.device).seq, BATCH)
            if not pending:
                pending = yield from self._seal(incarnation)
            if not pending:
                return
            try:
                yield from self._send(pending)
            except ChunksMissingError as error:
                yield from self.uploader.put_again(pending[0], error.missing, self._put_again)
            else:
                self._put_again.clear()
                self._refusals = 0

    def _seal(self, incarnation: bytes) -> Steps[list[PendingSegment]]:
        """Seal and persist the next segments of what waits in the outbox."""
        ids = self._ids
        if ids is None or not self._session.account.may_seal:
            return []  # ROS-21, ROS-26
        batch: list[PendingSegment] = []
        self._sent_to = incarnation
        while len(batch) < BATCH:
            packer = self._packer
            offers: list[Offered] = yield PackOutbox(packer.weight, min(packer.bodies, BATCH - len(batch)))
            if not offers:
                break
            leaves = False
            for offered in offers:
                packed: Packed = yield TakePacked()
                # What the bodies before left of theirs waits behind this one, which then is not the last of its run.
                more = offered.more or leaves
                if not packer.learn(packed, offered.records, offered.weight, more=more):
                    break  # what is left is offered anew, in larger parts
                sealed = self._seal_one(packed, offered.segment_class, ids, last=not (packed.full or more))
                leaves = leaves or packed.full
                # SEG-12: "A device MUST persist a signed header with its summary and body before it sends it the first
                # time, and send it again only identically, until it has a receipt or a refusal."
                yield SavePending(sealed, packed, incarnation)
                self._session.extend_tail(sealed)
                self._carried[sealed.seq] = packed.count
                batch.append(PendingSegment(sealed, packed.chunks, packed.missing_ok))
        return batch

    def _seal_one(self, packed: Packed, segment_class: SegmentClass, ids: RecordIds, *, last: bool) -> SealedSegment:
        return seal_records(
            self._session.account,
            self._session.tail,
            packed,
            segment_class,
            ids,
            salt=self._random(32),
            last=last,
        )

    def _send(self, pending: Sequence[PendingSegment]) -> Steps[None]:
        session = self._session
        first = pending[0].sealed
        # SEG-13: "A device that has seen a newer epoch than its pending header's MUST send that header alone, never a
        # body under the older key."
        if session.verify_own(first).header.epoch == session.account.roster.epoch:
            items = [one.item() for one in pending]
        else:
            items = [AppendItem(first.header)]
        try:
            answer: Appended = yield Append(tuple(items))
        except (EpochStaleError, ChunksMissingError):
            raise
        except RefusedError as refused:
            yield from self._explain(refused, first)
            raise
        if not 0 < len(answer.receipts) <= len(items):
            raise MalformedError("malformed", "the relay answers an append without receipts")
        receipts = []
        account = session.account
        feed = account.feed(account.device)
        for sealed, statement in zip((one.sealed for one in pending), answer.receipts, strict=False):
            receipt = self._verify_receipt(statement, sealed)
            receipts.append((sealed.seq, receipt, statement))
            feed = feed.follow(session.verify_own(sealed), account.roster, session.lookup)
        account = account.with_feed(feed)
        yield Settle(receipts, account)
        session.account = account
        for sealed in (one.sealed for one in pending[: len(receipts)]):
            session.settle(sealed.seq)
            self.records += self._carried.pop(sealed.seq, 0)
            self.bytes += len(sealed.header) + len(sealed.summary) + len(sealed.body)
        self.segments += len(receipts)
        yield Progress("writing", self.segments, self.records)

    def _verify_receipt(self, statement: bytes, sealed: SealedSegment) -> Receipt:
        account = self._session.account
        try:
            return verify_receipt(statement, account.id, account.identity, sealed.header_id)
        except HistoryError as error:
            error.at(device=account.device, seq=sealed.seq)
            raise

    def _drop(self, stale: EpochStaleError) -> Steps[None]:
        """Give up the first pending segment, and all after it, for a refusal that holds; their records wait again."""
        session = self._session
        pending: list[PendingSegment] = yield LoadPending(session.account.feed(session.device).seq, 1)
        if not pending:
            raise HistoryError("refusal", "the relay refuses a segment that was not sent") from stale
        first = pending[0].sealed
        account = session.account
        try:
            refusal = verify_refusal(
                stale.refusal,
                account.id,
                account.identity,
                header_id=first.header_id,
                header_roster=session.verify_own(first).header.roster,
                incarnation=self._sent_to or b"",
                roster=account.roster,
            )
        except HistoryError as error:
            error.at(device=session.device, seq=first.seq)
            raise
        yield DropPending(first.seq, first.header_id, refusal, stale.refusal)
        self._carried.clear()
        yield from session.load_tail()

    def _explain(self, refused: RefusedError, first: SealedSegment) -> Steps[None]:
        """See what a refused append says about the relay. Raises `HistoryError` where it contradicts itself."""
        session = self._session
        if refused.code in ("gap", "fork", "roster-conflict"):
            heads: Heads = yield ReadHeads()
            compare_heads(session, heads)
            yield from check_own_feed(session, heads)
            yield from follow_roster(session)
            raise HistoryError(
                "missing",
                f"the relay refuses this device's next segment ({refused.code}) and shows no reason",
                device=session.device,
                seq=first.seq,
            ) from refused
