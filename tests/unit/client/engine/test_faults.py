"""A relay that misbehaves: each fault has its named error, costs the device nothing, and is over when it is over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import pytest

from sealkeep_client.answers import Appended, EpochStaleError, Heads, Page, PageItem, Wrap
from sealkeep_client.engine import (
    Append,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadRoster,
    ReadWraps,
    Settle,
)
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError, RefusedError
from sealkeep_protocol.segments import Head
from sealkeep_protocol.statements import Receipt, Refusal
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, MadeRelay, device, flipped, kit, refused
from support.memory_relay import Device, MemoryRelay, Spoil, heads, instead, item_at, items, refusal_of, refuse

OTHER = ObjectId(bytes(32))


class World(NamedTuple):
    """The phone (1) has verified 1:1 and 2:1; the tablet (2) has written 2:2 to 2:4 since; the phone has more to send."""

    made: MadeAccount
    relay: MemoryRelay
    phone: Device
    tablet: Device


@pytest.fixture
def world() -> World:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made, page_items=8)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.write("one")
    phone.sync()
    tablet.write("two")
    tablet.sync()
    phone.sync()
    for text in ("three", "four", "five"):
        tablet.write(text)
        tablet.sync()
    phone.write("six")
    return World(made, relay, phone, tablet)


def check(
    world: World,
    family: type[PeerError],
    code: str,
    at: int | None = None,
    seq: int | None = None,
    *,
    after: Literal["nothing", "a page", "an append"] = "nothing",
) -> None:
    """The phone's sync fails with exactly this, leaves everything as it was, and succeeds once the relay is honest.

    `after` is what was whole and right before it, and stays.
    """
    _, relay, phone, tablet = world
    before, log = phone.kept.copied(), list(relay.log)
    for _ in range(2):  # the same again, as nothing has changed
        with refused(family, code, device=at, seq=seq) as caught:
            phone.sync()
        assert "six" not in str(caught.value)
        assert phone.kept == before or after != "nothing"
        assert (phone.kept.receipts, phone.account.feed(1)) == (before.receipts, before.account.feed(1))
        assert relay.log == log or after == "an append"
    relay.mend()
    phone.sync()
    tablet.sync()
    assert phone.texts == tablet.texts == ["five", "four", "one", "six", "three", "two"]
    assert not phone.kept.pending


def order(*seqs: int) -> Spoil:
    """Items of these seqs of the tablet, in this order, at the positions that the page had."""

    def change(found: list[PageItem]) -> list[PageItem]:
        by_seq = {item.seq: item for item in found if item.device == 2}
        start = found[0].position
        return [replace(by_seq[seq], position=start + place) for place, seq in enumerate(seqs)]

    return items(change)


def first_again(found: list[PageItem]) -> list[PageItem]:
    return [found[-3], *found[-3:]]


def from_before(world: World) -> Spoil:
    """What was verified long ago, at a new position."""
    old = next(stored for stored in world.relay.log if (stored.device, stored.segment.seq) == (2, 1))

    def change(found: list[PageItem]) -> list[PageItem]:
        later = [replace(item, position=item.position + 1) for item in found]
        return [replace(old.item(bodies=True), position=found[0].position), *later]

    return items(change)


def named(number: int, seq: int, header_id: ObjectId = OTHER) -> Spoil:
    return heads(lambda known: known | {number: Head(DeviceId(number), Seq(seq), header_id)})


def without(number: int) -> Spoil:
    return heads(lambda known: {key: head for key, head in known.items() if key != number})


def same_id(number: int, seq: int) -> Spoil:
    return heads(lambda known: known | {number: known[number]._replace(seq=Seq(seq))})


Fault = tuple[type, Spoil, type[PeerError], str, "int | None", "int | None"]

FAULTS: dict[str, Fault] = {
    # What the changes hold
    "tail withheld": (ReadChanges, items(lambda found: found[:-1]), HistoryError, "missing", 2, 4),
    "all withheld": (ReadChanges, items(lambda found: []), HistoryError, "missing", 2, 4),
    "middle withheld": (ReadChanges, order(2, 4), HistoryError, "gap", 2, 4),
    "swapped": (ReadChanges, order(3, 2, 4), HistoryError, "gap", 2, 3),
    "duplicated": (ReadChanges, order(2, 2, 3, 4), HistoryError, "replay", 2, 2),
    "given twice": (ReadChanges, items(first_again), HistoryError, "replay", 2, 2),
    "position goes back": (ReadChanges, item_at(2, 3, position=1), HistoryError, "replay", 2, 3),
    "position stands still": (ReadChanges, item_at(2, 3, position=lambda at: at - 1), HistoryError, "replay", 2, 3),
    "cursor goes back": (
        ReadChanges,
        lambda _, page: replace(page, position=0),
        HistoryError,
        "replay",
        None,
        None,
    ),
    "page stands still": (
        ReadChanges,
        lambda _, page: replace(page, items=(), more=True),
        HistoryError,
        "replay",
        None,
        None,
    ),
    "other incarnation": (
        ReadChanges,
        lambda _, page: replace(page, incarnation=bytes(16)),
        HistoryError,
        "replay",
        None,
        None,
    ),
    "summary flipped": (
        ReadChanges,
        item_at(2, 2, summary=lambda part: flipped(part, 77)),
        AuthenticationError,
        "digest",
        2,
        2,
    ),
    "summary cut": (ReadChanges, item_at(2, 2, summary=lambda part: part[:-1]), AuthenticationError, "digest", 2, 2),
    "body flipped": (
        ReadChanges,
        item_at(2, 3, body=lambda part: flipped(part, 7)),
        AuthenticationError,
        "digest",
        2,
        3,
    ),
    "body too long": (ReadChanges, item_at(2, 3, body=lambda part: part + b"\0"), AuthenticationError, "digest", 2, 3),
    "body withheld": (ReadChanges, item_at(2, 3, body=None), HistoryError, "missing", 2, 3),
    "summary withheld": (ReadChanges, item_at(2, 3, summary=None), HistoryError, "missing", 2, 3),
    "header at another seq": (ReadChanges, item_at(2, 2, seq=5), HistoryError, "replay", 2, 5),
    "header as another device's": (ReadChanges, item_at(2, 2, device=1), AuthenticationError, "signature", 1, 2),
    "header of nobody": (ReadChanges, item_at(2, 2, device=9), HistoryError, "author", 9, 2),
    # What the heads say
    "heads rolled back": (ReadHeads, without(2), HistoryError, "rollback", 2, 1),
    "own head rolled back": (ReadHeads, without(1), HistoryError, "rollback", 1, 1),
    "another head": (ReadHeads, named(2, 1), HistoryError, "fork", 2, 1),
    "another own head": (ReadHeads, named(1, 1), HistoryError, "fork", 1, 1),
    "another new head": (ReadHeads, named(2, 4), HistoryError, "fork", 2, 4),
    "a head beyond": (ReadHeads, named(2, 9), HistoryError, "missing", 2, 9),
    "a head of nobody": (ReadHeads, named(7, 1), HistoryError, "missing", 7, 1),
    "an own head beyond": (ReadHeads, named(1, 5), HistoryError, "missing", 1, 5),
    # What the roster is
    "stale roster": (ReadRoster, instead(([], 0)), HistoryError, "rollback", None, None),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_error(world: World, name: str) -> None:
    """ERR-02, SEG-20: the store stays as it was, nothing is appended or acknowledged. REL-10, REL-11: pages and cursors."""
    action, spoil, family, code, at, seq = FAULTS[name]
    world.relay.spoil(action, spoil)
    # That something is missing shows at the end: the page before it is whole.
    at_the_end = name in ("tail withheld", "another new head", "a head beyond", "a head of nobody")
    check(world, family, code, at, seq, after="a page" if at_the_end else "nothing")


@pytest.mark.parametrize("by", [1, 2, 1 << 40])
def test_a_lie_about_positions_ends_with_the_liar(by: int) -> None:
    """REL-14: positions that were too great once hide nothing from then on, however far the relay has come by then."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.write("first")
    phone.sync()
    relay.spoil(ReadChanges, items(lambda found: [replace(item, position=item.position + by) for item in found]))
    relay.spoil(ReadChanges, lambda _, page: replace(page, position=page.position + by))
    tablet.sync()
    relay.mend()
    for text in ("second", "third", "fourth"):
        phone.write(text)
        phone.sync()
        if text != "second":  # which lies where the cursor is past it
            tablet.sync()
            assert tablet.texts == phone.texts
    assert tablet.account.position == relay.log[-1].position
    assert not tablet.account.rereads


