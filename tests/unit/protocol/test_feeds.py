"""Feeds as hash chains: what a relay and a reader refuse (spec §6.1, §6.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import Head, SealedSegment, VerifiedHeader, sign_header, verify_header, view_hash
from sealkeep_protocol.types import NO_ID, DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, device, refused

OTHER_ID = ObjectId(sha256(b"another header"))


def followed(account: MadeAccount, author: int, *, roster: Roster | None = None) -> Feed:
    """The author's feed as a reader who was shown all of it has it."""
    feed = Feed(DeviceId(author))
    for segment in account.segments.get(author, []):
        feed = feed.follow(account.verified(author, segment), roster or account.roster, account.known)
    return feed


def resigned(account: MadeAccount, segment: SealedSegment, author: int, **fields: Any) -> VerifiedHeader:
    """The segment's header with other fields, signed again by its author."""
    header = replace(account.verified(author, segment).header, **fields)
    key = account.devices[author].signing
    data = sign_header(header, account.id, key)
    return verify_header(data, account=account.id, device=header.device, seq=header.seq, key=key.public)


@pytest.fixture
def account() -> MadeAccount:
    """Three devices; 1 and 2 have written, and 1 has seen 2's second segment."""
    account = MadeAccount(devices=3)
    account.seal(2)
    account.seal(1)
    account.seal(2)
    account.seal(1)
    return account


def test_a_feed_follows_its_headers(account: MadeAccount) -> None:
    feed = followed(account, 1)
    assert (feed.seq, feed.head) == (2, account.segments[1][1].header_id)
    assert feed.heads == {2: account.head(2)}
    assert feed.roster == account.roster.number
    assert Feed(DeviceId(1)) == Feed(DeviceId(1), Seq(0), NO_ID, 0, {})
    assert followed(account, 2).heads == {1: Head(DeviceId(1), Seq(1), account.segments[1][0].header_id)}


def test_a_header_follows_the_one_before_it(account: MadeAccount) -> None:
    """SEG-02"""
    feed = followed(account, 1)
    segment = account.seal(1, take=False)
    feed.check_link(account.verified(1, segment).header, account.roster)
    with refused(HistoryError, "gap", device=1, seq=4):
        feed.check_link(resigned(account, segment, 1, seq=Seq(4)).header, account.roster)
    with refused(HistoryError, "gap", device=1, seq=3):
        Feed(DeviceId(1)).check_link(account.verified(1, segment).header, account.roster)
    with refused(HistoryError, "fork", device=1, seq=3):
        feed.check_link(resigned(account, segment, 1, previous=OTHER_ID).header, account.roster)
    for old in account.segments[1]:
        with refused(HistoryError, "replay", device=1, seq=old.seq):
            feed.check_link(account.verified(1, old).header, account.roster)


def test_the_author_is_active_at_its_roster_head() -> None:
    """SEG-03"""
    account = MadeAccount(devices=2)
    segment = account.seal(2)
    before = resigned(account, segment, 2, roster=0, epoch=1)  # device 2 came with entry 1
    with refused(HistoryError, "author", device=2, seq=1):
        Feed(DeviceId(2)).check_link(before.header, account.roster)
    with refused(HistoryError, "author", device=3, seq=1):
        Feed(DeviceId(3)).check_link(account.verified(2, segment).header, account.roster)
    account.remove(2, by=device(1))
    Feed(DeviceId(2)).check_link(account.verified(2, segment).header, account.roster)
    after = resigned(account, segment, 2, roster=2, epoch=3)
    with refused(HistoryError, "author", device=2, seq=1):
        Feed(DeviceId(2)).check_link(after.header, account.roster)


def test_a_roster_head_that_was_not_shown_is_missing(account: MadeAccount) -> None:
    """SEG-03"""
    segment = account.seal(1, take=False)
    ahead = resigned(account, segment, 1, roster=account.roster.number + 1)
    with refused(HistoryError, "missing", device=1, seq=3):
        followed(account, 1).check_link(ahead.header, account.roster)


def test_the_roster_head_never_goes_back_along_a_feed(account: MadeAccount) -> None:
    """SEG-03"""
    segment = account.seal(1, take=False)
    back = resigned(account, segment, 1, roster=1, epoch=2)
    with refused(HistoryError, "roster", device=1, seq=3):
        followed(account, 1).check_link(back.header, account.roster)
    account.change(device(2))  # a later entry does not matter
    followed(account, 1).check_link(account.verified(1, segment).header, account.roster)


def test_the_epoch_is_the_one_of_the_roster_head(account: MadeAccount) -> None:
    """SEG-04"""
    segment = account.seal(1, take=False)
    for epoch in (1, 2, 4):
        with refused(HistoryError, "epoch", device=1, seq=3):
            followed(account, 1).check_link(resigned(account, segment, 1, epoch=epoch).header, account.roster)
    closing = MadeAccount()
    closing.close(by=0)  # an entry without a rotation has the epoch before it
    Feed(DeviceId(1)).check_link(closing.verified(1, closing.seal(1)).header, closing.roster)


def test_nothing_beyond_a_pin_is_taken(account: MadeAccount) -> None:
    """SEG-05"""
    beyond = account.verified(2, account.seal(2, take=False))
    account.remove(2, by=device(1))
    feed = followed(account, 2)
    assert feed.seq == 2
    with refused(HistoryError, "pinned", device=2, seq=3):
        feed.check_link(beyond.header, account.roster)
    with refused(HistoryError, "pinned", device=2, seq=3):
        feed.follow(beyond, account.roster, account.known)


