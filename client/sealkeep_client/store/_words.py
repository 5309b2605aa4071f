"""Text as the full-text index sees it: folded, and cut into words and, where a script sets no spaces, pairs of
characters.

`indexed` and `Query` must agree for ever: deleting a text from a contentless index needs exactly what was inserted.
Whoever changes this rebuilds the index in a migration.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, Literal

# Scripts without spaces between words, Hangul (endings grow together with their words) and pictographs.
_PAIRED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    "\u1100-\u11ff\u3040-\u30ff\u3131-\u318e\u31f0-\u31ff\uac00-\ud7af"  # Hangul, kana
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u2600-\u27bf\U0001f000-\U0001faff"  # symbols, emoji
)
_RUN: Final = re.compile(f"[{_PAIRED}]+")
# A Latin letter and what stands on it: "cafe" finds "café". Other scripts keep their marks, which there make other
# letters.
_ACCENTED: Final = re.compile("[\u00c0-\u024f\u1e00-\u1eff\u0300-\u036f]")
_LONG: Final = 1_000
_WORD: Final = re.compile(rf"\s+|\S{{1,{_LONG}}}")
_ACCENTS: Final = re.compile("(?<=[a-z])[\u0300-\u036f]+")


def fold(text: str) -> str:
    """The text without differences of case, width and Latin accents."""
    if text.isascii():
        return text.lower()
    folded = _normal("NFKC", text).casefold()
    if _ACCENTED.search(folded):
        folded = _normal("NFC", _ACCENTS.sub("", _normal("NFD", folded)))
    return folded


def _normal(form: Literal["NFC", "NFD", "NFKC"], text: str) -> str:
    """The text in a form of Unicode. A run of combining marks is sorted in the square of its length: long words are cut."""
    if len(text) <= _LONG:
        return unicodedata.normalize(form, text)
    return _WORD.sub(lambda match: unicodedata.normalize(form, match[0]), text)


def indexed(text: str) -> str:
    """What the index is given for a text: each run of paired characters as its pairs and its last character."""
    if text.isascii():
        return text  # the tokenizer lowers ASCII by itself
    return _RUN.sub(_pairs, fold(text))


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    return f" {' '.join(map(str.__add__, run, run[1:]))} {run[-1]} "


class Query:
    """Words to search for, all of which a text must hold.

    `words` is the index's own tokenizer. `match` is an expression for candidates, None where no word can be looked up
    in the index (punctuation alone): then every text is a candidate.
    """

    __slots__ = ("_terms", "match")

    def __init__(self, query: str, words: Callable[[str], Sequence[str]]) -> None:
        self._terms = fold(query).split()
        expressions: dict[str, None] = {}
        for term in self._terms:
            for token in _looked_up(term, words):
                expressions[token] = None
        self.match = " AND ".join(expressions) or None

    @property
    def empty(self) -> bool:
        """Whether nothing is searched for."""
        return not self._terms

    def matches(self, text: str) -> bool:
        """Whether the text really holds every word: the index knows neither order nor neighbours."""
        folded = fold(text)
        return all(term in folded for term in self._terms)


def _looked_up(term: str, words: Callable[[str], Sequence[str]]) -> list[str]:
    found: list[str] = []
    for run in _RUN.findall(term):
        if len(run) == 1:
            found.append(f"{_quoted(run)}*")  # the first of a pair, or the last of a run
        else:
            found += [_quoted(run[i : i + 2]) for i in range(len(run) - 1)]
    found += [_quoted(word) for word in words(_RUN.sub(" ", term))]
    # Marks and joiners between paired characters are no words of theirs, and a pair may hold what is no token.
    return found


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
