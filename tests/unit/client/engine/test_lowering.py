"""Giving up what a device wrote that was removed before: who may, where it then ends, and that all others go on."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from sealkeep_client.engine import AppendEntry, Change, Changed, ReadChanges, ReadFeed, ReadHeads
from sealkeep_protocol.checkpoint import checkpoint_code
from sealkeep_protocol.errors import HistoryError, UsageError
from sealkeep_protocol.roster import Removal
from sealkeep_protocol.segments import Head
from support.accounts import MadeAccount, device, kit, refused
from support.hostile_devices import false_header
from support.memory_relay import Device, MemoryRelay, World, written_by_two


@pytest.fixture
def world() -> World:
    """The phone has read what the laptop wrote."""
    made, relay, phone, laptop = written_by_two()
    phone.sync()
    return made, relay, phone, laptop


def pinned(made: MadeAccount, relay: MemoryRelay) -> Removal:
    """The laptop contradicts what it was shown, and the tablet removes it and pins just that."""
    relay.put(2, false_header(made, 2, heads=(), view=bytes(32)))
    last = relay.log[-1].segment
    pin = Removal(2, last.seq, last.header_id, False)
    made.remove(pin, by=device(3))
    return pin


def giving_up(*devices: int, after: int | None = None, by: object = None) -> Change:
    return Change(
        removed=frozenset(devices),
        discard=MappingProxyType(dict.fromkeys(devices, after)),
        by=by,  # type: ignore[arg-type]
    )


def test_a_contradiction_that_an_accomplice_pins(world: World) -> None:
    """P7, ROS-23: a hostile device pins another one's false header, without discard-after; the kit gets over that."""
    made, relay, phone, _ = world
    pin = pinned(made, relay)
    with refused(HistoryError, "fork", device=2, seq=pin.seq) as caught:
        phone.sync()
    assert (caught.value.can_lower, caught.value.lower_to) == (True, None)
    changed = phone.change(giving_up(2, 3, by=made.recovery(0)))
    assert (changed.removed, changed.lowered) == ((3,), (2,))
    assert made.entry(-2).signer == kit(0)
    assert made.entry(-2).removed == (Removal(2, 1, relay.log[1].segment.header_id, True),)
    assert [stored.segment.seq for stored in relay.log if stored.device == 2] == [1]
    phone.write("goes on")
    phone.sync()
    made.add(by=kit(0))
    new = Device(4, made, relay)
    new.sync()
    assert new.texts == phone.texts == ["goes on", "one", "two"]
    assert phone.change(giving_up(2, by=made.recovery(0))) == Changed(None)


def test_it_takes_the_highest_kit(world: World) -> None:
    """ROS-23: one clear line says so, and nothing is changed."""
    made, relay, phone, _ = world
    made.replace_kit(by=device(1))
    pinned(made, relay)
    relay.asked.clear()
    for by, why in (
        (None, "only with the recovery kit, so that"),
        (made.recovery(1), "only with an older recovery kit"),
    ):
        for after in (None, 1):
            with pytest.raises(UsageError, match=why):
                phone.change(giving_up(2, after=after, by=by))
    assert not [action for action in relay.asked if isinstance(action, AppendEntry)]
    assert phone.change(giving_up(2, by=made.recovery(0))).lowered == (2,)


def test_it_is_done_only_where_it_was_asked_for(world: World) -> None:
    """A kit that removes others gives up nothing of one that was removed before."""
    made, relay, phone, _ = world
    pinned(made, relay)
    assert phone.change(Change(removed=frozenset({2}), by=made.recovery(0))) == Changed(None)
    with refused(HistoryError, "fork", device=2, seq=2):
        phone.change(Change(removed=frozenset({2, 3}), by=made.recovery(0)))
    assert made.roster.number == 3


