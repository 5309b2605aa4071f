"""The embedded store's chunks: the suite of all engines, and files that are spoilt, lost, in the way, or have no room."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sealkeep_protocol.types import DeviceId, Seq
from sealkeep_server.stores import DamagedError, MissingChunksError, OpenError, UnavailableError
from sealkeep_server.stores._bodies import StoredFile
from sealkeep_server.stores.sqlite import SqliteStore
from support.chunk_suite import DAY, NOW, ChunkSuite, claim, id_of, made_chunk, naming, put, read, sweep, used
from support.store_suite import after, everything, made, segment, start


class SqliteEngine:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.words = ["sqlite", str(data)]

    async def open(self) -> SqliteStore:
        return SqliteStore.open(self.data)

    def stored_objects(self) -> int:
        return len(files(self.data))


def files(data: Path) -> list[Path]:
    return [path for folder in ("bodies", "incoming") for path in (data / folder).rglob("*") if path.is_file()]


class TestSqliteChunks(ChunkSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> SqliteEngine:
        return SqliteEngine(tmp_path / "data")


async def test_a_store_of_schema_3_gets_its_chunks(tmp_path: Path) -> None:
    """What it held stays; a step that fails leaves all as it was."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1), segment(2, await store.stage(b"x" * 50_000))])
    before, incarnation, bytes_before = await everything(store, one), store.incarnation, await used(store, one)
    await store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as database:
        database.executescript("DROP TABLE chunk; PRAGMA user_version = 3")
    with pytest.raises(OpenError, match="stamp already exists"):
        SqliteStore.open(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
        assert not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'chunk'").fetchall()
        database.executescript("DROP TABLE stamp")
    for _ in range(2):
        store = SqliteStore.open(tmp_path)
        assert await store.sweep() == 0
        assert (store.incarnation, await used(store, one)) == (incarnation, bytes_before)
        assert await everything(store, one) == before
        assert await store.chunks.named(one, DeviceId(1), Seq(1)) == []
        await store.close()
    store = SqliteStore.open(tmp_path)
    data = made_chunk(1)
    await put(store, one, data)
    assert await store.append(one, 0, after(segment(2)), [naming(3, data)]) == 3
    await store.close()


# Damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flip, "another hash"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "another length"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "another length"),
        (Path.unlink, "missing"),
    ],
)
async def test_a_damaged_chunk_is_an_alarm_once_and_then_not_there(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """FIL-13: its stamps are kept, it is asked for again, and a put mends it (FIL-12)."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1, 400_000 // 16 * 16 + 16)
    await put(store, one, data)
    await store.append(one, 0, start(), [naming(1, data)])
    before = await used(store, one)
    [path] = files(tmp_path)
    spoil(path)
    assert await claim(store, one, data) == []  # nobody has looked yet
    with pytest.raises(DamagedError, match=said):
        await store.chunks.open(one, id_of(data))
    assert await store.chunks.open(one, id_of(data)) is None
    assert await claim(store, one, data) == [0]
    assert await store.chunks.stored_bytes(one, [id_of(data)], []) == 0
    with pytest.raises(MissingChunksError):
        await store.append(one, 0, after(naming(1, data)), [naming(2, data)])
    assert await store.chunks.named(one, DeviceId(1), Seq(1)) == [id_of(data)]
    assert await sweep(store, NOW + 100 * DAY) == 0
    assert await put(store, one, data)
    assert await read(store, one, id_of(data)) == data
    assert await used(store, one) == before
    assert len(files(tmp_path)) == 1
    assert await sweep(store, NOW + 100 * DAY) == 0
    await store.close()


async def test_a_put_compares_what_is_there(tmp_path: Path) -> None:
    """FIL-12: also what nobody has looked at since it was spoilt."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1)
    await put(store, one, data)
    [path] = files(tmp_path)
    flip(path)
    assert await put(store, one, data)
    assert not await put(store, one, data)
    assert await read(store, one, id_of(data)) == data
    assert len(files(tmp_path)) == 1
    await store.close()


async def test_a_damaged_chunk_that_nobody_names_is_swept(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1)
    await put(store, one, data)
    flip(files(tmp_path)[0])
    with pytest.raises(DamagedError):
        await store.chunks.open(one, id_of(data))
    assert await sweep(store, NOW + DAY) == 1
    assert (files(tmp_path), await used(store, one)) == ([], 0)
    await store.close()


async def test_what_the_disk_cannot_read_is_damaged_and_what_else_fails_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FIL-13"""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1)
    await put(store, one, data)

    def failing(number: int) -> Callable[..., bytes]:
        def fail(*_: object) -> bytes:
            raise OSError(number, os.strerror(number))

        return fail

    with monkeypatch.context() as patch:
        patch.setattr(StoredFile, "read", failing(errno.ENOMEM))
        with pytest.raises(UnavailableError):
            await store.chunks.open(one, id_of(data))
    assert await read(store, one, id_of(data)) == data
    with monkeypatch.context() as patch:
        patch.setattr(StoredFile, "read", failing(errno.EIO))
        with pytest.raises(DamagedError, match="cannot be read"):
            await store.chunks.open(one, id_of(data))
    assert await store.chunks.open(one, id_of(data)) is None
    await store.close()


async def test_what_is_swept_while_it_is_looked_up_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1)
    await put(store, one, data)
    find = store._bodies.open
    [path] = files(tmp_path)
    content = path.read_bytes()

    def gone(number: int, size: int) -> StoredFile:
        monkeypatch.undo()
        # As a sweep and a put between the look-up and this would leave it.
        with contextlib.closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
            database.execute("UPDATE chunk SET object = object + 1")
        path.rename(path.with_name("001"))
        return find(number, size)

    monkeypatch.setattr(store._bodies, "open", gone)
    assert await read(store, one, id_of(data)) == content
    await store.close()


# No room, and crashes


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_takes_no_part_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    data = made_chunk(1, 100_000 // 16 * 16)
    for step in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(UnavailableError):
                await put(store, one, data)
        assert (files(tmp_path), await used(store, one)) == ([], 0)
    for target, step in ((store._bodies, "sync"), (store._bodies, "adopt")):
        with monkeypatch.context() as patch:
            patch.setattr(target, step, full)
            with pytest.raises(UnavailableError):
                await put(store, one, data)
        assert (files(tmp_path), await used(store, one)) == ([], 0)
        assert await claim(store, one, data) == [0]
    assert await put(store, one, data)
    assert await read(store, one, id_of(data)) == data
    await store.close()


async def test_a_full_database_takes_no_chunk(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    writer = store._writer._connection
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    await store._writer.submit(lambda tx: tx.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    results = await asyncio.gather(*(put(store, one, made_chunk(n)) for n in range(60)), return_exceptions=True)
    assert any(isinstance(result, UnavailableError) for result in results)
    stored = [n for n, result in enumerate(results) if result is True]
    assert len(files(tmp_path)) == len(stored)
    assert await used(store, one) == 256 * len(stored)
    await store._writer.submit(lambda tx: tx.connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    for n in range(60):
        assert await put(store, one, made_chunk(n)) == (n not in stored)
    await store.close()


@pytest.mark.parametrize("lost", ["staged", "moved", "committed"])
async def test_whatever_a_crash_leaves_is_swept_or_whole(tmp_path: Path, lost: str) -> None:
    """FIL-14: the files and rows that stand on the disk after each step of a put."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    kept, data = made_chunk(1), made_chunk(2)
    await put(store, one, kept)
    await store.close()
    [path] = files(tmp_path)
    if lost == "staged":
        (tmp_path / "incoming" / "0").write_bytes(data)
    elif lost == "moved":  # in a shard of its own, or in one that goes on
        path.with_name("3ff").write_bytes(data)
        (tmp_path / "bodies" / "00000007").mkdir()
        (tmp_path / "bodies" / "00000007" / "000").write_bytes(data)
    store = SqliteStore.open(tmp_path)
    assert await store.sweep() == (2 if lost == "moved" else 0)
    assert files(tmp_path) == [path]
    assert await claim(store, one, kept, data) == [1]
    assert await put(store, one, data)
    assert [await read(store, one, id_of(chunk)) for chunk in (kept, data)] == [kept, data]
    await store.close()


async def test_a_chunk_and_its_name_are_durable_before_the_commit_and_that_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FIL-12: sync the file, move it, sync the folder, commit, answer."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    steps: list[tuple[str, object]] = []
    fsync, rename = os.fsync, os.rename
    store._writer._connection.set_trace_callback(lambda statement: steps.append(("statement", statement)))

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        steps.append(("synced", os.fstat(descriptor).st_ino))

    def record_rename(before: Path, now: Path) -> None:
        rename(before, now)
        steps.append(("moved", os.stat(now).st_ino))

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    await put(store, one, made_chunk(1))
    done = list(steps)
    await store.close()
    [path] = files(tmp_path)
    file, folder = path.stat().st_ino, path.parent.stat().st_ino
    order = [done.index(step) for step in (("synced", file), ("moved", file))]
    order += [max(at for at, step in enumerate(done) if step == ("synced", folder))]
    order += [max(at for at, step in enumerate(done) if step == ("statement", "COMMIT"))]
    assert order == sorted(order), done


async def test_whoever_gives_up_leaves_nothing_to_those_behind(tmp_path: Path) -> None:
    """A put whose caller goes away while it commits is whole or not there, and its file is nobody's."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    chunks = [made_chunk(n, 50_000 // 16 * 16) for n in range(40)]
    tasks = [asyncio.ensure_future(put(store, one, chunk)) for chunk in chunks]
    for number, task in enumerate(tasks):
        await asyncio.sleep(0)
        if number % 2:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.ready()
    missing = await claim(store, one, *chunks)
    assert {n for n in missing if n % 2 == 0} == set()
    for number, chunk in enumerate(chunks):
        assert await read(store, one, id_of(chunk)) == (None if number in missing else chunk)
    await store.close()
    store = SqliteStore.open(tmp_path)
    await store.sweep()
    assert len(files(tmp_path)) == len(chunks) - len(missing)
    assert await used(store, one) == sum(len(chunk) for n, chunk in enumerate(chunks) if n not in missing)
    await store.close()
