"""What a relay signs, and what a device signs for it (spec §4, §6.6, §8.3, §12.5): receipts, refusals, challenges,
logins, storage proofs."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError
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
from sealkeep_protocol.primitives import SUITE, SigningKey
from sealkeep_protocol.roster import Roster, Signer, decode_signer
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

INCARNATION_SIZE = 16
CHALLENGE_NONCE_SIZE = 16
MAX_STATEMENT = 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """The relay's word that a header, its summary and its body are durable."""

    header_id: ObjectId
    position: int
    incarnation: bytes

    def sign(self, account: AccountId, key: SigningKey) -> bytes:
        core = {0: SUITE, 1: self.header_id, 2: self.position, 3: self.incarnation}
        return signed.sign("receipt", account, cbor.encode(core), key)


def verify_receipt(data: bytes, account: AccountId, identity: bytes, header_id: ObjectId) -> Receipt:
    """Verify the receipt for exactly this header. Raises `HistoryError` (`receipt`)."""
    # SEG-16: "A device MUST refuse a receipt that is not signed by the pinned relay identity for exactly its header."
    try:
        core = _verified_core(data, "receipt", account, identity, keys=range(4))
        receipt = Receipt(
            ObjectId(octets(core[1], "a header id")),
            unsigned(core[2], "a position", minimum=1),
            octets(core[3], "an incarnation", size=INCARNATION_SIZE),
        )
    except PeerError as error:
        raise HistoryError("receipt", f"the relay's receipt does not hold: {error.args[0]}") from error
    if receipt.header_id != header_id:
        raise HistoryError("receipt", "the relay's receipt is for another header")
    return receipt


@dataclass(frozen=True, slots=True)
class Refusal:
    """The relay's word that a header is not stored and never will be, because the roster has moved on."""

    header_id: ObjectId
    device: DeviceId
    seq: Seq
    roster_number: int
    roster_head: ObjectId
    incarnation: bytes

    def sign(self, account: AccountId, key: SigningKey) -> bytes:
        core = {
            0: SUITE,
            1: self.header_id,
            2: self.device,
            3: self.seq,
            4: [self.roster_number, self.roster_head],
            5: self.incarnation,
        }
        return signed.sign("refusal", account, cbor.encode(core), key)


def verify_refusal_alone(data: bytes, account: AccountId, identity: bytes) -> Refusal:
    """Verify that this relay signed a refusal, whatever header it is for. Raises `HistoryError` (`refusal`)."""
    try:
        core = _verified_core(data, "refusal", account, identity, keys=range(6))
        number, head = array(core[4], "a roster head", size=2)
        return Refusal(
            ObjectId(octets(core[1], "a header id")),
            DeviceId(unsigned(core[2], "a device number", minimum=1, maximum=MAX_DEVICE)),
            Seq(unsigned(core[3], "a seq", minimum=1, maximum=MAX_NUMBER)),
            unsigned(number, "a roster entry's number", maximum=MAX_NUMBER),
            ObjectId(octets(head, "a roster entry's id")),
            octets(core[5], "an incarnation", size=INCARNATION_SIZE),
        )
    except PeerError as error:
        raise HistoryError("refusal", f"the relay's refusal does not hold: {error.args[0]}") from error


def verify_refusal(
    data: bytes,
    account: AccountId,
    identity: bytes,
    *,
    header_id: ObjectId,
    header_roster: int,
    incarnation: bytes,
    roster: Roster,
) -> Refusal:
    """Verify the refusal of exactly this pending header, whose own roster head is `header_roster` and which was first sent
    to the store of this incarnation.

    `roster` is the one that the device has verified itself. Raises `HistoryError` (`refusal`).
    """
    refusal = verify_refusal_alone(data, account, identity)
    # SEG-15: "A device MUST put another header at a seq only with a refusal by the relay's identity for its pending
    # header, that names a roster head beyond the header's own which the device has verified; it keeps the refusal. A
    # refusal of another incarnation than the one under which the header was first sent does not count."
    if (
        refusal.header_id != header_id
        or refusal.incarnation != incarnation
        or not header_roster < refusal.roster_number <= roster.number
        or roster.entry_ids[refusal.roster_number] != refusal.roster_head
    ):
        raise HistoryError("refusal", "the relay refuses a header without a newer roster to show for it")
    return refusal


