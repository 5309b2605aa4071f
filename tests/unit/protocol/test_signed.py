"""Signed objects (spec §4)."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError, MalformedError
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.signed import MAX_CORE, MAX_SIZE, ObjectKind, Payload
from support.accounts import flipped, made_keys, refused

KEY = SigningKey(sha256(b"signer"))
ACCOUNT = sha256(b"account")
CORE = cbor.encode({0: 1, 1: b"x" * 300})
DIGEST = sha256(b"ciphertext")
DATA = signed.sign("segment", ACCOUNT, CORE, KEY, digests=[DIGEST])


def verify(data: bytes, **options: Any) -> Payload:
    return signed.verify(data, "segment", ACCOUNT, KEY.public, **options)[1]


def signed_payload(payload: bytes) -> bytes:
    """Anything at all as a payload, with a good signature."""
    return signed.frame(payload, KEY.sign(signed.signature_structure("segment", ACCOUNT, payload)))


def test_the_frame_is_the_specs() -> None:
    payload = cbor.encode([CORE, [DIGEST]])
    structure = cbor.encode(
        ["Signature1", bytes.fromhex("a10132"), cbor.encode(["sealkeep/v1/signed", "segment", ACCOUNT]), payload]
    )
    assert bytes.fromhex("d28443a10132a0") + cbor.encode(payload) + b"\x58\x40" + KEY.sign(structure) == DATA
    identifier, decoded = signed.verify(DATA, "segment", ACCOUNT, KEY.public)
    assert identifier == sha256(structure) == signed.object_id("segment", ACCOUNT, payload)
    assert decoded == Payload(CORE, (DIGEST,))
    assert decoded.encode() == payload


def test_anything_but_the_frame_is_refused() -> None:
    """SIG-01"""
    payload, signature = signed.split(DATA)
    head = bytes.fromhex("d28443a10132a0")
    tail = b"\x58\x40" + signature
    wrong = {
        "nothing": b"",
        "the head alone": head,
        "head and signature alone": head + tail,
        "no tag": DATA[1:],
        "another tag": b"\xd1" + DATA[1:],
        "a long tag": b"\xd8\x12" + DATA[1:],
        "a long array": b"\xd2\x98\x04" + DATA[2:],
        "an empty protected header": bytes.fromhex("d28440a0") + DATA[7:],
        "EdDSA (-8)": bytes.fromhex("d28443a10127a0") + DATA[7:],
        "an unprotected header": bytes.fromhex("d28443a10132a1044101") + DATA[7:],
        "a detached payload": head + b"\xf6" + tail,
        "the payload as text": head + cbor.encode("x") + tail,
        "the payload as an array": head + cbor.encode([payload]) + tail,
        "a long payload head": head + b"\x5a" + len(payload).to_bytes(4, "big") + payload + tail,
        "an indefinite payload": head + b"\x5f" + cbor.encode(payload) + b"\xff" + tail,
        "two payloads": head + cbor.encode(payload) * 2 + tail,
        "a long signature head": head + cbor.encode(payload) + b"\x59\x00\x40" + signature,
        "a short signature": DATA[:-1],
        "bytes after it": DATA + b"\0",
    }
    for name, data in wrong.items():
        with refused(MalformedError, "malformed") as caught:
            verify(data)
        assert caught.value.args, name


def test_every_bit_of_the_frame_counts() -> None:
    """SIG-01"""
    payload_ends = len(DATA) - 66
    payload_begins = payload_ends - len(signed.split(DATA)[0])
    for bit in range(8 * len(DATA)):
        place = bit // 8
        inside = payload_begins <= place < payload_ends or place >= payload_ends + 2
        family = AuthenticationError if inside else MalformedError
        with refused(family, "signature" if inside else "malformed"):
            verify(flipped(DATA, bit))


def test_the_signature_is_verified_before_the_payload_is_decoded() -> None:
    """SIG-02: a payload that is no CBOR is a wrong signature first."""
    payload = b"\xff not CBOR"
    with refused(AuthenticationError, "signature"):
        verify(signed.frame(payload, bytes(64)))
    with refused(MalformedError, "malformed"):
        verify(signed_payload(payload))


def test_kind_and_account_are_the_readers() -> None:
    """SIG-03"""
    for kind in get_args(ObjectKind):
        if kind != "segment":
            with refused(AuthenticationError, "signature"):
                signed.verify(DATA, kind, ACCOUNT, KEY.public)
    for account in (b"", sha256(b"another account")):
        with refused(AuthenticationError, "signature"):
            signed.verify(DATA, "segment", account, KEY.public)
    with refused(AuthenticationError, "signature"):
        signed.verify(DATA, "segment", ACCOUNT, SigningKey(bytes(32)).public)


@pytest.mark.parametrize(
    "payload",
    [
        CORE,
        [],
        [CORE],
        [CORE, [], 0],
        [CORE, DIGEST],
        [{}, []],
        ["core", []],
        [CORE, [DIGEST[:31]]],
        [CORE, [DIGEST, DIGEST + b"\0"]],
        [CORE, ["d" * 32]],
        [CORE, [[DIGEST]]],
        {0: CORE, 1: []},
        None,
    ],
)
def test_another_payload_is_refused(payload: cbor.Item) -> None:
    """SIG-04"""
    with refused(MalformedError, "malformed"):
        verify(signed_payload(cbor.encode(payload)))


def test_digests_are_as_many_as_the_core_demands() -> None:
    """SIG-04"""
    payload = verify(DATA)
    signed.expect_digests(payload, 1)
    for count in (0, 2):
        with refused(MalformedError, "malformed"):
            signed.expect_digests(payload, count)


def test_sizes_are_limited() -> None:
    """ENC-04"""
    assert len(verify(signed.sign("segment", ACCOUNT, bytes(MAX_CORE), KEY)).core) == MAX_CORE
    with refused(MalformedError, "too-large"):
        verify(signed.sign("segment", ACCOUNT, bytes(MAX_CORE + 1), KEY))
    with refused(MalformedError, "too-large"):
        verify(bytes(MAX_SIZE + 1))
    assert verify(DATA, limit=len(DATA)).core == CORE
    with refused(MalformedError, "too-large"):
        verify(DATA, limit=len(DATA) - 1)


def test_a_proof_of_possession_binds_both_keys_and_the_root() -> None:
    """ROS-05"""
    keys, other = made_keys("one"), made_keys("another")
    root = (1, ACCOUNT)
    proof = signed.proof(keys.signing, keys.kem.public, root)
    signed.verify_proof(keys.signing.public, keys.kem.public, root, proof)
    for signing, kem, at in (
        (other.signing.public, keys.kem.public, root),
        (keys.signing.public, other.kem.public, root),
        (keys.signing.public, keys.kem.public, (0, ACCOUNT)),
        (keys.signing.public, keys.kem.public, (1, DIGEST)),
    ):
        with refused(AuthenticationError, "signature") as caught:
            signed.verify_proof(signing, kem, at, proof)
        assert "proof of possession" in str(caught.value)
    with refused(AuthenticationError, "key"):
        signed.verify_proof(bytes(32), keys.kem.public, root, proof)
