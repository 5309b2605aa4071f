"""Segments whose bodies have still to come: in which order, what is told of them, and what is kept of them."""

from __future__ import annotations

import pytest

from sealkeep_client.store import Awaited, AwaitedCount, KeptSegment, Store
from sealkeep_client.store._kept import Kept


def awaited(seq: int, *, stage: int = 3, last: int = 0, tags: tuple[bytes, ...] = (), **more: object) -> Awaited:
    return Awaited(1, seq, stage, last, 1000 + seq, seq, tags, bool(more.get("all_tagged", True)))


def test_the_next_are_of_one_stage_and_the_newest(store: Store) -> None:
    for one in (
        awaited(1, last=10),
        awaited(2, last=-5),
        awaited(3, stage=1, last=3),
        awaited(4, stage=4),
        awaited(5, stage=1, last=4),
        awaited(6, last=10),
    ):
        store.awaited.add(one)
    taken: list[list[int]] = []
    while found := store.awaited.next(2):
        taken.append([seq for _, seq in found])
        for place in found:
            store.awaited.drop(*place)
    assert taken == [[5, 3], [1, 6], [2], [4]]
    assert store.awaited.next(10) == []


def test_what_is_told_of_them(store: Store) -> None:
    assert store.awaited.count() == AwaitedCount(0, 0, 0)
    store.awaited.add(awaited(1, tags=(b"chat-one", b"chat-two")))
    store.awaited.add(awaited(2, tags=(b"chat-two",)))
    assert store.awaited.count() == AwaitedCount(2, 3, 2003)
    found = store.awaited.by_conversation()
    assert [found.of(chat + bytes(8)) for chat in (b"chat-one", b"chat-two", b"chat-six")] == [1, 2, 0]
    store.awaited.add(awaited(3, all_tagged=False))
    found = store.awaited.by_conversation()
    assert [found.of(chat + bytes(8)) for chat in (b"chat-one", b"chat-two", b"chat-six")] == [2, 3, 1]
    assert store.awaited.holds(1, 3)
    store.awaited.drop(1, 3)
    assert not store.awaited.holds(1, 3)


def test_an_error_undoes_it(store: Store) -> None:
    """SEG-26: in the same step as the header."""

    def fail() -> None:
        with store.transaction():
            store.awaited.add(awaited(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.awaited.count().segments == 0


def segment(seq: int, chunks: tuple[bytes, ...] | None = ()) -> KeptSegment:
    return KeptSegment(1, seq, b"header %d" % seq, b"summary", bytes(93), chunks)


def test_a_header_is_kept_and_filled_later(store: Store) -> None:
    """§11.5: only what is here whole can be brought back."""
    store.kept.add_header(1, 1, b"header 1")
    assert store.kept.header(1, 1) == b"header 1"
    assert store.kept.whole(1, 1) is None
    store.kept.fill(segment(1, (bytes(32),)))
    assert store.kept.whole(1, 1) == segment(1, (bytes(32),))
    store.kept.fill(segment(1, None))  # once
    assert store.kept.whole(1, 1) == segment(1, (bytes(32),))
    store.kept.add_header(1, 2, b"header 2")
    store.kept.fill(segment(2, None))
    found = store.kept.whole(1, 2)
    assert found is not None
    assert found.chunks is None


def test_what_is_filled_counts_as_what_came_whole(store: Store) -> None:
    """The oldest lose their content beyond the bound, in the order of their headers; nothing is counted twice."""
    kept = Kept(store._database, kept_bytes=1000, kept_headers=20)
    for seq in range(1, 13):
        kept.add_header(1, seq, b"header %d" % seq)
    for seq in range(12, 0, -1):  # the newest body first
        kept.fill(segment(seq))
    assert [seq for seq in range(1, 13) if kept.whole(1, seq) is not None] == list(range(3, 13))
    for seq in range(13, 41):
        kept.add_header(1, seq, b"header %d" % seq)
    assert [seq for seq in range(1, 41) if kept.header(1, seq)] == list(range(21, 41))
    kept.fill(segment(5))  # its header went
    for seq in range(31, 41):
        kept.fill(segment(seq))
    assert [seq for seq in range(1, 41) if kept.whole(1, seq) is not None] == list(range(31, 41))
