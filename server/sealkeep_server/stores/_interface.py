"""What a relay needs of its storage, whatever the engine: one protocol that every engine's store implements, and passes
one suite of tests.

A store knows nothing of signatures and rules. The service judges what it is offered against a state that it read
earlier, and names that state in the write: the store compares it under the account's lock, in the transaction of the
write itself, and raises `ConflictError` where it has moved on. So rules stand in one place, and several processes may
share a store.

Every key begins with the account id; mailboxes alone belong to no account. A method that returns has made its change
durable; one that raises has stored nothing, except that after `UnavailableError` the outcome of a write is unknown until
it is read back.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.stores._chunk_interface import CHUNK_ID_SIZE, STAMP_BYTES, ChunkId, ChunkStore


class StoreError(Exception):
    """Base of what stores raise. No message holds an id or content."""


class RefusedError(StoreError):
    """The copy of a header that this store may have signed a refusal for (VIE-08)."""


class ConflictError(StoreError):
    """The state that a write was judged against is not the present one: read again, judge again."""

    def __init__(self, moved: Literal["account", "roster", "feed", "mailbox"]) -> None:
        super().__init__(f"the {moved} is another by now")
        self.moved = moved


class FullError(StoreError):
    """A bound that the write was given is reached; of an append, by the segment at `index`."""

    def __init__(self, what: Literal["mailboxes", "account"], index: int = 0) -> None:
        super().__init__(f"there is no room for more {what}" if what == "mailboxes" else f"the {what} is full")
        self.index = index


class MissingChunksError(StoreError):
    """A segment of an append names chunks that are not there; `index` says which segment, `missing` up to `MOST` of
    the chunks, in their order."""

    MOST: ClassVar[int] = 1000  # §12.4

    def __init__(self, index: int, missing: Sequence[ChunkId]) -> None:
        super().__init__("chunks that a segment names are not there")
        self.index = index
        self.missing = missing


class UnavailableError(StoreError):
    """The engine cannot do it now: a full disk, an I/O error, a database out of reach, a store that is closing."""


class DamagedError(StoreError):
    """Something that was acknowledged is not there any more, or not as it was. An operator's alarm."""


class OpenError(StoreError):
    """The store cannot be opened: in use, of a newer version, not a store. One line for the operator."""


class Parts(enum.IntEnum):
    """How much of each segment a reader asks for (spec §8.5)."""

    HEADERS = 0
    SUMMARIES = 1
    BODIES = 2


@dataclass(frozen=True, slots=True)
class RosterHead:
    """The newest entry of an account's roster. The number decides: a roster only ever grows."""

    number: int
    entry_id: ObjectId


@dataclass(frozen=True, slots=True)
class Entry:
    """A roster entry as it was signed, and when the relay took it (ms since 1970, its own clock)."""

    number: int
    entry: bytes
    accepted: int


@dataclass(frozen=True, slots=True)
class Wrap:
    """A wrap that came with roster entry `number`; recipient 0 is the recovery key."""

    number: int
    recipient: int
    wrap: bytes


@dataclass(frozen=True, slots=True)
class Pin:
    """The final head of a removed device's feed. With `cut`, segments beyond it are erased by the same write; otherwise
    the feed's head must be exactly this."""

    device: DeviceId
    seq: Seq
    header_id: ObjectId
    cut: bool


@dataclass(frozen=True, slots=True)
class CopiedEntry:
    """A judged entry on its way in through the copy route, with the wraps that came with it and the pins it sets."""

    entry_id: ObjectId
    entry: Entry
    wraps: Sequence[Wrap]
    pins: Sequence[Pin]


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The newest segment of a feed: seq 0 with an empty id before the first. `roster` is the roster head in its header."""

    device: DeviceId
    seq: Seq
    header_id: ObjectId
    roster: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a stored header stands."""

    header_id: ObjectId
    position: int


@dataclass(frozen=True, slots=True)
class Place:
    """One consistent look at an address: the roster's head, the feed's head, and the header stored at a seq, if any."""

    roster: RosterHead
    feed: FeedHead
    stored: Placed | None


@dataclass(frozen=True, slots=True)
class StagedBody:
    """A body that is durable already, but that no segment names yet. `key` belongs to the engine."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A judged segment on its way in. A small body may stand here itself. `chunks` are the ids of those that it uses, one
    behind the other; with `missing_ok` they need not be there."""

    seq: Seq
    header_id: ObjectId
    roster: int
    header: bytes
    summary: bytes
    body: bytes | StagedBody
    chunks: bytes = b""
    missing_ok: bool = False

    @property
    def size(self) -> int:
        """Bytes that count as used."""
        body = self.body.size if isinstance(self.body, StagedBody) else len(self.body)
        stamps = len(self.chunks) // CHUNK_ID_SIZE * STAMP_BYTES
        return len(self.header) + len(self.summary) + body + stamps


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment on its way out; what was not asked for is None, and a body that is lost, with the `fault` that says how."""

    position: int
    device: DeviceId
    seq: Seq
    header: bytes
    summary: bytes | None
    body: bytes | None
    fault: DamagedError | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive segments, and whether there are more behind them."""

    segments: list[StoredSegment]
    more: bool


