"""CSV rows with the lines they stand on, and with one bad row costing one line.

An unclosed quote swallows all that follows. A row that is not valid is therefore taken back, its first line counted as
bad, and reading starts again at the line after.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ._source import Stream

MAX_ROW_LINES = 2_000  # of a content with line breaks; more are an unclosed quote
# The reader's limit of 128 KiB a field holds for the whole process and is left alone: it is twice what a record may hold.


class Row(NamedTuple):
    """A row of `width` cells or more, or the reason why there is none."""

    line: int
    cells: list[str]
    reason: str | None = None


class _Lines:
    """An iterator of lines that remembers those of the present row and can give them back."""

    def __init__(self, stream: Stream) -> None:
        self._lines = stream.lines()
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_ROW_LINES:
            raise csv.Error("unclosed quote")
        if self._again:
            line = self._again.popleft()
        else:
            # Bytes that are not UTF-8 become lone surrogates: they spoil their own row only.
            line = next(self._lines).decode("utf-8", "surrogateescape") + "\n"
            if self.number == 0:
                line = line.removeprefix("\ufeff")
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self) -> None:
        """All lines of the row but the first are to be read again."""
        rest = self.taken[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        self.taken.clear()


def rows(stream: Stream, fewest: int) -> Iterator[Row]:
    """The rows of a CSV that have at least `fewest` cells; the others come as reasons."""
    lines = _Lines(stream)
    reader = csv.reader(lines, strict=True)
    while True:
        lines.taken.clear()
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # What is left of the broken row stays inside this reader.
            reader = csv.reader(lines, strict=True)
            lines.give_back()
            yield Row(start, [], "not a valid CSV row")
            continue
        if not cells:
            continue
        if len(cells) < fewest:
            if len(lines.taken) > 1:
                lines.give_back()
            yield Row(start, [], f"{len(cells)} columns where {fewest} are needed")
            continue
        yield Row(start, cells)
