"""Strict deterministic CBOR (spec §2.1)."""

from __future__ import annotations

import time
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from support.accounts import refused

ENCODINGS = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65_536, "1a00010000"),
    (1 << 32, "1b0000000100000000"),
    ((1 << 63) - 1, "1b7fffffffffffffff"),
    (-1, "20"),
    (-25, "3818"),
    (-(1 << 63), "3b7fffffffffffffff"),
    (b"", "40"),
    (b"\x01\x02", "420102"),
    ("", "60"),
    ("水", "63e6b0b4"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    ([], "80"),
    ([1, [2, 3]], "8201820203"),
    ({}, "a0"),
    ({100: 1, 10: 2, 0: 3}, "a300030a02186401"),
    ({"aa": 1, "b": 2, "": 3}, "a36003616202626161" + "01"),
    ([b"x" * 24], "815818" + "78" * 24),
]


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    A = "a"


class OldWord(str, Enum):  # whose `str` is not its value  # noqa: UP042
    A = "a"


@pytest.mark.parametrize(("value", "encoded"), ENCODINGS)
def test_encodings_go_both_ways(value: Any, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert cbor.encode(value) == data
    assert cbor.decode(data, limit=len(data)) == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Number.ONE, 1),
        (Word.A, "a"),
        (OldWord.A, "a"),
        ({Number.ONE: 0}, {1: 0}),
        ({OldWord.A: 0}, {"a": 0}),
        (MappingProxyType({2: 0, 1: 0}), {1: 0, 2: 0}),
    ],
)
def test_kindred_types_are_encoded_as_the_plain_ones(value: Any, plain: Any) -> None:
    assert cbor.encode(value) == cbor.encode(plain)


@pytest.mark.parametrize("value", [1.0, {1}, object(), {-1: 0}, {True: 0}, {None: 0}, {b"": 0}, {1: 0, "a": 0}, [1j]])
def test_what_has_no_deterministic_encoding_is_a_mistake_of_the_caller(value: Any) -> None:
    with pytest.raises(TypeError):
        cbor.encode(value)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1, {1 << 63: 0}, [{1 << 70: 0}], "\ud800"])
def test_numbers_beyond_64_bits_and_lone_surrogates_are_a_mistake_of_the_caller(value: Any) -> None:
    with pytest.raises(ValueError, match=r"64 bits|surrogates"):
        cbor.encode(value)


NOT_DETERMINISTIC = {
    "long form of 0": "1800",
    "long form of 255": "1900ff",
    "long form of a length": "580100",
    "long form of a count": "980101",
    "long form of a key": "a1180100",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "indefinite array": "9f01ff",
    "indefinite map": "bf0101ff",
    "reserved length 28": "1c",
    "reserved length 30": "5e00",
    "a break": "ff",
    "unsorted keys": "a202000100",
    "unsorted text keys": "a2616200616100",
    "a key twice": "a201000100",
    "keys of both kinds": "a20100616100",
    "a negative key": "a12000",
    "a boolean key": "a1f400",
    "0 and false as keys": "a20000f400",
    "a key of bytes": "a1400000"[:6],
    "a key that is an array": "a18000",
    "a key that is a map": "a1a000",
    "a key beyond 64 bits": "a11b800000000000000000",
    "an integer beyond 64 bits": "1b8000000000000000",
    "a negative integer beyond 64 bits": "3b8000000000000000",
    "bytes after the item": "0000",
    "text that is no UTF-8": "61ff",
    "a surrogate in UTF-8": "63eda080",
    "nothing": "",
}


@pytest.mark.parametrize("data", NOT_DETERMINISTIC.values(), ids=NOT_DETERMINISTIC.keys())
def test_what_is_not_the_deterministic_encoding_is_refused(data: str) -> None:
    """ENC-01"""
    with refused(MalformedError, "malformed"):
        cbor.decode(bytes.fromhex(data), limit=100)


@pytest.mark.parametrize(
    "data",
    ["f90000", "fa00000000", "fb0000000000000000", "c000", "c24101", "d81c00", "d9d9f700", "e0", "f3", "f7", "f820"],
)
def test_floats_tags_and_other_simple_values_are_refused_wherever_they_stand(data: str) -> None:
    """ENC-02"""
    for wrapped in (data, "8200" + data, "a100" + data, "a1" + data + "00"):
        with refused(MalformedError, "malformed"):
            cbor.decode(bytes.fromhex(wrapped), limit=100)


