"""Previews (spec §12.3) on this device: its own, and the latest that each author wrote for a root."""

from __future__ import annotations

from collections.abc import Iterable

import cbor2

from sealkeep_client.store._batches import Found
from sealkeep_client.store._database import Database
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._waiting import RecordKind, UploadClass
from sealkeep_protocol.records import Preview, preview_from_fields, preview_to_fields


class Previews:
    """The previews of one database. Writes belong to a transaction."""

    __slots__ = ("_database", "_outbox")

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def has(self, root: bytes, device: int) -> bool:
        """Whether there is one of a root that a device made."""
        found = self._database.value("SELECT 1 FROM previews WHERE root = ? AND device = ?", (root, device))
        return found is not None

    def add(self, device: int, preview: Preview, run: int) -> None:
        """Keep one that this device has made, and queue it."""
        self._database.write(
            "INSERT OR IGNORE INTO previews (root, device, seq, fields) VALUES (?, ?, 0, ?)",
            (preview.root, device, cbor2.dumps(dict(preview_to_fields(preview)))),
        )
        number = self._database.value("SELECT n FROM previews WHERE root = ? AND device = ?", (preview.root, device))
        if not self._outbox.waits(RecordKind.PREVIEW, number):
            self._outbox.add(RecordKind.PREVIEW, UploadClass.PREVIEW, run, number, number)

    def put(self, device: int, seq: int, previews: Iterable[Preview]) -> None:
        """Keep those of a segment: of each author the latest for a root counts."""
        self._database.write_many(
            "INSERT INTO previews (root, device, seq, fields) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (root, device) DO UPDATE SET seq = excluded.seq, fields = excluded.fields"
            " WHERE excluded.seq >= seq",
            [(one.root, device, seq, cbor2.dumps(dict(preview_to_fields(one)))) for one in previews],
        )

    def of(self, root: bytes) -> list[tuple[int, Preview]]:
        """Those of a root, each with the device that made it, in no order."""
        rows = self._database.rows("SELECT device, fields FROM previews WHERE root = ?", (root,))
        return [(device, preview_from_fields(cbor2.loads(fields))) for device, fields in rows]

    def read(self, first: int, last: int, limit: int) -> Found:
        """Previews of a range, ascending, at most `limit`."""
        rows = self._database.rows(
            "SELECT n, fields FROM previews WHERE n BETWEEN ? AND ? ORDER BY n LIMIT ?", (first, last, limit)
        )
        previews = [preview_from_fields(cbor2.loads(fields)) for _, fields in rows]
        return Found([n for n, _ in rows], [len(fields) for _, fields in rows], previews)
