"""Signed objects: COSE_Sign1 with exactly one encoding (spec §4). Their frame is fixed, so that a signature is verified
before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.primitives import HASH_SIZE, SIGNATURE_SIZE, SigningKey, sha256, verify_signature
from sealkeep_protocol.types import ObjectId

ObjectKind: TypeAlias = Literal["roster", "possession", "segment", "receipt", "refusal", "challenge", "login", "proof"]

MAX_CORE = 65_536
MAX_PAYLOAD = MAX_CORE + 65_536  # a core, and digests of up to 1,900 wraps
MAX_SIZE = MAX_PAYLOAD + 128

_PROTECTED = bytes.fromhex("a10132")  # {1: -19}: Ed25519 (RFC 9864)
_HEAD = bytes.fromhex("d28443a10132a0")  # tag 18, array of 4, protected, empty unprotected
_SIGNATURE_HEAD = b"\x58\x40"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a signed object says: a core, still encoded, and the hashes of the ciphertexts that belong to it."""

    core: bytes
    digests: tuple[bytes, ...]

    def encode(self) -> bytes:
        return cbor.encode([self.core, list(self.digests)])


def signature_structure(kind: ObjectKind, account: bytes, payload: bytes) -> bytes:
    """RFC 9052 §4.4 with the external_aad of §4. Signed and hashed: it must not change."""
    external = cbor.encode(["sealkeep/v1/signed", kind, account])
    return cbor.encode(["Signature1", _PROTECTED, external, payload])


def object_id(kind: ObjectKind, account: bytes, payload: bytes) -> ObjectId:
    """The id of a signed object (§4), 32 bytes."""
    return ObjectId(sha256(signature_structure(kind, account, payload)))


def sign(kind: ObjectKind, account: bytes, core: bytes, key: SigningKey, *, digests: Sequence[bytes] = ()) -> bytes:
    """Make a signed object. `core` is deterministic CBOR of at most 65,536 bytes."""
    payload = Payload(core, tuple(digests)).encode()
    return frame(payload, key.sign(signature_structure(kind, account, payload)))


def frame(payload: bytes, signature: bytes) -> bytes:
    """The one encoding of a signed object (§4)."""
    return _HEAD + cbor.encode(payload) + _SIGNATURE_HEAD + signature


def split(data: bytes, *, limit: int = MAX_SIZE) -> tuple[bytes, bytes]:
    """Take the frame apart: (payload, signature), neither verified nor decoded. Raises `MalformedError`."""
    if len(data) > limit:
        raise MalformedError("too-large", f"a signed object of {len(data)} bytes where at most {limit} are allowed")
    end = len(data) - SIGNATURE_SIZE - len(_SIGNATURE_HEAD)
    # SIG-01: "A reader MUST refuse a signed object that is not exactly this frame."
    if not data.startswith(_HEAD) or end < len(_HEAD) or not data.startswith(_SIGNATURE_HEAD, end):
        raise MalformedError("malformed", "not a signed object")
    payload = cbor.decode(data[len(_HEAD) : end], limit=limit)
    if not isinstance(payload, bytes):
        raise MalformedError("malformed", "the payload of a signed object is a byte string")
    return payload, data[-SIGNATURE_SIZE:]


def decode_payload(payload: bytes) -> Payload:
    """Decode a payload into core and digests. Raises `MalformedError`."""
    value = cbor.decode(payload, limit=MAX_PAYLOAD)
    # SIG-04: "A reader MUST refuse a payload with another shape, and digests whose number is not the one that the core
    # demands."
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not isinstance(value[0], bytes)
        or not isinstance(value[1], list)
        or not all(isinstance(digest, bytes) and len(digest) == HASH_SIZE for digest in value[1])
    ):
        raise MalformedError("malformed", "the payload of a signed object is [core, digests]")
    if len(value[0]) > MAX_CORE:
        raise MalformedError("too-large", f"a core of {len(value[0])} bytes")
    return Payload(value[0], tuple(value[1]))


def expect_digests(payload: Payload, count: int) -> None:
    """Check the number of digests that a core demands (SIG-04). Raises `MalformedError`."""
    if len(payload.digests) != count:
        raise MalformedError("malformed", f"{len(payload.digests)} digests where {count} belong")


def verify(
    data: bytes, kind: ObjectKind, account: bytes, public: bytes, *, limit: int = MAX_SIZE
) -> tuple[ObjectId, Payload]:
    """Verify a signed object and decode its payload.

    Raises `MalformedError` for the frame or payload, `AuthenticationError` (`signature`, `key`) for the signature.
    """
    payload, signature = split(data, limit=limit)
    # SIG-03: "A reader MUST verify with the kind and the account that it expects, never with ones that the object names."
    structure = signature_structure(kind, account, payload)
    # SIG-02: "A reader MUST verify the signature before it decodes the payload, except a roster entry, whose payload
    # names its signer."
    verify_signature(public, structure, signature)
    return ObjectId(sha256(structure)), decode_payload(payload)


Root: TypeAlias = tuple[int, bytes]  # what a key enters with: (0, nonce of the genesis) or (1, account id)


def proof(signing: SigningKey, kem_public: bytes, root: Root) -> bytes:
    """The proof of possession in a key record (§5.2): binds both keys to the account, or to a genesis' nonce."""
    payload = Payload(_possession(signing.public, kem_public, root), ()).encode()
    return signing.sign(signature_structure("possession", b"", payload))


def verify_proof(signing_public: bytes, kem_public: bytes, root: Root, signature: bytes) -> None:
    """Check a proof of possession. Raises `AuthenticationError` (`signature`, `key`)."""
    payload = Payload(_possession(signing_public, kem_public, root), ()).encode()
    try:
        verify_signature(signing_public, signature_structure("possession", b"", payload), signature)
    except AuthenticationError as error:
        raise AuthenticationError(error.code, f"proof of possession: {error.args[0]}") from error


def _possession(signing_public: bytes, kem_public: bytes, root: Root) -> bytes:
    return cbor.encode({0: 1, 1: signing_public, 2: kem_public, 3: list(root)})
