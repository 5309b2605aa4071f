"""One encrypted SQLite database, opened by one thread of one process.

Durability: every commit is synced (WAL with `synchronous=FULL`). A killed process would lose nothing with NORMAL
either, but a power cut would: a header that was sent and then forgotten makes the next one at its number a fork
(SEG-12), and a message handed to the SDK would be gone. One sync a commit costs nothing in bulk, where a commit holds
thousands of messages.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from sealkeep_client.store._errors import storing, translate
from sealkeep_protocol.errors import StoreError, UsageError

CIPHER: Final = "aegis"
CACHE_KIB: Final = 16_384
CHECKPOINT_PAGES: Final = 4_000
_SETTINGS: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY; -- temporary files would not be encrypted
PRAGMA cache_size = -{CACHE_KIB};
PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
PRAGMA journal_size_limit = 33554432;
PRAGMA trusted_schema = OFF;
"""
_WORDS_ALONE: Final = {"include_offsets": False, "include_colocated": False}
Row = tuple[Any, ...]
Bindings = Sequence[Any]


class Database:
    """A connection and its transactions. Errors of the database become `StoreError`."""

    __slots__ = ("_broken", "_connection", "_depth", "_key", "before_commit", "on_commit", "on_rollback")

    def __init__(self, path: Path, key: bytes, *, create: bool = False) -> None:
        self._depth = 0
        self._broken = False
        self.before_commit: list[Callable[[], None]] = []  # what must be durable before the rows that name it
        self.on_commit: list[Callable[[], None]] = []
        self.on_rollback: list[Callable[[], None]] = []
        self._key = key
        if create:
            with storing():
                # Made here and not by SQLite, for its mode: the write-ahead log takes the mode of the database.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._connection = self._connect(path, create)

    def __repr__(self) -> str:
        return "Database(…)"

    def _connect(self, path: Path, create: bool) -> apsw.Connection:
        with storing():
            if not path.is_file():
                raise StoreError("the database of this home is missing: restore this device with the recovery kit")
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.execute(f"PRAGMA cipher = '{CIPHER}'")
                # A raw key: it is random already, and deriving another from it would only slow opening down.
                connection.execute(f"PRAGMA key = 'raw:{self._key.hex()}'")
                if create:
                    # Cannot be changed later without VACUUM, which needs a second copy on a full phone.
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the first read: a wrong key fails
                connection.execute(_SETTINGS).fetchall()  # apsw runs what follows a row only when that is read
            except BaseException:
                connection.close()
                raise
        return connection

    def reopen(self, path: Path) -> None:
        """Open the database again, after it was closed, where it is now."""
        self._connection = self._connect(path, create=False)

    def close(self) -> None:
        """Close; the write-ahead log is brought into the database. May be called again."""
        with storing():
            self._connection.close()

    # --- statements ---------------------------------------------------------------------------------------------------

    def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """All rows."""
        try:
            return self._connection.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise translate(error) from error

    def row(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, if any."""
        try:
            found: Row | None = self._connection.execute(sql, bindings).fetchone()
        except apsw.Error as error:
            raise translate(error) from error
        return found

    def value(self, sql: str, bindings: Bindings = ()) -> Any:
        """The first value of the first row, None where there is none."""
        found = self.row(sql, bindings)
        return None if found is None else found[0]

    def each(self, sql: str, bindings: Bindings = ()) -> Iterator[Row]:
        """Rows one by one. Read them before the next statement."""
        try:
            yield from self._connection.execute(sql, bindings)
        except apsw.Error as error:
            raise translate(error) from error

    def among(self, sql: str, values: Sequence[bytes]) -> list[Row]:
        """All rows of a statement that says `IN carray(?)`."""
        if not values:
            return []
        return self.rows(sql, (apsw.carray(tuple(values)),))

    def among_numbers(self, sql: str, values: Sequence[int]) -> list[Row]:
        """As `among`, for integers."""
        return self.rows(sql, (apsw.carray(array("q", values)),)) if values else []

    def write(self, sql: str, bindings: Bindings = ()) -> int:
        """Run a statement in a transaction; returns the number of rows that it changed."""
        self._must_be_writing()
        try:
            self._connection.execute(sql, bindings)
            return self._connection.changes()
        except apsw.Error as error:
            raise translate(error) from error

    def write_many(self, sql: str, bindings: Iterable[Bindings]) -> int:
        """Run a statement for each of many bindings; returns the number of rows that were changed in all."""
        self._must_be_writing()
        before = self._connection.total_changes()
        try:
            self._connection.executemany(sql, bindings)
        except apsw.Error as error:
            raise translate(error) from error
        return self._connection.total_changes() - before

    def write_among(self, sql: str, values: Sequence[bytes]) -> int:
        """As `write`, for a statement that says `IN carray(?)`."""
        return self.write(sql, (apsw.carray(tuple(values)),)) if values else 0

    def script(self, sql: str) -> None:
        """Run statements without bindings."""
        self._must_be_writing()
        try:
            self._connection.execute(sql).fetchall()
        except apsw.Error as error:
            raise translate(error) from error

    def tokenizer(self, name: str, arguments: Sequence[str]) -> Callable[[str], list[str]]:
        """The words that a tokenizer of the full-text search finds in a text."""
        with storing():
            found = self._connection.fts5_tokenizer(name, list(arguments))

        def words(text: str) -> list[str]:
            with storing():
                return list(map(str, found(text.encode(), apsw.FTS5_TOKENIZE_QUERY, None, **_WORDS_ALONE)))

        return words

    # --- transactions -------------------------------------------------------------------------------------------------

    @property
    def writing(self) -> bool:
        """Whether a transaction is open."""
        return self._depth > 0

    def _must_be_writing(self) -> None:
        if not self._depth:
            raise UsageError("writes need a transaction")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. An inner one belongs to the outer; if it fails, the outer cannot be committed any more."""
        if self._depth:
            self._depth += 1
            try:
                yield
            except BaseException:
                self._broken = True
                raise
            finally:
                self._depth -= 1
            return
        with storing():
            self._connection.execute("BEGIN IMMEDIATE")
        self._depth, self._broken = 1, False
        try:
            yield
            if self._broken:
                raise StoreError("a part of this transaction failed: nothing of it was kept")
            for prepare in self.before_commit:
                prepare()
            with storing():
                self._connection.execute("COMMIT")
        except BaseException:
            self._depth = 0
            self._roll_back()
            raise
        self._depth = 0
        for notify in self.on_commit:
            notify()

    def _roll_back(self) -> None:
        # A full disk may have rolled back by itself already.
        with storing():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for notify in self.on_rollback:
            notify()
