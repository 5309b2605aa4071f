"""Published test vectors through the project's own functions: `pytest --vectors DIR` (skips without).

`valid` vectors are accepted with exactly their result, `invalid` ones refused with the project's own error, and
`acceptable` ones assert nothing. Two more checks need no folder: the AEAD against libsodium, and signed objects against
an independent COSE library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nacl.bindings
import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cwt import COSE, COSEKey
from cwt.cose_key_interface import COSEKeyInterface
from cwt.exceptions import VerifyError
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol import cbor, hybrid_kem, signed
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.hybrid_kem import KEM_KEY_SIZE, SUITE, KemPrivateKey, check_kem_key
from sealkeep_protocol.primitives import SigningKey, aead_open, aead_seal, hkdf, verify_signature, x25519

Vector = dict[str, Any]

BASE_POINT = bytes([9]) + bytes(31)  # X25519: a good public key to stand beside an ML-KEM key under test
ZERO_NONCE = bytes(12)


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def wycheproof(folder: Path, name: str) -> Iterator[tuple[Vector, Vector]]:
    """(group, test) of a file of Project Wycheproof."""
    for group in load(folder, name)["testGroups"]:
        for test in group["tests"]:
            yield group, test


def octets(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def run(folder: Path, name: str, check: Callable[[Vector, Vector], object], *, refusal: type[Exception]) -> None:
    """Run `check` on every valid and invalid vector of a file; it raises `refusal` for exactly the invalid ones."""
    seen = {"valid": 0, "invalid": 0}
    wrong = []
    for group, test in wycheproof(folder, name):
        if test["result"] == "acceptable":
            continue
        seen[test["result"]] += 1
        try:
            outcome = "valid" if check(group, test) is not False else "another result"
        except refusal:
            outcome = "invalid"
        if outcome != test["result"]:
            wrong.append((test["tcId"], test.get("flags"), test.get("comment"), outcome))
    assert not wrong
    assert seen["valid"], "the file holds no valid vector"


# --- symmetric and classical primitives ------------------------------------------------------------------------------


def test_chacha20_poly1305(vectors_dir: Path) -> None:
    def check(_: Vector, test: Vector) -> bool:
        key, nonce, associated, message, ciphertext, tag = octets(test, "key", "iv", "aad", "msg", "ct", "tag")
        return aead_open(key, ciphertext + tag, associated, nonce=nonce) == message

    run(vectors_dir, "chacha20_poly1305_test.json", check, refusal=AuthenticationError)


def test_ed25519(vectors_dir: Path) -> None:
    """KEY-02 is stricter than RFC 8032 about keys and R; no `valid` vector of this file meets the stricter rule."""

    def check(group: Vector, test: Vector) -> None:
        message, signature = octets(test, "msg", "sig")
        verify_signature(bytes.fromhex(group["publicKey"]["pk"]), message, signature)

    run(vectors_dir, "ed25519_test.json", check, refusal=AuthenticationError)


@pytest.mark.parametrize(
    "low_order",
    [
        bytes([1]) + bytes(31),  # the neutral element
        bytes(32),  # order 4
        bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # order 2
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # order 8
        bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # 1, not reduced
    ],
    ids=["neutral", "order 4", "order 2", "order 8", "not canonical"],
)
def test_ed25519_is_stricter_than_the_rfc(low_order: bytes) -> None:
    """KEY-02: with R = A of low order and S = 0 a cofactored verifier accepts any message."""
    with pytest.raises(AuthenticationError, match="prime order") as refused:
        verify_signature(low_order, b"any message", low_order + bytes(32))
    assert refused.value.code == "key"
    honest = SigningKey(bytes(32))
    with pytest.raises(AuthenticationError, match="canonical form") as refused:
        verify_signature(honest.public, b"any message", low_order + honest.sign(b"any message")[32:])
    assert refused.value.code == "signature"


def test_x25519(vectors_dir: Path) -> None:
    def check(_: Vector, test: Vector) -> bool:
        private, public, shared = octets(test, "private", "public", "shared")
        return x25519(private, public) == shared

    run(vectors_dir, "x25519_test.json", check, refusal=AuthenticationError)


def test_low_order_x25519_keys_are_refused(vectors_dir: Path) -> None:
    """KEY-03, over the vectors whose shared secret is zero: as a KEM key's X25519 part they never enter a roster."""
    reduced = KemPrivateKey(bytes(32)).public[:1184]
    zero = [
        bytes.fromhex(test["public"])
        for _, test in wycheproof(vectors_dir, "x25519_test.json")
        if "ZeroSharedSecret" in test["flags"]
    ]
    assert zero
    for public in zero:
        # Those that are not below 2^255 − 19 are refused for that already.
        with pytest.raises(AuthenticationError, match=r"low order|canonical") as refused:
            check_kem_key(reduced + public)
        assert refused.value.code == "key"


