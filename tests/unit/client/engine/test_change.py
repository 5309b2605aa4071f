"""Changing the roster: adding, removing, rotating, replacing the kit; who comes second makes his entry anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest

from sealkeep_client.engine import (
    Append,
    AppendEntry,
    Change,
    Changed,
    ReadChanges,
    ReadRoster,
    RemovedError,
    ReplacedKitError,
)
from sealkeep_protocol.errors import HistoryError, RefusedError, TransportError, UsageError
from sealkeep_protocol.roster import Removal, compose_change
from sealkeep_protocol.segments import SealedSegment, decode_header, header_identifier, sign_header
from sealkeep_protocol.signed import decode_payload, split
from support.accounts import TIME, MadeAccount, device, kit, made_keys, recovery_keys, refused
from support.memory_relay import Device, MemoryRelay, World, instead, refusal_of, written_by_two


@pytest.fixture
def world() -> World:
    return written_by_two()


def removal(*devices: int) -> Change:
    return Change(removed=frozenset(devices))


def active(made: MadeAccount) -> list[int]:
    return [item.number for item in made.roster.active_devices]


def happens(relay: MemoryRelay, *what: Callable[[], object]) -> None:
    """Let each happen just before one of the entries that are appended next."""
    for each in what:
        relay.before(AppendEntry, lambda action, each=each: each())


def epoch_of(segment: SealedSegment) -> int:
    return decode_header(decode_payload(split(segment.header)[0])).epoch


# Removing


def test_a_removed_feed_is_read_to_its_head_and_pinned(world: World) -> None:
    """ROS-12, P6"""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    changed = phone.change(removal(2))
    assert (changed.entry, changed.removed, changed.new_kit) == (made.roster.number, (2,), False)
    last = relay.log[-1].segment
    assert made.entry().removed == (Removal(2, 2, last.header_id, False),)
    assert made.entry().signer == device(1)
    assert active(made) == [1, 3]
    assert phone.texts == ["one", "three", "two"]
    assert phone.account.epochs[made.roster.epoch].secret == made.epoch.secret
    phone.write("four")
    phone.sync()
    with pytest.raises(RemovedError, match="by “device 1”") as caught:
        laptop.sync()
    assert caught.value.code == "revoked"
    assert laptop.texts == ["one", "three", "two"]


def test_a_device_that_never_wrote_is_pinned_at_nothing(world: World) -> None:
    """ROS-12"""
    made, _, phone, _ = world
    phone.change(removal(3))
    assert made.entry().removed == (Removal(3, 0, b"", False),)


def test_what_cannot_be_removed(world: World) -> None:
    made, relay, phone, _ = world
    for wrong, why in ((1, "does not remove itself"), (9, "no device 9")):
        with pytest.raises(UsageError, match=why):
            phone.change(removal(wrong))
    assert not [action for action in relay.asked if isinstance(action, AppendEntry)]
    assert active(made) == [1, 2, 3]


def test_a_removal_is_made_once(world: World) -> None:
    """A second command, or one after a crash, finds that it is done."""
    made, _, phone, _ = world
    phone.change(removal(2))
    number = made.roster.number
    again = phone.change(removal(2))
    assert (again.entry, again.removed) == (None, ())
    assert made.roster.number == number


def test_an_entry_of_another_comes_first(world: World) -> None:
    """ROS-13: made anew, with another secret and other wraps."""
    made, relay, phone, laptop = world
    happens(relay, lambda: made.change(device(3)))
    phone.change(removal(2))
    first, second = [action for action in relay.asked if isinstance(action, AppendEntry)]
    assert (first.head, second.head) == (2, 3)
    assert first.entry != second.entry
    assert not set(first.wraps) & set(second.wraps)
    assert active(made) == [1, 3]
    assert sorted(phone.account.epochs) == [1, 2, 3, 4, 5]
    with pytest.raises(RemovedError):
        laptop.sync()


def test_the_answer_is_lost(world: World) -> None:
    """ROS-13: it looks for its own entry first."""
    made, relay, phone, _ = world
    relay.lose_answer(AppendEntry)
    changed = phone.change(removal(2))
    assert changed.removed == (2,)
    assert len([action for action in relay.asked if isinstance(action, AppendEntry)]) == 1
    assert (active(made), made.roster.number) == ([1, 3], 3)
    assert phone.account.roster.number == 3
    phone.write("goes on")
    phone.sync()


def test_the_line_stays_broken(world: World) -> None:
    """Whether the entry is there or not: the same change again is right."""
    made, relay, phone, _ = world
    relay.lose_answer(AppendEntry)
    relay.before(AppendEntry, lambda action: relay.spoil(ReadRoster, instead(TransportError("the line broke"))))
    with pytest.raises(TransportError):
        phone.change(removal(2))
    relay.mend()
    assert phone.change(removal(2)).removed == ()
    assert active(made) == [1, 3]


def test_the_removed_device_writes_meanwhile(world: World) -> None:
    """ROS-12: read on, and pinned where it is by now."""
    made, relay, phone, laptop = world
    laptop.write("meanwhile")
    happens(relay, laptop.sync)
    phone.change(removal(2))
    assert made.entry().removed[0].seq == 2
    assert "meanwhile" in phone.texts


def test_what_the_removed_one_adds_meanwhile_goes_too(world: World) -> None:
    """ROS-20: devices that it adds, and those that these add, and what a kit adds that it sets."""
    made, relay, phone, _ = world

    def add_more() -> None:
        made.add(by=device(2))
        made.add(by=device(4))

    def by_a_kit() -> None:
        made.replace_kit(by=device(5))
        made.change(kit(1), add=1)

    happens(relay, add_more, by_a_kit)
    changed = phone.change(removal(2))
    assert changed.removed == (2, 4, 5, 6)
    assert active(made) == [1, 3]
    # ROS-16: the kit that it set meanwhile is replaced in the same entry.
    assert changed.new_kit
    assert made.roster.current_recovery_key.keys.signing == phone_kit(phone)
    assert len(phone.new_kits) == 1


def phone_kit(phone: Device) -> bytes:
    """The signing key of the newest kit that the phone handed out."""
    return recovery_keys(phone.new_kits[-1]).signing.public


def test_what_was_added_before_stays(world: World) -> None:
    """ROS-20: only what the person did not know of; `since` says up to where they did."""
    made, _, phone, _ = world
    made.add(by=device(2))
    known = made.roster.number
    made.add(by=device(2))
    assert phone.change(removal(2), since=known).removed == (2, 5)
    assert active(made) == [1, 3, 4]


def test_a_device_that_was_not_told_of_goes_too(world: World) -> None:
    """ROS-20: this device has not seen the entry when the command is given."""
    made, _, phone, _ = world
    made.add(by=device(2))
    assert phone.change(removal(2)).removed == (2, 4)


def test_a_flood_of_entries_does_not_save_it(world: World) -> None:
    """ROS-20: twenty devices, each a moment before the removal."""
    made, relay, phone, _ = world
    happens(relay, *[lambda: made.add(by=device(2))] * 20)
    assert phone.change(removal(2)).removed == (2, *range(4, 24))


def test_somebody_always_comes_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealkeep_client.engine._change.REBASES", 5)
    made, relay, phone, _ = world
    happens(relay, *[lambda: made.change(device(2))] * 5)
    with pytest.raises(RefusedError) as caught:
        phone.change(Change())
    assert caught.value.code == "roster-conflict"


@pytest.mark.parametrize("code", ["revoked", "closed", "not-found"])
def test_a_denial_that_the_roster_does_not_bear_out(world: World, code: str) -> None:
    """REL-13"""
    _, relay, phone, _ = world
    relay.before(AppendEntry, lambda action: relay.spoil(AppendEntry, instead(refusal_of(code))))
    relay.full_of_entries = True
    with refused(HistoryError, "rollback"):
        phone.change(Change())


@pytest.mark.parametrize("code", ["busy", "disputed", "invalid"])
def test_other_refusals_are_passed_on(world: World, code: str) -> None:
    _, relay, phone, _ = world
    relay.spoil(AppendEntry, lambda action, answer: refusal_of(code))
    before = phone.kept.copied()
    with pytest.raises(RefusedError) as caught:
        phone.change(removal(2))
    assert caught.value.code == code
    assert phone.account.roster == before.account.roster


# Feeds that cannot be read to their heads


def false_view(made: MadeAccount, relay: MemoryRelay) -> None:
    """The laptop signs a header that contradicts what it was shown."""
    segment = made.seal(2, take=False)
    header = replace(made.verified(2, segment).header, heads=(), view=bytes(32))
    data = sign_header(header, made.id, made.devices[2].signing)
    relay.put(2, SealedSegment(header.seq, header_identifier(data, made.id), data, segment.summary, segment.body))


def test_a_feed_that_contradicts_is_given_up_on_the_persons_word(world: World) -> None:
    """ROS-12: with discard-after, and not without being told to."""
    made, relay, phone, _ = world
    phone.sync()
    false_view(made, relay)
    with refused(HistoryError, "fork", device=2, seq=2):
        phone.change(removal(2))
    with refused(HistoryError, "fork", device=2, seq=2):
        phone.change(Change(removed=frozenset({2}), discard=MappingProxyType({3: None})))
    phone.change(Change(removed=frozenset({2}), discard=MappingProxyType({2: None})))
    assert made.entry().removed == (Removal(2, 1, relay.log[1].segment.header_id, True),)
    assert [stored.segment.seq for stored in relay.log if stored.device == 2] == [1]
    phone.write("goes on")
    phone.sync()
    tablet = Device(3, made, relay)
    tablet.sync()
    assert tablet.texts == phone.texts == ["goes on", "one", "two"]


def test_what_came_before_the_contradiction_is_kept(world: World) -> None:
    """ROS-12, P9: the pin is what was verified, so all up to there is in the vault, also where the change begins anew."""
    made, relay, phone, laptop = world
    phone.sync()
    laptop.write("three")
    laptop.sync()
    tablet = Device(3, made, relay)
    tablet.write("four")
    tablet.sync()
    false_view(made, relay)
    happens(relay, lambda: made.change(device(3)))
    phone.change(Change(removed=frozenset({2}), discard=MappingProxyType({2: None})))
    assert made.entry().removed[0].seq == 2
    assert phone.texts == ["four", "one", "three", "two"]
    phone.sync()
    assert phone.texts == ["four", "one", "three", "two"]
    assert phone.known(2, 2) is not None


def test_a_feed_is_cut_where_the_person_says(world: World) -> None:
    """ROS-12, ROS-17: what was verified beyond is no rollback then."""
    made, relay, phone, laptop = world
    laptop.write("three")
    laptop.sync()
    phone.sync()
    with pytest.raises(UsageError, match="up to seq 2 only"):
        phone.change(Change(removed=frozenset({2}), discard=MappingProxyType({2: 3})))
    phone.change(Change(removed=frozenset({2}), discard=MappingProxyType({2: 1})))
    assert made.entry().removed[0][1:] == (1, relay.log[1].segment.header_id, True)
    phone.sync()
    phone.change(Change(removed=frozenset({3}), discard=MappingProxyType({3: 0})))
    assert made.entry().removed == (Removal(3, 0, b"", True),)


def test_another_devices_fault_is_not_the_removed_ones(world: World) -> None:
    made, relay, phone, _ = world
    phone.sync()
    false_view(made, relay)
    with refused(HistoryError, "fork", device=2, seq=2):
        phone.change(removal(3))
    assert active(made) == [1, 2, 3]


# Adding, rotating, replacing the kit


def test_a_device_is_added_once(world: World) -> None:
    made, relay, phone, _ = world
    number, keys, record = made.next_device()
    made.devices[number] = keys
    wanted = Change(added=((record, "watch"),))
    relay.lose_answer(AppendEntry)
    assert phone.change(wanted).added == (4,)
    again = phone.change(wanted)
    assert (again.added, again.entry) == ((4,), made.roster.number)
    assert active(made) == [1, 2, 3, 4]
    other = made_keys("another").record((1, made.id))
    with pytest.raises(UsageError, match="seen before"):
        phone.change(Change(added=((replace(other, kem=record.kem), "half of it"),)))


def test_a_device_that_was_removed_again_is_not_added(world: World) -> None:
    """ROS-04, VIE-05: whoever did not hear of its joining learns that it is out; nobody is accused."""
    made, _, phone, laptop = world
    number, keys, record = made.next_device()
    made.devices[number] = keys
    wanted = Change(added=((record, "watch"),))
    phone.change(wanted)
    laptop.change(removal(4))
    with pytest.raises(RefusedError, match="“watch” had joined the account, and was removed") as caught:
        phone.change(wanted)
    assert caught.value.code == "revoked"


def test_a_rotation(world: World) -> None:
    made, _, phone, laptop = world
    assert phone.change(Change()).entry == 3
    assert made.roster.epoch == 4
    laptop.sync()
    assert laptop.account.epochs[4].secret == made.epochs[4].secret


def test_a_new_kit_is_handed_out_before_its_entry(world: World) -> None:
    """One kit for all attempts, and none where the person does not take it."""
    made, relay, phone, _ = world
    happens(relay, lambda: made.change(device(2)), lambda: made.change(device(2)))
    assert phone.change(Change(new_kit=True)).new_kit
    assert len(phone.new_kits) == 1
    assert made.roster.current_recovery_key.keys.signing == phone_kit(phone)
    assert [key.has_right for key in made.roster.recovery_keys] == [True, True]


def test_a_kit_in_hand_signs(world: World) -> None:
    """§5.4: it ends the kits that stem from the removed device. Where that one set the current kit, the device sets a new
    one first (ROS-16, ROS-25)."""
    made, _, phone, _ = world
    made.replace_kit(by=device(2))
    changed = phone.change(Change(removed=frozenset({2}), by=made.recovery(0)))
    assert (changed.removed, changed.new_kit) == ((2,), True)
    assert [made.entry(number).signer for number in (-2, -1)] == [device(1), kit(0)]
    assert [key.has_right for key in made.roster.recovery_keys] == [True, False, True]
    assert made.roster.current_recovery_key.keys.signing == phone_kit(phone)
    assert phone.change(Change(removed=frozenset({2}), by=made.recovery(0))).entry is None
    with pytest.raises(RefusedError, match="replaced by a newer one") as caught:
        phone.change(Change(by=made.recovery(1)))
    assert caught.value.code == "revoked"
    with pytest.raises(UsageError, match="never put in force"):
        phone.change(Change(by=made_keys("no kit")))


def test_a_kit_in_hand_ends_those_of_a_device_removed_before(world: World) -> None:
    """§5.4: by a rotation; once."""
    made, _, phone, _ = world
    made.replace_kit(by=device(2))
    phone.change(removal(2))
    assert [key.has_right for key in made.roster.recovery_keys] == [True, True, True]
    again = Change(removed=frozenset({2}), by=made.recovery(0))
    changed = phone.change(again)
    assert (changed.entry, changed.removed, changed.new_kit, changed.ended) == (made.roster.number, (), False, True)
    assert (made.entry().signer, made.entry().is_bare) == (kit(0), True)
    assert [key.has_right for key in made.roster.recovery_keys] == [True, False, True]
    assert phone.change(again).entry is None


def test_a_replaced_kit_in_hand_makes_no_other(world: World) -> None:
    """ROS-25: nobody is handed a kit for it."""
    made, relay, phone, _ = world
    made.replace_kit(by=device(2))
    with pytest.raises(ReplacedKitError, match="replaced by a newer one; that one alone makes a further one") as caught:
        phone.change(Change(new_kit=True, by=made.recovery(0)))
    assert caught.value.newer.number == 1
    assert not phone.new_kits
    # A thief who replaces it again, each time, is thrown out by a reclaim alone.
    happens(relay, lambda: made.replace_kit(by=device(2)), lambda: None, lambda: made.replace_kit(by=device(2)))
    with pytest.raises(ReplacedKitError, match="goes on making others"):
        phone.change(Change(removed=frozenset({2}), by=made.recovery(0)))
    assert len(phone.new_kits) == 1


@pytest.mark.parametrize("closes", [False, True])
def test_nothing_is_sealed_in_the_epoch_of_a_replaced_kit(world: World, closes: bool) -> None:
    """ROS-26: whoever has it knows the secret that it drew, and no more: it does not hold what came before."""
    made, relay, phone, _ = world
    made.replace_kit(by=device(1))
    phone.sync()
    held = list(made.epochs.values())
    old = compose_change(made.roster, kit(0), made.recovery(0).signing, held[:-1], random=made.random, time=TIME)
    made._take(old)
    if closes:
        made.close(by=0)
    phone.write("waits")
    relay.asked.clear()
    phone.sync()
    appended = [action for action in relay.asked if isinstance(action, Append)]
    if closes:
        assert not appended
        return
    assert made.entry().signer == device(1)
    assert epoch_of(relay.log[-1].segment) == made.roster.epoch > old.keys.number


def test_a_relay_that_lets_nobody_rotate_a_replaced_kits_epoch_away(world: World) -> None:
    """ROS-26"""
    made, relay, phone, _ = world
    made.replace_kit(by=device(1))
    phone.sync()
    held = list(made.epochs.values())
    made._take(compose_change(made.roster, kit(0), made.recovery(0).signing, held[:-1], random=made.random, time=TIME))
    phone.write("waits")
    relay.spoil(AppendEntry, lambda action, answer: refusal_of("busy"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "busy"
    assert not any(epoch_of(stored.segment) == made.roster.epoch for stored in relay.log)


def test_a_relay_that_denies_the_kit_in_hand(world: World) -> None:
    """REL-13: its roster does not say so."""
    made, relay, phone, _ = world
    relay.spoil(AppendEntry, lambda action, answer: refusal_of("revoked"))
    with refused(HistoryError, "rollback"):
        phone.change(Change(removed=frozenset({2}), by=made.recovery(0)))


def test_a_removed_device_changes_nothing(world: World) -> None:
    made, _, phone, laptop = world
    phone.change(removal(2))
    with pytest.raises(RemovedError):
        laptop.change(removal(1))
    assert active(made) == [1, 3]


def test_a_device_that_is_removed_while_it_removes(world: World) -> None:
    """Two remove each other: who comes first stays."""
    made, relay, phone, laptop = world
    happens(relay, lambda: laptop.change(removal(1)))
    with pytest.raises(RemovedError, match="by “device 2”"):
        phone.change(removal(2))
    assert active(made) == [2, 3]


def test_only_what_was_asked_for_is_asked(world: World) -> None:
    """A rotation reads no feeds, and appends no segments."""
    _, relay, phone, _ = world
    relay.asked.clear()
    phone.change(Change())
    assert not [action for action in relay.asked if isinstance(action, ReadChanges | Append)]


def test_a_relay_that_takes_an_entry_and_shows_none(world: World) -> None:
    """Its word alone counts for nothing, and changes nothing here."""
    made, relay, phone, _ = world
    relay.spoil(AppendEntry, lambda action, answer: None)
    relay.full_of_entries = True
    before = phone.account.roster
    with refused(HistoryError, "missing"):
        phone.change(removal(2))
    assert phone.account.roster == before
    assert made.roster == before


def test_an_entry_that_was_on_its_way_comes_late(world: World) -> None:
    """ROS-13: it looks for any of those that it has sent; the kit that they set is one and the same."""
    made, relay, phone, _ = world
    relay.full_of_entries = True
    relay.spoil(AppendEntry, instead(TransportError("the line broke")))

    def comes_late(second: AppendEntry) -> None:
        first = next(action for action in relay.asked if isinstance(action, AppendEntry))
        assert first.entry != second.entry
        relay.mend()
        relay.full_of_entries = False
        relay.world.receive(first.entry, first.wraps)

    relay.before(AppendEntry, lambda action: relay.before(AppendEntry, comes_late))
    assert phone.change(Change(new_kit=True)) == Changed(3, new_kit=True)
    assert (made.roster.number, len(phone.new_kits)) == (3, 1)
