"""Groups of letters that a person copies by hand (spec §3.7): checked one by one, so that a typing error is located."""

from __future__ import annotations

from sealkeep_protocol.errors import SealkeepError
from sealkeep_protocol.primitives import KEY_SIZE

GROUPS = 8  # of a seed, and of any value of 32 bytes
GROUP_LENGTH = 8
GROUP_BYTES = 4
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_UPPER = {letter: value for value, letter in enumerate(ALPHABET)} | {"I": 1, "L": 1, "O": 0}
# Lower case by hand: Unicode gives some letters outside ASCII an upper case inside.
_VALUES = _UPPER | {letter.lower(): value for letter, value in _UPPER.items()}
_SEED = "code"


class KitError(SealkeepError):
    """A recovery kit that was mistyped or is not one. `groups` are the numbers, from 1, of the groups that are wrong."""

    def __init__(self, message: str, *, groups: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.groups = groups


def encode_seed(seed: bytes) -> str:
    """Write a 32-byte seed as 8 groups of 8 characters, separated by spaces."""
    if len(seed) != KEY_SIZE:
        raise ValueError("a recovery seed is 32 bytes long")
    return " ".join(encode_groups(_SEED, seed))


def decode_seed(text: str) -> bytes:
    """Read a seed that a person typed: any case, any spacing or hyphens. Raises `KitError`, naming the wrong groups."""
    return decode_groups(_SEED, text, GROUPS)


def encode_groups(line: str, data: bytes) -> tuple[str, ...]:
    """Write `data`, a multiple of 4 bytes, as groups that belong to a line of the kit (`code`, `device,3,17`, …)."""
    if not data or len(data) % GROUP_BYTES:
        raise ValueError("groups hold 4 bytes each")
    parts = (data[start : start + GROUP_BYTES] for start in range(0, len(data), GROUP_BYTES))
    return tuple(_encode_group(line, number, part) for number, part in enumerate(parts))


def decode_groups(line: str, text: str, count: int) -> bytes:
    """Read `count` groups of a line that a person typed. Raises `KitError`, naming the wrong groups."""
    letters = squeeze(text)
    if len(letters) == count * GROUP_LENGTH:
        groups = [letters[start : start + GROUP_LENGTH] for start in range(0, len(letters), GROUP_LENGTH)]
    else:
        groups = _as_spaced(text, count)
    decoded = [decode_group(line, number, group) for number, group in enumerate(groups)]
    # KEY-08: "A reader of a kit MUST name the groups whose check byte is wrong, and use nothing of the kit then."
    wrong = tuple(number for number, data in enumerate(decoded, 1) if data is None)
    if not groups:
        wrong = (_first_wrong(line, letters, count),)
        lengths = f"it has {len(letters)} characters where {count * GROUP_LENGTH} belong"
        raise KitError(f"{lengths}; look at group {wrong[0]}", groups=wrong)
    if wrong:
        named = ", ".join(map(str, wrong))
        raise KitError(f"groups {named} are mistyped" if len(wrong) > 1 else f"group {named} is mistyped", groups=wrong)
    return b"".join(data for data in decoded if data is not None)


def decode_group(line: str, number: int, group: str) -> bytes | None:
    """The 4 bytes of one group, whose number counts from 0; None where it is mistyped."""
    letters = squeeze(group)
    if len(letters) != GROUP_LENGTH or not all(letter in _VALUES for letter in letters):
        return None
    data = from_letters(letters).to_bytes(GROUP_BYTES + 1, "big")
    return data[:GROUP_BYTES] if data[GROUP_BYTES] == _check_byte(line, number, data[:GROUP_BYTES]) else None


def squeeze(text: str) -> str:
    """The text without the spaces and hyphens between groups."""
    return "".join(letter for letter in text if not letter.isspace() and letter != "-")


def to_letters(number: int, length: int) -> str:
    """A number in so many characters of Crockford's base 32."""
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(length - 1, -1, -1))


def from_letters(letters: str) -> int:
    """The number that letters of either case stand for. Raises `KeyError` for any other character."""
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    return number


def _encode_group(line: str, number: int, data: bytes) -> str:
    return to_letters(int.from_bytes(data, "big") << 8 | _check_byte(line, number, data), GROUP_LENGTH)


def _check_byte(line: str, number: int, data: bytes) -> int:
    """CRC-8 of SAE J1850. Its polynomial is primitive: one wrong letter, or two that changed places, never pass."""
    crc = 0xFF
    for byte in line.encode("ascii") + bytes([0, number]) + data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x11D if crc & 0x80 else 0)
    return crc ^ 0xFF


def _as_spaced(text: str, count: int) -> list[str]:
    """The groups as spaces and hyphens part them, each in one piece or in equal ones; empty where they do not tell."""
    pieces = text.replace("-", " ").split()
    each, rest = divmod(len(pieces), count)
    return ["".join(pieces[each * n : each * (n + 1)]) for n in range(count)] if each and not rest else []


def _first_wrong(line: str, letters: str, count: int) -> int:
    """The number, from 1, of the first group that is wrong where a letter is missing or too many."""
    for number in range(count):
        if decode_group(line, number, letters[GROUP_LENGTH * number : GROUP_LENGTH * (number + 1)]) is None:
            return number + 1
    return count
