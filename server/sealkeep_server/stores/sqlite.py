"""The embedded store: SQLite and a folder of files, for one process and no other service."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from sealkeep_protocol.types import NO_ID, AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.settings import Settings
from sealkeep_server.stores import _mailboxes, _schema, _sql
from sealkeep_server.stores._bodies import BodyFiles
from sealkeep_server.stores._cache import WrittenCache
from sealkeep_server.stores._chunk_interface import ChunkStore
from sealkeep_server.stores._interface import (
    CopiedEntry,
    Entry,
    FeedHead,
    Heads,
    Mailbox,
    NewSegment,
    OpenError,
    Parts,
    Pin,
    Place,
    RosterHead,
    Run,
    StagedBody,
    UnavailableError,
    Wrap,
)
from sealkeep_server.stores._sqlite_chunks import SqliteChunks
from sealkeep_server.stores._writer import GroupWriter

Result = TypeVar("Result")

_READERS = 4
_STAGERS = 8  # threads that wait for fsync: more of them share a sync of the file system's journal
_CHUNKERS = 8  # likewise, and for the disk where chunks are read


class SqliteStore:
    """Implements `stores.Store` on a data directory, which it locks against a second process.

    Made by `open`; raises `OpenError`. Reads run on a few threads with a connection each, writes on `GroupWriter`'s.
    """

    def __init__(
        self,
        data: Path,
        settings: Settings,
        lock: int,
        writer: GroupWriter,
        incarnation: bytes,
        restored: tuple[bytes, int] | None = None,
    ) -> None:
        self._database = _database(data)
        self._settings = settings
        self._lock = lock
        self._writer = writer
        self._incarnation = incarnation
        self._restored = restored
        self._bodies = writer.bodies
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._stagers = ThreadPoolExecutor(_STAGERS, thread_name_prefix="store-stager")
        self._chunkers = ThreadPoolExecutor(_CHUNKERS, thread_name_prefix="store-chunks")
        self._chunks = SqliteChunks(writer, self, self._chunkers)
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._roster_heads: WrittenCache[AccountId, RosterHead] = WrittenCache(settings.cached_accounts)
        self._feed_heads: WrittenCache[tuple[AccountId, DeviceId], FeedHead] = WrittenCache(settings.cached_accounts)
        self._closed = False

    @classmethod
    def open(cls, data: Path, settings: Settings | None = None) -> SqliteStore:
        """Open the store in `data`, or make one. Blocks for some milliseconds. Raises `OpenError`."""
        settings = settings or Settings()
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(data)
        except OSError as error:
            raise OpenError(f"{data}: {error.strerror or error}") from error
        try:
            connection, incarnation = _schema.open_database(_database(data))
            restored = _schema.read_restored(connection)
            bodies = BodyFiles(data)
            writer = GroupWriter(
                connection,
                bodies,
                group_jobs=settings.group_jobs,
                checkpoint_idle_seconds=settings.checkpoint_idle_seconds,
            )
        except OSError as error:
            os.close(lock)
            raise OpenError(f"{data}: {error.strerror or error}") from error
        except BaseException:
            os.close(lock)
            raise
        return cls(data, settings, lock, writer, incarnation, restored)

    @property
    def incarnation(self) -> bytes:
        return self._incarnation

    @property
    def restored(self) -> tuple[bytes, int] | None:
        return self._restored

    @property
    def inline_bytes(self) -> int:
        return self._settings.inline_bytes

    @property
    def chunks(self) -> ChunkStore:
        return self._chunks

    async def ready(self) -> None:
        # Through the writer: says that the disk takes a commit, not only that a file can be read.
        await self._writer.submit(lambda tx: tx.connection.execute("SELECT 1").fetchone())

    async def sweep(self) -> int:
        def named(low: int, high: int) -> set[int]:
            return _sql.named_objects(self._connection(), low, high)

        return await self.run(self._readers, lambda: self._bodies.sweep(named))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown()
        self._stagers.shutdown()
        self._chunkers.shutdown()
        for connection in self._opened:
            connection.close()
        self._writer.close()
        self._bodies.close()
        os.close(self._lock)

    # Rosters.

    async def create_account(self, account: AccountId, entry_id: ObjectId, entry: Entry, wraps: Sequence[Wrap]) -> None:
        await self._writer.submit(
            partial(_sql.create_account, account=account, entry_id=entry_id, entry=entry, wraps=wraps),
            done=lambda: self._roster_heads.put(account, RosterHead(entry.number, entry_id)),
        )

    async def roster_head(self, account: AccountId) -> RosterHead | None:
        return await self._roster_heads.get(account, lambda: self.read(partial(_sql.roster_head, account=account)))

    async def entries(self, account: AccountId, first: int, limit: int) -> list[Entry]:
        return await self.read(partial(_sql.entries, account=account, first=first, limit=limit))

    async def append_entry(
        self, account: AccountId, entry_id: ObjectId, entry: Entry, wraps: Sequence[Wrap], pins: Sequence[Pin]
    ) -> None:
        def done() -> None:
            self._roster_heads.put(account, RosterHead(entry.number, entry_id))
            for pin in pins:
                self._feed_heads.drop((account, pin.device))

        await self._writer.submit(
            partial(_sql.append_entry, account=account, entry_id=entry_id, entry=entry, wraps=wraps, pins=pins),
            done=done,
        )

    async def copy_entries(
        self, account: AccountId, expected: int | None, entries: Sequence[CopiedEntry], *, may_lack: bool
    ) -> None:
        def done() -> None:
            last = entries[-1]
            self._roster_heads.put(account, RosterHead(last.entry.number, last.entry_id))
            for pin in (pin for copied in entries for pin in copied.pins):
                self._feed_heads.drop((account, pin.device))

        await self._writer.submit(
            partial(_sql.copy_entries, account=account, expected=expected, entries=entries, may_lack=may_lack),
            done=done,
        )

    async def wraps(self, account: AccountId, recipient: int) -> list[Wrap]:
        return await self.read(partial(_sql.wraps, account=account, recipient=recipient))

    # Feeds.

    async def feed_head(self, account: AccountId, device: DeviceId) -> FeedHead:
        head = await self._feed_heads.get(
            (account, device), lambda: self.read(partial(_sql.feed_head, account=account, device=device))
        )
        return head or FeedHead(device, Seq(0), NO_ID, 0)

    async def place(self, account: AccountId, device: DeviceId, seq: Seq) -> Place | None:
        return await self.read(partial(_sql.place, account=account, device=device, seq=seq))

    async def refuse(self, account: AccountId, device: DeviceId, seq: Seq, roster: int) -> Place | None:
        return await self._writer.submit(partial(_sql.refuse, account=account, device=device, seq=seq, roster=roster))

    async def stage(self, body: bytes) -> StagedBody:
        return await self.run(self._stagers, partial(self._bodies.stage, body))

    async def discard(self, staged: Sequence[StagedBody]) -> None:
        if staged:
            await self.run(self._stagers, partial(self._bodies.discard, staged))

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
        last = segments[-1]
        head = FeedHead(after.device, last.seq, last.header_id, last.roster)
        return await self._writer.submit(
            partial(
                _sql.append,
                account=account,
                roster=roster,
                after=after,
                segments=segments,
                copied=copied,
                allowed=allowed,
            ),
            done=lambda: self._feed_heads.put((account, after.device), head),
        )

    async def changes(
        self, account: AccountId, after: int, parts: Parts, *, limit: int, size: int, short: int = 0
    ) -> Run:
        return await self.read(
            partial(
                _sql.changes,
                bodies=self._bodies,
                account=account,
                after=after,
                parts=parts,
                limit=limit,
                size=size,
                short=short,
            )
        )

    async def feed(
        self, account: AccountId, device: DeviceId, first: int, parts: Parts, *, limit: int, size: int
    ) -> Run:
        return await self.read(
            partial(
                _sql.feed,
                bodies=self._bodies,
                account=account,
                device=device,
                first=first,
                parts=parts,
                limit=limit,
                size=size,
            )
        )

    async def heads(self, account: AccountId) -> Heads | None:
        return await self.read(partial(_sql.heads, account=account))

    # Mailboxes.

    async def make_mailbox(self, mailbox: Mailbox, *, now: int, most: int) -> None:
        await self._writer.submit(partial(_mailboxes.make, mailbox=mailbox, now=now, most=most))

    async def mailbox(self, number: int, *, now: int) -> Mailbox | None:
        return await self.read(partial(_mailboxes.find, number=number, now=now))

    async def put_message(self, before: Mailbox, guest: bytes | None, message: bytes) -> None:
        await self._writer.submit(partial(_mailboxes.put_message, before=before, guest=guest, message=message))

    async def message(self, mailbox: int, number: int) -> bytes | None:
        return await self.read(partial(_mailboxes.message, mailbox=mailbox, number=number))

    async def end_mailbox(self, mailbox: Mailbox) -> None:
        await self._writer.submit(partial(_mailboxes.end, mailbox=mailbox))

    # Threads.

    async def read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a query on a reader's thread and connection. Raises `UnavailableError`."""
        return await self.run(self._readers, lambda: query(self._connection()))

    async def run(self, pool: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
        """Run what blocks on a thread. Raises `UnavailableError`."""
        if self._closed:
            raise UnavailableError("the store is closing")
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, call)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(
                f"the store failed: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _schema.open_reader(self._database)
            self._opened.append(connection)
        return connection


def mark_restored(data: Path, now: int) -> bytes:
    """Say of a data directory that it came from a backup: it gets a new incarnation, which is returned (spec §11.5).

    `now` in ms since 1970. Raises `OpenError` where there is no store, or a relay has it open.
    """
    if not _database(data).is_file():
        raise OpenError(f"{data} holds no relay")
    try:
        lock = _lock(data)
    except OSError as error:
        raise OpenError(f"{data}: {error.strerror or error}") from error
    try:
        return _schema.mark_restored(_database(data), now)
    finally:
        os.close(lock)


def _database(data: Path) -> Path:
    return data / "relay.db"


def _lock(data: Path) -> int:
    """Keep a second process out for as long as the descriptor is open, crash included."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OpenError(f"{data} is in use by another relay") from None
    return descriptor
