"""The embedded store: the suite of all engines, and what only this one has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from sealkeep_protocol.types import DeviceId, Seq
from sealkeep_server.settings import Settings
from sealkeep_server.stores import OpenError, Parts, Store, UnavailableError
from sealkeep_server.stores.sqlite import SqliteStore, mark_restored
from support.mailbox_suite import MailboxSuite
from support.store_suite import (
    LARGE,
    SMALL,
    StoreSuite,
    account,
    after,
    entry,
    everything,
    identifier,
    made,
    segment,
    start,
)


class SqliteEngine:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.words = ["sqlite", str(data)]

    async def open(self) -> Store:
        return SqliteStore.open(self.data)

    def stored_objects(self) -> int:
        return len(files(self.data))


def files(data: Path) -> list[Path]:
    return [path for folder in ("bodies", "incoming") for path in (data / folder).rglob("*") if path.is_file()]


class TestSqlite(StoreSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> SqliteEngine:
        return SqliteEngine(tmp_path / "data")


class TestSqliteMailboxes(MailboxSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> SqliteEngine:
        return SqliteEngine(tmp_path / "data")


WITHOUT_CHUNKS = "DROP TABLE chunk; DROP TABLE stamp;"  # as up to schema 3


async def test_a_store_of_the_first_schema_gets_its_mailboxes(tmp_path: Path) -> None:
    """What it held stays; a step that fails leaves all as it was."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    incarnation = store.incarnation
    await store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as database:
        database.executescript(f"{WITHOUT_CHUNKS} DROP TABLE mailbox; DROP TABLE refused; PRAGMA user_version = 1")
    with pytest.raises(OpenError, match="mailbox_message already exists"):
        SqliteStore.open(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'mailbox'").fetchall()
        database.executescript("DROP TABLE mailbox_message")
    store = SqliteStore.open(tmp_path)
    assert store.incarnation == incarnation
    assert await store.roster_head(one) is not None
    assert await store.mailbox(7, now=0) is None
    await store.close()
    await SqliteStore.open(tmp_path).close()


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    with pytest.raises(OpenError, match="in use by another relay"):
        SqliteStore.open(tmp_path)
    await store.close()
    await SqliteStore.open(tmp_path).close()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    await SqliteStore.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "relay.db") as database:
        database.execute("PRAGMA user_version = 7")
    for _ in range(2):  # the refusal leaves no lock behind
        with pytest.raises(OpenError, match=r"newer sealkeep \(schema 7; this one knows 4\)"):
            SqliteStore.open(tmp_path)


