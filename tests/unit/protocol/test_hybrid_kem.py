"""Wraps and KEM keys (spec §3.1, §3.6)."""

from __future__ import annotations

import copy
import pickle

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.hybrid_kem import (
    MLKEM_KEY_SIZE,
    SUITE,
    WRAP_SIZE,
    KemPrivateKey,
    _load,
    check_kem_key,
    check_wrap,
    unwrap,
    wrap,
    wrap_info,
)
from sealkeep_protocol.primitives import sha256
from support.accounts import refused

SEED = bytes(range(32))
KEY = KemPrivateKey(SEED)
SECRET = sha256(b"an epoch secret")
CORE = b"the core of an entry"
PRIME = (1 << 255) - 19

LOW_ORDER = {
    "zero": bytes(32),
    "one": bytes([1]) + bytes(31),
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8 too": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "minus one": (PRIME - 1).to_bytes(32, "little"),
}


def test_a_wrap_opens_for_its_recipient_in_its_entry() -> None:
    wrapped = wrap(SECRET, core=CORE, recipient=3, public=KEY.public)
    assert len(wrapped) == WRAP_SIZE == 1168
    assert unwrap(wrapped, core=CORE, recipient=3, key=KEY) == SECRET
    assert wrap(SECRET, core=CORE, recipient=3, public=KEY.public) != wrapped
    for core, recipient, key in (
        (CORE + b"!", 3, KEY),
        (CORE, 0, KEY),
        (CORE, 3, KemPrivateKey(bytes(32))),
    ):
        with refused(AuthenticationError, "ciphertext"):
            unwrap(wrapped, core=core, recipient=recipient, key=key)


def test_the_info_of_a_wrap_is_the_specs() -> None:
    expected = cbor.encode(["sealkeep/v1/wrap", sha256(CORE), 3, sha256(KEY.public)])
    assert wrap_info(CORE, 3, KEY.public) == expected


@pytest.mark.parametrize("length", [0, 1, 1119, 1120, 1135, 1167, 1169])
def test_a_wrap_of_another_length_is_refused(length: int) -> None:
    """KEY-07"""
    data = wrap(SECRET, core=CORE, recipient=1, public=KEY.public).ljust(1169, b"\0")[:length]
    with refused(AuthenticationError, "digest"):
        check_wrap(data, sha256(data))
    with refused(AuthenticationError, "ciphertext"):
        unwrap(data, core=CORE, recipient=1, key=KEY)


def test_a_wrap_without_its_digest_is_refused() -> None:
    """KEY-07"""
    wrapped = wrap(SECRET, core=CORE, recipient=1, public=KEY.public)
    check_wrap(wrapped, sha256(wrapped))
    with refused(AuthenticationError, "digest"):
        check_wrap(wrapped, sha256(wrapped + b"!"))


def test_a_wrap_that_holds_something_else_is_refused() -> None:
    for secret in (b"", SECRET[:31], SECRET + b"!"):
        wrapped = SUITE.encrypt(secret, _load(KEY.public), info=wrap_info(CORE, 1, KEY.public))
        with refused(AuthenticationError, "ciphertext"):
            unwrap(wrapped, core=CORE, recipient=1, key=KEY)


def test_the_x25519_part_of_a_wrap_may_be_of_low_order_and_opens_nothing() -> None:
    wrapped = wrap(SECRET, core=CORE, recipient=1, public=KEY.public)
    for point in LOW_ORDER.values():
        with refused(AuthenticationError, "ciphertext"):
            unwrap(wrapped[:1088] + point + wrapped[1120:], core=CORE, recipient=1, key=KEY)


@pytest.mark.parametrize("coefficient", [3329, 3330, 4095])
@pytest.mark.parametrize("position", [0, 383 * 3])
def test_an_mlkem_part_that_is_not_reduced_is_refused(coefficient: int, position: int) -> None:
    """KEY-03: coefficients are packed in 12 bits, two in three bytes."""
    check_kem_key(KEY.public)
    packed = coefficient.to_bytes(2, "little")
    changed = bytearray(KEY.public)
    changed[position] = packed[0]
    changed[position + 1] = changed[position + 1] & 0xF0 | packed[1]
    for use in (check_kem_key, lambda key: wrap(SECRET, core=CORE, recipient=1, public=key)):
        with refused(AuthenticationError, "key"):
            use(bytes(changed))


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER.keys())
def test_an_x25519_part_of_low_order_is_refused(point: bytes) -> None:
    """KEY-03"""
    with refused(AuthenticationError, "key"):
        check_kem_key(KEY.public[:MLKEM_KEY_SIZE] + point)


@pytest.mark.parametrize("value", [PRIME, PRIME + 1, PRIME + 9, (1 << 255) - 1, (1 << 255) + 9, (1 << 256) - 1])
def test_an_x25519_part_that_is_not_canonical_is_refused(value: int) -> None:
    """KEY-03"""
    with refused(AuthenticationError, "key"):
        check_kem_key(KEY.public[:MLKEM_KEY_SIZE] + value.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 1184, 1215, 1217])
def test_a_kem_key_of_another_length_is_refused(length: int) -> None:
    """KEY-03"""
    with refused(AuthenticationError, "key"):
        check_kem_key((KEY.public + b"\0")[:length])


def test_a_kem_key_shows_and_pickles_nothing() -> None:
    for shown in (repr(KEY), str(KEY), f"{KEY}"):
        assert SEED.hex()[:8] not in shown
        assert sha256(KEY.public).hex()[:16] in shown
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refuse(KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        KemPrivateKey(SEED + b"!")
