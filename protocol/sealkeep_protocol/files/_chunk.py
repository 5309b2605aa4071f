"""Chunks (spec §12.1): sealed pieces, named by the hashes of their ciphertexts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.files._content import MIN_PIECE, PIECE_SIZE, Piece
from sealkeep_protocol.padding import padme
from sealkeep_protocol.primitives import (
    HASH_SIZE,
    KEY_SIZE,
    TAG_SIZE,
    Buffer,
    aead_open,
    aead_seal,
    derive,
    equal,
    sha256,
)

MAX_CHUNK: Final = PIECE_SIZE + TAG_SIZE
MAX_CHUNKS: Final = 8256
"""Chunks that one segment may use (§12.4)."""

_LABEL: Final = "sealkeep/v1/chunk"
_ASSOCIATED: Final = cbor.encode([_LABEL])


@dataclass(frozen=True, slots=True)
class Chunk:
    """A sealed piece: its id, SHA-256 of `data`, and the ciphertext."""

    id: bytes
    data: bytes = field(repr=False)


def is_chunk_length(length: int) -> bool:
    """Whether a chunk may have so many bytes."""
    # FIL-01: "The length of a chunk MUST be 16 more than a bucket P of §2.3 with 240 ≤ P ≤ 1,048,576; a relay and a reader
    # MUST refuse any other."
    piece = length - TAG_SIZE
    return MIN_PIECE <= piece <= PIECE_SIZE and padme(piece) == piece


def _key(chunk_key: bytes, piece_hash: bytes) -> bytes:
    return derive(chunk_key, [_LABEL, piece_hash], KEY_SIZE)


def seal_piece(chunk_key: bytes, piece: Piece) -> Chunk:
    """Seal a piece under the chunk key of an epoch: always to the same chunk.

    `piece` comes from `piece_of` or a builder: the nonce is zero, so that a key must never meet a second piece.
    """
    sealed = aead_seal(_key(chunk_key, piece.hash), piece.data, _ASSOCIATED)
    return Chunk(sha256(sealed), sealed)


def check_chunk(chunk_id: bytes, data: Buffer) -> None:
    """Whether these bytes are the chunk of this id: what a relay answers for. Raises `AuthenticationError` (`digest`)."""
    if not is_chunk_length(len(data)):
        raise AuthenticationError("digest", f"a chunk of {len(data)} bytes, which none has")
    if not equal(sha256(data), chunk_id):
        raise AuthenticationError("digest", "a chunk is not the one that its id names")


def open_chunk(chunk_key: bytes, chunk_id: bytes, piece_hash: bytes, data: Buffer) -> bytes:
    """The piece in a chunk, filling included.

    Raises `AuthenticationError`: as `check_chunk`; and where the record's author named another chunk than this piece's,
    `ciphertext` or `digest`.
    """
    # FIL-02: "A reader MUST compare a chunk with its id before it opens it, and the hash of the piece with that of the
    # record after, and MUST NOT hand on a byte of a piece that differs (`digest`)."
    check_chunk(chunk_id, data)
    piece = aead_open(_key(chunk_key, piece_hash), data, _ASSOCIATED)
    if not equal(sha256(piece), piece_hash):
        raise AuthenticationError("digest", "a piece of a file is not the one that its record names")
    return piece


def chunks_hash(ids: Iterable[bytes]) -> bytes | None:
    """Field 20 of the header of a segment that uses these chunks (§12.4), in whatever order; None for none of them.

    Raises `ValueError` for more than `MAX_CHUNKS`.
    """
    ordered = sorted(set(ids))
    if len(ordered) > MAX_CHUNKS:
        raise ValueError(f"a segment uses at most {MAX_CHUNKS} chunks")
    return sha256(cbor.encode(ordered)) if ordered else None


def check_chunk_ids(ids: Sequence[cbor.Item], *, most: int = MAX_CHUNKS) -> tuple[bytes, ...]:
    """Ids of chunks as they travel: ascending, distinct, at most so many. Raises `MalformedError`."""
    if len(ids) > most:
        raise MalformedError("too-large", f"more than {most} ids of chunks")
    if any(type(one) is not bytes or len(one) != HASH_SIZE for one in ids):
        raise MalformedError("malformed", f"an id of a chunk is {HASH_SIZE} bytes long")
    if any(a >= b for a, b in pairwise(ids)):
        raise MalformedError("malformed", "ids of chunks are not ascending and distinct")
    return tuple(ids)
