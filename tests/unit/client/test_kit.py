"""The recovery kit as a page: it survives being printed and typed again, and says where a typing error is."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sealkeep_client.kit import KitError, RecoveryKit, _check
from sealkeep_protocol.kit import encode_seed
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

KIT = RecoveryKit(
    relay="https://relay.example:8440/of/ann",
    identity=bytes(range(32)),
    account=AccountId(bytes(range(32, 64))),
    seed=bytes(range(64, 96)),
    roster=(3, ObjectId(bytes(range(96, 128)))),
    feeds=((DeviceId(1), Seq(120), ObjectId(b"\x01" * 32)), (DeviceId(12), Seq(7), ObjectId(b"\xff" * 32))),
    date="2026-10-18",
)

keys = st.binary(min_size=32, max_size=32)
urls = st.builds(
    "https://{}.example:{}{}".format,
    st.text("abcdefghij-0123456789", min_size=1, max_size=30),
    st.integers(1, 65_535),
    st.text("/abcXYZ%{}0", max_size=20),
)
feeds = st.dictionaries(st.integers(1, 1 << 40), st.tuples(st.integers(1, (1 << 63) - 1), keys), max_size=4)
kits = st.builds(
    RecoveryKit,
    relay=urls,
    identity=keys,
    account=keys.map(AccountId),
    seed=keys,
    roster=st.tuples(st.integers(0, 1 << 40), keys),
    feeds=feeds.map(lambda found: tuple((device, *head) for device, head in found.items())),
    date=st.dates().map(lambda date: date.isoformat()),
)


def data_lines(text: str) -> list[int]:
    """The numbers, from 1, of the lines that a person would have to type."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("  Code:"))
    last = next(number for number, line in enumerate(lines, 1) if line.startswith("  Date:"))
    return [number for number in range(first, last + 1) if lines[number - 1]]


@given(kits)
def test_a_kit_is_read_as_it_was_written(kit: RecoveryKit) -> None:
    assert RecoveryKit.from_text(kit.to_text()) == kit


@given(kits, st.data())
def test_case_spacing_and_prose_do_not_matter(kit: RecoveryKit, data: st.DataObject) -> None:
    kit = dataclasses.replace(kit, relay=kit.relay.lower())
    text = kit.to_text()
    numbers = data_lines(text)
    typed = "\n".join(text.splitlines()[numbers[0] - 1 : numbers[-1]])
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


@given(kits, st.data())
def test_a_typing_error_is_located(kit: RecoveryKit, data: st.DataObject) -> None:
    kit = dataclasses.replace(kit, relay=kit.relay.lower())
    lines = kit.to_text().splitlines()
    number = data.draw(st.sampled_from(data_lines("\n".join(lines))))
    line = lines[number - 1]
    start = line.find(":") + 1
    place = data.draw(st.sampled_from([at for at in range(start, len(line)) if not line[at].isspace()]))
    wrong = data.draw(st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
    assume(wrong.lower() != line[place].lower())
    lines[number - 1] = line[:place] + wrong + line[place + 1 :]
    try:
        found = RecoveryKit.from_text("\n".join(lines))
    except KitError as error:
        caught = error
    else:
        # A check is some bits long, so that some errors give another line that is right in itself.
        assert found.to_text().splitlines()[number - 1].upper() == lines[number - 1].upper()
        return
    code = next(at for at, text in enumerate(lines, 1) if "Code:" in text)
    expected = code if number in (code, code + 1) else number
    assert f"line {expected} of the kit" in str(caught)
    if expected == code:
        groups_before = len(line[:place].replace("Code:", "").split()) + (line[place - 1].isspace())
        assert caught.groups == (groups_before + 4 * (number - code),)


@pytest.mark.parametrize("label", ["Code", "Relay", "Identity", "Account", "Roster", "Date"])
def test_a_line_that_is_missing_or_there_twice(label: str) -> None:
    lines = KIT.to_text().splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith(f"  {label}")]
    with pytest.raises(KitError, match=f"no line that begins with `{label}`"):
        RecoveryKit.from_text("\n".join(lines[:place] + lines[place + 1 :]))
    with pytest.raises(KitError, match=f"line {len(lines) + 1} .*such a line already"):
        RecoveryKit.from_text("\n".join([*lines, lines[place]]))


