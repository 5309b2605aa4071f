"""Hash, derivation, AEAD and signatures (spec §3.1); the published vectors are in test_published_vectors.py."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle

import nacl.bindings
import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.primitives import (
    SigningKey,
    aead_open,
    aead_seal,
    check_signing_key,
    derive,
    equal,
    hkdf,
    sha256,
    verify_signature,
    x25519,
)
from support.accounts import refused

ORDER = (1 << 252) + 27742317777372353535851937790883648493
SEED = bytes(range(32))
KEY = SigningKey(SEED)
MESSAGE = b"a message"

NOT_ALLOWED = {
    "neutral": bytes([1]) + bytes(31),
    "order 2": bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    "order 4": bytes(32),
    "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "neutral, not canonical": bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    "off the curve": bytes([2]) + bytes(31),
    "mixed order": nacl.bindings.crypto_core_ed25519_add(
        KEY.public, bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    ),
    "short": KEY.public[:31],
    "long": KEY.public + b"\0",
}


def test_derive_is_hkdf_with_an_array_as_info() -> None:
    """Written out: RFC 5869 with an empty salt unless one is named."""
    info = cbor.encode(["sealkeep/v1/x", 1])
    for salt in (b"", b"salt"):
        extracted = hmac.digest(salt or bytes(32), b"key", "sha256")
        first = hmac.digest(extracted, info + b"\x01", "sha256")
        second = hmac.digest(extracted, first + info + b"\x02", "sha256")
        assert derive(b"key", ["sealkeep/v1/x", 1], 64, salt=salt) == first + second
    assert derive(b"key", ["a", "b"], 32) != derive(b"key", ["ab"], 32)
    with pytest.raises(ValueError, match="8160"):
        hkdf(b"key", salt=b"", info=b"", size=8161)


def test_hash_and_comparison() -> None:
    assert sha256(b"abc") == hashlib.sha256(b"abc").digest()
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")


def test_the_aead_opens_only_what_was_sealed_so() -> None:
    sealed = aead_seal(SEED, b"plain", b"context")
    assert len(sealed) == 5 + 16
    assert aead_open(SEED, sealed, b"context") == b"plain"
    for key, data, context in (
        (bytes(32), sealed, b"context"),
        (SEED, sealed, b"contexT"),
        (SEED, sealed[:-1], b"context"),
        (SEED, b"", b"context"),
        (SEED[:16], sealed, b"context"),
    ):
        with refused(AuthenticationError, "ciphertext"):
            aead_open(key, data, context)
    with refused(AuthenticationError, "ciphertext"):
        aead_open(SEED, sealed, b"context", nonce=bytes(11))


def test_x25519_refuses_what_gives_zero() -> None:
    base = bytes([9]) + bytes(31)
    assert x25519(SEED, x25519(bytes(32), base)) == x25519(bytes(32), x25519(SEED, base))
    for wrong in (bytes(32), bytes([1]) + bytes(31), base[:31], b""):
        with refused(AuthenticationError, "key"):
            x25519(SEED, wrong)


def test_signatures_are_those_of_rfc_8032() -> None:
    signature = KEY.sign(MESSAGE)
    assert len(signature) == 64
    assert KEY.sign(MESSAGE) == signature
    verify_signature(KEY.public, MESSAGE, signature)


@pytest.mark.parametrize("public", NOT_ALLOWED.values(), ids=NOT_ALLOWED.keys())
def test_keys_that_are_not_canonical_or_of_prime_order_are_refused(public: bytes) -> None:
    """KEY-02"""
    check_signing_key(KEY.public)
    with refused(AuthenticationError, "key"):
        check_signing_key(public)
    with refused(AuthenticationError, "key"):
        verify_signature(public, MESSAGE, KEY.sign(MESSAGE))


@pytest.mark.parametrize("point", [p for p in NOT_ALLOWED.values() if len(p) == 32])
def test_an_r_that_is_not_canonical_or_of_prime_order_is_refused(point: bytes) -> None:
    """KEY-02"""
    with refused(AuthenticationError, "signature") as caught:
        verify_signature(KEY.public, MESSAGE, point + KEY.sign(MESSAGE)[32:])
    assert "canonical" in str(caught.value)


def test_a_key_with_a_torsion_component_is_refused_though_cofactored_verifiers_take_it() -> None:
    """KEY-02: a cofactorless and a cofactored verifier would disagree about this signature."""
    expanded = hashlib.sha512(SEED).digest()
    scalar = nacl.bindings.crypto_core_ed25519_scalar_reduce(
        bytes([expanded[0] & 248]) + expanded[1:31] + bytes([expanded[31] & 127 | 64]) + bytes(32)
    )
    mixed, nonce = NOT_ALLOWED["mixed order"], hashlib.sha256(b"r").digest()[:31] + b"\0"
    r = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    h = nacl.bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(r + mixed + MESSAGE).digest())
    s = nacl.bindings.crypto_core_ed25519_scalar_add(nonce, nacl.bindings.crypto_core_ed25519_scalar_mul(h, scalar))
    with refused(AuthenticationError, "key"):
        verify_signature(mixed, MESSAGE, r + s)


def test_an_s_that_is_not_below_the_order_is_refused() -> None:
    """KEY-02"""
    signature = KEY.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    for value in (s + ORDER, ORDER, (1 << 256) - 1):
        with refused(AuthenticationError, "signature") as caught:
            verify_signature(KEY.public, MESSAGE, signature[:32] + value.to_bytes(32, "little"))
        assert "canonical" in str(caught.value)


def test_other_messages_keys_and_lengths_are_refused() -> None:
    signature = KEY.sign(MESSAGE)
    other = SigningKey(bytes(32))
    for public, message, signed in (
        (KEY.public, MESSAGE + b"!", signature),
        (other.public, MESSAGE, signature),
        (KEY.public, MESSAGE, signature[:63]),
        (KEY.public, MESSAGE, signature + b"\0"),
        (KEY.public, MESSAGE, b""),
        (KEY.public, MESSAGE, signature[:32] + bytes(32)),
    ):
        with refused(AuthenticationError, "signature"):
            verify_signature(public, message, signed)


def test_a_signing_key_shows_and_pickles_nothing() -> None:
    key = SigningKey(SEED)
    for shown in (repr(key), str(key), f"{key}"):
        assert SEED.hex()[:8] not in shown
        assert key._secret.hex()[:8] not in shown
        assert key.public.hex()[:16] in shown
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refuse(key)
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(SEED[:31])
