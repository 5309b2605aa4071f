"""The recovery kit: one page of plain words and checked lines that brings an account back without any device (spec §3.7).

Only the lines that begin with a label count when a kit is read; the prose around them may be missing, wrapped or changed.

    Code:               the seed, 8 groups of 8 characters, each with a check of its own
    Relay:              URL CCCC                  CCCC: 20 bits of SHA-256 over label and value,
    Identity:           52 characters ‖ CCCC      so that a typing error is located by its line
    Account:            52 characters ‖ CCCC
    Roster NUMBER, N:   52 characters ‖ CCCC      the newest roster entry when the kit was made; N lines `Device` follow
    Device NUMBER, SEQ: 52 characters ‖ CCCC      the head of a feed then
    Date:               YYYY-MM-DD CCCC
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from sealkeep_protocol.kit import KitError, decode_seed, encode_seed
from sealkeep_protocol.primitives import HASH_SIZE, KEY_SIZE, sha256
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

__all__ = ["KitError", "RecoveryKit"]

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as in the seed
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
_LETTERS: Final = re.compile(rf"[{_ALPHABET}ILO]+", re.IGNORECASE | re.ASCII)
_CHECK: Final = 4  # letters
_ID_LETTERS: Final = 52
_SEED_LETTERS: Final = 64
_LIMIT: Final = 1 << 20

_LABEL: Final = re.compile(
    r"(?P<name>code|relay|identity|account|roster|device|date)\s*(?P<numbers>\d[\d\s,]*)?:(?P<value>.*)",
    re.IGNORECASE | re.ASCII,
)
_VERSION: Final = re.compile(r"sealkeep\s+recovery\s+kit,\s+version\s+(\d+)", re.IGNORECASE | re.ASCII)
_NUMBERS: Final = {"roster": 2, "device": 2}
_ONCE: Final = ("code", "relay", "identity", "account", "roster", "date")


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """All that brings an account back without any of its devices; whoever has it can read everything.

    `relay` is a URL, `identity` that relay's public key (32 bytes), `seed` the recovery seed (32 bytes), `date` the ISO
    date on which the kit was made. `roster` is the number, from 0, and the id of the newest roster entry then; `feeds`
    holds (device, seq, header id) of the feeds. A relay that shows less has rolled the account back.
    """

    relay: str
    identity: bytes
    account: AccountId
    seed: bytes = field(repr=False)
    roster: tuple[int, ObjectId]
    feeds: tuple[tuple[DeviceId, Seq, ObjectId], ...]
    date: str

    def __post_init__(self) -> None:
        identifiers = (self.identity, self.account, self.roster[1], *(identifier for _, _, identifier in self.feeds))
        if len(self.seed) != KEY_SIZE or any(len(identifier) != HASH_SIZE for identifier in identifiers):
            raise ValueError("a kit's seed and identifiers are 32 bytes long")
        if not self.relay or not self.relay.isprintable() or any(map(str.isspace, self.relay)):
            raise ValueError("a kit's relay is a URL without spaces")
        if not _is_date(self.date):
            raise ValueError("a kit's date is YYYY-MM-DD")
        devices = {device for device, _, _ in self.feeds}
        if self.roster[0] < 0 or any(min(head[:2]) < 1 for head in self.feeds) or len(devices) < len(self.feeds):
            raise ValueError("a kit's heads have positive numbers, one for each device")

    def to_text(self) -> str:
        """The page that a person keeps."""
        code = encode_seed(self.seed).split()
        lines = [
            ("Code:", " ".join(code[:4])),
            ("", " ".join(code[4:])),
            ("", ""),
            ("Relay:", f"{self.relay} {_check('relay', (), self.relay.encode())}"),
            ("Identity:", _write("identity", (), self.identity)),
            ("Account:", _write("account", (), self.account)),
            (
                f"Roster {self.roster[0]}, {len(self.feeds)}:",
                _write("roster", (self.roster[0], len(self.feeds)), self.roster[1]),
            ),
            *(
                (f"Device {device}, {seq}:", _write("device", (device, seq), identifier))
                for device, seq, identifier in self.feeds
            ),
            ("Date:", f"{self.date} {_check('date', (), self.date.encode())}"),
        ]
        width = max(len(label) for label, _ in lines)
        shown = "\n".join(f"  {label:{width}} {value}".rstrip() for label, value in lines)
        return _PAGE.format(lines=shown, relay=self.relay)

    @classmethod
    def from_text(cls, text: str) -> RecoveryKit:
        """Read a kit that was saved, printed and scanned, or typed: any case, spacing and hyphens.

        Raises `KitError`, naming the line, and in the code the groups, that is wrong.
        """
        if len(text) > _LIMIT:
            raise KitError("this is not a recovery kit: it is much too long")
        version = _VERSION.search(text)
        if version and version[1] != "1":
            raise KitError(f"the kit is of version {version[1]}: a newer sealkeep reads it")
        found: dict[str, _Line] = {}
        feeds: list[tuple[DeviceId, Seq, ObjectId]] = []
        for line in _lines(text):
            if line.name == "device":
                device, seq = line.numbers
                if any(head[0] == device for head in feeds):
                    line.fail(f"device {device} stands there twice")
                feeds.append((DeviceId(device), Seq(seq), ObjectId(line.identifier())))
            elif line.name in found:
                line.fail("there is such a line already; a kit has one")
            else:
                found[line.name] = line
        missing = [name for name in _ONCE if name not in found]
        if len(missing) == len(_ONCE):
            raise KitError("this is not a recovery kit: it has no line that begins with `Code:`")
        if missing:
            raise KitError(f"the kit has no line that begins with `{missing[0].capitalize()}`")
        number, devices = found["roster"].numbers
        roster = (number, ObjectId(found["roster"].identifier()))
        # A head that is left out would let a relay go back behind it.
        if len(feeds) != devices:
            raise KitError(f"the kit's line `Roster` counts {devices} lines `Device`, and {len(feeds)} stand there")
        try:
            return cls(
                relay=found["relay"].text(),
                identity=found["identity"].identifier(),
                account=AccountId(found["account"].identifier()),
                seed=found["code"].seed(),
                roster=roster,
                feeds=tuple(feeds),
                date=found["date"].text(),
            )
        except ValueError as error:
            raise KitError(f"the kit is damaged: {error}") from error


@dataclass(slots=True)
class _Line:
    """A line of a kit that begins with a label, with what follows of it on the next ones."""

    place: int
    name: str
    numbers: tuple[int, ...]
    value: str

    def fail(self, why: str) -> NoReturn:
        raise KitError(f"line {self.place} of the kit (`{self.name.capitalize()}`) is wrong: {why}")

    @property
    def wanted(self) -> int:
        """How many letters it still lacks; 0 where the line says all itself."""
        if self.name in ("relay", "date"):
            return 0
        return (_SEED_LETTERS if self.name == "code" else _ID_LETTERS + _CHECK) - len(_squeeze(self.value))

    def seed(self) -> bytes:
        try:
            return decode_seed(self.value)
        except KitError as error:
            raise KitError(f"line {self.place} of the kit (`Code`): {error}", groups=error.groups) from error

    def identifier(self) -> bytes:
        letters = _squeeze(self.value)
        if len(letters) != _ID_LETTERS + _CHECK:
            self.fail(f"it has {len(letters)} characters where {_ID_LETTERS + _CHECK} belong")
        if not _LETTERS.fullmatch(letters):
            self.fail("it holds a character that no kit has")
        data = _from_letters(letters[:_ID_LETTERS])
        # A value of more than 256 bits is a typing error that the check would not see.
        if data is None or not self._holds(letters[_ID_LETTERS:], data):
            self.fail("a character is mistyped")
        return data

    def text(self) -> str:
        # The last letters are the check, wherever spaces stand.
        letters = "".join(self.value.split())
        value, check = letters[:-_CHECK], letters[-_CHECK:]
        for candidate in (value, value.lower()):
            if candidate and self._holds(check, candidate.encode("utf-8", "replace")):
                return candidate
        self.fail("a character is mistyped")

    def _holds(self, check: str, data: bytes) -> bool:
        letters = _LETTERS.fullmatch(check)
        return bool(letters) and _number(check) == _number(_check(self.name, self.numbers, data))


def _lines(text: str) -> Iterator[_Line]:
    """The labelled lines in order; a value that is broken across lines is one."""
    open_: _Line | None = None
    for place, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = " ".join(raw.split())  # all kinds of spaces
        match = _LABEL.fullmatch(line)
        if match:
            if open_ is not None:
                yield open_
            open_ = _Line(place, match["name"].lower(), (), match["value"].strip())
            numbers = re.findall(r"\d+", match["numbers"] or "")
            if len(numbers) != _NUMBERS.get(open_.name, 0) or any(len(number) > 19 for number in numbers):
                open_.fail(f"its label has {len(numbers)} numbers where {_NUMBERS.get(open_.name, 0)} belong")
            open_.numbers = tuple(map(int, numbers))
        elif open_ is not None and 0 < len(_squeeze(line)) <= open_.wanted and _LETTERS.fullmatch(_squeeze(line)):
            open_.value += " " + line
    if open_ is not None:
        yield open_


def _write(name: str, numbers: Sequence[int], identifier: bytes) -> str:
    letters = _to_letters(identifier) + _check(name, numbers, identifier)
    return " ".join(letters[start : start + 8] for start in range(0, len(letters), 8))


def _check(name: str, numbers: Sequence[int], value: bytes) -> str:
    """The 4 letters that end a line. They must never change: kits lie in drawers for years."""
    said = b"sealkeep/v1/kit-line\0" + ",".join([name, *map(str, numbers)]).encode() + b"\0" + value
    bits = int.from_bytes(sha256(said)[:3], "big") >> 4
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(5 * (_CHECK - 1), -1, -5))


def _to_letters(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (_ID_LETTERS - 1), -1, -5))


def _from_letters(letters: str) -> bytes | None:
    number = _number(letters)
    return number.to_bytes(HASH_SIZE, "big") if number.bit_length() <= 8 * HASH_SIZE else None


def _number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number << 5 | _VALUES[letter]
    return number


def _squeeze(text: str) -> str:
    return "".join(letter for letter in text if not letter.isspace() and letter != "-")


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


_PAGE: Final = """\
SEALKEEP RECOVERY KIT, version 1

  This page brings all of your chat records back on a new device, even when
  every device that you have now is lost. Nothing else can do that.

  WHOEVER HAS THIS PAGE CAN READ EVERYTHING, and can shut your devices out.
  Print it or copy it by hand, and keep it as safe as a passport or a house
  key. Send it to nobody. The relay does not have the code and cannot guess it.

{lines}

How to use it

  1. Install sealkeep on the new device.
  2. Have this page there as a text file, say kit.txt. If it is on paper, type
     the lines above, from Code to Date. Capitals and spaces do not matter, and
     a typing error is noticed: sealkeep says in which line.
  3. Run:

     sealkeep recover --relay {relay} --kit kit.txt
"""
