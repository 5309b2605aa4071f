"""Feeds as other devices read them: transplants, omissions and any order of writing (spec §6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.segments import SealedSegment, open_segment, sign_header, verify_header
from sealkeep_protocol.types import DeviceId, EpochNumber, ObjectId, Seq
from support.accounts import MadeAccount, device, refused


def written(steps: list[tuple[int, bool]], *, seed: str = "0") -> MadeAccount:
    """Three devices write in this order; where a step says so, the roster rotates before."""
    account = MadeAccount(devices=3, seed=seed)
    for author, rotates in steps:
        if rotates:
            account.change(device(author))
        account.seal(author, b"content of %d" % author)
    return account


STEPS = st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=8)


def read(account: MadeAccount, author: int, segments: list[SealedSegment]) -> Feed:
    """Follow and open a feed as a reader does who was shown all others."""
    feed = Feed(DeviceId(author))
    for segment in segments:
        verified = account.verified(author, segment)
        feed = feed.follow(verified, account.roster, account.known)
        epoch = account.epochs[verified.header.epoch]
        open_segment(verified, account.id, epoch, summary=segment.summary, body=segment.body)
    return feed


@given(STEPS)
def test_what_devices_write_is_read(steps: list[tuple[int, bool]]) -> None:
    account = written(steps)
    for author, segments in account.segments.items():
        feed = read(account, author, segments)
        assert (feed.seq, feed.head) == (len(segments), segments[-1].header_id)


@given(STEPS, st.data())
def test_an_omission_is_a_gap_and_another_order_never_passes(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """SEG-02"""
    account = written([*steps, (1, False), (1, False)])
    segments = account.segments[1]
    left_out = data.draw(st.integers(0, len(segments) - 2))
    with refused(HistoryError, "gap", device=1, seq=left_out + 2):
        read(account, 1, segments[:left_out] + segments[left_out + 1 :])
    order = data.draw(st.permutations(range(len(segments))))
    if list(order) != sorted(order):
        with pytest.raises(HistoryError) as caught:
            read(account, 1, [segments[number] for number in order])
        assert caught.value.code in ("gap", "replay")
        assert caught.value.device == 1
    with refused(HistoryError, "replay", device=1, seq=left_out + 1):
        read(account, 1, [*segments, segments[left_out]])


@given(STEPS, st.data())
def test_a_withheld_feed_is_noticed_by_whoever_reads_an_author_that_saw_it(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """SEG-06: with device and seq of the header that vouches for it."""
    account = written([(2, False), *steps, (1, False)])
    withheld = data.draw(st.integers(1, len(account.segments[2])))

    def known(number: int, seq: int) -> ObjectId | None:
        return None if number == 2 and seq >= withheld else account.known(number, seq)

    feed = Feed(DeviceId(1))
    for segment in account.segments[1]:
        verified = account.verified(1, segment)
        if any(head.device == 2 and head.seq >= withheld for head in verified.header.heads):
            with refused(HistoryError, "missing", device=1, seq=segment.seq):
                feed.follow(verified, account.roster, known)
            break
        feed = feed.follow(verified, account.roster, known)


@given(
    STEPS,
    st.sampled_from(["account", "device", "seq", "epoch"]),
    st.booleans(),
    st.data(),
)
def test_a_transplanted_segment_is_refused(
    steps: list[tuple[int, bool]], where: str, signs_again: bool, data: st.DataObject
) -> None:
    """SEG-01, SIG-03, SEG-04, KEY-05: by the relay of its place, or by whoever made it, with every key of the account."""
    account = written(steps)
    author, segments = data.draw(st.sampled_from(sorted(account.segments.items())))
    segment = data.draw(st.sampled_from(segments))
    verified = account.verified(author, segment)
    header, target, to = verified.header, account, author
    if where == "account":
        target = MadeAccount(devices=3, seed="another")
    elif where == "device":
        to = author % 3 + 1
        header = replace(header, device=DeviceId(to), heads=tuple(h for h in header.heads if h.device != to))
    elif where == "seq":
        seq = header.seq + data.draw(st.integers(1, 3))
        header = replace(header, seq=Seq(seq), previous=segment.header_id)
    else:
        other = data.draw(st.sampled_from([n for n in account.epochs if n != header.epoch]))
        header = replace(header, epoch=EpochNumber(other))
    key = target.devices[to].signing
    moved = sign_header(header, target.id, key) if signs_again else segment.header
    if where == "epoch" and not signs_again:
        return  # the header as it is names its own epoch
    # Whatever epoch the header names, every one of either account is tried.
    for epoch in [*account.epochs.values(), *target.epochs.values()]:
        with pytest.raises(PeerError) as caught:
            take(moved, target, to, header.seq, epoch, segment)
        error = caught.value
        assert (error.device, error.seq) == (to, header.seq)
        if signs_again:
            # Under the key that it was sealed with, what refuses another epoch's number is the binding to the core.
            own = where == "epoch" and epoch.number == verified.header.epoch
            assert (type(error), error.code) == (AuthenticationError, "ciphertext" if own else "commitment")
        elif where == "seq":
            assert (type(error), error.code) == (HistoryError, "replay")
        else:
            assert (type(error), error.code) == (AuthenticationError, "signature")


def take(moved: bytes, target: MadeAccount, to: int, seq: int, epoch: EpochKeys, segment: SealedSegment) -> None:
    """Verify and open a segment at the place to which somebody moved it."""
    key = target.devices[to].signing.public
    verified = verify_header(moved, account=target.id, device=to, seq=seq, key=key)
    open_segment(verified, target.id, epoch, summary=segment.summary, body=segment.body)


@given(STEPS, st.data())
def test_a_feed_refuses_an_epoch_that_its_roster_head_does_not_have(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """SEG-04, SEG-03"""
    account = written(steps)
    author, segments = data.draw(st.sampled_from(sorted(account.segments.items())))
    verified = account.verified(author, segments[0])
    other = data.draw(st.sampled_from([n for n in account.epochs if n != verified.header.epoch]))
    header = replace(verified.header, epoch=EpochNumber(other))
    with refused(HistoryError, "epoch", device=author, seq=1):
        Feed(DeviceId(author)).check_link(header, account.roster)
