"""The kit as a page of plain text: ASCII, at most 80 columns but for a long relay URL, the groups four in a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sealkeep_client.kit._model import VERSION, RecoveryKit
from sealkeep_client.kit._rows import Row, rows
from sealkeep_client.kit._words import ABOUT, CARE, FROM_FILE, STEPS, TITLE, USE, WARNING

_IN_A_LINE: Final = 4


def write_text(kit: RecoveryKit) -> str:
    lines = [
        f"{TITLE.upper()}, version {VERSION}",
        "",
        *_indented(ABOUT),
        "",
        f"  {WARNING.upper()}",
        *_indented(CARE),
        "",
        *_table(rows(kit)),
        "",
        USE,
        "",
    ]
    for number, step in enumerate([*STEPS, FROM_FILE], 1):
        lines += [f"  {number}. {step[0]}", *(f"     {line}" for line in step[1:])]
    return "\n".join(lines) + "\n"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _table(table: Sequence[Row]) -> Iterator[str]:
    width = max(len(row.label) for row in table) + 1
    for row in table:
        for start in range(0, len(row.parts), _IN_A_LINE):
            label = f"{row.label}:" if start == 0 else ""
            yield f"  {label:{width}}  {' '.join(row.parts[start : start + _IN_A_LINE])}"
