"""A kit that is typed line by line: asked for in the order of the page, and each mistake said at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.kit import KitError, RecoveryKit, Typing, is_group
from sealkeep_client.kit._rows import rows
from sealkeep_protocol.kit import ALPHABET, encode_groups
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, identifier, kits


def answers(kit: RecoveryKit, at_once: int = 1) -> list[str]:
    """All that a person types, so many groups of a line at once."""
    typed: list[str] = []
    for row in rows(kit):
        if row.name == "date" and not kit.feeds:
            typed += [""] if kit.roster[0] else ["", ""]
        elif row.name == "date" or (row.name == "device" and row.numbers == kit.feeds[0][:2] and not kit.roster[0]):
            typed.append("")
        if row.numbers:
            typed.append(", ".join(map(str, row.numbers)))
        if row.name in ("relay", "date"):
            typed.append(" ".join(row.parts))
            continue
        typed += [" ".join(row.parts[start : start + at_once]) for start in range(0, len(row.parts), at_once)]
    return typed


def type_all(typing: Typing, typed: list[str]) -> RecoveryKit:
    for answer in typed[:-1]:
        assert typing.answer(answer) is None
    kit = typing.answer(typed[-1])
    assert kit is not None
    return kit


@given(kits(), st.sampled_from([1, 2, 3, 8]), st.booleans())
def test_a_kit_is_read_as_it_stands_on_the_page(kit: RecoveryKit, at_once: int, small: bool) -> None:
    typed = answers(kit, at_once)
    if small and kit.relay == kit.relay.lower():
        typed = [answer.lower() for answer in typed]
    assert type_all(Typing(), typed) == kit


@pytest.mark.parametrize("kit", [FIRST_KIT, KIT, LARGEST_KIT])
def test_the_smallest_and_the_largest(kit: RecoveryKit) -> None:
    assert type_all(Typing(), answers(kit)) == kit


def test_what_is_asked() -> None:
    typing = Typing()
    asked = []
    for answer in answers(KIT, 8):
        asked.append(typing.prompt)
        typing.answer(answer)
    assert asked == [
        "Code, group 1 of 8",
        "Relay, with the four letters at its end",
        "Account, group 1 of 8",
        "Identity, group 1 of 8",
        "Roster, the number in its label (Enter if the page has no such line)",
        "Roster 3, group 1 of 8; Enter goes back to the numbers",
        "Device, the two numbers in its label (Enter if there is no further such line)",
        "Device 1, 17, group 1 of 8; Enter goes back to the numbers",
        "Device, the two numbers in its label (Enter if there is no further such line)",
        "Device 2, 34, group 1 of 8; Enter goes back to the numbers",
        "Device, the two numbers in its label (Enter if there is no further such line)",
        "Date, with the four letters at its end",
        "Check",
    ]


def test_what_the_qr_code_says_is_the_whole_kit() -> None:
    typing = Typing()
    assert typing.answer(f"  {KIT.to_uri().lower()} ") == KIT
    with pytest.raises(KitError, match="is damaged"):
        typing.answer(KIT.to_uri()[:-1])
    assert typing.prompt == "Code, group 1 of 8"


@given(kits(), st.data())
def test_a_wrong_answer_is_refused_at_once_and_nothing_else_is_asked(kit: RecoveryKit, data: st.DataObject) -> None:
    """KEY-08"""
    typed = answers(kit)
    at = data.draw(
        st.sampled_from(
            [
                place
                for place, answer in enumerate(typed)
                if len(answer) == 8 and answer.isalnum() and not answer.isdigit()
            ]
        )
    )
    typing = Typing()
    for answer in typed[:at]:
        typing.answer(answer)
    prompt, group = typing.prompt, typed[at]
    place = data.draw(st.integers(0, 7))
    letter = data.draw(st.sampled_from(sorted(set(ALPHABET + "U!é") - {group[place]})))
    swapped = group[:place] + group[place + 1 : place + 2] + group[place] + group[place + 2 :]
    changed = (
        group[:place] + letter + group[place + 1 :],
        group[:place] + group[place + 1 :],
        group[:place] + letter + group[place:],
        swapped,
    )
    for answer in changed:
        if answer == group:
            continue
        with pytest.raises(KitError, match=r"mistyped|characters where 8 belong") as caught:
            typing.answer(answer)
        assert typing.prompt == prompt
        assert "group" not in prompt or f"group {caught.value.groups[0]} of" in prompt
    assert type_all(typing, typed[at:]) == kit


def test_groups_before_a_wrong_one_are_kept() -> None:
    groups = rows(KIT)[0].parts
    typing = Typing()
    with pytest.raises(KitError, match="group 3 of Code: it is mistyped") as caught:
        typing.answer(f"{groups[0]} {groups[1]} {groups[3]} {groups[2]}")
    assert caught.value.groups == (3,)
    assert typing.prompt == "Code, group 3 of 8"
    with pytest.raises(KitError, match="group 8 of Code: it has 16 characters where 8 belong"):
        typing.answer(" ".join([*groups[2:], groups[0]]))
    assert typing.prompt == "Code, group 8 of 8"
    for nothing in ("", " - "):
        with pytest.raises(KitError, match="group 8 of Code: it has 0 characters where 8 belong"):
            typing.answer(nothing)
    typing.answer(groups[7])
    assert typing.prompt.startswith("Relay")


def test_a_line_of_text_that_is_wrong() -> None:
    typing = Typing()
    typing.answer(" ".join(rows(KIT)[0].parts))
    url, check = rows(KIT)[1].parts
    for wrong in (url, f"{url[:-1]} {check}", f"{url} {check[::-1]}", "", "x"):
        with pytest.raises(KitError, match="Relay is mistyped: compare it with the page, and its last four letters"):
            typing.answer(wrong)
    typing.answer(f"{url.upper()} {check.lower()}" if url == url.lower() else f"{url} {check}")
    assert typing.prompt == "Account, group 1 of 8"


def test_numbers_that_are_wrong_can_be_typed_again() -> None:
    typing = Typing()
    typed = answers(KIT, 8)
    for answer in typed[:4]:
        typing.answer(answer)
    for wrong in ("three", "3, 4", "-1", "9" * 11, "٣"):
        with pytest.raises(KitError, match="that is one number"):
            typing.answer(wrong)
    typing.answer("4")
    with pytest.raises(KitError, match="group 1 of Roster 4: it is mistyped, or a number in the label is"):
        typing.answer(typed[5])
    typing.answer("")
    assert typing.prompt.startswith("Roster, the number")
    for answer in typed[4:6]:
        typing.answer(answer)
    for wrong in ("1", "1, 2, 3", "one, two"):
        with pytest.raises(KitError, match="those are two numbers, like 2, 17"):
            typing.answer(wrong)
    for answer in typed[6:8]:
        typing.answer(answer)
    with pytest.raises(KitError, match="the line of that device is there already"):
        typing.answer("1:17")
    assert type_all(typing, typed[8:]) == KIT


def test_a_line_that_was_left_out_is_asked_for_again() -> None:
    """KEY-10"""
    typing = Typing()
    typed = answers(KIT, 8)
    left_out = [*typed[:4], "", "", *typed[-2:]]
    for answer in left_out[:-1]:
        typing.answer(answer)
    with pytest.raises(KitError, match="do not fit its line `Check`"):
        typing.answer(left_out[-1])
    assert typing.prompt.startswith("Roster, the number")
    assert type_all(typing, typed[4:]) == KIT


def test_values_that_no_kit_has() -> None:
    typing = Typing()
    for answer in answers(FIRST_KIT, 8)[:4]:
        typing.answer(answer)
    typing.answer("0")
    for answer in (" ".join(encode_groups("roster,0", identifier("other"))), "", *answers(FIRST_KIT, 8)[-2:-1]):
        typing.answer(answer)
    with pytest.raises(KitError, match="number 0 is the account's id"):
        typing.answer(answers(FIRST_KIT)[-1])


def test_a_group_that_is_asked_back() -> None:
    groups = rows(KIT)[0].parts
    for number, group in enumerate(groups, 1):
        assert is_group(KIT, number, group)
        assert is_group(KIT, number, f" {group[:4].lower()}-{group[4:]} ")
        others = [other for at, other in enumerate(groups, 1) if at != number]
        strange = encode_groups("code", identifier("other"))[number - 1]  # right by itself, of another kit
        for wrong in (*others, strange, group[:-1], group + "0", "", "é" * 8):
            assert not is_group(KIT, number, wrong)
