"""Codes (spec §10.2): the number of a mailbox, and a secret in words or in full."""

from __future__ import annotations

import base64
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.mailboxes import MAX_NUMBER
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.words import WordList

SECRET_SIZE: Final = 16
WORDS: Final = 3
_WORD_BYTES: Final = 5  # hold the 33 bits of three words

_IN_WORDS: Final = re.compile(r"([0-9]{1,9})((?:-[a-z]+)+)")
_IN_FULL: Final = re.compile(r"sealkeep:([0-9]{1,9}):([1-9][0-9]{0,8}):([A-Za-z0-9_-]{22}):([A-Za-z0-9_-]{43}):(\S+)")


class CodeKind(enum.IntEnum):
    """Which of its two secrets a code was given with."""

    WORDS = 1
    FULL = 2


def password(kind: CodeKind, secret: str | bytes) -> bytes:
    """The password of SPAKE2 (§10.2). Hashed into the key: it must not change."""
    return cbor.encode(["sealkeep/v1/pairing-code", int(kind), secret])


@dataclass(frozen=True, slots=True)
class PairingCode:
    """What a new device shows, made for one exchange; whoever has it may take part in that."""

    mailbox: int
    words: tuple[str, ...] = field(repr=False)
    secret: bytes = field(repr=False)
    identity: bytes
    relay: str

    @classmethod
    def draw(
        cls, mailbox: int, *, identity: bytes, relay: str, words: WordList, random: Callable[[int], bytes]
    ) -> PairingCode:
        """Draw both secrets for a mailbox at the relay of this identity (32 bytes) and URL."""
        # PAI-04: "A device MUST draw the secrets of a code, and its pass, afresh for every mailbox, …"
        return cls(mailbox, words.encode(random(_WORD_BYTES), WORDS), random(SECRET_SIZE), identity, relay)

    @property
    def in_words(self) -> str:
        """`7-guitar-lemon-zebra`, to be typed."""
        return "-".join([str(self.mailbox), *self.words])

    @property
    def in_full(self) -> str:
        """The text of a QR code: everything that an old device needs, and 128 secret bits."""
        return f"sealkeep:1:{self.mailbox}:{_base64(self.secret)}:{_base64(self.identity)}:{self.relay}"

    def password(self, kind: CodeKind) -> bytes:
        return password(kind, "-".join(self.words) if kind is CodeKind.WORDS else self.secret)


@dataclass(frozen=True, slots=True)
class GivenCode:
    """A code as an old device was given it; `identity` is the relay's where the code names it."""

    mailbox: int
    kind: CodeKind
    password: bytes = field(repr=False)
    identity: bytes | None = None


def read_code(text: str, words: WordList) -> GivenCode:
    """Read what a person typed or a camera saw. Raises `UsageError` for what no device shows, naming a mistyped word."""
    full = _IN_FULL.fullmatch(text.strip())
    if full:
        return _read_full(full)
    typed = _IN_WORDS.fullmatch("-".join(re.findall(r"[^\s-]+", text.lower())))
    if not typed:
        raise UsageError("a code looks like 7-guitar-lemon-zebra: a number and three words")
    said = typed[2][1:].split("-")
    if len(said) != WORDS:
        raise UsageError(f"a code has {WORDS} words after its number; {len(said)} were given")
    secret = "-".join(map(words.find, said))
    return GivenCode(_mailbox(typed[1]), CodeKind.WORDS, password(CodeKind.WORDS, secret))


def _read_full(match: re.Match[str]) -> GivenCode:
    if match[1] != "1":
        raise UsageError("the code is of a newer version: update sealkeep")
    try:
        secret, identity = _from_base64(match[3], SECRET_SIZE), _from_base64(match[4], KEY_SIZE)
    except ValueError as error:
        raise UsageError("the code is damaged: copy it whole") from error
    return GivenCode(_mailbox(match[2]), CodeKind.FULL, password(CodeKind.FULL, secret), identity)


def _mailbox(digits: str) -> int:
    number = int(digits)
    if not 1 <= number <= MAX_NUMBER:
        raise UsageError(f"a code begins with a number from 1 to {MAX_NUMBER}")
    return number


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str, size: int) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Bits that no byte holds would make two texts of one value.
    if len(data) != size or _base64(data) != text:
        raise ValueError("another length, or bits left over")
    return data
