"""The outbox: ranges that wait, segments without an answer, receipts and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sealkeep_client.store import Passphrase, Pending, Receipt, Span, Store, UploadClass
from sealkeep_client.store._waiting import Waiting
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.records import Contact, ContactKey, Conversation, ConversationKey, Message
from support.record_strategies import CHAT

HISTORY, FRONT, LIVE = UploadClass.HISTORY, UploadClass.FRONT, UploadClass.LIVE
OTHER = ConversationKey("telegram", "", "user:7")


def messages(first: int, count: int, chat: ConversationKey = CHAT) -> list[Message]:
    return [
        Message(conversation=chat, source=n, time=n * 1000, kind=1, text=f"m{n}") for n in range(first, first + count)
    ]


def sources(store: Store, upload: UploadClass = HISTORY, limit: int = 1000) -> list[object]:
    batch = store.outbox.read(upload, limit=limit)
    return [getattr(record, "source", record) for record in batch.records] if batch else []


def ranges(store: Store) -> int:
    return int(store._database.value("SELECT count(*) FROM outbox"))


def test_an_import_is_one_range_whatever_its_length(store: Store) -> None:
    run = store.outbox.start_run()
    for start in range(0, 500, 100):
        store.put(messages(start, 100), upload=HISTORY, run=run)
    assert ranges(store) == 1
    assert store.outbox.waiting() == [Waiting(HISTORY, run, 500)]
    assert sources(store, limit=30) == list(range(30))
    assert store.outbox.start_run() == run + 1


def test_received_records_between_are_left_out(store: Store) -> None:
    store.put(messages(0, 3), upload=LIVE)
    store.put(messages(100, 3), upload=None)
    store.put(messages(3, 3), upload=LIVE)
    assert sources(store, LIVE) == [0, 1, 2, 3, 4, 5]


def test_a_segment_carries_what_fits(store: Store) -> None:
    chats = [Conversation(CHAT, title="c")]
    contacts = [Contact(ContactKey("a", "", name), name=name) for name in "xyz"]
    store.put(messages(0, 10), contacts=contacts, conversations=chats, upload=LIVE)
    batch = store.outbox.read(LIVE, limit=1000)
    assert batch is not None
    assert batch.records[:4] == [*contacts, *chats]
    assert batch.carried(0) == ()
    assert [span[4:] for span in batch.carried(2)] == [(1, 2)]
    assert [span[4:] for span in batch.carried(3)] == [(1, 3)]
    assert [span[4:] for span in batch.carried(8)] == [(1, 3), (1, 1), (1, 4)]
    store.outbox.add_pending(1, b"header", b"summary", b"body", batch.carried(8))
    assert sources(store, LIVE) == [4, 5, 6, 7, 8, 9]
    assert store.outbox.pending_seqs() == [1]
    assert store.outbox.pending(1) == Pending(1, b"header", b"summary", b"body", batch.carried(8))
    assert store.outbox.pending(2) is None
    assert "body" not in repr(store.outbox.pending(1))


def test_pending_survives_and_is_what_it_was(tmp_path: Path, store: Store, unlock: Passphrase) -> None:
    """SEG-12"""
    store.put(messages(0, 10), upload=LIVE)
    batch = store.outbox.read(LIVE, limit=5)
    assert batch is not None
    store.outbox.add_pending(7, b"header", b"summary", b"body", batch.carried())
    before = store.outbox.pending(7)
    store.close()
    with Store.open(tmp_path / "home", unlock) as again:
        again.ids = store.ids
        assert again.outbox.pending(7) == before
        assert sources(again, LIVE) == [5, 6, 7, 8, 9]


def test_a_receipt_settles(store: Store) -> None:
    store.put(messages(0, 4), upload=LIVE)
    for seq in (1, 2):
        batch = store.outbox.read(LIVE, limit=2)
        assert batch is not None
        store.outbox.add_pending(seq, b"h", b"s", b"b", batch.carried())
    store.outbox.settle([Receipt(1, b"\x01" * 32, 10), Receipt(2, b"\x02" * 32, 11)])
    assert store.outbox.pending_seqs() == []
    assert store.outbox.waiting() == []
    assert store.outbox.receipt(2) == Receipt(2, b"\x02" * 32, 11)
    assert store.outbox.receipt(3) is None


def test_a_refusal_puts_back_in_order_what_it_and_later_ones_carried(store: Store) -> None:
    """§6.6, SEG-15"""
    store.put(messages(0, 10), upload=LIVE)
    for seq in (1, 2, 3):
        batch = store.outbox.read(LIVE, limit=2)
        assert batch is not None
        store.outbox.add_pending(seq, b"h", b"s", b"b", batch.carried())
    store.put(messages(10, 2), upload=LIVE)
    store.outbox.refuse(2, b"\x02" * 32, b"signed")
    assert store.outbox.pending_seqs() == [1]
    assert sources(store, LIVE) == list(range(2, 12))
    assert store.outbox.refusals() == [(2, b"\x02" * 32, b"signed")]


def test_what_was_put_back_in_parts_is_carried_as_one(store: Store) -> None:
    """After a refusal bodies may be cut elsewhere: across the parts, and within them."""
    run = store.outbox.start_run()
    store.put(messages(0, 12), upload=HISTORY, run=run)
    for seq in (1, 2, 3):
        batch = store.outbox.read(HISTORY, limit=3)
        assert batch is not None
        store.outbox.add_pending(seq, b"h", b"s", b"b", batch.carried())
    store.outbox.refuse(1, b"\x02" * 32, b"signed")
    assert ranges(store) == 4
    for seq, wanted, count in ((1, [0, 1, 2, 3], 4), (2, [4, 5, 6, 7, 8, 9, 10], 7), (3, [11], 1)):
        batch = store.outbox.read(HISTORY, limit=8)
        assert batch is not None
        assert [record.source for record in batch.records[:count]] == wanted  # type: ignore[union-attr]
        store.outbox.add_pending(seq, b"h", b"s", b"b", batch.carried(count))
    assert store.outbox.waiting() == []


def test_nothing_is_carried_twice(store: Store) -> None:
    store.put(messages(0, 4), upload=LIVE)
    batch = store.outbox.read(LIVE, limit=2)
    assert batch is not None
    store.outbox.add_pending(1, b"h", b"s", b"b", batch.carried())
    with pytest.raises(UsageError, match="do not wait any more"):
        store.outbox.add_pending(2, b"h", b"s", b"b", batch.carried())
    assert store.outbox.pending_seqs() == [1]
    with pytest.raises(UsageError):
        store.outbox.add_pending(2, b"h", b"s", b"b", [Span(3, LIVE, 0, 1, 3, 99)])


def test_many_single_ranges_are_read_in_order(store: Store) -> None:
    for n in range(300):
        store.put(messages(2 * n, 1), upload=LIVE)
        store.put(messages(2 * n + 1, 1), upload=None)
    assert ranges(store) == 300
    assert sources(store, LIVE) == list(range(0, 600, 2))


def test_runs_apart(store: Store) -> None:
    one, two = store.outbox.start_run(), store.outbox.start_run()
    store.put(messages(0, 2), upload=HISTORY, run=one)
    store.put(messages(2, 2), upload=HISTORY, run=two)
    store.put(messages(4, 1), upload=LIVE)
    assert store.outbox.waiting() == [Waiting(LIVE, 0, 1), Waiting(HISTORY, one, 2), Waiting(HISTORY, two, 2)]
    batch = store.outbox.read(HISTORY, limit=10, run=two)
    assert batch is not None
    assert [record.source for record in batch.records if isinstance(record, Message)] == [2, 3]


def test_front_is_the_end_of_every_chat(store: Store) -> None:
    """§6.3"""
    run = store.outbox.start_run()
    store.put(messages(0, 1), upload=LIVE)
    store.put([*messages(1, 70), *messages(1, 20, OTHER), *messages(71, 10)], upload=HISTORY, run=run)
    assert store.front.queue(run) == 70
    batch = store.outbox.read(FRONT, limit=1000)
    assert batch is not None
    found = [(record.conversation, record.source) for record in batch.records if isinstance(record, Message)]
    assert sorted(found) == [(CHAT, n) for n in range(31, 81)] + [(OTHER, n) for n in range(1, 21)]
    assert store.front.queue(run) == 0
    # The history holds them too, and only that counts as uploaded.
    store.outbox.add_pending(1, b"h", b"s", b"b", batch.carried())
    store.outbox.settle([Receipt(1, bytes(32), 1)])
    assert len(sources(store)) == 100
    assert store.is_uploaded(store.ids.message(messages(80, 1)[0])) is False


def test_front_holds_only_what_waits(store: Store) -> None:
    run = store.outbox.start_run()
    store.put(messages(100, 60), upload=None)
    store.put(messages(0, 5), upload=HISTORY, run=run)
    assert store.front.queue(run, messages=3) == 3
    assert sources(store, FRONT) == [2, 3, 4]


def test_a_change_while_sealed_waits_again(store: Store) -> None:
    (one,) = messages(0, 1)
    store.put([one], upload=LIVE)
    batch = store.outbox.read(LIVE, limit=1)
    assert batch is not None
    store.outbox.add_pending(1, b"h", b"s", b"b", batch.carried())
    store.put([replace(one, pinned=True)], upload=LIVE)
    store.outbox.refuse(1, bytes(32), b"")
    # Both are queued now, and may be sealed one after the other.
    for seq in (1, 2):
        batch = store.outbox.read(LIVE, limit=1)
        assert batch is not None
        assert batch.records == [replace(one, pinned=True)]
        store.outbox.add_pending(seq, b"h", b"s", b"b", batch.carried())
    assert store.outbox.waiting() == []


def test_a_change_while_a_later_batch_is_out_waits_again(store: Store) -> None:
    """Whoever reads ahead has the record as it was, also once an earlier batch of theirs is sealed."""
    store.put(messages(1, 2), upload=LIVE)
    first, second = store.outbox.batches(LIVE, limit=1)
    store.outbox.add_pending(1, b"h", b"s", b"b", first.carried())
    changed = replace(messages(2, 1)[0], pinned=True)
    store.put([changed], upload=LIVE)
    store.outbox.add_pending(2, b"h", b"s", b"b", second.carried())
    batch = store.outbox.read(LIVE, limit=10)
    assert batch is not None
    assert batch.records == [changed]


def test_batches_follow_each_other_and_may_be_carried_in_part(store: Store) -> None:
    """What a segment left of its batch waits on, before and behind what the next one took."""
    run = store.outbox.start_run()
    store.put(messages(1, 30), upload=HISTORY, run=run)
    first, second, third = store.outbox.batches(HISTORY, limit=10, run=run)
    assert [batch.more for batch in (first, second, third)] == [True, True, False]
    store.outbox.add_pending(1, b"h", b"s", b"b", first.carried(7))
    store.outbox.add_pending(2, b"h", b"s", b"b", second.carried(9))
    assert sources(store) == [8, 9, 10, 20, *range(21, 31)]
    store.outbox.add_pending(3, b"h", b"s", b"b", third.carried())
    assert sources(store) == [8, 9, 10, 20]
    store.outbox.refuse(1, b"i" * 32, b"refusal")
    assert sorted(sources(store)) == list(range(1, 31))


def test_a_batch_ends_at_its_weight_and_holds_one_record_at_least(store: Store) -> None:
    run = store.outbox.start_run()
    store.put([replace(message, text="x" * 1_000) for message in messages(1, 6)], upload=HISTORY, run=run)
    assert [len(batch) for batch in store.outbox.batches(HISTORY, limit=100, weight=2_500)] == [2, 2, 2]
    assert [len(batch) for batch in store.outbox.batches(HISTORY, limit=100, weight=1)] == [1] * 6
