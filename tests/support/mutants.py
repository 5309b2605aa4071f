"""The patches in tests/mutants: what each says of itself, and how it is applied.

A patch begins with a sentence that names what it breaks, then the tests that are to see it, then a unified diff:

    KEY-05: An opener does not compare the commitment.
    Tests: tests/unit/protocol/test_sealing.py

    --- a/protocol/sealkeep_protocol/sealing.py
    +++ b/protocol/sealkeep_protocol/sealing.py
    @@ …

It is applied by its lines, not by their numbers: what a hunk takes away, with the lines around it, must stand in the file
exactly once. So a patch outlives changes elsewhere in its file, and never lands in another place than it was made for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = ROOT / "tests" / "mutants"

_SENTENCE = re.compile(r"((?:[A-Z]{3}-\d\d|P\d{1,2})(?:, (?:[A-Z]{3}-\d\d|P\d{1,2}))*): (.+\.)")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class MutantError(Exception):
    """A patch that is not written as it should be, or does not fit the tree."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that stand together in a file, and what the mutant has in their place."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def changed(self) -> int:
        """How many lines are taken away or put in."""
        kept = sum(1 for line in self.before if line in self.after)
        return len(self.before) + len(self.after) - 2 * kept


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate breakage. `breaks` are ids of MUSTs and promises, `hunks` are by file, relative to the root."""

    name: str
    breaks: tuple[str, ...]
    sentence: str
    tests: tuple[str, ...]
    hunks: Mapping[str, tuple[Hunk, ...]]

    def files(self, root: Path = ROOT) -> dict[str, str]:
        """The mutated text of each file that it changes. Raises `MutantError` where it does not apply."""
        return {path: _apply(self.name, path, root, hunks) for path, hunks in self.hunks.items()}


def mutants(names: Sequence[str] = (), *, folder: Path = PATCHES) -> list[Mutant]:
    """The mutants of these names, or all of the folder. Raises `MutantError`."""
    known = {path.stem: path for path in sorted(folder.glob("*.patch"))}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MutantError(f"no mutant is called {', '.join(unknown)}")
    return [parse(path.stem, path.read_text(encoding="utf-8")) for path in map(known.__getitem__, names or known)]


def parse(name: str, text: str) -> Mutant:
    """Read a patch. Raises `MutantError`."""
    lines = text.splitlines()
    sentence = _SENTENCE.fullmatch(lines[0]) if lines else None
    if sentence is None:
        raise MutantError(f"{name}: its first line is not `<MUST or promise>, …: <sentence>.`")
    start = next((n for n, line in enumerate(lines) if line.startswith("--- ")), len(lines))
    tests = [word for line in lines[1:start] if line.startswith("Tests: ") for word in line.split()[1:]]
    if not tests:
        raise MutantError(f"{name}: it names no tests that are to see it")
    breaks = tuple(sentence[1].split(", "))
    hunks = _read_hunks(name, lines, start)
    if not hunks:
        raise MutantError(f"{name}: it changes nothing")
    return Mutant(name, breaks, sentence[2], tuple(tests), {path: tuple(found) for path, found in hunks.items()})


def _read_hunks(name: str, lines: list[str], at: int) -> dict[str, list[Hunk]]:
    hunks: dict[str, list[Hunk]] = {}
    path = ""
    while at < len(lines):
        head = _HUNK.match(lines[at])
        if lines[at].startswith("--- a/") and lines[at + 1 : at + 2] == ["+++ b/" + lines[at][len("--- a/") :]]:
            path = lines[at][len("--- a/") :]
            at += 2
        elif head is not None and path:
            hunk, at = _read_hunk(name, lines, at + 1, int(head[1] or 1), int(head[2] or 1))
            hunks.setdefault(path, []).append(hunk)
        elif lines[at].startswith(("diff ", "index ")):
            at += 1
        else:
            raise MutantError(f"{name}: line {at + 1} belongs to no unified diff of an existing file")
    return hunks


def _read_hunk(name: str, lines: list[str], at: int, taken: int, put: int) -> tuple[Hunk, int]:
    before: list[str] = []
    after: list[str] = []
    while len(before) < taken or len(after) < put:
        line = lines[at] if at < len(lines) else "?"
        kind, rest = line[:1] or " ", line[1:]  # an editor may have taken the blank from an empty line
        if kind not in " -+":
            raise MutantError(f"{name}: a hunk does not have as many lines as it says")
        if kind != "+":
            before.append(rest)
        if kind != "-":
            after.append(rest)
        at += 1
    return Hunk(tuple(before), tuple(after)), at


def _apply(name: str, path: str, root: Path, hunks: tuple[Hunk, ...]) -> str:
    file = root / path
    if not file.is_file():
        raise MutantError(f"{name}: there is no {path}")
    lines = file.read_text(encoding="utf-8").split("\n")
    for hunk in hunks:
        size = len(hunk.before)
        places = [at for at in range(len(lines)) if tuple(lines[at : at + size]) == hunk.before]
        if len(places) != 1:
            raise MutantError(f"{name}: its lines stand {len(places)} times in {path}, not once")
        lines[places[0] : places[0] + size] = hunk.after
    return "\n".join(lines)