async def test_strange_files_are_left_alone(tmp_path: Path) -> None:
    """A store opens and sweeps around what somebody else has put there."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1, await store.stage(b"x" * LARGE))])
    await store.close()
    [shard] = (tmp_path / "bodies").iterdir()
    strange = [tmp_path / "bodies" / ".DS_Store", tmp_path / "bodies" / "notes", shard / "7", shard / "zzz"]
    for path in strange:
        path.write_text("mine")
    store = SqliteStore.open(tmp_path)
    await store.sweep()
    assert all(path.exists() for path in strange)
    assert len((await everything(store, one)).segments) == 1
    await store.close()


async def test_a_schema_that_remembers_no_refusals_is_led_on(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    incarnation = store.incarnation
    await store.close()
    with sqlite3.connect(tmp_path / "relay.db") as database:
        database.executescript(f"{WITHOUT_CHUNKS} DROP TABLE refused; PRAGMA user_version = 2")
    for _ in range(2):
        store = SqliteStore.open(tmp_path)
        assert await store.refuse(one, DeviceId(1), Seq(1), 0) is not None
        assert store.incarnation == incarnation
        await store.close()


async def test_a_restored_store_has_another_incarnation(tmp_path: Path) -> None:
    """VIE-08: what it remembers of refusals was of the one before."""
    store = SqliteStore.open(tmp_path)
    one, before = await made(store), store.incarnation
    await store.append_entry(one, identifier(1), entry(1), [], [])
    await store.refuse(one, DeviceId(1), Seq(1), 0)
    assert store.restored is None
    with pytest.raises(OpenError, match="in use by another relay"):
        mark_restored(tmp_path, 5)
    await store.close()
    said = mark_restored(tmp_path, 1_700_000_000_000)
    store = SqliteStore.open(tmp_path)
    assert store.incarnation == said != before
    assert store.restored == (before, 1_700_000_000_000)
    await store.append(one, 1, start(), [segment(1)], copied=True)
    await store.close()
    with pytest.raises(OpenError, match="holds no relay"):
        mark_restored(tmp_path / "elsewhere", 5)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 100, None])
async def test_another_programs_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "relay.db"
    if content is not None:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE other (x)")
    with pytest.raises(OpenError, match=r"relay\.db"):
        SqliteStore.open(tmp_path)
    if content is not None:
        assert path.read_bytes() == content


async def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OpenError, match="Not a directory"):
        SqliteStore.open(tmp_path / "file" / "data")


async def test_only_the_owner_reads_the_directory(tmp_path: Path) -> None:
    await SqliteStore.open(tmp_path / "data").close()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


async def test_small_bodies_cost_no_file(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1, b"x" * store.inline_bytes)])
    assert files(tmp_path) == []
    await store.close()


async def test_an_idle_store_empties_its_log(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Settings(checkpoint_idle_seconds=0.05))
    one = await made(store)
    await store.append(one, 0, start(), [segment(seq) for seq in range(1, 50)])
    await everything(store, one)
    log = tmp_path / "relay.db-wal"
    async with asyncio.timeout(10):
        while log.exists() and log.stat().st_size:  # noqa: ASYNC110 - SQLite tells nobody
            await asyncio.sleep(0.02)
    assert len((await everything(store, one)).segments) == 49
    await store.close()


async def test_a_lost_or_cut_body_is_an_alarm_and_no_empty_answer(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1, await store.stage(b"x" * LARGE))])
    [path] = files(tmp_path)
    path.write_bytes(b"x" * (LARGE - 1))
    for said in ("another length", "missing"):
        [segment_read] = (await everything(store, one)).segments
        assert segment_read.body is None
        assert said in str(segment_read.fault)
        path.unlink(missing_ok=True)
    assert len((await everything(store, one, Parts.SUMMARIES)).segments) == 1
    await store.close()


async def test_orphans_of_a_crash_are_swept_and_named_files_stay(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1, await store.stage(b"x" * LARGE))])
    [kept] = files(tmp_path)
    await store.close()
    # Moved into place, but never committed; and a shard in which nothing is left.
    (kept.parent / "3ff").write_bytes(b"orphan")
    (tmp_path / "bodies" / "00000000").mkdir()
    (tmp_path / "bodies" / "00000000" / "000").write_bytes(b"orphan")
    (tmp_path / "incoming" / "7").write_bytes(b"orphan")
    store = SqliteStore.open(tmp_path)
    await store.append(one, 0, after(segment(1)), [segment(2, await store.stage(b"y" * LARGE))])
    assert await store.sweep() == 2
    assert len(files(tmp_path)) == 2
    assert [path.name for path in (tmp_path / "bodies").iterdir() if not any(path.iterdir())] == []
    assert [len(s.body or b"") for s in (await everything(store, one)).segments] == [LARGE, LARGE]
    await store.close()


async def test_a_full_database_stores_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    await store.append(one, 0, start(), [segment(1)])
    writer = store._writer._connection
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    await store._writer.submit(lambda tx: tx.connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    staged = await store.stage(b"x" * LARGE)
    jobs = [store.append(one, 0, start(device), [segment(1, b"i" * SMALL * 20, tag=device)]) for device in range(2, 8)]
    results = await asyncio.gather(
        store.append(one, 0, after(segment(1)), [segment(2, staged), segment(3, b"i" * SMALL * 20)]),
        *jobs,
        return_exceptions=True,
    )
    assert any(isinstance(result, UnavailableError) for result in results)
    stored = [result for result in results if isinstance(result, int)]
    assert len((await everything(store, one)).segments) == 1 + len(stored)
    await store._writer.submit(lambda tx: tx.connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    if isinstance(results[0], UnavailableError):
        assert await store.append(one, 0, after(segment(1)), [segment(2, staged)]) > 0
    await store.ready()
    await store.close()


async def test_a_full_disk_under_bodies_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    staged = await store.stage(b"x" * LARGE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UnavailableError):
            await store.stage(b"x" * LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(store._bodies, "sync", full)
        with pytest.raises(UnavailableError):
            await store.append(one, 0, start(), [segment(1, staged)])
    assert (await everything(store, one)).segments == []
    assert len(files(tmp_path)) == 1
    assert await store.append(one, 0, start(), [segment(1, staged)]) == 1
    await store.close()


async def test_after_a_failed_sync_nothing_is_written_until_a_restart(tmp_path: Path) -> None:
    """A file system may forget what it failed to sync: only a process that reads the log anew may go on."""
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"

    def failing(_: object) -> None:
        raise error

    with pytest.raises(UnavailableError):
        await store._writer.submit(failing)
    with pytest.raises(UnavailableError):
        await store.append(one, 0, start(), [segment(1)])
    with pytest.raises(UnavailableError):
        await store.ready()
    await store.close()
    store = SqliteStore.open(tmp_path)
    assert await store.append(one, 0, start(), [segment(1)]) == 1
    await store.close()


async def test_a_fault_in_one_job_is_its_own(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)

    def failing(_: object) -> None:
        raise ZeroDivisionError

    fault, position = await asyncio.gather(
        store._writer.submit(failing), store.append(one, 0, start(), [segment(1)]), return_exceptions=True
    )
    assert isinstance(fault, ZeroDivisionError)
    assert position == 1
    await store.close()


async def test_many_writes_share_a_commit(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path)
    one = await made(store)
    commits: list[str] = []
    store._writer._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    await asyncio.gather(*(store.append(one, 0, start(device), [segment(1, tag=device)]) for device in range(1, 101)))
    assert len(commits) < 50
    await store.close()


async def test_the_roster_cache_is_bounded_and_right(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Settings(cached_accounts=2))
    for n in range(1, 5):
        await made(store, n)
    assert len(store._roster_heads) == 2
    for n in range(1, 5):
        head = await store.roster_head(account(n))
        assert head is not None
        assert head.number == 0
    assert len(store._roster_heads) == 2
    await store.close()