def test_a_gap_in_positions_that_was_closed_hides_nothing() -> None:
    """REL-14: a segment that was shown under the position of another one, which was withheld."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, tablet, laptop = (Device(number, made, relay) for number in (1, 2, 3))
    laptop.write("from the laptop")
    laptop.sync()
    tablet.write("from the tablet")
    relay.spoil(ReadHeads, without(3))
    relay.spoil(ReadChanges, items(lambda found: [item for item in found if item.device != 3]))
    tablet.sync()
    relay.spoil(ReadChanges, items(lambda found: [replace(item, position=1) for item in found if item.device == 2]))
    phone.sync()
    assert phone.texts == ["from the tablet"]
    assert phone.account.position == 1
    relay.mend()
    phone.sync()
    assert phone.texts == ["from the laptop", "from the tablet"]
    before = phone.kept.copied()
    phone.sync()
    assert phone.kept == before


def test_reading_anew_that_finds_the_same_changes_nothing(world: World) -> None:
    """REL-14, ERR-02: once, and the error is the one that a persistent lie gives."""
    _, relay, phone, tablet = world
    phone.sync()
    tablet.write("hidden")
    tablet.sync()
    relay.spoil(ReadChanges, items(lambda found: [item for item in found if (item.device, item.seq) != (2, 5)]))
    last = relay.log[-1]
    assert (last.device, last.segment.seq) == (2, 5)
    before, asked = phone.kept.copied(), len(relay.asked)
    with refused(HistoryError, "missing", device=2, seq=5):
        phone.sync()
    assert phone.kept == before
    reads = [action.after for action in relay.asked[asked:] if isinstance(action, ReadChanges)]
    assert reads.count(0) == 1
    assert reads[0] > 0


def test_what_was_verified_long_ago_is_no_news(world: World) -> None:
    """REL-11: an old segment under a new position."""
    world.relay.spoil(ReadChanges, from_before(world))
    check(world, HistoryError, "replay", 2, 1)


def test_another_header_at_a_verified_place(world: World) -> None:
    """SEG-09: of the same author even."""
    made, relay, *_ = world
    forged = made.seal(2, b"another second", take=False)

    def change(found: list[PageItem]) -> list[PageItem]:
        first = next(item for item in found if item.device == 2)
        return [replace(first, seq=forged.seq, header=forged.header), *found]

    relay.spoil(ReadChanges, items(change))
    check(world, HistoryError, "gap", 2, 5)


@pytest.mark.parametrize("byte", range(0, 400, 13))
def test_a_flipped_bit_in_a_header_is_seen(world: World, byte: int) -> None:
    """SEG-20, SIG-01: whichever it is."""
    _, relay, phone, _ = world
    size = len(relay.log[-1].segment.header)
    relay.spoil(ReadChanges, item_at(2, 2, header=lambda header: flipped(header, 8 * (byte % size) + byte % 8)))
    before = phone.kept.copied()
    with pytest.raises(PeerError) as caught:
        phone.sync()
    assert (caught.value.device, caught.value.seq) == (2, 2)
    assert caught.value.code in ("signature", "malformed")
    assert phone.kept == before


def test_faults_add_up(world: World) -> None:
    """What is checked first is named: the roster, then heads, then pages."""
    for name in ("body flipped", "heads rolled back", "stale roster"):
        action, spoil, *_ = FAULTS[name]
        world.relay.spoil(action, spoil)
    check(world, HistoryError, "rollback")


def test_a_withheld_device_is_found_by_whoever_read_it() -> None:
    """SEG-06, P5: the laptop's head stands in the tablet's header; the relay shows the phone neither."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, tablet, laptop = (Device(number, made, relay) for number in (1, 2, 3))
    laptop.write("from the laptop")
    laptop.sync()
    tablet.write("after it")
    tablet.sync()
    relay.spoil(ReadHeads, without(3))
    relay.spoil(ReadChanges, items(lambda found: [item for item in found if item.device != 3]))
    before = phone.kept.copied()
    with refused(HistoryError, "missing", device=2, seq=1):
        phone.sync()
    assert phone.kept == before
    relay.mend()
    phone.sync()
    assert "from the laptop" in phone.texts