def test_hkdf_sha256(vectors_dir: Path) -> None:
    """Too long an output is a mistake of the caller, not of a peer: `ValueError`."""

    def check(_: Vector, test: Vector) -> bool:
        key, salt, info, okm = octets(test, "ikm", "salt", "info", "okm")
        return hkdf(key, salt=salt, info=info, size=test["size"]) == okm

    run(vectors_dir, "hkdf_sha256_test.json", check, refusal=ValueError)


# --- the hybrid KEM and HPKE -----------------------------------------------------------------------------------------
#
# `cryptography` gives neither the KEM alone nor HPKE with a chosen ephemeral key. So a vector's shared secret is turned
# into a ciphertext here, by RFC 9180's key schedule written out below (itself checked against the published keys and
# nonces), and the project's private key has to open it: it does only if it decapsulated to exactly that secret.

SUITE_ID = b"HPKE" + bytes.fromhex("647a00010003")  # MLKEM768-X25519, HKDF-SHA-256, ChaCha20-Poly1305


def key_schedule(shared_secret: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
    """RFC 9180 §5.1 in base mode with HKDF-SHA-256: (key, base nonce, exporter secret)."""

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + ikm, "sha256")

    def expand(label: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + context
        return hmac.digest(secret, labelled + b"\x01", "sha256")[:size]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    return expand(b"key", 32), expand(b"base_nonce", 12), expand(b"exp", 32)


def combine(mlkem_secret: bytes, x25519_secret: bytes, x25519_ciphertext: bytes, x25519_public: bytes) -> bytes:
    """The combiner of X-Wing, which MLKEM768-X25519 (0x647a) is."""
    label = bytes.fromhex("5c2e2f2f5e5c")
    return hashlib.sha3_256(mlkem_secret + x25519_secret + x25519_ciphertext + x25519_public + label).digest()


def sealed_for(encapsulated: bytes, shared_secret: bytes, info: bytes, plaintext: bytes) -> bytes:
    key, nonce, _ = key_schedule(shared_secret, info)
    return encapsulated + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def hpke_vectors(folder: Path) -> list[Vector]:
    """Those of the project's suite."""
    suite = {"mode": 0, "kem_id": 0x647A, "kdf_id": 1, "aead_id": 3}
    found = [vector for vector in load(folder, "hpke_pq.json") if suite.items() <= vector.items()]
    assert found, "no vector of the project's suite"
    return found


def test_hpke_key_derivation(vectors_dir: Path) -> None:
    for vector in hpke_vectors(vectors_dir):
        seed, public, encapsulated, info = octets(vector, "skRm", "pkRm", "enc", "info")
        key, nonce, exporter, shared = octets(vector, "key", "base_nonce", "exporter_secret", "shared_secret")
        private = KemPrivateKey(seed)
        assert private.public == public
        check_kem_key(public)
        # Opens only under the published key and nonce, which the project's function must have derived.
        sealed = encapsulated + ChaCha20Poly1305(key).encrypt(nonce, b"an epoch secret", b"")
        assert private.open(sealed, info) == b"an epoch secret"
        with pytest.raises(AuthenticationError):
            private.open(sealed, info + b"\x00")
        assert key_schedule(shared, info) == (key, nonce, exporter)
        assert bytes.fromhex(vector["suite_id"]) == SUITE_ID


def test_hpke_published_encryption(vectors_dir: Path) -> None:
    """Published encryptions use associated data, which wraps never do: opened with the project's key in a test only."""
    for vector in hpke_vectors(vectors_dir):
        seed, encapsulated, info = octets(vector, "skRm", "enc", "info")
        plaintext, ciphertext, associated = octets(vector["encryptions"][0], "pt", "ct", "aad")
        key = KemPrivateKey(seed)._key
        opened = openssl.hpke._decrypt_with_aad(SUITE, encapsulated + ciphertext, key, info, associated)
        assert opened == plaintext


def test_xwing(vectors_dir: Path) -> None:
    """0x647a is X-Wing: same seed expansion, same public key, same combiner. Its vectors hold for the project's KEM."""
    vectors = load(vectors_dir, "xwing.json")
    assert vectors
    for vector in vectors:
        seed, public, ciphertext, shared = octets(vector, "sk", "pk", "ct", "ss")
        private = KemPrivateKey(seed)
        assert private.public == public
        assert private.open(sealed_for(ciphertext, shared, b"info", b"secret"), b"info") == b"secret"
        with pytest.raises(AuthenticationError):
            private.open(sealed_for(ciphertext, bytes(32), b"info", b"secret"), b"info")
        # Every bit of the KEM ciphertext counts: the last one of the ML-KEM part, the first one of the X25519 part.
        for position in (1087, 1088):
            changed = bytearray(sealed_for(ciphertext, shared, b"info", b"secret"))
            changed[position] ^= 1
            with pytest.raises(AuthenticationError):
                private.open(bytes(changed), b"info")


X25519_SECRET = hashlib.sha256(b"the X25519 half of keys under test").digest()


@pytest.fixture
def mlkem_seed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], KemPrivateKey]:
    """The project's private key with a given ML-KEM seed (d ‖ z) in place of the expanded one."""

    def make(seed: bytes) -> KemPrivateKey:
        expanded = SimpleNamespace(digest=lambda size: (seed + X25519_SECRET)[:size])
        monkeypatch.setattr(hybrid_kem, "hashlib", SimpleNamespace(shake_256=lambda _: expanded))
        return KemPrivateKey(bytes(32))

    return make


