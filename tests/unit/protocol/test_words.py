"""Words of 11 bits (spec §10.2)."""

from __future__ import annotations

import pytest

from sealkeep_client.vault._words import code_words
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.words import WordList


def test_only_the_specs_list_is_one() -> None:
    words = list(code_words().encode(bytes(3), 2))
    assert words == ["abandon", "abandon"]
    with pytest.raises(ValueError, match="BIP-39"):
        WordList(["abandon"] * 2048)


def test_the_first_bits_come_first() -> None:
    words = code_words()
    assert words.encode(bytes.fromhex("00400c0000"), 3) == ("able", "about", "abandon")  # 2, 3, 0
    assert words.encode(b"\xff" * 5, 3) == ("zoo", "zoo", "zoo")
    assert words.encode(b"\xff\xe0\x00", 2) == ("zoo", "abandon")
    assert words.encode(b"\xff\xe0", 1) == ("zoo",)
    with pytest.raises(ValueError, match="33 bits"):
        words.encode(bytes(4), 3)


def test_a_word_that_is_none_is_named_with_one_that_looks_like_it() -> None:
    words = code_words()
    assert [words.find(typed) for typed in ("zebra", "zebr", "act", "actress", "actr")] == [
        *("zebra", "zebra", "act", "actress", "actress")
    ]
    with pytest.raises(UsageError, match="no code has the word `zebraa`; did you mean `zebra`"):
        words.find("zebraa")
    with pytest.raises(UsageError, match=r"no code has the word `qqqqqqqqq`$"):
        words.find("qqqqqqqqq")
    for too_little in ("zeb", "zo", ""):
        with pytest.raises(UsageError, match="no code has the word"):
            words.find(too_little)
