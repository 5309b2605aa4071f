"""Contents (spec §12.1): how their bytes are filled up, cut into pieces, and named by a root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError, UsageError
from sealkeep_protocol.padding import padme
from sealkeep_protocol.primitives import Buffer, keystream, sha256

PIECE_SIZE: Final = 1 << 20
MAX_SIZE: Final = 1 << 33
"""Bytes of the largest content."""
MIN_PIECE: Final = 240  # with the tag it is the smallest bucket of a body


def padded_length(size: int) -> int:
    """Bytes that a content of so many bytes has when it is filled up. Raises `ValueError` for a size that none has."""
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"a content has 0 to {MAX_SIZE} bytes")
    return max(MIN_PIECE, padme(max(size, 2)))


def piece_count(size: int) -> int:
    """Number of pieces of a content of so many bytes, at least 1."""
    return -(-padded_length(size) // PIECE_SIZE)


def piece_length(size: int, index: int) -> int:
    """Bytes of the piece `index` (from 0) of a content of so many bytes. Raises `IndexError` where there is none."""
    if not 0 <= index < piece_count(size):
        raise IndexError("a content has no such piece")
    return min(PIECE_SIZE, padded_length(size) - index * PIECE_SIZE)


def content_root(size: int, hashes: Sequence[bytes]) -> bytes:
    """The root that size and hashes of the pieces give. Hashed: it must not change."""
    return sha256(cbor.encode(["sealkeep/v1/content", size, b"".join(hashes)]))


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a filled content with its hash. Made by `piece_of`: a chunk's key hangs on the hash being this piece's."""

    hash: bytes
    data: bytes | memoryview = field(repr=False)


def piece_of(data: bytes | memoryview) -> Piece:
    """The piece of these bytes, which must not change as long as it is used: its key seals nothing else."""
    return Piece(sha256(data), data)


@dataclass(frozen=True, slots=True)
class Content:
    """What a content is, without its bytes: its root, its size in bytes, the hashes of its pieces in order."""

    root: bytes
    size: int
    hashes: tuple[bytes, ...]

    @classmethod
    def of(cls, size: int, hashes: Sequence[bytes]) -> Self:
        """The content with this size and these hashes. Raises `ValueError` for another number of them than it has."""
        if len(hashes) != piece_count(size):
            raise ValueError("a content with another number of hashes than pieces")
        return cls(content_root(size, hashes), size, tuple(hashes))

    @property
    def whole(self) -> int:
        """How many pieces are all content: the next one, where there is one, holds the rest and the first filling."""
        return self.size // PIECE_SIZE

    def held(self, index: int) -> int:
        """Bytes of content at the beginning of the piece `index` (from 0); behind them stands filling."""
        return max(0, min(PIECE_SIZE, self.size - index * PIECE_SIZE))


class Filling:
    """What fills up a content of so many bytes: `hashes` are those of the pieces that are all content, `rest` is the hash
    of the content's bytes in the piece behind them (of no bytes where there are none)."""

    __slots__ = ("_key", "_size")

    def __init__(self, size: int, hashes: Sequence[bytes], rest: bytes) -> None:
        if len(hashes) != size // PIECE_SIZE:
            raise ValueError("the filling hangs on the hashes of exactly the pieces that are all content")
        self._size = size
        self._key = sha256(cbor.encode(["sealkeep/v1/filling", size, b"".join(hashes), rest]))

    @classmethod
    def of(cls, content: Content, piece: Buffer) -> Self:
        """The filling of a content: `piece` is the one of the index `content.whole`; empty where there is none."""
        rest = memoryview(piece)[: content.held(content.whole)]
        return cls(content.size, content.hashes[: content.whole], sha256(rest))

    def within(self, index: int) -> bytes:
        """The filling in the piece `index` (from 0)."""
        begin = index * PIECE_SIZE
        start = max(begin, self._size)
        return keystream(self._key, start - self._size, max(0, begin + piece_length(self._size, index) - start))


class ContentBuilder:
    """Makes pieces of a content's bytes as they come, with the memory of a piece, and at the end the content.

    Each piece is handed out once. `bytes` are not copied where they begin at a piece and hold it whole.
    """

    __slots__ = ("_content", "_hashes", "_held", "_is_open", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []
        self._held = bytearray()
        self._content: Content | None = None
        self._is_open = True

    def add(self, data: Buffer) -> list[Piece]:
        """Take the next bytes, and give the pieces that are whole by them. Raises `UsageError` beyond `MAX_SIZE` bytes."""
        if not self._is_open:
            raise ValueError("the content is finished")
        if self._size + len(data) > MAX_SIZE:
            raise UsageError(f"a file of more than {MAX_SIZE} bytes cannot be kept")
        self._size += len(data)
        # What may change behind our back must not become a piece: `Piece` says why.
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        pieces, start = [], 0
        while len(self._held) + len(view) - start >= PIECE_SIZE:
            end = start + PIECE_SIZE - len(self._held)
            pieces.append(self._piece(bytes(self._held + view[start:end]) if self._held else view[start:end]))
            self._held.clear()
            start = end
        self._held += view[start:]
        return pieces

    def finish(self) -> Iterator[Piece]:
        """Fill up, and give the pieces that remain, one at a time: there may be hundreds of filling alone."""
        self._is_open = False
        filling = Filling(self._size, self._hashes.copy(), sha256(self._held))
        for index in range(len(self._hashes), piece_count(self._size)):
            yield self._piece(bytes(self._held) + filling.within(index))
            self._held.clear()
        self._content = Content.of(self._size, self._hashes)

    def _piece(self, data: bytes | memoryview) -> Piece:
        piece = piece_of(data)
        self._hashes.append(piece.hash)
        return piece

    @property
    def content(self) -> Content:
        """What was built, once `finish` has given its last piece."""
        if self._content is None:
            raise ValueError("the content is not finished")
        return self._content


def cut(data: bytes) -> tuple[Content, list[Piece]]:
    """A content whose bytes are all at hand, and its pieces."""
    builder = ContentBuilder()
    pieces = [*builder.add(data), *builder.finish()]
    return builder.content, pieces


def check_piece(content: Content, index: int, data: bytes, filling: Filling | None = None) -> memoryview:
    """The content's bytes in a piece whose hash was compared already.

    A piece of filling alone (index beyond `content.whole`) needs `filling`, which the piece of that index makes. Raises
    `MalformedError` where the author cut or filled otherwise than §12.1 says.
    """
    # FIL-03: "A reader MUST, … of each piece its length with that which its place gives, and the filling in it with §12.1."
    if len(data) != piece_length(content.size, index):
        raise MalformedError("malformed", "a piece of a file has another length than its place gives")
    held = content.held(index)
    if held < len(data):
        if index == content.whole:
            filling = Filling.of(content, data)
        if filling is None:
            raise ValueError("a piece of filling alone is checked by what the piece before it makes")
        if not data.endswith(filling.within(index)):  # as long as what is behind the content
            raise MalformedError("malformed", "a file is filled up otherwise than its content gives")
    return memoryview(data)[:held]
