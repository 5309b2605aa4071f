"""Feeds of removed devices: their headers are followed to the pin before anything of them is taken (spec §6.2)."""

from __future__ import annotations

from sealkeep_client.answers import Page
from sealkeep_client.engine._actions import ReadFeed, Steps
from sealkeep_client.engine._reading import verify_item
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import VerifiedHeader

_ID = 32


class PinnedFeeds:
    """What the pins of removed devices vouch for: the ids of all headers from the ones that were read up to the pin.

    Whoever was removed still holds its key and can sign other headers at its old places; the chain to the pin tells.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._chains: dict[int, tuple[int, bytearray]] = {}  # by device: the first seq, and the ids from there on

    def check(self, verified: VerifiedHeader) -> Steps[None]:
        """See whether a header that comes next belongs to the chain that ends at its feed's pin.

        Raises `HistoryError` (`pinned`, `missing`, `gap`, `fork`). A header beyond the pin is not looked at.
        """
        header = verified.header
        removal = self._session.account.roster.devices[header.device].removal
        if removal is None or header.seq > removal.seq:
            return
        # SEG-24: "A reader MUST take a segment of a removed device only once it has followed the feed's headers from there
        # to the pin."
        if header.device not in self._chains:
            self._chains[header.device] = yield from self._follow(header.device, removal.seq, removal.header_id)
        first, ids = self._chains[header.device]
        start = _ID * (header.seq - first)
        if start < 0 or bytes(ids[start : start + _ID]) != verified.id:
            raise HistoryError(
                "pinned", "it does not lead to the header that was pinned", device=header.device, seq=header.seq
            )

    def _follow(self, device: int, last: int, pin: bytes) -> Steps[tuple[int, bytearray]]:
        feed = self._session.account.feed(device)
        first, previous, ids = feed.seq + 1, bytes(feed.head), bytearray()
        seq = first
        while seq <= last:
            page: Page = yield ReadFeed(device, seq)
            if not page.items:
                raise HistoryError("missing", "the relay does not show its feed up to its pin", device=device, seq=seq)
            for item in page.items:
                if (item.device, item.seq) != (device, seq):
                    raise HistoryError(
                        "replay", "the relay shows another header than the next one", device=device, seq=seq
                    )
                verified = verify_item(self._session.account, item)
                if verified.header.previous != previous:
                    raise HistoryError("fork", "it does not follow the header before it", device=device, seq=seq)
                previous = verified.id
                ids += verified.id
                seq += 1
                if seq > last:
                    break
        if previous != pin:
            raise HistoryError(
                "pinned", "its feed does not lead to the header that was pinned", device=device, seq=last
            )
        return first, ids


def check_pins_reached(account: Account, roster: Roster) -> None:
    """See whether all that was read includes the feeds of removed devices up to their pins.

    `roster` is what was known before the reading began. Raises `HistoryError` (`missing`).
    """
    for device in roster.devices.values():
        # SEG-25: "A reader that has read all changes MUST report a removed device's feed that does not come to its pin as
        # `missing`."
        if device.removal is None:
            continue
        pin = account.roster.devices[device.number].removal or device.removal  # it may have been lowered meanwhile
        if account.feed(device.number).seq < pin.seq:
            raise HistoryError(
                "missing", "the relay does not show its feed up to its pin", device=device.number, seq=pin.seq
            )
