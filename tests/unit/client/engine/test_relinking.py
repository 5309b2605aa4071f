"""A chain of epochs that a device spoilt or cut: everybody goes on, and one honest device mends it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from sealkeep_client.engine import Append, AppendEntry, Change, ReadFeed, ReadWraps
from sealkeep_protocol.errors import AuthenticationError, HistoryError, RefusedError
from sealkeep_protocol.roster import follow_links
from sealkeep_protocol.types import NO_ID, Seq
from support.accounts import MadeAccount, device, flipped, refused
from support.hostile_devices import cut_links, false_header, other_secret, spoil_wraps, take
from support.memory_relay import Device, MemoryRelay, item_at, items, refusal_of

World = tuple[MadeAccount, MemoryRelay, Device, Device]
HOSTILE = 2


@pytest.fixture
def world() -> World:
    """The phone (1) and the laptop (3) are honest; the second device is not. The phone alone has written."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop = Device(1, made, relay), Device(3, made, relay)
    phone.write("one")
    phone.sync()
    laptop.sync()
    return made, relay, phone, laptop


def entries_of(relay: MemoryRelay) -> int:
    return len([action for action in relay.asked if isinstance(action, AppendEntry)])


@pytest.mark.parametrize("spoil", [spoil_wraps, other_secret])
def test_a_spoilt_wrap_costs_its_victim_one_rotation(world: World, spoil: object) -> None:
    """ROS-21, ROS-22, KEY-04: the phone got none, or another secret than the roster commits to. It rotates on what it
    has, and writes; the laptop, which got the epoch, links it again; then the phone has it too."""
    made, relay, phone, laptop = world
    take(made, spoil(made, HOSTILE, [1]))  # type: ignore[operator]
    laptop.sync()
    laptop.write("under the new epoch")
    laptop.sync()
    spoilt = made.roster.epoch
    phone.write("two")
    report = phone.sync()
    assert spoilt not in phone.account.epochs
    assert made.roster.epoch == spoilt + 1
    assert made.entry().signer == device(1)
    assert (report.unopened, report.segments_written, report.unreadable) == (1, 1, ())
    assert phone.texts == ["one", "two"]
    assert phone.kept.unopened == [(3, 1, spoilt)]
    laptop.sync()
    assert (made.roster.epoch, made.entry().signer) == (spoilt + 2, device(3))
    report = phone.sync()
    assert (report.records_read, report.unopened) == (1, 0)
    assert phone.texts == laptop.texts == ["one", "two", "under the new epoch"]
    assert phone.kept.unopened == []
    assert sorted(phone.account.epochs) == list(range(1, spoilt + 3))
    # That is the end of it.
    count = entries_of(relay)
    for _ in range(2):
        phone.sync()
        laptop.sync()
    assert entries_of(relay) == count


def test_nothing_is_sealed_under_an_older_epoch(world: World) -> None:
    """ROS-21: where this device may not rotate either, what it writes waits."""
    made, relay, phone, _ = world
    take(made, spoil_wraps(made, HOSTILE, [1]))
    relay.full_of_entries = True
    relay.asked.clear()
    phone.write("two")
    number = made.roster.number
    report = phone.sync()
    assert (report.segments_written, report.account.holds_current) == (0, False)
    assert not [action for action in relay.asked if isinstance(action, Append)]
    assert made.roster.number == number
    assert phone.texts == ["one", "two"]
    relay.full_of_entries = False
    assert phone.sync().segments_written == 1


def test_a_wrap_that_the_relay_spoilt_is_the_relays_fault(world: World) -> None:
    """KEY-07: nothing is taken over, and nobody rotates."""
    made, relay, phone, _ = world
    made.change(device(HOSTILE))
    before = phone.kept.copied()
    relay.spoil(ReadWraps, lambda action, wraps: [replace(wrap, wrap=flipped(wrap.wrap, 9)) for wrap in wraps])
    with refused(AuthenticationError, "digest"):
        phone.sync()
    assert phone.kept == before
    assert entries_of(relay) == 0


def test_an_epoch_that_links_do_not_reach_is_linked_again(world: World) -> None:
    """ROS-22: promised links do not count. A new device would read nothing older otherwise."""
    made, _, phone, laptop = world
    take(made, cut_links(made, HOSTILE))
    cut = made.roster.epoch
    assert follow_links(made.roster, made.epoch) == []
    phone.sync()
    assert (made.roster.epoch, made.entry().signer) == (cut + 1, device(1))
    assert len(follow_links(made.roster, made.epoch)) == cut
    laptop.sync()
    assert made.roster.epoch == cut + 1  # one did it; the other saw that
    assert laptop.sync().account.linked == made.roster.number


