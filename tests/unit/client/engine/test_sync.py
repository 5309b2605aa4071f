"""Devices and an honest relay: everybody ends with the same, whatever is lost, rotated or repeated in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sealkeep_client.answers import Appended
from sealkeep_client.engine import (
    Append,
    AppendItem,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadRoster,
    ReadWraps,
    SavePending,
)
from sealkeep_protocol.errors import HistoryError, MalformedError, RefusedError, TransportError
from sealkeep_protocol.segments import SealedSegment, SegmentClass
from support.accounts import MadeAccount, device, refused
from support.memory_relay import Device, MemoryRelay, instead, refusal_of

World = tuple[MadeAccount, MemoryRelay, Device, Device]


@pytest.fixture
def world() -> World:
    """Two devices that have both written and read."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.write("one", "two")
    phone.sync()
    tablet.write("three")
    tablet.sync()
    phone.sync()
    return made, relay, phone, tablet


def converge(*devices: Device) -> list[str]:
    """Sync all until nothing is new; they know the same then. Returns what they know."""
    for _ in range(3):
        for each in devices:
            each.sync()
    assert not any(each.kept.pending or any(each.kept.outbox.values()) for each in devices)
    known = [each.texts for each in devices]
    assert all(texts == known[0] for texts in known), known
    assert len(set(known[0])) == len(known[0]), "a record came twice"
    return known[0]


def many(author: Device, count: int) -> list[str]:
    """Enough live messages for that many segments of 64."""
    texts = [f"{author.number}/{n:04}" for n in range(64 * (count - 1) + 1)]
    author.write(*texts)
    return texts


def rotate(made: MadeAccount) -> Callable[[object], object]:
    """An entry by the second device, which nobody has told the first of yet."""
    return lambda action: made.change(device(2))


# What goes well


def test_two_devices_read_what_the_other_wrote(world: World) -> None:
    _, relay, phone, tablet = world
    assert phone.texts == tablet.texts == ["one", "three", "two"]
    assert [stored.device for stored in relay.log] == [1, 2]
    assert phone.account.feed(2).head == relay.log[1].segment.header_id
    report = phone.sync()
    assert (report.segments_read, report.segments_written, report.unreadable) == (0, 0, ())


def test_what_is_new_is_told(world: World) -> None:
    _, _, phone, tablet = world
    written = many(phone, 3)
    report = phone.sync()
    assert (report.segments_written, report.records_written) == (3, len(written))
    report = tablet.sync()
    assert (report.segments_read, report.records_read) == (3, len(written))
    assert (report.used, report.allowed) == (1, 0)


def test_a_sync_without_news_asks_twice(world: World) -> None:
    _, relay, phone, _ = world
    relay.asked.clear()
    phone.sync()
    assert [type(action) for action in relay.asked] == [ReadRoster, ReadHeads]


def test_a_new_device_reads_pages_one_after_the_other(world: World) -> None:
    """REL-10: what was verified decides where to go on; here all pages are of three items."""
    made, relay, phone, tablet = world
    many(phone, 10)
    phone.sync()
    late = Device(made.add(by=device(1)), made, relay)
    relay.asked.clear()
    late.sync()
    assert late.texts == phone.texts
    assert len([action for action in relay.asked if isinstance(action, ReadChanges)]) == 4
    assert converge(phone, tablet, late)


def test_a_cursor_that_runs_ahead_skips_nothing(world: World) -> None:
    """REL-10: a client uses a cursor only as a hint."""
    _, relay, phone, tablet = world
    many(phone, 10)
    phone.sync()
    relay.spoil(ReadChanges, lambda action, page: replace(page, position=page.position + 50))
    tablet.sync()
    assert tablet.texts == phone.texts


def test_a_cut_line_keeps_whole_steps_and_goes_on(world: World) -> None:
    """ERR-01: a broken line is no empty result; what was read before it stays read."""
    _, relay, phone, tablet = world
    many(phone, 8)
    phone.sync()
    pages = 0

    def cut(_: object, page: object) -> object:
        nonlocal pages
        pages += 1
        return page if pages < 3 else TransportError("the relay's answer was cut short")

    relay.spoil(ReadChanges, cut)
    with pytest.raises(TransportError):
        tablet.sync()
    assert tablet.account.feed(1).seq == 6
    relay.mend()
    assert tablet.sync().segments_read == 3
    assert converge(phone, tablet)


def test_history_goes_out_after_what_is_live(world: World) -> None:
    _, _, phone, tablet = world
    phone.write("old", segment_class=SegmentClass.HISTORY)
    phone.write("fresh")
    phone.sync()
    tablet.sync()
    assert [message.text for message in tablet.kept.read[-2:]] == ["fresh", "old"]  # type: ignore[union-attr]


