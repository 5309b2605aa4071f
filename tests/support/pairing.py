"""Two devices that pair, without a relay: a code, and the machine of each side.

pair = Pair()                       # of one account; the code in words
message = pair.up_to(3)             # messages 1 to 3, each taken by the other side but the last
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sealkeep_client.vault._words import code_words
from sealkeep_protocol.pairing import (
    Candidate,
    CodeKind,
    Enrolment,
    GivenCode,
    NewDevice,
    Offer,
    OldDevice,
    PairingCode,
    read_code,
)
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId
from support.accounts import CountingRandom, made_keys

WORDS = code_words()
ACCOUNT = AccountId(sha256(b"account"))
IDENTITY = sha256(b"relay")
ENROLMENT = Enrolment(DeviceId(3), 4, ObjectId(sha256(b"entry")))


def draw_code(seed: str = "code", *, mailbox: int = 7, identity: bytes = IDENTITY) -> PairingCode:
    return PairingCode.draw(
        mailbox, identity=identity, relay="https://relay.example", words=WORDS, random=CountingRandom(seed)
    )


def given(code: PairingCode, kind: CodeKind = CodeKind.WORDS) -> GivenCode:
    """The code as an old device reads it."""
    return read_code(code.in_words if kind is CodeKind.WORDS else code.in_full, WORDS)


def new_device(code: PairingCode, seed: str = "new", **options: Any) -> NewDevice:
    keys, name = options.pop("keys", made_keys("laptop")), options.pop("name", "laptop")
    return NewDevice(code, keys=keys, name=name, words=WORDS, random=CountingRandom(seed), **options)


def old_device(
    code: GivenCode, seed: str = "old", *, identity: bytes = IDENTITY, account: AccountId = ACCOUNT
) -> OldDevice:
    return OldDevice(code, account=account, identity=identity, words=WORDS, random=CountingRandom(seed))


class Pair:
    """Both sides of one pairing. `code` is what the new one shows, `given` what the old one was given."""

    def __init__(
        self,
        *,
        code: PairingCode | None = None,
        read: GivenCode | None = None,
        seed: str = "",
        identity: bytes = IDENTITY,
        **options: Any,
    ) -> None:
        self.code = code or draw_code()
        self.given = read or given(self.code)
        self.old = old_device(self.given, f"old{seed}", identity=identity)
        self.new = new_device(self.code, f"new{seed}", **options)
        self.offer: Offer | None = None
        self.candidate: Candidate | None = None
        self.words: tuple[str, ...] = ()
        self.said: list[bytes] = []

    def up_to(self, last: int) -> bytes:
        """Say the messages up to this one; the last is not taken yet."""
        while len(self.said) < last:
            self.said.append(self._next(len(self.said) + 1))
        return self.said[-1]

    def _next(self, number: int) -> bytes:
        match number:
            case 1:
                return self.old.hello()
            case 2:
                return self.new.answer(self.said[0])
            case 3:
                return self.old.invite(self.said[1])
            case 4:
                self.offer = self.new.offer(self.said[2])
                return self.offer.message
            case _:
                self.candidate, self.words = self.old.meet(self.said[3])
                return self.old.conclude(ENROLMENT)

    def take(self, number: int, message: bytes) -> Any:
        """Give message `number` to the side that takes it."""
        taker = [self.new.answer, self.old.invite, self.new.offer, self.old.meet, self.new.conclude][number - 1]
        return taker(message)


def with_mailbox(code: GivenCode, mailbox: int) -> GivenCode:
    """The same secret under another number."""
    return replace(code, mailbox=mailbox)
