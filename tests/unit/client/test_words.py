"""The words of checkpoint codes: the list that the spec means, and what a person may type for them."""

from __future__ import annotations

import hashlib

import pytest

from sealkeep_client.words import find_word, word_list
from sealkeep_protocol.checkpoint import LIST_SIZE
from sealkeep_protocol.errors import UsageError


def test_it_is_the_list_of_the_spec() -> None:
    """§11.1"""
    words = word_list()
    assert len(words) == LIST_SIZE
    assert list(words) == sorted(words)
    data = "".join(f"{word}\n" for word in words).encode()
    assert hashlib.sha256(data).hexdigest() == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


def test_every_word_is_found_by_four_letters() -> None:
    for word in word_list():
        assert find_word(word) == word
        assert find_word(f" {word[:4].upper()}") == word


@pytest.mark.parametrize("typed", ["", "ab", "abl", "ablex", "zones", "able zone", "a" * 5000, "Ⱥble"])
def test_no_word(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_word(typed)
    assert len(str(caught.value)) < 200


def test_one_that_is_like_it_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean `zone`"):
        find_word("zonne")
