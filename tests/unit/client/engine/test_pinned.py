"""Removed devices: what they signed after their removal is taken by nobody, wherever they say that it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealkeep_client.engine import Change, ReadFeed, ReadHeads
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.records import Message, encode_body
from sealkeep_protocol.segments import Head, SealedSegment
from sealkeep_protocol.types import DeviceId
from support.accounts import TIME, MadeAccount, refused
from support.memory_relay import CHAT, Device, MemoryRelay, Stored, heads, items

World = tuple[MadeAccount, MemoryRelay, Device, Device]


@pytest.fixture
def world() -> World:
    """The stolen device (2) wrote three segments, and the phone removed it. The laptop (3) has read nothing of it yet."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, stolen, laptop = (Device(number, made, relay) for number in (1, 2, 3))
    for text in ("a", "b", "c"):
        stolen.write(text)
        stolen.sync()
    phone.sync()
    phone.change(Change(removed=frozenset({2})))
    return made, relay, phone, laptop


def back_dated(made: MadeAccount, *texts: str) -> list[SealedSegment]:
    """Segments that the removed device signs now, as if it had been before its removal: another feed from its beginning."""
    twin = made.fork()
    twin.segments.pop(2)
    twin._named.pop(2, None)
    before = made.entries[: made.roster.devices[2].removed_at]
    twin.roster = type(twin.roster).read(before, account=made.id)
    sealed = []
    for number, text in enumerate(texts, 1):
        body = encode_body(messages=[Message(CHAT, TIME, 1, source=f"forged {number}", text=text)])
        sealed.append(twin.seal(2, body, shown=()))
    return sealed


def show(relay: MemoryRelay, segments: list[SealedSegment]) -> None:
    """The relay helps: it stores them in place of the true ones."""
    roster = relay.world.roster.devices[2].added_at
    others = [stored for stored in relay.log if stored.device != 2]
    forged = [Stored(100 + segment.seq, 2, segment, roster) for segment in segments]
    relay.log = [*others, *forged]


def test_an_honest_relay_shows_the_feed_up_to_its_pin(world: World) -> None:
    """SEG-24: and it is read as any other."""
    _, relay, phone, laptop = world
    report = laptop.sync()
    assert report.segments_read == 3
    assert laptop.texts == phone.texts == ["a", "b", "c"]
    asked = [action for action in relay.asked if isinstance(action, ReadFeed)]
    assert [(action.device, action.first) for action in asked] == [(2, 1)]
    laptop.sync()
    assert [action for action in relay.asked if isinstance(action, ReadFeed)] == asked


@pytest.mark.parametrize("count", [3, 4])
def test_another_feed_before_the_pin_is_refused_whole(world: World, count: int) -> None:
    """SEG-24, SEG-05: not one record of it is taken, though each header is signed and follows the one before."""
    made, relay, _, laptop = world
    show(relay, back_dated(made, *"wxyz"[:count]))
    for _ in range(2):
        with refused(HistoryError, "pinned", device=2, seq=3):
            laptop.sync()
        assert laptop.texts == []
        assert laptop.account.feed(2).seq == 0


def test_a_feed_that_stops_before_its_pin_is_refused(world: World) -> None:
    """SEG-24, SEG-25: the true one cut short, or another one that is as short."""
    made, relay, _, laptop = world
    true = list(relay.log)
    for shown in (true[:2], true[:0]):
        relay.log = list(shown)
        with refused(HistoryError, "missing", device=2, seq=3):
            laptop.sync()
        assert laptop.texts == []
    show(relay, back_dated(made, "x"))
    with refused(HistoryError, "missing", device=2, seq=2):
        laptop.sync()
    assert laptop.texts == []
    relay.log = true
    laptop.sync()
    assert laptop.texts == ["a", "b", "c"]


def test_who_had_read_a_part_takes_no_other_rest(world: World) -> None:
    """SEG-24: from the verified head on."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, stolen, laptop = (Device(number, made, relay) for number in (1, 2, 3))
    stolen.write("a")
    stolen.sync()
    laptop.sync()
    for text in ("b", "c"):
        stolen.write(text)
        stolen.sync()
    phone.change(Change(removed=frozenset({2})))
    true = list(relay.log)
    twin = made.fork()
    twin.segments[2] = twin.segments[2][:1]
    twin.roster = type(twin.roster).read(made.entries[:3], account=made.id)
    forged = [twin.seal(2, b"x", shown=()), twin.seal(2, b"y", shown=())]
    relay.log = [true[0], *(Stored(100 + s.seq, 2, s, 2) for s in forged)]
    with refused(HistoryError, "pinned", device=2, seq=3):
        laptop.sync()
    relay.log = true
    laptop.sync()
    assert laptop.texts == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "code", "seq"),
    [
        (lambda found: found[:-1], "missing", 3),
        (lambda found: found[1:], "replay", 1),
        (lambda found: [found[0], found[2]], "replay", 2),
        (lambda found: [], "missing", 1),
    ],
)
def test_headers_that_lead_nowhere(world: World, change: Callable[[list], list], code: str, seq: int) -> None:  # type: ignore[type-arg]
    """SEG-24"""
    _, relay, _, laptop = world
    relay.spoil(ReadFeed, items(change))
    with refused(HistoryError, code, device=2, seq=seq):
        laptop.sync()
    assert laptop.texts == []


def test_one_chain_for_the_headers_and_another_for_the_changes(world: World) -> None:
    """SEG-24: what is taken is what was followed."""
    made, relay, _, laptop = world
    true = list(relay.log)
    forged = back_dated(made, "x", "y", "z")
    relay.before(ReadFeed, lambda action: setattr(relay, "log", true))
    show(relay, forged)
    with refused(HistoryError, "pinned", device=2, seq=1):
        laptop.sync()
    assert laptop.texts == []


def test_a_header_of_another_chain_is_noticed_where_it_stands(world: World) -> None:
    """SEG-02, SEG-24"""
    made, relay, _, laptop = world
    forged = back_dated(made, "x", "y")
    true = list(relay.log)
    relay.log = [true[0], Stored(50, 2, forged[1], 2), true[2]]
    with refused(HistoryError, "fork", device=2, seq=2):
        laptop.sync()


def test_nothing_beyond_the_pin(world: World) -> None:
    """SEG-05: also with a head that the relay names as if it had taken it."""
    made, relay, phone, laptop = world
    twin = made.fork()
    twin.roster = type(twin.roster).read(made.entries[:3], account=made.id)
    late = twin.seal(2, b"late", shown=())
    relay.log.append(Stored(100, 2, late, 2))
    for reader in (phone, laptop):
        with refused(HistoryError, "pinned", device=2, seq=4):
            reader.sync()
    relay.log.pop()
    relay.spoil(ReadHeads, heads(lambda known: known | {2: Head(DeviceId(2), late.seq, late.header_id)}))
    phone.sync()  # a head beyond a pin is nobody's concern