def test_two_histories_meet() -> None:
    """SEG-07, P5: the relay showed the tablet another laptop feed than the phone; the next header tells."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, tablet, laptop = (Device(number, made, relay) for number in (1, 2, 3))
    twin = laptop.clone()
    laptop.write("for the phone")
    laptop.sync()
    phone.sync()
    shown, relay.log = relay.log, []
    made.segments.clear()
    twin.write("for the tablet")
    twin.sync()
    tablet.write("after that")
    tablet.sync()
    # The phone gets its own history, and the tablet's segment after it.
    mine = [stored for stored in relay.log if stored.device == 2]
    relay.log = [*shown, *mine]
    before = phone.kept.copied()
    with refused(HistoryError, "fork", device=2, seq=1):
        phone.sync()
    assert phone.kept == before


# The own feed


def test_an_own_feed_that_is_not_the_next_headers(world: World) -> None:
    """REL-11: seqs of a feed ascend by one from the one that was asked for."""
    _, relay, phone, _ = world
    phone.write(*(f"{n:03}" for n in range(200)))
    relay.lose_answer()
    with pytest.raises(Exception, match="broke"):
        phone.sync()
    relay.mend()
    for change, code, seq in (
        (lambda found: found[1:], "gap", 2),
        (lambda found: [found[0], found[0]], "replay", 3),
        (lambda found: [replace(found[0], device=2)], "replay", 2),
        (lambda found: [], "missing", 5),
    ):
        relay.spoil(ReadFeed, items(change))
        relay.spoil(ReadHeads, named(1, 5))
        with refused(HistoryError, code, device=1, seq=seq):
            phone.sync()
        relay.mend()
    relay.spoil(ReadHeads, heads(lambda known: known | {1: known[1]._replace(header_id=OTHER)}))
    with refused(HistoryError, "fork", device=1, seq=5):
        phone.sync()
    relay.mend()
    phone.sync()
    assert not phone.kept.pending


# Rosters


def test_another_roster_is_a_fork(world: World) -> None:
    """ROS-14: entries that continue another roster than the verified one."""
    made, relay, phone, _ = world
    other = copy.copy(made)
    other.entries, other.wraps, other.epochs = list(made.entries), list(made.wraps), dict(made.epochs)
    other.change(device(2))
    other.change(device(2))
    made.change(device(1))
    phone.sync()
    relay.world = other
    before = phone.kept.copied()
    with refused(HistoryError, "fork"):
        phone.sync()
    assert phone.kept == before


def test_a_roster_with_a_hole(world: World) -> None:
    """ROS-01, on the client's side."""
    made, relay, _, _ = world
    for _ in range(2):
        made.change(device(2))
    relay.spoil(ReadRoster, lambda action, answer: (answer[0][1:], answer[1]))
    check(world, HistoryError, "roster")


