"""The one sealing function (spec §3.5)."""

from __future__ import annotations

import copy
import pickle

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.primitives import aead_open, derive, sha256
from sealkeep_protocol.sealing import OVERHEAD, open_alone, opening_keys, seal_alone, sealing_keys
from support.accounts import MadeAccount, device, flipped, refused

PARENT, SALT = sha256(b"parent"), sha256(b"salt")
CONTEXT = [b"account", 3, 7]


def test_keys_and_commitment_are_the_specs() -> None:
    okm = derive(PARENT, ["sealkeep/v1/seal", "segment", CONTEXT, 2], 96, salt=SALT)
    keys = sealing_keys(PARENT, "segment", CONTEXT, SALT, parts=2)
    assert keys.parts == (okm[:32], okm[32:64])
    assert keys.commitment == okm[64:]
    sealed = keys.seal(1, b"body", b"binding")
    assert aead_open(okm[32:64], sealed, cbor.encode(["sealkeep/v1/part", "segment", 1, b"binding"])) == b"body"


def test_a_part_opens_only_at_its_place_and_binding() -> None:
    keys = sealing_keys(PARENT, "segment", CONTEXT, SALT, parts=2)
    sealed = keys.seal(0, b"summary", b"binding")
    assert keys.open(0, sealed, b"binding") == b"summary"
    for index, binding in ((1, b"binding"), (0, b"binding!"), (0, b"")):
        with refused(AuthenticationError, "ciphertext"):
            keys.open(index, sealed, binding)


@pytest.mark.parametrize(
    ("parent", "purpose", "context", "salt", "parts"),
    [
        (sha256(b"other"), "segment", CONTEXT, SALT, 2),
        (PARENT, "name", CONTEXT, SALT, 2),
        (PARENT, "segment", [b"account", 3, 8], SALT, 2),
        (PARENT, "segment", CONTEXT, sha256(b"other"), 2),
        (PARENT, "segment", CONTEXT, SALT, 1),
    ],
    ids=["parent", "purpose", "context", "salt", "parts"],
)
def test_a_commitment_to_anything_else_is_refused(
    parent: bytes, purpose: str, context: list[cbor.Item], salt: bytes, parts: int
) -> None:
    """KEY-05"""
    commitment = sealing_keys(PARENT, "segment", CONTEXT, SALT, parts=2).commitment
    assert opening_keys(PARENT, "segment", CONTEXT, SALT, commitment, parts=2).commitment == commitment
    with refused(AuthenticationError, "commitment"):
        opening_keys(parent, purpose, context, salt, commitment, parts=parts)


def test_a_value_that_stands_alone() -> None:
    sealed = seal_alone(PARENT, "name", [1], b"value", binding=b"b", salt=SALT)
    assert len(sealed) == 5 + OVERHEAD
    assert sealed[:32] == SALT
    assert open_alone(PARENT, "name", [1], sealed, binding=b"b") == b"value"


def test_the_commitment_is_compared_before_anything_is_opened() -> None:
    """KEY-05: every bit of salt and commitment is refused as `commitment`, every later one as `ciphertext`."""
    sealed = seal_alone(PARENT, "name", [1], b"value", binding=b"b", salt=SALT)
    for bit in range(8 * len(sealed)):
        with refused(AuthenticationError, "commitment" if bit < 8 * 64 else "ciphertext"):
            open_alone(PARENT, "name", [1], flipped(sealed, bit), binding=b"b")
    with refused(AuthenticationError, "commitment"):
        open_alone(PARENT, "name", [1], bytes(64) + b"nothing that would open", binding=b"b")
    with refused(AuthenticationError, "ciphertext"):
        open_alone(PARENT, "name", [1], sealed[: OVERHEAD - 1], binding=b"b")
    with refused(AuthenticationError, "ciphertext"):
        open_alone(PARENT, "name", [1], sealed, binding=b"c")


def test_a_salt_has_32_bytes() -> None:
    for wrong in (b"", SALT[:31], SALT + b"!"):
        with pytest.raises(ValueError, match="32 bytes"):
            sealing_keys(PARENT, "name", [1], wrong)


def test_every_sealing_of_an_account_has_a_salt_of_its_own() -> None:
    """KEY-06"""
    account = MadeAccount(devices=2)
    account.change(device(1), add=2)
    account.seal(1)
    account.seal(1)
    salts = [item.sealed_name[:32] for item in account.roster.devices.values()]
    salts += [link.sealed[:32] for rotation in account.roster.rotations for link in rotation.links]
    salts += [account.verified(1, segment).header.salt for segment in account.segments[1]]
    assert len(salts) == len(set(salts)) == 8
    assert set(salts) <= set(account.random.drawn)
    assert len(account.random.drawn) == len(set(account.random.drawn))


def test_sealing_keys_show_and_pickle_nothing() -> None:
    keys = sealing_keys(PARENT, "name", [1], SALT)
    for shown in (repr(keys), str(keys)):
        assert keys.parts[0].hex()[:8] not in shown
        assert repr(keys.parts[0]) not in shown
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refuse(keys)