def test_mlkem_768_keygen(vectors_dir: Path, mlkem_seed: Callable[[bytes], KemPrivateKey]) -> None:
    def check(_: Vector, test: Vector) -> bool:
        seed, public = octets(test, "seed", "ek")
        key = mlkem_seed(seed)
        check_kem_key(key.public)
        return key.public == public + x25519(X25519_SECRET, BASE_POINT)

    run(vectors_dir, "mlkem_768_keygen_seed_test.json", check, refusal=AuthenticationError)


def test_mlkem_768_public_keys(vectors_dir: Path) -> None:
    """The encapsulation vectors serve to accept or refuse keys (KEY-03): nothing takes chosen randomness."""

    def check(_: Vector, test: Vector) -> None:
        check_kem_key(bytes.fromhex(test["ek"]) + BASE_POINT)

    run(vectors_dir, "mlkem_768_encaps_test.json", check, refusal=AuthenticationError)


def test_mlkem_768_decapsulation(vectors_dir: Path, mlkem_seed: Callable[[bytes], KemPrivateKey]) -> None:
    ephemeral = hashlib.sha256(b"an ephemeral X25519 key").digest()
    x25519_ciphertext = x25519(ephemeral, BASE_POINT)

    def check(_: Vector, test: Vector) -> bool:
        seed, ciphertext = octets(test, "seed", "c")
        if len(seed) != 64:
            # Keys of the wrong length: the project's is a seed of 32 bytes, and nothing else makes one.
            with pytest.raises(ValueError, match="32 bytes"):
                KemPrivateKey(seed)
            raise AuthenticationError("key", "no such private key")
        private = mlkem_seed(seed)
        public = x25519(X25519_SECRET, BASE_POINT)
        # Invalid vectors name no shared secret; whatever it were, a ciphertext of the wrong length never opens.
        mlkem_secret = bytes.fromhex(test["K"]) or bytes(32)
        shared = combine(mlkem_secret, x25519(ephemeral, public), x25519_ciphertext, public)
        if test["result"] == "valid":
            assert private.public == bytes.fromhex(test["ek"]) + public
        sealed = sealed_for(ciphertext + x25519_ciphertext, shared, b"", b"secret")
        return private.open(sealed, b"") == b"secret"

    run(vectors_dir, "mlkem_768_test.json", check, refusal=AuthenticationError)