def test_an_entry_with_a_flipped_bit(world: World) -> None:
    made, relay, phone, _ = world
    made.change(device(2))
    before = phone.kept.copied()
    for bit in range(0, 8 * len(made.entries[-1]), 97):
        relay.spoil(ReadRoster, instead(([flipped(made.entries[-1], bit)], made.roster.number)))
        with pytest.raises(PeerError):
            phone.sync()
        assert phone.kept == before
        relay.mend()
    phone.sync()


def test_a_pin_below_what_was_verified(world: World) -> None:
    """ROS-17: with device and seq; another header at the pin is a fork, and discard-after is none of both."""
    made, relay, phone, _ = world
    phone.sync()
    pin = made.pin(2)
    assert pin.seq == 4
    for removal, code, seq in (
        (pin._replace(seq=3, header_id=made.known(2, 3) or b""), "rollback", 4),
        (pin._replace(seq=0, header_id=b""), "rollback", 4),
        (pin._replace(header_id=OTHER), "fork", 4),
    ):
        composed = made.compose(device(1), remove=[removal])
        relay.spoil(ReadRoster, instead(([composed.entry], made.roster.number + 1)))
        before = phone.kept.copied()
        with refused(HistoryError, code, device=2, seq=seq):
            phone.sync()
        assert phone.kept == before
        relay.mend()
    made.remove(pin._replace(seq=3, header_id=made.known(2, 3) or b"", discard_after=True), by=device(1))
    phone.write("seven")
    phone.sync()
    assert relay.log[-1].device == 1


