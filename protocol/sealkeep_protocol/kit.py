"""The recovery seed as a person writes it down (spec §3.7): checked group by group, so that a typing error is located."""

from __future__ import annotations

from sealkeep_protocol.errors import SealkeepError
from sealkeep_protocol.primitives import KEY_SIZE, sha256

GROUPS = 8
GROUP_LENGTH = 8
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_UPPER = {letter: value for value, letter in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
# Lower case by hand: Unicode gives some letters outside ASCII an upper case inside.
_VALUES = _UPPER | {letter.lower(): value for letter, value in _UPPER.items()}


class KitError(SealkeepError):
    """A recovery kit that was mistyped or is not one. `groups` are the numbers, from 1, of the groups that are wrong."""

    def __init__(self, message: str, *, groups: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.groups = groups


def encode_seed(seed: bytes) -> str:
    """Write a 32-byte seed as 8 groups of 8 characters, separated by spaces."""
    if len(seed) != KEY_SIZE:
        raise ValueError("a recovery seed is 32 bytes long")
    return " ".join(_encode_group(number, seed[4 * number : 4 * number + 4]) for number in range(GROUPS))


def decode_seed(text: str) -> bytes:
    """Read a seed that a person typed: any case, any spacing or hyphens. Raises `KitError`, naming the wrong groups."""
    letters = "".join(character for character in text if not character.isspace() and character != "-")
    if len(letters) != GROUPS * GROUP_LENGTH:
        raise KitError(f"the recovery code has {GROUPS} groups of {GROUP_LENGTH} characters; {len(letters)} were given")
    seed = b""
    wrong = []
    for number in range(GROUPS):
        group = _decode_group(number, letters[GROUP_LENGTH * number : GROUP_LENGTH * (number + 1)])
        if group is None:
            wrong.append(number + 1)
        else:
            seed += group
    # KEY-08: "A reader of a kit MUST name the groups whose check byte is wrong, and use none of the seed then."
    if wrong:
        named = ", ".join(map(str, wrong))
        plural = "s are" if len(wrong) > 1 else " is"
        raise KitError(f"the recovery code is mistyped: group{plural} wrong: {named}", groups=tuple(wrong))
    return seed


def _check_byte(number: int, group: bytes) -> bytes:
    return sha256(b"sealkeep/v1/kit" + bytes([number]) + group)[:1]


def _encode_group(number: int, group: bytes) -> str:
    value = int.from_bytes(group + _check_byte(number, group), "big")
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(35, -1, -5))


def _decode_group(number: int, letters: str) -> bytes | None:
    value = 0
    for letter in letters:
        if letter not in _VALUES:
            return None
        value = value << 5 | _VALUES[letter]
    data = value.to_bytes(5, "big")
    return data[:4] if data[4:] == _check_byte(number, data[:4]) else None
