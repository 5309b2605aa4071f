"""Where contents are stored at the relay (spec §12.2): the records that this device has read or written.

Records of one root stand beside each other: those of each author's latest segment that holds one (FIL-07). Which serves
is for the reader to find out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cbor2

from sealkeep_client.store._database import Database
from sealkeep_protocol import cbor
from sealkeep_protocol.files import ContentRecord
from sealkeep_protocol.primitives import HASH_SIZE, sha256
from sealkeep_protocol.records import content_to_fields

_COLUMNS = "root, device, digest, seq, epoch, fields, ids, served"


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A content record from segment `seq` of `device`. `ids` are those of all its chunks, of its pieces in order, then
    of its list, where they are known; `served`: this device has sealed, opened or proved them all."""

    device: int
    seq: int
    digest: bytes
    record: ContentRecord
    ids: tuple[bytes, ...] | None
    served: bool


class ContentRecords:
    """The content records of one database. Writes belong to a transaction."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, device: int, seq: int, records: Iterable[ContentRecord]) -> None:
        """Keep the records of one segment."""
        by_root: dict[bytes, list[ContentRecord]] = {}
        for record in records:
            by_root.setdefault(record.root, []).append(record)
        for root, those in by_root.items():
            self._put(device, seq, root, those)

    def _put(self, device: int, seq: int, root: bytes, records: Sequence[ContentRecord]) -> None:
        database = self._database
        known = database.rows(
            "SELECT digest, seq, ids, served FROM content_records WHERE root = ? AND device = ?", (root, device)
        )
        if any(there > seq for _, there, _, _ in known):
            return
        # FIL-07: "Content records of one root MUST NOT replace one another: a device keeps the latest of each author,
        # …"
        database.write("DELETE FROM content_records WHERE root = ? AND device = ? AND seq < ?", (root, device, seq))
        proved = {digest: (ids, served) for digest, ids, served in self._proved(root)}
        for digest, _, ids, served in known:
            proved.setdefault(digest, (ids, served))
        for record in records:
            digest = record_digest(record)
            ids, served = proved.get(digest, (None, 0))
            if ids is None and record.pieces is None:
                ids = b"".join(record.chunks)
            database.write(
                f"INSERT OR IGNORE INTO content_records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (root, device, digest, seq, record.epoch, write_record(record), ids, served),
            )

    def _proved(self, root: bytes) -> list[tuple[bytes, bytes | None, int]]:
        """(digest, ids, served) of what is known of the same record by another author."""
        return [
            (digest, ids, served)
            for digest, ids, served in self._database.rows(
                "SELECT digest, ids, max(served) FROM content_records WHERE root = ? AND ids IS NOT NULL GROUP BY digest",
                (root,),
            )
        ]

    def note_ids(self, record: ContentRecord, ids: Iterable[bytes], *, served: bool) -> None:
        """Note all chunks of a record: of its pieces in order, then of its list; `served`: this device sealed or opened
        them."""
        self._database.write(
            "UPDATE content_records SET ids = ?, served = max(served, ?) WHERE root = ? AND digest = ?",
            (b"".join(ids), int(served), record.root, record_digest(record)),
        )

    def places(self, record: ContentRecord) -> list[tuple[int, int]]:
        """(device, seq) of the segments that hold a record."""
        return [
            (device, seq)
            for device, seq in self._database.rows(
                "SELECT device, seq FROM content_records WHERE root = ? AND digest = ?",
                (record.root, record_digest(record)),
            )
        ]

    def ids_in(self, device: int, seq: int) -> set[bytes] | None:
        """The ids of all chunks of a segment's records, as far as a later one has not taken their place; None where not all
        are known."""
        found = [
            ids
            for (ids,) in self._database.rows(
                "SELECT ids FROM content_records WHERE device = ? AND seq = ?", (device, seq)
            )
        ]
        return None if None in found else {one for ids in found for one in split_ids(ids) or ()}

    def of(self, root: bytes) -> list[KnownRecord]:
        """All that is known of a root, in no order."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM content_records WHERE root = ?", (root,))  # noqa: S608
        return [
            KnownRecord(device, seq, digest, read_record(root, fields), split_ids(ids), bool(served))
            for root, device, digest, seq, _, fields, ids, served in rows
        ]

    def roots(self, after: bytes, limit: int) -> list[bytes]:
        """The roots behind one, ascending, of which records are known."""
        found = self._database.rows(
            "SELECT DISTINCT root FROM content_records WHERE root > ? ORDER BY root LIMIT ?", (after, limit)
        )
        return [root for (root,) in found]

    def sizes(self, roots: Sequence[bytes]) -> dict[bytes, int]:
        """The sizes of those contents among some whose records are known."""
        found = self._database.among(
            "SELECT root, fields FROM content_records WHERE root IN carray(?)", list(set(roots))
        )
        return {root: read_record(root, fields).size for root, fields in found}

    def has(self, root: bytes) -> bool:
        """Whether any record of a root is known."""
        return self._database.value("SELECT 1 FROM content_records WHERE root = ? LIMIT 1", (root,)) is not None


def record_digest(record: ContentRecord) -> bytes:
    """The digest of a content record's field map (spec §12.2)."""
    return sha256(cbor.encode(dict(content_to_fields(record))))


def write_record(record: ContentRecord) -> bytes:
    """A record as stored, without its root."""
    return cbor2.dumps([record.size, record.epoch, list(record.chunks), list(record.hashes), record.pieces])


def read_record(root: bytes, fields: bytes) -> ContentRecord:
    """The record of stored fields."""
    size, epoch, chunks, hashes, pieces = cbor2.loads(fields)
    return ContentRecord(root, size, epoch, tuple(chunks), tuple(hashes), pieces)


def split_ids(ids: bytes | None) -> tuple[bytes, ...] | None:
    """Ids of chunks that were stored one behind the other."""
    return None if ids is None else tuple(ids[at : at + HASH_SIZE] for at in range(0, len(ids), HASH_SIZE))