# Answers that get lost


def test_a_header_is_kept_before_it_is_sent_and_sent_again_as_it_was(world: World) -> None:
    """SEG-12: persisted before the first send, and sent again only identically, until there is an answer."""
    _, relay, phone, _ = world
    phone.write("four")

    def nothing(action: Append) -> None:
        (sealed, _, _) = phone.kept.pending[-1]
        assert AppendItem(sealed.header, sealed.summary, sealed.body) == action.items[-1]
        raise TransportError("the relay cannot be reached")

    relay.before(Append, nothing)
    with pytest.raises(TransportError):
        phone.sync()
    first = relay.asked[-1]
    phone.write("five")  # what comes later goes out later
    phone.sync()
    appends = [action for action in relay.asked if isinstance(action, Append)]
    assert appends[-2] == first
    assert len(appends[-1].items) == 1


def test_a_lost_answer_is_made_up_for(world: World) -> None:
    """SEG-12, SEG-17: the same header gets the same receipt, and its records are there once."""
    _, relay, phone, tablet = world
    many(phone, 5)
    relay.lose_answer()
    with pytest.raises(TransportError):
        phone.sync()
    assert len(phone.kept.pending) == 5
    tablet.sync()
    report = phone.sync()
    assert report.segments_written == 5
    assert not phone.kept.refusals
    assert converge(phone, tablet)


def test_a_lost_answer_that_another_device_has_built_on(world: World) -> None:
    """SEG-06: a head that the device itself wrote is not withheld, even where its own receipt is still to come."""
    _, relay, phone, tablet = world
    many(phone, 3)
    relay.lose_answer()
    with pytest.raises(TransportError):
        phone.sync()
    tablet.write("an answer to what the phone has no receipt for")
    tablet.sync()
    phone.write("meanwhile")
    phone.sync()
    assert converge(phone, tablet)


def test_receipts_for_a_prefix_of_a_batch(world: World) -> None:
    _, relay, phone, tablet = world
    written = many(phone, 8)

    def prefix(_: object, answer: Appended) -> Appended:
        return Appended(answer.last, answer.receipts[:2])

    relay.spoil(Append, prefix)
    report = phone.sync()
    assert (report.segments_written, report.records_written) == (8, len(written))
    relay.mend()
    assert converge(phone, tablet)


def test_a_lost_answer_about_a_prefix(world: World) -> None:
    """Of five segments the relay has two: the first two get receipts, the others go out as they were."""
    _, relay, phone, tablet = world
    many(phone, 5)
    relay.before(Append, lambda action: _take_two(relay, phone, action))
    with pytest.raises(TransportError):
        phone.sync()
    sealed = [pending[0] for pending in phone.kept.pending]
    phone.sync()
    assert [stored.segment.header_id for stored in relay.log[-5:]] == [segment.header_id for segment in sealed]
    assert converge(phone, tablet)


def _take_two(relay: MemoryRelay, author: Device, action: Append) -> None:
    for item in action.items[:2]:
        relay._take(author.number, item)
    raise TransportError("the connection to the relay broke")


# Rotations


@pytest.mark.parametrize("segments", [1, 5, 12])
def test_a_rotation_between_seal_and_append(world: World, segments: int) -> None:
    """SEG-13, SEG-15: refused for a newer roster entry, the records are sealed again under the new epoch."""
    made, relay, phone, tablet = world
    many(phone, segments)
    relay.before(Append, rotate(made))
    report = phone.sync()
    assert report.segments_written == segments
    assert len(phone.kept.refusals) == 1
    assert {stored.roster for stored in relay.log[2:]} == {made.roster.number}
    assert converge(phone, tablet)


def test_a_rotation_in_the_middle_of_a_batch(world: World) -> None:
    """The prefix that the relay took stays; what it refused is sealed anew behind it."""
    made, relay, phone, tablet = world
    many(phone, 12)
    appends = 0

    def second(action: Append) -> None:
        nonlocal appends
        appends += 1
        relay.before(Append, lambda action: made.change(device(2)))

    relay.before(Append, second)
    phone.sync()
    rosters = [stored.roster for stored in relay.log[2:]]
    assert rosters == sorted(rosters)
    assert len(set(rosters)) == 2
    assert len(phone.kept.refusals) == 1
    assert converge(phone, tablet)


def test_an_older_epoch_goes_out_as_its_header_alone(world: World) -> None:
    """SEG-13: a device that has seen a newer epoch never sends a body under the older key."""
    made, relay, phone, tablet = world
    many(phone, 5)
    relay.before(Append, _unreachable)
    with pytest.raises(TransportError):
        phone.sync()
    made.change(device(2))
    tablet.write("meanwhile")
    tablet.sync()
    relay.asked.clear()
    phone.sync()
    appends = [action for action in relay.asked if isinstance(action, Append)]
    assert [item.body for item in appends[0].items] == [None]
    assert all(item.body is not None for action in appends[1:] for item in action.items)
    assert len(phone.kept.refusals) == 1
    assert converge(phone, tablet)


