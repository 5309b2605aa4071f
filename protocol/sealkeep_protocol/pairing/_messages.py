"""The five messages of a pairing (spec §10.5), and what is sealed in three of them. Each begins with suite and number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sealkeep_protocol import cbor, sealing
from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.fields import (
    MAX_DEVICE,
    MAX_NUMBER,
    array,
    check_keys,
    check_suite,
    decode_map,
    octets,
    unsigned,
)
from sealkeep_protocol.hybrid_kem import KEM_KEY_SIZE
from sealkeep_protocol.keys import KeyRecord
from sealkeep_protocol.mailboxes import MAX_MESSAGE
from sealkeep_protocol.pairing._code import CodeKind
from sealkeep_protocol.pairing._exchange import ELEMENT_SIZE
from sealkeep_protocol.primitives import SIGNATURE_SIZE, SUITE, sha256
from sealkeep_protocol.roster import MAX_NAME
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId

NONCE_SIZE: Final = 32
_SMALL, _LARGE = 96, 1536  # of what is sealed, padded: nobody learns the length of a name
_PURPOSE: Final = "mailbox"


@dataclass(frozen=True, slots=True)
class Hello:
    """Message 1: which secret of the code the old device was given, and its element X."""

    kind: CodeKind
    element: bytes

    def encode(self) -> bytes:
        return cbor.encode({0: SUITE, 1: 1, 2: int(self.kind), 3: self.element})

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        value = _decode(data, 1, range(4))
        try:
            kind = CodeKind(unsigned(value[2], "the kind of a code"))
        except ValueError:
            raise MalformedError("unsupported", "a kind of code that this version does not know") from None
        return cls(kind, octets(value[3], "an element", size=ELEMENT_SIZE))


@dataclass(frozen=True, slots=True)
class Answer:
    """Message 2: the new device's element Y, its commitment to what it will say of itself, and its confirmation."""

    element: bytes
    commitment: bytes
    confirmation: bytes

    def encode(self) -> bytes:
        return cbor.encode({0: SUITE, 1: 2, 2: self.element, 3: self.commitment, 4: self.confirmation})

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        value = _decode(data, 2, range(5))
        return cls(
            octets(value[2], "an element", size=ELEMENT_SIZE),
            octets(value[3], "a commitment"),
            octets(value[4], "a confirmation"),
        )


@dataclass(frozen=True, slots=True)
class Invitation:
    """Message 3: the old device's confirmation, and sealed `Account`."""

    confirmation: bytes
    sealed: bytes

    def encode(self) -> bytes:
        return cbor.encode({0: SUITE, 1: 3, 2: self.confirmation, 3: self.sealed})

    @classmethod
    def decode(cls, data: bytes) -> Invitation:
        value = _decode(data, 3, range(4))
        return cls(octets(value[2], "a confirmation"), _sealed(value[3], _SMALL))


def encode_sealed(number: int, sealed: bytes) -> bytes:
    """Message 4 or 5, which hold nothing but what is sealed: `Candidate`, `Enrolment`."""
    return cbor.encode({0: SUITE, 1: number, 2: sealed})


def decode_sealed(data: bytes, number: int) -> bytes:
    """What is sealed in message 4 or 5. Raises `MalformedError`."""
    return _sealed(_decode(data, number, range(3))[2], _LARGE if number == 4 else _SMALL)


# What is sealed


