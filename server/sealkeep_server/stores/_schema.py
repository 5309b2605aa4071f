"""The tables of the embedded store, and opening its database.

Every primary and unique key begins with the account id, except those of mailboxes (`_mailboxes`), which have no account.
`segment.object` and `chunk.object` name files (`_bodies`); the former is null where the body stands in the row. `body`
comes last, so that reading the columns before it touches none of its pages.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from sealkeep_server.stores import _chunks, _mailboxes
from sealkeep_server.stores._interface import OpenError

SCHEMA_VERSION = 4
APPLICATION_ID = 0x5EA17EE9  # marks the file as a relay's database for `file(1)` and for us
INCARNATION_SIZE = 16

_REFUSED = """
-- The greatest number of a roster head for which a header of the feed was refused in this incarnation (VIE-08).
CREATE TABLE refused (
    account BLOB NOT NULL,
    device INTEGER NOT NULL,
    roster INTEGER NOT NULL,
    PRIMARY KEY (account, device)
) WITHOUT ROWID;
"""

_TABLES = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE account (
    account BLOB PRIMARY KEY,
    roster INTEGER NOT NULL,        -- number of the newest entry
    roster_id BLOB NOT NULL,
    position INTEGER NOT NULL,      -- of the newest segment
    used INTEGER NOT NULL           -- bytes of headers, summaries, bodies, chunks, stamps
) WITHOUT ROWID;

CREATE TABLE entry (
    account BLOB NOT NULL,
    number INTEGER NOT NULL,
    accepted INTEGER NOT NULL,      -- ms since 1970
    entry BLOB NOT NULL,
    UNIQUE (account, number)
);

CREATE TABLE wrap (
    account BLOB NOT NULL,
    recipient INTEGER NOT NULL,     -- 0: the recovery key
    number INTEGER NOT NULL,
    wrap BLOB NOT NULL,
    PRIMARY KEY (account, recipient, number)
) WITHOUT ROWID;

CREATE TABLE feed (
    account BLOB NOT NULL,
    device INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    header_id BLOB NOT NULL,
    roster INTEGER NOT NULL,        -- the roster head in the newest header
    PRIMARY KEY (account, device)
) WITHOUT ROWID;

CREATE TABLE segment (
    account BLOB NOT NULL,
    position INTEGER NOT NULL,
    device INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    header_id BLOB NOT NULL,
    roster INTEGER NOT NULL,
    size INTEGER NOT NULL,          -- of the body
    object INTEGER,
    header BLOB NOT NULL,
    summary BLOB NOT NULL,
    body BLOB,
    UNIQUE (account, position),
    UNIQUE (account, device, seq)
);

-- For the sweep of files that no row names.
CREATE INDEX segment_object ON segment (object) WHERE object IS NOT NULL;
{_REFUSED}{_chunks.TABLES}"""

# What leads from the version of its key to the next. A step that was published never changes.
_STEPS = {1: _mailboxes.TABLES, 2: _REFUSED, 3: _chunks.TABLES}


def open_database(path: Path) -> tuple[sqlite3.Connection, bytes]:
    """Open, or make, the database for its one writer; returns the connection and the incarnation.

    Raises `OpenError` for a file that is no relay's database, is of a newer version, or cannot be opened.
    """
    try:
        # Made here and not by SQLite, for its mode: the write-ahead log takes the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            return connection, _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise OpenError(f"{path}: {error}") from error


def _prepare(connection: sqlite3.Connection, path: Path) -> bytes:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise OpenError(f"{path} is not the database of a sealkeep relay")
    if version > SCHEMA_VERSION:
        raise OpenError(
            f"{path} was written by a newer sealkeep (schema {version}; this one knows {SCHEMA_VERSION}): update it"
        )
    if not tables:
        # Settable on an empty file only; lets later erasures give space back without a second copy of the file.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    configure(connection)
    # P9: what was acknowledged survives a power cut: FULL syncs the log at every commit, and `fullfsync` asks the drive
    # itself where the system offers that.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    if not tables:
        _create(connection)
    elif version < SCHEMA_VERSION:
        _migrate(connection, version)
    found = connection.execute("SELECT value FROM meta WHERE name = 'incarnation'").fetchone()
    if found is None:
        raise OpenError(f"{path} has no incarnation: it was not made whole")
    return bytes(found[0])


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {_mailboxes.TABLES}")
    incarnation = secrets.token_bytes(INCARNATION_SIZE)
    connection.execute("INSERT INTO meta VALUES ('incarnation', ?)", (incarnation,))
    # Both are in the header page, hence part of this transaction: a store is made whole or not at all.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    steps = "".join(_STEPS[step] for step in range(version, SCHEMA_VERSION))
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")


def mark_restored(path: Path, now: int) -> bytes:
    """Give a store that came from a backup a new incarnation, and note which it had; `now` in ms. Returns the new one.

    Raises `OpenError`.
    """
    connection, before = open_database(path)
    try:
        incarnation = secrets.token_bytes(INCARNATION_SIZE)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'incarnation'", (incarnation,))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('before', ?)", (before + now.to_bytes(8, "big"),))
        connection.execute("DELETE FROM refused")  # what is remembered is of one incarnation
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise OpenError(f"{path}: {error}") from error
    finally:
        connection.close()
    return incarnation


def read_restored(connection: sqlite3.Connection) -> tuple[bytes, int] | None:
    """The incarnation before this one, and when it ended."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'before'").fetchone()
    if found is None:
        return None
    value = bytes(found[0])
    return value[:INCARNATION_SIZE], int.from_bytes(value[INCARNATION_SIZE:], "big")


def configure(connection: sqlite3.Connection) -> None:
    """What every connection is set to, readers' too."""
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA cache_size = -4096")  # KiB
    connection.execute("PRAGMA temp_store = MEMORY")


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads. One thread uses it; another one may close it after that one's end."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    configure(connection)
    return connection
