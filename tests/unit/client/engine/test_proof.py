"""What proves a fork (spec §11.2), found where both statements are at hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealkeep_client.engine import Append, AppendItem, ReadChanges, ReadFeed, ReadHeads, ReadInfo, ReadRoster
from sealkeep_protocol.errors import HistoryError, PeerError, TransportError
from sealkeep_protocol.evidence import Evidence, Finding, Place, verify_evidence
from sealkeep_protocol.records import Message, encode_body
from sealkeep_protocol.segments import Head, SealedSegment
from sealkeep_protocol.types import DeviceId
from support.accounts import TIME, MadeAccount, device
from support.memory_relay import CHAT, Device, MemoryRelay, heads, instead, items, refusal_of

GOOD = encode_body(messages=[Message(CHAT, TIME, 1, source=1, text="good")])
OTHER = encode_body(messages=[Message(CHAT, TIME, 1, source=3, text="other")])

World = tuple[MadeAccount, MemoryRelay, Device, Device]


@pytest.fixture
def world() -> World:
    """The phone (1) and the laptop (3) sync; the second device signs what a test has it sign."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop = Device(1, made, relay), Device(3, made, relay)
    phone.write("one")
    phone.sync()
    return made, relay, phone, laptop


def two_headers(world: World) -> SealedSegment:
    """The phone has read the one, and the relay now stores the other."""
    made, relay, phone, _ = world
    twin = made.seal(2, OTHER, take=False)
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    relay.log[-1] = replace(relay.log[-1], segment=twin)
    return twin


def forked(device: Device) -> PeerError:
    with pytest.raises(HistoryError) as caught:
        device.sync()
    assert caught.value.code == "fork"
    return caught.value


def finding(made: MadeAccount, error: PeerError) -> Finding:
    assert error.proof is not None
    return verify_evidence(Evidence(tuple(made.entries), error.proof))


def test_a_head_that_is_only_named_is_asked_for(world: World) -> None:
    """VIE-03: two headers at one place accuse their author."""
    made, relay, phone, _ = world
    two_headers(world)
    relay.asked.clear()
    found = finding(made, forked(phone))
    assert (found.accused, found.places) == ("device", (Place(2, 1),))
    assert [type(action) for action in relay.asked] == [ReadRoster, ReadHeads, ReadFeed]


@pytest.mark.parametrize(
    "answer",
    [
        TransportError("the connection to the relay broke"),
        refusal_of("not-found"),
        "nothing",
        "the verified one",
        "forged",
    ],
    ids=str,
)
def test_a_relay_that_cannot_show_it(world: World, answer: object) -> None:
    """VIE-03, ERR-02: the fork stands, without a proof."""
    _, relay, phone, _ = world
    honest = relay.log[-1:]
    two_headers(world)
    if answer == "nothing":
        relay.spoil(ReadFeed, items(lambda found: []))
    elif answer == "the verified one":
        good = phone.kept.signed[2, 1]
        relay.spoil(ReadFeed, items(lambda found: [replace(found[0], header=good)]))
    elif answer == "forged":
        relay.spoil(ReadFeed, items(lambda found: [replace(found[0], header=honest[0].segment.header)]))
    else:
        relay.spoil(ReadFeed, instead(answer))
    before = phone.kept.copied()
    assert forked(phone).proof is None
    assert phone.kept == before


def test_a_head_of_which_only_the_id_is_kept_is_not_asked_for(world: World) -> None:
    """VIE-03: there would be nothing to hold it against."""
    _, relay, phone, _ = world
    two_headers(world)
    phone.kept.signed.clear()
    relay.asked.clear()
    assert forked(phone).proof is None
    assert ReadFeed not in {type(action) for action in relay.asked}


def test_another_header_among_the_changes(world: World) -> None:
    """VIE-03, SEG-09: hidden among the heads, and shown as new."""
    made, relay, phone, _ = world
    twin = two_headers(world)
    honest = Head(DeviceId(2), twin.seq, phone.account.feed(2).head)
    relay.spoil(ReadHeads, heads(lambda known: known | {2: honest}))
    relay.put(2, twin)
    assert finding(made, forked(phone)).places == (Place(2, 1),)


def test_a_view_that_names_another_header(world: World) -> None:
    """VIE-03, P5: the laptop was shown another header of device 2."""
    made, relay, phone, laptop = world
    twin = made.seal(2, OTHER, take=False)
    honest = relay.put(2, made.seal(2, GOOD))
    phone.sync()
    place = relay.log.index(honest)
    relay.log[place] = replace(honest, segment=twin)
    laptop.write("meanwhile")
    laptop.sync()
    relay.log[place] = honest
    found = finding(made, forked(phone))
    assert (found.accused, found.places) == ("devices", (Place(3, 1), Place(2, 1)))


def test_a_header_that_was_read_in_the_same_sync(world: World) -> None:
    """VIE-03: it is not kept yet when the other one comes."""
    made, relay, phone, laptop = world
    twin = made.seal(2, OTHER, take=False)
    honest = relay.put(2, made.seal(2, GOOD))
    place = relay.log.index(honest)
    relay.log[place] = replace(honest, segment=twin)
    laptop.write("meanwhile")
    laptop.sync()
    relay.log[place] = honest
    assert finding(made, forked(phone)).places == (Place(3, 1), Place(2, 1))


