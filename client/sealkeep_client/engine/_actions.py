"""What the engine asks for (actions), and what it is told (the values sent back for them).

The engine is a generator: it yields actions, one at a time, and is sent the answer to each. Whoever drives it does the
I/O; an error of the line or the relay is thrown into it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from sealkeep_client.engine._packed import Packed
from sealkeep_client.engine._reading import ReadSegment
from sealkeep_client.engine._state import Account
from sealkeep_protocol.records import Body
from sealkeep_protocol.segments import SealedSegment, SegmentClass
from sealkeep_protocol.statements import Receipt, Refusal
from sealkeep_protocol.types import ObjectId, Seq

# Of the relay


@dataclass(frozen=True, slots=True)
class ReadInfo:
    """→ `RelayInfo`: what the relay says of itself."""


@dataclass(frozen=True, slots=True)
class ReadRoster:
    """→ (entries from number `first` on, number of the relay's head)."""

    first: int


@dataclass(frozen=True, slots=True)
class ReadWraps:
    """→ list of `Wrap`: this device's newest."""


@dataclass(frozen=True, slots=True)
class ReadHeads:
    """→ `Heads`."""


@dataclass(frozen=True, slots=True)
class ReadChanges:
    """→ `Page` of what came after a position, with bodies; only with those of at most `short` bytes, where it is given."""

    after: int
    incarnation: bytes | None
    short: int | None = None


@dataclass(frozen=True, slots=True)
class BodyRange:
    """So many segments of one feed, from a seq on."""

    device: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class ReadBodies:
    """→ `Page` of the first segments, or all, of a range, with bodies. The ranges `following` are asked for next."""

    wanted: BodyRange
    following: tuple[BodyRange, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadFeed:
    """→ `Page` of one feed, from a seq on: of headers, or with bodies."""

    device: int
    first: int
    bodies: bool = False


@dataclass(frozen=True, slots=True)
class AppendEntry:
    """→ None. The entry behind entry `head`, with its wraps; a `RefusedError` is thrown where the relay refuses."""

    head: int
    entry: bytes
    wraps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """→ `Appended`; `EpochStaleError` is thrown where the relay refuses.

    `ChunksMissingError` where chunks of the first item are not there.
    """

    items: tuple[AppendItem, ...]


@dataclass(frozen=True, slots=True)
class AppendItem:
    """A segment to be appended, with the ids of its chunks, or its header alone (SEG-13)."""

    header: bytes
    summary: bytes | None = None
    body: bytes | None = None
    chunks: tuple[bytes, ...] = ()
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class CopyItem:
    """A segment of a device's feed, to be copied."""

    device: int
    segment: AppendItem


@dataclass(frozen=True, slots=True)
class Claim:
    """→ list of indexes: those of the chunks, 1 to 1,000 distinct ids, ascending, that the relay does not have
    (§12.4)."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PutChunks:
    """→ None. Chunks of the last `SealChunks` or `SealAgain`, durable at the relay when this is answered."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CopyRoster:
    """→ None. Consecutive entries with their wraps, None for each that is lost (§11.4)."""

    items: Sequence[tuple[bytes, Sequence[bytes | None]]]


@dataclass(frozen=True, slots=True)
class Copy:
    """→ `Appended`. Segments of any feeds (§11.4)."""

    items: Sequence[CopyItem]


# Of the person


@dataclass(frozen=True, slots=True)
class NewKit:
    """→ `KeyRecord` of a new recovery key, once its kit is durably in the person's hands."""

    account: Account


# Of this device's store


@dataclass(frozen=True, slots=True)
class SaveRoster:
    """→ None. New entries (the first has number `first`) and all epoch keys of the account."""

    first: int
    entries: Sequence[bytes]
    account: Account
    recovery_wrap: bytes | None = None  # of the last entry, where this device composed it


@dataclass(frozen=True, slots=True)
class Decode:
    """→ None. The opened content of a segment, to be decoded at once or side by side (`decode_body`)."""

    content: bytes


@dataclass(frozen=True, slots=True)
class TakeDecoded:
    """→ `Content`: that of the first `Decode` that was not taken yet. A `PeerError` is thrown for what is not §7's."""


@dataclass(frozen=True, slots=True)
class SaveSegment:
    """→ None. A verified segment of another device, or an own one that came back (then without body)."""

    segment: ReadSegment | None
    account: Account


@dataclass(frozen=True, slots=True)
class AwaitedBody:
    """A verified segment whose body has still to come."""

    device: int
    seq: int


@dataclass(frozen=True, slots=True)
class LoadAwaited:
    """→ list of `AwaitedBody`, at most `limit`: those that are to come next, of one stage."""

    limit: int


@dataclass(frozen=True, slots=True)
class SaveBody:
    """→ None. A segment whose body was awaited: with that by now, or (None) discarded by a removal."""

    device: int
    seq: int
    segment: ReadSegment | None


@dataclass(frozen=True, slots=True)
class LoadUnopened:
    """→ list of (device, seq), ascending, at most `limit`: segments without their content whose epoch is held by
    now."""

    limit: int


@dataclass(frozen=True, slots=True)
class SaveOpened:
    """→ None. A segment that was kept without its content: read by now, or (None) discarded by a removal."""

    device: int
    seq: int
    segment: ReadSegment | None


@dataclass(frozen=True, slots=True)
class SettleUploads:
    """→ None. Marks whose contents have a record that serves under the account's epoch wait in the outbox, others for
    an upload. `floor` is the first epoch since which no device was removed (FIL-04)."""

    account: Account
    floor: int


@dataclass(frozen=True, slots=True)
class SealChunks:
    """→ `SealedChunks`, or None where no content waits for an upload: the next chunks, in memory until `SaveChunks`."""

    account: Account
    floor: int


@dataclass(frozen=True, slots=True)
class SaveChunks:
    """→ None. The chunks of the last `SealChunks` are at the relay."""

    account: Account
    floor: int


@dataclass(frozen=True, slots=True)
class SealAgain:
    """→ `SealedChunks`: those of some chunks of a pending segment (by its seq), or of a content (by its root), that this
    device can make again, in memory
    until the next action of this kind."""

    account: Account
    of: Seq | bytes
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AllowMissing:
    """→ None. Chunks of a pending segment are gone here too: it is sent with missing-ok from now on."""

    seq: Seq


@dataclass(frozen=True, slots=True)
class LoadPending:
    """→ list of `PendingSegment` without an answer, ascending, at most `limit`."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class PackOutbox:
    """→ list of `Offered`: the first batches of the first class and run that wait, each of about `weight` bytes of
    records, at most `bodies` of them. Whoever drives packs them (`pack`), at once or side by side."""

    weight: int
    bodies: int


@dataclass(frozen=True, slots=True)
class TakePacked:
    """→ `Packed`: the next batch of the last `PackOutbox`."""


@dataclass(frozen=True, slots=True)
class SavePending:
    """→ None. A sealed segment that carries the first `packed.count` records of the last `TakePacked`."""

    sealed: SealedSegment
    packed: Packed
    incarnation: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """→ None. Receipts for the first pending segments; the account has the own feed after them."""

    receipts: Sequence[tuple[Seq, Receipt, bytes]]
    account: Account


@dataclass(frozen=True, slots=True)
class DropPending:
    """→ None. A verified refusal: the segment at `seq` and all after it go back to the outbox."""

    seq: Seq
    header_id: ObjectId
    refusal: Refusal
    statement: bytes


@dataclass(frozen=True, slots=True)
class LoadKept:
    """→ `PendingSegment` at this place of any feed, or None where it is not kept whole."""

    device: int
    seq: int


@dataclass(frozen=True, slots=True)
class Become:
    """→ None. The account as a new device of it; what the old one's segments without a receipt carried waits again."""

    account: Account


@dataclass(frozen=True, slots=True)
class LoadStored:
    """→ list of `StoredChunks` of the contents whose roots lie behind `after`, ascending, at most `limit`."""

    after: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class StoredChunks:
    """The chunks by which a content would be read, as far as they are known, and the segment that says so. `served`: this
    device has sealed, opened or proved them."""

    root: bytes
    device: int
    seq: int
    served: bool
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CheckRecords:
    """→ how many records of a body this device's store does not have."""

    body: Body


@dataclass(frozen=True, slots=True)
class PendingSegment:
    """A sealed segment without an answer, with the ids of its chunks, and whether some of them may be missing."""

    sealed: SealedSegment
    chunks: tuple[bytes, ...] = ()
    missing_ok: bool = False

    def item(self) -> AppendItem:
        """What of it is appended, or copied."""
        sealed = self.sealed
        return AppendItem(sealed.header, sealed.summary, sealed.body, self.chunks, self.missing_ok)


@dataclass(frozen=True, slots=True)
class SealedChunks:
    """Chunks that were sealed: their sizes by their ids, which ascend, and how many contents end there."""

    sizes: Mapping[bytes, int]
    contents: int


@dataclass(frozen=True, slots=True)
class Offered:
    """A batch that waits to be sealed: how many records, of how many bytes, and whether more of its run follow it."""

    segment_class: SegmentClass
    records: int
    weight: int
    more: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """→ None. How far the sync is, for whoever shows it; of an upload, bytes and contents."""

    phase: Literal["reading", "writing", "uploading", "verifying", "repairing"]
    segments: int
    records: int


Action: TypeAlias = (
    ReadInfo
    | ReadRoster
    | ReadWraps
    | ReadHeads
    | ReadChanges
    | ReadFeed
    | ReadBodies
    | Append
    | AppendEntry
    | CopyRoster
    | Copy
    | Claim
    | PutChunks
    | NewKit
    | SaveRoster
    | SaveSegment
    | Decode
    | TakeDecoded
    | LoadAwaited
    | SaveBody
    | LoadUnopened
    | SaveOpened
    | SettleUploads
    | SealChunks
    | SaveChunks
    | SealAgain
    | AllowMissing
    | LoadPending
    | PackOutbox
    | TakePacked
    | SavePending
    | Settle
    | DropPending
    | LoadKept
    | Become
    | LoadStored
    | CheckRecords
    | Progress
)

T = TypeVar("T")
Steps: TypeAlias = Generator[Action, Any, T]
