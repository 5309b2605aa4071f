"""What a kit holds, whatever it is written on."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given

from sealkeep_client.kit import MAX_FEEDS, MAX_RELAY, RecoveryKit
from sealkeep_client.transport import HttpRelay
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.kit import KitError, encode_seed
from support.kits import FIRST_KIT, KIT, LARGEST_KIT, identifier, kits


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": b"short"},
        {"identity": bytes(31)},
        {"roster": (1, b"")},
        {"roster": (-1, bytes(32))},
        {"roster": (1 << 32, bytes(32))},
        {"roster": (0, bytes(32))},  # whose id would be the account's
        {"relay": ""},
        {"relay": "https://a b"},
        {"relay": "https://a\n"},
        {"relay": "https://ä.example"},
        {"relay": "https://" + "a" * (MAX_RELAY - 7)},
        {"date": "18.10.2026"},
        {"date": "20261018"},
        {"feeds": ((1, 0, bytes(32)),)},
        {"feeds": ((0, 1, bytes(32)),)},
        {"feeds": ((1 << 16, 1, bytes(32)),)},
        {"feeds": ((1, 1 << 32, bytes(32)),)},
        {"feeds": ((1, 1, bytes(31)),)},
        {"feeds": ((1, 1, bytes(32)), (1, 2, bytes(32)))},
        {"feeds": tuple((n, 1, bytes(32)) for n in range(1, MAX_FEEDS + 2))},
    ],
)
def test_values_that_no_kit_has(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^a kit's "):
        dataclasses.replace(KIT, **wrong)  # type: ignore[arg-type]


def test_the_order_in_which_heads_are_given_is_none_of_the_kits() -> None:
    turned = dataclasses.replace(KIT, feeds=KIT.feeds[::-1])
    assert turned == KIT
    assert turned.to_uri() == KIT.to_uri()


@given(kits(), kits())
def test_the_check_is_of_the_whole(one: RecoveryKit, other: RecoveryKit) -> None:
    """KEY-10: 32 bits, so that two kits that differ have the same check once in 2^32."""
    assert (one.check() == other.check()) == (one == other)


def test_the_check_covers_every_value() -> None:
    """KEY-10"""
    changed: list[dict[str, object]] = [
        {"relay": "https://relay.example:8440/of/amy"},
        {"identity": identifier("other")},
        {"account": identifier("other")},
        {"seed": identifier("other")},
        {"roster": (4, KIT.roster[1])},
        {"roster": (3, identifier("other"))},
        {"feeds": KIT.feeds[:1]},
        {"feeds": ((1, 18, KIT.feeds[0][2]), KIT.feeds[1])},
        {"date": "2026-10-19"},
    ]
    checks = {dataclasses.replace(KIT, **change).check() for change in changed}  # type: ignore[arg-type]
    assert len(checks | {KIT.check()}) == len(changed) + 1


def test_what_is_written_stays_as_it_is() -> None:
    """Kits lie in drawers for years: what one holds is encoded, checked and packed as on the day it was printed."""
    assert KIT.check().hex() == "989ed52f"
    assert FIRST_KIT.to_uri() == (
        "SEALKEEP:KIT/H00QAT3MEHR76EHF5XS6AV31F4Q6AY31DNR6RSAR41M2ZEQ21WT2HF7C9G8QRNXYM66M7327B3CQ544V87DY4A44W3BBGP1"
        "0KBS12CMV5Z42WQQYJ1G65HSG10M1KCHZX0WMQH1NW2RVY12RXDA5G80SP9C5DRE1A3586K7ZS2TSP8XDQM7C0E4YB3NJ5CXP8XM0K3805E100"
        "P10KBS12CMV5Z42WQQYJ1G65HSG10M1KCHZX0WMQH1NW2RVY12RXDA80THJ60S3CB9H60PK2E7JSM7A0"
    )


def test_the_seed_is_in_no_representation() -> None:
    assert KIT.seed.hex() not in repr(KIT)
    assert repr(KIT.seed) not in repr(KIT)
    groups = encode_seed(KIT.seed).split()
    with pytest.raises(KitError) as caught:
        RecoveryKit.from_text(KIT.to_text().replace(groups[2], "00000000"))
    assert caught.value.groups == (3,)
    assert not any(group in str(caught.value) for group in groups)
    with pytest.raises(KitError) as caught:
        RecoveryKit.from_uri(KIT.to_uri()[:-1])
    assert KIT.to_uri()[20:40] not in str(caught.value)


def test_a_relay_whose_url_no_kit_holds_is_refused_before_there_is_an_account() -> None:
    assert len(LARGEST_KIT.relay) == MAX_RELAY
    assert str(HttpRelay(LARGEST_KIT.relay, now=lambda: 0.0).url) == LARGEST_KIT.relay
    with pytest.raises(UsageError, match="longer than 256 characters"):
        HttpRelay(LARGEST_KIT.relay + "x", now=lambda: 0.0)
    # What a person writes in other letters goes over the wire, and into the kit, in ASCII.
    url = str(HttpRelay("https://bücher.example/é", now=lambda: 0.0).url)
    assert dataclasses.replace(KIT, relay=url).relay == "https://xn--bcher-kva.example/%C3%A9"