def test_segments_beyond_a_pin(world: World) -> None:
    """SEG-05: a removed device's segment that a relay serves all the same."""
    made, relay, phone, _ = world
    late = made.seal(2, b"too late")
    made.segments[2].pop()
    made.remove(2, by=device(1))
    relay.put(2, late)
    with refused(HistoryError, "pinned", device=2, seq=5):
        phone.sync()
    assert phone.account.feed(2).seq == 1


# Keys


@pytest.mark.parametrize(
    ("spoil", "family", "code"),
    [
        (lambda _, wraps: [], HistoryError, "missing"),
        (lambda _, wraps: [replace(wrap, recipient=1) for wrap in wraps], HistoryError, "missing"),
        (lambda _, wraps: [replace(wrap, entry=0) for wrap in wraps], HistoryError, "missing"),
        (lambda _, wraps: [replace(wrap, entry=99) for wrap in wraps], HistoryError, "missing"),
        (lambda _, wraps: [replace(wraps[0], wrap=flipped(wraps[0].wrap, 5))], AuthenticationError, "digest"),
        (lambda _, wraps: [replace(wraps[0], wrap=wraps[0].wrap[1:])], AuthenticationError, "digest"),
    ],
)
def test_wraps_that_are_none(spoil: Spoil, family: type[PeerError], code: str) -> None:
    """KEY-07, ROS-15: of the entry that they are said to belong to, or the sync stops."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    tablet = Device(2, made, relay)
    made.change(device(1))
    relay.spoil(ReadWraps, spoil)
    before = tablet.kept.copied()
    with refused(family, code):
        tablet.sync()
    assert tablet.kept == before
    relay.mend()
    tablet.sync()
    assert tablet.account.roster.number == made.roster.number


def test_a_wrap_for_somebody_else() -> None:
    """KEY-07: the relay's doing, though its entry has that digest too."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    tablet = Device(2, made, relay)
    made.change(device(1))
    number, theirs = made.roster.number, made.wraps[-1][1]
    relay.spoil(ReadWraps, instead([Wrap(number, 2, theirs)]))
    with refused(AuthenticationError, "digest"):
        tablet.sync()


# Receipts