@dataclass(frozen=True, slots=True)
class Account:
    """Sealed in message 3: the account that the old device is in, and its nonce."""

    account: AccountId
    nonce: bytes

    def encode(self) -> bytes:
        return _padded({1: self.account, 2: self.nonce}, _SMALL)

    @classmethod
    def decode(cls, plaintext: bytes) -> Account:
        value = _decode_padded(plaintext, (1, 2))
        return cls(AccountId(octets(value[1], "an account id")), octets(value[2], "a nonce", size=NONCE_SIZE))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Sealed in message 4: the device that wants to join, by its key record and its name, and its nonce."""

    keys: KeyRecord
    name: str
    nonce: bytes = field(repr=False)

    @property
    def commitment(self) -> bytes:
        """What message 2 says of it before the account is known; the proof alone is not in it."""
        said = ["sealkeep/v1/pairing-commitment", self.nonce, self.keys.signing, self.keys.kem, self.name]
        return sha256(cbor.encode(said))

    def encode(self) -> bytes:
        record = [self.keys.signing, self.keys.kem, self.keys.proof]
        return _padded({1: record, 2: self.name, 3: self.nonce}, _LARGE)

    @classmethod
    def decode(cls, plaintext: bytes) -> Candidate:
        value = _decode_padded(plaintext, (1, 2, 3))
        signing, kem, proof = array(value[1], "a key record", size=3)
        record = KeyRecord(
            octets(signing, "a signing key"),
            octets(kem, "a KEM key", size=KEM_KEY_SIZE),
            octets(proof, "a proof of possession", size=SIGNATURE_SIZE),
        )
        name = value[2]
        if not isinstance(name, str) or not is_name(name):
            raise MalformedError("malformed", f"a device name is a text of 1 to {MAX_NAME} bytes")
        return cls(record, name, octets(value[3], "a nonce", size=NONCE_SIZE))


def is_name(name: str) -> bool:
    """Whether a device may have this name (§5.2)."""
    try:
        return 1 <= len(name.encode()) <= MAX_NAME
    except UnicodeEncodeError:  # half a character, as file systems and host names may hold
        return False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Sealed in message 5: the new device's number, and the number and id of the roster entry that added it."""

    device: DeviceId
    number: int
    entry_id: ObjectId

    def encode(self) -> bytes:
        return _padded({1: self.device, 2: self.number, 3: self.entry_id}, _SMALL)

    @classmethod
    def decode(cls, plaintext: bytes) -> Enrolment | None:
        """None where the device was declined."""
        if cbor.decode_padded(plaintext) == {}:
            return None
        value = _decode_padded(plaintext, (1, 2, 3))
        return cls(
            DeviceId(unsigned(value[1], "a device number", minimum=1, maximum=MAX_DEVICE)),
            unsigned(value[2], "an entry's number", minimum=1, maximum=MAX_NUMBER),
            ObjectId(octets(value[3], "an entry's id")),
        )


def encode_declined() -> bytes:
    """Sealed in message 5 where the person said no."""
    return _padded({}, _SMALL)


# Sealing (§10.4): parent is the sender's sealing key, `before` are the messages so far as they were sent


def seal_message(
    parent: bytes, mailbox: int, number: int, plaintext: bytes, *, before: Sequence[bytes], salt: bytes
) -> bytes:
    """Seal what message `number` carries, `salt ‖ commitment ‖ ciphertext`."""
    return sealing.seal_alone(parent, _PURPOSE, [mailbox, number], plaintext, binding=_binding(before), salt=salt)


def open_message(parent: bytes, mailbox: int, number: int, sealed: bytes, *, before: Sequence[bytes]) -> bytes:
    """Open what message `number` carries. Raises `AuthenticationError`: it was changed, moved or sent before."""
    try:
        return sealing.open_alone(parent, _PURPOSE, [mailbox, number], sealed, binding=_binding(before))
    except AuthenticationError as error:
        raise AuthenticationError(error.code, "what the other device sent was changed on its way") from error


def _binding(before: Sequence[bytes]) -> bytes:
    """Associated data, and it must not change: all earlier messages, byte for byte."""
    return sha256(cbor.encode(["sealkeep/v1/pairing-before", list(before)]))


def _decode(data: bytes, number: int, keys: range) -> dict[int, cbor.Item]:
    value = decode_map(data, limit=MAX_MESSAGE, what="pairing message")
    check_suite(value, what="pairing message")
    check_keys(value, keys, what="pairing message")
    if type(value[1]) is not int or value[1] != number:
        raise MalformedError("malformed", "a pairing message out of its place")
    return value


def _sealed(value: cbor.Item, plaintext: int) -> bytes:
    return octets(value, "what a pairing message seals", size=sealing.OVERHEAD + plaintext)


def _padded(value: dict[int, cbor.Item], size: int) -> bytes:
    return cbor.encode(value).ljust(size, b"\0")


def _decode_padded(plaintext: bytes, keys: Sequence[int]) -> dict[int, cbor.Item]:
    value = cbor.decode_padded(plaintext)
    if not isinstance(value, dict):
        raise MalformedError("malformed", "what a pairing message seals is a map")
    check_keys(value, keys, what="pairing message")
    return value
