"""Contents: padding, filling, pieces and roots (spec §12.1)."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace

import cbor2
import nacl.bindings
import pytest

from sealkeep_protocol.errors import MalformedError, UsageError
from sealkeep_protocol.files import (
    MAX_SIZE,
    PIECE_SIZE,
    Content,
    ContentBuilder,
    Filling,
    Piece,
    check_piece,
    content_root,
    cut,
    is_chunk_length,
    padded_length,
    piece_count,
    piece_length,
    piece_of,
)
from sealkeep_protocol.files import _content as module
from sealkeep_protocol.primitives import keystream
from support.accounts import refused
from support.made_files import made_bytes

MIB = PIECE_SIZE


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (0, 240),
        (1, 240),
        (240, 240),
        (241, 256),
        (1000, 1024),
        (MIB, MIB),
        (MIB + 1, MIB + 32_768),
        (9 * MIB, 9 * MIB),
        (9 * MIB + 1, 9 * MIB + 262_144),
        (MAX_SIZE - 1, MAX_SIZE),
        (MAX_SIZE, MAX_SIZE),
    ],
)
def test_a_content_is_padded_to_a_bucket_and_cut_into_pieces(size: int, padded: int) -> None:
    assert padded_length(size) == padded
    count = piece_count(size)
    lengths = [piece_length(size, index) for index in range(count)]
    assert sum(lengths) == padded
    assert set(lengths[:-1]) <= {MIB}
    for index in (-1, count):
        with pytest.raises(IndexError):
            piece_length(size, index)


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_no_content_has_another_size(size: int) -> None:
    with pytest.raises(ValueError, match="0 to 8589934592 bytes"):
        padded_length(size)


def test_the_keystream_is_that_of_rfc_8439() -> None:
    assert keystream(bytes(32), 0, 16).hex() == "76b8e0ada0f13d90405d6ae55386bd28"  # appendix A.1, vector 1
    key = sha(b"a key")
    # From block 1 on it is what the AEAD encrypts with: libsodium's, of zeros.
    sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(bytes(1000), None, bytes(12), key)
    assert keystream(key, 64, 1000) == sealed[:-16]
    whole = keystream(key, 0, 500)
    for start, size in ((0, 0), (0, 500), (1, 499), (63, 2), (64, 64), (65, 200)):
        assert keystream(key, start, size) == whole[start : start + size]


@pytest.mark.parametrize("size", [0, 1, 239, 240, 500, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 5])
def test_root_and_filling_are_what_the_spec_says(size: int) -> None:
    data = made_bytes(size)
    whole = [sha(data[at : at + MIB]) for at in range(0, size - size % MIB, MIB)]
    rest = sha(data[len(whole) * MIB :])
    key = sha(cbor2.dumps(["sealkeep/v1/filling", size, b"".join(whole), rest]))
    filled = data + keystream(key, 0, padded_length(size) - size)
    pieces = [filled[at : at + MIB] for at in range(0, len(filled), MIB)]
    root = sha(cbor2.dumps(["sealkeep/v1/content", size, b"".join(map(sha, pieces))]))
    content, cut_pieces = cut(data)
    assert content == Content(root, size, tuple(map(sha, pieces)))
    assert [(piece.hash, bytes(piece.data)) for piece in cut_pieces] == [(sha(piece), piece) for piece in pieces]
    assert content_root(size, content.hashes) == root
    filling = Filling.of(content, pieces[content.whole] if content.whole < len(pieces) else b"")
    assert b"".join(filling.within(index) for index in range(len(pieces))) == filled[size:]


def test_pieces_of_filling_alone_differ_from_file_to_file() -> None:
    """Equal ones would tell the size of a file to the piece: here one more is filling than content."""
    size = 32 * MIB + 1  # filled up to 33 MiB and more
    assert padded_length(size) == 33 * MIB
    size = 64 * MIB + 1
    assert padded_length(size) == 66 * MIB
    hashes = [sha(bytes([index])) for index in range(64)]
    made = {Filling(size, hashes, sha(rest)).within(65) for rest in (b"a", b"b")} | {
        Filling(size, [sha(b"other"), *hashes[1:]], sha(b"a")).within(65)
    }
    assert len(made) == 3
    assert {len(one) for one in made} == {MIB}
    with pytest.raises(ValueError, match="exactly the pieces"):
        Filling(size, hashes[:-1], sha(b"a"))


@pytest.mark.parametrize("step", [1 << 16, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_a_builder_takes_bytes_as_they_come(step: int) -> None:
    data = made_bytes(2 * MIB + 77)
    builder = ContentBuilder()
    pieces: list[Piece] = []
    for at in range(0, len(data), step):
        pieces += builder.add(data[at : at + step])
        assert len(pieces) == min(len(data), at + step) // MIB
    pieces += builder.finish()
    assert (builder.content, pieces) == cut(data)
    assert pieces == [piece_of(piece.data) for piece in pieces]


def test_whole_pieces_are_not_copied_and_what_may_change_is() -> None:
    data = made_bytes(MIB)
    (piece,) = ContentBuilder().add(data)
    assert isinstance(piece.data, memoryview)
    assert piece.data.obj is data
    buffer = bytearray(data)
    for changing in (buffer, memoryview(buffer)):
        (piece,) = ContentBuilder().add(changing)
        buffer[0] ^= 1
        assert sha(piece.data) == piece.hash
        buffer[0] ^= 1


def test_a_content_is_known_when_its_last_piece_was_given() -> None:
    builder = ContentBuilder()
    with pytest.raises(ValueError, match="not finished"):
        _ = builder.content
    rest = builder.finish()
    assert len(next(rest).data) == 240
    with pytest.raises(ValueError, match="not finished"):
        _ = builder.content
    with pytest.raises(ValueError, match="is finished"):
        builder.add(b"more")
    assert list(rest) == []
    assert builder.content.size == 0


def test_a_builder_holds_one_piece_at_a_time() -> None:
    """Whatever the size, filling included: here 64 MiB and 2 MiB."""
    step = bytes(1 << 18)
    tracemalloc.start()
    try:
        builder = ContentBuilder()
        given = sum(len(piece.data) for _ in range(256) for piece in builder.add(step))
        builder.add(b"x")
        given += sum(len(piece.data) for piece in builder.finish())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert given == padded_length(64 * MIB + 1) == 66 * MIB
    assert peak < 6 * MIB


def test_the_bytes_of_a_file_are_not_shown() -> None:
    _, (piece,) = cut(b"a secret")
    assert "secret" not in repr(piece)
    assert repr(piece) == f"Piece(hash={piece.hash!r})"


def test_a_builder_refuses_more_than_a_content_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 10)
    builder = ContentBuilder()
    builder.add(bytes(10))
    with pytest.raises(UsageError, match="more than 10 bytes"):
        builder.add(b"x")


def test_a_content_has_as_many_hashes_as_pieces() -> None:
    with pytest.raises(ValueError, match="hashes"):
        Content.of(MIB + 1, [sha(b"one")])


def test_the_content_of_a_piece_is_told_from_its_filling() -> None:
    for size in (0, 5, 240, 1000):
        data = made_bytes(size)
        content, (piece,) = cut(data)
        assert bytes(check_piece(content, 0, bytes(piece.data))) == data


def test_a_piece_of_another_length_than_its_place_gives_is_refused() -> None:
    """FIL-03"""
    content, pieces = cut(made_bytes(MIB + 100))
    first, last = (bytes(piece.data) for piece in pieces)
    assert check_piece(content, 1, last) == first[:0] + made_bytes(MIB + 100)[MIB:]
    for index, data in ((0, last), (0, first[:-1]), (1, first), (1, last + b"\0"), (1, b"")):
        with refused(MalformedError, "malformed"):
            check_piece(content, index, data)


def test_filling_that_is_not_what_the_content_gives_is_refused() -> None:
    """FIL-03: zeros, one bit, the filling of another size."""
    content, (piece,) = cut(made_bytes(500))
    good = bytes(piece.data)
    assert len(check_piece(content, 0, good)) == 500
    for bad in (
        good[:500] + bytes(len(good) - 500),
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:500] + bytes([good[500] ^ 128]) + good[501:],
        bytes([good[0] ^ 1]) + good[1:],  # the filling hangs on the content
    ):
        with refused(MalformedError, "malformed"):
            check_piece(content, 0, bad)
    with refused(MalformedError, "malformed"):
        check_piece(replace(content, size=499), 0, good)


def test_a_piece_of_filling_alone_is_checked_by_the_piece_before() -> None:
    """FIL-03"""
    size = 64 * MIB + 1
    hashes = [sha(bytes([index])) for index in range(64)]
    filling = Filling(size, hashes, sha(b"!"))
    boundary, alone = b"!" + filling.within(64), filling.within(65)
    content = Content.of(size, [*hashes, sha(boundary), sha(alone)])
    assert bytes(check_piece(content, 64, boundary)) == b"!"
    assert bytes(check_piece(content, 65, alone, Filling.of(content, boundary))) == b""
    with pytest.raises(ValueError, match="filling alone"):
        check_piece(content, 65, alone)
    with refused(MalformedError, "malformed"):
        check_piece(content, 65, bytes(MIB), filling)


def test_pieces_are_buckets_of_chunks() -> None:
    """FIL-01"""
    for size in (0, 1, 5000, MIB + 1, 33 * MIB + 7, MAX_SIZE - 1):
        assert is_chunk_length(16 + piece_length(size, piece_count(size) - 1))
