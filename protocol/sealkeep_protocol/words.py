"""Words for people to read out and type: the English list of BIP-39 (spec §10.2, §11.1), 11 bits a word."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.primitives import sha256

BITS_OF_WORD: Final = 11
TELLING_LETTERS: Final = 4
LIST_SHA256: Final = bytes.fromhex("2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda")


class WordList:
    """The list itself, which comes from outside: this package reads no files. Raises `ValueError` for any other list."""

    __slots__ = ("_places", "_words")

    def __init__(self, words: Sequence[str]) -> None:
        if sha256("".join(f"{word}\n" for word in words).encode()) != LIST_SHA256:
            raise ValueError("this is not the English list of BIP-39")
        self._words = tuple(words)
        self._places = frozenset(words)

    def encode(self, data: bytes, count: int) -> tuple[str, ...]:
        """The first `count` times 11 bits of the data as words, the first word from the first bits."""
        spare = 8 * len(data) - BITS_OF_WORD * count
        if spare < 0:
            raise ValueError(f"{count} words take {BITS_OF_WORD * count} bits")
        bits = int.from_bytes(data, "big") >> spare
        shifts = range(BITS_OF_WORD * (count - 1), -1, -BITS_OF_WORD)
        return tuple(self._words[bits >> shift & (1 << BITS_OF_WORD) - 1] for shift in shifts)

    def find(self, text: str) -> str:
        """The word that was typed, whole or its first four letters or more, which tell it from all others.

        Raises `UsageError` for what is no word of the list, naming one that looks like it.
        """
        if text in self._places:
            return text
        begun = [word for word in self._words if word.startswith(text)]
        if len(text) >= TELLING_LETTERS and len(begun) == 1:
            return begun[0]
        alike = difflib.get_close_matches(text, self._words, n=1)
        hint = f"; did you mean `{alike[0]}`?" if alike else ""
        raise UsageError(f"no code has the word `{text}`{hint}")
