"""The statements of the embedded store for chunks, claims and stamps (spec §12.4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from sealkeep_protocol.types import AccountId, DeviceId, Seq
from sealkeep_server.stores._chunk_interface import CHUNK_ID_SIZE, ChunkId, Put
from sealkeep_server.stores._interface import ConflictError, FullError, MissingChunksError, NewSegment, StagedBody
from sealkeep_server.stores._writer import Transaction

TABLES = """
CREATE TABLE chunk (
    account BLOB NOT NULL,
    chunk BLOB NOT NULL,
    size INTEGER NOT NULL,
    object INTEGER NOT NULL,        -- its file
    put INTEGER NOT NULL,           -- all times in ms since 1970
    until INTEGER NOT NULL,         -- end of its last claim
    idle INTEGER NOT NULL,          -- its last claim or, if that is later, the loss of its last stamp
    stamped INTEGER NOT NULL,       -- whether it has a stamp
    damaged INTEGER NOT NULL,       -- whether its file was found to be another one
    PRIMARY KEY (account, chunk)
) WITHOUT ROWID;

-- For the sweep of files that no row names, and that of chunks that no segment names.
CREATE INDEX chunk_object ON chunk (object);
CREATE INDEX chunk_idle ON chunk (idle) WHERE NOT stamped;

-- Which segments name a chunk, which need not be there.
CREATE TABLE stamp (
    account BLOB NOT NULL,
    chunk BLOB NOT NULL,
    device INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (account, chunk, device, seq)
) WITHOUT ROWID;

CREATE INDEX stamp_segment ON stamp (account, device, seq);
"""


# --- writes -----------------------------------------------------------------------------------------------------------


def claim(tx: Transaction, account: AccountId, chunks: Sequence[ChunkId], now: int, until: int) -> list[int]:
    # FIL-13: "A relay MUST keep a chunk that is claimed while the claim lives, …"
    return [index for index, chunk in enumerate(chunks) if not _claim(tx, account, chunk, now, until)]


def _claim(tx: Transaction, account: AccountId, chunk: ChunkId, now: int, until: int) -> bool:
    claimed = tx.connection.execute(
        "UPDATE chunk SET until = max(until, ?), idle = max(idle, ?) WHERE account = ? AND chunk = ? AND NOT damaged",
        (until, now, account, chunk),
    )
    return claimed.rowcount == 1


def put(
    tx: Transaction,
    account: AccountId,
    chunk: ChunkId,
    staged: StagedBody,
    now: int,
    until: int,
    allowed: int | None,
) -> Put:
    if _claim(tx, account, chunk, now, until):  # another put of it was quicker
        return Put.KNOWN
    execute = tx.connection.execute
    damaged = execute("SELECT object FROM chunk WHERE account = ? AND chunk = ?", (account, chunk)).fetchone()
    if damaged is not None:
        execute(
            "UPDATE chunk SET object = ?, put = ?, until = max(until, ?), idle = max(idle, ?), damaged = 0"
            " WHERE account = ? AND chunk = ?",
            (tx.adopt(staged), now, until, now, account, chunk),
        )
        tx.erase(damaged[0])
        return Put.MENDED
    use(tx, account, staged.size, allowed)
    execute(
        "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, EXISTS (SELECT 1 FROM stamp WHERE account = ? AND chunk = ?), 0)",
        (account, chunk, staged.size, tx.adopt(staged), now, until, now, account, chunk),
    )
    return Put.NEW


def use(tx: Transaction, account: AccountId, size: int, allowed: int | None) -> None:
    """Count so many more bytes as used. Raises `FullError` beyond what is allowed."""
    used = tx.connection.execute(
        "UPDATE account SET used = used + ? WHERE account = ? RETURNING used", (size, account)
    ).fetchone()
    if used is None:
        raise ConflictError("account")
    if allowed is not None and used[0] > allowed:
        raise FullError("account")


def mark_damaged(tx: Transaction, account: AccountId, chunk: ChunkId, number: int) -> bool:
    """Its file is not what was put; False where that is not its file any more."""
    marked = tx.connection.execute(
        "UPDATE chunk SET damaged = 1 WHERE account = ? AND chunk = ? AND object = ?", (account, chunk, number)
    )
    return marked.rowcount == 1


def stamp(tx: Transaction, account: AccountId, device: DeviceId, segments: Sequence[NewSegment]) -> None:
    """Check and stamp the chunks of an append's segments. Raises `MissingChunksError`."""
    # FIL-14: "A relay MUST check and stamp the chunks of an append in the append's own transaction; a chunk counts as
    # there only once it is durable."
    for index, segment in enumerate(segments):
        missing = [] if segment.missing_ok else _missing(tx.connection, account, segment.chunks)
        if missing:
            raise MissingChunksError(index, missing)
        tx.connection.executemany(
            "INSERT INTO stamp VALUES (?, ?, ?, ?)",
            ((account, chunk, device, segment.seq) for chunk in _each(segment.chunks)),
        )
        tx.connection.executemany(
            "UPDATE chunk SET stamped = 1 WHERE account = ? AND chunk = ? AND NOT stamped",
            ((account, chunk) for chunk in _each(segment.chunks)),
        )


