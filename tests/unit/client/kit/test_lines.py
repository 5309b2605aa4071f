"""The recovery kit as text: it survives being printed and typed again, and says where a typing error is."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sealkeep_client.kit import KitError, RecoveryKit
from sealkeep_client.kit._rows import rows, text_check
from sealkeep_protocol.kit import ALPHABET, encode_groups, encode_seed
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, data_lines, kits

LETTERS = ALPHABET + ALPHABET.lower() + "ILOUilou" + "!é-/.:"
SAME = str.maketrans("ILO", "110")


def lower(kit: RecoveryKit) -> RecoveryKit:
    """With a relay that reads the same in capitals."""
    return dataclasses.replace(kit, relay=kit.relay.lower())


@given(kits())
def test_a_kit_is_read_as_it_was_written(kit: RecoveryKit) -> None:
    assert RecoveryKit.from_text(kit.to_text()) == kit


@pytest.mark.parametrize("kit", [FIRST_KIT, LARGEST_KIT])
def test_the_smallest_and_the_largest(kit: RecoveryKit) -> None:
    assert RecoveryKit.from_text(kit.to_text()) == kit


@given(kits(), st.data())
def test_case_spacing_and_prose_do_not_matter(kit: RecoveryKit, data: st.DataObject) -> None:
    kit = lower(kit)
    lines = kit.to_text().splitlines()
    typed = "\n".join(lines[number] for number in data_lines(kit.to_text()))
    typed = re.sub(r" +", lambda _: data.draw(st.sampled_from([" ", "   ", "\t", "\u00a0"])), typed)
    typed = data.draw(st.sampled_from([typed.lower(), typed.upper(), typed]))
    typed = typed.replace("\n", data.draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n "])))
    assert RecoveryKit.from_text(typed) == kit


def test_values_may_be_broken_across_lines_and_joined() -> None:
    groups = encode_seed(KIT.seed).split()
    text = KIT.to_text().replace(" ".join(groups[:4]), "\n".join(groups[:4]))
    assert RecoveryKit.from_text(text) == KIT
    lines = KIT.to_text().splitlines()
    place = next(number for number, line in enumerate(lines) if "Account:" in line)
    head, tail = lines[place][:40], lines[place][40:]
    assert RecoveryKit.from_text("\n".join([*lines[:place], head, tail, *lines[place + 1 :]])) == KIT
    code = "Code: " + "-".join(groups)
    begin = next(number for number, line in enumerate(lines) if "Relay:" in line)
    assert RecoveryKit.from_text("\n".join([code, *lines[begin:]])) == KIT


@given(kits(), st.data())
def test_one_typing_error_is_read_right_or_located(kit: RecoveryKit, data: st.DataObject) -> None:
    """KEY-08: a character changed, left out, doubled or put in, or two that changed places, anywhere in the values."""
    kit = lower(kit)
    lines = kit.to_text().splitlines()
    number = data.draw(st.sampled_from(data_lines(kit.to_text())))
    line = lines[number]
    start = line.find(":") + 1 if line[2] != " " else 2
    places = [at for at in range(start, len(line)) if not line[at].isspace()]
    place = data.draw(st.sampled_from(places))
    letter = data.draw(st.sampled_from(LETTERS))
    kind = data.draw(st.sampled_from(["change", "change", "omit", "insert", "swap"]))
    if kind == "change":
        typed = line[:place] + letter + line[place + 1 :]
    elif kind == "omit":
        typed = line[:place] + line[place + 1 :]
    elif kind == "insert":
        typed = line[:place] + letter + line[place:]
    else:
        assume(place + 1 < len(line) and not line[place + 1].isspace())
        typed = line[:place] + line[place + 1] + line[place] + line[place + 2 :]
    lines[number] = typed
    try:
        assert RecoveryKit.from_text("\n".join(lines)) == kit
        return
    except KitError as error:
        caught = error
    labelled = [at for at in data_lines(kit.to_text()) if lines[at][2] != " " and at <= number]
    label, row = labelled[-1], rows(kit)[len(labelled) - 1]
    assert str(caught).startswith(f"line {label + 1} of the kit (`{row.name.capitalize()}`): ")
    if row.name not in ("relay", "date"):
        # Which group it is in, of those that are counted from the label on.
        before = 4 * (number - label) + len(line[start:place].split()) - (not line[place - 1].isspace())
        assert caught.groups == (before + 1,)
        assert f"group {before + 1}" in str(caught)


def test_every_changed_letter_of_a_page_is_located() -> None:
    """KEY-08: every letter of every group, for every other letter."""
    text = FIRST_KIT.to_text()
    for row in rows(FIRST_KIT):
        if row.name in ("relay", "date"):
            continue
        for number, group in enumerate(row.parts, 1):
            for place in range(len(group)):
                other = ALPHABET[(ALPHABET.index(group[place]) + 1 + 7 * place + number) % len(ALPHABET)]
                if other == group[place]:
                    continue
                typed = text.replace(group, group[:place] + other + group[place + 1 :])
                with pytest.raises(KitError, match=f"`{row.name.capitalize()}`") as caught:
                    RecoveryKit.from_text(typed)
                assert caught.value.groups == (number,)


@pytest.mark.parametrize("label", ["Code", "Relay", "Account", "Identity", "Date", "Check"])
def test_a_line_that_is_missing_or_there_twice(label: str) -> None:
    lines = KIT.to_text().splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith(f"  {label}")]
    with pytest.raises(KitError, match=f"no line that begins with `{label}`"):
        RecoveryKit.from_text("\n".join(lines[:place] + lines[place + 1 :]))
    with pytest.raises(KitError, match=f"line {len(lines) + 1} .*such a line already"):
        RecoveryKit.from_text("\n".join([*lines, lines[place]]))


def test_a_device_that_is_there_twice() -> None:
    lines = KIT.to_text().splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith("  Device 2")]
    with pytest.raises(KitError, match="device 2 stands there twice"):
        RecoveryKit.from_text("\n".join([*lines, *lines[place : place + 2]]))


@pytest.mark.parametrize("label", ["Roster 3", "Device 1", "Device 2"])
def test_a_head_that_is_left_out_or_not_understood(label: str) -> None:
    """KEY-10: with a head left out, a relay could go back behind it."""
    lines = KIT.to_text().splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith(f"  {label}")]
    misread = [*lines[:place], lines[place].replace(label[:2], "X"), *lines[place + 1 :]]
    for wrong in (lines[:place] + lines[place + 2 :], misread):
        with pytest.raises(KitError, match="do not fit its line `Check`"):
            RecoveryKit.from_text("\n".join(wrong))


def test_a_line_of_another_kit() -> None:
    """KEY-10: each line is right by itself."""
    other = dataclasses.replace(KIT, seed=bytes(32))
    for row, others in zip(rows(KIT), rows(other), strict=True):
        if row == others:
            continue
        typed = KIT.to_text()
        for group, wrong in zip(row.parts, others.parts, strict=True):
            typed = typed.replace(group, wrong)
        with pytest.raises(KitError, match="do not fit its line `Check`"):
            RecoveryKit.from_text(typed)


def test_numbers_belong_to_the_check() -> None:
    """KEY-08"""
    text = KIT.to_text()
    for label, wrong in (
        ("Roster 3:", "Roster 2:"),
        ("Device 2, 34:", "Device 2, 35:"),
        ("Device 2, 34:", "Device 3, 34:"),
    ):
        with pytest.raises(KitError, match="it does not fit the numbers in its label: one of them is mistyped"):
            RecoveryKit.from_text(text.replace(label, wrong))
    with pytest.raises(KitError, match="has 0 numbers where 1 belong"):
        RecoveryKit.from_text(text.replace("Roster 3:", "Roster:"))
    with pytest.raises(KitError, match="has 1 numbers where 0 belong"):
        RecoveryKit.from_text(text.replace("Account:", "Account 1:"))
    with pytest.raises(KitError, match="a number in its label is too long"):
        RecoveryKit.from_text(text.replace("Roster 3:", f"Roster {10**10}:"))


@pytest.mark.parametrize("text", ["Code:\n" + "-\n" * 500_000, "Code: " + "x" * 500_000 + "\ny" * 250_000])
def test_no_file_takes_long(text: str) -> None:
    """It would take hours if its lines were put together again at each."""
    with pytest.raises(KitError, match=r"no line that begins with `Relay`"):
        RecoveryKit.from_text(text)


def test_lengths_and_characters() -> None:
    text = KIT.to_text()
    relay = next(line for line in text.splitlines() if "Relay:" in line)
    for wrong in ("Relay: ABCD", "Relay:", relay[:-1] + "é", relay[:-1]):
        with pytest.raises(KitError, match=r"\(`Relay`\): a character is mistyped"):
            RecoveryKit.from_text(text.replace(relay, wrong))
    groups = encode_seed(KIT.seed).split()
    run = "".join(groups)
    joined = text.replace(" ".join(groups[:4]), run).replace(" ".join(groups[4:]), "")
    assert RecoveryKit.from_text(joined) == KIT
    for wrong, length in ((run[:20] + run[21:], 63), (run[:20] + "7" + run[20:], 65)):
        with pytest.raises(KitError, match=f"it has {length} characters where 64 belong; look at group 3") as caught:
            RecoveryKit.from_text(joined.replace(run, wrong))
        assert caught.value.groups == (3,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a recovery kit"),
        ("hello\nworld", "not a recovery kit"),
        ("x" * (1 << 20) + "x", "much too long"),
        (KIT.to_text().replace("version 1", "version 2"), "a newer sealkeep reads it"),
    ],
)
def test_what_is_no_kit(text: str, message: str) -> None:
    with pytest.raises(KitError, match=message):
        RecoveryKit.from_text(text)


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        ("Date", f"2026-13-01 {text_check('date', '2026-13-01')}", "a kit's date is YYYY-MM-DD"),
        ("Roster 0", " ".join(encode_groups("roster,0", KIT.roster[1])), "number 0 is the account's id"),
        ("Device 0, 1", " ".join(encode_groups("device,0,1", KIT.seed)), "heads have positive numbers"),
    ],
)
def test_a_kit_with_values_that_no_kit_has_is_damaged(label: str, value: str, message: str) -> None:
    lines = KIT.to_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"  {label[:4]}")]
    with pytest.raises(KitError, match=f"the kit is damaged: .*{message}"):
        RecoveryKit.from_text("\n".join([*kept, f"{label}: {value}"]))


def test_the_page() -> None:
    text = KIT.to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 50  # one sheet of paper
    assert "WHOEVER HAS THIS PAGE CAN READ EVERYTHING" in text
    assert "sealkeep recover --kit FILE" in text
    assert text.isascii()  # prints everywhere
    # These letters must never change: kits lie in drawers for years.
    lines = [text.splitlines()[number] for number in data_lines(text)]
    assert lines[0].startswith("  Code:          ")
    assert "  Relay:         https://relay.example:8440/of/ann " in text
    assert lines[-2:] == ["  Date:          2026-10-18 FKE1", "  Check:         K2FDABYD"]
