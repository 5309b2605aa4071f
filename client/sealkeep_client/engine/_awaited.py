"""Bodies that come behind their verified headers (spec §6.8, §8.5): in which order, and taking each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from itertools import takewhile
from typing import Final

from sealkeep_client.answers import Page, PageItem
from sealkeep_client.engine._actions import AwaitedBody, BodyRange, LoadAwaited, Progress, ReadBodies, SaveBody, Steps
from sealkeep_client.engine._decoding import InOrder
from sealkeep_client.engine._reading import CheckedSegment, ReadSegment, check_body, open_checked
from sealkeep_client.engine._session import Session
from sealkeep_protocol.errors import HistoryError, SealkeepError
from sealkeep_protocol.segments import SegmentClass, Summary

AT_ONCE: Final = 64  # bodies, in one go through the sync: what is new, and what waits to be sent, comes in between
_RANGE: Final = 8  # bodies in one request
_FOLLOWING: Final = 2  # requests under way beside the one whose answer is being taken


class Stage(IntEnum):
    """What comes before what."""

    FRONT = 1
    MARKS = 2  # or contacts and chats: no message at all
    MESSAGES = 3
    PREVIEWS = 4
    SEALED = 5  # no summary says what it is


def stage_of(told: Summary | None) -> Stage:
    """Where a body has its place, by what its summary says."""
    if told is None:
        return Stage.SEALED
    if told.segment_class is SegmentClass.PREVIEW:
        return Stage.PREVIEWS
    if told.segment_class is SegmentClass.FRONT:
        return Stage.FRONT
    return Stage.MARKS if (told.first, told.last) == (0, 0) else Stage.MESSAGES


class AwaitedBodies:
    """Reads bodies that are awaited; `opened` is told of each, `progress` asked how far it is."""

    def __init__(
        self, session: Session, opened: Callable[[ReadSegment], None], progress: Callable[[], Progress]
    ) -> None:
        self._session = session
        self._opened = opened
        self._progress = progress
        self._in_order: InOrder[None] = InOrder(self._keep)
        self._missing: HistoryError | None = None  # the first one

    def fetch(self) -> Steps[None]:
        """Read the next ones. Raises `HistoryError` where the relay shows another segment than was verified, or none, and
        `AuthenticationError` (`digest`) for another body than was signed.

        One that is missing keeps none of those away that were to come with it.
        """
        left = AT_ONCE
        while left and (bodies := (yield LoadAwaited(left))):
            left -= len(bodies)
            ranges = list(_ranges(bodies))
            for place, one in enumerate(ranges):
                yield from self._fetch_range(one, tuple(ranges[place + 1 : place + 1 + _FOLLOWING]))
            yield from self._in_order.finish()
            yield self._progress()
            if self._missing is not None:
                raise self._missing

    def _fetch_range(self, wanted: BodyRange, following: tuple[BodyRange, ...]) -> Steps[None]:
        session, device = self._session, wanted.device
        seq, end = wanted.first, wanted.first + wanted.count
        while seq < end:
            if session.is_beyond_pin(device, seq):  # erased with its removal
                yield SaveBody(device, seq, None)
                seq += 1
                continue
            page = yield from self._ask(ReadBodies(BodyRange(device, seq, end - seq), following))
            shown = list(
                takewhile(lambda one: (one[1].device, one[1].seq) == (device, one[0]), enumerate(page.items, seq))
            )
            if not shown:
                self._miss(device, seq)
                seq += 1
                continue
            # SEG-26: "… and MUST hold what then comes against the verified header, in the order of these checks, before it
            # takes anything of it."
            checked = [self._check(item) for _, item in shown[: end - seq]]
            for segment in checked:
                if segment is not None:
                    yield from self._in_order.put(segment, None)
            seq += len(checked)
            yield self._progress()

    def _ask(self, question: ReadBodies) -> Steps[Page]:
        try:
            page: Page = yield question
        except SealkeepError:
            yield from self._in_order.finish()  # what came before the line broke stays
            yield self._progress()
            raise
        return page

    def _check(self, item: PageItem) -> CheckedSegment | None:
        account = self._session.account
        if item.body is None:
            self._miss(item.device, item.seq)
            return None
        verified = check_body(account, item, self._session.lookup)
        return open_checked(account, account.feed(item.device), verified, item.summary or b"", item.body)

    def _miss(self, device: int, seq: int) -> None:
        # SEG-27: "A reader MUST report an awaited body that the relay does not give as `missing`, unless it lies beyond
        # a removed device's pin."
        if self._missing is None:
            self._missing = HistoryError("missing", "the relay does not give its content", device=device, seq=seq)

    def _keep(self, segment: ReadSegment | None, _: None) -> Steps[None]:
        if segment is None:
            raise AssertionError
        header = segment.header.header
        yield SaveBody(header.device, header.seq, segment)
        self._opened(segment)


def _ranges(bodies: Sequence[AwaitedBody]) -> Iterator[BodyRange]:
    """Neighbours in a feed as one request; the requests in the order of their first ones."""
    order = {(body.device, body.seq): place for place, body in enumerate(bodies)}
    runs: list[tuple[int, BodyRange]] = []
    for (device, seq), place in sorted(order.items()):
        if runs:
            first, last = runs[-1]
            if (last.device, last.first + last.count) == (device, seq) and last.count < _RANGE:
                runs[-1] = (min(first, place), replace(last, count=last.count + 1))
                continue
        runs.append((place, BodyRange(device, seq, 1)))
    return (run for _, run in sorted(runs, key=lambda run: run[0]))