@dataclass(frozen=True, slots=True)
class Proof:
    """The relay's word that it gave these answers to these challenges (spec §12.5).

    `request` is the hash of the request's body, `answers` that of the encoded items before, one behind the other.
    """

    request: bytes
    answers: bytes
    incarnation: bytes

    def sign(self, account: AccountId, key: SigningKey) -> bytes:
        core = {0: SUITE, 1: self.request, 2: self.answers, 3: self.incarnation}
        return signed.sign("proof", account, cbor.encode(core), key)


def verify_proof(data: bytes, account: AccountId, identity: bytes, *, request: bytes, answers: bytes) -> Proof:
    """Verify that this relay gave exactly these answers, to exactly this request.

    Raises `AuthenticationError` (`identity`, `digest`) or `MalformedError`.
    """
    # FIL-17: "A device MUST … verify the signed object with the pinned identity; …"
    try:
        core = _verified_core(data, "proof", account, identity, keys=range(4))
    except AuthenticationError as error:
        raise AuthenticationError("identity", "the proofs are not signed by the relay's pinned identity") from error
    proof = Proof(
        octets(core[1], "the hash of a request"),
        octets(core[2], "the hash of answers"),
        octets(core[3], "an incarnation", size=INCARNATION_SIZE),
    )
    if proof.request != request or proof.answers != answers:
        raise AuthenticationError("digest", "the relay signed other proofs than it gave")
    return proof


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the relay asks a signer to sign before it gives a token. `expires` in ms since 1970."""

    signer: Signer
    expires: int
    nonce: bytes

    def sign(self, account: AccountId, key: SigningKey) -> bytes:
        core = {0: SUITE, 1: list(self.signer), 2: self.expires, 3: self.nonce}
        return signed.sign("challenge", account, cbor.encode(core), key)


def verify_challenge(
    data: bytes, account: AccountId, identity: bytes, *, signer: Signer | None = None
) -> tuple[ObjectId, Challenge]:
    """Verify a challenge by this relay identity, for this signer (a client's own).

    Raises `AuthenticationError` (`identity`) or `MalformedError`.
    """
    # REL-05: "A client MUST verify the challenge with the pinned identity, and that it names the client's own signer,
    # before it signs a login."
    try:
        identifier, payload = signed.verify(data, "challenge", account, identity, limit=MAX_STATEMENT)
    except AuthenticationError as error:
        raise AuthenticationError("identity", "the challenge is not signed by the relay's pinned identity") from error
    core = decode_map(payload.core, limit=MAX_STATEMENT, what="challenge")
    check_suite(core, what="challenge")
    check_keys(core, range(4), what="challenge")
    signed.expect_digests(payload, 0)
    challenge = Challenge(
        decode_signer(core[1]),
        unsigned(core[2], "an expiry"),
        octets(core[3], "a nonce", size=CHALLENGE_NONCE_SIZE),
    )
    if signer is not None and challenge.signer != signer:
        raise AuthenticationError("identity", "the challenge is for another signer")
    return identifier, challenge


def sign_login(challenge_id: ObjectId, identity: bytes, account: AccountId, key: SigningKey) -> bytes:
    """Answer a challenge of this relay."""
    return signed.sign("login", account, cbor.encode({0: SUITE, 1: challenge_id, 2: identity}), key)


def verify_login(
    data: bytes, account: AccountId, signer_key: bytes, *, challenge_id: ObjectId, identity: bytes
) -> None:
    """Check the answer to a challenge. Raises `AuthenticationError` (`signature`, `identity`) or `MalformedError`."""
    core = _verified_core(data, "login", account, signer_key, keys=range(3))
    if core[1] != challenge_id or core[2] != identity:
        raise AuthenticationError("identity", "the login answers another challenge, or another relay's")


def _verified_core(
    data: bytes, kind: signed.ObjectKind, account: AccountId, key: bytes, *, keys: range
) -> dict[int, cbor.Item]:
    _, payload = signed.verify(data, kind, account, key, limit=MAX_STATEMENT)
    core = decode_map(payload.core, limit=MAX_STATEMENT, what=kind)
    check_suite(core, what=kind)
    check_keys(core, keys, what=kind)
    signed.expect_digests(payload, 0)
    return core
