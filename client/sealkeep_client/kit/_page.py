"""The page as a drawing, which SVG and PDF render alike: shapes at places in millimetres from the top left corner.

The sheet is A4; everything stands where US Letter has paper too, with a printer's margin. What the fonts must have is
ASCII. Black on white, no shades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from sealkeep_client.kit._model import VERSION, RecoveryKit
from sealkeep_client.kit._qr import Modules, qr_code
from sealkeep_client.kit._rows import CHECK_LETTERS, Row, rows
from sealkeep_client.kit._words import ABOUT, CARE, COMMAND, FROM_CODE, FROM_FILE, GROUPS, STEPS, TITLE, USE, WARNING
from sealkeep_protocol.kit import GROUP_LENGTH
from sealkeep_protocol.kit import GROUPS as EIGHT

WIDTH, HEIGHT = 210.0, 297.0
LEFT, RIGHT, TOP, BOTTOM = 20.0, 190.0, 20.0, 268.0
MONO_ADVANCE: Final = 0.6  # of the size: the width of every letter of Courier

_POINT: Final = 25.4 / 72
_HALF: Final = GROUP_LENGTH // 2
_QR_SIZE: Final = 58.0
_VALUES: Final = 56.0  # where the values of the table begin
_CHECK: Final = 124.0
_COMMANDS: Final = 132.0  # where commands stand, beside the line before
_PITCH: Final = 6.0
_SHORT: Final = 16  # letters of a label that fit before the values


class Font(Enum):
    """The four faces of the page."""

    SANS = "sans"
    BOLD = "bold"
    MONO = "mono"
    MONO_BOLD = "mono-bold"


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text on one base line; `size` is the font's, in millimetres."""

    x: float
    y: float
    size: float
    font: Font
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """The outline of a rectangle; `line` is how thick."""

    x: float
    y: float
    width: float
    height: float
    line: float


@dataclass(frozen=True, slots=True)
class Bars:
    """A QR code: black modules of `module` millimetres, as (column, row, length) of the runs in each row."""

    x: float
    y: float
    module: float
    runs: tuple[tuple[int, int, int], ...]


Shape: TypeAlias = Text | Box | Bars
Page: TypeAlias = list[Shape]


def draw(kit: RecoveryKit) -> list[Page]:
    """The kit's pages: one, and a second for the heads where there are too many for the first."""
    table = rows(kit)
    head: Page = []
    begin = _code(head, _title(head, kit), table[0], qr_code(kit.to_uri()))
    for dense in (False, True):
        page = [*head]
        if _steps(page, _table(page, begin, table[1:], dense=dense)) <= BOTTOM:
            return [page]
    heads = [row for row in table if row.name == "device"]
    y = _table(head, begin, [row for row in table[1:] if row.name != "device"], dense=True)
    _put(head, LEFT, y - 2, 10, Font.BOLD, f"{len(heads)} lines `Device` belong before Date: they are on page 2.")
    _steps(head, y + 6)
    more: Page = []
    _put(more, LEFT, TOP + 7, 14, Font.BOLD, f"{TITLE}, page 2")
    _put(more, LEFT, TOP + 12.5, 9, Font.SANS, f"made on {kit.date}; check {table[-1].parts[0]}")
    _table(more, TOP + 22, heads, dense=True)
    return [head, more]


def _title(page: Page, kit: RecoveryKit) -> float:
    _put(page, LEFT, TOP + 7, 24, Font.BOLD, TITLE)
    _put(page, LEFT, TOP + 12.5, 9, Font.SANS, f"version {VERSION}, made on {kit.date}")
    y = _lines(page, LEFT, TOP + 20.5, 11, Font.SANS, ABOUT)
    page.append(Box(LEFT, y - 1, RIGHT - LEFT, 27.5, 0.7))
    _put(page, LEFT + 4, y + 6, 11.5, Font.BOLD, WARNING)
    _lines(page, LEFT + 4, y + 12.5, 10.5, Font.SANS, CARE)
    return y + 33.5