def test_a_device_that_is_there_twice() -> None:
    lines = KIT.to_text().splitlines()
    [line] = [line for line in lines if line.startswith("  Device 12")]
    with pytest.raises(KitError, match="device 12 stands there twice"):
        RecoveryKit.from_text("\n".join([*lines, line]))


def test_a_head_that_is_left_out_or_not_understood() -> None:
    text = KIT.to_text()
    for wrong in (re.sub(r"  Device 12.*\n", "", text), text.replace("Device 12,", "Dvice 12,")):
        with pytest.raises(KitError, match="counts 2 lines `Device`, and 1 stand there"):
            RecoveryKit.from_text(wrong)


def test_numbers_belong_to_the_check() -> None:
    with pytest.raises(KitError, match=r"`Roster`\) is wrong: a character is mistyped"):
        RecoveryKit.from_text(KIT.to_text().replace("Roster 3, 2:", "Roster 2, 2:"))
    with pytest.raises(KitError, match="has 0 numbers where 2 belong"):
        RecoveryKit.from_text(KIT.to_text().replace("Roster 3, 2:", "Roster:"))
    with pytest.raises(KitError, match="has 1 numbers where 0 belong"):
        RecoveryKit.from_text(KIT.to_text().replace("Account:", "Account 1:"))


def test_lengths_and_characters() -> None:
    text = KIT.to_text()
    [line] = [line for line in text.splitlines() if "Identity:" in line]
    with pytest.raises(KitError, match="it has 55 characters where 56 belong"):
        RecoveryKit.from_text(text.replace(line, line[:-1]))
    with pytest.raises(KitError, match="it holds a character that no kit has"):
        RecoveryKit.from_text(text.replace(line, line[:-1] + "é"))
    with pytest.raises(KitError, match="mistyped"):  # more than 256 bits
        RecoveryKit.from_text(text.replace(line, re.sub(r": +.", ": Z", line)))
    with pytest.raises(KitError, match="`Relay`"):
        RecoveryKit.from_text(re.sub(r"Relay: .*", "Relay: ABCD", text))


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
    "wrong",
    [
        {"seed": b"short"},
        {"identity": bytes(31)},
        {"roster": (0, b"")},
        {"roster": (-1, bytes(32))},
        {"relay": ""},
        {"relay": "https://a b"},
        {"relay": "https://a\n"},
        {"date": "18.10.2026"},
        {"date": "20261018"},
        {"feeds": ((1, 0, bytes(32)),)},
        {"feeds": ((1, 1, bytes(32)), (1, 2, bytes(32)))},
    ],
)
def test_values_that_no_kit_has(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^a kit's "):
        dataclasses.replace(KIT, **wrong)  # type: ignore[arg-type]


def test_a_kit_with_values_that_no_kit_has_is_damaged() -> None:
    check = _check("date", (), b"2026-13-01")
    with pytest.raises(KitError, match="the kit is damaged: a kit's date is YYYY-MM-DD"):
        RecoveryKit.from_text(re.sub(r"Date: .*", f"Date: 2026-13-01 {check}", KIT.to_text()))


def test_the_page() -> None:
    text = KIT.to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 50  # one sheet of paper
    assert "WHOEVER HAS THIS PAGE CAN READ EVERYTHING" in text
    assert f"sealkeep recover --relay {KIT.relay} --kit kit.txt" in text
    assert text.isascii()  # prints everywhere
    # These letters must never change: kits lie in drawers for years.
    assert "  Relay:         https://relay.example:8440/of/ann " in text
    assert text.splitlines()[data_lines(text)[-1] - 1] == "  Date:          2026-10-18 FKE1"


def test_the_seed_is_in_no_representation() -> None:
    assert KIT.seed.hex() not in repr(KIT)
    assert repr(KIT.seed) not in repr(KIT)
    with pytest.raises(KitError) as caught:
        RecoveryKit.from_text(KIT.to_text().replace(encode_seed(KIT.seed).split()[2], "00000000"))
    assert caught.value.groups == (3,)
    assert not any(group in str(caught.value) for group in encode_seed(KIT.seed).split())
