"""The recovery seed as a person writes it down (spec §3.7)."""

from __future__ import annotations

import pickle

import pytest

from sealkeep_protocol.errors import SealkeepError
from sealkeep_protocol.kit import KitError, decode_seed, encode_seed
from sealkeep_protocol.primitives import sha256

# One whose text holds both digits that look like letters.
SEED = next(seed for n in range(99) if {"0", "1"} <= set(encode_seed(seed := sha256(bytes([n])))))
TEXT = encode_seed(SEED)


def test_eight_groups_of_eight() -> None:
    groups = TEXT.split(" ")
    assert [len(group) for group in groups] == [8] * 8
    assert set(TEXT) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ ")
    assert decode_seed(TEXT) == SEED
    with pytest.raises(ValueError, match="32 bytes"):
        encode_seed(SEED[:31])


def test_a_group_is_four_bytes_and_a_check_byte() -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for number, group in enumerate(TEXT.split(" ")):
        value = 0
        for letter in group:
            value = value * 32 + alphabet.index(letter)
        data = value.to_bytes(5, "big")
        assert data[:4] == SEED[4 * number : 4 * number + 4]
        assert data[4] == sha256(b"sealkeep/v1/kit" + bytes([number]) + data[:4])[0]


def test_case_spaces_hyphens_and_look_alikes_do_not_matter() -> None:
    for text in (
        TEXT.lower(),
        TEXT.replace(" ", ""),
        TEXT.replace(" ", "-"),
        "\n".join(TEXT.split(" ")),
        f"\t{TEXT}\r\n",
        TEXT.replace("0", "O").replace("1", "I"),
        TEXT.replace("0", "o").replace("1", "l"),
        TEXT.replace("1", "L").lower().replace("0", "o"),
    ):
        assert decode_seed(text) == SEED


@pytest.mark.parametrize("wrong", [(1,), (8,), (2, 5), tuple(range(1, 9))])
def test_wrong_groups_are_named_and_nothing_is_used(wrong: tuple[int, ...]) -> None:
    """KEY-08"""
    groups = TEXT.split(" ")
    for number in wrong:
        group = groups[number - 1]
        groups[number - 1] = group[:3] + ("7" if group[3] != "7" else "8") + group[4:]
    with pytest.raises(KitError) as caught:
        decode_seed(" ".join(groups))
    assert caught.value.groups == wrong
    assert ", ".join(map(str, wrong)) in str(caught.value)
    assert not any(group in str(caught.value) for group in TEXT.split(" "))


def test_groups_in_another_order_are_wrong() -> None:
    """KEY-08: the check byte counts the group's number."""
    groups = TEXT.split(" ")
    groups[1], groups[2] = groups[2], groups[1]
    with pytest.raises(KitError) as caught:
        decode_seed(" ".join(groups))
    assert caught.value.groups == (2, 3)


@pytest.mark.parametrize("letter", ["U", "u", "!", "é", "ſ", "ı", "０", "\u2010"])
def test_any_other_character_is_an_error_of_its_group(letter: str) -> None:
    """KEY-08: U is no letter of the alphabet, nor is what Unicode makes one of in upper case."""
    groups = TEXT.split(" ")
    groups[4] = groups[4][:7] + letter
    with pytest.raises(KitError) as caught:
        decode_seed(" ".join(groups))
    assert caught.value.groups == (5,)


def test_letters_that_only_unicode_takes_for_others_are_wrong() -> None:
    """KEY-08"""
    for seed in (sha256(bytes([number])) for number in range(50)):
        text = encode_seed(seed)
        if "S" in text and "K" in text:
            break
    for letter, odd in (("S", "ſ"), ("K", "\u212a")):
        with pytest.raises(KitError) as caught:
            decode_seed(text.replace(letter, odd, 1))
        assert caught.value.groups


@pytest.mark.parametrize("text", ["", TEXT[:-1], TEXT + "0", TEXT + " " + TEXT])
def test_too_few_and_too_many_characters(text: str) -> None:
    with pytest.raises(KitError, match="were given") as caught:
        decode_seed(text)
    assert caught.value.groups == ()
    assert isinstance(caught.value, SealkeepError)


def test_a_kit_error_goes_to_another_process_whole() -> None:
    error = pickle.loads(pickle.dumps(KitError("mistyped", groups=(3,))))  # noqa: S301
    assert (type(error), str(error), error.groups) == (KitError, "mistyped", (3,))