def test_one_rotates_for_all(world: World) -> None:
    """ROS-13, ROS-22: who comes second sees that nothing is left to do."""
    made, relay, phone, laptop = world
    take(made, cut_links(made, HOSTILE))
    relay.before(AppendEntry, lambda action: laptop.sync())
    phone.sync()
    assert made.entry().signer == device(3)
    assert made.roster.number == 4
    assert entries_of(relay) == 2


def test_a_new_device_of_a_spoilt_chain_waits(world: World) -> None:
    """ROS-22, SEG-23: it holds no epoch that names records. It keeps what it verified, and reads it when it can."""
    made, relay, phone, _ = world
    phone.change(Change())
    number, keys, _ = made.next_device()
    made.devices[number] = keys
    take(made, spoil_wraps(made, HOSTILE, [number], add=1))
    fresh = Device(number, made, relay)
    fresh.kept.account = replace(
        fresh.account, roster=made.roster, epochs=MappingProxyType({}), feeds=MappingProxyType({})
    )
    fresh.write("waits")
    report = fresh.sync()
    assert (report.segments_read, report.records_read, report.unopened, report.segments_written) == (1, 0, 1, 0)
    assert entries_of(relay) == 1  # the phone's; it has nothing to link itself
    phone.change(Change())
    fresh.sync()
    assert fresh.texts == ["one", "waits"]
    assert fresh.kept.unopened == []


def test_what_is_read_later_is_what_was_verified(world: World) -> None:
    """SEG-09, SEG-23: another segment, or none, is no way out."""
    made, relay, phone, laptop = world
    take(made, spoil_wraps(made, HOSTILE, [1]))
    laptop.write("two")
    laptop.sync()
    phone.sync()
    laptop.sync()
    before = phone.kept.copied()
    other = false_header(made, 3, seq=Seq(1), previous=NO_ID)

    def fails(code: str, spoil: object) -> None:
        relay.spoil(ReadFeed, spoil)  # type: ignore[arg-type]
        with refused(HistoryError, code, device=3, seq=1):
            phone.sync()
        assert phone.kept.unopened == before.unopened
        assert phone.texts == ["one"]
        relay.mend()

    fails("missing", items(lambda found: []))
    fails("missing", item_at(3, 1, body=None))
    fails("missing", item_at(3, 1, seq=2))
    fails("fork", item_at(3, 1, header=other.header))
    phone.sync()
    assert phone.texts == ["one", "two"]


def test_what_a_removal_discards_is_not_waited_for(world: World) -> None:
    """SEG-23: the relay has erased it."""
    made, _, phone, laptop = world
    take(made, spoil_wraps(made, HOSTILE, [1]))
    laptop.write("two")
    laptop.sync()
    phone.sync()
    assert len(phone.kept.unopened) == 1
    phone.change(Change(removed=frozenset({3}), discard=MappingProxyType({3: 0})))
    phone.change(Change())
    made.change(device(HOSTILE))  # links everything, as far as its author likes
    phone.sync()
    assert phone.kept.unopened == []
    assert phone.texts == ["one"]


def test_something_unreadable_that_is_read_later_is_reported_then(world: World) -> None:
    """SEG-22, SEG-23"""
    made, relay, phone, laptop = world
    take(made, spoil_wraps(made, HOSTILE, [1]))
    spoilt = made.roster.epoch
    laptop.sync()
    relay.put(HOSTILE, made.seal(HOSTILE, b"\xff garbage"))
    report = phone.sync()
    assert (report.unopened, report.unreadable) == (1, ())
    laptop.sync()
    report = phone.sync()
    assert [(error.code, error.device, error.seq) for error in report.unreadable] == [("malformed", 2, 1)]
    assert phone.kept.unreadable == [(2, 1, "malformed")]
    assert spoilt in phone.account.epochs


def test_other_refusals_of_a_rotation_are_passed_on(world: World) -> None:
    made, relay, phone, _ = world
    take(made, cut_links(made, HOSTILE))
    relay.spoil(AppendEntry, lambda action, answer: refusal_of("invalid"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "invalid"


def test_a_closed_account_is_not_mended(world: World) -> None:
    """ROS-09"""
    made, relay, phone, _ = world
    take(made, cut_links(made, HOSTILE))
    made.close(by=0)
    phone.sync()
    assert entries_of(relay) == 0
