"""Devices that sign what no honest device signs: what is unreadable does not stop the others, what contradicts does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sealkeep_client.engine import ReadHeads
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import HistoryError, PeerError
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.padding import compress
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import Message, encode_body
from sealkeep_protocol.segments import (
    Head,
    SealedSegment,
    SegmentClass,
    header_identifier,
    seal_segment,
    sign_header,
    summarize,
    view_hash,
)
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import TIME, MadeAccount, device, flipped, refused
from support.memory_relay import CHAT, Device, MemoryRelay, heads

OTHER = ObjectId(sha256(b"other"))
GOOD = encode_body(messages=[Message(CHAT, TIME, 1, source=1, text="good")])

World = tuple[MadeAccount, MemoryRelay, Device, Device]


@pytest.fixture
def world() -> World:
    """The phone (1) and the laptop (3) are honest; whatever the second device signs is a test's own."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop = Device(1, made, relay), Device(3, made, relay)
    phone.write("one")
    phone.sync()
    return made, relay, phone, laptop


def forged(made: MadeAccount, segment: SealedSegment, **fields: object) -> SealedSegment:
    """The segment with other fields in its header, signed by its author."""
    header = replace(made.verified(2, segment).header, **fields)  # type: ignore[arg-type]
    data = sign_header(header, made.id, made.devices[2].signing)
    return SealedSegment(header.seq, header_identifier(data, made.id), data, segment.summary, segment.body)


def with_body(made: MadeAccount, segment: SealedSegment, summary: bytes, body: bytes) -> SealedSegment:
    """Other ciphertexts, whose hashes the author signs."""
    signed = forged(made, segment, digests=(sha256(summary), sha256(body)))
    return replace(signed, summary=summary, body=body)


def _garbage(made: MadeAccount) -> SealedSegment:
    return made.seal(2, b"\xff garbage")


def _empty(made: MadeAccount) -> SealedSegment:
    return made.seal(2, b"")


def _unknown_table(made: MadeAccount) -> SealedSegment:
    return made.seal(2, cbor.encode({9: [1, {}]}))


def _too_long(made: MadeAccount) -> SealedSegment:
    content = cbor.encode({3: [1, {1: [3, ["a", "", "b"]], 13: [3, "x" * 70_000]}]})
    return made.seal(2, content, segment_class=SegmentClass.HISTORY, compressed=True)


def _other_count(made: MadeAccount) -> SealedSegment:
    return made.seal(2, GOOD, summary=summarize(SegmentClass.LIVE, [TIME], 2, [], len(GOOD)))


def _other_span(made: MadeAccount) -> SealedSegment:
    return made.seal(2, GOOD, summary=summarize(SegmentClass.LIVE, [TIME, TIME + 1], 1, [], len(GOOD)))


def _other_length(made: MadeAccount) -> SealedSegment:
    return made.seal(2, GOOD, summary=summarize(SegmentClass.LIVE, [TIME], 1, [], len(GOOD) + 1))


def _other_key(made: MadeAccount) -> SealedSegment:
    key = EpochKeys(sha256(b"my own"), made.roster.epoch, made.roster.nonce)
    summary = summarize(SegmentClass.LIVE, [TIME], 1, [], len(GOOD))
    signing = made.devices[2].signing
    return seal_segment(made.position(2), key, signing, summary, GOOD, compressed=False, salt=bytes(32))


def _other_ciphertext(made: MadeAccount) -> SealedSegment:
    segment = made.seal(2, GOOD, take=False)
    return with_body(made, segment, segment.summary, flipped(segment.body, 9))


def _other_summary(made: MadeAccount) -> SealedSegment:
    segment = made.seal(2, GOOD, take=False)
    return with_body(made, segment, flipped(segment.summary, 9), segment.body)


def _two_frames(made: MadeAccount) -> SealedSegment:
    packed = compress(GOOD) + compress(GOOD)
    summary = summarize(SegmentClass.HISTORY, [TIME], 1, [], len(GOOD))
    signing = made.devices[2].signing
    return seal_segment(made.position(2), made.epoch, signing, summary, packed, compressed=True, salt=bytes(32))


UNREADABLE: list[tuple[Callable[[MadeAccount], SealedSegment], str]] = [
    (_garbage, "malformed"),
    (_empty, "malformed"),
    (_unknown_table, "unsupported"),
    (_too_long, "too-large"),
    (_other_count, "malformed"),
    (_other_span, "malformed"),
    (_other_length, "malformed"),
    (_other_key, "commitment"),
    (_other_ciphertext, "ciphertext"),
    (_other_summary, "ciphertext"),
    (_two_frames, "malformed"),
]


@pytest.mark.parametrize(("make", "code"), UNREADABLE)
def test_what_cannot_be_read_stops_nobody(
    world: World, make: Callable[[MadeAccount], SealedSegment], code: str
) -> None:
    """SEG-22: marked and reported with device and seq, nothing taken from it; all others go on, and vouch for it."""
    made, relay, phone, laptop = world
    relay.put(2, make(made))
    laptop.write("after it")
    report = laptop.sync()
    assert [(error.code, error.device, error.seq) for error in report.unreadable] == [(code, 2, 1)]
    assert laptop.kept.unreadable == [(2, 1, code)]
    report = phone.sync()
    assert (report.segments_read, report.records_read) == (2, 1)
    assert [(error.code, error.device, error.seq) for error in report.unreadable] == [(code, 2, 1)]
    assert phone.texts == laptop.texts == ["after it", "one"]
    assert not phone.sync().unreadable  # told once
    verified = phone.verify()
    assert [(error.code, error.device, error.seq) for error in verified.unreadable] == [(code, 2, 1)]
    assert not any("garbage" in str(error) for error in verified.unreadable)  # ERR-03


