"""The old device's machine: it is in the account, was given the code, and lets the new device in (spec §10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sealkeep_protocol.errors import AuthenticationError, UsageError
from sealkeep_protocol.hybrid_kem import check_kem_key
from sealkeep_protocol.pairing._code import GivenCode
from sealkeep_protocol.pairing._exchange import Exchange, Side
from sealkeep_protocol.pairing._machine import Machine, unconfirmed
from sealkeep_protocol.pairing._messages import (
    NONCE_SIZE,
    Account,
    Answer,
    Candidate,
    Enrolment,
    Hello,
    Invitation,
    decode_sealed,
    encode_declined,
    encode_sealed,
)
from sealkeep_protocol.primitives import check_signing_key, equal
from sealkeep_protocol.signed import verify_proof
from sealkeep_protocol.types import AccountId
from sealkeep_protocol.words import WordList

_OTHER_RELAY: Final = (
    "the new device talks to another relay than this one: give it this account's relay with `sealkeep link --relay`"
)


class OldDevice(Machine):
    """`hello()` → 1; `invite(2)` → 3; `meet(4)` → who wants to join; `conclude(enrolment)` or `decline()` → 5."""

    def __init__(
        self, code: GivenCode, *, account: AccountId, identity: bytes, words: WordList, random: Callable[[int], bytes]
    ) -> None:
        """`identity` is the relay's pinned one. Raises `UsageError` for a code of another relay."""
        super().__init__(Side.OLD, identity=identity, mailbox=code.mailbox, random=random)
        # PAI-05: "An old device MUST refuse a code in full that names another relay identity than the pinned one, before
        # it sends anything."
        if code.identity is not None and code.identity != identity:
            raise UsageError(_OTHER_RELAY)
        self._kind = code.kind
        self._account = account
        self._nonce = random(NONCE_SIZE)
        self._list = words
        self._exchange = Exchange(Side.OLD, code.password, identity=identity, mailbox=code.mailbox, random=random)
        self._commitment = b""

    def hello(self) -> bytes:
        """Message 1."""
        with self._step(1, 1):
            message = Hello(self._kind, self._exchange.element).encode()
            self._said.append(message)
            return message

    def invite(self, message: bytes) -> bytes:
        """Take message 2, make message 3. Raises `PairingError` where the code was not the same."""
        with self._step(2, 3):
            with unconfirmed():
                answer = Answer.decode(message)
                keys = self._agree(self._exchange, answer.element, kind=self._kind, commitment=answer.commitment)
            self._check_confirmation(answer.confirmation)
            self._commitment = answer.commitment
            self._said.append(message)
            sealed = self._seal(3, Account(self._account, self._nonce).encode())
            invitation = Invitation(keys.confirmation(Side.OLD), sealed).encode()
            self._said.append(invitation)
            return invitation

    def meet(self, message: bytes) -> tuple[Candidate, tuple[str, ...]]:
        """Take message 4: who wants to join, and the confirmation words.

        Raises `AuthenticationError` or `MalformedError`: it was changed on its way, or the new device is at fault.
        """
        with self._step(4, 4):
            candidate = Candidate.decode(self._open(4, decode_sealed(message, 4)))
            # PAI-09: "The old device MUST refuse a message 4 that does not open its commitment, or whose key record is
            # against ROS-05, before it shows anything of it."
            if not equal(candidate.commitment, self._commitment):
                raise AuthenticationError("commitment", "the new device is not the one that it said it would be")
            keys = candidate.keys
            check_signing_key(keys.signing)
            check_kem_key(keys.kem)
            verify_proof(keys.signing, keys.kem, (1, self._account), keys.proof)
            self._said.append(message)
            return candidate, self._words(self._list, self._account, self._nonce, candidate)

    def conclude(self, enrolment: Enrolment) -> bytes:
        """Message 5, when the roster's entry stands."""
        with self._step(5, 5):
            return encode_sealed(5, self._seal(5, enrolment.encode()))

    def decline(self) -> bytes:
        """Message 5, when the person said no."""
        with self._step(5, 5):
            return encode_sealed(5, self._seal(5, encode_declined()))
