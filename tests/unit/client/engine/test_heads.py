"""What the relay names as heads of feeds, where it names something and not enough; and what a recovery kit had seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from sealkeep_client.engine import ReadHeads, Sync, SyncReport
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, refused
from support.memory_relay import Device, MemoryRelay, heads

OTHER = ObjectId(bytes(32))


class World(NamedTuple):
    """Phone (1) and tablet (2) have verified 1:1, 1:2 and 2:1 to 2:3."""

    relay: MemoryRelay
    phone: Device
    tablet: Device


@pytest.fixture
def world() -> World:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made, page_items=8)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    for text in ("one", "two", "three"):
        tablet.write(text)
        tablet.sync()
    for text in ("four", "five"):
        phone.write(text)
        phone.sync()
    tablet.sync()
    return World(relay, phone, tablet)


@pytest.mark.parametrize(("number", "verified", "shown"), [(2, 3, 2), (2, 3, 1), (1, 2, 1)])
def test_a_feed_that_is_shown_in_part_is_a_rollback(world: World, number: int, verified: int, shown: int) -> None:
    """P4: with the true header at that place, as an older backup of the relay has it; of the own feed too."""
    relay, phone, _ = world
    identifier = phone.known(number, shown)
    assert identifier is not None
    older = Head(DeviceId(number), Seq(shown), identifier)
    relay.spoil(ReadHeads, heads(lambda known: known | {number: older}))
    phone.write("six")
    before = phone.kept.copied()
    with refused(HistoryError, "rollback", device=number, seq=verified):
        phone.sync()
    assert phone.kept == before
    relay.mend()
    phone.sync()
    assert not phone.kept.pending


def sync_with_kit(device: Device, floor: Sequence[tuple[int, int, bytes]]) -> SyncReport:
    """Sync as a device that was recovered by a kit which had seen these headers."""
    sync = Sync(
        device.account,
        device.ids,
        known=device.known,
        refused=lambda _: None,
        random=device.random,
        floor=floor,
    )
    return device.run(sync.run())


@pytest.mark.parametrize(
    ("seen", "code"),
    [((2, 4, OTHER), "rollback"), ((2, 3, OTHER), "fork"), ((2, 1, OTHER), "fork"), ((1, 3, OTHER), "rollback")],
)
def test_the_relay_shows_less_than_the_kit_had_seen(world: World, seen: tuple[int, int, bytes], code: str) -> None:
    """P7: no other device is left to tell, so what stands in the kit is held against what was read."""
    relay, phone, _ = world
    log = list(relay.log)
    phone.write("six")
    with refused(HistoryError, code, device=seen[0], seq=seen[1]):
        sync_with_kit(phone, [seen])
    assert relay.log == log


def test_what_the_kit_had_seen_is_there(world: World) -> None:
    _, phone, _ = world
    floor = [(number, seq, phone.known(number, seq) or b"") for number, seq in ((1, 1), (2, 3))]
    phone.write("six")
    assert sync_with_kit(phone, floor).segments_written == 1
