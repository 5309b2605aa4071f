"""Looking for many strings in many bytes at once, in every writing in which a relay could have kept them."""

from __future__ import annotations

import base64
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

SHORTEST = 6  # bytes in UTF-8
_PIECE = 16  # of a longer string, its beginning, middle and end
_SAMPLE = 4_000  # strings that are looked for in base64 and hex too


class Needles:
    """Strings of at least `SHORTEST` bytes, by the first bytes of each of their writings."""

    def __init__(self, texts: Iterable[str], *, seed: int = 1) -> None:
        distinct = sorted({text for text in texts if len(text.encode("utf-8", "surrogatepass")) >= SHORTEST})
        sample = set(random.Random(seed).sample(distinct, min(_SAMPLE, len(distinct))))
        self.texts = len(distinct)
        self._by_start: dict[bytes, list[bytes]] = defaultdict(list)
        self._texts: dict[bytes, str] = {}
        for text in distinct:
            for writing in _writings(text, thorough=text in sample):
                for piece in _pieces(writing):
                    self._texts.setdefault(piece, text)
        for piece in self._texts:
            self._by_start[piece[:SHORTEST]].append(piece)

    def found_in(self, data: bytes) -> Iterator[str]:
        """The strings that stand in the data, each as often as it does."""
        by_start = self._by_start
        for at in [at for at in range(len(data) - SHORTEST + 1) if data[at : at + SHORTEST] in by_start]:
            for piece in by_start[data[at : at + SHORTEST]]:
                if data.startswith(piece, at):
                    yield self._texts[piece]

    def without(self, texts: Iterable[str]) -> Needles:
        """The same without some strings: what every relay has."""
        gone = set(texts)
        left = Needles(())
        left._texts = {piece: text for piece, text in self._texts.items() if text not in gone}
        for piece in left._texts:
            left._by_start[piece[:SHORTEST]].append(piece)
        left.texts = len(set(left._texts.values()))
        return left


def _writings(text: str, *, thorough: bool) -> Iterator[bytes]:
    utf8 = text.encode("utf-8", "surrogatepass")
    yield utf8
    yield text.encode("utf-16-le", "surrogatepass")
    yield text.encode("utf-16-be", "surrogatepass")
    if thorough:
        yield utf8.hex().encode()
        yield utf8.hex().upper().encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            for before in range(3):  # bytes of something else in its first group
                encoded = encode(bytes(before) + utf8)
                yield encoded[(before * 8 + 5) // 6 : (before + len(utf8)) * 8 // 6]


def _pieces(writing: bytes) -> Iterator[bytes]:
    if len(writing) <= _PIECE:
        if len(writing) >= SHORTEST:
            yield writing
        return
    for start in (0, (len(writing) - _PIECE) // 2, len(writing) - _PIECE):
        yield writing[start : start + _PIECE]


def strings_of(value: object) -> Iterator[str]:
    """All strings of a JSON value, keys of objects excepted."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_of(one)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content: databases with their free pages and logs, as they lie on the disk."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
