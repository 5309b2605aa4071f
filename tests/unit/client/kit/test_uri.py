"""The kit as one word, as its QR code says it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.kit import KitError, RecoveryKit
from sealkeep_client.kit._uri import PREFIX
from sealkeep_protocol import cbor
from sealkeep_protocol.kit import ALPHABET, to_letters
from sealkeep_protocol.primitives import sha256
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, kits

# What a QR code packs at 5.5 bits a character.
ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def packed(data: bytes, prefix: str = PREFIX) -> str:
    """Bytes as the letters of a URI."""
    length = -(-8 * len(data) // 5)
    return prefix + to_letters(int.from_bytes(data, "big") << 5 * length - 8 * len(data), length)


def checked(item: Any) -> str:
    """An item as a URI whose check is right."""
    data = cbor.encode(item)
    return packed(data + sha256(b"sealkeep/v1/kit-check" + data)[:4])


@given(kits())
def test_a_kit_is_read_as_it_was_written(kit: RecoveryKit) -> None:
    uri = kit.to_uri()
    assert set(uri) <= ALPHANUMERIC
    assert RecoveryKit.from_uri(uri) == kit
    assert RecoveryKit.from_uri(f" {uri[:30]}\n {uri[30:].lower()}\r\n") == kit


@pytest.mark.parametrize("kit", [FIRST_KIT, KIT, LARGEST_KIT])
def test_the_letters_are_cbor_and_check(kit: RecoveryKit) -> None:
    feeds = [list(head) for head in kit.feeds]
    item = [1, kit.relay, kit.identity, kit.account, kit.seed, list(kit.roster), feeds, kit.date]
    assert kit.to_uri() == checked(item)
    assert RecoveryKit.from_uri(kit.to_uri()) == kit


@given(st.data())
def test_a_changed_or_missing_letter_is_noticed(data: st.DataObject) -> None:
    """KEY-10, KEY-11"""
    uri = KIT.to_uri()
    place = data.draw(st.integers(len(PREFIX), len(uri) - 1))
    other = data.draw(st.sampled_from([*sorted(set(ALPHABET) - {uri[place]}), "U", "é", "-"]))
    for wrong in (uri[:place] + other + uri[place + 1 :], uri[:place] + uri[place + 1 :], uri[:place]):
        with pytest.raises(KitError, match="is damaged"):
            RecoveryKit.from_uri(wrong)


def test_one_kit_has_one_uri() -> None:
    """KEY-11: no letter stands for another, nothing is filled up with ones, and nothing is longer than it must be."""
    uri = FIRST_KIT.to_uri()
    look_alike = next(uri.replace(digit, letter) for digit, letter in (("1", "I"), ("0", "O")) if digit in uri[20:])
    data = FIRST_KIT.encode() + FIRST_KIT.check()
    assert packed(data) == uri
    spare = 5 * (len(uri) - len(PREFIX)) - 8 * len(data)
    assert spare
    filled = uri[:-1] + ALPHABET[ALPHABET.index(uri[-1]) | 1]
    for wrong in (look_alike, filled, uri + "0", uri + "00"):
        with pytest.raises(KitError, match="is damaged"):
            RecoveryKit.from_uri(wrong)


def fields() -> list[Any]:
    feeds = [list(head) for head in KIT.feeds]
    return [1, KIT.relay, KIT.identity, KIT.account, KIT.seed, list(KIT.roster), feeds, KIT.date]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 0),
        (0, True),
        (0, "1"),
        (1, b"https://relay.example"),
        (1, ""),
        (1, "https://relay example"),
        (2, "x" * 32),
        (3, bytes(31)),
        (4, None),
        (5, [3]),
        (5, ["3", KIT.roster[1]]),
        (5, [True, KIT.roster[1]]),
        (5, [-1, KIT.roster[1]]),
        (6, [[1, 17]]),
        (6, [[1, 17, KIT.seed], [1, 18, KIT.seed]]),
        (6, [[2, 17, KIT.seed], [1, 18, KIT.seed]]),
        (6, {}),
        (7, "2026-02-30"),
        (7, 20261018),
    ],
)
def test_what_a_kit_does_not_say(at: int, value: Any) -> None:
    """KEY-11: the check is right, and yet it is no kit."""
    item = fields()
    item[at] = value
    with pytest.raises(KitError, match="is damaged"):
        RecoveryKit.from_uri(checked(item))


def test_what_is_no_uri_of_a_kit() -> None:
    assert RecoveryKit.from_uri(checked(fields())) == KIT
    for wrong in ("", PREFIX, PREFIX + "0", "https://relay.example", "SEALKEEP:KEY/" + KIT.to_uri()[13:]):
        with pytest.raises(KitError, match="is damaged"):
            RecoveryKit.from_uri(wrong)
    for item in ([], {}, 1, fields()[:-1], [*fields(), 0]):
        with pytest.raises(KitError, match="is damaged"):
            RecoveryKit.from_uri(checked(item))
    data = KIT.encode()
    for wrong_data in (data, data + b"\0", b"\xff" * 40, b"\0" * 5000):
        with pytest.raises(KitError, match="is damaged"):
            RecoveryKit.from_uri(packed(wrong_data))
    with pytest.raises(KitError, match="of version 2: a newer sealkeep reads it"):
        RecoveryKit.from_uri(checked([2, "anything"]))


def test_a_check_of_something_else() -> None:
    """KEY-10"""
    other = dataclasses.replace(KIT, seed=bytes(32))
    with pytest.raises(KitError, match="is damaged"):
        RecoveryKit.from_uri(packed(KIT.encode() + other.check()))