def nested(levels: int) -> bytes:
    return b"\x81" * levels + b"\x00"


def test_eight_levels_and_no_more() -> None:
    """ENC-03: a top-level array or map is level 1."""
    assert cbor.decode(nested(8), limit=100)
    assert cbor.decode(b"\xa1\x00" * 8 + b"\x00", limit=100)
    assert cbor.decode(b"\x82" + nested(7) + nested(7), limit=100)
    for deep in (nested(9), b"\xa1\x00" * 9 + b"\x00", b"\x81" * 8 + b"\x80", b"\x82" + nested(7) + nested(8)):
        with refused(MalformedError, "malformed"):
            cbor.decode(deep, limit=100)
    with refused(MalformedError, "malformed"):
        cbor.decode(nested(100_000), limit=200_000)


def test_more_bytes_than_the_limit_are_refused_undecoded() -> None:
    """ENC-04"""
    assert cbor.decode(b"\x42ab", limit=3) == b"ab"
    with refused(MalformedError, "too-large"):
        cbor.decode(b"\x42ab", limit=2)
    with refused(MalformedError, "too-large"):
        cbor.decode(b"\xff" * 11, limit=10)  # no CBOR at all: nobody looked


def test_an_item_that_is_cut_short_is_malformed_and_not_too_large() -> None:
    data = cbor.encode({1: [b"abc", "de", 1 << 40], 2: {"a": None}})
    assert cbor.skip(data, 0) == len(data)
    for end in range(len(data)):
        with refused(MalformedError, "malformed"):
            cbor.decode(data[:end], limit=100)


@pytest.mark.parametrize("head", ["5b7fffffffffffffff", "9bffffffffffffffff", "bbffffffffffffffff", "8a" * 8])
def test_a_head_that_announces_too_much_costs_nothing(head: str) -> None:
    with refused(MalformedError, "malformed"):
        cbor.decode(bytes.fromhex(head), limit=100)


def test_skip_walks_over_one_item() -> None:
    data = b"\x00" + cbor.encode([1, {"a": b"xyz"}]) + b"\xff"
    assert cbor.skip(data, 1) == len(data) - 1
    assert cbor.skip(data, 0) == 1


def test_a_fixed_length_plaintext_ends_in_zeros() -> None:
    """ENC-10"""
    item = cbor.encode({1: 0, 2: b"\x00"})
    assert cbor.decode_padded(item.ljust(40, b"\0")) == {1: 0, 2: b"\x00"}
    assert cbor.decode_padded(item) == {1: 0, 2: b"\x00"}
    for position in range(len(item), 40):
        padded = bytearray(item.ljust(40, b"\0"))
        padded[position] = 1
        with refused(MalformedError, "malformed"):
            cbor.decode_padded(bytes(padded))
    for wrong in (b"", item[:-1], b"\x18\x00\x00", b"\x9f\xff\x00"):
        with refused(MalformedError, "malformed"):
            cbor.decode_padded(wrong)


def test_a_walk_goes_on_where_it_stopped() -> None:
    data = cbor.encode([b"x" * 300, {"key": [1000, None]}, -70_000])
    walk = cbor.Walk(limit=len(data))
    for end in range(len(data)):
        assert not walk.advance(data[:end])
    assert walk.advance(data)
    assert walk.position == len(data)
    assert walk.advance(data + b"more")
    assert walk.position == len(data)


def test_a_walk_looks_at_every_byte_once() -> None:
    """A peer that sends an item byte by byte costs no more than one that sends it at once."""
    data = bytearray(cbor.encode([0] * 100_000))
    began = time.process_time()
    walk = cbor.Walk(limit=len(data))
    for end in range(99_000, len(data) + 1):
        walk.advance(data[:end])
    assert walk.position > 99_000
    assert time.process_time() - began < 5  # half a minute where each one walks from the start


def test_a_walk_refuses_from_the_head_what_is_beyond_its_limit() -> None:
    """ENC-06"""
    for head in ("5864", "9864", "b832", "8218645860"):
        with refused(MalformedError, "too-large"):
            cbor.Walk(limit=50).advance(bytes.fromhex(head))
    assert not cbor.Walk(limit=102).advance(bytes.fromhex("5864"))
    with refused(MalformedError, "too-large"):
        cbor.Walk(limit=101).advance(bytes.fromhex("5864"))