def _code(page: Page, y: float, code: Row, modules: Modules) -> float:
    """The QR code, and beside it the groups of the seed, numbered, in two columns as they are typed."""
    page.append(Bars(LEFT, y, _QR_SIZE / len(modules), tuple(_runs(modules))))
    left = LEFT + _QR_SIZE + 14
    _put(page, left, y + 4.5, 16, Font.BOLD, "Code")
    _lines(page, left + 18, y + 1.9, 8, Font.SANS, GROUPS)
    for number, group in enumerate(code.parts):
        x, base = left + (number % 2) * 49, y + 18.5 + (number // 2) * 12.8
        _put(page, x, base, 9, Font.SANS, str(number + 1))
        _group(page, x + 5, base, 17, Font.MONO_BOLD, group)
    return y + _QR_SIZE + 10


def _table(page: Page, y: float, table: Sequence[Row], *, dense: bool) -> float:
    """The other lines, and below them some space. `dense` sets eight groups small and in one line."""
    for row in table:
        if row.name == "check":
            # Beside the date, which is short.
            _put(page, _CHECK, y - _PITCH, 10, Font.BOLD, row.label)
            _group(page, _CHECK + 17, y - _PITCH, 11, Font.MONO, row.parts[0])
            continue
        if row.name == "date" and dense:
            y += 1.2
        _put(page, LEFT, y, 10 if len(row.label) <= _SHORT else 7, Font.BOLD, row.label)
        if len(row.parts) < EIGHT:
            y = _text(page, y, row)
        elif dense:
            for number, group in enumerate(row.parts):
                _put(page, _VALUES + number * 16.9, y, 8.5, Font.MONO, group)
            y += 4.4
        else:
            for number, group in enumerate(row.parts):
                x, base = _VALUES + (number % 4) * 34, y + (number // 4) * 5.2
                _put(page, x, base, 7, Font.SANS, str(number + 1))
                _group(page, x + 3, base, 11, Font.MONO, group)
            y += 5.6 + _PITCH
    return y + 6


def _text(page: Page, y: float, row: Row) -> float:
    """A line of text, broken where it is longer than the page is wide."""
    size, pitch = 11.0, 4.6
    value, check = row.parts
    advance = MONO_ADVANCE * size * _POINT
    wide = int((RIGHT - _VALUES) / advance) - CHECK_LETTERS - 1
    pieces = [value[start : start + wide] for start in range(0, len(value), wide)]
    for number, piece in enumerate(pieces):
        _put(page, _VALUES, y + number * pitch, size, Font.MONO, piece)
    y += (len(pieces) - 1) * pitch
    _put(page, _VALUES + (len(pieces[-1]) + 1) * advance, y, size, Font.MONO, check)
    return y + _PITCH


def _steps(page: Page, y: float) -> float:
    _put(page, LEFT, y, 12, Font.BOLD, USE)
    y += 6
    for number, step in enumerate([*STEPS, FROM_FILE + FROM_CODE], 1):
        _put(page, LEFT, y, 10, Font.BOLD, f"{number}.")
        y = _lines(page, LEFT + 6, y, 10, Font.SANS, step) + 1
    return y


def _group(page: Page, x: float, y: float, size: float, font: Font, group: str) -> None:
    """A group in two halves with a small gap, so that the eye keeps its place."""
    advance = MONO_ADVANCE * size * _POINT
    _put(page, x, y, size, font, group[:_HALF])
    _put(page, x + (_HALF + 0.35) * advance, y, size, font, group[_HALF:])


def _lines(page: Page, x: float, y: float, points: float, font: Font, lines: Sequence[str]) -> float:
    pitch = points * 0.46
    for line in lines:
        if line.startswith(COMMAND):
            _put(page, _COMMANDS, y - pitch, points, Font.MONO_BOLD, line.strip())
            continue
        _put(page, x, y, points, font, line)
        y += pitch
    return y


def _put(page: Page, x: float, y: float, points: float, font: Font, text: str) -> None:
    page.append(Text(round(x, 3), round(y, 3), round(points * _POINT, 3), font, text))


def _runs(modules: Modules) -> list[tuple[int, int, int]]:
    runs = []
    for row, line in enumerate(modules):
        column = 0
        while column < len(line):
            length = next((n for n in range(len(line) - column) if not line[column + n]), len(line) - column)
            if length:
                runs.append((column, row, length))
            column += length or 1
    return runs
