"""One sync, as pure decisions: catch up with the roster, read what others wrote, write what waits (spec §5–§6, §8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sealkeep_client.answers import Appended, EpochStaleError, Heads, Page, PageItem, Wrap
from sealkeep_client.engine._actions import (
    Append,
    DropPending,
    LoadOutbox,
    LoadPending,
    Progress,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadRoster,
    ReadWraps,
    SavePending,
    SaveRoster,
    SaveSegment,
    Settle,
    Steps,
    Waiting,
)
from sealkeep_client.engine._packing import Packed, Packer, seal_records
from sealkeep_client.engine._reading import ReadSegment, read_segment, verify_item
from sealkeep_client.engine._roster import RemovedError, extend_roster, needs_wrap, unlock
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, MalformedError, PeerError, RefusedError
from sealkeep_protocol.feeds import Feed, HeaderIds
from sealkeep_protocol.records import RecordIds
from sealkeep_protocol.segments import Head, SealedSegment, SegmentClass, VerifiedHeader, verify_header
from sealkeep_protocol.statements import verify_receipt, verify_refusal
from sealkeep_protocol.types import ObjectId

BATCH: Final = 8  # segments in one append
_REFUSALS: Final = 8  # in a row, before a relay is taken to refuse for ever
_RACES: Final = 8  # in a row that others may win against this device while it reads


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did: segments and records read and written, and segments that could not be read (SEG-22)."""

    account: Account
    segments_read: int
    records_read: int
    segments_written: int
    records_written: int
    unreadable: tuple[PeerError, ...]
    used: int
    allowed: int


