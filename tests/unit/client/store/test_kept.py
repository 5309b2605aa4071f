"""Segments that are kept as they were signed and sealed: within two bounds, and never more than once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sealkeep_client.store import KeptSegment, Passphrase, Receipt, RecordKind, Span, Store, UploadClass
from sealkeep_client.store._kept import Kept
from sealkeep_client.store._schema import VERSION


def segment(device: int, seq: int, size: int = 100) -> KeptSegment:
    return KeptSegment(device, seq, b"header %d" % seq, b"summary", bytes(size - len(b"summary")))


@pytest.fixture
def kept(store: Store) -> Kept:
    return Kept(store._database, kept_bytes=1000, kept_headers=20)


def test_what_was_kept_is_there(kept: Kept) -> None:
    for device in (1, 2):
        kept.add(segment(device, 1))
    assert kept.whole(2, 1) == segment(2, 1)
    assert kept.header(2, 1) == b"header 1"
    assert kept.whole(2, 2) is None
    assert kept.header(3, 1) is None


def test_the_oldest_lose_their_content(kept: Kept) -> None:
    """§11.2, §11.5: not their headers. Whatever the feed: the bound is one for all."""
    for seq in range(1, 9):
        for device in (1, 2):
            kept.add(segment(device, seq))
    held = [(device, seq) for seq in range(1, 9) for device in (1, 2) if kept.whole(device, seq) is not None]
    assert held == [(device, seq) for seq in range(4, 9) for device in (1, 2)]
    assert all(kept.header(device, seq) for seq in range(1, 9) for device in (1, 2))


def test_one_that_is_larger_than_all_room(kept: Kept) -> None:
    kept.add(segment(1, 1))
    kept.add(segment(1, 2, size=1001))
    assert (kept.whole(1, 1), kept.whole(1, 2)) == (None, None)
    kept.add(segment(1, 3, size=1000))
    assert kept.whole(1, 3) is not None


def test_the_oldest_headers_go_feed_by_feed(kept: Kept) -> None:
    """§11.2"""
    kept.add(segment(2, 1))
    for seq in range(1, 31):
        kept.add(segment(1, seq, size=7))
    assert [seq for seq in range(1, 31) if kept.header(1, seq)] == list(range(11, 31))
    assert kept.whole(1, 30) is not None
    assert kept.whole(2, 1) is not None
    # What went with the headers makes room.
    for seq in range(2, 9):
        kept.add(segment(2, seq))
    assert all(kept.whole(2, seq) for seq in range(1, 9))


def test_none_is_kept_or_counted_twice(kept: Kept) -> None:
    for _ in range(20):
        kept.add(segment(1, 1))
    kept.add(segment(1, 2))
    assert kept.whole(1, 1) is not None


def test_an_acknowledged_segment_is_kept(store: Store) -> None:
    """§11.5: from where it waited for its answer, in the same transaction."""
    store.outbox.add(RecordKind.MESSAGE, UploadClass.LIVE, 0, 1, 1)
    span = Span(RecordKind.MESSAGE, UploadClass.LIVE, 0, 1, 1, 1)
    store.outbox.add_pending(1, b"header", b"summary", b"body", [span])
    for _ in range(2):
        store.kept.take_pending(3, 1)
    store.outbox.settle([Receipt(1, bytes(32), 5)])
    assert store.kept.whole(3, 1) == KeptSegment(3, 1, b"header", b"summary", b"body")
    store.kept.take_pending(3, 2)  # no such one waits
    assert store.kept.whole(3, 2) is None


def test_another_feed_begins(store: Store) -> None:
    """VIE-06: what waited for an answer waits to be sealed again, and the receipts are the old feed's."""
    store.outbox.add(RecordKind.MESSAGE, UploadClass.LIVE, 0, 1, 3)
    spans = [Span(RecordKind.MESSAGE, UploadClass.LIVE, 0, 1, seq, seq) for seq in (1, 2)]
    store.outbox.add_pending(1, b"header", b"summary", b"body", spans[:1])
    store.outbox.settle([Receipt(1, bytes(32), 5)])
    store.outbox.add_pending(2, b"header", b"summary", b"body", spans[1:])
    store.outbox.start_over()
    assert store.outbox.pending_seqs() == []
    assert store.outbox.receipt(1) is None
    assert sum(waiting.records for waiting in store.outbox.waiting()) == 2


def test_recovery_wraps(store: Store) -> None:
    store.sync.put_recovery_wrap(4, b"four")
    store.sync.put_recovery_wrap(2, b"two")
    store.sync.put_recovery_wrap(4, b"four")
    assert store.sync.recovery_wraps() == {2: b"two", 4: b"four"}


def test_a_home_of_an_earlier_version(tmp_path: Path, unlock: Passphrase) -> None:
    """It keeps from now on; what it had stays."""
    with Store.create(tmp_path / "home", unlock) as store:
        store.publish()
        store.sync.put("cursor", b"1")
        database = store._database
        with database.transaction():
            added = "awaited held media pieces content_records uploads previews kept recovery_wraps"
            database.script("DROP TRIGGER held_no_more;" + "".join(f"DROP TABLE {table};" for table in added.split()))
            columns = "ALTER TABLE pending DROP COLUMN {}"
            database.script("; ".join(map(columns.format, ("chunks", "missing_ok", "contents"))))
            database.script("PRAGMA user_version = 2")
    for _ in range(2):
        with Store.open(tmp_path / "home", unlock) as store:
            assert store._database.value("PRAGMA user_version") == VERSION
            assert store.sync.get("cursor") == b"1"
            store.kept.add(segment(1, 1))
            assert store.kept.whole(1, 1) is not None


def test_evidence_is_written_once(tmp_path: Path, store: Store) -> None:
    """VIE-03: beside the vault, for its owner alone, and never over what is there."""
    path = store.write_evidence("one.evidence", b"proof")
    assert path == tmp_path / "home" / "evidence" / "one.evidence"
    assert store.write_evidence("one.evidence", b"other") == path
    assert path.read_bytes() == b"proof"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
