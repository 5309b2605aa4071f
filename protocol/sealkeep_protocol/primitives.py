"""The primitives of suite 1 as the project calls them (spec §3.1): hash, key derivation, AEAD, signatures.

Everything comes from `cryptography` (OpenSSL) and PyNaCl (libsodium); their exceptions become the project's here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError

Buffer: TypeAlias = bytes | bytearray | memoryview

SUITE = 1
KEY_SIZE = 32
HASH_SIZE = 32
TAG_SIZE = 16
SIGNATURE_SIZE = 64

_ZERO_NONCE = bytes(12)
_BLOCK_SIZE = 64  # of the ChaCha20 keystream
# The order of edwards25519's prime-order group (RFC 8032 §5.1).
_GROUP_ORDER = (1 << 252) + 27742317777372353535851937790883648493


def sha256(data: Buffer) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def hkdf(key: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869): `size` bytes, at most 8,160. Raises `ValueError` beyond that."""
    return HKDF(algorithm=SHA256(), length=size, salt=salt or None, info=info).derive(key)


def derive(key: bytes, info: Sequence[cbor.Item], size: int, *, salt: bytes = b"") -> bytes:
    """The spec's `derive` (§3.1): HKDF whose info is a CBOR array that begins with a label."""
    return hkdf(key, salt=salt, info=cbor.encode(info), size=size)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


def equal(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def aead_seal(key: bytes, plaintext: Buffer, associated: bytes) -> bytes:
    """ChaCha20-Poly1305 under a key that is used this once, hence with a nonce of zeros (§3.5). Adds 16 bytes."""
    return ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, plaintext, associated)


def aead_open(key: bytes, ciphertext: Buffer, associated: bytes, *, nonce: bytes = _ZERO_NONCE) -> bytes:
    """Open what `aead_seal` sealed. Raises `AuthenticationError` (`ciphertext`)."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError) as error:
        raise AuthenticationError("ciphertext", "the ciphertext does not open with this key and context") from error


def keystream(key: bytes, start: int, size: int) -> bytes:
    """`size` bytes of the ChaCha20 keystream (RFC 8439 §2.4, nonce 0, counter from 0) from its byte `start` on."""
    block, skipped = divmod(start, _BLOCK_SIZE)
    encryptor = Cipher(ChaCha20(key, block.to_bytes(4, "little") + _ZERO_NONCE), mode=None).encryptor()
    return encryptor.update(bytes(skipped + size))[skipped:]


def x25519(private: bytes, public: bytes) -> bytes:
    """X25519 (RFC 7748), 32 bytes. Raises `AuthenticationError` (`key`) where the result would be zero."""
    if len(private) != KEY_SIZE or len(public) != KEY_SIZE:  # PyNaCl looks at no length here
        raise AuthenticationError("key", "an X25519 key is 32 bytes long")
    try:
        return nacl.bindings.crypto_scalarmult(private, public)
    except nacl.exceptions.CryptoError as error:
        raise AuthenticationError("key", "the X25519 key is of low order") from error


class SigningKey:
    """An Ed25519 private key, made from a 32-byte seed. Neither `repr` nor pickling shows it."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_SIZE:
            raise ValueError("an Ed25519 seed is 32 bytes long")
        self.public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """Sign; 64 bytes, always the same for the same message (RFC 8032)."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_SIZE]

    def __repr__(self) -> str:
        return f"<SigningKey {self.public.hex()[:16]}…>"

    def __reduce__(self) -> str:
        raise TypeError("a signing key is not pickled")


def is_prime_order_point(point: bytes) -> bool:
    """Whether these are 32 bytes in canonical encoding of a point of edwards25519's prime-order group, not the identity."""
    return len(point) == KEY_SIZE and nacl.bindings.crypto_core_ed25519_is_valid_point(point)


@lru_cache(maxsize=4096)  # a few keys verify many signatures, and the check costs as much as a verification
def check_signing_key(public: bytes) -> None:
    """Refuse a public key that KEY-02 does not allow. Raises `AuthenticationError` (`key`)."""
    # KEY-02: "A verifier MUST refuse an Ed25519 public key or a signature's R that is not the canonical encoding of a
    # point of prime order, and a signature whose S is not below the group order."
    if not is_prime_order_point(public):
        raise AuthenticationError("key", "the Ed25519 key is not a point of prime order in canonical encoding")


def verify_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Verify Ed25519 so that cofactored and cofactorless verifiers agree (KEY-02).

    Raises `AuthenticationError`: `key` for the public key, `signature` for all else.
    """
    check_signing_key(public)
    if len(signature) != SIGNATURE_SIZE:
        raise AuthenticationError("signature", "a signature is 64 bytes long")
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= _GROUP_ORDER or not is_prime_order_point(r):
        raise AuthenticationError("signature", "the signature is not in canonical form")
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.CryptoError, ValueError, TypeError) as error:
        raise AuthenticationError("signature", "the signature does not verify") from error
