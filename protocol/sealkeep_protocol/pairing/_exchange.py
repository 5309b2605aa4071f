"""SPAKE2 (spec §10.3) by the library `spake2`, and the keys of a pairing (§10.4)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

from spake2 import SPAKE2_A, SPAKE2_B

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.pairing._code import CodeKind
from sealkeep_protocol.primitives import KEY_SIZE, derive, is_prime_order_point, mac, sha256

ELEMENT_SIZE: Final = 32


class Side(enum.IntEnum):
    """Who speaks: the device that is in the account, or the one that is to join it."""

    OLD = 0
    NEW = 1

    @property
    def other(self) -> Side:
        return Side(1 - self)


class Exchange:
    """One side's part of SPAKE2, for one use. `element` is what the other side is sent, 32 bytes."""

    __slots__ = ("_spake", "element")

    def __init__(
        self, side: Side, password: bytes, *, identity: bytes, mailbox: int, random: Callable[[int], bytes]
    ) -> None:
        make: Callable[..., Any] = SPAKE2_A if side is Side.OLD else SPAKE2_B
        names = [cbor.encode(["sealkeep/v1/pairing-side", int(who), identity, mailbox]) for who in Side]
        self._spake = make(password, idA=names[Side.OLD], idB=names[Side.NEW], entropy_f=random)
        # The library puts a letter before the element that says whose it is; here the message does.
        self.element = bytes(self._spake.start()[1:])

    def finish(self, other: bytes) -> bytes:
        """The shared key K, 32 bytes: the same on both sides if all that went into it is. Raises `AuthenticationError`."""
        # PAI-06: "A device MUST refuse an X or Y that is not the canonical encoding of a point of prime order, and one
        # that equals its own."
        if not is_prime_order_point(other) or other == self.element:
            raise AuthenticationError("key", "the other side's element is not one that it may send")
        letter = b"B" if isinstance(self._spake, SPAKE2_A) else b"A"
        return bytes(self._spake.finish(letter + other))

    def __repr__(self) -> str:
        return "<Exchange>"

    def __reduce__(self) -> str:
        raise TypeError("an exchange is not pickled")


class PairingKeys:
    """The keys that follow from K and the transcript T (§10.4)."""

    __slots__ = ("_key", "_transcript")

    def __init__(
        self,
        key: bytes,
        *,
        identity: bytes,
        mailbox: int,
        kind: CodeKind,
        elements: Sequence[bytes],
        commitment: bytes,
    ) -> None:
        self._key = key
        # Hashed into every key: it must not change.
        said = ["sealkeep/v1/pairing-transcript", identity, mailbox, int(kind), *elements, commitment]
        self._transcript = sha256(cbor.encode(said))

    def confirmation(self, side: Side) -> bytes:
        """By which a side shows that it knows the code, 32 bytes."""
        return mac(self._derive("pairing-confirm", int(side)), self._transcript)

    def sealing_key(self, side: Side) -> bytes:
        """The parent key of what a side seals."""
        return self._derive("pairing-seal", int(side))

    @property
    def words_key(self) -> bytes:
        return self._derive("pairing-words")

    def _derive(self, label: str, *who: int) -> bytes:
        return derive(self._key, [f"sealkeep/v1/{label}", *who, self._transcript], KEY_SIZE)

    def __repr__(self) -> str:
        return "<PairingKeys>"

    def __reduce__(self) -> str:
        raise TypeError("pairing keys are not pickled")
