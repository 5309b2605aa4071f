"""What a relay signs, and what a device signs for it (spec §4, §6.6, §8.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Roster, Signer
from sealkeep_protocol.statements import (
    Challenge,
    Proof,
    Receipt,
    Refusal,
    sign_login,
    verify_challenge,
    verify_login,
    verify_proof,
    verify_receipt,
    verify_refusal,
)
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, MadeRelay, device, kit, refused

RELAY, OTHER = MadeRelay(), MadeRelay("another")
HEADER = ObjectId(sha256(b"a header"))
ACCOUNT = AccountId(sha256(b"an account"))
RECEIPT = Receipt(HEADER, 17, RELAY.incarnation)
CHALLENGE = Challenge(device(3), 1_700_000_120_000, bytes(range(16)))


def forged(kind: signed.ObjectKind, core: cbor.Item, *, digests: int = 0) -> bytes:
    """Anything at all, signed by the relay."""
    return signed.sign(kind, ACCOUNT, cbor.encode(core), RELAY.key, digests=[HEADER] * digests)


# --- receipts --------------------------------------------------------------------------------------------------------


def test_a_receipt_for_exactly_this_header() -> None:
    assert verify_receipt(RECEIPT.sign(ACCOUNT, RELAY.key), ACCOUNT, RELAY.identity, HEADER) == RECEIPT


def test_a_receipt_for_another_header_or_account_or_by_another_relay_is_refused() -> None:
    """SEG-16"""
    good = RECEIPT.sign(ACCOUNT, RELAY.key)
    for data, account, header in (
        (replace(RECEIPT, header_id=ObjectId(sha256(b"another"))).sign(ACCOUNT, RELAY.key), ACCOUNT, HEADER),
        (good, AccountId(sha256(b"another")), HEADER),
        (RECEIPT.sign(ACCOUNT, OTHER.key), ACCOUNT, HEADER),
        (good, ACCOUNT, ObjectId(sha256(b"another"))),
        (good[:-1], ACCOUNT, HEADER),
        (b"", ACCOUNT, HEADER),
    ):
        with refused(HistoryError, "receipt"):
            verify_receipt(data, account, RELAY.identity, header)


@pytest.mark.parametrize(
    "core",
    [
        {0: 2, 1: HEADER, 2: 17, 3: RELAY.incarnation},
        {0: 1, 1: HEADER, 2: 17},
        {0: 1, 1: HEADER, 2: 17, 3: RELAY.incarnation, 4: 0},
        {0: 1, 1: HEADER[:31], 2: 17, 3: RELAY.incarnation},
        {0: 1, 1: HEADER, 2: 0, 3: RELAY.incarnation},
        {0: 1, 1: HEADER, 2: 17, 3: b""},
        [],
        {"a": 1},
    ],
)
def test_a_signed_receipt_of_another_shape_is_refused(core: cbor.Item) -> None:
    """SEG-16, KEY-01, ENC-05"""
    with refused(HistoryError, "receipt"):
        verify_receipt(forged("receipt", core), ACCOUNT, RELAY.identity, HEADER)


def test_statements_have_no_digests_and_no_other_kind() -> None:
    """SIG-04, SIG-03"""
    core = {0: 1, 1: HEADER, 2: 17, 3: RELAY.incarnation}
    assert verify_receipt(forged("receipt", core), ACCOUNT, RELAY.identity, HEADER) == RECEIPT
    for data in (forged("receipt", core, digests=1), forged("refusal", core), forged("challenge", core)):
        with refused(HistoryError, "receipt"):
            verify_receipt(data, ACCOUNT, RELAY.identity, HEADER)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account() -> MadeAccount:
    """Device 2 has sealed a segment at roster entry 1; then the roster moved on to entry 2."""
    account = MadeAccount(devices=2)
    account.seal(2)
    account.change(device(1))
    return account


def check_refusal(made: MadeAccount, data: bytes, **changes: Any) -> Refusal:
    segment = made.segments[2][0]
    arguments: dict[str, Any] = {
        "account": made.id,
        "identity": RELAY.identity,
        "header_id": segment.header_id,
        "header_roster": 1,
        "incarnation": RELAY.incarnation,
        "roster": made.roster,
    }
    return verify_refusal(data, **arguments | changes)


def test_a_refusal_of_exactly_this_header_with_a_newer_roster(account: MadeAccount) -> None:
    segment = account.segments[2][0]
    refusal = check_refusal(account, RELAY.refusal(account, 2, segment))
    assert refusal == Refusal(segment.header_id, DeviceId(2), Seq(1), 2, account.roster.head, RELAY.incarnation)


def test_a_refusal_that_does_not_hold_is_refused(account: MadeAccount) -> None:
    """SEG-15"""
    good = RELAY.refusal(account, 2, account.segments[2][0])
    older = Roster.read(account.entries[:2], account=account.id)
    changes: list[dict[str, Any]] = [
        {"identity": OTHER.identity},
        {"account": ACCOUNT},
        {"header_id": HEADER},
        {"incarnation": OTHER.incarnation},
        {"header_roster": 2},  # it shows no newer roster than the header's own
        {"roster": older},  # which this device has not verified yet
    ]
    for change in changes:
        with refused(HistoryError, "refusal"):
            check_refusal(account, good, **change)


def test_a_refusal_that_names_another_roster_is_refused(account: MadeAccount) -> None:
    """SEG-15"""
    honest = check_refusal(account, RELAY.refusal(account, 2, account.segments[2][0]))
    for refusal in (
        replace(honest, roster_number=3),
        replace(honest, roster_number=1),
        replace(honest, roster_number=0),
        replace(honest, roster_head=account.roster.entry_ids[1]),
        replace(honest, roster_head=HEADER),
        replace(honest, header_id=HEADER),
        replace(honest, incarnation=OTHER.incarnation),
        replace(honest, incarnation=b""),
        replace(honest, seq=Seq(0)),
        replace(honest, device=DeviceId(65_536)),
    ):
        with refused(HistoryError, "refusal"):
            check_refusal(account, refusal.sign(account.id, RELAY.key))


@pytest.mark.parametrize("head", [[2], [2, b""], 2, [HEADER, 2], [2, HEADER, 0]])
def test_a_signed_refusal_of_another_shape_is_refused(account: MadeAccount, head: cbor.Item) -> None:
    """SEG-15"""
    core = {0: 1, 1: account.segments[2][0].header_id, 2: 2, 3: 1, 4: head, 5: RELAY.incarnation}
    data = signed.sign("refusal", account.id, cbor.encode(core), RELAY.key)
    with refused(HistoryError, "refusal"):
        check_refusal(account, data)


# --- challenges and logins -------------------------------------------------------------------------------------------


def test_a_challenge_and_its_answer() -> None:
    data = CHALLENGE.sign(ACCOUNT, RELAY.key)
    identifier, challenge = verify_challenge(data, ACCOUNT, RELAY.identity, signer=device(3))
    assert challenge == CHALLENGE
    assert verify_challenge(data, ACCOUNT, RELAY.identity) == (identifier, challenge)
    key = MadeAccount().devices[1].signing
    login = sign_login(identifier, RELAY.identity, ACCOUNT, key)
    verify_login(login, ACCOUNT, key.public, challenge_id=identifier, identity=RELAY.identity)


def test_a_challenge_by_another_relay_or_for_another_signer_is_refused() -> None:
    """REL-05"""
    data = CHALLENGE.sign(ACCOUNT, RELAY.key)
    for account, identity, signer in (
        (ACCOUNT, OTHER.identity, device(3)),
        (AccountId(HEADER), RELAY.identity, device(3)),
        (ACCOUNT, RELAY.identity, device(2)),
        (ACCOUNT, RELAY.identity, kit(3)),
    ):
        with refused(AuthenticationError, "identity"):
            verify_challenge(data, account, identity, signer=signer)


@pytest.mark.parametrize(
    ("core", "code"),
    [
        ({0: 1, 1: [0, 3], 2: 0}, "malformed"),
        ({0: 1, 1: [0, 3], 2: 0, 3: bytes(15)}, "malformed"),
        ({0: 1, 1: [0, 3], 2: -1, 3: bytes(16)}, "malformed"),
        ({0: 1, 1: [2, 3], 2: 0, 3: bytes(16)}, "malformed"),
        ({0: 1, 1: [0, 0], 2: 0, 3: bytes(16)}, "malformed"),
        ({0: 1, 1: [0, 65_536], 2: 0, 3: bytes(16)}, "malformed"),
        ({0: 1, 1: [0], 2: 0, 3: bytes(16)}, "malformed"),
        ({0: 2, 1: [0, 3], 2: 0, 3: bytes(16)}, "unsupported"),
        ({0: 1, 1: [0, 3], 2: 0, 3: bytes(16), 4: 0}, "unsupported"),
    ],
)
def test_a_signed_challenge_of_another_shape_is_refused(core: cbor.Item, code: str) -> None:
    """KEY-01, ENC-05"""
    with refused(MalformedError, code):
        verify_challenge(forged("challenge", core), ACCOUNT, RELAY.identity)
    with refused(MalformedError, "malformed"):
        verify_challenge(forged("challenge", {0: 1, 1: [0, 3], 2: 0, 3: bytes(16)}, digests=1), ACCOUNT, RELAY.identity)


def test_a_login_for_another_challenge_relay_signer_or_account_is_refused() -> None:
    """REL-07"""
    made = MadeAccount(devices=2)
    key, other = made.devices[1].signing, made.devices[2].signing
    good = sign_login(HEADER, RELAY.identity, ACCOUNT, key)

    def check(data: bytes, public: bytes = key.public, account: AccountId = ACCOUNT) -> None:
        verify_login(data, account, public, challenge_id=HEADER, identity=RELAY.identity)

    check(good)
    for identifier, identity in ((ObjectId(sha256(b"another")), RELAY.identity), (HEADER, OTHER.identity)):
        with refused(AuthenticationError, "identity"):
            check(sign_login(identifier, identity, ACCOUNT, key))
    with refused(AuthenticationError, "signature"):
        check(good, other.public)
    with refused(AuthenticationError, "signature"):
        check(good, account=AccountId(HEADER))
    with refused(MalformedError, "unsupported"):
        check(signed.sign("login", ACCOUNT, cbor.encode({0: 2, 1: HEADER, 2: RELAY.identity}), key))
    with refused(MalformedError, "malformed"):
        check(signed.sign("login", ACCOUNT, cbor.encode({0: 1, 1: HEADER}), key))


def test_statements_are_small() -> None:
    """ENC-04"""
    padding = dict.fromkeys(range(4, 600), 0)
    with refused(MalformedError, "too-large"):
        verify_challenge(forged("challenge", {0: 1} | padding), ACCOUNT, RELAY.identity)
    assert Signer.device(1) == (0, 1)


# --- storage proofs --------------------------------------------------------------------------------------------------

PROOF = Proof(sha256(b"a request"), sha256(b"its answers"), RELAY.incarnation)


def test_proofs_of_exactly_this_request_and_these_answers() -> None:
    data = PROOF.sign(ACCOUNT, RELAY.key)
    found = verify_proof(data, ACCOUNT, RELAY.identity, request=PROOF.request, answers=PROOF.answers)
    assert found == PROOF
    for request, answers in ((sha256(b"x"), PROOF.answers), (PROOF.request, sha256(b"x")), (b"", b"")):
        with refused(AuthenticationError, "digest"):
            verify_proof(data, ACCOUNT, RELAY.identity, request=request, answers=answers)


def test_proofs_that_the_pinned_relay_did_not_sign_are_refused() -> None:
    """FIL-17"""
    good = PROOF.sign(ACCOUNT, RELAY.key)
    core = {0: 1, 1: PROOF.request, 2: PROOF.answers, 3: PROOF.incarnation}
    for data, account in (
        (PROOF.sign(ACCOUNT, OTHER.key), ACCOUNT),
        (good, AccountId(sha256(b"another"))),
        (forged("receipt", core), ACCOUNT),
        (good[:-1] + bytes([good[-1] ^ 1]), ACCOUNT),
    ):
        with refused(AuthenticationError, "identity"):
            verify_proof(data, account, RELAY.identity, request=PROOF.request, answers=PROOF.answers)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({0: 2}, "unsupported"),
        ({4: 0}, "unsupported"),
        ({1: b"short"}, "malformed"),
        ({2: None}, "malformed"),
        ({3: b""}, "malformed"),
    ],
)
def test_signed_proofs_of_another_shape_are_refused(change: dict[int, Any], code: str) -> None:
    """ENC-05, KEY-01"""
    core = {0: 1, 1: PROOF.request, 2: PROOF.answers, 3: PROOF.incarnation}
    for data in (forged("proof", core | change), forged("proof", core, digests=1)):
        with refused(MalformedError, code if data == forged("proof", core | change) else "malformed"):
            verify_proof(data, ACCOUNT, RELAY.identity, request=PROOF.request, answers=PROOF.answers)
