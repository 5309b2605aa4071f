"""The lines of a kit, as they are written, read and typed (spec §3.7): a label, a value, and what checks it.

Code                8 groups       the seed
Relay               URL CCCC       CCCC: 20 bits of SHA-256 over label and value
Account             8 groups
Identity            8 groups       of the relay
Roster NUMBER       8 groups       the newest entry then; left out for number 0, whose id is the account's
Device NUMBER, SEQ  8 groups       the head of a feed then; as many lines as there are feeds
Date                YYYY-MM-DD CCCC
Check               1 group        of the whole
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sealkeep_client.kit._model import RecoveryKit
from sealkeep_protocol.kit import GROUPS, encode_groups, from_letters, squeeze, to_letters
from sealkeep_protocol.primitives import sha256

NAMES: Final = ("code", "relay", "account", "identity", "roster", "device", "date", "check")
NUMBERS: Final = {"roster": 1, "device": 2}  # how many stand in the label
CHECK_LETTERS: Final = 4
_GROUPS: Final = {"relay": 0, "date": 0, "check": 1}
_BITS: Final = 5 * CHECK_LETTERS
_LABEL: Final = b"sealkeep/v1/kit-line"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its name, the numbers in its label, and the parts of its value, of which the last may be a check."""

    name: str
    numbers: tuple[int, ...]
    parts: tuple[str, ...]

    @property
    def label(self) -> str:
        return " ".join([self.name.capitalize(), ", ".join(map(str, self.numbers))]).rstrip()


def groups_of(name: str) -> int:
    """How many groups a line's value has; 0 where it is a text with a check of 4 letters."""
    return _GROUPS.get(name, GROUPS)


def line_of(name: str, numbers: Iterable[int]) -> str:
    """What the check bytes of a line's groups are bound to."""
    return ",".join([name, *map(str, numbers)])


def rows(kit: RecoveryKit) -> list[Row]:
    """The kit's lines in their order."""
    number, entry = kit.roster
    return [
        _groups("code", (), kit.seed),
        Row("relay", (), (kit.relay, text_check("relay", kit.relay))),
        _groups("account", (), kit.account),
        _groups("identity", (), kit.identity),
        *([_groups("roster", (number,), entry)] if number else []),
        *(_groups("device", (device, seq), header) for device, seq, header in kit.feeds),
        Row("date", (), (kit.date, text_check("date", kit.date))),
        _groups("check", (), kit.check()),
    ]


def text_check(name: str, value: str) -> str:
    """The 4 letters that end a line of text."""
    said = b"\0".join([_LABEL, name.encode("ascii"), value.encode("utf-8", "replace")])
    return to_letters(int.from_bytes(sha256(said)[:3], "big") >> 24 - _BITS, CHECK_LETTERS)


def read_text(name: str, typed: str) -> str | None:
    """The value of a line of text that ends with its check; None where it is mistyped."""
    # The last letters are the check, wherever spaces stand.
    letters = "".join(typed.split())
    value, check = letters[:-CHECK_LETTERS], squeeze(letters[-CHECK_LETTERS:])
    for candidate in (value, value.lower()):
        if candidate and _same(check, text_check(name, candidate)):
            return candidate
    return None


def _groups(name: str, numbers: tuple[int, ...], data: bytes) -> Row:
    return Row(name, numbers, encode_groups(line_of(name, numbers), data))


def _same(typed: str, check: str) -> bool:
    try:
        return from_letters(typed) == from_letters(check)
    except KeyError:
        return False
