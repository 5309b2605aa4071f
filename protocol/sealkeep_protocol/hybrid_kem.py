"""Wraps: epoch secrets to one recipient by hybrid HPKE (spec §3.6), and the KEM keys that may enter a roster (§3.1).

This is the one module of the protocol that draws randomness of its own: `cryptography`'s HPKE takes none.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.primitives import KEY_SIZE, sha256, x25519

MLKEM_KEY_SIZE = 1184
KEM_KEY_SIZE = MLKEM_KEY_SIZE + KEY_SIZE
ENC_SIZE = 1120
WRAP_SIZE = ENC_SIZE + KEY_SIZE + 16
RECOVERY_RECIPIENT = 0

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


class KemPrivateKey:
    """A MLKEM768-X25519 private key, kept as its 32-byte seed (§3.1). Neither `repr` nor pickling shows it."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_SIZE:
            raise ValueError("a KEM seed is 32 bytes long")
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, curve)
        self.public = mlkem.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) + curve.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw
        )

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """HPKE open in base mode. Raises `AuthenticationError` (`ciphertext`)."""
        try:
            return SUITE.decrypt(sealed, self._key, info=info)
        except (InvalidTag, ValueError) as error:
            raise AuthenticationError("ciphertext", "the wrap does not open with this key and context") from error

    def __repr__(self) -> str:
        return f"<KemPrivateKey {sha256(self.public).hex()[:16]}…>"

    def __reduce__(self) -> str:
        raise TypeError("a KEM key is not pickled")


def check_kem_key(public: bytes) -> None:
    """Refuse a KEM public key that KEY-03 does not allow. Raises `AuthenticationError` (`key`)."""
    _load(public)


def _load(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    if len(public) != KEM_KEY_SIZE:
        raise AuthenticationError("key", f"a KEM key is {KEM_KEY_SIZE} bytes long")
    # KEY-03: "A roster MUST refuse a KEM public key (1,216 bytes: ML-KEM-768 encapsulation key ‖ X25519 public key) whose
    # ML-KEM part holds a coefficient that is not reduced modulo 3329, or whose X25519 part is not below 2^255 − 19 or is
    # of low order."
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_KEY_SIZE])
    except ValueError as error:
        raise AuthenticationError("key", "the ML-KEM key is not reduced") from error
    if int.from_bytes(public[MLKEM_KEY_SIZE:], "little") >= (1 << 255) - 19:
        raise AuthenticationError("key", "the X25519 key is not in canonical form")
    # A low-order point gives zero with every scalar.
    x25519(bytes([1]) + bytes(31), public[MLKEM_KEY_SIZE:])
    return hpke.MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(public[MLKEM_KEY_SIZE:]))


def wrap_info(core: bytes, recipient: int, public: bytes) -> bytes:
    """The HPKE info of a wrap (§3.6): binds the roster entry, the recipient and the recipient's key. Never change it."""
    return cbor.encode(["sealkeep/v1/wrap", sha256(core), recipient, sha256(public)])


def wrap(secret: bytes, *, core: bytes, recipient: int, public: bytes) -> bytes:
    """Wrap a 32-byte epoch secret for a recipient (0: the recovery key); 1,168 bytes, never twice the same."""
    return SUITE.encrypt(secret, _load(public), info=wrap_info(core, recipient, public))


def check_wrap(wrapped: bytes, digest: bytes) -> None:
    """Check a wrap against its digest in the roster entry. Raises `AuthenticationError` (`digest`)."""
    # KEY-07: "A relay and a device MUST refuse a wrap that is not 1,168 bytes long or does not have the digest that its
    # entry gives it."
    if len(wrapped) != WRAP_SIZE or sha256(wrapped) != digest:
        raise AuthenticationError("digest", "the wrap is not the one that the roster entry names")


def unwrap(wrapped: bytes, *, core: bytes, recipient: int, key: KemPrivateKey) -> bytes:
    """Open a wrap; 32 bytes, still to be checked against the epoch commitment (KEY-04).

    Raises `AuthenticationError` (`ciphertext`).
    """
    secret = key.open(wrapped, wrap_info(core, recipient, key.public))
    if len(secret) != KEY_SIZE:
        raise AuthenticationError("ciphertext", "the wrap holds something other than an epoch secret")
    return secret
