"""Following all headers to their heads, without contents: what a reclaim pins, and what it gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sealkeep_client.answers import Page
from sealkeep_client.engine import Change, ReadFeed, Survey
from sealkeep_protocol.errors import HistoryError, PeerError
from sealkeep_protocol.segments import Head, view_hash
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, device, flipped, refused
from support.hostile_devices import false_header
from support.memory_relay import Device, MemoryRelay, item_at, items

World = tuple[MadeAccount, MemoryRelay, Device, Device]
OTHER = ObjectId(b"\7" * 32)


@pytest.fixture
def world() -> World:
    """Phone and laptop have both written and read; the tablet (3) never wrote."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop = Device(1, made, relay), Device(2, made, relay)
    for text in ("a", "b", "c", "d"):
        for author in (phone, laptop):
            author.write(text)
            author.sync()
    return made, relay, phone, laptop


def run(world: World, survey: Survey) -> Survey:
    made, _, phone, _ = world
    phone.run(survey.run(made.roster))
    return survey


def seqs(survey: Survey, made: MadeAccount) -> list[tuple[int, int, bool]]:
    return [(pin.device, pin.seq, pin.discard_after) for pin in survey.pins(made.roster)]


def test_every_feed_to_its_head(world: World) -> None:
    made, relay, _, _ = world
    survey = run(world, Survey(discard=False))
    assert seqs(survey, made) == [(1, 4, False), (2, 4, False), (3, 0, False)]
    assert {pin.device: pin.header_id for pin in survey.pins(made.roster)} == {
        1: relay.log[-2].segment.header_id,
        2: relay.log[-1].segment.header_id,
        3: b"",
    }
    assert dict(survey.epochs) == {3: 8}
    assert survey.cut() == []
    assert not any(isinstance(action, ReadFeed) and action.bodies for action in relay.asked)


def test_what_comes_meanwhile_is_followed_too(world: World) -> None:
    """A head that is named before it was read, and a second run that goes on where the first ended."""
    made, relay, phone, laptop = world

    def both(action: Any) -> None:
        phone.write("e")
        phone.sync()
        laptop.write("f")
        laptop.sync()

    asked: list[int] = []

    def third(action: ReadFeed, answer: Any) -> Any:
        asked.append(action.device)
        if len(asked) == 3:  # the first feed is read, the second is not
            both(action)
        return answer

    relay.spoil(ReadFeed, third)
    survey = run(world, Survey(discard=False))
    assert seqs(survey, made) == [(1, 5, False), (2, 5, False), (3, 0, False)]
    both(None)
    run(world, survey)
    assert seqs(survey, made) == [(1, 6, False), (2, 6, False), (3, 0, False)]


def test_removed_feeds_are_followed_to_their_pins(world: World) -> None:
    """What others name of them is there; what lies beyond is nobody's concern."""
    made, relay, phone, _ = world
    phone.change(Change(removed=frozenset({2})))
    relay.put(2, made.fork().seal(2, take=False))
    survey = run(world, Survey(discard=False))
    assert seqs(survey, made) == [(1, 4, False), (3, 0, False)]
    assert survey.heads()[1].seq == 4
    asked = {action.first for action in relay.asked if isinstance(action, ReadFeed) and action.device == 2}
    assert max(asked) == survey.heads()[1].seq


def test_a_feed_that_never_ends_beyond_its_pin(world: World) -> None:
    """A relay that shows what was discarded, and promises more for ever, keeps nobody."""
    made, relay, phone, _ = world
    phone.change(Change(removed=frozenset({2})))
    late = relay.put(2, made.fork().seal(2, take=False))

    def endless(action: ReadFeed, page: Page) -> Page:
        return replace(page, more=True) if action.device == 2 else page

    relay.spoil(ReadFeed, endless)
    relay.asked.clear()
    survey = run(world, Survey(discard=False))
    assert survey.heads()[1].seq == late.segment.seq - 1
    assert len(relay.asked) < 10


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"heads": (), "view": bytes(32)}, "fork"),
        ({"roster": 99}, "missing"),
        ({"epoch": 1}, "epoch"),
        ({"previous": OTHER}, "fork"),
    ],
)
def test_a_header_that_does_not_hold(world: World, fields: dict[str, object], code: str) -> None:
    """It is reported with its place; on the person's word the feed ends before it, and all others go on."""
    made, relay, phone, _ = world
    relay.put(2, false_header(made, 2, **fields))
    phone.write("after it")
    relay.log[-1], hidden = relay.log[-2], relay.log[-1]
    relay.log.pop()
    phone.sync()
    relay.log.append(hidden)
    with refused(HistoryError, code, device=2, seq=5):
        run(world, Survey(discard=False))
    survey = run(world, Survey(discard=True))
    assert seqs(survey, made) == [(1, 5, False), (2, 4, True), (3, 0, False)]
    assert survey.cut() == [2]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (item_at(2, 2, header=lambda header: flipped(header, -1)), "signature"),
        (items(lambda found: [item for item in found if (item.device, item.seq) != (2, 2)]), "replay"),
    ],
)
def test_what_the_relay_spoils(world: World, spoil: Callable[[Any, Any], Any], code: str) -> None:
    """It may be the relay's doing as well: nothing is given up unasked."""
    made, relay, _, _ = world
    relay.spoil(ReadFeed, spoil)
    with pytest.raises(PeerError) as caught:
        run(world, Survey(discard=False))
    assert (caught.value.code, caught.value.device, caught.value.seq) == (code, 2, 2)
    survey = run(world, Survey(discard=True))
    # The phone has named what is cut off there: it is not given up for that.
    assert seqs(survey, made) == [(1, 4, False), (2, 1, True), (3, 0, False)]


@pytest.mark.parametrize(("seq", "code"), [(5, "fork"), (9, "missing")])
def test_a_head_that_nobody_has(world: World, seq: int, code: str) -> None:
    """Made up, or of another history; it is not known when the header is followed. Its author's feed ends before it."""
    made, relay, _, laptop = world
    laptop.write("e")
    laptop.sync()
    followed = run(world, Survey(discard=False)).heads()[0]
    named = Head(DeviceId(2), Seq(seq), OTHER)
    view = view_hash(made.roster.head, {**followed.heads, 2: named}.values())
    relay.put(1, false_header(made, 1, heads=(named,), view=view))
    with refused(HistoryError, code, device=1, seq=5):
        run(world, Survey(discard=False))
    survey = run(world, Survey(discard=True))
    assert seqs(survey, made) == [(1, 4, True), (2, 5, False), (3, 0, False)]
    assert {pin.device: pin.header_id for pin in survey.pins(made.roster)}[1] == followed.head


def test_a_rotation_on_the_way(world: World) -> None:
    made, _, phone, _ = world
    made.change(device(1))
    phone.sync()
    phone.write("under the next epoch")
    phone.sync()
    survey = run(world, Survey(discard=False))
    assert dict(survey.epochs) == {3: 8, 4: 1}