class Sync:
    """The steps of one sync.

    `known` looks up verified header ids, `refused` says of which own header a refusal is kept, `random` gives fresh
    bytes; `sent_to` is the relay's incarnation when the segments that still wait for an answer were sealed.
    """

    def __init__(
        self,
        account: Account,
        ids: RecordIds,
        *,
        known: HeaderIds,
        refused: Callable[[ObjectId], bool],
        random: Callable[[int], bytes],
        sent_to: bytes | None = None,
        floor: Sequence[Sequence[Any]] = (),
    ) -> None:
        self.account = account
        self._ids = ids
        self._known = known
        self._refused = refused
        self._random = random
        self._packer = Packer()
        self._tail: Feed = account.feed(account.device)
        self._pending: dict[int, ObjectId] = {}
        self._carried: dict[int, int] = {}  # records by seq, of what this sync sealed
        self._sent_to = sent_to
        self._floor = floor  # (device, seq, header id) that the kit of this home had seen
        self._unreadable: list[PeerError] = []
        self._segments_read = self._records_read = 0
        self._written = self._records_written = self._bytes_written = 0

    def run(self) -> Steps[SyncReport]:
        """Sync once. Raises what the relay or its peers did wrong; nothing that fails a check is kept."""
        try:
            return (yield from self._run())
        except RemovedError:
            raise
        except RefusedError as refused:
            yield from self._confirm(refused)
            raise

    def _run(self) -> Steps[SyncReport]:
        yield from self._follow_roster()
        yield from self._load_tail()
        heads = yield from self._read()
        yield from self._write(heads.incarnation)
        return SyncReport(
            self.account,
            segments_read=self._segments_read,
            records_read=self._records_read,
            segments_written=self._written,
            records_written=self._records_written,
            unreadable=tuple(self._unreadable),
            used=heads.used + self._bytes_written,
            allowed=heads.allowed,
        )

    def _confirm(self, refused: RefusedError) -> Steps[None]:
        """Believe a relay that denies the account only as far as the roster proves it."""
        # REL-13: "On `revoked`, `closed` or `not-found` for its account a client MUST fetch the roster and believe the
        # first only with its own removal in it, the second only with the `close` in it; all else is `rollback`."
        if refused.code not in ("revoked", "closed", "not-found"):
            return
        try:
            entries, head = yield ReadRoster(self.account.roster.number + 1)
            account = extend_roster(self.account, entries, head, self._lookup)
        except RefusedError as again:
            if again.code != "not-found":
                raise
            raise HistoryError("rollback", "the relay does not know this account any more") from refused
        if not (refused.code == "closed" and account.roster.is_closed):
            raise HistoryError(
                "rollback", "the relay denies this account or device, which its roster does not bear out"
            ) from refused

    @property
    def _device(self) -> int:
        return self.account.device

    # The roster

    def _follow_roster(self) -> Steps[None]:
        first = self.account.roster.number + 1
        entries, head = yield ReadRoster(first)
        account = extend_roster(self.account, entries, head, self._lookup)
        if needs_wrap(account):
            account, entries = yield from self._unlock(account, first, entries)
        if entries:
            yield SaveRoster(first, entries, account)
        self.account = account

    def _unlock(self, account: Account, first: int, entries: Sequence[bytes]) -> Steps[tuple[Account, Sequence[bytes]]]:
        """Open the current epoch; another device may rotate meanwhile, then the newest entries come with it."""
        for _ in range(_RACES):
            wraps: list[Wrap] = yield ReadWraps()
            own = [wrap for wrap in wraps if wrap.recipient == account.device]
            if not own:
                raise HistoryError("missing", "the relay withholds this device's key of the current epoch")
            newest = max(own, key=lambda wrap: wrap.entry)
            if newest.entry < first:
                raise HistoryError("missing", "the relay shows an old key instead of the current epoch's")
            if newest.entry <= account.roster.number:
                return unlock(account, entries[newest.entry - first], newest.wrap), entries
            more, head = yield ReadRoster(account.roster.number + 1)
            account, entries = extend_roster(account, more, head, self._lookup), [*entries, *more]
        raise HistoryError("missing", "the relay withholds the roster entry that this device's newest key belongs to")

    # The own feed

    def _load_tail(self) -> Steps[None]:
        """Follow the own feed over the segments that wait for an answer."""
        self._tail, self._pending = self.account.feed(self.account.device), {}
        while batch := (yield LoadPending(self._tail.seq, BATCH)):
            for sealed in batch:
                self._extend_tail(sealed)

    def _verify_own(self, sealed: SealedSegment) -> VerifiedHeader:
        key = self.account.roster.devices[self._device].keys.signing
        return verify_header(sealed.header, account=self.account.id, device=self._device, seq=sealed.seq, key=key)

    def _extend_tail(self, sealed: SealedSegment) -> None:
        verified = self._verify_own(sealed)
        self._tail = self._tail.follow(verified, self.account.roster, self._lookup)
        self._pending[verified.header.seq] = verified.id

    def _lookup(self, device: int, seq: int) -> ObjectId | None:
        """The id of a verified header, or of an own one that waits for its answer: others may have seen that already."""
        pending = self._pending.get(seq) if device == self._device else None
        return pending or self._known(device, seq)

    def _compare_heads(self, heads: Heads) -> None:
        """Hold the relay's heads against what was verified. Raises `HistoryError` (`rollback`, `fork`)."""
        shown = {head.device: head for head in heads.heads}
        for feed in self.account.feeds.values():
            head = shown.get(feed.device)
            place = {"device": feed.device, "seq": feed.seq}
            known = self.account.roster.devices.get(feed.device)
            removal = None if known is None else known.removal
            if removal is not None and removal.seq < feed.seq:  # discarded beyond its pin (ROS-17 saw to the rest)
                if removal.seq and (head is None or head.seq < removal.seq):
                    raise HistoryError("rollback", "the relay does not show its feed up to its pin", **place)
                continue
            if feed.seq and (head is None or head.seq < feed.seq):
                raise HistoryError(
                    "rollback", f"the relay shows its feed up to seq {head.seq if head else 0} only", **place
                )
            if head is not None and head.seq == feed.seq and head.header_id != feed.head:
                raise HistoryError("fork", "the relay shows another header than the verified one", **place)

    def _check_own_feed(self, heads: Heads) -> Steps[None]:
        """See whether somebody else wrote to the own feed: a copy of this home, or the one that a backup was taken of."""
        device = self.account.device
        shown = next((head for head in heads.heads if head.device == device), None)
        own = self.account.feed(device)
        if shown is None or shown.seq <= own.seq or self._pending.get(shown.seq) == shown.header_id:
            return
        seq = own.seq + 1
        while seq <= shown.seq:
            page: Page = yield ReadFeed(device, seq)
            if not page.items:
                raise HistoryError(
                    "missing", "the relay names a header that it does not show", device=device, seq=shown.seq
                )
            for item in page.items:
                # REL-11: "… and seqs of a feed that do not ascend by one from the one it asked for."
                if (item.device, item.seq) != (device, seq):
                    code = "gap" if item.device == device and item.seq > seq else "replay"
                    raise HistoryError(code, "the relay shows another header than the next one", device=device, seq=seq)
                self._check_own_header(item, verify_item(self.account, item))
                seq += 1
        self._check_head(shown)

    def _check_head(self, head: Head) -> None:
        """Hold a head that the relay names against the header that it showed there."""
        if self._lookup(head.device, head.seq) != head.header_id:
            raise HistoryError("fork", "the relay shows another header than it names", device=head.device, seq=head.seq)

    def _check_own_header(self, item: PageItem, verified: VerifiedHeader) -> None:
        """Check a header of the own feed: it is here too. Raises `HistoryError` (`clone`)."""
        identifier = self._lookup(item.device, item.seq)
        # SEG-19: "A device that is shown a validly signed header of its own feed which it does not have MUST NOT write to
        # that feed any more: it is a copy, or was restored from a backup."
        if identifier is None or identifier != verified.id:
            if self._refused(verified.id):  # §6.6: a refused header "is not stored and never will be"
                raise HistoryError(
                    "refusal", "the relay shows a segment that it has refused", device=item.device, seq=item.seq
                )
            raise HistoryError(
                "clone",
                "this device's feed was continued elsewhere: this is a copy of it, or was restored from a backup",
                device=item.device,
                seq=item.seq,
            )

    # Reading

    def _read(self) -> Steps[Heads]:
        """Read all that the relay has now; returns the heads that it named before."""
        for attempt in range(_RACES):
            heads: Heads = yield ReadHeads()
            self._compare_heads(heads)
            yield from self._check_own_feed(heads)
            try:
                yield from self._read_changes(heads)
            except RefusedError as refused:
                # Restored from its backup since it named the heads: they are compared anew.
                if refused.code != "incarnation" or attempt == _RACES - 1:
                    raise
            else:
                return heads
        raise AssertionError

    def _read_changes(self, heads: Heads) -> Steps[None]:
        if self.account.incarnation not in (None, heads.incarnation):
            # Another store: its positions mean nothing here. What was verified stays verified, and is skipped below.
            self.account = replace(self.account, position=0, rereads=True)
        self.account = replace(self.account, incarnation=heads.incarnation)
        more = heads.position > self.account.position
        while more:
            page: Page = yield ReadChanges(self.account.position, self.account.incarnation)
            if page.incarnation != heads.incarnation:
                raise HistoryError("replay", "the relay answers with the positions of another store")
            for item in page.items:
                yield from self._take(item)
            # REL-11: "A client MUST refuse positions of changes that do not ascend within a page or lie at or below the one
            # it asked from, and seqs of a feed that do not ascend by one from the one it asked for."
            if page.position < self.account.position or (page.more and not page.items):
                raise HistoryError("replay", "the relay's cursor goes backwards, or stands still")
            more = page.more
            yield Progress("reading", self._segments_read, self._records_read)
        for head in heads.heads:
            feed = self._tail if head.device == self.account.device else self.account.feed(head.device)
            if self._is_beyond_pin(head.device, head.seq):
                continue
            if feed.seq < head.seq:
                raise HistoryError(
                    "missing", "the relay names it among the heads and withholds it", device=head.device, seq=head.seq
                )
            self._check_head(head)
        for device, seq, header_id in self._floor:
            found = self._lookup(device, seq)
            if found != header_id and not self._is_beyond_pin(device, seq):
                code = "rollback" if found is None else "fork"
                raise HistoryError(code, "the recovery kit has seen another feed", device=device, seq=seq)
        if self.account.rereads:
            self.account = replace(self.account, rereads=False)
            yield SaveSegment(None, self.account)

    def _is_beyond_pin(self, device: int, seq: int) -> bool:
        known = self.account.roster.devices.get(device)
        return known is not None and known.removal is not None and seq > known.removal.seq

    def _take(self, item: PageItem) -> Steps[None]:
        if item.position <= self.account.position:
            raise HistoryError("replay", "the relay's positions do not ascend", device=item.device, seq=item.seq)
        if item.device not in self.account.roster.devices:
            yield from self._follow_roster()
        verified = verify_item(self.account, item)
        if verified.header.roster > self.account.roster.number:
            yield from self._follow_roster()
        account = replace(self.account, position=item.position)
        segment: ReadSegment | None = None
        if item.device == account.device:
            self._check_own_header(item, verified)
        elif item.seq <= account.feed(item.device).seq:
            self._check_seen_before(item, verified)
        else:
            segment = read_segment(account, item, verified, self._lookup)
            account = account.with_feed(segment.feed)
            self._count(segment)
        yield SaveSegment(segment, account)
        self.account = account

    def _count(self, segment: ReadSegment) -> None:
        self._segments_read += 1
        if segment.body is not None:
            self._records_read += segment.records
        if segment.unreadable is not None:
            self._unreadable.append(segment.unreadable)

    def _check_seen_before(self, item: PageItem, verified: VerifiedHeader) -> None:
        """A segment that was verified before may stand in another store's order again; only as it was.

        Within one store its position was read already, so the relay repeats it. Raises `HistoryError`.
        """
        if self._lookup(item.device, item.seq) != verified.id:
            raise HistoryError("fork", "another header was verified at this place", device=item.device, seq=item.seq)
        if not self.account.rereads:
            raise HistoryError("replay", "the relay shows it a second time", device=item.device, seq=item.seq)

    # Writing

    def _write(self, incarnation: bytes) -> Steps[None]:
        refusals = 0
        while True:
            pending: list[SealedSegment] = yield LoadPending(self.account.feed(self.account.device).seq, BATCH)
            if not pending:
                pending = yield from self._seal(incarnation)
            if not pending:
                return
            try:
                yield from self._send(pending)
                refusals = 0
            except EpochStaleError as stale:
                refusals += 1
                if refusals > _REFUSALS:
                    raise HistoryError("refusal", "the relay refuses every segment, whatever the roster") from stale
                yield from self._follow_roster()
                yield from self._drop(pending[0], stale)

    def _seal(self, incarnation: bytes) -> Steps[list[SealedSegment]]:
        """Seal and persist the next batch of what waits in the outbox."""
        batch: list[SealedSegment] = []
        self._sent_to = incarnation
        while len(batch) < BATCH:
            filled = yield from self._fill()
            if filled is None:
                break
            waiting, packed = filled
            records = waiting.records[: packed.count]
            sealed = seal_records(
                self.account,
                self._tail,
                records,
                packed,
                waiting.segment_class,
                self._ids,
                salt=self._random(32),
                last=not (packed.full or waiting.more),
            )
            # SEG-12: "A device MUST persist a signed header with its summary and body before it sends it the first time,
            # and send it again only identically, until it has a receipt or a refusal."
            yield SavePending(sealed, packed.count, incarnation)
            self._extend_tail(sealed)
            self._carried[sealed.seq] = packed.count
            batch.append(sealed)
        return batch

    def _fill(self) -> Steps[tuple[Waiting, Packed] | None]:
        """Load what waits, and pack as much of it as one body takes; all of it may turn out to be too little."""
        wanted = self._packer.wanted
        while True:
            waiting: Waiting | None = yield LoadOutbox(wanted)
            if waiting is None:
                return None
            packed = self._packer.pack(waiting.records, waiting.segment_class)
            is_live = waiting.segment_class is SegmentClass.LIVE
            if is_live or not waiting.more or not self._packer.wants_more(packed):
                return waiting, packed
            wanted = max(self._packer.wanted, 2 * wanted)

    def _send(self, pending: Sequence[SealedSegment]) -> Steps[None]:
        # SEG-13: "A device that has seen a newer epoch than its pending header's MUST send that header alone, never a body
        # under the older key."
        if self._verify_own(pending[0]).header.epoch == self.account.roster.epoch:
            items: list[tuple[bytes, ...]] = [(s.header, s.summary, s.body) for s in pending]
        else:
            items = [(pending[0].header,)]
        try:
            answer: Appended = yield Append(tuple(items))
        except EpochStaleError:
            raise
        except RefusedError as refused:
            yield from self._explain(refused, pending[0])
            raise
        if not 0 < len(answer.receipts) <= len(items):
            raise MalformedError("malformed", "the relay answers an append without receipts")
        receipts = []
        account = self.account
        feed = account.feed(account.device)
        for sealed, statement in zip(pending, answer.receipts, strict=False):
            receipt = verify_receipt(statement, account.id, account.identity, sealed.header_id)
            receipts.append((sealed.seq, receipt, statement))
            feed = feed.follow(self._verify_own(sealed), account.roster, self._lookup)
        account = account.with_feed(feed)
        yield Settle(receipts, account)
        self.account = account
        for sealed in pending[: len(receipts)]:
            self._pending.pop(sealed.seq, None)
            self._records_written += self._carried.pop(sealed.seq, 0)
            self._bytes_written += len(sealed.header) + len(sealed.summary) + len(sealed.body)
        self._written += len(receipts)
        yield Progress("writing", self._written, self._records_written)

    def _drop(self, first: SealedSegment, stale: EpochStaleError) -> Steps[None]:
        """Give up the first pending segment, and all after it, for a refusal that holds; their records wait again."""
        account = self.account
        refusal = verify_refusal(
            stale.refusal,
            account.id,
            account.identity,
            header_id=first.header_id,
            header_roster=self._verify_own(first).header.roster,
            incarnation=self._sent_to or b"",
            roster=account.roster,
        )
        yield DropPending(first.seq, first.header_id, refusal, stale.refusal)
        self._carried.clear()
        yield from self._load_tail()

    def _explain(self, refused: RefusedError, first: SealedSegment) -> Steps[None]:
        """See what a refused append says about the relay. Raises `HistoryError` where it contradicts itself."""
        if refused.code in ("gap", "fork", "roster-conflict"):
            heads: Heads = yield ReadHeads()
            self._compare_heads(heads)
            yield from self._check_own_feed(heads)
            yield from self._follow_roster()
            raise HistoryError(
                "missing",
                f"the relay refuses this device's next segment ({refused.code}) and shows no reason",
                device=self._device,
                seq=first.seq,
            ) from refused
