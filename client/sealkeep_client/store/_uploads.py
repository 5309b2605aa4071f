"""Contents on their way to the relay, and the marks that wait for them.

A message goes out at once, with its files named; that a file is stored is said by a supplement, which is **held** until
the chunks of its content are at the relay and a content record says where. So no text ever waits for a film.

A record **serves** a new segment where it was made under the epoch of that segment; or where this device has proved it,
it is in a receipted segment, and no device was removed since its epoch (FIL-04): `floor` is the first epoch of which
that is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sealkeep_client.store._batches import Span
from sealkeep_client.store._content_records import (
    ContentRecords,
    read_record,
    split_ids,
    write_record,
)
from sealkeep_client.store._database import Database
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._waiting import RecordKind
from sealkeep_protocol.files import ContentRecord

_AT_ONCE: Final = 256
_SERVES: Final = """(
    EXISTS (SELECT 1 FROM uploads AS u WHERE u.root = h.root AND u.record IS NOT NULL AND u.epoch = ?1)
    OR EXISTS (SELECT 1 FROM content_records AS c WHERE c.root = h.root AND c.epoch BETWEEN ?2 AND ?1
        AND (c.served OR NOT EXISTS (SELECT 1 FROM media AS m WHERE m.root = h.root AND m.whole = 1)))
)"""
"""Whether a record serves a mark `h` that names its root; ?1 is the current epoch, ?2 the floor. One that this device
has not proved does only where it lacks the bytes to prove it, or to store them anew."""


class Upload(NamedTuple):
    """How far a content has come under an epoch: the ids of its chunks, in order, that are at the relay."""

    root: bytes
    epoch: int
    ids: tuple[bytes, ...]


class Uploads:
    """What is to be uploaded, of one database. Writes belong to a transaction."""

    __slots__ = ("_database", "_outbox", "_records")

    def __init__(self, database: Database, outbox: Outbox, records: ContentRecords) -> None:
        self._database = database
        self._outbox = outbox
        self._records = records

    # --- marks --------------------------------------------------------------------------------------------------------

    def hold(self, mark: int, roots: Iterable[bytes], upload: int, run: int) -> None:
        """Have a mark (by this device's number) wait for the contents that it names."""
        self._database.write_many(
            "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, 0)", [(mark, root, upload, run) for root in roots]
        )

    def count(self) -> tuple[int, int, int]:
        """(marks, contents, bytes of those) that wait for an upload."""
        marks = self._database.value("SELECT count(DISTINCT mark) FROM held WHERE NOT queued")
        row = self._database.row(
            "SELECT count(*), ifnull(sum(size), 0) FROM media WHERE root IN (SELECT root FROM held WHERE NOT queued)"
        )
        return (marks, 0, 0) if row is None else (marks, row[0], row[1])

    def are_awaited(self, message: bytes) -> bool:
        """Whether a file of a message (its id) has no receipt yet."""
        found = self._database.value(
            "SELECT 1 FROM held JOIN marks ON marks.n = held.mark WHERE marks.target = ? LIMIT 1", (message,)
        )
        return found is not None

    def settle(self, epoch: int, floor: int) -> None:
        """Have those marks wait in the outbox whose contents have records that serve, and those no more whose have
        not."""
        for mark, upload, run in self._database.rows(
            f"SELECT DISTINCT mark, class, run FROM held AS h WHERE queued AND NOT {_SERVES}",  # noqa: S608
            (epoch, floor),
        ):
            if self._outbox.withdraw(RecordKind.MARK, mark, upload, run):
                self._database.write("UPDATE held SET queued = 0 WHERE mark = ?", (mark,))
        self._queue(
            f"SELECT mark, class, run FROM held AS h WHERE NOT queued GROUP BY mark HAVING min({_SERVES})"  # noqa: S608
            " ORDER BY mark",
            (epoch, floor),
        )

    def release(self, root: bytes, epoch: int, floor: int) -> None:
        """The same for the marks that name one content, which came to the relay."""
        self._queue(
            "SELECT mark, class, run FROM held AS h"  # noqa: S608
            " WHERE NOT queued AND mark IN (SELECT mark FROM held WHERE root = ?3)"
            f" GROUP BY mark HAVING min({_SERVES}) ORDER BY mark",
            (epoch, floor, root),
        )

    def _queue(self, sql: str, bindings: Sequence[object]) -> None:
        found = self._database.rows(sql, bindings)
        for mark, upload, run in found:
            self._outbox.add(RecordKind.MARK, upload, run, mark, mark)
        self._database.write_many("UPDATE held SET queued = 1 WHERE mark = ?", [(mark,) for mark, _, _ in found])

    def sent(self, spans: Iterable[Span]) -> None:
        """Marks of these ranges have their receipt, and wait for nothing any more."""
        for span in spans:
            if span.kind == RecordKind.MARK:
                self._database.write("DELETE FROM held WHERE queued AND mark BETWEEN ? AND ?", (span.first, span.last))

    # --- contents -----------------------------------------------------------------------------------------------------

    def wanted(self, epoch: int, floor: int) -> Iterator[bytes]:
        """The roots of contents that are here whole and that marks wait for, the oldest first."""
        last = (-1, b"")
        while True:
            found = self._database.rows(
                "SELECT h.mark, h.root FROM held AS h JOIN media USING (root)"  # noqa: S608
                f" WHERE NOT queued AND media.whole = 1 AND NOT {_SERVES} AND (mark, root) > (?3, ?4)"
                " ORDER BY mark, root LIMIT ?5",
                (epoch, floor, *last, _AT_ONCE),
            )
            yield from dict.fromkeys(root for _, root in found)
            if len(found) < _AT_ONCE:
                return
            last = found[-1]

    def begun(self, root: bytes, epoch: int) -> Upload:
        """How far a content has come under an epoch."""
        ids = self._database.value("SELECT ids FROM uploads WHERE root = ? AND epoch = ?", (root, epoch))
        return Upload(root, epoch, split_ids(ids) or ())

    def advance(self, upload: Upload, record: ContentRecord | None) -> None:
        """Note how far it has come; with its record, once all of it is there. What was begun under another epoch
        goes."""
        self._database.write(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)",
            (upload.root, upload.epoch, b"".join(upload.ids), None if record is None else write_record(record)),
        )

    def record(self, root: bytes, epoch: int) -> tuple[ContentRecord, tuple[bytes, ...]] | None:
        """The record of a content that was uploaded under an epoch, and all its chunks; None until all are there."""
        row = self._database.row(
            "SELECT record, ids FROM uploads WHERE root = ? AND epoch = ? AND record IS NOT NULL", (root, epoch)
        )
        return None if row is None else (read_record(root, row[0]), split_ids(row[1]) or ())

    def give_up(self, root: bytes) -> None:
        """Begin anew with a content, at the next occasion."""
        self._database.write("DELETE FROM uploads WHERE root = ?", (root,))

    def stored(self, device: int, seq: int, records: Sequence[ContentRecord]) -> None:
        """The relay has a segment of this device that holds these records."""
        self._records.put(device, seq, records)
        for record in records:
            found = self.record(record.root, record.epoch)
            if found is not None and found[0] == record:
                self._records.note_ids(record, found[1], served=True)
                self.give_up(record.root)

    def in_order(self, record: ContentRecord) -> tuple[bytes, ...] | None:
        """The ids of all chunks of a record, of its pieces in order, then of its list; None where they are not
        known."""
        own = self.record(record.root, record.epoch)
        if own is not None and own[0] == record:
            return own[1]
        known = next((one for one in self._records.of(record.root) if one.record == record), None)
        return None if known is None else known.ids
