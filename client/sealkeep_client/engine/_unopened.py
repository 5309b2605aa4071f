"""Opening what could not be opened when it came: segments of epochs that this device holds only by now (spec §5.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sealkeep_client.answers import Page, PageItem
from sealkeep_client.engine._actions import Decode, LoadUnopened, ReadFeed, SaveOpened, Steps
from sealkeep_client.engine._decoding import take_decoded
from sealkeep_client.engine._reading import ReadSegment, check_body, open_checked
from sealkeep_client.engine._session import Session
from sealkeep_protocol.errors import HistoryError

_AT_ONCE: Final = 256  # places


def open_unopened(session: Session, opened: Callable[[ReadSegment], None]) -> Steps[None]:
    """Fetch and open them; `opened` is told of each. Raises `HistoryError` where the relay shows another segment than was
    verified, or none."""
    while places := (yield LoadUnopened(_AT_ONCE)):
        wanted = dict.fromkeys(tuple(place) for place in places)
        while wanted:
            device, seq = next(iter(wanted))
            if session.is_beyond_pin(device, seq):  # erased with its removal
                yield SaveOpened(device, seq, None)
                del wanted[device, seq]
                continue
            page: Page = yield ReadFeed(device, seq, bodies=True)
            if not page.items or (page.items[0].device, page.items[0].seq) != (device, seq):
                raise HistoryError("missing", "the relay does not show it any more", device=device, seq=seq)
            for item in page.items:
                if (item.device, item.seq) in wanted:
                    del wanted[item.device, item.seq]
                    opened((yield from _open(session, item)))


def _open(session: Session, item: PageItem) -> Steps[ReadSegment]:
    verified = check_body(session.account, item, session.lookup)
    feed = session.account.feed(item.device)
    checked = open_checked(session.account, feed, verified, item.summary or b"", item.body or b"")
    if checked.opened is not None:
        yield Decode(checked.opened.content or b"")
    read = yield from take_decoded(checked)
    yield SaveOpened(item.device, item.seq, read)
    return read
