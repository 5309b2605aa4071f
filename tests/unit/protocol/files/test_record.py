"""Content records, lists, and where bytes are (spec §12.2)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.files import (
    MAX_NAMED,
    MAX_SIZE,
    PIECE_SIZE,
    Chunk,
    Content,
    ContentRecord,
    Filling,
    Location,
    Span,
    check_record,
    chunks_used,
    cut,
    locate,
    locate_list,
    make_list,
    make_record,
    seal_piece,
    spans,
)
from support.accounts import flipped, refused
from support.made_files import made_bytes

KEY = bytes([5]) * 32
MIB = PIECE_SIZE


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Stored:
    """A content, sealed, with its record and, where it is large, the sealed list."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.content, pieces = cut(data)
        self.chunks = [seal_piece(KEY, piece) for piece in pieces]
        self.listed: list[Chunk] = []
        ids = [chunk.id for chunk in self.chunks]
        if len(pieces) > MAX_NAMED:
            named, list_pieces = make_list(self.content, ids)
            self.listed = [seal_piece(KEY, piece) for piece in list_pieces]
            self.record = make_record(self.content, 2, [chunk.id for chunk in self.listed], named)
        else:
            self.record = make_record(self.content, 2, ids)

    @property
    def list_bytes(self) -> bytes:
        place = locate_list(self.record)
        return b"" if place is None else bytes(place.open(KEY, 0, self.listed[0].data))


SMALL, LARGE = Stored(made_bytes(300)), Stored(made_bytes(9 * MIB + 1000))
HASHES = tuple(sha(bytes([index])) for index in range(8))


@pytest.mark.parametrize("stored", [SMALL, LARGE], ids=["small", "large"])
def test_what_a_record_names_is_read_again(stored: Stored) -> None:
    location = locate(stored.record, stored.list_bytes)
    assert location == Location(stored.content, 2, tuple(chunk.id for chunk in stored.chunks))
    filling = Filling.of(stored.content, stored.data[stored.content.whole * MIB :] or b"")
    read = [location.open(KEY, index, chunk.data, filling) for index, chunk in enumerate(stored.chunks)]
    assert b"".join(read) == stored.data
    assert chunks_used(stored.record, location) == {chunk.id for chunk in (*stored.chunks, *stored.listed)}


def test_a_record_of_few_pieces_names_them_itself() -> None:
    record = SMALL.record
    assert (record.root, record.size, record.pieces) == (SMALL.content.root, 300, None)
    assert record.chunks == (SMALL.chunks[0].id,)
    assert record.hashes == SMALL.content.hashes
    assert locate_list(record) is None
    eight = Content.of(8 * MIB, HASHES)
    assert make_record(eight, 1, HASHES).hashes == HASHES


def test_a_list_holds_hash_and_chunk_id_of_every_piece() -> None:
    record = LARGE.record
    assert (record.root, record.size, record.pieces) == (LARGE.content.root, 9 * MIB + 1000, 10)
    assert (len(record.chunks), len(record.hashes)) == (1, 1)
    entries = [a + b.id for a, b in zip(LARGE.content.hashes, LARGE.chunks, strict=True)]
    assert LARGE.list_bytes == b"".join(entries)


