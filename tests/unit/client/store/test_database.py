"""Transactions, encryption, schema versions, and a full disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

import sealkeep_client.store as public
from sealkeep_client.store import Store, UploadClass
from sealkeep_client.store._database import Database
from sealkeep_client.store._errors import translate
from sealkeep_client.store._migrations import create, migrate
from sealkeep_client.store._schema import APPLICATION_ID, AWAITED, FILES, KEPT, SCHEMA, UNOPENED, VERSION
from sealkeep_client.store._sync_state import SyncState
from sealkeep_protocol.errors import StoreError, UsageError
from sealkeep_protocol.records import ContactKey
from support.record_strategies import FULL

KEY = bytes(32)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "store.db", KEY, create=True)
    create(opened)
    yield opened
    opened.close()


def put(database: Database, key: str) -> None:
    database.write("INSERT INTO meta VALUES (?, x'00')", (key,))


def keys(database: Database) -> list[str]:
    return [key for (key,) in database.rows("SELECT key FROM meta ORDER BY key")]


def test_public_face() -> None:
    assert public.__all__ == sorted(public.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(public, name) for name in public.__all__)


# --- transactions ---------------------------------------------------------------------------------------------------


def test_all_or_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():  # noqa: PT012
        put(database, "a")
        raise ZeroDivisionError
    assert keys(database) == []
    with database.transaction():
        put(database, "b")
        with database.transaction():
            put(database, "c")
    assert keys(database) == ["b", "c"]


def test_failed_inner_transaction_fails_the_outer(database: Database) -> None:
    def inside() -> None:
        with database.transaction():
            put(database, "a")
            with pytest.raises(ZeroDivisionError), database.transaction():
                raise ZeroDivisionError

    with pytest.raises(StoreError, match="nothing of it was kept"):
        inside()
    assert keys(database) == []


def test_no_write_outside_a_transaction(database: Database) -> None:
    for write in (database.write, database.script):
        with pytest.raises(UsageError):
            write("DELETE FROM meta")
    with pytest.raises(UsageError):
        database.write_many("DELETE FROM meta WHERE key = ?", [("a",)])


def test_settings(database: Database) -> None:
    """P9: every commit is synced; nothing is written unencrypted, and space can be given back."""
    values = {
        name: database.value(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "temp_store", "cipher")
    }
    assert values == {"journal_mode": "wal", "synchronous": 2, "temp_store": 2, "cipher": "aegis"}
    assert database.value("PRAGMA auto_vacuum") == 2


def test_full_disk(store: Store) -> None:
    """One clear line, nothing half done, and later it goes on."""
    database = store._database
    pages = database.value("PRAGMA page_count")
    database.rows(f"PRAGMA max_page_count = {pages + 10}")
    messages = [replace(FULL, source=n, text=f"{n} words that fill a page " * 20) for n in range(500)]
    told: list[object] = []
    store.listen(told.append)
    with pytest.raises(StoreError, match="the disk is full: free some space"):
        store.put(messages, upload=UploadClass.HISTORY, run=1)
    assert list(store.views.everything()) == []
    assert store.outbox.waiting() == []
    assert told == []
    database.rows("PRAGMA max_page_count = 1000000")
    assert store.put(messages, upload=UploadClass.HISTORY, run=1).added == 500
    assert len(list(store.views.search("words"))) == 500


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (apsw.FullError(), "full"),
        (OSError(errno.ENOSPC, "secret.txt"), "full"),
        (apsw.NotADBError(), "key does not open"),
        (apsw.CorruptError(), "damaged"),
        (apsw.BusyError(), "another program"),
        (apsw.ReadOnlyError(), "permissions"),
        (OSError(errno.EACCES, "x"), "permissions"),
        (apsw.IOError(), "does not read or write"),
        (apsw.ConstraintError("secret"), "ConstraintError"),
    ],
)
def test_errors_are_one_clear_line(error: apsw.Error | OSError, says: str) -> None:
    message = str(translate(error))
    assert says in message
    assert "\n" not in message
    assert "secret" not in message


# --- encryption -----------------------------------------------------------------------------------------------------


def test_nothing_readable_on_disk(tmp_path: Path, store: Store) -> None:
    store.put([FULL], upload=UploadClass.LIVE)
    store.sync.put("cursor", b"a plain value of this device")
    names = [
        b"early",
        "早安".encode(),
        b"example.org",
        b"a.jpg",
        b"channel:1000000",
        b"a plain value",
        b"SQLite format",
    ]
    files = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    store.close()
    files += [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [name for name in names for data in files if name in data]


def test_wrong_key(tmp_path: Path, database: Database) -> None:
    database.close()
    with pytest.raises(StoreError, match="the key does not open"):
        Database(tmp_path / "store.db", bytes([1]) * 32)


def test_changed_page(tmp_path: Path, database: Database) -> None:
    database.close()
    path = tmp_path / "store.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|does not read|does not open"):  # noqa: PT012
        opened = Database(path, KEY)
        opened.rows("PRAGMA integrity_check")  # reads every page


# --- versions -------------------------------------------------------------------------------------------------------


def test_newer_schema_is_refused(tmp_path: Path, database: Database) -> None:
    with database.transaction():
        database.script(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match=r"newer sealkeep .*: update sealkeep"):
        migrate(database)
    assert database.value("PRAGMA user_version") == VERSION + 1


def test_migration_is_all_steps_or_none(database: Database) -> None:
    steps = {VERSION: "CREATE TABLE one (a)", VERSION + 1: "CREATE TABLE two (a); CREATE TABLE meta (a)"}
    with pytest.raises(StoreError):
        migrate(database, steps=steps, newest=VERSION + 2)
    assert database.value("PRAGMA user_version") == VERSION
    assert database.value("SELECT count(*) FROM sqlite_schema WHERE name = 'one'") == 0
    migrate(database, steps={**steps, VERSION + 1: "CREATE TABLE two (a)"}, newest=VERSION + 2)
    assert database.value("PRAGMA user_version") == VERSION + 2
    assert database.value("SELECT count(*) FROM sqlite_schema WHERE name IN ('one', 'two')") == 2


def new_tables(folder: Path) -> int:
    """How many tables and indices a new database has."""
    fresh = Database(folder / "fresh.db", KEY, create=True)
    create(fresh)
    count: int = fresh.value("SELECT count(*) FROM sqlite_schema")
    fresh.close()
    return count


def test_a_database_of_the_first_version_is_led_on(tmp_path: Path) -> None:
    """It becomes what a new one is. Version 2 keeps the places of segments that wait for a key."""
    path = tmp_path / "old.db"
    old = Database(path, KEY, create=True)
    with old.transaction():
        old.script(SCHEMA.replace(UNOPENED, "").replace(KEPT, "").replace(FILES, "").replace(AWAITED, ""))
        old.script(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    assert old.value("SELECT count(*) FROM sqlite_schema WHERE name = 'unopened'") == 0
    SyncState(old).put_epochs({1: b"1", 3: b"3"})
    migrate(old)
    assert old.value("PRAGMA user_version") == VERSION
    assert old.value("SELECT count(*) FROM sqlite_schema") == new_tables(tmp_path)
    state = SyncState(old)
    for place in ((2, 9, 3), (2, 1, 2), (1, 4, 1)):
        state.add_unopened(*place)
    assert (state.count_unopened(), state.unopened(10), state.unopened(1)) == (3, [(1, 4), (2, 9)], [(1, 4)])
    state.drop_unopened(1, 4)
    state.put_epochs({2: b"2"})
    assert state.unopened(10) == [(2, 1), (2, 9)]
    old.close()


def test_current_schema_stays(database: Database) -> None:
    migrate(database)
    assert database.value("PRAGMA user_version") == VERSION


def test_database_of_another_program(tmp_path: Path) -> None:
    foreign = Database(tmp_path / "other.db", KEY, create=True)
    with pytest.raises(StoreError, match="not one of sealkeep"):
        migrate(foreign)
    foreign.close()


def test_names_need_a_key(store: Store) -> None:
    store._ids = None
    with pytest.raises(UsageError, match="record-id key"):
        store.contact(ContactKey("a", "", "x"))
