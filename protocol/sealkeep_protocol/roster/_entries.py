"""Roster entries as they stand on the wire (spec §5.2): decoding says what an entry is, `Roster` judges it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import MalformedError
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
from sealkeep_protocol.primitives import KEY_SIZE, SIGNATURE_SIZE, SUITE
from sealkeep_protocol.sealing import OVERHEAD
from sealkeep_protocol.signed import Payload

MAX_ENTRY = signed.MAX_SIZE
NAME_PLAINTEXT = 80
MAX_NAME = 64
SEALED_NAME = NAME_PLAINTEXT + OVERHEAD
SEALED_LINK = KEY_SIZE + OVERHEAD


class EntryType(IntEnum):
    GENESIS = 1
    CHANGE = 2
    RECLAIM = 3
    CLOSE = 4


class Signer(NamedTuple):
    """Who signed: `[0, device number]` or `[1, recovery key number]` (§5.1)."""

    is_recovery: int
    number: int

    @classmethod
    def device(cls, number: int) -> Signer:
        return cls(0, number)

    @classmethod
    def recovery(cls, number: int) -> Signer:
        return cls(1, number)


class Addition(NamedTuple):
    """A device that an entry adds: its number, keys, and sealed name (160 bytes)."""

    device: int
    keys: KeyRecord
    sealed_name: bytes


class Removal(NamedTuple):
    """A device that an entry removes, or whose pin it lowers, and where its feed ends: the pin (seq 0 with an empty id, or
    the last header)."""

    device: int
    seq: int
    header_id: bytes
    discard_after: bool


class Link(NamedTuple):
    """An older epoch's secret, sealed under the new epoch (112 bytes)."""

    epoch: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new epoch: its number, the public commitment to its secret, and links to older ones."""

    epoch: int
    commitment: bytes
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoded entry, not yet judged. `core` and `digests` are the signed bytes it was decoded from."""

    type: EntryType
    number: int
    previous: bytes
    signer: Signer
    nonce: bytes | None
    recovery: KeyRecord | None
    added: tuple[Addition, ...]
    removed: tuple[Removal, ...]
    rotation: Rotation | None
    time: int | None
    core: bytes = b""
    digests: tuple[bytes, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Whether it is a `change` that rotates, and does nothing else."""
        return self.type is EntryType.CHANGE and not (self.added or self.removed or self.recovery)

    def encode_core(self) -> bytes:
        """The deterministic CBOR of the entry's fields (§5.2). Signed and hashed: it must not change."""
        core: dict[int, cbor.Item] = {0: SUITE, 1: int(self.type), 2: self.number, 4: list(self.signer)}
        if self.type is not EntryType.GENESIS:
            core[3] = self.previous
        optional: dict[int, cbor.Item] = {
            5: self.nonce,
            6: None if self.recovery is None else _encode_keys(self.recovery),
            7: [[a.device, _encode_keys(a.keys), a.sealed_name] for a in self.added] or None,
            8: [list(removal) for removal in self.removed] or None,
            9: None if self.rotation is None else _encode_rotation(self.rotation),
            10: self.time,
        }
        return cbor.encode(core | {key: value for key, value in optional.items() if value is not None})


# For each type: required and optional fields (the table of §5.2).
_FIELDS: dict[EntryType, tuple[frozenset[int], frozenset[int]]] = {
    EntryType.GENESIS: (frozenset({0, 1, 2, 4, 5, 6, 7, 9}), frozenset({10})),
    EntryType.CHANGE: (frozenset({0, 1, 2, 3, 4, 9}), frozenset({6, 7, 8, 10})),
    EntryType.RECLAIM: (frozenset({0, 1, 2, 3, 4, 6, 7, 8, 9}), frozenset({10})),
    EntryType.CLOSE: (frozenset({0, 1, 2, 3, 4}), frozenset({10})),
}


def decode_entry(payload: Payload) -> Entry:
    """Decode the core of an entry. Raises `MalformedError`."""
    core = decode_map(payload.core, limit=signed.MAX_CORE, what="roster entry")
    check_suite(core, what="roster entry")
    # ROS-10: "A reader MUST stop at an entry of an unknown type or with an unknown field, with the code `unsupported`."
    kind = unsigned(core.get(1), "the entry's type")
    if kind not in set(EntryType):
        raise MalformedError("unsupported", "a roster entry of a type that this version does not know")
    entry_type = EntryType(kind)
    required, optional = _FIELDS[entry_type]
    if entry_type is EntryType.RECLAIM and 8 not in core:
        required, optional = required - {8}, optional | {8}  # nobody may be left to remove (§5.2)
    check_keys(core, required, optional, what="roster entry")
    is_genesis = entry_type is EntryType.GENESIS
    return Entry(
        type=entry_type,
        number=unsigned(core[2], "the entry's number", maximum=MAX_NUMBER),
        previous=b"" if is_genesis else octets(core[3], "the id of the previous entry"),
        signer=decode_signer(core[4]),
        nonce=octets(core[5], "the nonce") if is_genesis else None,
        recovery=_decode_keys(core[6]) if 6 in core else None,
        added=tuple(_decode_addition(item) for item in array(core[7], "the additions", empty=False))
        if 7 in core
        else (),
        removed=tuple(_decode_removal(item) for item in array(core[8], "the removals", empty=False))
        if 8 in core
        else (),
        rotation=_decode_rotation(core[9]) if 9 in core else None,
        time=unsigned(core[10], "the entry's time") if 10 in core else None,
        core=payload.core,
        digests=payload.digests,
    )


def decode_signer(value: cbor.Item) -> Signer:
    """Decode a signer (§5.1). Raises `MalformedError`."""
    kind, number = array(value, "a signer", size=2)
    if unsigned(kind, "a signer's kind", maximum=1):
        return Signer.recovery(unsigned(number, "a recovery key's number", maximum=MAX_NUMBER))
    return Signer.device(unsigned(number, "a device number", minimum=1, maximum=MAX_DEVICE))


def _encode_keys(keys: KeyRecord) -> cbor.Item:
    return [keys.signing, keys.kem, keys.proof]


def _decode_keys(value: cbor.Item) -> KeyRecord:
    signing, kem, proof = array(value, "a key record", size=3)
    return KeyRecord(
        octets(signing, "a signing key"),
        octets(kem, "a KEM key", size=KEM_KEY_SIZE),
        octets(proof, "a proof of possession", size=SIGNATURE_SIZE),
    )


def _decode_addition(value: cbor.Item) -> Addition:
    device, keys, name = array(value, "an addition", size=3)
    return Addition(
        unsigned(device, "a device number", minimum=1, maximum=MAX_DEVICE),
        _decode_keys(keys),
        octets(name, "a sealed name", size=SEALED_NAME),
    )


def _decode_removal(value: cbor.Item) -> Removal:
    device, seq, header_id, discard_after = array(value, "a removal", size=4)
    number, end = (
        unsigned(device, "a device number", minimum=1, maximum=MAX_DEVICE),
        unsigned(seq, "a pin's seq", maximum=MAX_NUMBER),
    )
    # ROS-12: "A pin MUST name seq 0 with an empty id, or a seq from 1 with a header id; …"
    identifier = octets(header_id, "a pin's header id", size=32 if end else 0)
    if not isinstance(discard_after, bool):
        raise MalformedError("malformed", "discard-after is true or false")
    return Removal(number, end, identifier, discard_after)


def _encode_rotation(rotation: Rotation) -> cbor.Item:
    return [rotation.epoch, rotation.commitment, [list(link) for link in rotation.links]]


def _decode_rotation(value: cbor.Item) -> Rotation:
    epoch, commitment, links = array(value, "a rotation", size=3)
    decoded = []
    for item in array(links, "the links"):
        older, sealed = array(item, "a link", size=2)
        decoded.append(
            Link(
                unsigned(older, "a link's epoch", minimum=1, maximum=MAX_NUMBER),
                octets(sealed, "a sealed link", size=SEALED_LINK),
            )
        )
    return Rotation(
        unsigned(epoch, "an epoch number", minimum=1, maximum=MAX_NUMBER),
        octets(commitment, "an epoch commitment"),
        tuple(decoded),
    )
