"""Words of 11 bits (spec §10.2)."""

from __future__ import annotations

import pytest

from sealkeep_client.words import word_list
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.words import WordList


def test_only_the_specs_list_is_one() -> None:
    words = list(word_list().encode(bytes(3), 2))
    assert words == ["abandon", "abandon"]
    with pytest.raises(ValueError, match="BIP-39"):
        WordList(["abandon"] * 2048)


def test_the_first_bits_come_first() -> None:
    words = word_list()
    assert words.encode(bytes.fromhex("00400c0000"), 3) == ("able", "about", "abandon")  # 2, 3, 0
    assert words.encode(b"\xff" * 5, 3) == ("zoo", "zoo", "zoo")
    assert words.encode(b"\xff\xe0\x00", 2) == ("zoo", "abandon")
    assert words.encode(b"\xff\xe0", 1) == ("zoo",)
    with pytest.raises(ValueError, match="33 bits"):
        words.encode(bytes(4), 3)


def test_a_word_that_is_none_is_named_with_one_that_looks_like_it() -> None:
    words = word_list()
    words.check("zebra")
    with pytest.raises(UsageError, match="no code has the word `zebraa`; did you mean `zebra`"):
        words.check("zebraa")
    with pytest.raises(UsageError, match=r"no code has the word `qqqqqqqqq`$"):
        words.check("qqqqqqqqq")
