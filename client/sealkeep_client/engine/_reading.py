"""Reading segments (spec §6.8): each check in its order, and what a segment that fails one costs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sealkeep_client.answers import PageItem
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, PeerError
from sealkeep_protocol.feeds import Feed, HeaderIds
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.records import Body, ContentRecord, decode_body
from sealkeep_protocol.segments import (
    OpenedSegment,
    SegmentHeader,
    Summary,
    VerifiedHeader,
    check_chunks,
    check_content,
    check_parts,
    open_segment,
    verify_header,
)


class Content(Protocol):
    """The decoded records of one segment, in whatever form its store takes them."""

    @property
    def records(self) -> int:
        """How many of all tables."""

    @property
    def times(self) -> Sequence[int]:
        """First and last time of its messages, ms, or nothing."""

    @property
    def tables(self) -> Collection[int]:
        """The numbers of the tables that it has, of those that this version knows."""

    @property
    def newest_epoch(self) -> int:
        """The greatest epoch that a content record of it names, 0 where it has none."""

    @property
    def contents(self) -> Sequence[ContentRecord]:
        """Its content records."""


@dataclass(frozen=True, slots=True)
class ReadSegment:
    """A segment that continues its feed: the feed after it, and its records or why they cannot be read (SEG-22).

    It has neither where this device does not hold its epoch (SEG-23), or where its body is awaited.
    """

    feed: Feed
    header: VerifiedHeader
    summary: bytes
    body: bytes | None
    content: Content | None
    unreadable: PeerError | None = None
    told: Summary | None = None  # of an awaited one what its summary says, where that opens

    @property
    def is_awaited(self) -> bool:
        """Whether its body has still to come (SEG-26)."""
        return self.body is None

    @property
    def is_unopened(self) -> bool:
        return self.body is not None and self.content is None and self.unreadable is None


@dataclass(frozen=True, slots=True)
class CheckedSegment:
    """A segment that continues its feed, opened but not decoded, or why it does not open (SEG-22); neither where this
    device does not hold its epoch (SEG-23)."""

    feed: Feed
    header: VerifiedHeader
    summary: bytes
    body: bytes
    opened: OpenedSegment | None
    unreadable: PeerError | None = None

    def read(self, content: Content) -> ReadSegment:
        """The segment with its decoded content, where that is what its summary says."""
        header = self.header.header
        if self.opened is None:
            raise ValueError("a segment that does not open has no content")
        try:
            check_content(
                self.opened,
                content.records,
                content.times,
                header=header,
                tables=content.tables,
                newest_epoch=content.newest_epoch,
            )
            check_named(header, content.contents)
        except (MalformedError, AuthenticationError) as error:
            return self.unread(error)
        return ReadSegment(self.feed, self.header, self.summary, self.body, content)

    def unread(self, error: PeerError | None) -> ReadSegment:
        """The segment without its content, with what is wrong with that."""
        if error is not None:
            error.at(device=self.header.header.device, seq=self.header.header.seq)
        return ReadSegment(self.feed, self.header, self.summary, self.body, None, error)


def known_chunks(contents: Sequence[ContentRecord]) -> tuple[bytes, ...] | None:
    """The ids of all chunks that content records name, ascending; None where some stand in a list."""
    if any(record.pieces is not None for record in contents):
        return None
    return tuple(sorted({identifier for record in contents for identifier in record.chunks}))


def check_named(header: SegmentHeader, contents: Sequence[ContentRecord]) -> None:
    """Compare the chunks that a body names with those of its header, where all are known (FIL-15). Raises
    `AuthenticationError` (`digest`)."""
    ids = known_chunks(contents)
    if ids is not None:
        check_chunks(header, ids)
    elif header.chunks is None:
        raise AuthenticationError("digest", "the header names no chunks", device=header.device, seq=header.seq)


def verify_item(account: Account, item: PageItem) -> VerifiedHeader:
    """Frame, signature, core and address of an item's header.

    Raises `MalformedError`, `AuthenticationError` or `HistoryError` (`author`, `replay`).
    """
    author = account.roster.devices.get(item.device)
    if author is None:
        raise HistoryError("author", "its author is not in the roster", device=item.device, seq=item.seq)
    return verify_header(item.header, account=account.id, device=item.device, seq=item.seq, key=author.keys.signing)


def check_segment(
    account: Account, item: PageItem, verified: VerifiedHeader, known: HeaderIds, *, short: int | None = None
) -> Feed:
    """Take another device's segment, whose header `verify_item` has verified, through the checks of §6.8 up to its
    content. The body may still have to come where only those of at most `short` bytes were asked for.

    Returns the feed after it. Raises `PeerError` for a failure up to the hashes of the ciphertexts: nothing may change
    then (SEG-20). What fails later is its author's fault (`open_checked`).
    """
    header = verified.header
    before = account.feed(item.device)
    # SEG-09: "A reader MUST refuse a different header at a device and seq that it has verified, as `fork`, …"
    seen = known(item.device, item.seq)
    if seen is not None and seen != verified.id:
        raise HistoryError("fork", "another header was verified at this place", device=item.device, seq=item.seq)
    feed = before.follow(verified, account.roster, known)
    # SEG-26: "A reader that takes a header before its body MUST check of the segment all that comes before the body's hash
    # in the order above, …"
    may_come = short is not None and header.body_length > short
    if item.summary is None or (item.body is None and not may_come):
        raise HistoryError("missing", "its content is withheld", device=item.device, seq=item.seq)
    # SEG-20: "A reader MUST NOT change its state for a segment that fails a check up to the hashes of the ciphertexts."
    check_parts(header, summary=item.summary, body=item.body)
    return feed


def check_body(account: Account, item: PageItem, known: HeaderIds) -> VerifiedHeader:
    """Check a segment that is shown again for its body against the header that was verified there.

    Raises `MalformedError`, `AuthenticationError` or `HistoryError` (`fork`, `missing`).
    """
    place = {"device": item.device, "seq": item.seq}
    verified = verify_item(account, item)
    if known(item.device, item.seq) != verified.id:
        raise HistoryError("fork", "another header was verified at this place", **place)
    if item.summary is None or item.body is None:
        raise HistoryError("missing", "its content is withheld", **place)
    check_parts(verified.header, summary=item.summary, body=item.body)
    return verified


def awaiting(account: Account, feed: Feed, verified: VerifiedHeader, summary: bytes) -> ReadSegment:
    """A segment whose body has still to come, with what its summary says. Where that does not open, the body will tell
    why."""
    told: Summary | None = None
    if account.can_read(verified.header.epoch):
        with contextlib.suppress(AuthenticationError, MalformedError):
            epoch = account.epoch(verified.header.epoch)
            told = open_segment(verified, account.id, epoch, summary=summary, body=None).summary
    return ReadSegment(feed, verified, summary, None, None, told=told)


def open_checked(account: Account, feed: Feed, verified: VerifiedHeader, summary: bytes, body: bytes) -> CheckedSegment:
    """Open a segment whose parts are those of its verified header. `feed` is what it belongs to."""
    header = verified.header
    # SEG-23: "A reader MUST keep the place of a segment whose epoch it does not hold, and read it once it holds that."
    if not account.can_read(header.epoch):
        return CheckedSegment(feed, verified, summary, body, None)
    # SEG-22: "A reader MUST mark a segment whose signed ciphertexts do not open, or whose content is not what §7
    # describes, as unreadable, report it with device and seq, take nothing from it, and go on: its author is at fault,
    # and must not be able to stop the others."
    try:
        opened = open_segment(verified, account.id, account.epoch(header.epoch), summary=summary, body=body)
    except (AuthenticationError, MalformedError) as error:
        return CheckedSegment(feed, verified, summary, body, None, error.at(device=header.device, seq=header.seq))
    return CheckedSegment(feed, verified, summary, body, opened)


def open_content(account: Account, verified: VerifiedHeader, summary: bytes, body: bytes) -> Body:
    """Open and decode the content of a verified segment. Raises `AuthenticationError` or `MalformedError`."""
    header = verified.header
    opened = open_segment(verified, account.id, account.epoch(header.epoch), summary=summary, body=body)
    records = decode_body(opened.content or b"", limit=MAX_CONTENT)
    times = [message.time for message in records.messages]
    counts = records.counts
    check_content(opened, sum(counts.values()), times, header=header, tables=counts, newest_epoch=records.newest_epoch)
    check_named(header, records.contents)
    return records
