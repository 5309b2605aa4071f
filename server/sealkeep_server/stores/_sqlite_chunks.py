"""The embedded store's chunks: rows by the one writer, bytes as files beside the bodies'."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from sealkeep_protocol.types import AccountId, DeviceId, Seq
from sealkeep_server.stores import _chunks
from sealkeep_server.stores._bodies import ArrivingFile, BodyFiles, StoredFile
from sealkeep_server.stores._chunk_interface import ArrivingChunk, ChunkId, OpenChunk, Put
from sealkeep_server.stores._interface import DamagedError, UnavailableError
from sealkeep_server.stores._writer import GroupWriter

Result = TypeVar("Result")

_SLICE = 1 << 18  # read and hashed at a time


class Threads(Protocol):
    """How the store runs what blocks."""

    async def read(self, query: Callable[[sqlite3.Connection], Result]) -> Result: ...

    async def run(self, pool: ThreadPoolExecutor, call: Callable[[], Result]) -> Result: ...


class SqliteChunks:
    """Implements `ChunkStore`. Files are written and hashed on `pool`, away from the event loop and from queries."""

    def __init__(self, writer: GroupWriter, threads: Threads, pool: ThreadPoolExecutor) -> None:
        self._writer = writer
        self._bodies: BodyFiles = writer.bodies
        self._threads = threads
        self._pool = pool

    async def claim(self, account: AccountId, chunks: Sequence[ChunkId], *, now: int, until: int) -> list[int]:
        return await self._writer.submit(partial(_chunks.claim, account=account, chunks=chunks, now=now, until=until))

    async def receive(self) -> ArrivingChunk:
        return _Arriving(await self.run(self._bodies.arrive), self)

    async def put(self, account: AccountId, chunk: ArrivingChunk, *, now: int, until: int, allowed: int | None) -> Put:
        if not isinstance(chunk, _Arriving):
            raise TypeError("the chunk of another store")
        # FIL-12: "… where the chunk is there already it MUST compare the bytes, and replace those that differ."
        # What came has the hash that is its name, so that the stored bytes are held against that hash.
        is_whole = await self._is_whole(account, chunk.id)
        if is_whole and not await self.claim(account, [chunk.id], now=now, until=until):
            return Put.KNOWN
        staged = await self.run(chunk.file.finish)
        put = partial(
            _chunks.put, account=account, chunk=chunk.id, staged=staged, now=now, until=until, allowed=allowed
        )
        done = await self._writer.submit(put)
        chunk.is_put = done is not Put.KNOWN
        return done

    async def _is_whole(self, account: AccountId, chunk: ChunkId) -> bool:
        try:
            found = await self.open(account, chunk)
        except DamagedError:
            return False
        if found is not None:
            await found.close()
        return found is not None

    async def open(self, account: AccountId, chunk: ChunkId) -> OpenChunk | None:
        while True:
            found = await self._threads.read(partial(_chunks.find, account=account, chunk=chunk))
            if found is None:
                return None
            size, number = found
            try:
                return _Open(await self.run(partial(_open_whole, self._bodies, number, size, chunk)), self)
            except DamagedError:
                # FIL-13: "… a chunk that it cannot read, or that fails its hash, it MUST from then on treat as one that is
                # not there, its stamps kept."
                mark = partial(_chunks.mark_damaged, account=account, chunk=chunk, number=number)
                if await self._writer.submit(mark):
                    raise
            # Swept, or put anew, since it was looked up.

    async def named(self, account: AccountId, device: DeviceId, seq: Seq) -> list[ChunkId] | None:
        return await self._threads.read(partial(_chunks.named, account=account, device=device, seq=seq))

    async def stored_bytes(
        self, account: AccountId, chunks: Sequence[ChunkId], places: Sequence[tuple[DeviceId, Seq]]
    ) -> int:
        return await self._threads.read(partial(_chunks.stored_bytes, account=account, chunks=chunks, places=places))

    async def sweep(self, *, now: int, idle_since: int, limit: int) -> int:
        return await self._writer.submit(partial(_chunks.sweep, now=now, idle_since=idle_since, limit=limit))

    async def run(self, call: Callable[[], Result]) -> Result:
        return await self._threads.run(self._pool, call)


class _Arriving:
    """Implements `ArrivingChunk`."""

    def __init__(self, file: ArrivingFile, chunks: SqliteChunks) -> None:
        self.file = file
        self.is_put = False
        self._chunks = chunks

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def id(self) -> ChunkId:
        return ChunkId(self.file.digest)

    async def write(self, data: bytes) -> None:
        await self._chunks.run(partial(self.file.write, data))

    async def discard(self) -> None:
        if not self.is_put:
            await self._chunks.run(self.file.discard)


class _Open:
    """Implements `OpenChunk`."""

    def __init__(self, file: StoredFile, chunks: SqliteChunks) -> None:
        self._file = file
        self._chunks = chunks

    @property
    def size(self) -> int:
        return self._file.size

    async def read(self, offset: int, size: int) -> bytes:
        return await self._chunks.run(partial(self._file.read, offset, size))

    async def close(self) -> None:
        try:
            await asyncio.shield(self._chunks.run(self._file.close))
        except UnavailableError:  # the store is closing
            self._file.close()


def _open_whole(bodies: BodyFiles, number: int, size: int, chunk: ChunkId) -> StoredFile:
    """Open a chunk's file and compare its hash. Raises `DamagedError`."""
    file = bodies.open(number, size)
    try:
        found = hashlib.sha256()
        for offset in range(0, size, _SLICE):
            found.update(file.read(offset, _SLICE))
        if found.digest() != chunk:
            raise DamagedError("a stored chunk has another hash than when it was put")
    except BaseException as error:
        file.close()
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise DamagedError("a stored chunk cannot be read") from error
        raise
    return file
