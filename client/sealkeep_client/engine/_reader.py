"""Reading in a sync: all changes that the relay has, each verified before it is kept (spec §6.8, §8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sealkeep_client.answers import Heads, Page, PageItem
from sealkeep_client.engine._actions import Progress, ReadChanges, ReadHeads, SaveSegment, Steps
from sealkeep_client.engine._decoding import InOrder
from sealkeep_client.engine._following import follow_roster, is_lowered_meanwhile
from sealkeep_client.engine._heads import check_shown, compare_heads
from sealkeep_client.engine._own_feed import check_own_feed, check_own_header
from sealkeep_client.engine._pinned import PinnedFeeds, check_pins_reached
from sealkeep_client.engine._proof import ask_for_proof, find_proof
from sealkeep_client.engine._reading import ReadSegment, awaiting, check_segment, open_checked, verify_item
from sealkeep_client.engine._session import RACES, Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import VerifiedHeader

SHORT: Final = 4_096  # bytes of a body that comes along with its summary: to ask for it would cost as much
FEW: Final = 4  # segments that come whole: their bodies are quickly there, and more questions would take longer
SMALL: Final = 1 << 20  # bytes of an account that does likewise


@dataclass(frozen=True, slots=True)
class _Taken:
    """An item that passed all checks up to its content, and the account after it. `feed` is None where the segment is kept
    already."""

    item: PageItem
    verified: VerifiedHeader
    feed: Feed | None
    account: Account


class Reader:
    """Reads what others wrote, and counts it. `floor` are (device, seq, header id) that the kit of this home had seen.

    A page is kept when all of it is checked. With `anew` it reads from the beginning, whatever the cursor says.
    `doubts_cursor` says after an error that a cursor which the relay gave earlier may be the reason, and that reading anew
    will tell.
    """

    def __init__(self, session: Session, floor: Sequence[Sequence[Any]], *, anew: bool = False) -> None:
        self._session = session
        self._floor = floor
        self._anew = anew
        self._pinned = PinnedFeeds(session)
        self._taken: list[_Taken] = []  # checked, and not kept yet
        self._kept = session.account  # before these
        self._shown: dict[int, int] = {}  # by device: the seq that was shown last
        self._short: int | None = None  # bodies are awaited beyond so many bytes
        self.doubts_cursor = False
        self.segments = self.records = self.unopened = 0
        self.unreadable: list[PeerError] = []

    def read(self) -> Steps[Heads]:
        """Read all that the relay has now; returns the heads that it named before."""
        session = self._session
        for attempt in range(RACES):
            roster = session.account.roster
            try:
                return (yield from self._read_once(roster))
            except RefusedError as refused:
                # Restored from its backup since it named the heads: they are compared anew.
                if refused.code != "incarnation" or attempt == RACES - 1:
                    raise
            except HistoryError as error:
                if attempt == RACES - 1 or not (yield from is_lowered_meanwhile(session, error)):
                    raise
                self._forget_taken()
                yield from follow_roster(session)
        raise AssertionError

    def _read_once(self, roster: Roster) -> Steps[Heads]:
        session = self._session
        heads: Heads = yield ReadHeads()
        try:
            compare_heads(session, heads)
            yield from check_own_feed(session, heads)
        except HistoryError as error:
            yield from ask_for_proof(session, error)
            raise
        yield from self._read_changes(heads, roster)
        return heads

    def _read_changes(self, heads: Heads, roster: Roster) -> Steps[None]:
        session = self._session
        # REL-14: "Before a client reports, of what changes after a cursor show, `gap`, `missing` or `replay`, it MUST read
        # the changes from position 0 once, …" A position beyond the relay's last one is as doubtful.
        self._anew = self._anew or heads.position < session.account.position
        if self._anew or session.account.incarnation not in (None, heads.incarnation):
            # Or another store: its positions mean nothing here. What was verified stays verified, and is skipped below.
            session.account = replace(session.account, position=0, rereads=True)
        session.account = replace(session.account, incarnation=heads.incarnation)
        has_cursor = session.account.position > 0
        try:
            yield from self._read_pages(heads, roster)
        except HistoryError as error:
            self.doubts_cursor = has_cursor and error.code in ("gap", "missing", "replay")
            raise
        if session.account.rereads:
            session.account = replace(session.account, rereads=False)
            yield SaveSegment(None, session.account)

    def _read_pages(self, heads: Heads, roster: Roster) -> Steps[None]:
        session = self._session
        more = heads.position > session.account.position
        # A relay's word for it, by which nothing is decided but how much comes at once.
        is_little = heads.position - session.account.position <= FEW or heads.used <= SMALL
        self._short = None if is_little else SHORT
        while more:
            page: Page = yield ReadChanges(session.account.position, session.account.incarnation, self._short)
            if page.incarnation != heads.incarnation:
                raise HistoryError("replay", "the relay answers with the positions of another store")
            verified = yield from self._verify(page)
            for item, header in zip(page.items, verified, strict=True):
                self._taken.append(self._take(item, header))
            # REL-11: "A client MUST refuse positions of changes that do not ascend within a page or lie at or below the one
            # it asked from, and seqs of a feed that do not ascend by one from the one it asked for."
            if page.position < session.account.position or (page.more and not page.items):
                raise HistoryError("replay", "the relay's cursor goes backwards, or stands still")
            more = page.more
            if more:
                yield from self.keep_verified()
        try:
            check_shown(session, heads, self._floor)
        except HistoryError as error:
            yield from ask_for_proof(session, error)
            raise
        check_pins_reached(session.account, roster)
        # ERR-02: "A client MUST leave its state as it was before the answer that it reports with a code of this list; …"
        # So the last page waits until the heads are seen to bear it out.
        yield from self.keep_verified()

    def _forget_taken(self) -> None:
        """Begin anew behind what is kept."""
        session = self._session
        if self._taken:
            session.account = replace(session.account, feeds=self._kept.feeds, position=self._kept.position)
        for taken in self._taken:
            if taken.feed is not None:
                session.note_kept(taken.verified)
        self._taken = []
        self._shown.clear()

    def keep_verified(self) -> Steps[None]:
        """Keep what is checked and not kept yet: also for who goes on although the reading failed behind it."""
        taken, self._taken = self._taken, []
        yield from self._keep(taken)

    def _verify(self, page: Page) -> Steps[list[VerifiedHeader]]:
        """Verify the headers of a page before anything of it is taken, and follow the roster to where they stand."""
        session, found = self._session, list[VerifiedHeader]()
        for item in page.items:
            if item.device not in session.account.roster.devices:
                yield from follow_roster(session)
            verified = verify_item(session.account, item)
            if verified.header.roster > session.account.roster.number:
                yield from follow_roster(session)
            if item.device != session.device and item.seq > session.account.feed(item.device).seq:
                yield from self._pinned.check(verified)
            found.append(verified)
        return found

    def _take(self, item: PageItem, verified: VerifiedHeader) -> _Taken:
        """Check a verified item against all that came before it."""
        session = self._session
        if not self._taken:
            self._kept = session.account
        if item.position <= session.account.position:
            raise HistoryError("replay", "the relay's positions do not ascend", device=item.device, seq=item.seq)
        if item.seq <= self._shown.get(item.device, 0):
            raise HistoryError("replay", "the relay shows it a second time", device=item.device, seq=item.seq)
        self._shown[item.device] = item.seq
        account = replace(session.account, position=item.position)
        feed: Feed | None = None
        if item.device == account.device:
            check_own_header(session, item, verified)
        elif item.seq <= account.feed(item.device).seq:
            self._check_seen_before(item, verified)
        else:
            try:
                feed = check_segment(account, item, verified, session.lookup, short=self._short)
            except HistoryError as error:
                if error.code == "fork":
                    error.proved_by(find_proof(verified, session.lookup, session.signed))
                raise
            account = account.with_feed(feed)
            session.note_verified(verified)
        session.account = account
        return _Taken(item, verified, feed, account)

    def _keep(self, page: Sequence[_Taken]) -> Steps[None]:
        """Open and keep what was checked, in order."""
        in_order: InOrder[Account] = InOrder(self._keep_one)
        for taken in page:
            if taken.feed is None:
                yield from in_order.put(None, taken.account)
                continue
            of_it, summary, body = (
                (taken.account, taken.feed, taken.verified),
                taken.item.summary or b"",
                taken.item.body,
            )
            yield from in_order.put(
                awaiting(*of_it, summary) if body is None else open_checked(*of_it, summary, body), taken.account
            )
        yield from in_order.finish()
        if page:
            yield self.progress()

    def _keep_one(self, segment: ReadSegment | None, account: Account) -> Steps[None]:
        if segment is not None:
            self.count(segment)
            yield SaveSegment(segment, account)
            self._session.note_kept(segment.header)
        elif not self._anew:  # reading anew may show nothing new, and then changes nothing
            yield SaveSegment(None, account)

    def count(self, segment: ReadSegment) -> None:
        """Count a segment that is here with its body."""
        if not segment.is_awaited:
            self.segments += 1
            self.unopened += segment.is_unopened
            self._count_content(segment)

    def count_opened(self, segment: ReadSegment) -> None:
        """Count a segment that was opened later than it came."""
        self.unopened = max(0, self.unopened - 1)
        self._count_content(segment)

    def progress(self) -> Progress:
        return Progress("reading", self.segments, self.records)

    def _count_content(self, segment: ReadSegment) -> None:
        if segment.content is not None:
            self.records += segment.content.records
        if segment.unreadable is not None:
            self.unreadable.append(segment.unreadable)

    def _check_seen_before(self, item: PageItem, verified: VerifiedHeader) -> None:
        """A segment that was verified before may stand in another store's order again; only as it was.

        Within one store its position was read already, so the relay repeats it. Raises `HistoryError`.
        """
        session = self._session
        if session.lookup(item.device, item.seq) != verified.id:
            raise HistoryError(
                "fork", "another header was verified at this place", device=item.device, seq=item.seq
            ).proved_by(find_proof(verified, session.lookup, session.signed))
        if not session.account.rereads:
            raise HistoryError("replay", "the relay shows it a second time", device=item.device, seq=item.seq)
