"""CBOR sequences, read as they come (spec §2.2)."""

from __future__ import annotations

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.sequence import SequenceReader
from support.accounts import refused

ITEMS: list[cbor.Item] = [0, [b"abc", {"a": 1}], "text", {1: None}, b""]
DATA = b"".join(map(cbor.encode, ITEMS))


def test_items_come_out_as_they_are_completed() -> None:
    reader = SequenceReader(limit=100)
    assert reader.feed(DATA[:3]) == ITEMS[:1]
    assert reader.buffered == 2
    assert reader.feed(b"") == []
    assert reader.feed(DATA[3:]) == ITEMS[1:]
    assert reader.buffered == 0
    reader.finish()


def test_an_empty_sequence_is_whole() -> None:
    reader = SequenceReader(limit=1)
    assert reader.feed(b"") == []
    reader.finish()


def test_an_item_is_refused_from_its_head() -> None:
    """ENC-06: nothing of what the head announces has to come."""
    reader = SequenceReader(limit=100)
    with refused(MalformedError, "too-large"):
        reader.feed(b"\x58\x64")
    assert SequenceReader(limit=102).feed(b"\x58\x64") == []
    assert SequenceReader(limit=4).feed(b"\x43abc\x43abc") == [b"abc", b"abc"]
    with refused(MalformedError, "too-large"):
        SequenceReader(limit=3).feed(b"\x43")


@pytest.mark.parametrize("end", [1, 2, 5, len(DATA) - 2])
def test_a_sequence_that_ends_inside_an_item_is_cut_short(end: int) -> None:
    """ENC-06"""
    reader = SequenceReader(limit=100)
    reader.feed(DATA[:end])
    if end == 1:
        reader.finish()
        return
    assert reader.buffered
    with refused(MalformedError, "malformed") as caught:
        reader.finish()
    assert "cut short" in str(caught.value)


@pytest.mark.parametrize("bad", [b"\xff", b"\x18\x00", b"\xc0\x00", b"\xa2\x01\x00\x01\x00"])
def test_items_before_a_bad_one_are_given_however_the_stream_is_cut(bad: bytes) -> None:
    """ENC-01, in a sequence."""
    stream = DATA + bad + DATA
    for size in (1, 2, 7, len(stream)):
        reader = SequenceReader(limit=100)
        items: list[cbor.Item] = []
        with refused(MalformedError, "malformed"):
            for start in range(0, len(stream), size):
                items += reader.feed(stream[start : start + size])
            reader.finish()
        assert items == ITEMS


def test_a_reader_that_met_a_bad_item_is_spent() -> None:
    reader = SequenceReader(limit=100)
    assert reader.feed(b"\x00\xff") == [0]
    for again in (lambda: reader.feed(b"\x00"), reader.finish, lambda: reader.buffered):
        with refused(MalformedError, "malformed"):
            again()


def test_an_item_has_so_many_parts_and_no_more() -> None:
    """REL-03: many small parts take much more memory than their bytes; each item is counted for itself."""
    reader = SequenceReader(limit=100, items=4)
    assert reader.feed(cbor.encode([1, [2, 3]]) + cbor.encode([4, 5, 6, 7])) == [[1, [2, 3]], [4, 5, 6, 7]]
    for parts in ([1, [2, 3, 4]], [1, 2, 3, 4, 5]):
        with refused(MalformedError, "too-large"):
            SequenceReader(limit=100, items=4).feed(cbor.encode(parts))
    with refused(MalformedError, "too-large"):  # from its head alone
        SequenceReader(limit=100, items=4).feed(b"\x85")