@pytest.mark.parametrize("fault", ["flipped", "another identity", "another header", "a refusal", "nothing"])
def test_a_receipt_that_does_not_hold(world: World, fault: str) -> None:
    """SEG-16: signed by the pinned identity, for exactly its header; the segment waits on, unchanged."""
    made, relay, phone, tablet = world

    def spoil(action: Append, answer: Appended) -> Appended:
        honest, stored = answer.receipts[0], relay.log[-1]
        other = MadeRelay("other")
        other.incarnation = relay.incarnation
        statement = {
            "flipped": flipped(honest, 300),
            "another identity": other.receipt(made, stored.segment, stored.position),
            "another header": relay.made.receipt(made, relay.log[0].segment, 1),
            "a refusal": relay.made.refusal(made, 1, stored.segment),
            "nothing": b"",
        }[fault]
        return Appended(answer.last, (statement,))

    relay.spoil(Append, spoil)
    before = phone.kept.copied()
    for _ in range(2):
        with refused(HistoryError, "receipt", device=1, seq=2):
            phone.sync()
        assert phone.kept.receipts == before.receipts
        assert phone.account.feed(1) == before.account.feed(1)
        assert len(phone.kept.pending) == 1
    first = next(action for action in relay.asked[::-1] if isinstance(action, Append))
    relay.mend()
    phone.sync()
    assert [action for action in relay.asked if isinstance(action, Append)][-1] == first
    tablet.sync()
    assert tablet.texts == phone.texts


def test_a_receipt_of_another_account(world: World) -> None:
    _, relay, phone, _ = world
    other = MadeAccount(seed="other")

    def spoil(action: Append, answer: Appended) -> Appended:
        stored = relay.log[-1]
        receipt = Receipt(stored.segment.header_id, stored.position, relay.incarnation)
        return Appended(2, (receipt.sign(other.id, relay.made.key),))

    relay.spoil(Append, spoil)
    with refused(HistoryError, "receipt", device=1, seq=2):
        phone.sync()


# Refusals


@pytest.mark.parametrize(
    "fault",
    [
        "forged",
        "flipped",
        "another header",
        "another incarnation",
        "no newer roster",
        "unknown entry",
        "wrong id",
        "none",
    ],
)
def test_a_refusal_that_does_not_hold(world: World, fault: str) -> None:
    """SEG-15: by the pinned identity, for the pending header, of its incarnation, with a newer entry that was verified."""
    made, relay, phone, tablet = world

    def spoil(action: Append, answer: object) -> EpochStaleError:
        header = phone.kept.pending[0][0].header_id
        said = Refusal(header, DeviceId(1), Seq(2), made.roster.number, made.roster.head, relay.incarnation)
        key = relay.made.key
        if fault == "forged":
            key = MadeRelay("other").key
        elif fault == "another header":
            said = replace(said, header_id=relay.log[0].segment.header_id)
        elif fault == "another incarnation":
            said = replace(said, incarnation=bytes(16))
        elif fault == "unknown entry":
            said = replace(said, roster_number=made.roster.number + 1)
        elif fault == "wrong id":
            said = replace(said, roster_head=OTHER)
        statement = said.sign(made.id, key)
        statement = {"flipped": flipped(statement, 900), "none": b""}.get(fault, statement)
        return EpochStaleError(statement, status=409)

    relay.spoil(Append, spoil)
    if fault != "no newer roster":
        relay.before(Append, lambda action: made.change(device(2)))
    for _ in range(2):
        with refused(HistoryError, "refusal", device=1, seq=2):
            phone.sync()
        assert len(phone.kept.pending) == 1
        assert not phone.kept.refusals
    relay.mend()
    phone.sync()
    tablet.sync()
    assert tablet.texts == phone.texts


def test_a_relay_that_refuses_for_ever(world: World) -> None:
    """Eight rotations in a row are no account any more."""
    made, relay, phone, _ = world

    def again(action: Append) -> None:
        made.change(device(2))
        relay.before(Append, again)

    relay.before(Append, again)
    with refused(HistoryError, "refusal"):
        phone.sync()
    relay.mend()
    phone.sync()
    assert not phone.kept.pending


