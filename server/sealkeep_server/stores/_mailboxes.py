"""The statements of the embedded store for mailboxes (spec §10.1), which belong to no account."""

from __future__ import annotations

import sqlite3

from sealkeep_server.stores._interface import ConflictError, FullError, Mailbox
from sealkeep_server.stores._writer import Transaction

TABLES = """
CREATE TABLE mailbox (
    number INTEGER PRIMARY KEY,
    maker BLOB NOT NULL,            -- hashes of the two passes
    guest BLOB,
    expires INTEGER NOT NULL,       -- ms since 1970
    messages INTEGER NOT NULL,
    ended INTEGER NOT NULL
);

CREATE TABLE mailbox_message (
    mailbox INTEGER NOT NULL,
    number INTEGER NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (mailbox, number)
) WITHOUT ROWID;
"""

# Our own words; whatever a peer sends is a parameter.
_COLUMNS = "number, maker, guest, expires, messages, ended"


def make(tx: Transaction, mailbox: Mailbox, now: int, most: int) -> None:
    execute = tx.connection.execute
    execute("DELETE FROM mailbox_message WHERE mailbox IN (SELECT number FROM mailbox WHERE expires <= ?)", (now,))
    execute("DELETE FROM mailbox WHERE expires <= ?", (now,))
    if execute("SELECT count(*) FROM mailbox").fetchone()[0] >= most:
        raise FullError("mailboxes")
    made = execute(
        f"INSERT INTO mailbox ({_COLUMNS}) VALUES (?, ?, NULL, ?, 0, 0) ON CONFLICT DO NOTHING",  # noqa: S608
        (mailbox.number, mailbox.maker, mailbox.expires),
    )
    if made.rowcount != 1:
        raise ConflictError("mailbox")


def put_message(tx: Transaction, before: Mailbox, guest: bytes | None, message: bytes) -> None:
    number = before.messages + 1
    moved = tx.connection.execute(
        "UPDATE mailbox SET guest = ?, messages = ?"
        " WHERE number = ? AND maker = ? AND guest IS ? AND messages = ? AND NOT ended",
        (guest, number, before.number, before.maker, before.guest, before.messages),
    )
    if moved.rowcount != 1:
        raise ConflictError("mailbox")
    tx.connection.execute("INSERT INTO mailbox_message VALUES (?, ?, ?)", (before.number, number, message))


def end(tx: Transaction, mailbox: Mailbox) -> None:
    ended = tx.connection.execute(
        "UPDATE mailbox SET ended = 1 WHERE number = ? AND maker = ?", (mailbox.number, mailbox.maker)
    )
    if ended.rowcount:
        tx.connection.execute("DELETE FROM mailbox_message WHERE mailbox = ?", (mailbox.number,))


def find(connection: sqlite3.Connection, number: int, now: int) -> Mailbox | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM mailbox WHERE number = ? AND expires > ?",  # noqa: S608
        (number, now),
    ).fetchone()
    if row is None:
        return None
    found, maker, guest, expires, messages, ended = row
    return Mailbox(found, maker, guest, expires, messages, bool(ended))


def message(connection: sqlite3.Connection, mailbox: int, number: int) -> bytes | None:
    row = connection.execute(
        "SELECT message FROM mailbox_message WHERE mailbox = ? AND number = ?", (mailbox, number)
    ).fetchone()
    return bytes(row[0]) if row else None
