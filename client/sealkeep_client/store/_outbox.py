"""What is not uploaded yet: ranges of records that wait to be sealed, sealed segments without an answer, and the
answers.

A range is one row, however many records it covers, so that an import costs the outbox nothing. Sealing takes ranges out
of the outbox and stores the segment that carries them in one transaction; a receipt drops the segment, a refusal puts
its ranges back where they stood. Nothing is ever in neither place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import cbor2

from sealkeep_client.store._batches import OutboxBatch, Reader, Span, batches
from sealkeep_client.store._content_records import read_record, split_ids, write_record
from sealkeep_client.store._database import Database
from sealkeep_client.store._waiting import Pending, Receipt, UploadClass, Waiting
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.files import ContentRecord

_MUCH: Final = 1 << 25  # bytes of records that one batch may take, where nothing is said


class Outbox:
    """The outbox of one database. Its writes belong to a transaction; each opens one where there is none."""

    __slots__ = ("_database", "_handed_out", "_pending", "_reader")

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader
        self._handed_out: list[Span] = []
        self._pending: list[Span] | None = None  # what segments without an answer carry, once somebody asked

    def forget(self) -> None:
        """Drop what is remembered: the transaction that made it was rolled back."""
        self._handed_out, self._pending = [], None

    # --- filling ------------------------------------------------------------------------------------------------------

    def add(self, kind: int, upload: int, run: int, first: int, last: int) -> None:
        """Queue a range behind the others of its class; one that continues the newest of its kind and run joins it."""
        database = self._database
        with database.transaction():
            newest = database.row(
                "SELECT n, last FROM outbox WHERE kind = ? AND class = ? AND run = ?"
                " ORDER BY position DESC, n DESC LIMIT 1",
                (kind, upload, run),
            )
            if newest is not None and newest[1] + 1 == first:
                database.write("UPDATE outbox SET last = ? WHERE n = ?", (last, newest[0]))
                return
            database.write(
                "INSERT INTO outbox (kind, class, run, position, first, last)"
                " VALUES (?, ?, ?, 1 + ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0), ?, ?)",
                (kind, upload, run, first, last),
            )

    def holds(self, kind: int, number: int) -> bool:
        """Whether a record waits to be sealed."""
        found = self._database.value(
            "SELECT 1 FROM outbox WHERE kind = ? AND class <> ? AND ? BETWEEN first AND last LIMIT 1",
            (kind, UploadClass.FRONT, number),
        )
        return found is not None

    def will_carry(self, kind: int, number: int) -> bool:
        """Whether a record that changes now will be sealed as it is then: it waits, and no reader has it yet."""
        if any(span.kind == kind and span.first <= number <= span.last for span in self._handed_out):
            return False
        return self.holds(kind, number)

    def waits(self, kind: int, number: int) -> bool:
        """Whether a record waits to be sealed, or is in a segment without an answer, which may be refused."""
        if self.holds(kind, number):
            return True
        if self._pending is None:
            found = self._database.rows("SELECT carried FROM pending")
            self._pending = [span for (carried,) in found for span in _spans_of(carried)]
        return any(
            span.kind == kind and span.first <= number <= span.last and span.upload != UploadClass.FRONT
            for span in self._pending
        )

    def start_run(self) -> int:
        """A number for an import, whose records wait together."""
        with self._database.transaction():
            run = int(self._database.value("SELECT value FROM meta WHERE key = 'store.run'") or b"0") + 1
            self._database.write(
                "INSERT INTO meta VALUES ('store.run', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (b"%d" % run,),
            )
        return run

    def touch(self, run: int, conversations: Iterable[int]) -> None:
        """Note that a run brought messages of conversations (this device's numbers)."""
        self._database.write_many("INSERT OR IGNORE INTO runs VALUES (?, ?)", [(run, n) for n in conversations])

    # --- emptying -----------------------------------------------------------------------------------------------------

    def waiting(self) -> list[Waiting]:
        """What waits, by class and run, the oldest first within a class."""
        return [
            Waiting(UploadClass(upload), run, records)
            for upload, run, records in self._database.rows(
                "SELECT class, run, sum(last - first + 1) FROM outbox GROUP BY class, run ORDER BY class, min(position)"
            )
        ]

    def batches(
        self, upload: UploadClass, *, limit: int, weight: int = _MUCH, run: int | None = None
    ) -> Iterator[OutboxBatch]:
        """What waits in a class, in batches of at most `limit` records and about `weight` bytes. Takes nothing out.

        Batches may be stored as segments in their order (`add_pending`), each with fewer records than it has, too.
        """
        self._handed_out = []
        for batch in batches(self._spans(upload, run), self._reader, limit=limit, weight=weight):
            self._handed_out += batch.spans
            yield batch

    def read(self, upload: UploadClass, *, limit: int, run: int | None = None) -> OutboxBatch | None:
        """The first records that wait in a class, at most `limit`; None where none waits. Takes nothing out."""
        return next(self.batches(upload, limit=limit, run=run), None)

    def withdraw(self, kind: int, number: int, upload: int, run: int) -> bool:
        """Take a record out of the queue, where it waits there; returns whether it did."""
        row = self._database.row(
            "SELECT position FROM outbox WHERE kind = ? AND class = ? AND run = ? AND ? BETWEEN first AND last LIMIT 1",
            (kind, upload, run, number),
        )
        if row is not None:
            self._take(Span(kind, upload, run, row[0], number, number))
        return row is not None

    def drop(self, upload: UploadClass, run: int) -> None:
        """Forget what waits in a class and run, where reading it found that all its records are gone."""
        with self._database.transaction():
            self._database.write("DELETE FROM outbox WHERE class = ? AND run = ?", (upload, run))

    def _spans(self, upload: int, run: int | None) -> Iterator[Span]:
        # A page at a time: many single marks may wait, and a statement must not stay open while the caller writes.
        last = (-1, -1)  # position and first, which together name one range
        while True:
            found = self._database.rows(
                "SELECT kind, class, run, position, first, last FROM outbox"
                " WHERE class = ?1 AND (position, first) > (?2, ?3) AND (?4 IS NULL OR run = ?4)"
                " ORDER BY position, first LIMIT 256",
                (upload, *last, run),
            )
            for row in found:
                yield Span(*row)
            if len(found) < 256:
                return
            last = found[-1][3], found[-1][4]

    def add_pending(
        self,
        seq: int,
        header: bytes,
        summary: bytes,
        body: bytes,
        carried: Sequence[Span],
        *,
        chunks: Sequence[bytes] = (),
        missing_ok: bool = False,
        contents: Sequence[ContentRecord] = (),
    ) -> None:
        """Store a sealed segment and take what it carries out of the outbox, in one transaction.

        `chunks` are the ids of the chunks that it uses, `contents` the content records that it holds.

        SEG-12: "A device MUST persist a signed header with its summary and body before it sends it the first time".
        Raises `UsageError` where something of it is not in the outbox any more.
        """
        with self._database.transaction():
            for span in carried:
                self._take(span)
            self._database.write(
                "INSERT INTO pending (seq, header, summary, body, carried, chunks, missing_ok, contents)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    seq,
                    header,
                    summary,
                    body,
                    cbor2.dumps([list(span) for span in carried]),
                    b"".join(chunks),
                    int(missing_ok),
                    cbor2.dumps([[record.root, write_record(record)] for record in contents]),
                ),
            )
        self._pending = None
        taken = {span[:5] for span in carried}
        self._handed_out = [span for span in self._handed_out if span[:5] not in taken]

    def _take(self, span: Span) -> None:
        """Take a range out of those that it is in: several, where refused segments were put back."""
        first = span.first
        while first <= span.last:
            row = self._database.row(
                "SELECT n, first, last FROM outbox WHERE kind = ? AND class = ? AND run = ? AND position = ?"
                " AND first <= ? ORDER BY first DESC LIMIT 1",
                (*span[:4], first),
            )
            if row is None or row[2] < first:
                raise UsageError("a segment carries records that do not wait any more")
            last = min(row[2], span.last)
            self._cut(row, span._replace(first=first, last=last))
            first = last + 1

    def _cut(self, row: tuple[int, int, int], span: Span) -> None:
        """Take a range out of the one row that it is in; what stands before and behind it goes on waiting."""
        database = self._database
        number, first, last = row
        if last > span.last:
            rest = span._replace(first=span.last + 1, last=last)
            database.write(
                "INSERT INTO outbox (kind, class, run, position, first, last) VALUES (?, ?, ?, ?, ?, ?)", rest
            )
        if first < span.first:
            database.write("UPDATE outbox SET last = ? WHERE n = ?", (span.first - 1, number))
        else:
            database.write("DELETE FROM outbox WHERE n = ?", (number,))

    # --- pending segments and their answers ---------------------------------------------------------------------------

    def pending_seqs(self) -> list[int]:
        """Sequence numbers of the segments without an answer, ascending."""
        return [seq for (seq,) in self._database.rows("SELECT seq FROM pending ORDER BY seq")]

    def pending(self, seq: int) -> Pending | None:
        """One of them."""
        row = self._database.row(
            "SELECT seq, header, summary, body, carried, chunks, missing_ok, contents FROM pending WHERE seq = ?",
            (seq,),
        )
        if row is None:
            return None
        contents = tuple(read_record(*record) for record in cbor2.loads(row[7]))
        return Pending(
            row[0], row[1], row[2], row[3], _spans_of(row[4]), split_ids(row[5]) or (), bool(row[6]), contents
        )

    def allow_missing(self, seq: int) -> None:
        """Send a pending segment with missing-ok from now on: some of its chunks are gone here too."""
        self._database.write("UPDATE pending SET missing_ok = 1 WHERE seq = ?", (seq,))

    def settle(self, receipts: Iterable[Receipt]) -> None:
        """Drop pending segments that the relay holds, and keep the receipts, in one transaction."""
        self._pending = None
        with self._database.transaction():
            for receipt in receipts:
                self._database.write("DELETE FROM pending WHERE seq = ?", (receipt.seq,))
                self._database.write("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?)", tuple(receipt))

    def refuse(self, seq: int, header_id: bytes, refusal: bytes) -> None:
        """Put back what a refused segment, and every one after it, carried; keep the refusal.

        §6.6: "it covers every header chained on it"; SEG-15: "it keeps the refusal".
        """
        with self._database.transaction():
            self._put_back(seq)
            self._database.write("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?)", (header_id, seq, refusal))
        self._handed_out = []

    def start_over(self) -> None:
        """Put back what all segments without an answer carried, and forget the receipts: another feed begins."""
        with self._database.transaction():
            self._put_back(0)
            self._database.write("DELETE FROM receipts")
        self._handed_out = []

    def _put_back(self, seq: int) -> None:
        """Have wait again what the segments from `seq` on carried."""
        self._pending = None
        for (carried,) in self._database.rows("SELECT carried FROM pending WHERE seq >= ? ORDER BY seq", (seq,)):
            self._database.write_many(
                "INSERT INTO outbox (kind, class, run, position, first, last) VALUES (?, ?, ?, ?, ?, ?)",
                _spans_of(carried),
            )
        self._database.write("DELETE FROM pending WHERE seq >= ?", (seq,))

    def refusals(self) -> list[tuple[int, bytes, bytes]]:
        """All refusals: (seq, header id, signed refusal)."""
        return [
            (seq, header, refusal)
            for seq, header, refusal in self._database.rows(
                "SELECT seq, header_id, refusal FROM refusals ORDER BY seq, header_id"
            )
        ]

    def receipt(self, seq: int) -> Receipt | None:
        """The receipt of a segment of this device."""
        row = self._database.row("SELECT * FROM receipts WHERE seq = ?", (seq,))
        return None if row is None else Receipt(*row)


def _spans_of(carried: bytes) -> tuple[Span, ...]:
    return tuple(Span(*span) for span in cbor2.loads(carried))
