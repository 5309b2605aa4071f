"""Chunks: sealing, opening, ids (spec §12.1, §12.4)."""

from __future__ import annotations

import hashlib

import cbor2
import nacl.bindings
import pytest

from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.files import (
    MAX_CHUNK,
    MAX_CHUNKS,
    PIECE_SIZE,
    check_chunk,
    check_chunk_ids,
    chunks_hash,
    cut,
    is_chunk_length,
    open_chunk,
    piece_of,
    seal_piece,
)
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.primitives import hkdf
from support.accounts import flipped, refused
from support.made_files import made_bytes

KEY = EpochKeys(bytes([7]) * 32, 3, bytes([9]) * 32).chunk_key
OTHER = EpochKeys(bytes([7]) * 32, 4, bytes([9]) * 32).chunk_key
DATA = made_bytes(240)
PIECE = piece_of(DATA)
CHUNK = seal_piece(KEY, PIECE)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_chunk_is_what_the_spec_says() -> None:
    """By libsodium, from the words of §12.1."""
    key = hkdf(KEY, salt=b"", info=cbor2.dumps(["sealkeep/v1/chunk", sha(DATA)]), size=32)
    ad = cbor2.dumps(["sealkeep/v1/chunk"])
    sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(DATA, ad, bytes(12), key)
    assert sealed == CHUNK.data
    assert sha(sealed) == CHUNK.id


def test_what_is_sealed_opens() -> None:
    for size in (1, 5000, PIECE_SIZE):
        _, (piece,) = cut(made_bytes(size))
        chunk = seal_piece(KEY, piece)
        assert is_chunk_length(len(chunk.data))
        assert len(chunk.data) <= MAX_CHUNK
        check_chunk(chunk.id, chunk.data)
        assert open_chunk(KEY, chunk.id, piece.hash, chunk.data) == piece.data
        assert open_chunk(KEY, chunk.id, piece.hash, memoryview(bytearray(chunk.data))) == piece.data


def test_equal_pieces_make_equal_chunks_in_one_epoch_alone() -> None:
    assert seal_piece(KEY, piece_of(memoryview(bytes(DATA)))) == CHUNK
    assert seal_piece(OTHER, PIECE).id != CHUNK.id
    with refused(AuthenticationError, "ciphertext"):
        open_chunk(OTHER, CHUNK.id, PIECE.hash, CHUNK.data)


@pytest.mark.parametrize("length", [0, 16, 255, 257, 264, 272 + 1, MAX_CHUNK - 1, MAX_CHUNK + 1, 2 * MAX_CHUNK])
def test_a_chunk_of_a_length_that_none_has_is_refused(length: int) -> None:
    """FIL-01: even where its hash is the id."""
    assert not is_chunk_length(length)
    data = bytes(length)
    with refused(AuthenticationError, "digest"):
        check_chunk(sha(data), data)
    with refused(AuthenticationError, "digest"):
        open_chunk(KEY, sha(data), PIECE.hash, data)


@pytest.mark.parametrize("length", [256, 272, 16 + 1024, MAX_CHUNK])
def test_the_lengths_of_chunks(length: int) -> None:
    """FIL-01"""
    assert is_chunk_length(length)
    check_chunk(sha(bytes(length)), bytes(length))


@pytest.mark.parametrize("bit", [0, 800, 8 * 239, 8 * 256 - 1])
def test_a_chunk_that_is_not_the_one_of_its_id_is_not_opened(bit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """FIL-02"""
    monkeypatch.setattr("sealkeep_protocol.files._chunk.aead_open", None)
    with refused(AuthenticationError, "digest"):
        open_chunk(KEY, CHUNK.id, PIECE.hash, flipped(CHUNK.data, bit))
    with refused(AuthenticationError, "digest"):
        open_chunk(KEY, flipped(CHUNK.id, 3), PIECE.hash, CHUNK.data)


def test_an_author_who_names_another_piece_or_spoils_a_chunk_is_refused() -> None:
    """FIL-02: the id holds, and nothing is handed on."""
    spoilt = flipped(CHUNK.data, 5)
    for chunk_id, piece_hash, data in (
        (CHUNK.id, sha(b"another piece"), CHUNK.data),
        (sha(spoilt), PIECE.hash, spoilt),
    ):
        with refused(AuthenticationError, "ciphertext") as caught:
            open_chunk(KEY, chunk_id, piece_hash, data)
        assert KEY.hex()[:8] not in str(caught.value)


def test_another_piece_under_a_pieces_key_is_refused() -> None:
    """FIL-02, P11: an author seals what the key was not made of; only the hash tells."""
    key = hkdf(KEY, salt=b"", info=cbor2.dumps(["sealkeep/v1/chunk", PIECE.hash]), size=32)
    ad = cbor2.dumps(["sealkeep/v1/chunk"])
    forged = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(bytes(240), ad, bytes(12), key)
    with refused(AuthenticationError, "digest"):
        open_chunk(KEY, sha(forged), PIECE.hash, forged)


def test_the_hash_of_a_segments_chunks() -> None:
    """FIL-15"""
    ids = [sha(bytes([number])) for number in range(5)]
    assert chunks_hash([]) is None
    assert chunks_hash(ids) == chunks_hash([*reversed(ids), ids[2]]) == sha(cbor2.dumps(sorted(ids)))
    assert chunks_hash(ids[:1]) == sha(cbor2.dumps(ids[:1]))
    many = [number.to_bytes(32, "big") for number in range(MAX_CHUNKS + 1)]
    assert chunks_hash(many[:-1])
    with pytest.raises(ValueError, match="at most 8256"):
        chunks_hash(many)


def test_ids_travel_ascending_and_distinct() -> None:
    ids = tuple(sorted(sha(bytes([number])) for number in range(5)))
    assert check_chunk_ids(list(ids)) == ids
    assert check_chunk_ids([]) == ()
    for wrong in (
        [ids[1], ids[0]],
        [ids[0], ids[0]],
        [ids[0][:-1]],
        [ids[0] + b"\0"],
        [ids[0].hex()],
        [None],
        [1],
    ):
        with refused(MalformedError, "malformed"):
            check_chunk_ids(wrong)
    with refused(MalformedError, "too-large"):
        check_chunk_ids(list(ids), most=4)