def test_the_author_of_something_unreadable_goes_on(world: World) -> None:
    """SEG-22: its next segment is read as if nothing had been."""
    made, relay, phone, laptop = world
    relay.put(2, _garbage(made))
    good = encode_body(messages=[Message(CHAT, TIME, 1, source=2, text="good again")])
    relay.put(2, made.seal(2, good))
    for reader in (phone, laptop):
        reader.sync()
        assert "good again" in reader.texts
        assert reader.account.feed(2).seq == 2


def test_two_headers_at_one_place(world: World) -> None:
    """SEG-09: whoever has one refuses the other, however it is shown."""
    made, relay, phone, laptop = world
    twin = made.seal(2, encode_body(messages=[Message(CHAT, TIME, 1, source=3, text="for the laptop")]), take=False)
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    relay.log[-1] = replace(relay.log[-1], segment=twin)
    laptop.sync()
    assert "good" in phone.texts
    assert "for the laptop" in laptop.texts
    before = phone.kept.copied()
    with refused(HistoryError, "fork", device=2, seq=1):
        phone.sync()
    # The relay hides it among the heads, and shows it as new.
    honest = Head(DeviceId(2), Seq(1), phone.account.feed(2).head)
    relay.spoil(ReadHeads, heads(lambda known: known | {2: honest}))
    relay.put(2, twin)
    with refused(HistoryError, "fork", device=2, seq=1):
        phone.sync()
    assert phone.kept == before


def test_readers_of_two_headers_find_out(world: World) -> None:
    """SEG-06, P5: the laptop's next header names the head that it was shown."""
    made, relay, phone, laptop = world
    twin = made.seal(2, encode_body(messages=[Message(CHAT, TIME, 1, source=3, text="for the laptop")]), take=False)
    honest = relay.put(2, made.seal(2, GOOD))
    phone.sync()
    place = relay.log.index(honest)
    relay.log[place] = replace(honest, segment=twin)
    laptop.write("meanwhile")
    laptop.sync()
    relay.log[place] = honest
    before = phone.kept.copied()
    with refused(HistoryError, "fork", device=3, seq=1):
        phone.sync()
    assert phone.kept == before


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"view": bytes(32)}, "fork"),
        ({"heads": ()}, "fork"),
        ({"heads": (Head(DeviceId(1), Seq(1), OTHER),)}, "fork"),
        ({"heads": (Head(DeviceId(1), Seq(9), OTHER),)}, "missing"),
        ({"heads": (Head(DeviceId(9), Seq(1), OTHER),)}, "rollback"),
        ({"roster": 99}, "missing"),
        ({"roster": 0}, "author"),
        ({"roster": 1}, "epoch"),
        ({"epoch": 1}, "epoch"),
        ({"previous": OTHER, "seq": Seq(2)}, "gap"),
    ],
)
def test_a_header_that_contradicts_is_refused(world: World, fields: dict[str, object], code: str) -> None:
    """SEG-03, SEG-04, SEG-06, SEG-07, SEG-21: whoever signed it; the reader's state stays as it was."""
    made, relay, phone, _ = world
    segment = forged(made, made.seal(2, GOOD, take=False), **fields)
    relay.put(2, segment)
    before = phone.kept.copied()
    with refused(HistoryError, code, device=2, seq=segment.seq):
        phone.sync()
    assert replace(phone.kept, account=before.account) == before
    assert phone.account.feed(2).seq == 0


def test_a_view_that_goes_back_is_refused(world: World) -> None:
    """SEG-21: a head that is not beyond the one that its author named before."""
    made, relay, phone, _ = world
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    head = made.head(1)
    assert head is not None
    again = forged(made, made.seal(2, GOOD, take=False), heads=(head,))
    relay.put(2, again)
    with refused(HistoryError, "rollback", device=2, seq=2):
        phone.sync()


def test_a_roster_head_that_goes_back_is_refused(world: World) -> None:
    """SEG-03: along a feed it never does."""
    made, relay, phone, _ = world
    first = made.roster
    epoch = made.epoch
    made.change(device(1))
    relay.put(2, made.seal(2, GOOD))
    phone.sync()
    position = replace(made.position(2), roster_number=first.number, roster_head=first.head)
    summary = summarize(SegmentClass.LIVE, [TIME], 1, [], len(GOOD))
    relay.put(
        2,
        seal_segment(position, epoch, made.devices[2].signing, summary, GOOD, compressed=False, salt=bytes(32)),
    )
    with refused(HistoryError, "roster", device=2, seq=2):
        phone.sync()


def test_a_made_up_view_of_nobody(world: World) -> None:
    """SEG-07: the hash counts, not only the heads."""
    made, relay, phone, _ = world
    head = made.head(1)
    assert head is not None
    segment = made.seal(2, GOOD, take=False)
    relay.put(2, forged(made, segment, view=view_hash(OTHER, [head])))
    with pytest.raises(PeerError) as caught:
        phone.sync()
    assert caught.value.code == "fork"
