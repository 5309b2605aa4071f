"""The one sealing function (spec §3.5): fresh salt, single-use keys, a commitment, associated data always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.primitives import KEY_SIZE, TAG_SIZE, aead_open, aead_seal, derive, equal

SALT_SIZE = 32
COMMITMENT_SIZE = 32
OVERHEAD = SALT_SIZE + COMMITMENT_SIZE + TAG_SIZE  # of a value that stands alone


@dataclass(frozen=True, slots=True, repr=False)
class SealingKeys:
    """Single-use keys of one sealing, one a part, with the commitment to all of them."""

    purpose: str
    parts: tuple[bytes, ...]
    commitment: bytes

    def seal(self, index: int, plaintext: bytes, binding: bytes) -> bytes:
        """Seal one part, once: the key is for this plaintext alone."""
        return aead_seal(self.parts[index], plaintext, _associated(self.purpose, index, binding))

    def open(self, index: int, ciphertext: bytes, binding: bytes) -> bytes:
        """Open one part. Raises `AuthenticationError` (`ciphertext`)."""
        return aead_open(self.parts[index], ciphertext, _associated(self.purpose, index, binding))

    def __reduce__(self) -> str:
        raise TypeError("sealing keys are not pickled")


def _associated(purpose: str, index: int, binding: bytes) -> bytes:
    return cbor.encode(["sealkeep/v1/part", purpose, index, binding])


def sealing_keys(
    parent: bytes, purpose: str, context: Sequence[cbor.Item], salt: bytes, *, parts: int = 1
) -> SealingKeys:
    """Derive the keys of one sealing (§3.5). `salt` is 32 fresh random bytes when sealing."""
    if len(salt) != SALT_SIZE:
        raise ValueError("a salt is 32 bytes long")
    info = ["sealkeep/v1/seal", purpose, list(context), parts]
    okm = derive(parent, info, KEY_SIZE * (parts + 1), salt=salt)
    keys = tuple(okm[KEY_SIZE * i : KEY_SIZE * (i + 1)] for i in range(parts))
    return SealingKeys(purpose, keys, okm[KEY_SIZE * parts :])


def opening_keys(
    parent: bytes, purpose: str, context: Sequence[cbor.Item], salt: bytes, commitment: bytes, *, parts: int = 1
) -> SealingKeys:
    """Derive the keys to open with, and check the commitment. Raises `AuthenticationError` (`commitment`)."""
    keys = sealing_keys(parent, purpose, context, salt, parts=parts)
    # KEY-05: "An opener MUST compare the commitment in constant time and refuse a difference before it tries to open a
    # part."
    if not equal(keys.commitment, commitment):
        raise AuthenticationError("commitment", "the ciphertext is not committed to this key")
    return keys


def seal_alone(
    parent: bytes, purpose: str, context: Sequence[cbor.Item], plaintext: bytes, *, binding: bytes, salt: bytes
) -> bytes:
    """Seal one value that stands alone: `salt ‖ commitment ‖ ciphertext`."""
    keys = sealing_keys(parent, purpose, context, salt)
    return salt + keys.commitment + keys.seal(0, plaintext, binding)


def open_alone(parent: bytes, purpose: str, context: Sequence[cbor.Item], sealed: bytes, *, binding: bytes) -> bytes:
    """Open what `seal_alone` sealed. Raises `AuthenticationError` (`commitment`, `ciphertext`)."""
    if len(sealed) < OVERHEAD:
        raise AuthenticationError("ciphertext", "the sealed value is too short")
    salt, commitment = sealed[:SALT_SIZE], sealed[SALT_SIZE : SALT_SIZE + COMMITMENT_SIZE]
    keys = opening_keys(parent, purpose, context, salt, commitment)
    return keys.open(0, sealed[SALT_SIZE + COMMITMENT_SIZE :], binding)