def test_a_feed_that_holds_is_given_up_only_after_a_seq(world: World) -> None:
    """ROS-17, ROS-23: then also where this device has verified more, which is no rollback."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.change(Change(removed=frozenset({2})))
    assert phone.change(giving_up(2, by=made.recovery(0))) == Changed(None)
    assert phone.change(giving_up(2, after=2, by=made.recovery(0))).lowered == (2,)  # it says discard-after from now on
    assert phone.change(giving_up(2, after=2, by=made.recovery(0))) == Changed(None)
    changed = phone.change(giving_up(2, after=1, by=made.recovery(0)))
    assert (changed.removed, changed.lowered, made.entry().removed[0].seq) == ((), (2,), 1)
    report = phone.sync()
    assert report.segments_read == 0
    tablet = Device(3, made, relay)
    tablet.sync()
    assert tablet.texts == ["one", "two"]
    codes = {
        checkpoint_code(
            each.account.epochs[made.roster.epoch],
            made.roster,
            [Head(feed.device, feed.seq, feed.head) for feed in each.account.feeds.values() if feed.seq],
            ("one", "two"),
        )
        for each in (phone, tablet)
    }
    assert len(codes) == 1  # VIE-01: nothing beyond the present pin counts
    made.add(by=kit(0))
    assert Device(4, made, relay).sync().segments_read == 2


def test_a_seq_that_was_not_read(world: World) -> None:
    """Only its end, or nothing at all, can then be named."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.change(Change(removed=frozenset({2})))
    tablet = Device(3, made, relay)
    with pytest.raises(UsageError, match="has not read the feed of device 2 up to seq 1"):
        tablet.change(giving_up(2, after=1, by=made.recovery(0)))
    assert tablet.change(giving_up(2, after=0, by=made.recovery(0))).lowered == (2,)
    assert made.entry().removed == (Removal(2, 0, b"", True),)


def test_a_pin_that_a_restored_relay_has_lost(world: World) -> None:
    """ROS-23: nobody has the segment any more; those who had verified it go on too, and keep what they read."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.sync()
    phone.change(Change(removed=frozenset({2})))
    relay.restore(keep=2)
    tablet = Device(3, made, relay)
    with refused(HistoryError, "missing", device=2, seq=2) as missing:
        tablet.sync()
    with refused(HistoryError, "rollback", device=2, seq=2) as rollback:
        phone.sync()
    assert missing.value.can_lower
    assert rollback.value.can_lower
    assert phone.change(giving_up(2, by=made.recovery(0))).lowered == (2,)
    assert made.entry().removed == (Removal(2, 1, relay.log[1].segment.header_id, True),)
    for each in (phone, tablet):
        each.sync()
    assert (phone.texts, tablet.texts) == (["one", "three", "two"], ["one", "two"])


def test_a_pin_below_what_this_device_has_verified(world: World) -> None:
    """ROS-17: the error names the seq to which another device can lower it; then this one goes on as well."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.sync()
    made.remove(Removal(2, 1, relay.log[1].segment.header_id, False), by=device(3))
    with refused(HistoryError, "rollback", device=2, seq=2) as caught:
        phone.sync()
    assert (caught.value.can_lower, caught.value.lower_to) == (False, 1)
    kept = relay.log[1].segment.header_id
    relay.log = [stored for stored in relay.log if stored.device != 2 or stored.segment.seq == 1]
    assert Device(3, made, relay).change(giving_up(2, after=1, by=made.recovery(0))).lowered == (2,)
    assert made.entry().removed == (Removal(2, 1, kept, True),)
    phone.sync()
    assert phone.account.roster == made.roster


@pytest.mark.parametrize("moment", [ReadHeads, ReadChanges, ReadFeed])
def test_a_pin_that_is_lowered_while_its_feed_is_read(world: World, moment: type) -> None:
    """ROS-24, SEG-25: between any two answers; nobody is accused, and what was read comes in."""
    made, relay, phone, laptop = world
    for text in ("three", "four", "five"):
        laptop.write(text)
        laptop.sync()
    phone.sync()
    phone.change(Change(removed=frozenset({2})))
    tablet = Device(3, made, relay)
    pin = Removal(2, 1, relay.log[1].segment.header_id, True)

    def lower(_: object) -> None:
        made.change(kit(0), remove=[pin])
        relay.log = [stored for stored in relay.log if (stored.device, stored.segment.seq) <= (2, 1)]

    relay.before(moment, lower)
    tablet.sync()
    assert tablet.texts == ["one", "two"]
    if moment is ReadHeads:  # who has verified more, too
        made.change(device(1))
        relay.before(ReadHeads, lambda action: made.change(kit(0), remove=[Removal(2, 0, b"", True)]))
        relay.before(ReadHeads, lambda action: setattr(relay, "log", relay.log[:1]))
        phone.sync()
        tablet.sync()


def test_what_is_wrong_elsewhere_is_not_excused(world: World) -> None:
    """A pin that is lowered meanwhile explains what is missing of its feed, and nothing else."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.sync()
    phone.change(Change(removed=frozenset({2})))
    pin = Removal(2, 1, relay.log[1].segment.header_id, True)

    def lower(_: object) -> None:
        made.change(kit(0), remove=[pin])
        relay.log = []

    relay.before(ReadHeads, lower)
    tablet = Device(3, made, relay)
    with refused(HistoryError, "missing", device=2, seq=1):
        tablet.sync()