def test_a_device_pinned_before_its_first_segment_has_none() -> None:
    """SEG-05"""
    account = MadeAccount(devices=2)
    first = account.verified(2, account.seal(2, take=False))
    account.remove(2, by=device(1))
    with refused(HistoryError, "pinned", device=2, seq=1):
        Feed(DeviceId(2)).follow(first, account.roster, account.known)


def test_the_header_at_a_pin_is_the_pinned_one(account: MadeAccount) -> None:
    """SEG-05: another header there is none that the owner saw."""
    other = account.verified(2, account.seal(2, b"other", take=False))
    account.seal(2)
    account.remove(2, by=device(1))
    feed = Feed(DeviceId(2))
    for segment in account.segments[2][:2]:
        feed = feed.follow(account.verified(2, segment), account.roster, account.known)
    with refused(HistoryError, "pinned", device=2, seq=3):
        feed.follow(other, account.roster, account.known)
    assert feed.follow(account.verified(2, account.segments[2][2]), account.roster, account.known).seq == 3


def test_a_head_is_compared_with_what_the_reader_verified(account: MadeAccount) -> None:
    """SEG-06"""
    account.seal(2)
    verified = account.verified(1, account.seal(1, take=False))
    feed = followed(account, 1)
    with refused(HistoryError, "fork", device=1, seq=3):
        feed.follow(verified, account.roster, lambda number, seq: OTHER_ID)
    with refused(HistoryError, "missing", device=1, seq=3):
        feed.follow(verified, account.roster, lambda number, seq: None)
    assert feed.follow(verified, account.roster, account.known).seq == 3


def test_a_head_beyond_a_pin_need_not_be_shown(account: MadeAccount) -> None:
    """SEG-06: its author saw what the removal cut off; the view still has to hold."""
    pin = account.pin(2)
    account.seal(2)
    verified = account.verified(1, account.seal(1, take=False))
    account.remove(pin, by=device(3))
    nothing_beyond = {(2, seq): account.known(2, seq) for seq in (1, 2)}
    feed = followed(account, 1)
    after = feed.follow(verified, account.roster, lambda number, seq: nothing_beyond.get((number, seq)))
    assert after.heads[2].seq == 3


def test_a_head_up_to_a_pin_is_compared(account: MadeAccount) -> None:
    """SEG-06"""
    account.seal(2)
    verified = account.verified(1, account.seal(1, take=False))
    feed = followed(account, 1)
    account.remove(2, by=device(3))
    with refused(HistoryError, "missing", device=1, seq=3):
        feed.follow(verified, account.roster, lambda number, seq: None)
    with refused(HistoryError, "fork", device=1, seq=3):
        feed.follow(verified, account.roster, lambda number, seq: OTHER_ID)
    assert feed.follow(verified, account.roster, account.known).heads[2].seq == 3


def test_heads_of_unknown_devices_and_heads_that_go_back_are_refused(account: MadeAccount) -> None:
    """SEG-21"""
    segment = account.seal(1, take=False)
    feed = followed(account, 1)
    head = account.head(2)
    assert head is not None
    for heads in (
        (head,),  # named before
        (head._replace(seq=Seq(1), header_id=account.segments[2][0].header_id),),
        (Head(DeviceId(9), Seq(1), OTHER_ID),),
    ):
        with refused(HistoryError, "rollback", device=1, seq=3):
            feed.follow(resigned(account, segment, 1, heads=heads), account.roster, account.known)


def test_the_view_is_recomputed(account: MadeAccount) -> None:
    """SEG-07"""
    segment = account.seal(1, take=False)
    feed = followed(account, 1)
    roster, heads = account.roster, list(feed.heads.values())
    for view in (
        bytes(32),
        view_hash(roster.head, []),
        view_hash(roster.entry_ids[0], heads),
        view_hash(roster.head, [heads[0]._replace(header_id=OTHER_ID)]),
    ):
        with refused(HistoryError, "fork", device=1, seq=3):
            feed.follow(resigned(account, segment, 1, view=view), roster, account.known)


def test_two_authors_that_were_shown_different_rosters_find_out(account: MadeAccount) -> None:
    """SEG-07: same numbers, another entry."""
    fork = account.fork()
    fork.change(device(2))
    account.change(device(1))
    assert fork.roster.number == account.roster.number
    verified = fork.verified(3, fork.seal(3))
    assert account.seal(3).header != verified.data
    with refused(HistoryError, "fork", device=3, seq=1):
        Feed(DeviceId(3)).follow(verified, account.roster, account.known)


def test_removed_devices_stay_in_the_view(account: MadeAccount) -> None:
    """SEG-07"""
    account.remove(2, by=device(1))
    account.seal(1)
    account.seal(3)
    assert followed(account, 3).heads.keys() == {1, 2}
    assert followed(account, 1).heads.keys() == {2}


def test_a_refused_header_leaves_the_feed_as_it_was(account: MadeAccount) -> None:
    """SEG-20, ERR-02: a feed and a roster never change; what follows is another one."""
    feed = followed(account, 1)
    before = (feed.seq, feed.head, feed.roster, dict(feed.heads))
    with refused(HistoryError, "missing", device=1, seq=3):
        account.seal(2)
        feed.follow(account.verified(1, account.seal(1, take=False)), account.roster, lambda number, seq: None)
    assert (feed.seq, feed.head, feed.roster, dict(feed.heads)) == before
    with pytest.raises(AttributeError):
        feed.seq = Seq(9)  # type: ignore[misc]
