"""The word list of codes (spec §10.2, §11.1), from the package `mnemonic`."""

from __future__ import annotations

from functools import cache

from mnemonic import Mnemonic

from sealkeep_protocol.words import WordList


@cache
def code_words() -> WordList:
    """The English list of BIP-39. Raises `ValueError` where the installed package has another one."""
    return WordList(Mnemonic("english").wordlist)