def _unreachable(_: object) -> None:
    raise TransportError("the relay cannot be reached")


@pytest.mark.parametrize("rotations", [1, 3])
@pytest.mark.parametrize("taken", [0, 1, 3, 5])
def test_a_lost_answer_and_rotations_look_like_no_fork(world: World, taken: int, rotations: int) -> None:
    """SEG-13, SEG-15: of five segments the relay has some, the account has rotated, another device has written on."""
    made, relay, phone, tablet = world
    written = many(phone, 5)

    def some(action: Append) -> None:
        for item in action.items[:taken]:
            relay._take(1, item)
        raise TransportError("the connection to the relay broke")

    relay.before(Append, some)
    with pytest.raises(TransportError):
        phone.sync()
    for _ in range(rotations):
        made.change(device(2))
        tablet.write(f"meanwhile {made.roster.number}")
        tablet.sync()
    relay.lose_answer()  # and the next answer is lost too
    with pytest.raises(TransportError):
        phone.sync()
    made.change(device(2))
    phone.sync()
    assert len(phone.kept.refusals) == (1 if taken < 5 else 0)
    assert set(written) < set(converge(phone, tablet))


def test_a_device_that_misses_many_rotations_reads_all_epochs(world: World) -> None:
    """KEY-04: of the newest wrap, and links from there."""
    made, _, phone, tablet = world
    for number in range(4):
        made.change(device(2))
        tablet.write(f"of epoch {number}")
        tablet.sync()
    report = phone.sync()
    assert report.segments_read == 4
    assert not report.unreadable
    assert sorted(phone.account.epochs) == list(range(1, made.roster.epoch + 1))


def test_a_rotation_between_roster_and_wraps_is_no_lie(world: World) -> None:
    """ROS-13: two entries in a row; the relay keeps only the newest wrap, whose entry comes with a second look."""
    made, relay, phone, tablet = world
    made.change(device(2))
    relay.before(ReadWraps, rotate(made))
    phone.sync()
    assert phone.account.roster.number == made.roster.number
    assert converge(phone, tablet)


def test_a_device_that_joins_while_its_segments_are_read(world: World) -> None:
    made, relay, phone, tablet = world
    many(tablet, 4)
    tablet.sync()
    joined: list[Device] = []

    def join(_: object) -> None:
        joined.append(Device(made.add(by=device(2)), made, relay))
        joined[0].write("I am new")
        joined[0].sync()

    relay.before(ReadChanges, join)
    phone.sync()
    assert "I am new" in phone.texts
    assert converge(phone, tablet, joined[0])


def test_a_removal_leaves_what_was_written_before_it(world: World) -> None:
    """ROS-17, SEG-05: the removed device's feed counts up to its pin."""
    made, _, phone, tablet = world
    tablet.write("the last of it")
    tablet.sync()
    made.remove(2, by=device(1))
    phone.write("after it")
    phone.sync()
    assert "the last of it" in phone.texts
    with pytest.raises(RefusedError) as caught:
        tablet.sync()
    assert caught.value.code == "revoked"
    assert "after it" not in tablet.texts


# Another store


def test_a_relay_from_its_backup_is_read_again(world: World) -> None:
    """REL-10: positions of another incarnation mean nothing; what was verified is passed over."""
    _, relay, phone, tablet = world
    many(tablet, 6)
    tablet.sync()
    phone.sync()
    relay.restore()
    report = phone.sync()
    assert report.segments_read == 0
    assert phone.account.position == relay.log[-1].position
    assert converge(phone, tablet)


def test_reading_again_may_be_cut_in_the_middle(world: World) -> None:
    """The rest of what was seen before is no replay, after a restart either."""
    _, relay, phone, tablet = world
    many(tablet, 6)
    tablet.sync()
    phone.sync()
    relay.restore()
    relay.before(ReadChanges, lambda action: relay.before(ReadChanges, _unreachable))
    with pytest.raises(TransportError):
        phone.sync()
    assert phone.kept.copied().account.rereads
    tablet.write("new in the new store")
    tablet.sync()
    phone.sync()
    assert not phone.account.rereads
    assert "new in the new store" in converge(phone, tablet)


def test_a_relay_that_is_restored_while_it_is_read(world: World) -> None:
    """The problem `incarnation` begins the reading anew."""
    _, relay, phone, tablet = world
    many(tablet, 6)
    tablet.sync()
    relay.before(ReadChanges, lambda action: relay.restore())
    phone.sync()
    assert converge(phone, tablet)


