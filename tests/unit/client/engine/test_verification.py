"""Reading everything again: it holds, or the first thing that does not is named, and nothing changes either way."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from sealkeep_client.engine import Change, ReadChanges, ReadHeads, ReadRoster
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError
from sealkeep_protocol.types import ObjectId
from support.accounts import MadeAccount, device, flipped, refused
from support.memory_relay import Device, MemoryRelay, Spoil, instead, item_at, items

OTHER = ObjectId(bytes(32))
World = tuple[MadeAccount, MemoryRelay, Device, Device]


@pytest.fixture
def world() -> World:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made, page_items=4)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    for text in ("one", "two", "three"):
        phone.write(text)
        phone.sync()
        tablet.write("answer to " + text)
        tablet.sync()
    phone.sync()
    return made, relay, phone, tablet


def test_all_holds(world: World) -> None:
    made, relay, phone, _ = world
    verified = phone.verify()
    size = sum(len(s.segment.header) + len(s.segment.summary) + len(s.segment.body) for s in relay.log)
    assert (verified.entries, verified.segments, verified.records, verified.bytes) == (2, 6, 6, size)
    assert not verified.unreadable
    assert Device(1, made, MemoryRelay(made)).verify().segments == 0


FAULTS: list[tuple[type, Spoil, type[PeerError], str, int | None, int | None]] = [
    (ReadRoster, lambda _, answer: (answer[0][:1], 0), HistoryError, "rollback", None, None),
    (ReadRoster, instead(([], 1)), HistoryError, "roster", None, None),
    (ReadChanges, items(lambda found: found[1:]), HistoryError, "missing", 2, 1),
    (ReadChanges, items(lambda found: found[::-1]), HistoryError, "gap", 2, 2),
    (ReadChanges, item_at(1, 2, position=1), HistoryError, "replay", 1, 2),
    (ReadChanges, lambda _, page: replace(page, items=(), more=True), HistoryError, "replay", None, None),
    (ReadChanges, lambda _, page: replace(page, items=(), more=False), HistoryError, "rollback", 1, 3),
    (ReadChanges, item_at(2, 2, body=None), HistoryError, "missing", 2, 2),
    (ReadChanges, item_at(2, 2, summary=None), HistoryError, "missing", 2, 2),
    (ReadChanges, item_at(1, 3, body=lambda body: flipped(body, 1)), AuthenticationError, "digest", 1, 3),
    (ReadChanges, item_at(1, 3, summary=lambda part: flipped(part, 1)), AuthenticationError, "digest", 1, 3),
    (ReadChanges, item_at(2, 1, header=lambda header: flipped(header, 600)), AuthenticationError, "signature", 2, 1),
    (ReadHeads, lambda _, answer: replace(answer, position=0), HistoryError, "rollback", 1, 3),
]


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_a_fault_is_named(world: World, fault: int) -> None:
    """ERR-02, SEG-08: with device and seq; the own segments are read again as well."""
    _, relay, phone, _ = world
    action, spoil, family, code, at, seq = FAULTS[fault]
    relay.spoil(action, spoil)
    before = phone.kept.copied()
    with refused(family, code, device=at, seq=seq):
        phone.verify()
    assert phone.kept == before
    relay.mend()
    phone.verify()


def test_another_roster_is_a_fork(world: World) -> None:
    """ROS-14: of one account, from entry 1 on."""
    made, relay, phone, _ = world
    relay.spoil(ReadRoster, instead(([made.entries[0], other_first(made)], 1)))
    with refused(HistoryError, "fork"):
        phone.verify()


def other_first(made: MadeAccount) -> bytes:
    """Another entry 1 than the verified one."""
    alone = MadeAccount.__new__(MadeAccount)
    alone.__dict__ |= made.__dict__ | {"entries": [], "wraps": [], "epochs": {1: made.epochs[1]}}
    alone.roster = type(made.roster).genesis(made.entries[0])
    return alone.compose(device(1), add=1, time=5).entry


def test_another_header_than_the_verified_one(world: World) -> None:
    """SEG-09: all of the tablet's feed is another one, signed and whole."""
    _, _, phone, _ = world
    phone.kept.headers[2, 3] = OTHER
    with refused(HistoryError, "fork", device=2, seq=3):
        phone.verify()


def test_records_that_are_not_here(world: World) -> None:
    """What the relay has, but the device has lost."""
    _, _, phone, _ = world
    phone.kept.read.pop()
    with refused(HistoryError, "missing", device=2, seq=3):
        phone.verify()


def test_what_comes_while_it_reads_is_left_for_the_next_sync(world: World) -> None:
    """Another device joins, rotates and writes: none of it is a lie of the relay, nor unreadable."""
    made, relay, phone, tablet = world

    def happens(_: object) -> None:
        late = Device(made.add(by=device(1)), made, relay)
        late.write("late")
        late.sync()
        tablet.write("late too")
        tablet.sync()

    for action in (ReadRoster, ReadChanges):
        relay.before(action, happens)
        verified = phone.verify()
        assert not verified.unreadable
        assert verified.segments >= 6


def test_what_is_not_synced_yet_is_verified_as_far_as_its_keys_are_here(world: World) -> None:
    made, _, phone, tablet = world
    made.change(device(2))
    tablet.write("of a newer epoch")
    tablet.sync()
    verified = phone.verify()
    assert (verified.segments, verified.records, verified.unreadable) == (7, 6, ())
    phone.sync()
    assert phone.verify().records == 7


def test_a_key_that_is_not_here_is_told(world: World) -> None:
    """SEG-23: of verified segments; nobody made them unreadable."""
    _, _, phone, _ = world
    phone.kept.account = replace(phone.account, epochs=MappingProxyType({}))
    verified = phone.verify()
    assert (verified.segments, verified.records, verified.unreadable, verified.unopened) == (6, 0, (), 6)


def test_a_removed_feed_is_verified_to_its_pin(world: World) -> None:
    """SEG-25: whatever of it this device had seen."""
    made, relay, phone, tablet = world
    tablet.write("the last one")
    tablet.sync()
    made.remove(2, by=device(1))
    phone.change(Change())  # follows the roster, and reads no feed
    phone.verify()
    relay.log.pop()
    with refused(HistoryError, "missing", device=2, seq=4):
        phone.verify()


@pytest.mark.parametrize("discards", [True, False])
def test_what_a_removal_discards_is_not_missed(world: World, discards: bool) -> None:
    """ROS-17: a pin that says discard-after ends what the relay has to show."""
    made, relay, phone, _ = world
    if discards:
        pin = made.pin(2)._replace(seq=2, header_id=made.known(2, 2) or b"", discard_after=True)
        made.remove(pin, by=device(1))
        phone.sync()
        relay.log = [s for s in relay.log if (s.device, int(s.segment.seq)) != (2, 3)]
        assert phone.verify().segments == 5
    else:
        made.remove(2, by=device(1))
        assert phone.verify().segments == 6


def test_heads_are_read_before_the_roster(world: World) -> None:
    """So that whoever wrote what they name stands in it."""
    _, relay, phone, _ = world
    relay.asked.clear()
    phone.verify()
    assert [type(action) for action in relay.asked[:2]] == [ReadHeads, ReadRoster]
