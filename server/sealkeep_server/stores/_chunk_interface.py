"""What a relay needs of its storage for chunks (spec §12.4), whatever the engine.

A chunk is known by account and id. It is there when its bytes are durable and as they came; one that was found damaged is
not there any more, so that devices are asked for it again, and a put mends it. A stamp says that a segment names a chunk,
which need not be there: an append sets it (`Store.append`), and the erasure of the segment takes it.

Methods raise `UnavailableError`; what else they raise is said with each. Times are ms since 1970.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NewType, Protocol

from sealkeep_protocol.types import AccountId, DeviceId, Seq

ChunkId = NewType("ChunkId", bytes)  # 32 bytes: the hash of the ciphertext
CHUNK_ID_SIZE = 32
STAMP_BYTES = 64  # that a stamp counts as used


class Put(enum.Enum):
    """What a put did: the chunk was not there, was there whole, or stands in the place of a damaged one."""

    NEW = enum.auto()
    KNOWN = enum.auto()
    MENDED = enum.auto()


class ArrivingChunk(Protocol):
    """A chunk that comes slice by slice: nobody sees it before `ChunkStore.put`."""

    @property
    def size(self) -> int:
        """Bytes so far."""

    @property
    def id(self) -> ChunkId:
        """The hash of the bytes so far."""

    async def write(self, data: bytes) -> None:
        """Take the next slice."""

    async def discard(self) -> None:
        """Forget it. Does nothing to one that was put."""


class OpenChunk(Protocol):
    """A chunk that is read; it stays readable while it is open, whatever becomes of it in the store."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    async def read(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on, or up to its end. Raises `DamagedError`."""

    async def close(self) -> None:
        """Let go of it."""


class ChunkStore(Protocol):
    """The chunks of all accounts. See the module."""

    async def claim(self, account: AccountId, chunks: Sequence[ChunkId], *, now: int, until: int) -> list[int]:
        """Keep those of these chunks that are there until a time; returns the indexes of those that are not."""

    async def receive(self) -> ArrivingChunk:
        """Begin to take a chunk, without holding any lock."""

    async def put(self, account: AccountId, chunk: ArrivingChunk, *, now: int, until: int, allowed: int | None) -> Put:
        """Make a chunk durable, and claim it until a time. What is there already is looked at, and mended.

        Raises `FullError` (`account`) where the account would use more than `allowed` bytes, `ConflictError` (`account`)
        where there is none.
        """

    async def open(self, account: AccountId, chunk: ChunkId) -> OpenChunk | None:
        """Open a chunk after its hash was compared; None where it is not there. Raises `DamagedError` for one that is
        found damaged, once: from then on it is not there."""

    async def named(self, account: AccountId, device: DeviceId, seq: Seq) -> list[ChunkId] | None:
        """The chunks that a segment names, ascending; None where there is no such segment."""

    async def stored_bytes(
        self, account: AccountId, chunks: Sequence[ChunkId], places: Sequence[tuple[DeviceId, Seq]]
    ) -> int:
        """The bytes of these chunks, and of the summaries and bodies of the segments at these places, together."""

    async def sweep(self, *, now: int, idle_since: int, limit: int) -> int:
        """Erase up to `limit` chunks without a stamp and without a claim that lives `now`, which had their last claim, and
        lost their last stamp, by `idle_since`; returns how many."""
