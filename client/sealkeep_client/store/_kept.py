"""Segments as they were signed and sealed, kept after they were read or acknowledged: to prove a fork (the header is
enough, spec §11.2), and to bring back what a relay lost (the newest, whole, §11.5).

Bounded twice: the oldest lose summary and body beyond `KEPT_BYTES` in all, and of each feed only the newest
`KEPT_HEADERS` headers stay. Their ids stay in any case (`SyncState`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from sealkeep_client.store._content_records import split_ids
from sealkeep_client.store._database import Database

KEPT_BYTES: Final = 128 << 20
KEPT_HEADERS: Final = 32_768

_TOTAL: Final = "store.kept"  # bytes of all summaries and bodies, in `meta`


class KeptSegment(NamedTuple):
    """A segment that is still here whole. `chunks` are the ids of its chunks, ascending; None where not all are
    known."""

    device: int
    seq: int
    header: bytes
    summary: bytes
    body: bytes
    chunks: tuple[bytes, ...] | None = ()


class Kept:
    """The kept segments of one database. Its writes belong to a transaction; each opens one where there is none."""

    __slots__ = ("_bytes", "_database", "_headers")

    def __init__(self, database: Database, *, kept_bytes: int = KEPT_BYTES, kept_headers: int = KEPT_HEADERS) -> None:
        self._database = database
        self._bytes = kept_bytes
        self._headers = kept_headers

    def add(self, segment: KeptSegment) -> None:
        """Keep a segment that was verified."""
        with self._database.transaction():
            new = self._database.write(
                "INSERT OR IGNORE INTO kept (device, seq, header, summary, body, chunks) VALUES (?, ?, ?, ?, ?, ?)",
                (*segment[:5], None if segment.chunks is None else b"".join(segment.chunks)),
            )
            if new:
                self._trim(segment.device, segment.seq, len(segment.summary) + len(segment.body))

    def add_header(self, device: int, seq: int, header: bytes) -> None:
        """Keep the header of a segment that was verified and whose body has still to come."""
        with self._database.transaction():
            new = self._database.write(
                "INSERT OR IGNORE INTO kept (device, seq, header) VALUES (?, ?, ?)", (device, seq, header)
            )
            if new:
                self._trim(device, seq, 0)

    def fill(self, segment: KeptSegment) -> None:
        """Keep summary and body of a segment too, where its header is still here alone."""
        with self._database.transaction():
            filled = self._database.write(
                "UPDATE kept SET summary = ?, body = ?, chunks = ? WHERE device = ? AND seq = ? AND body IS NULL",
                (
                    segment.summary,
                    segment.body,
                    None if segment.chunks is None else b"".join(segment.chunks),
                    segment.device,
                    segment.seq,
                ),
            )
            if filled:
                self._trim(segment.device, segment.seq, len(segment.summary) + len(segment.body))

    def learn_chunks(self, device: int, seq: int, chunks: Iterable[bytes]) -> None:
        """Note the ids of a segment's chunks, where they were not all known."""
        with self._database.transaction():
            self._database.write(
                "UPDATE kept SET chunks = ? WHERE device = ? AND seq = ? AND chunks IS NULL",
                (b"".join(sorted(chunks)), device, seq),
            )

    def take_pending(self, device: int, seq: int) -> None:
        """Keep an own segment that waits for its answer no longer. Call before it is dropped from there."""
        with self._database.transaction():
            new = self._database.write(
                "INSERT OR IGNORE INTO kept (device, seq, header, summary, body, chunks)"
                " SELECT ?, seq, header, summary, body, chunks FROM pending WHERE seq = ?",
                (device, seq),
            )
            if new:
                size = self._database.value("SELECT length(summary) + length(body) FROM pending WHERE seq = ?", (seq,))
                self._trim(device, seq, size)

    def header(self, device: int, seq: int) -> bytes | None:
        """A signed header, where it is still here."""
        found: bytes | None = self._database.value(
            "SELECT header FROM kept WHERE device = ? AND seq = ?", (device, seq)
        )
        return found

    def whole(self, device: int, seq: int) -> KeptSegment | None:
        """A segment, where it is still here whole, with the ids of its chunks."""
        row = self._database.row(
            "SELECT device, seq, header, summary, body, chunks FROM kept"
            " WHERE device = ? AND seq = ? AND body IS NOT NULL",
            (device, seq),
        )
        return None if row is None else KeptSegment(row[0], row[1], row[2], row[3], row[4], split_ids(row[5]))

    def _trim(self, device: int, seq: int, added: int) -> None:
        database = self._database
        total = int(database.value("SELECT value FROM meta WHERE key = ?", (_TOTAL,)) or b"0") + added
        while total > self._bytes:
            oldest = database.row(
                "SELECT n, length(summary) + length(body) FROM kept WHERE body IS NOT NULL ORDER BY n LIMIT 1"
            )
            if oldest is None:
                break
            database.write("UPDATE kept SET summary = NULL, body = NULL WHERE n = ?", (oldest[0],))
            total -= oldest[1]
        if seq > self._headers:
            dropped = database.value(
                "SELECT coalesce(sum(length(summary) + length(body)), 0) FROM kept WHERE device = ? AND seq <= ?",
                (device, seq - self._headers),
            )
            database.write("DELETE FROM kept WHERE device = ? AND seq <= ?", (device, seq - self._headers))
            total -= dropped
        database.write(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_TOTAL, b"%d" % total),
        )
