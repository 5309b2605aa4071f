"""Recovery kits for tests, and the marks of a pencil on them."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import strategies as st

from sealkeep_client.kit import MAX_FEEDS, RecoveryKit
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq


def identifier(name: object) -> bytes:
    return sha256(str(name).encode()).digest()


def make_kit(feeds: int = 2, relay: str = "https://relay.example:8440/of/ann") -> RecoveryKit:
    """A kit made again later, of an account with so many feeds."""
    return RecoveryKit(
        relay=relay,
        identity=identifier("relay"),
        account=AccountId(identifier("account")),
        seed=identifier("seed"),
        roster=(3, ObjectId(identifier("roster"))),
        feeds=tuple((DeviceId(n), Seq(17 * n), ObjectId(identifier(n))) for n in range(1, feeds + 1)),
        date="2026-10-18",
    )


KIT = make_kit()
FIRST_KIT = RecoveryKit(
    "https://relay.example",
    KIT.identity,
    KIT.account,
    KIT.seed,
    (0, ObjectId(KIT.account)),
    (),
    "2026-10-18",
)
LARGEST_KIT = RecoveryKit(
    "https://relay.example/" + "x" * 234,
    KIT.identity,
    KIT.account,
    KIT.seed,
    ((1 << 32) - 1, KIT.roster[1]),
    tuple((DeviceId(65_535 - n), Seq((1 << 32) - 1 - n), ObjectId(identifier(n))) for n in range(MAX_FEEDS)),
    "2026-10-18",
)

_keys = st.binary(min_size=32, max_size=32)
_urls = st.builds(
    "https://{}.example:{}{}".format,
    st.text("abcdefghij-0123456789", min_size=1, max_size=30),
    st.integers(1, 65_535),
    st.text("/abcXYZ%{}0", max_size=20),
)
_feeds = st.dictionaries(st.integers(1, 65_535), st.tuples(st.integers(1, (1 << 32) - 1), _keys), max_size=4).map(
    lambda found: tuple((DeviceId(device), Seq(seq), ObjectId(key)) for device, (seq, key) in found.items())
)


@st.composite
def kits(draw: st.DrawFn) -> RecoveryKit:
    """Any kit, of few devices."""
    account, number = draw(_keys), draw(st.integers(0, (1 << 32) - 1))
    return RecoveryKit(
        relay=draw(_urls),
        identity=draw(_keys),
        account=AccountId(account),
        seed=draw(_keys),
        roster=(number, ObjectId(draw(_keys) if number else account)),
        feeds=draw(_feeds),
        date=draw(st.dates()).isoformat(),
    )


def data_lines(text: str) -> list[int]:
    """The numbers, from 0, of the lines that a person would have to type."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  Code:"))
    last = next(number for number, line in enumerate(lines) if line.startswith("  Check:"))
    return list(range(first, last + 1))
