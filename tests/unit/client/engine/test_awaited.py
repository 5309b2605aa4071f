"""Bodies that come behind their headers: in which order, and what a relay that does not give them costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from sealkeep_client.answers import PageItem
from sealkeep_client.engine import Append, BodyRange, ReadBodies, ReadChanges, stage_of
from sealkeep_client.engine._awaited import Stage
from sealkeep_client.engine._reader import FEW, SMALL
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError, RefusedError, TransportError
from sealkeep_protocol.records import Message, NativeIdentity
from sealkeep_protocol.roster import Removal
from sealkeep_protocol.segments import SegmentClass, summarize
from support.accounts import TIME, MadeAccount, device, flipped, refused
from support.hostile_devices import spoil_wraps, take
from support.memory_relay import CHAT, Device, MemoryRelay, Spoil, instead, item_at, items, refuse


class World(NamedTuple):
    """The phone (1) has written six long bodies and one short one, as old as they say; the tablet (2) is new."""

    made: MadeAccount
    relay: MemoryRelay
    phone: Device
    tablet: Device


def write(phone: Device, hour: int, text: str, segment_class: SegmentClass = SegmentClass.HISTORY) -> None:
    """A segment of its own."""
    native = NativeIdentity(phone.number, TIME << 16 | hour, bytes(16), hour)
    # Not compressible, so that its body is long.
    noise = "".join(map(chr, range(0x4E00 + hour, 0x4E00 + hour + 3_000)))
    phone.queue([Message(CHAT, TIME + hour, 1, native=native, text=f"{text} {noise}")], segment_class)
    phone.sync()


@pytest.fixture
def world() -> World:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made, page_items=20)
    relay.used = SMALL + 1
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    for hour, text, segment_class in (
        (5, "fifth", SegmentClass.HISTORY),
        (9, "front", SegmentClass.FRONT),
        (7, "seventh", SegmentClass.HISTORY),
        (8, "eighth", SegmentClass.HISTORY),
        (1, "first", SegmentClass.HISTORY),
        (2, "second", SegmentClass.LIVE),
    ):
        write(phone, hour, text, segment_class)
        if text == "eighth":
            phone.write("short")
            phone.sync()
    relay.asked.clear()
    return World(made, relay, phone, tablet)


def words(found: Device) -> list[str]:
    """The first word of what it has read, in the order in which that came."""
    return [record.text.split()[0] for record in found.kept.read if isinstance(record, Message) and record.text]


def asked(relay: MemoryRelay) -> list[BodyRange]:
    return [action.wanted for action in relay.asked if isinstance(action, ReadBodies)]


def test_the_newest_comes_first(world: World) -> None:
    """SEG-26, §6.8: the front, then by the end of the span; what is short came with its summary (REL-15)."""
    _, relay, phone, tablet = world
    report = tablet.sync()
    assert asked(relay) == [BodyRange(1, 2, 1), BodyRange(1, 3, 2), BodyRange(1, 1, 1), BodyRange(1, 6, 2)]
    # Neighbours come together, in the order of the feed.
    assert words(tablet) == ["short", "front", "seventh", "eighth", "fifth", "first", "second"]
    assert (report.segments_read, report.records_read, report.unreadable) == (7, 7, ())
    assert tablet.kept.awaited == []
    assert tablet.texts == phone.texts
    relay.asked.clear()
    tablet.sync()
    assert asked(relay) == []


def test_what_comes_next_is_announced(world: World) -> None:
    _, relay, _, tablet = world
    tablet.sync()
    questions = [action for action in relay.asked if isinstance(action, ReadBodies)]
    assert questions[1].following == (questions[2].wanted, questions[3].wanted)
    assert questions[3].following == ()


def test_order_of_the_stages() -> None:
    """By what the summary says; a body of marks or contacts has no time."""

    def stage(segment_class: SegmentClass, *times: int) -> Stage:
        return stage_of(summarize(segment_class, times, 1, [], 1))

    order = [
        stage(SegmentClass.FRONT, TIME),
        stage(SegmentClass.HISTORY),
        stage(SegmentClass.HISTORY, TIME),
        stage(SegmentClass.PREVIEW),
        stage_of(None),
    ]
    assert order == sorted(set(order))
    assert stage(SegmentClass.LIVE, TIME) is stage(SegmentClass.HISTORY, TIME)


@pytest.mark.parametrize("used", [SMALL, SMALL + 1])
def test_little_comes_whole(world: World, used: int) -> None:
    """D113: no second question where the first costs less."""
    _, relay, phone, tablet = world
    tablet.sync()
    relay.used = used
    count = FEW if used > SMALL else FEW + 2
    for hour in range(20, 20 + count):
        write(phone, hour, "more")
    relay.asked.clear()
    assert tablet.sync().records_read == count
    assert asked(relay) == []
    assert [action.short for action in relay.asked if isinstance(action, ReadChanges)] == [None]


def test_news_and_what_waits_do_not_wait_for_bodies(world: World) -> None:
    _, relay, _, tablet = world
    tablet.write("mine")
    tablet.sync()
    kinds = [type(action) for action in relay.asked]
    assert kinds.index(ReadChanges) < kinds.index(Append) < kinds.index(ReadBodies)


@pytest.mark.parametrize("lost", range(4))
def test_an_interruption_costs_nothing_that_came(world: World, lost: int) -> None:
    """SEG-26: what is awaited is kept with the headers; whatever came stays."""
    _, relay, phone, tablet = world

    def breaks(_: object) -> None:
        if len(asked(relay)) == lost + 1:
            relay.spoil(ReadBodies, instead(TransportError("the line broke")))
        else:
            relay.before(ReadBodies, breaks)

    relay.before(ReadBodies, breaks)
    with pytest.raises(TransportError):
        tablet.sync()
    first = asked(relay)
    assert len(first) == lost + 1
    assert tablet.account.feed(1).seq == 7  # all of it is verified
    assert len(words(tablet)) + len(tablet.kept.awaited) == 7
    assert tablet.verify().segments == 7  # SEG-26: what is awaited is not missed
    relay.mend()
    relay.asked.clear()
    tablet.sync()
    assert {one.first for one in asked(relay)}.isdisjoint(one.first for one in first[:-1])
    assert tablet.texts == phone.texts


def only(change: Callable[[PageItem], PageItem | None], seq: int) -> Spoil:
    """Change, or leave out, the item of this seq."""
    return items(
        lambda found: [new for item in found if (new := change(item) if item.seq == seq else item) is not None]
    )


LIES: dict[str, tuple[Spoil, type[PeerError], str, int]] = {
    "another body": (item_at(1, 4, body=lambda body: flipped(body, 1)), AuthenticationError, "digest", 4),
    "another summary": (item_at(1, 4, summary=lambda part: flipped(part, 1)), AuthenticationError, "digest", 4),
    "another header": (item_at(1, 4, header=lambda header: flipped(header, 600)), AuthenticationError, "signature", 4),
    "no body": (item_at(1, 4, body=None), HistoryError, "missing", 4),
    "no summary": (item_at(1, 4, summary=None), HistoryError, "missing", 4),
    "no segment": (only(lambda item: None, 4), HistoryError, "missing", 4),
    "nothing": (items(lambda found: []), HistoryError, "missing", 2),
    "another device's": (item_at(1, 4, device=2), HistoryError, "missing", 4),
    "of another place": (item_at(1, 4, seq=9), HistoryError, "missing", 4),
}


@pytest.mark.parametrize("name", LIES)
def test_a_body_that_does_not_come_as_it_was_signed(world: World, name: str) -> None:
    """SEG-26, SEG-27, SEG-08: named, nothing of it taken, and awaited on."""
    spoil, family, code, seq = LIES[name]
    _, relay, phone, tablet = world
    relay.spoil(ReadBodies, spoil)
    for _ in range(2):
        with refused(family, code, device=1, seq=seq):
            tablet.sync()
        assert "eighth" not in words(tablet)
        assert (1, 4) in [one[2:] for one in tablet.kept.awaited]
    relay.mend()
    tablet.sync()
    assert tablet.texts == phone.texts
    assert len(words(tablet)) == 7  # each once


def test_a_missing_body_keeps_no_other_away(world: World) -> None:
    """SEG-27: what was to come with it comes."""
    _, relay, _, tablet = world
    relay.spoil(ReadBodies, only(lambda item: replace(item, body=None), 3))
    with refused(HistoryError, "missing", device=1, seq=3):
        tablet.sync()
    assert words(tablet) == ["short", "front", "eighth", "fifth", "first", "second"]
    assert [one[2:] for one in tablet.kept.awaited] == [(1, 3)]


def test_a_header_is_not_taken_without_what_can_be_checked(world: World) -> None:
    """SEG-26: a summary is not awaited, nor a body that was to come along."""
    _, relay, _, tablet = world
    for lie, seq in (({"summary": None}, 3), ({"body": None}, 5)):
        relay.spoil(ReadChanges, item_at(1, seq, **lie))
        with refused(HistoryError, "missing", device=1, seq=seq):
            tablet.sync()
        assert tablet.account.feed(1).seq == 0
        relay.mend()
    relay.spoil(ReadChanges, item_at(1, 3, summary=lambda part: flipped(part, 1)))
    with refused(AuthenticationError, "digest", device=1, seq=3):
        tablet.sync()
    assert tablet.kept.awaited == []


def test_heads_are_held_against_headers_before_any_body(world: World) -> None:
    """REL-10: that something was withheld shows although bodies have still to come."""
    _, relay, _, tablet = world
    relay.spoil(ReadChanges, items(lambda found: found[:-1]))
    with refused(HistoryError, "missing", device=1, seq=7):
        tablet.sync()
    assert asked(relay) == []
    assert words(tablet) == []


def test_what_its_author_made_unreadable_is_told_when_it_comes(world: World) -> None:
    """SEG-22: and stops nobody."""
    made, relay, _, tablet = world
    noise = bytes(range(256)) * 32
    sealed = made.seal(1, noise, summary=summarize(SegmentClass.LIVE, [TIME + 6], 1, [], len(noise)))
    relay.put(1, sealed)
    report = tablet.sync()
    assert [(error.code, error.device, error.seq) for error in report.unreadable] == [("malformed", 1, 8)]
    assert len(words(tablet)) == 7
    assert tablet.kept.awaited == []


def test_what_a_removal_discards_is_awaited_no_more(world: World) -> None:
    """SEG-27: beyond the pin it is erased, and nobody is accused of it."""
    made, relay, _, tablet = world
    relay.spoil(ReadBodies, refuse("busy"))
    with pytest.raises(RefusedError):
        tablet.sync()
    relay.mend()
    assert len(tablet.kept.awaited) == 6
    made.remove(Removal(1, 4, relay.log[3].segment.header_id, True), by=device(2), new_kit=True)
    relay.log = [stored for stored in relay.log if stored.segment.seq <= 4]
    relay.asked.clear()
    tablet.sync()
    assert tablet.kept.awaited == []
    assert all(one.first + one.count <= 5 for one in asked(relay))
    assert sorted(words(tablet)) == ["eighth", "fifth", "front", "seventh", "short"]


def test_a_body_of_an_epoch_that_is_not_held() -> None:
    """SEG-23, SEG-26: it comes last, is kept sealed, and is opened with its key."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made, page_items=20)
    relay.used = SMALL + 1
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    take(made, spoil_wraps(made, 3, [2]))
    epoch = made.roster.epoch
    for hour in range(1, FEW + 2):
        write(phone, hour, f"hour{hour}")
    report = tablet.sync()
    assert (report.segments_read, report.records_read, report.unopened) == (FEW + 1, 0, FEW + 1)
    assert tablet.kept.unopened == [(1, seq, epoch) for seq in range(1, FEW + 2)]
    assert tablet.kept.awaited == []
    phone.sync()  # links the epochs again (ROS-22)
    assert (tablet.sync().records_read, tablet.kept.unopened) == (FEW + 1, [])
    assert tablet.texts == phone.texts