def test_a_refused_header_that_is_served_all_the_same(world: World) -> None:
    """§6.6: the refusal that the device keeps blames the relay, not another copy of the device."""
    made, relay, phone, _ = world
    sealed: list[Any] = []

    def come_between(action: Append) -> None:
        sealed.append(phone.kept.pending[0][0])
        made.change(device(2))

    relay.before(Append, come_between)
    phone.sync()
    assert phone.kept.headers[1, 2] != sealed[0].header_id
    kept = phone.kept.copied()
    relay.log[-1] = replace(relay.log[-1], segment=sealed[0])
    phone.write("seven")
    with refused(HistoryError, "fork", device=1, seq=2):
        phone.sync()  # its head is another
    relay.spoil(ReadHeads, heads(lambda known: known | {1: known[1]._replace(header_id=kept.headers[1, 2])}))
    phone.kept.account = replace(phone.account, position=relay.log[-2].position)
    relay.spoil(ReadHeads, lambda action, answer: replace(answer, position=answer.position + 1))
    with refused(HistoryError, "refusal", device=1, seq=2):
        phone.sync()
    assert phone.kept.headers == kept.headers


# Problems


@pytest.mark.parametrize("code", ["gap", "fork", "roster-conflict"])
def test_a_problem_that_nothing_bears_out(world: World, code: str) -> None:
    """A relay that cannot show why it does not take the next segment withholds something."""
    world.relay.spoil(Append, refuse(code))
    check(world, HistoryError, "missing", 1, 2, after="an append")


@pytest.mark.parametrize("action", [ReadHeads, ReadChanges, Append])
@pytest.mark.parametrize("code", ["revoked", "closed", "not-found"])
def test_a_denial_that_the_roster_does_not_bear_out(world: World, action: type, code: str) -> None:
    """REL-13: the roster decides; without the removal, or the `close`, in it this is a rollback."""
    world.relay.spoil(action, refuse(code))
    check(world, HistoryError, "rollback", after="an append" if action is Append else "nothing")


@pytest.mark.parametrize("code", ["revoked", "closed", "not-found"])
def test_a_denial_of_keys_is_one_too(code: str) -> None:
    """REL-13: also while the roster is being followed."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    tablet = Device(2, made, relay)
    made.change(device(1))
    relay.spoil(ReadWraps, refuse(code))
    with refused(HistoryError, "rollback"):
        tablet.sync()


def test_a_removal_is_believed(world: World) -> None:
    """REL-13: it stands in the roster."""
    made, relay, phone, _ = world
    relay.before(ReadHeads, lambda action: made.remove(1, by=kit(0), new_kit=True))
    before = phone.kept.copied()
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert (caught.value.code, caught.value.retryable) == ("revoked", False)
    assert str(caught.value) == "this device was removed from the account by a recovery kit"
    assert not phone.account.roster.devices[1].active  # that much is kept
    assert replace(phone.kept, account=before.account) == before
    with pytest.raises(RefusedError, match="by a recovery kit"):
        phone.sync()


def test_a_closed_account_is_believed(world: World) -> None:
    """REL-13: with the `close` in the roster."""
    made, relay, phone, _ = world
    made.close(by=0)
    relay.spoil(ReadHeads, refuse("closed"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "closed"


def test_other_problems_are_passed_on(world: World) -> None:
    _, relay, phone, _ = world
    for code in ("busy", "internal", "forbidden"):
        relay.spoil(ReadHeads, refuse(code))
        with pytest.raises(RefusedError) as caught:
            phone.sync()
        assert (caught.value.code, caught.value.retryable) == (code, refusal_of(code).retryable)
        relay.mend()


def test_only_what_has_a_receipt_is_settled(world: World) -> None:
    """SEG-18, on the client's side: no receipt, no `Settle`."""
    _, relay, phone, _ = world
    seen: list[Settle] = []
    store: Callable[[Any], Any] = phone._store

    def watched(action: Any) -> Any:
        if isinstance(action, Settle):
            seen.append(action)
        return store(action)

    phone._store = watched  # type: ignore[method-assign]
    phone.sync()
    assert [seq for settle in seen for seq, _, _ in settle.receipts] == [2]
    assert isinstance(relay.answer(1, ReadHeads()), Heads)
    assert isinstance(relay.answer(1, ReadChanges(0, None)), Page)
