"""The device's own side of a sync: loading what is known from the store, and carrying out what the engine asks of it.

Everything here runs on the vault's one thread for the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from sealkeep_client.engine import (
    MAX_LIVE_RECORDS,
    Account,
    AllowMissing,
    Become,
    CheckRecords,
    Decode,
    DropPending,
    LoadAwaited,
    LoadKept,
    LoadPending,
    LoadStored,
    LoadUnopened,
    Offered,
    Packed,
    PackOutbox,
    PendingSegment,
    ReadSegment,
    RemovedError,
    SaveBody,
    SaveChunks,
    SaveOpened,
    SavePending,
    SaveRoster,
    SaveSegment,
    SealAgain,
    SealChunks,
    Session,
    Settle,
    SettleUploads,
    TakeDecoded,
    TakePacked,
)
from sealkeep_client.jobs.contents import DecodedContent
from sealkeep_client.store import FeedHead, OutboxBatch, Receipt, Store, UploadClass
from sealkeep_client.store import Head as StoredHead
from sealkeep_client.vault._jobs import Jobs
from sealkeep_client.vault._local_bodies import add_awaited, kept_segment, load_awaited
from sealkeep_client.vault._local_files import LocalFiles
from sealkeep_client.vault._sightings import Sightings
from sealkeep_client.workers import Worker
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError, StoreError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import MAX_RECORDS, Body, HybridClock, Mark, MarkType, RecordIds, TombstoneReason
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import Head, SealedSegment, SegmentClass, SegmentHeader, header_identifier
from sealkeep_protocol.types import DeviceId, ObjectId, Seq

_META_LIMIT: Final = 1 << 16
MADE_HERE: Final = "entries-made-here"
"""Named value: the hashes of roster entries that this home sent, and that its person need not be told of."""
_MADE: Final = 256  # of them
ENROLMENT: Final = "enrolment"
"""Named value while this home is about to become another device: [signing seed, KEM seed, name]."""


class Local:
    """One open store with the account that it holds. `now` gives milliseconds since 1970, UTC."""

    def __init__(self, store: Store, *, now: Callable[[], int]) -> None:
        self.store = store
        self.now = now
        self.account = self._load_account()
        self.clock = HybridClock(self._get_number("clock"))
        self.sightings = Sightings(self.get, self.put, now)
        self._jobs = Jobs(Worker(enabled=False))
        self._batch: OutboxBatch | None = None
        self._floor = 1
        self.files = LocalFiles(store)
        if 1 in self.account.epochs:
            store.ids = RecordIds(self.account.epochs[1].record_id_key)

    def begin(self, worker: Worker) -> None:
        """Begin with steps of the engine; what others left undone is forgotten."""
        self._jobs = Jobs(worker)
        self._batch = None
        self.files.forget()
        self.sightings.begin()

    # What is kept under a name

    def get(self, name: str) -> Any:
        """A named value, decoded; None where there is none."""
        data = self.store.sync.get(name)
        return None if data is None else cbor.decode(data, limit=_META_LIMIT)

    def put(self, name: str, value: Any) -> None:
        self.store.sync.put(name, cbor.encode(value))

    def _get_number(self, name: str) -> int:
        value = self.get(name)
        return value if isinstance(value, int) else 0

    def note_made(self, entry: bytes) -> None:
        """Know a roster entry again that this home is about to send."""
        self.put(MADE_HERE, [*(self.get(MADE_HERE) or []), sha256(entry)][-_MADE:])

    # Loading

    def _load_account(self) -> Account:
        device, signing, kem, identity = (self.get(name) for name in ("device", "signing-seed", "kem-seed", "identity"))
        entries = self.store.sync.roster()
        if device is None or not entries:
            raise StoreError("this home is not complete: restore this device with the recovery kit")
        roster = Roster.genesis(entries[0])
        for entry in entries[1:]:
            roster = roster.append(entry)
        epochs = {n: EpochKeys(secret, n, roster.nonce) for n, secret in self.store.sync.epochs().items()}
        feeds = {head.device: _feed(head) for head in self.store.sync.feeds().values()}
        incarnation, position, rereads = self.get("cursor") or (None, 0, False)
        return Account(
            device=DeviceId(device),
            keys=PrivateKeys(signing, kem),
            identity=identity,
            roster=roster,
            epochs=MappingProxyType(epochs),
            feeds=MappingProxyType(feeds),
            incarnation=incarnation,
            position=position,
            rereads=rereads,
        )

    def known(self, device: int, seq: int) -> ObjectId | None:
        """The id of a verified header (the engine's `HeaderIds`)."""
        identifier = self.store.sync.header_id(device, seq)
        return None if identifier is None else ObjectId(identifier)

    def refused(self, header: ObjectId) -> bytes | None:
        """The refusal of this own header, where one is kept (SEG-15)."""
        return next((said for _, identifier, said in self.store.outbox.refusals() if identifier == header), None)

    def signed(self, device: int, seq: int) -> bytes | None:
        """A verified header as it was signed, or an own one without an answer (the engine's `SignedHeaders`)."""
        pending = self.store.outbox.pending(seq) if device == self.account.device else None
        return self.store.kept.header(device, seq) if pending is None else pending.header

    def session(self) -> Session:
        """What steps of the engine work on, as it stands."""
        return Session(self.account, self.known, self.refused, self.signed)

    # The engine's actions

    def handles(self, action: object) -> bool:
        return isinstance(action, _LOCAL)

    def handle(self, action: object) -> Any:
        """Carry out one action on the store, in the caller's transaction, and return its answer."""
        match action:
            case SaveRoster():
                return self._save_roster(action)
            case SaveSegment():
                return self._save_segment(action)
            case Decode():
                return self._jobs.decode(action.content, self.store.ids)
            case TakeDecoded():
                return self._jobs.decoded()
            case LoadAwaited():
                return load_awaited(self.store, action)
            case SaveBody():
                return self._save_body(action)
            case LoadUnopened():
                return self.store.sync.unopened(action.limit)
            case SaveOpened():
                return self._save_opened(action)
            case SettleUploads():
                self._floor = action.floor
                return self.store.uploads.settle(action.account.roster.epoch, action.floor)
            case SealChunks():
                return self.files.seal(action)
            case SaveChunks():
                return self.files.save(action.account, action.floor)
            case SealAgain():
                return self.files.seal_again(action)
            case AllowMissing():
                return self.store.outbox.allow_missing(action.seq)
            case LoadPending():
                return self._load_pending(action)
            case PackOutbox():
                return self._pack_outbox(action)
            case TakePacked():
                return self._take_packed()
            case SavePending():
                return self._save_pending(action)
            case Settle():
                return self._settle(action)
            case DropPending():
                return self.store.outbox.refuse(action.seq, action.header_id, action.statement)
            case LoadKept():
                return self._load_kept(action)
            case LoadStored():
                return self.files.load_stored(self.account, action)
            case Become():
                return self._become(action.account)
            case CheckRecords():
                return self._count_missing(action.body)
        raise TypeError(f"no action of this device: {type(action).__name__}")

    def _count_missing(self, body: Body) -> int:
        missing = self.store.count_missing(body)
        if missing:  # what a tombstone covers is not kept (REC-07), and not missed
            body = replace(body, marks=[mark for mark in body.marks if not self._is_covered(mark)])
            missing = self.store.count_missing(body)
        return missing

    def _is_covered(self, mark: Mark) -> bool:
        tombstones = [Mark(MarkType.TOMBSTONE, mark.target, reason=reason) for reason in TombstoneReason]
        covers = self.store.count_missing(Body(marks=tombstones)) < len(tombstones)
        return covers and mark.type in (MarkType.REVISION, MarkType.SUPPLEMENT, MarkType.REACTION)

    def _save_roster(self, action: SaveRoster) -> None:
        self.store.sync.add_roster(action.first, action.entries)
        self.store.sync.put_epochs({number: keys.secret for number, keys in action.account.epochs.items()})
        if action.recovery_wrap is not None:
            self.store.sync.put_recovery_wrap(action.first + len(action.entries) - 1, action.recovery_wrap)
        if 1 in action.account.epochs:
            self.store.ids = RecordIds(action.account.epochs[1].record_id_key)

    def note_removal(self, removed: RemovedError) -> None:
        """Keep the roster that removes this device: what it has stays readable, and says why there is nothing more."""
        if removed.entries:
            with self.store.transaction():
                self.store.sync.add_roster(removed.first, removed.entries)
            self.account = removed.account

    def _save_opened(self, action: SaveOpened) -> None:
        self.store.sync.drop_unopened(action.device, action.seq)
        if action.segment is not None:
            self._save_records(action.segment)
            self._note_seen(action.segment, new=False)

    def _save_segment(self, action: SaveSegment) -> None:
        account, segment = action.account, action.segment
        if segment is not None:
            self._save_feed(account, segment.feed)
            if segment.body is None:
                add_awaited(self.store, segment)
            else:
                self.store.kept.add(kept_segment(segment, segment.body))
                self._save_content(segment)
            self._note_seen(segment, new=not account.rereads)
        self.put("cursor", [account.incarnation, account.position, account.rereads])

    def _save_body(self, action: SaveBody) -> None:
        self.store.awaited.drop(action.device, action.seq)
        segment = action.segment
        if segment is not None and segment.body is not None:
            self.store.kept.fill(kept_segment(segment, segment.body))
            self._save_content(segment)

    def _save_content(self, segment: ReadSegment) -> None:
        header = segment.header.header
        if segment.is_unopened:
            self.store.sync.add_unopened(header.device, header.seq, header.epoch)
        self._save_records(segment)

    def _save_records(self, segment: ReadSegment) -> None:
        if segment.unreadable is not None:
            self._note_unreadable(segment.header.header, segment.unreadable)
        content, header = segment.content, segment.header.header
        if not isinstance(content, DecodedContent):
            return
        self.store.put(
            content.rows,
            marks=content.marks,
            contacts=content.contacts,
            conversations=content.conversations,
            upload=None,
        )
        self.store.records.put(header.device, header.seq, content.contents)
        self.store.previews.put(header.device, header.seq, content.previews)
        if content.unknown_ids is not None:
            self.store.put_unknown(content.unknown, ids=content.unknown_ids)
        if content.stamps:
            for stamp in content.stamps:
                self.clock.observe(stamp, self.now())
            self.put("clock", self.clock.last)

    def _note_seen(self, segment: ReadSegment, *, new: bool) -> None:
        content = segment.content
        stamps, times = (content.stamps, content.times) if isinstance(content, DecodedContent) else ((), ())
        written = [stamp >> 16 for stamp in stamps]
        self.sightings.note(segment.header.header.device, written=written, messages=times, new=new)

    def _note_unreadable(self, header: SegmentHeader, error: PeerError) -> None:
        noted = self.get("unreadable") or []
        self.put("unreadable", [*noted, [header.device, header.seq, error.code]][-256:])

    def _save_feed(self, account: Account, feed: Feed) -> None:
        heads = tuple(StoredHead(*head) for head in sorted(feed.heads.values()))
        epoch = account.roster.entry_epochs[feed.roster]
        self.store.sync.put_feed(FeedHead(feed.device, feed.seq, feed.head, feed.roster, epoch, heads))
        self.store.sync.add_headers(feed.device, feed.seq, [feed.head])

    def _load_pending(self, action: LoadPending) -> list[PendingSegment]:
        found: list[PendingSegment] = []
        for seq in self.store.outbox.pending_seqs():
            if seq <= action.after:
                continue
            if len(found) == action.limit:
                break
            pending = self.store.outbox.pending(seq)
            if pending is not None:
                identifier = header_identifier(pending.header, self.account.id)
                sealed = SealedSegment(Seq(seq), identifier, pending.header, pending.summary, pending.body)
                found.append(PendingSegment(sealed, pending.chunks, pending.missing_ok))
        return found

    def _pack_outbox(self, action: PackOutbox) -> list[Offered]:
        jobs, outbox = self._jobs, self.store.outbox
        jobs.forget_packing()
        offers: list[Offered] = []
        for waiting in outbox.waiting():
            segment_class = _CLASSES[waiting.upload]
            limit = MAX_LIVE_RECORDS if segment_class is SegmentClass.LIVE else MAX_RECORDS
            found = outbox.batches(waiting.upload, run=waiting.run, limit=limit, weight=action.weight)
            for batch in islice(found, action.bodies):
                jobs.pack(self._with_contents(batch), segment_class)
                offers.append(Offered(segment_class, len(batch), batch.outgoing.weight, batch.more))
            if offers:
                break
            outbox.drop(waiting.upload, waiting.run)  # a tombstone has taken all of it
        return offers

    def _with_contents(self, batch: OutboxBatch) -> OutboxBatch:
        """The batch with the content records of what its messages and marks name."""
        roots = batch.outgoing.roots()
        if not roots:
            return batch
        contents = self.files.stored(self.account, roots, self._floor)
        return replace(batch, outgoing=replace(batch.outgoing, contents=contents))

    def _take_packed(self) -> Packed:
        self._batch, packed = self._jobs.packed()
        return packed

    def _save_pending(self, action: SavePending) -> None:
        if self._batch is None:
            raise StoreError("a segment was sealed without records")
        sealed = action.sealed
        packed = action.packed
        self.store.outbox.add_pending(
            sealed.seq,
            sealed.header,
            sealed.summary,
            sealed.body,
            self._batch.carried(packed.count),
            chunks=packed.chunks,
            missing_ok=packed.missing_ok,
            contents=packed.contents,
        )
        self.put("sent-to", action.incarnation)
        self._batch = None

    def _load_kept(self, action: LoadKept) -> PendingSegment | None:
        kept = self.store.kept.whole(action.device, action.seq)
        if kept is None or kept.chunks is None:
            return None
        identifier = header_identifier(kept.header, self.account.id)
        return PendingSegment(
            SealedSegment(Seq(kept.seq), identifier, kept.header, kept.summary, kept.body), kept.chunks
        )

    def _become(self, account: Account) -> None:
        """Be another device of the account from this transaction on."""
        signing, kem, _ = self.get(ENROLMENT)
        # VIE-06: "What a clone has sealed in the old feed without a receipt MUST go back to its outbox in the same
        # transaction in which it takes its new number."
        self.store.outbox.start_over()
        self.put("cursor", [account.incarnation, account.position, account.rereads])
        self.put("device", account.device)
        self.put("signing-seed", signing)
        self.put("kem-seed", kem)
        self.store.sync.put(ENROLMENT, None)

    def _settle(self, action: Settle) -> None:
        receipts = [Receipt(seq, receipt.header_id, receipt.position) for seq, receipt, _ in action.receipts]
        for receipt in receipts:
            self.store.kept.take_pending(action.account.device, receipt.seq)
            self.store.settle_contents(action.account.device, receipt.seq)
        self.store.outbox.settle(receipts)
        feed = action.account.feed(action.account.device)
        first = int(receipts[0].seq)
        if len(receipts) > 1:
            self.store.sync.add_headers(feed.device, first, [receipt.header_id for receipt in receipts[:-1]])
        self._save_feed(action.account, feed)
        self.sightings.note_own(feed.device)


_LOCAL: Final = (
    SaveRoster,
    SaveSegment,
    Decode,
    TakeDecoded,
    LoadAwaited,
    SaveBody,
    LoadUnopened,
    SaveOpened,
    SettleUploads,
    SealChunks,
    SaveChunks,
    SealAgain,
    AllowMissing,
    LoadPending,
    PackOutbox,
    TakePacked,
    SavePending,
    Settle,
    DropPending,
    LoadKept,
    LoadStored,
    Become,
    CheckRecords,
)
_CLASSES: Final = {
    UploadClass.LIVE: SegmentClass.LIVE,
    UploadClass.FRONT: SegmentClass.FRONT,
    UploadClass.HISTORY: SegmentClass.HISTORY,
    UploadClass.PREVIEW: SegmentClass.PREVIEW,
}


def _feed(head: FeedHead) -> Feed:
    heads = {h.device: Head(DeviceId(h.device), Seq(h.seq), ObjectId(h.header_id)) for h in head.heads}
    return Feed(DeviceId(head.device), Seq(head.seq), ObjectId(head.header_id), head.roster, MappingProxyType(heads))