@dataclass(frozen=True, slots=True)
class Heads:
    """All feeds' heads, the newest position, and the bytes in use, at one moment. `feeds` ascend by device."""

    position: int
    feeds: list[FeedHead]
    used: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox (spec §10.1). `maker` and `guest` are hashes of passes; nobody is the guest before message 1. `expires`
    in ms since 1970; `messages` counts those put."""

    number: int
    maker: bytes
    guest: bytes | None
    expires: int
    messages: int
    ended: bool


class Store(Protocol):
    """A relay's storage. Methods raise `UnavailableError`; what else they raise is said with each."""

    @property
    def incarnation(self) -> bytes:
        """16 bytes drawn when the store was made (spec §8.1)."""

    @property
    def restored(self) -> tuple[bytes, int] | None:
        """The incarnation before this one, and when it ended (ms since 1970), where this store came from a backup."""

    @property
    def inline_bytes(self) -> int:
        """Bodies up to this size need no staging."""

    @property
    def chunks(self) -> ChunkStore:
        """The chunks of all accounts."""

    async def ready(self) -> None:
        """Return when the store answers and can be written."""

    async def sweep(self) -> int:
        """Erase staged bodies that an earlier process left and that no segment names; returns how many."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of everything."""

    # Rosters.

    async def create_account(self, account: AccountId, entry_id: ObjectId, entry: Entry, wraps: Sequence[Wrap]) -> None:
        """Store a genesis. Raises `ConflictError` (`account`) where the account is there already."""

    async def roster_head(self, account: AccountId) -> RosterHead | None:
        """The roster's head, or None for an unknown account. Cheap: asked at every request."""

    async def entries(self, account: AccountId, first: int, limit: int) -> list[Entry]:
        """Up to `limit` entries from number `first` on."""

    async def append_entry(
        self, account: AccountId, entry_id: ObjectId, entry: Entry, wraps: Sequence[Wrap], pins: Sequence[Pin]
    ) -> None:
        """Store the entry that follows number `entry.number` - 1. With wraps, those of earlier entries for devices go.

        Raises `ConflictError`: `roster` where the head is another, `feed` where a pin does not hold.
        """

    async def copy_entries(
        self, account: AccountId, expected: int | None, entries: Sequence[CopiedEntry], *, may_lack: bool
    ) -> None:
        """Store entries that follow number `expected` (None: the account is made), all or none.

        With `may_lack`, pins of all but the last may lie beyond their feed's head.

        Raises `ConflictError` as `create_account` and
        `append_entry` do.
        """

    async def wraps(self, account: AccountId, recipient: int) -> list[Wrap]:
        """The wraps kept for a recipient, ascending by entry: one at most for a device, all for 0."""

    # Feeds.

    async def feed_head(self, account: AccountId, device: DeviceId) -> FeedHead:
        """A feed's head; seq 0 where there is none. Cheap: asked at every append."""

    async def place(self, account: AccountId, device: DeviceId, seq: Seq) -> Place | None:
        """Look at an address; None for an unknown account."""

    async def refuse(self, account: AccountId, device: DeviceId, seq: Seq, roster: int) -> Place | None:
        """Look at an address, and where no header stands there and `roster` lies below the roster's head, remember for
        the feed that a header was refused for that head: durable when this returns. None for an unknown account."""

    async def stage(self, body: bytes) -> StagedBody:
        """Make a body durable ahead of its segment, without holding any lock."""

    async def discard(self, staged: Sequence[StagedBody]) -> None:
        """Forget bodies that will not be appended."""

    async def append(
        self,
        account: AccountId,
        roster: int,
        after: FeedHead,
        segments: Sequence[NewSegment],
        *,
        copied: bool = False,
        allowed: int | None = None,
    ) -> int:
        """Store segments that follow `after` in its feed, all or none, and stamp the chunks that they name; returns the
        position of the first. `allowed` are the bytes that the account may use (None: no limit).

        Raises `ConflictError`: `roster` where its head is not number `roster`, `feed` where the feed's head is another;
        `RefusedError` where they are `copied` and one's roster head lies below what `refuse` remembers for the feed;
        `MissingChunksError`; `FullError` (`account`). Staged bodies are used up by success, and only then.
        """

    async def changes(
        self, account: AccountId, after: int, parts: Parts, *, limit: int, size: int, short: int = 0
    ) -> Run:
        """Segments of all feeds beyond a position, in the order of positions: at most `limit`, and no further one once
        `size` bytes are reached. Of `SUMMARIES` those whose body has at most `short` bytes come with it."""

    async def feed(
        self, account: AccountId, device: DeviceId, first: int, parts: Parts, *, limit: int, size: int
    ) -> Run:
        """Segments of one feed from seq `first` on, likewise."""

    async def heads(self, account: AccountId) -> Heads | None:
        """All heads at one moment; None for an unknown account."""

    # Mailboxes. Times are ms since 1970.

    async def make_mailbox(self, mailbox: Mailbox, *, now: int, most: int) -> None:
        """Make one, and erase all whose time is over. Raises `ConflictError` (`mailbox`) where its number is taken,
        `FullError` where there are `most` already."""

    async def mailbox(self, number: int, *, now: int) -> Mailbox | None:
        """A mailbox whose time is not over, ended or not."""

    async def put_message(self, before: Mailbox, guest: bytes | None, message: bytes) -> None:
        """Add the next message, by which this is the guest. Raises `ConflictError` (`mailbox`) where the mailbox is not as
        it was `before`."""

    async def message(self, mailbox: int, number: int) -> bytes | None:
        """A message by its number, from 1."""

    async def end_mailbox(self, mailbox: Mailbox) -> None:
        """Erase its messages, and take no more. It stays until its time is over."""