def _missing(connection: sqlite3.Connection, account: AccountId, chunks: bytes) -> list[ChunkId]:
    there = "SELECT 1 FROM chunk WHERE account = ? AND chunk = ? AND NOT damaged"
    missing = []
    for chunk in _each(chunks):
        if connection.execute(there, (account, chunk)).fetchone() is None:
            missing.append(chunk)
            if len(missing) == MissingChunksError.MOST:
                break
    return missing


def _each(chunks: bytes) -> Iterator[ChunkId]:
    for start in range(0, len(chunks), CHUNK_ID_SIZE):
        yield ChunkId(chunks[start : start + CHUNK_ID_SIZE])


def cut(tx: Transaction, account: AccountId, device: DeviceId, seq: Seq, now: int) -> int:
    """Take the stamps of a feed's segments beyond a seq; returns how many there were."""
    # §12.4: "What is erased beyond a pin loses its stamps (§5.3, §11.4)."
    rows = tx.connection.execute(
        "DELETE FROM stamp WHERE account = ? AND device = ? AND seq > ? RETURNING chunk", (account, device, seq)
    ).fetchall()
    tx.connection.executemany(
        "UPDATE chunk SET stamped = 0, idle = max(idle, ?) WHERE account = ? AND chunk = ?"
        " AND NOT EXISTS (SELECT 1 FROM stamp WHERE stamp.account = chunk.account AND stamp.chunk = chunk.chunk)",
        ((now, account, row[0]) for row in rows),
    )
    return len(rows)


def sweep(tx: Transaction, now: int, idle_since: int, limit: int) -> int:
    # §12.4: "A chunk without a stamp and without a living claim is erased a day after its last claim or, if that is
    # later, the loss of its last stamp"
    rows = tx.connection.execute(
        "DELETE FROM chunk WHERE (account, chunk) IN"
        " (SELECT account, chunk FROM chunk WHERE NOT stamped AND idle <= ? AND until <= ? ORDER BY idle LIMIT ?)"
        " RETURNING account, size, object",
        (idle_since, now, limit),
    ).fetchall()
    tx.connection.executemany("UPDATE account SET used = used - ? WHERE account = ?", [(r[1], r[0]) for r in rows])
    for row in rows:
        tx.erase(row[2])
    return len(rows)


# --- reads ------------------------------------------------------------------------------------------------------------


def find(connection: sqlite3.Connection, account: AccountId, chunk: ChunkId) -> tuple[int, int] | None:
    """Size and file of a chunk that is there."""
    row = connection.execute(
        "SELECT size, object FROM chunk WHERE account = ? AND chunk = ? AND NOT damaged", (account, chunk)
    ).fetchone()
    return (row[0], row[1]) if row else None


def named(connection: sqlite3.Connection, account: AccountId, device: DeviceId, seq: Seq) -> list[ChunkId] | None:
    # One statement, so that it sees one state.
    rows = connection.execute(
        "SELECT stamp.chunk FROM segment LEFT JOIN stamp USING (account, device, seq)"
        " WHERE segment.account = ? AND segment.device = ? AND segment.seq = ? ORDER BY stamp.chunk",
        (account, device, seq),
    ).fetchall()
    return [ChunkId(row[0]) for row in rows if row[0] is not None] if rows else None


def stored_bytes(
    connection: sqlite3.Connection,
    account: AccountId,
    chunks: Sequence[ChunkId],
    places: Sequence[tuple[DeviceId, Seq]],
) -> int:
    total = 0
    for chunk in chunks:
        found = find(connection, account, chunk)
        total += found[0] if found else 0
    for device, seq in places:
        row = connection.execute(
            "SELECT size + length(summary) FROM segment WHERE account = ? AND device = ? AND seq = ?",
            (account, device, seq),
        ).fetchone()
        total += row[0] if row else 0
    return total


def named_objects(connection: sqlite3.Connection, low: int, high: int) -> set[int]:
    rows = connection.execute("SELECT object FROM chunk WHERE object >= ? AND object < ?", (low, high))
    return {row[0] for row in rows}
