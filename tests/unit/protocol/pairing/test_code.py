"""Codes (spec §10.2): what a new device shows, and what an old one makes of it."""

from __future__ import annotations

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.pairing import CodeKind, PairingCode, read_code
from support.accounts import CountingRandom
from support.pairing import IDENTITY, WORDS, draw_code, given


def test_a_code_is_drawn_with_two_secrets() -> None:
    """PAI-04: afresh; 33 bits in words, 128 in full."""
    random = CountingRandom("x")
    code = PairingCode.draw(7, identity=IDENTITY, relay="https://relay.example", words=WORDS, random=random)
    assert code.in_words.split("-")[0] == "7"
    assert len(code.words) == 3
    assert [len(drawn) for drawn in random.drawn] == [5, 16]
    assert code.secret == random.drawn[1]
    assert code.words == WORDS.encode(random.drawn[0], 3)
    another = draw_code("y")
    assert another.words != code.words
    assert another.secret != code.secret


def test_nothing_shows_the_secrets() -> None:
    code = draw_code()
    shown = repr([code, given(code), given(code, CodeKind.FULL)])
    assert not any(word in shown for word in code.words)
    assert repr(code.secret) not in shown
    assert repr(given(code).password) not in shown


def test_both_forms_are_read_as_what_the_new_device_takes() -> None:
    code = draw_code()
    for kind in CodeKind:
        read = given(code, kind)
        assert (read.mailbox, read.kind) == (7, kind)
        assert read.password == code.password(kind)
    assert given(code).identity is None
    assert given(code, CodeKind.FULL).identity == IDENTITY
    words = "-".join(code.words)
    assert code.password(CodeKind.WORDS) == cbor.encode(["sealkeep/v1/pairing-code", 1, words])
    assert code.password(CodeKind.FULL) == cbor.encode(["sealkeep/v1/pairing-code", 2, code.secret])


def test_the_full_form_is_the_specs() -> None:
    code = PairingCode(7, ("guitar", "lemon", "zebra"), bytes(16), bytes(32), "https://relay.example")
    assert code.in_words == "7-guitar-lemon-zebra"
    assert code.in_full == f"sealkeep:1:7:{'A' * 22}:{'A' * 43}:https://relay.example"


@pytest.mark.parametrize(
    "text",
    [
        "7-guitar-lemon-zebra",
        " 7 Guitar lemon ZEBRA\n",
        "7--guitar - lemon\tzebra",
        "007-guitar-lemon-zebra",
        "7-guit-lemo-zebra",
    ],
)
def test_however_it_is_typed(text: str) -> None:
    assert read_code(text, WORDS) == read_code("7-guitar-lemon-zebra", WORDS)


FULL = draw_code().in_full


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "looks like 7-guitar-lemon-zebra"),
        ("7", "looks like"),
        ("guitar-lemon-zebra", "looks like"),
        ("7-guitar-lemon-z3bra", "looks like"),
        ("7-guitar-lemon-zébra", "looks like"),
        ("7-guitar-lemon", "3 words after its number; 2 were given"),
        ("7-guitar-lemon-zebra-zoo", "4 were given"),
        ("7-guitar-lemmon-zebra", "no code has the word `lemmon`; did you mean `lemon`"),
        ("0-guitar-lemon-zebra", "from 1 to 99999"),
        ("100000-guitar-lemon-zebra", "from 1 to 99999"),
        (FULL.replace("sealkeep:1:", "sealkeep:2:"), "newer version"),
        (FULL.replace("sealkeep:1:7:", "sealkeep:1:100000:"), "from 1 to 99999"),
        (FULL.replace("sealkeep:1:7:", "sealkeep:1:07:"), "looks like"),
        ("sealkeep:1:7:" + "A" * 21 + "B:" + "A" * 43 + ":https://relay.example", "damaged"),
        ("sealkeep:1:7:" + "A" * 22 + ":" + "A" * 42 + "B:https://relay.example", "damaged"),
        (FULL[:-30], "looks like"),
    ],
)
def test_what_no_device_shows_is_refused_before_anything_is_sent(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_code(text, WORDS)
