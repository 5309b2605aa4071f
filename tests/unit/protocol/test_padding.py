"""Buckets, and the frame inside a body's padding (spec §2.3)."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import zstandard

from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.padding import (
    MAX_BODY,
    MAX_CONTENT,
    MAX_WINDOW,
    MIN_BODY,
    OVERHEAD,
    PLAIN,
    ZSTD,
    bucket,
    check_bucket,
    compress,
    decompress,
    is_bucket,
    pad,
    padme,
    unpad,
)
from support.accounts import refused

CONTENT = b"content " * 100


def blocks(declared: int, count: int, *, single: bool = True, window: int = 17, size: int = 1 << 17) -> bytes:
    """A zstd frame by hand: so many run-length blocks of `size` bytes, whatever it declares."""
    frame = b"\x28\xb5\x2f\xfd" + (b"\xa0" if single else bytes([0x80, (window - 10) << 3]))
    frame += struct.pack("<I", declared)
    for number in range(count):
        frame += struct.pack("<I", size << 3 | 1 << 1 | (number == count - 1))[:3] + b"a"
    return frame


@pytest.mark.parametrize(
    ("length", "padded"),
    [(2, 2), (3, 3), (7, 7), (8, 8), (9, 10), (255, 256), (256, 256), (257, 272), (1000, 1024), (262_143, 262_144)],
)
def test_padme(length: int, padded: int) -> None:
    assert padme(length) == padded


def test_every_bucket_is_its_own() -> None:
    assert [length for length in range(256, 513) if is_bucket(length)] == list(range(256, 513, 16))
    assert is_bucket(MAX_BODY)
    assert not is_bucket(240)
    assert not is_bucket(MAX_BODY + 8192)
    assert padme(MAX_BODY + 8192) == MAX_BODY + 8192


@pytest.mark.parametrize("length", [0, 1, 255, 257, 240, 262_143, MAX_BODY + 8192, 1 << 40])
def test_a_length_that_is_no_bucket_is_refused(length: int) -> None:
    """ENC-07"""
    check_bucket(MIN_BODY)
    check_bucket(MAX_BODY)
    with refused(AuthenticationError, "digest"):
        check_bucket(length)


def test_buckets_of_contents() -> None:
    assert bucket(0) == bucket(235) == 256
    assert bucket(236) == 272
    assert bucket(MAX_BODY - OVERHEAD) == MAX_BODY


@pytest.mark.parametrize("length", [256, 1024, MAX_BODY])
def test_pad_and_unpad(length: int) -> None:
    for content in (b"", b"x", b"x" * (length - OVERHEAD)):
        plaintext = pad(content, length, form=PLAIN)
        assert len(plaintext) == length - 16
        assert unpad(plaintext, compressed_allowed=False) == content
    packed = compress(CONTENT)
    assert unpad(pad(packed, length, form=ZSTD), compressed_allowed=True) == CONTENT


def test_pad_takes_what_fits() -> None:
    for content, length in ((b"x" * 236, 256), (b"", 255), (b"", 257), (b"x" * (MAX_BODY - 20), MAX_BODY)):
        with pytest.raises(ValueError, match="does not fit"):
            pad(content, length, form=PLAIN)


def test_padding_that_is_not_zero_is_refused() -> None:
    """ENC-08"""
    plaintext = bytearray(pad(b"content", 256, form=PLAIN))
    for position in range(5 + 7, len(plaintext)):
        plaintext[position] ^= 1
        with refused(MalformedError, "malformed"):
            unpad(bytes(plaintext), compressed_allowed=True)
        plaintext[position] ^= 1
    assert unpad(bytes(plaintext), compressed_allowed=True) == b"content"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0\0\0\0",
        bytes([PLAIN]) + (236).to_bytes(4, "big") + bytes(235),
        bytes([PLAIN]) + b"\xff\xff\xff\xff" + bytes(235),
        bytes([2]) + bytes(239),
        bytes([255]) + bytes(239),
    ],
    ids=["empty", "too short", "one beyond", "far beyond", "format 2", "format 255"],
)
def test_lengths_beyond_the_plaintext_and_unknown_formats_are_refused(plaintext: bytes) -> None:
    """ENC-08"""
    with refused(MalformedError, "malformed"):
        unpad(plaintext, compressed_allowed=True)


def test_a_compressed_body_is_refused_where_it_is_not_allowed() -> None:
    """SEG-10"""
    with refused(MalformedError, "malformed"):
        unpad(pad(compress(CONTENT), 256, form=ZSTD), compressed_allowed=False)


SKIPPABLE = struct.pack("<II", 0x184D2A50, 3) + b"abc"


@pytest.mark.parametrize(
    "frame",
    [
        compress(CONTENT) + b"\0",
        compress(CONTENT) + compress(CONTENT),
        compress(CONTENT) + SKIPPABLE,
        SKIPPABLE + compress(CONTENT),
        SKIPPABLE,
        struct.pack("<II", 0x184D2A50, len(CONTENT)) + CONTENT + compress(CONTENT),
        struct.pack("<II", 0x184D2A50, 0),
        compress(CONTENT)[:-1],
        b"\x28\xb5\x2f\xfd",
        b"not a frame at all",
        b"",
    ],
    ids=[
        "a byte after it",
        "two frames",
        "skippable after",
        "skippable before",
        "skippable alone",
        "skippable, as long as the content after it",
        "an empty skippable frame",
        "cut short",
        "magic alone",
        "no frame",
        "nothing",
    ],
)
def test_anything_but_one_frame_is_refused(frame: bytes) -> None:
    """ENC-08"""
    with refused(MalformedError, "malformed"):
        unpad(pad(frame, 2048, form=ZSTD), compressed_allowed=True)


def test_a_frame_that_declares_no_size_is_refused() -> None:
    """ENC-09"""
    for checksum in (False, True):
        with refused(MalformedError, "malformed"):
            decompress(zstandard.ZstdCompressor(write_content_size=False, write_checksum=checksum).compress(CONTENT))
    with refused(MalformedError, "malformed"):
        decompress(compress(b""))  # no content is empty: the CBOR of §7.1 is an item


def test_a_frame_that_declares_too_much_is_refused_before_it_is_decompressed() -> None:
    """ENC-09"""
    assert len(decompress(blocks(MAX_CONTENT, 32))) == MAX_CONTENT
    for frame in (blocks(MAX_CONTENT + 1, 33), blocks((1 << 32) - 1, 1), compress(bytes(MAX_CONTENT + 1))):
        with refused(MalformedError, "too-large"):
            decompress(frame)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(("declared", "count"), [(MAX_CONTENT, 31), (MAX_CONTENT, 33), (1, 1), (1000, 60_000)])
def test_a_frame_that_yields_another_size_is_refused_without_the_memory_for_it(
    single: bool, declared: int, count: int
) -> None:
    """ENC-09: 60,000 blocks of 4 bytes would be 8 GB."""
    frame = blocks(declared, count, single=single)
    tracemalloc.start()
    try:
        with refused(MalformedError, "malformed"):
            decompress(frame)
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_CONTENT
    finally:
        tracemalloc.stop()


def test_windows_go_up_to_8_mib() -> None:
    """ENC-09, beside which §2.3 limits the window."""
    assert MAX_WINDOW == 1 << 23
    assert len(decompress(blocks(1 << 17, 1, single=False, window=23))) == 1 << 17
    with refused(MalformedError, "malformed"):
        decompress(blocks(1 << 17, 1, single=False, window=24))


def test_a_dictionary_is_refused() -> None:
    """ENC-08"""
    samples: list[bytes | bytearray | memoryview] = [
        f"sample {number} of some text that repeats".encode() * 3 for number in range(200)
    ]
    dictionary = zstandard.train_dictionary(2048, samples)
    with refused(MalformedError, "malformed"):
        decompress(zstandard.ZstdCompressor(dict_data=dictionary).compress(samples[0]))


def test_compression_declares_its_size_and_adds_no_checksum() -> None:
    parameters = zstandard.get_frame_parameters(compress(CONTENT))
    assert parameters.content_size == len(CONTENT)
    assert not parameters.has_checksum
    assert not parameters.dict_id
    assert decompress(compress(CONTENT, closely=True)) == CONTENT
