"""The list of words of checkpoint codes (spec §11.1): 2,048 English ones, which their first four letters tell apart."""

from __future__ import annotations

import difflib
import functools

from mnemonic import Mnemonic

from sealkeep_protocol.errors import UsageError

_TELLING = 4  # letters


@functools.cache
def word_list() -> tuple[str, ...]:
    """The English list of BIP-39, in its order."""
    return tuple(Mnemonic("english").wordlist)


def find_word(text: str) -> str:
    """The word of the list that somebody typed, or its first four letters or more. Raises `UsageError`."""
    typed = text.strip().lower()
    words = word_list()
    if typed in words:
        return typed
    begun = [word for word in words if word.startswith(typed)]
    if len(typed) >= _TELLING and len(begun) == 1:
        return begun[0]
    close = difflib.get_close_matches(typed, words, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    raise UsageError(f"`{typed[:40]}` is none of the words of a checkpoint{hint}")
