"""Marks: what records say about other records (spec §7.6), joined, stored, and applied to their targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import cbor2

from sealkeep_client.store._batches import Found
from sealkeep_client.store._changes import Tracker
from sealkeep_client.store._database import Database
from sealkeep_client.store._entities import Entities, Put
from sealkeep_client.store._messages import COVERED, Messages
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._states import COLUMNS, TOMBSTONE, StoredMessage, chunks, mark_flag, read_mark
from sealkeep_client.store._uploads import Uploads
from sealkeep_client.store._waiting import RecordKind, UploadClass
from sealkeep_protocol.records import Mark, MarkType, RecordIds, apply, join_marks, mark_to_fields

_AT_ONCE: Final = 2_000
# These change what a message says, and so the index; of the others a flag at the message is enough.
_CONTENT: Final = frozenset({MarkType.REVISION, MarkType.SUPPLEMENT, MarkType.TOMBSTONE})


class Marks:
    """The marks of one database. Writes belong to a transaction."""

    __slots__ = ("_changes", "_database", "_entities", "_messages", "_next", "_outbox", "_uploads")

    def __init__(
        self,
        database: Database,
        entities: Entities,
        messages: Messages,
        outbox: Outbox,
        uploads: Uploads,
        changes: Tracker,
    ) -> None:
        self._database = database
        self._entities = entities
        self._messages = messages
        self._outbox = outbox
        self._uploads = uploads
        self._changes = changes
        self._next = 0

    def forget(self) -> None:
        """Drop what is remembered: the transaction that made it was rolled back."""
        self._next = 0

    def put(self, marks: Iterable[Mark], ids: RecordIds, upload: UploadClass | None, run: int) -> Put:
        """Join marks; what is new to this device is queued in class `upload`, if any."""
        put = Put()
        for chunk in chunks(marks, _AT_ONCE):
            put = put.plus(self._put(chunk, ids, upload, run))
        return put

    def _put(self, marks: Sequence[Mark], ids: RecordIds, upload: UploadClass | None, run: int) -> Put:
        database = self._database
        joined: dict[bytes, Mark] = {}
        for mark in marks:
            record_id = ids.mark(mark)
            joined[record_id] = join_marks(joined[record_id], mark) if record_id in joined else mark
        known = {
            row[0]: row[1:]
            for row in database.among("SELECT id, n, fields FROM marks WHERE id IN carray(?)", list(joined))
        }
        targets = list({mark.target for mark in joined.values()})
        sql = f"SELECT {COLUMNS} FROM messages WHERE id IN carray(?)"  # noqa: S608
        messages = {row[1]: StoredMessage(*row) for row in database.among(sql, targets)}
        gone = {record_id for record_id, row in messages.items() if row.flags & TOMBSTONE}
        absent = [target for target in targets if target not in messages]
        sql = "SELECT target FROM marks WHERE type = 5 AND target IN carray(?)"
        gone |= {target for (target,) in database.among(sql, absent)}
        gone |= {mark.target for mark in joined.values() if mark.type == MarkType.TOMBSTONE}

        first = self._next or 1 + (database.value("SELECT max(n) FROM marks") or 0)
        new: list[tuple[Any, ...]] = []
        replaced: list[tuple[bytes, int]] = []
        touched: list[Mark] = []
        content: set[bytes] = set()
        for record_id, mark in joined.items():
            # §7.6: "A tombstone covers its target with its revisions, supplements and reactions, whenever they come."
            if mark.type in COVERED and mark.target in gone:
                continue
            if record_id in known:
                n, stored = known[record_id]
                mark = join_marks(read_mark(stored), mark)
                fields = cbor2.dumps(mark_to_fields(mark))
                if fields == stored:
                    continue
                replaced.append((fields, n))
            else:
                fields = cbor2.dumps(mark_to_fields(mark))
                waiting = mark.target not in messages
                new.append((first + len(new), record_id, int(mark.type), mark.target, fields, int(waiting)))
            if mark.target in messages:
                touched.append(mark)
                if mark.type in _CONTENT:
                    content.add(mark.target)

        by_target: dict[bytes, list[Mark]] = {}
        for mark in joined.values():
            if mark.target in content:
                by_target.setdefault(mark.target, []).append(mark)
        rows = [messages[target] for target in content]
        before = self._messages.states.states(rows)
        for fields, n in replaced:
            database.write("UPDATE marks SET fields = ? WHERE n = ?", (fields, n))
            self._queue(n, n, upload, run)
        if new:
            self._next = first + len(new)
            database.write_many("INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)", new)
            self._queue_new(first, [joined[row[1]] for row in new], upload, run)
        # First the flags, then the states: saving a state sets all flags of its row.
        self._flag([(row[2], row[3]) for row in new if row[3] not in content], messages)
        for row, state in zip(rows, before, strict=True):
            after = state
            for mark in by_target[row.id]:
                after = apply(after, mark)
            self._messages.save(row, state, after)
        for mark in touched:
            self._changes.now.touch(self._entities.id(messages[mark.target].conversation), (mark.target,))
        for target in gone.intersection(absent):
            database.write("DELETE FROM marks WHERE target = ? AND type IN (1, 2, 3)", (target,))
        return Put(len(new), len(replaced), len(marks) - len(new) - len(replaced))

    def _flag(self, marks: Sequence[tuple[int, bytes]], messages: dict[bytes, StoredMessage]) -> None:
        self._database.write_many(
            "UPDATE messages SET flags = flags | ?1 WHERE n = ?2",
            [(mark_flag(kind), messages[target].n) for kind, target in marks if target in messages],
        )

    def _queue_new(self, first: int, marks: Sequence[Mark], upload: UploadClass | None, run: int) -> None:
        """Queue new marks, except those that name contents: they wait for these."""
        if upload is None:
            return
        begin = first
        for n, mark in enumerate(marks, first):
            roots = {one.root for one in mark.attachments or () if one.root is not None}
            if roots:
                self._uploads.hold(n, roots, upload, run)
                self._changes.now.outbox = True
                if begin < n:
                    self._queue(begin, n - 1, upload, run)
                begin = n + 1
        if begin < first + len(marks):
            self._queue(begin, first + len(marks) - 1, upload, run)

    def _queue(self, first: int, last: int, upload: UploadClass | None, run: int) -> None:
        if upload is None or (first == last and self._outbox.will_carry(RecordKind.MARK, first)):
            return
        self._outbox.add(RecordKind.MARK, upload, run, first, last)
        self._changes.now.outbox = True

    def read(self, first: int, last: int, limit: int) -> Found:
        """Marks of a range, ascending, at most `limit`."""
        rows = self._database.rows(
            "SELECT n, fields FROM marks WHERE n BETWEEN ? AND ? ORDER BY n LIMIT ?", (first, last, limit)
        )
        return Found([n for n, _ in rows], [len(f) for _, f in rows], [read_mark(f) for _, f in rows])
