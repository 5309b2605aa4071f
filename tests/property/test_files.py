"""Contents, chunks and records of arbitrary bytes (spec §12.1, §12.2)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealkeep_protocol import padding
from sealkeep_protocol.errors import AuthenticationError, PeerError
from sealkeep_protocol.files import (
    MAX_SIZE,
    PIECE_SIZE,
    ContentBuilder,
    ContentRecord,
    Location,
    chunks_hash,
    cut,
    is_chunk_length,
    locate,
    locate_list,
    make_list,
    make_record,
    open_chunk,
    padded_length,
    piece_count,
    piece_length,
    seal_piece,
    spans,
)
from support.made_files import made_bytes

KEY = bytes([3]) * 32
MIB = PIECE_SIZE
sizes = st.integers(0, 5000) | st.integers(0, MAX_SIZE) | st.builds(int.__add__, st.just(9 * MIB), st.integers(-2, 2))


class Stored(NamedTuple):
    data: bytes
    record: ContentRecord
    listed: bytes  # the list's chunk
    chunks: list[bytes]

    @property
    def location(self) -> Location:
        place = locate_list(self.record)
        return locate(self.record, place.open(KEY, 0, self.listed) if place else b"")


def stored(data: bytes) -> Stored:
    content, pieces = cut(data)
    chunks = [seal_piece(KEY, piece) for piece in pieces]
    ids = [chunk.id for chunk in chunks]
    if len(pieces) <= 8:
        return Stored(data, make_record(content, 1, ids), b"", [chunk.data for chunk in chunks])
    named, (piece,) = make_list(content, ids)
    listed = seal_piece(KEY, piece)
    return Stored(data, make_record(content, 1, [listed.id], named), listed.data, [chunk.data for chunk in chunks])


MADE = [stored(made_bytes(size)) for size in (0, 700, 2 * MIB + 12_345, 9 * MIB + 1)]


@given(sizes)
def test_pieces_have_lengths_of_chunks_and_cost_at_most_an_eighth(size: int) -> None:
    """FIL-01"""
    padded, count = padded_length(size), piece_count(size)
    assert padded == max(240, padding.padme(max(size, 2)))
    assert size <= padded <= max(240, size + size // 8)
    assert piece_length(size, count - 1) + (count - 1) * MIB == padded
    assert is_chunk_length(piece_length(size, count - 1) + 16)
    assert count == 1 or piece_length(size, 0) == MIB


@given(st.sampled_from(MADE), st.integers(0, 10 * MIB), st.integers(0, 10 * MIB))
@example(MADE[3], 0, 9 * MIB + 1)
@example(MADE[2], MIB - 1, MIB + 1)
def test_random_access_equals_slicing(made: Stored, start: int, stop: int) -> None:
    location = made.location
    read = b""
    touched = []
    for span in location.spans(start, stop):
        read += location.open(KEY, span.piece, made.chunks[span.piece])[span.start : span.stop]
        touched.append(span.piece)
    assert read == made.data[start:stop]
    assert len(touched) == len(set(touched)) <= (max(0, stop - start) + MIB - 2) // MIB + 1


@given(sizes, st.integers(), st.integers())
def test_spans_follow_each_other(size: int, start: int, stop: int) -> None:
    limits = slice(start, stop).indices(size)
    at = limits[0]
    if (min(limits[1], size) - at) // MIB > 100:
        stop = at + 100 * MIB
        limits = slice(at, stop).indices(size)
    for span in spans(size, start, stop):
        assert 0 <= span.start < span.stop <= MIB
        assert span.piece * MIB + span.start == at
        at += span.stop - span.start
    assert at == max(limits[0], limits[1])


@given(st.binary(max_size=2000), st.data())
def test_any_flipped_bit_of_a_chunk_is_refused(data: bytes, drawn: st.DataObject) -> None:
    """FIL-02"""
    content, (piece,) = cut(data)
    chunk = seal_piece(KEY, piece)
    assert open_chunk(KEY, chunk.id, piece.hash, chunk.data)[: len(data)] == data
    changed = bytearray(chunk.data)
    bit = drawn.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationError) as caught:
        open_chunk(KEY, chunk.id, piece.hash, changed)
    assert caught.value.code == "digest"
    assert content.size == len(data)


@given(st.binary(max_size=600), st.data())
def test_any_flipped_bit_of_a_record_is_refused_or_names_nothing(data: bytes, drawn: st.DataObject) -> None:
    """FIL-02, FIL-03, FIL-06: what a record says is held against its root, or fails with its chunk."""
    made = stored(data)
    record = made.record
    name = drawn.draw(st.sampled_from(["root", "hashes", "chunks", "size"]))
    if name == "size":
        changed = record.size ^ 1 << drawn.draw(st.integers(0, 33))
        other = ContentRecord(record.root, changed, 1, record.chunks, record.hashes)
    else:
        value = getattr(record, name) if name == "root" else getattr(record, name)[0]
        bit = drawn.draw(st.integers(0, 255))
        flipped = (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(32, "big")
        fields = {"root": record.root, "chunks": record.chunks, "hashes": record.hashes}
        fields[name] = flipped if name == "root" else (flipped,)
        other = ContentRecord(size=record.size, epoch=1, **fields)
    with pytest.raises(PeerError) as caught:
        locate(other).open(KEY, 0, made.chunks[0])
    assert caught.value.code == ("digest" if name == "chunks" else "malformed")


@given(st.integers(0, 8 * 640 - 1))
def test_any_flipped_bit_of_a_list_is_refused_or_spoils_one_chunk(bit: int) -> None:
    """FIL-02, FIL-03"""
    made = MADE[3]
    place = locate_list(made.record)
    assert place is not None
    entries = bytearray(place.open(KEY, 0, made.listed))
    entries[bit // 8] ^= 1 << bit % 8
    entry, at = divmod(bit // 8, 64)
    if at < 32:
        with pytest.raises(AuthenticationError) as caught:
            locate(made.record, entries)
    else:
        location = locate(made.record, entries)
        with pytest.raises(AuthenticationError) as caught:
            location.open(KEY, entry, made.chunks[entry])
    assert caught.value.code == "digest"


@given(st.lists(st.integers(0, 400_000), max_size=8), st.binary(min_size=1, max_size=8))
def test_a_builder_gives_the_same_for_every_way_of_cutting(steps: list[int], seed: bytes) -> None:
    data = made_bytes(sum(steps), seed.hex())
    builder = ContentBuilder()
    pieces = []
    at = 0
    for step in steps:
        pieces += builder.add(data[at : at + step])
        at += step
    pieces += builder.finish()
    assert (builder.content, pieces) == cut(data)
    assert b"".join(bytes(piece.data) for piece in pieces)[: len(data)] == data


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20), st.randoms(use_true_random=False))
def test_the_hash_of_chunks_is_one_of_the_set(ids: list[bytes], random: object) -> None:
    """FIL-15"""
    shuffled = ids + ids[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert chunks_hash(shuffled) == chunks_hash(ids)
    assert (chunks_hash(ids) is None) is (not ids)
    if ids:
        assert chunks_hash([*ids, bytes(31) + b"x"]) != chunks_hash(ids) or bytes(31) + b"x" in ids
