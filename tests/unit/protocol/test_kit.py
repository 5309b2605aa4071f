"""Groups of letters as a person writes them down (spec §3.7), the recovery seed above all."""

from __future__ import annotations

import pickle
from itertools import combinations, product

import pytest

from sealkeep_protocol.errors import SealkeepError
from sealkeep_protocol.kit import ALPHABET, KitError, decode_group, decode_seed, encode_groups, encode_seed
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


def crc8(data: bytes) -> int:
    """CRC-8/SAE-J1850, as a division of polynomials, bit by bit as on paper."""
    bits = int.from_bytes(data, "big") << 8
    bits ^= 0xFF << 8 * len(data)  # the register's beginning
    for place in range(8 * len(data) - 1, -1, -1):
        if bits >> place + 8 & 1:
            bits ^= 0x11D << place
    return bits ^ 0xFF


def test_the_crc_is_the_one_of_the_name() -> None:
    assert crc8(b"123456789") == 0x4B


def test_a_group_is_four_bytes_and_a_check_byte() -> None:
    for number, group in enumerate(TEXT.split(" ")):
        value = 0
        for letter in group:
            value = value * 32 + ALPHABET.index(letter)
        data = value.to_bytes(5, "big")
        assert data[:4] == SEED[4 * number : 4 * number + 4]
        assert data[4] == crc8(b"code\0" + bytes([number]) + data[:4])


def test_no_wrong_letter_and_no_two_that_changed_places_pass() -> None:
    """KEY-08: of a CRC, what passes does not depend on the group, so that one group shows it for all."""
    [group] = encode_groups("device,3,17", SEED[:4])
    letters = [ALPHABET.index(letter) for letter in group]
    tried = 0
    for place in range(8):
        for other in range(32):
            if other != letters[place]:
                wrong = [*letters[:place], other, *letters[place + 1 :]]
                assert decode_group("device,3,17", 0, "".join(ALPHABET[letter] for letter in wrong)) is None
                tried += 1
    assert tried == 8 * 31
    for one, other in combinations(range(8), 2):
        for first, second in product(range(32), repeat=2):
            # Any two letters at these places, and the same two exchanged: never both are right.
            if first < second:
                wrong = [*letters]
                wrong[one], wrong[other] = first, second
                turned = [*letters]
                turned[one], turned[other] = second, first
                texts = ["".join(ALPHABET[letter] for letter in typed) for typed in (wrong, turned)]
                assert None in [decode_group("device,3,17", 0, text) for text in texts]


def test_a_group_belongs_to_its_line_its_numbers_and_its_place() -> None:
    """KEY-08"""
    lines = ("code", "account", "identity", "check", "roster,3", "device,3,17", "device,3,18", "device,4,17")
    for line in lines:
        for number, group in enumerate(encode_groups(line, SEED)):
            others = [(other, at) for other in lines for at in range(8) if (other == line) != (at == number)]
            for other, at in others:
                assert decode_group(other, at, group) is None, (line, number, other, at)
    with pytest.raises(ValueError, match="4 bytes each"):
        encode_groups("code", SEED[:6])
    with pytest.raises(ValueError, match="4 bytes each"):
        encode_groups("code", b"")


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


RUN = TEXT.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "group", "message"),
    [
        ("", 1, "it has 0 characters where 64 belong; look at group 1"),
        (TEXT[:-1], 8, "group 8 is mistyped"),
        (TEXT + "0", 8, "group 8 is mistyped"),
        (TEXT[:20] + TEXT[21:], 3, "group 3 is mistyped"),
        (" ".join(group[:4] + "-" + group[4:] for group in TEXT.split())[:-1], 8, "group 8 is mistyped"),
        (RUN[:40], 6, "it has 40 characters where 64 belong; look at group 6"),
        (RUN[:33] + RUN[34:], 5, "it has 63 characters where 64 belong; look at group 5"),
        (RUN + "0", 8, "it has 65 characters where 64 belong; look at group 8"),
        (TEXT + " 0", 8, "it has 65 characters where 64 belong; look at group 8"),
    ],
)
def test_too_few_and_too_many_characters(text: str, group: int, message: str) -> None:
    """KEY-08"""
    with pytest.raises(KitError) as caught:
        decode_seed(text)
    assert str(caught.value) == message
    assert caught.value.groups == (group,)
    assert isinstance(caught.value, SealkeepError)


def test_a_kit_error_goes_to_another_process_whole() -> None:
    error = pickle.loads(pickle.dumps(KitError("mistyped", groups=(3,))))  # noqa: S301
    assert (type(error), str(error), error.groups) == (KitError, "mistyped", (3,))
