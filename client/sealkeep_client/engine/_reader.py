"""Reading in a sync: all changes that the relay has, each verified before it is kept (spec §6.8, §8.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sealkeep_client.answers import Heads, Page, PageItem
from sealkeep_client.engine._actions import Decode, Progress, ReadChanges, ReadHeads, SaveSegment, Steps
from sealkeep_client.engine._decoding import take_decoded
from sealkeep_client.engine._following import follow_roster
from sealkeep_client.engine._heads import check_shown, compare_heads
from sealkeep_client.engine._own_feed import check_own_feed, check_own_header
from sealkeep_client.engine._pinned import PinnedFeeds, check_pins_reached
from sealkeep_client.engine._proof import ask_for_proof, find_proof
from sealkeep_client.engine._reading import CheckedSegment, ReadSegment, check_segment, verify_item
from sealkeep_client.engine._session import RACES, Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError
from sealkeep_protocol.segments import VerifiedHeader

_AHEAD: Final = 3  # segments whose contents may be decoded while those before are kept


class Reader:
    """Reads what others wrote, and counts it. `floor` are (device, seq, header id) that the kit of this home had seen."""

    def __init__(self, session: Session, floor: Sequence[Sequence[Any]]) -> None:
        self._session = session
        self._floor = floor
        self._pinned = PinnedFeeds(session)
        # Verified, and not kept yet: their contents are being decoded. With the account after each.
        self._ahead: deque[tuple[CheckedSegment | None, Account]] = deque()
        self.segments = self.records = self.unopened = 0
        self.unreadable: list[PeerError] = []

    def read(self) -> Steps[Heads]:
        """Read all that the relay has now; returns the heads that it named before."""
        session = self._session
        for attempt in range(RACES):
            roster = session.account.roster
            heads: Heads = yield ReadHeads()
            try:
                compare_heads(session, heads)
                yield from check_own_feed(session, heads)
            except HistoryError as error:
                yield from ask_for_proof(session, error)
                raise
            try:
                yield from self._read_changes(heads)
            except RefusedError as refused:
                # Restored from its backup since it named the heads: they are compared anew.
                if refused.code != "incarnation" or attempt == RACES - 1:
                    raise
            else:
                check_pins_reached(session.account, roster)
                return heads
        raise AssertionError

    def _read_changes(self, heads: Heads) -> Steps[None]:
        session = self._session
        if session.account.incarnation not in (None, heads.incarnation):
            # Another store: its positions mean nothing here. What was verified stays verified, and is skipped below.
            session.account = replace(session.account, position=0, rereads=True)
        session.account = replace(session.account, incarnation=heads.incarnation)
        more = heads.position > session.account.position
        while more:
            page: Page = yield ReadChanges(session.account.position, session.account.incarnation)
            if page.incarnation != heads.incarnation:
                raise HistoryError("replay", "the relay answers with the positions of another store")
            for item in page.items:
                yield from self._take(item)
            yield from self._keep(0)  # whole pages: the next question to the relay may fail
            # REL-11: "A client MUST refuse positions of changes that do not ascend within a page or lie at or below the one
            # it asked from, and seqs of a feed that do not ascend by one from the one it asked for."
            if page.position < session.account.position or (page.more and not page.items):
                raise HistoryError("replay", "the relay's cursor goes backwards, or stands still")
            more = page.more
            yield Progress("reading", self.segments, self.records)
        try:
            check_shown(session, heads, self._floor)
        except HistoryError as error:
            yield from ask_for_proof(session, error)
            raise
        if session.account.rereads:
            session.account = replace(session.account, rereads=False)
            yield SaveSegment(None, session.account)

    def _take(self, item: PageItem) -> Steps[None]:
        """Verify an item; it is kept when its content is decoded, and all before it are kept."""
        session = self._session
        if item.position <= session.account.position:
            raise HistoryError("replay", "the relay's positions do not ascend", device=item.device, seq=item.seq)
        if item.device not in session.account.roster.devices:
            yield from self._follow_roster()
        verified = verify_item(session.account, item)
        if verified.header.roster > session.account.roster.number:
            yield from self._follow_roster()
        account = replace(session.account, position=item.position)
        segment: CheckedSegment | None = None
        if item.device == account.device:
            check_own_header(session, item, verified)
        elif item.seq <= account.feed(item.device).seq:
            self._check_seen_before(item, verified)
        else:
            yield from self._pinned.check(verified)
            try:
                segment = check_segment(account, item, verified, session.lookup)
            except HistoryError as error:
                if error.code == "fork":
                    error.proved_by(find_proof(verified, session.lookup, session.signed))
                raise
            account = account.with_feed(segment.feed)
            session.note_verified(verified)
            if segment.opened is not None:
                yield Decode(segment.opened.content or b"")
        session.account = account
        self._ahead.append((segment, account))
        yield from self._keep(_AHEAD)

    def _follow_roster(self) -> Steps[None]:
        yield from self._keep(0)  # what is kept with the roster is the account after all that was read
        yield from follow_roster(self._session)

    def _keep(self, ahead: int) -> Steps[None]:
        """Keep what was verified, in order, until only `ahead` segments are left."""
        while len(self._ahead) > ahead:
            checked, account = self._ahead.popleft()
            segment: ReadSegment | None = None
            if checked is not None:
                segment = yield from take_decoded(checked)
                self._count(segment)
            yield SaveSegment(segment, account)
            if segment is not None:
                self._session.note_kept(segment.header)

    def _count(self, segment: ReadSegment) -> None:
        self.segments += 1
        self.unopened += segment.is_unopened
        self._count_content(segment)

    def count_opened(self, segment: ReadSegment) -> None:
        """Count a segment that was opened later than it came."""
        self.unopened = max(0, self.unopened - 1)
        self._count_content(segment)

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