def test_records_are_made_of_what_goes_together() -> None:
    content = SMALL.content
    with pytest.raises(ValueError, match="list is for"):
        make_record(content, 1, [HASHES[0]], content)
    with pytest.raises(ValueError, match="list is for"):
        make_record(LARGE.content, 1, [HASHES[0]])
    with pytest.raises(ValueError, match="one chunk for each piece"):
        make_record(content, 1, HASHES[:2])
    with pytest.raises(ValueError, match="one chunk for each piece"):
        make_list(LARGE.content, HASHES)
    with refused(MalformedError, "malformed"):
        make_record(content, 0, [HASHES[0]])
    with refused(MalformedError, "malformed"):  # a list of another content
        make_record(LARGE.content, 1, HASHES[:2], Content.of(2 * MIB, HASHES[:2]))


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": MAX_SIZE + 1},
        {"size": 299},
        {"size": 2 * MIB},
        {"epoch": 0},
        {"chunks": ()},
        {"chunks": HASHES[:2]},
        {"hashes": ()},
        {"hashes": HASHES[:2]},
        {"hashes": HASHES[:1]},
        {"root": HASHES[0]},
        {"pieces": 1},
        {"pieces": 0},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    """FIL-06"""
    check_record(SMALL.record)
    for check in (check_record, locate):
        with refused(MalformedError, "malformed"):
            check(replace(SMALL.record, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"pieces": None},
        {"pieces": 9},
        {"pieces": 11},
        {"size": 20 * MIB},
        {"size": 300},
        {"chunks": HASHES[:2], "hashes": HASHES[:2]},
        {"chunks": HASHES, "hashes": HASHES},
        {"epoch": 0},
    ],
)
def test_a_record_with_a_list_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    """FIL-06"""
    check_record(LARGE.record)
    with refused(MalformedError, "malformed"):
        check_record(replace(LARGE.record, **change))


def test_a_record_of_a_list_is_as_good_as_its_root() -> None:
    """FIL-06: a record with a list says no root that it could be held against; the list does (FIL-03)."""
    other = replace(LARGE.record, root=HASHES[0])
    check_record(other)
    with refused(AuthenticationError, "digest"):
        locate(other, LARGE.list_bytes)


def test_a_list_that_is_not_the_roots_is_refused() -> None:
    """FIL-03"""
    good = LARGE.list_bytes
    for bad in (flipped(good, 0), flipped(good, 8 * 9 * 64), good[64:] + good[:64]):
        with refused(AuthenticationError, "digest"):
            locate(LARGE.record, bad)
    for bad in (b"", good[:-1], good[:-64], good + bytes(64)):
        with refused(MalformedError, "malformed"):
            locate(LARGE.record, bad)
    # Which chunks a list names no hash tells before they are fetched.
    location = locate(LARGE.record, flipped(good, 8 * 32))
    with refused(AuthenticationError, "digest"):
        location.open(KEY, 0, LARGE.chunks[0].data)


def test_chunks_that_change_places_are_refused() -> None:
    """FIL-02, FIL-03"""
    location = locate(LARGE.record, LARGE.list_bytes)
    with refused(AuthenticationError, "digest"):
        location.open(KEY, 0, LARGE.chunks[1].data)
    swapped = replace(location, chunks=(location.chunks[1], location.chunks[0], *location.chunks[2:]))
    with refused(AuthenticationError, "ciphertext"):
        swapped.open(KEY, 0, LARGE.chunks[1].data)


def test_a_size_that_cuts_off_content_is_refused() -> None:
    """FIL-03: another size of the same padded length, with a root to match."""
    content = Content.of(299, SMALL.content.hashes)
    record = make_record(content, 2, [SMALL.chunks[0].id])
    with refused(MalformedError, "malformed"):
        locate(record).open(KEY, 0, SMALL.chunks[0].data)


def test_spans() -> None:
    size = 2 * MIB + 10
    assert list(spans(size, 0, 0)) == []
    assert list(spans(size, 5, 7)) == [Span(0, 5, 7)]
    assert list(spans(size, MIB - 1, 2 * MIB + 3)) == [Span(0, MIB - 1, MIB), Span(1, 0, MIB), Span(2, 0, 3)]
    assert list(spans(size, 2 * MIB, 1 << 40)) == [Span(2, 0, 10)]
    assert list(spans(size, -3, size)) == [Span(2, 7, 10)]
    assert list(spans(size, size, size + 5)) == list(spans(size, 9, 5)) == list(spans(0, 0, 9)) == []
    location = locate(SMALL.record)
    assert list(location.spans(10, 20)) == [Span(0, 10, 20)]


def test_a_record_is_a_plain_value() -> None:
    assert ContentRecord(HASHES[0], 1, 1, HASHES[:1], HASHES[1:2]).pieces is None
