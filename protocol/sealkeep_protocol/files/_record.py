"""Content records (spec §12.2): under which epoch and in which chunks a content is stored; and the list of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.files._chunk import open_chunk
from sealkeep_protocol.files._content import (
    MAX_SIZE,
    PIECE_SIZE,
    Content,
    Filling,
    Piece,
    check_piece,
    content_root,
    cut,
    piece_count,
)
from sealkeep_protocol.primitives import HASH_SIZE, Buffer, equal

MAX_NAMED: Final = 8
"""Pieces that a content record names itself; those of a larger content stand in a list."""
_ENTRY: Final = 2 * HASH_SIZE  # hash ‖ chunk id


@dataclass(frozen=True, slots=True)
class ContentRecord:
    """Where a content is stored, as its author says (spec §12.2).

    `chunks` and `hashes` are those of the content's pieces, or, where `pieces` says how many these are, of its list's.
    """

    root: bytes
    size: int
    epoch: int
    chunks: tuple[bytes, ...]
    hashes: tuple[bytes, ...]
    pieces: int | None = None


def check_record(record: ContentRecord) -> None:
    """Whether a record is in order by itself; its epoch against the header's is for who knows that.

    Raises `MalformedError`.
    """
    # FIL-06: "A reader MUST take a body as unreadable (SEG-22) that holds a content record whose size is above 2^33, whose
    # epoch is 0 …, whose arrays have not the length that follows from size and field 6, which has field 6 where there are
    # at most 8 pieces, or has it not, or otherwise than the size gives, where there are more, or, without field 6, whose
    # root is not that of its size and hashes."
    if not 0 <= record.size <= MAX_SIZE:
        raise MalformedError("malformed", f"a content of more than {MAX_SIZE} bytes")
    if record.epoch < 1:
        raise MalformedError("malformed", "a content record of epoch 0")
    count = piece_count(record.size)
    if record.pieces != (None if count <= MAX_NAMED else count):
        raise MalformedError("malformed", "a content record with another number of pieces than its size gives")
    named = count if record.pieces is None else piece_count(_ENTRY * count)
    if not len(record.chunks) == len(record.hashes) == named:
        raise MalformedError("malformed", "a content record with another number of chunks than its size gives")
    if record.pieces is None and not equal(content_root(record.size, record.hashes), record.root):
        raise MalformedError("malformed", "the root of a content record is not that of its size and hashes")


class Span(NamedTuple):
    """A stretch of a content that lies in one piece: the piece's index (from 0), and where in it, as of a slice."""

    piece: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Location:
    """A content with the chunks of all its pieces, and the epoch that they are sealed under."""

    content: Content
    epoch: int
    chunks: tuple[bytes, ...]

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        """The pieces that hold the content's bytes from `start` up to `stop`, clipped as a slice is."""
        return spans(self.content.size, start, stop)

    def open(self, chunk_key: bytes, index: int, data: Buffer, filling: Filling | None = None) -> memoryview:
        """The content's bytes in the piece `index` (from 0), whose chunk is `data`.

        A piece of filling alone needs `filling`. Raises as `open_chunk` and `check_piece`.
        """
        piece = open_chunk(chunk_key, self.chunks[index], self.content.hashes[index], data)
        return check_piece(self.content, index, piece, filling)


def spans(size: int, start: int, stop: int) -> Iterator[Span]:
    """The pieces that hold the bytes from `start` up to `stop` of a content of so many, clipped as a slice is."""
    start, stop, _ = slice(start, stop).indices(size)
    while start < stop:
        index, begin = divmod(start, PIECE_SIZE)
        end = min(PIECE_SIZE, begin + stop - start)
        yield Span(index, begin, end)
        start += end - begin


def make_list(content: Content, chunks: Sequence[bytes]) -> tuple[Content, list[Piece]]:
    """The list of a content of more than `MAX_NAMED` pieces, whose chunks these are: what names it, and its pieces.

    It is sealed under the same epoch, and its chunks' ids go into `make_record`.
    """
    return cut(b"".join(map(bytes.__add__, content.hashes, _as_many(content, chunks))))


def make_record(content: Content, epoch: int, chunks: Sequence[bytes], listed: Content | None = None) -> ContentRecord:
    """The record of a content: `chunks` are those of its pieces, or, of a large one, those of `listed`, its list."""
    many = len(content.hashes) > MAX_NAMED
    if many is (listed is None):
        raise ValueError(f"a list is for contents of more than {MAX_NAMED} pieces")
    named = listed or content
    record = ContentRecord(
        content.root,
        content.size,
        epoch,
        tuple(_as_many(named, chunks)),
        named.hashes,
        len(content.hashes) if many else None,
    )
    check_record(record)
    return record


def locate_list(record: ContentRecord) -> Location | None:
    """Where the list of a record is stored; None for a record that names its chunks itself."""
    if record.pieces is None:
        return None
    return Location(Content.of(_ENTRY * record.pieces, record.hashes), record.epoch, record.chunks)


def locate(record: ContentRecord, listed: Buffer = b"") -> Location:
    """Where the content of a record is stored; `listed` are the bytes of its list, where it has one.

    Raises `MalformedError`, or `AuthenticationError` (`digest`) where what they say is not what the root names.
    """
    # FIL-03: "A reader MUST, before it hands on a byte of a content, have compared the root with size and hashes, and the
    # number of pieces with that which the size gives; …"
    check_record(record)
    hashes, chunks = record.hashes, record.chunks
    if record.pieces is not None:
        if len(listed) != _ENTRY * record.pieces:
            raise MalformedError("malformed", "the list of a content has another length than its record says")
        entries = bytes(listed)
        parts = [entries[at : at + HASH_SIZE] for at in range(0, len(entries), HASH_SIZE)]
        hashes, chunks = tuple(parts[::2]), tuple(parts[1::2])
    content = Content.of(record.size, hashes)
    if not equal(content.root, record.root):
        raise AuthenticationError("digest", "the list of a content is not the one that its root names")
    return Location(content, record.epoch, chunks)


def chunks_used(record: ContentRecord, location: Location) -> set[bytes]:
    """Every chunk of a record, those of its list included (FIL-05)."""
    return {*record.chunks, *location.chunks}


def _as_many(content: Content, chunks: Sequence[bytes]) -> Sequence[bytes]:
    if len(chunks) != len(content.hashes):
        raise ValueError("a content has one chunk for each piece")
    return chunks
