"""The key schedule (spec §3.2 to §3.4)."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import derive, hkdf, sha256
from support.accounts import MadeAccount, refused

SECRET, NONCE = sha256(b"secret"), sha256(b"nonce")
KEYS = EpochKeys(SECRET, 1, NONCE)


def test_recovery_keys_come_from_their_seed() -> None:
    seed = sha256(b"seed")
    keys = PrivateKeys.of_recovery(seed)
    signing = hkdf(seed, salt=b"", info=cbor.encode(["sealkeep/v1/recovery-signing"]), size=32)
    kem = hkdf(seed, salt=b"", info=cbor.encode(["sealkeep/v1/recovery-kem"]), size=32)
    same = PrivateKeys(signing, kem)
    assert (keys.signing.public, keys.kem.public) == (same.signing.public, same.kem.public)
    with pytest.raises(ValueError, match="32 bytes"):
        PrivateKeys.of_recovery(seed[:31])


def test_a_key_record_proves_both_keys_for_one_root() -> None:
    keys = PrivateKeys(sha256(b"a"), sha256(b"b"))
    record = keys.record((1, NONCE))
    assert (record.signing, record.kem) == (keys.signing.public, keys.kem.public)
    signed.verify_proof(record.signing, record.kem, (1, NONCE), record.proof)
    with refused(AuthenticationError, "signature"):
        signed.verify_proof(record.signing, record.kem, (0, NONCE), record.proof)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("commitment", "epoch-commitment"),
        ("segment_key", "epoch-segment"),
        ("name_key", "epoch-name"),
        ("link_key", "epoch-link"),
        ("checkpoint_key", "epoch-checkpoint"),
        ("chunk_key", "epoch-chunk"),
        ("record_id_key", "record-id"),
    ],
)
def test_every_purpose_has_a_key_of_its_own(name: str, label: str) -> None:
    assert getattr(KEYS, name) == derive(SECRET, [f"sealkeep/v1/{label}", NONCE, 1], 32)


def test_keys_depend_on_secret_number_and_nonce() -> None:
    others = [EpochKeys(sha256(b"other"), 1, NONCE), EpochKeys(SECRET, 2, NONCE), EpochKeys(SECRET, 1, bytes(32))]
    assert len({keys.segment_key for keys in (KEYS, *others)}) == 4
    with pytest.raises(ValueError, match="first epoch"):
        _ = others[1].record_id_key
    for secret, number in ((SECRET[:31], 1), (SECRET, 0)):
        with pytest.raises(ValueError, match="32 bytes"):
            EpochKeys(secret, number, NONCE)


def test_a_secret_that_the_commitment_does_not_confirm_is_refused() -> None:
    """KEY-04"""
    assert EpochKeys.checked(SECRET, 1, NONCE, KEYS.commitment).secret == SECRET
    for secret, number, nonce, commitment in (
        (sha256(b"other"), 1, NONCE, KEYS.commitment),
        (SECRET, 2, NONCE, KEYS.commitment),
        (SECRET, 1, bytes(32), KEYS.commitment),
        (SECRET, 1, NONCE, bytes(32)),
        (SECRET, 1, NONCE, b""),
    ):
        with refused(AuthenticationError, "commitment") as caught:
            EpochKeys.checked(secret, number, nonce, commitment)
        assert secret.hex()[:8] not in str(caught.value)


def test_key_objects_show_and_pickle_nothing() -> None:
    account = MadeAccount()
    keys = account.devices[1]
    composed = account.compose(signer := account.entry().signer, add=1)
    secrets = [KEYS.secret, composed.keys.secret, account.kits[0]]
    for thing in (KEYS, keys, composed, composed.keys, account.recovery(0), signer):
        for shown in (repr(thing), str(thing)):
            assert not any(secret.hex()[:8] in shown or repr(secret) in shown for secret in secrets)
    for thing in (KEYS, keys, composed):
        for refuse in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="pickle"):
                refuse(thing)
    assert repr(KEYS) == "<EpochKeys 1>"
    assert keys.signing.public.hex()[:16] in repr(keys)
    assert not any(field.repr for field in dataclasses.fields(composed) if field.name == "keys")