def test_a_refused_segment_that_is_shown(world: World) -> None:
    """VIE-03, SEG-15: the relay's own word is against it."""
    made, relay, phone, _ = world
    phone.write("two")
    taken: list[AppendItem] = []
    relay.before(Append, lambda action: (taken.extend(action.items), made.change(device(1))))
    phone.sync()
    [refused] = phone.kept.refusals
    item = taken[0]
    assert item.summary is not None
    assert item.body is not None
    sealed = SealedSegment(phone.account.feed(1).seq, refused, item.header, item.summary, item.body)
    relay.log[-1] = replace(relay.log[-1], segment=sealed, position=relay.log[-1].position + 1)
    relay.spoil(ReadHeads, heads(lambda known: known | {1: Head(DeviceId(1), sealed.seq, phone.account.feed(1).head)}))
    with pytest.raises(HistoryError) as caught:
        phone.sync()
    assert caught.value.code == "refusal"
    found = finding(made, caught.value)
    assert (found.accused, found.identity) == ("relay", relay.made.identity)


def test_an_entry_of_another_roster(world: World) -> None:
    """VIE-03, ROS-14: in a sync, and where all is read again."""
    made, relay, phone, _ = world
    twin = made.fork()
    made.change(device(1))
    phone.sync()
    twin.change(device(2))
    twin.change(device(2))
    relay.spoil(ReadRoster, lambda action, _: (twin.entries[action.first :], twin.roster.number))
    assert finding(made, forked(phone)).entry == made.roster.number
    with pytest.raises(HistoryError) as caught:
        phone.verify()
    assert finding(made, caught.value).entry == made.roster.number


def test_another_header_when_all_is_read_again(world: World) -> None:
    """VIE-03"""
    made, _, phone, _ = world
    two_headers(world)
    with pytest.raises(HistoryError) as caught:
        phone.verify()
    assert finding(made, caught.value).places == (Place(2, 1),)


def test_a_restored_relay_is_told_from_one_that_says_nothing(world: World) -> None:
    """VIE-10: both have rolled back; the words stand beside it."""
    made, relay, phone, _ = world
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    relay.spoil(ReadHeads, heads(lambda known: {1: known[1]}))
    for incarnation, restored, said in [
        (relay.made.incarnation, None, None),
        (relay.made.incarnation, 5, None),  # words alone do not make it another store
        (bytes(16), None, 0),
        (bytes(16), 5, 5),
    ]:
        relay.made.incarnation, relay.restored = incarnation, restored
        with pytest.raises(HistoryError) as caught:
            phone.sync()
        assert (caught.value.code, caught.value.restored) == ("rollback", said)
    relay.spoil(ReadInfo, instead(TransportError("the connection to the relay broke")))
    with pytest.raises(HistoryError) as caught:
        phone.sync()
    assert caught.value.restored is None


def test_words_of_another_relay_are_not_heard(world: World) -> None:
    """VIE-10: what is asked for them may not be the relay that rolled back at all."""
    made, relay, phone, _ = world
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    relay.spoil(ReadHeads, heads(lambda known: {1: known[1]}))
    relay.made.incarnation, relay.restored = bytes(16), 5
    for identity, said in ((phone.account.identity, 5), (bytes(32), None)):
        relay.spoil(ReadInfo, lambda _, info, identity=identity: replace(info, identity=identity))
        with pytest.raises(HistoryError) as caught:
            phone.sync()
        assert (caught.value.code, caught.value.restored) == ("rollback", said)


def test_a_denial_may_be_a_restored_relays(world: World) -> None:
    """VIE-10, REL-13"""
    _, relay, phone, _ = world
    relay.spoil(ReadHeads, instead(refusal_of("not-found")))
    relay.made.incarnation, relay.restored = bytes(16), 7
    with pytest.raises(HistoryError) as caught:
        phone.sync()
    assert (caught.value.code, caught.value.restored) == ("rollback", 7)


def test_a_device_that_never_synced_has_the_relays_words_alone(world: World) -> None:
    """VIE-10: it knows no incarnation to compare with."""
    _, relay, _, laptop = world
    relay.spoil(ReadRoster, instead(([], 0)))
    for restored in (None, 5):
        relay.restored = restored
        with pytest.raises(HistoryError) as caught:
            laptop.sync()
        assert (caught.value.code, caught.value.restored) == ("rollback", restored)


def test_other_errors_ask_nothing_more(world: World) -> None:
    _, relay, phone, laptop = world
    laptop.write("more")
    laptop.sync()
    relay.spoil(ReadChanges, items(lambda found: []))
    relay.asked.clear()
    with pytest.raises(HistoryError) as caught:
        phone.sync()
    assert caught.value.code == "missing"
    assert not {ReadInfo, ReadFeed} & {type(action) for action in relay.asked}
