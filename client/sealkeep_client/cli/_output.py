"""How output looks: one JSON object a line for programs; for people, plain text that is safe on a terminal.

What a chat partner wrote must not move the cursor, colour the terminal or turn neighbouring text around: `clean` takes such
characters away. Widths are those of a terminal, where a Chinese character takes two columns.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

_EPOCH: Final = datetime.datetime(1970, 1, 1)
# Controls, and the marks that embed, override or isolate a direction. Tabs and line ends become spaces.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
_SPACES: Final = re.compile(r"\s+")


def say(*lines: str) -> None:
    """Say something on standard error: the first line with the program's name before it."""
    for number, line in enumerate(lines):
        click.echo(clean_line(line, keep=True) if number else f"sealkeep: {clean_line(line)}", err=True)


def print_json(value: dict[str, Any]) -> None:
    """Print one object on a line, in UTF-8 whatever the terminal's character set."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8", "replace"))


# Text


def clean(text: str) -> str:
    """Text of several lines, without what a terminal would obey."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    "))


def clean_line(text: str, *, keep: bool = False) -> str:
    """The same as one line; `keep` leaves runs of spaces as they are."""
    text = clean(text)
    return text.replace("\n", " ") if keep else _SPACES.sub(" ", text).strip()


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with spaces up to so many columns."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def cut(text: str, columns: int) -> str:
    """The text in at most so many columns, with an ellipsis where it was longer."""
    if width(text) <= columns:
        return text
    kept, used = [], 1
    for letter in text:
        used += width(letter)
        if used > columns:
            break
        kept.append(letter)
    return "".join(kept).rstrip() + "…"


def wrap(text: str, columns: int) -> list[str]:
    """The text's lines, broken at spaces, and anywhere in Chinese, so that they take at most so many columns."""
    lines = []
    for line in text.split("\n"):
        current = ""
        for word in re.findall(r"\s+|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+|.", line):
            if current and width(current) + width(word) > columns:
                if current.strip():
                    lines.append(current.rstrip())
                current = word.lstrip()
            else:
                current += word
        lines.append(current.rstrip())
    return lines


# Numbers and times


def count(number: int, one: str = "", many: str = "") -> str:
    """`142,816`, and with words `1 message` or `2 messages`."""
    words = one if number == 1 else many or (f"{one}s" if one else "")
    return f"{number:,} {words}" if words else f"{number:,}"


def size(number: int) -> str:
    """Bytes as a person says them: `812 bytes`, `3.4 MB`."""
    if number < 1000:
        return count(number, "byte")
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    raise AssertionError


def civil(milliseconds: int, offset: int | None = None) -> datetime.datetime:
    """The time that a clock showed, `offset` minutes east of UTC; without one, the number is that clock's already."""
    return _EPOCH + datetime.timedelta(milliseconds=milliseconds, minutes=offset or 0)


def when(milliseconds: int) -> str:
    """A moment by this device's own date and time, without zone: `2026-11-24 10:03`."""
    try:
        return f"{datetime.datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):  # whoever signed it may have said anything
        return "at no time there is"


def ago(milliseconds: int, now: float) -> str:
    """A moment of this device's past: its own date and time, and how long ago that is."""
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000)
    seconds = max(0, int(now - milliseconds / 1000))
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            return f"{moment:%Y-%m-%d %H:%M} ({count(seconds // unit, name)} ago)"
    return f"{moment:%Y-%m-%d %H:%M} (just now)"


# Layout


def is_terminal() -> bool:
    """Whether standard output is looked at by a person."""
    return sys.stdout.isatty()


def columns_of_terminal() -> int:
    """The terminal's width; without one, wide enough to cut nothing short."""
    return max(40, shutil.get_terminal_size((100, 24)).columns) if is_terminal() else 1_000_000


def bold(text: str) -> str:
    return _styled(text, bold=True)


def dim(text: str) -> str:
    return _styled(text, dim=True)


def highlight(text: str) -> str:
    return _styled(text, bold=True, fg="yellow")


def _styled(text: str, **style: Any) -> str:
    if not is_terminal() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, **style)


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), last: int = 0
) -> None:
    """Aligned columns below their titles. `right` names those set right; column `last` gives way where space is short."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(titles, *cells, strict=True)]
    spare = columns_of_terminal() - sum(widths) - 2 * (len(widths) - 1)
    if spare < 0:
        widths[last] = max(8, widths[last] + spare)
    for number, row in enumerate([list(titles), *cells]):
        shown = [
            pad(cut(cell, widths[column]), widths[column], right=column in right) for column, cell in enumerate(row)
        ]
        line = "  ".join(shown).rstrip()
        click.echo(bold(line) if number == 0 else line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Labels with their values, below each other."""
    widest = max(width(label) for label, _ in pairs)
    for label, value in pairs:
        click.echo(f"{dim(pad(label, widest))}  {clean_line(value)}")
