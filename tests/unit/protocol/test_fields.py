"""Exactly the known fields, of exactly the right types (spec §2.1)."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.fields import array, check_keys, check_suite, decode_map, octets, unsigned
from support.accounts import refused


def test_a_map_has_integer_keys() -> None:
    assert decode_map(cbor.encode({0: 1}), limit=10, what="thing") == {0: 1}
    assert decode_map(b"\xa0", limit=10, what="thing") == {}
    wrong: list[cbor.Item] = [[], 1, {"a": 1}]
    for value in wrong:
        with refused(MalformedError, "malformed"):
            decode_map(cbor.encode(value), limit=10, what="thing")
    with refused(MalformedError, "too-large"):
        decode_map(cbor.encode({0: b"x" * 20}), limit=10, what="thing")


@pytest.mark.parametrize("suite", [0, 2, "1", True, None, [1]])
def test_another_suite_is_unsupported(suite: Any) -> None:
    """KEY-01"""
    check_suite({0: 1}, what="thing")
    for value in ({0: suite}, {}):
        with refused(MalformedError, "unsupported"):
            check_suite(value, what="thing")


def test_unknown_keys_are_unsupported_and_missing_ones_malformed() -> None:
    """ENC-05"""
    check_keys({1: 0, 2: 0}, [1, 2], [3], what="thing")
    check_keys({1: 0, 2: 0, 3: 0}, [1, 2], [3], what="thing")
    with refused(MalformedError, "unsupported"):
        check_keys({1: 0, 2: 0, 4: 0}, [1, 2], [3], what="thing")
    with refused(MalformedError, "malformed"):
        check_keys({1: 0, 3: 0}, [1, 2], [3], what="thing")
    with refused(MalformedError, "unsupported"):
        check_keys({1: 0, 4: 0}, [1, 2], [3], what="thing")


def test_unsigned_integers_lie_within_their_bounds() -> None:
    assert unsigned(0, "it") == 0
    assert unsigned(7, "it", minimum=7, maximum=7) == 7
    for wrong in (6, 8, True, 7.0, "7", None):
        with refused(MalformedError, "malformed"):
            unsigned(wrong, "it", minimum=7, maximum=7)
    with refused(MalformedError, "malformed"):
        unsigned(-1, "it")
    with refused(MalformedError, "malformed"):
        unsigned(False, "it")


def test_byte_strings_have_their_size() -> None:
    assert octets(bytes(32), "it") == bytes(32)
    assert octets(b"", "it", size=0) == b""
    for wrong in (bytes(31), bytes(33), "x" * 32, None, [0] * 32):
        with refused(MalformedError, "malformed"):
            octets(wrong, "it")


def test_arrays_have_their_size() -> None:
    assert array([], "it") == []
    assert array([1, 2], "it", size=2) == [1, 2]
    assert array([1], "it", empty=False) == [1]
    wrong: list[tuple[Any, dict[str, Any]]] = [([], {"size": 1}), ([], {"empty": False}), ({}, {}), (b"", {})]
    for value, options in wrong:
        with refused(MalformedError, "malformed"):
            array(value, "it", **options)
