"""The new device's machine: it made the code, and is not in the account yet (spec §10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sealkeep_protocol.errors import PairingError, UsageError
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.pairing._code import PairingCode
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
    encode_sealed,
    is_name,
)
from sealkeep_protocol.types import AccountId
from sealkeep_protocol.words import WordList

_OTHER_ACCOUNT: Final = (
    "this device has begun to join another account: pair it with that one, or begin anew in another directory"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """Message 4, the account that it is for, and the confirmation words to be shown with it."""

    account: AccountId
    message: bytes
    words: tuple[str, ...]


class NewDevice(Machine):
    """`answer(1)` → 2; `offer(3)` → 4; `conclude(5)` → the roster's entry by which it has joined.

    `keys` are the device's own. `account` is the one for which they were offered before, if any.
    """

    def __init__(
        self,
        code: PairingCode,
        *,
        keys: PrivateKeys,
        name: str,
        words: WordList,
        random: Callable[[int], bytes],
        account: AccountId | None = None,
    ) -> None:
        """Raises `UsageError` for a name that no device may have."""
        super().__init__(Side.NEW, identity=code.identity, mailbox=code.mailbox, random=random)
        if not is_name(name):
            raise UsageError("a device name has 1 to 64 bytes")
        self._code = code
        self._device = keys
        self._name = name
        self._list = words
        self._before = account
        self._nonce = random(NONCE_SIZE)

    def answer(self, message: bytes) -> bytes:
        """Take message 1, make message 2. Raises `PairingError` for what is no message 1."""
        with self._step(1, 2), unconfirmed():
            hello = Hello.decode(message)
            exchange = Exchange(
                Side.NEW,
                self._code.password(hello.kind),
                identity=self._identity,
                mailbox=self.mailbox,
                random=self._random,
            )
            # The account is not known yet, so the proof is not, and it is not in the commitment.
            commitment = self._candidate(b"").commitment
            keys = self._agree(exchange, hello.element, kind=hello.kind, commitment=commitment)
            answer = Answer(exchange.element, commitment, keys.confirmation(Side.NEW)).encode()
            self._said += [message, answer]
            return answer

    def offer(self, message: bytes) -> Offer:
        """Take message 3, make message 4. Send it when keys and account are durable (PAI-11).

        Raises `PairingError` where the code was not the same, or for another account than before; `AuthenticationError`
        or `MalformedError` for what was changed on its way.
        """
        with self._step(3, 4):
            with unconfirmed():
                invitation = Invitation.decode(message)
            self._check_confirmation(invitation.confirmation)
            said = Account.decode(self._open(3, invitation.sealed))
            # PAI-11: "… it MUST NOT use them for another account."
            if self._before not in (None, said.account):
                raise PairingError(_OTHER_ACCOUNT)
            self._said.append(message)
            record = self._device.record((1, said.account))
            candidate = self._candidate(record.proof)
            offered = encode_sealed(4, self._seal(4, candidate.encode()))
            self._said.append(offered)
            words = self._words(self._list, said.account, said.nonce, candidate)
            return Offer(said.account, offered, words)

    def conclude(self, message: bytes) -> Enrolment | None:
        """Take message 5; None where it was declined. Raises `AuthenticationError` or `MalformedError`."""
        with self._step(5, 5):
            return Enrolment.decode(self._open(5, decode_sealed(message, 5)))

    def _candidate(self, proof: bytes) -> Candidate:
        keys = KeyRecord(self._device.signing.public, self._device.kem.public, proof)
        return Candidate(keys, self._name, self._nonce)
