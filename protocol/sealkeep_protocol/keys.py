"""The key schedule (spec §3.2–§3.4): each key has one purpose and a labelled derivation."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_protocol import signed
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.hybrid_kem import KemPrivateKey
from sealkeep_protocol.primitives import KEY_SIZE, SigningKey, derive, equal


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The public keys of a device or recovery key as they stand in the roster (§5.2)."""

    signing: bytes  # 32 bytes
    kem: bytes  # 1,216 bytes
    proof: bytes  # 64 bytes


class PrivateKeys:
    """A signing key and a KEM key that belong together: a device's, or the recovery keys. Never shown, never pickled."""

    __slots__ = ("kem", "signing")

    def __init__(self, signing_seed: bytes, kem_seed: bytes) -> None:
        self.signing = SigningKey(signing_seed)
        self.kem = KemPrivateKey(kem_seed)

    @classmethod
    def of_recovery(cls, seed: bytes) -> PrivateKeys:
        """The recovery keys of a 32-byte recovery seed (§3.2)."""
        if len(seed) != KEY_SIZE:
            raise ValueError("a recovery seed is 32 bytes long")
        return cls(
            derive(seed, ["sealkeep/v1/recovery-signing"], KEY_SIZE),
            derive(seed, ["sealkeep/v1/recovery-kem"], KEY_SIZE),
        )

    def record(self, root: signed.Root) -> KeyRecord:
        """The key record for an account: `root` is (1, account id), or (0, nonce) where it enters with the genesis."""
        return KeyRecord(self.signing.public, self.kem.public, signed.proof(self.signing, self.kem.public, root))

    def __repr__(self) -> str:
        return f"<PrivateKeys {self.signing.public.hex()[:16]}…>"


class EpochKeys:
    """The keys of one epoch (§3.4). `secret` is E(n), 32 bytes; `nonce` that of the account's genesis."""

    __slots__ = ("_nonce", "number", "secret")

    def __init__(self, secret: bytes, number: int, nonce: bytes) -> None:
        if len(secret) != KEY_SIZE or number < 1:
            raise ValueError("an epoch secret is 32 bytes long, its number from 1")
        self.secret, self.number, self._nonce = secret, number, nonce

    @classmethod
    def checked(cls, secret: bytes, number: int, nonce: bytes, commitment: bytes) -> EpochKeys:
        """Take a secret that came from a wrap or link. Raises `AuthenticationError` (`commitment`)."""
        keys = cls(secret, number, nonce)
        # KEY-04: "A device MUST check every epoch secret, unwrapped or reached by a link, against the commitment in the
        # roster, in constant time, before it uses it."
        if not equal(keys.commitment, commitment):
            raise AuthenticationError(
                "commitment", f"the secret of epoch {number} is not the one the roster commits to"
            )
        return keys

    def _derive(self, label: str) -> bytes:
        return derive(self.secret, [f"sealkeep/v1/{label}", self._nonce, self.number], KEY_SIZE)

    @property
    def commitment(self) -> bytes:
        """Public: stands in the roster."""
        return self._derive("epoch-commitment")

    @property
    def segment_key(self) -> bytes:
        return self._derive("epoch-segment")

    @property
    def name_key(self) -> bytes:
        return self._derive("epoch-name")

    @property
    def link_key(self) -> bytes:
        return self._derive("epoch-link")

    @property
    def checkpoint_key(self) -> bytes:
        return self._derive("epoch-checkpoint")

    @property
    def chunk_key(self) -> bytes:
        """The parent of every chunk's own key (§12.1)."""
        return self._derive("epoch-chunk")

    @property
    def record_id_key(self) -> bytes:
        """Of the first epoch only (§3.4): it never rotates. Raises `ValueError` for another."""
        if self.number != 1:
            raise ValueError("the record-id key belongs to the first epoch")
        return self._derive("record-id")

    def __repr__(self) -> str:
        return f"<EpochKeys {self.number}>"

    def __reduce__(self) -> str:
        raise TypeError("epoch keys are not pickled")