def test_kem_keys_of_the_wrong_length_are_refused() -> None:
    public = KemPrivateKey(bytes(32)).public
    assert len(public) == KEM_KEY_SIZE
    for wrong in (public[:-1], public + b"\x00", b""):
        with pytest.raises(AuthenticationError):
            check_kem_key(wrong)


# --- against independent implementations -----------------------------------------------------------------------------


@given(key=st.binary(min_size=32, max_size=32), plaintext=st.binary(max_size=300), associated=st.binary(max_size=64))
def test_aead_gives_the_bytes_of_libsodium(key: bytes, plaintext: bytes, associated: bytes) -> None:
    sealed = aead_seal(key, plaintext, associated)
    assert sealed == nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, ZERO_NONCE, key)
    assert nacl.bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, associated, ZERO_NONCE, key) == plaintext
    assert aead_open(key, sealed, associated) == plaintext


def cose_key(public: bytes) -> COSEKeyInterface:
    return COSEKey.new({1: 1, -1: 6, -2: public, 3: -19})  # OKP, Ed25519, alg -19 (RFC 9864)


@given(
    kind=st.sampled_from(["roster", "segment", "receipt", "refusal", "challenge", "login"]),
    account=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    core=st.binary(min_size=1, max_size=200),
    digests=st.lists(st.binary(min_size=32, max_size=32), max_size=3),
)
def test_signed_objects_verify_with_an_independent_cose_library(
    kind: signed.ObjectKind, account: bytes, core: bytes, digests: list[bytes]
) -> None:
    signer = SigningKey(hashlib.sha256(core).digest())
    data = signed.sign(kind, account, core, signer, digests=digests)
    external = cbor.encode(["sealkeep/v1/signed", kind, account])
    protected, unprotected, payload = COSE.new().decode_with_headers(
        data, cose_key(signer.public), external_aad=external
    )
    assert protected == {1: -19}
    assert unprotected == {}
    assert payload == cbor.encode([core, digests])
    with pytest.raises(VerifyError):
        COSE.new().decode(data, cose_key(signer.public), external_aad=external + b"\x00")


def test_signed_objects_of_another_cose_library_are_read() -> None:
    """The other way round: what the independent library signs with the same header is the project's one encoding."""
    seed, account, core = bytes(range(32)), bytes(32), b"\xa0"
    signer = SigningKey(seed)
    key = COSEKey.new({1: 1, -1: 6, -2: signer.public, -4: seed, 3: -19})
    external = cbor.encode(["sealkeep/v1/signed", "receipt", account])
    data = COSE.new().encode(cbor.encode([core, []]), key, protected={1: -19}, external_aad=external)
    assert data == signed.sign("receipt", account, core, signer)
    assert signed.verify(data, "receipt", account, signer.public)[1].core == core