def test_a_relay_that_says_so_for_ever(world: World) -> None:
    _, relay, phone, tablet = world
    tablet.write("more")
    tablet.sync()
    relay.spoil(ReadChanges, lambda action, page: refusal_of("incarnation"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "incarnation"


def test_a_backup_that_lacks_something_is_a_rollback(world: World) -> None:
    """ERR-02, ROS-14: named with device and seq; nothing is written on top."""
    _, relay, phone, tablet = world
    relay.restore(keep=1)
    for each in (phone, tablet):
        each.write("more")
        before = each.kept.copied()
        with refused(HistoryError, "rollback", device=2, seq=1):
            each.sync()
        assert each.kept == before
    assert len(relay.log) == 1


# Copies of a home


def test_a_copy_of_a_home_stops_where_the_other_goes_on(world: World) -> None:
    """SEG-19: whoever of the two comes second writes nothing any more."""
    _, relay, phone, tablet = world
    copy = phone.clone()
    phone.write("from the phone")
    phone.sync()
    copy.write("from the copy")
    before = copy.kept.copied()
    with refused(HistoryError, "clone", device=1, seq=2):
        copy.sync()
    assert copy.kept == before
    assert [stored.device for stored in relay.log] == [1, 2, 1]
    assert converge(phone, tablet)


def test_a_copy_that_has_sealed_already(world: World) -> None:
    """SEG-19: its pending header is not the stored one."""
    _, relay, phone, _ = world
    copy = phone.clone()
    copy.write("from the copy")
    relay.before(Append, _unreachable)
    with pytest.raises(TransportError):
        copy.sync()
    many(phone, 3)
    phone.sync()
    with refused(HistoryError, "clone", device=1, seq=2):
        copy.sync()


def test_a_copy_that_meets_the_other_at_its_append(world: World) -> None:
    """SEG-19: the relay's `fork` is looked into; it is this device that is the copy."""
    _, relay, phone, _ = world
    copy = phone.clone()
    copy.write("from the copy")
    phone.write("from the phone")
    relay.before(Append, lambda action: phone.sync())
    with refused(HistoryError, "clone", device=1, seq=2):
        copy.sync()


def test_a_copy_is_told_from_the_changes_too(world: World) -> None:
    """SEG-19: where the other one wrote after the heads were named."""
    _, relay, phone, tablet = world
    copy = phone.clone()
    tablet.write("something to read")
    tablet.sync()
    phone.write("from the phone")
    relay.before(ReadChanges, lambda action: phone.sync())
    with refused(HistoryError, "clone", device=1, seq=2):
        copy.sync()


def test_an_own_feed_in_small_pages(world: World) -> None:
    """REL-11: the page of the own feed goes on until the head that the relay named."""
    _, relay, phone, _ = world
    relay.page_items = 1
    copy = phone.clone()
    many(phone, 4)
    relay.lose_answer()
    with pytest.raises(TransportError):
        phone.sync()
    copy.kept.pending = phone.kept.pending[:2]
    with refused(HistoryError, "clone", device=1, seq=4):
        copy.sync()
    assert len([action for action in relay.asked if isinstance(action, ReadFeed)]) == 3


# Relays that refuse


def test_a_full_relay_is_a_refusal(world: World) -> None:
    _, relay, phone, _ = world
    phone.write("more")
    relay.spoil(Append, lambda action, answer: refusal_of("quota"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "quota"
    relay.mend()
    phone.sync()


def test_an_answer_without_receipts_is_none(world: World) -> None:
    _, relay, phone, _ = world
    phone.write("more")
    for receipts in ((), (b"", b"")):
        relay.spoil(Append, instead(Appended(2, receipts)))
        with refused(MalformedError, "malformed"):
            phone.sync()
        relay.mend()
    assert not phone.kept.receipts[1:]


def test_sealing_needs_a_text_that_fits(world: World) -> None:
    """Nothing is sealed, sent or lost where a record cannot be encoded."""
    _, _, phone, _ = world
    phone.write("x" * 70_000)
    with pytest.raises(ValueError, match="longer than"):
        phone.sync()
    assert phone.kept.outbox[SegmentClass.LIVE]


def test_the_store_is_asked_to_keep_only_what_goes_on(world: World) -> None:
    """What is saved as pending continues the own feed without a gap."""
    _, _, phone, _ = world
    kept: list[SealedSegment] = []
    store = phone._store

    def watched(action: object) -> object:
        if isinstance(action, SavePending):
            kept.append(action.sealed)
        return store(action)  # type: ignore[arg-type]

    phone._store = watched  # type: ignore[method-assign]
    many(phone, 11)
    phone.sync()
    assert [sealed.seq for sealed in kept] == list(range(2, 13))
