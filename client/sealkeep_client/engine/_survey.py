"""Following the headers of all feeds to their heads, without contents, for what a reclaim is to pin (spec §5.3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from sealkeep_client.answers import Page, PageItem
from sealkeep_client.engine._actions import ReadFeed, Steps
from sealkeep_protocol.errors import HistoryError, PeerError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.roster import Removal, Roster
from sealkeep_protocol.segments import VerifiedHeader, verify_header
from sealkeep_protocol.types import NO_ID, DeviceId, ObjectId, Seq

_ID: Final = 32
_PASSES: Final = 8  # over all feeds, while their authors go on writing


@dataclass(slots=True)
class _Followed:
    """A feed as far as it was followed: its head, the ids of all its headers, and whether it was given up there."""

    feed: Feed
    ids: bytearray
    cut: bool = False


class Survey:
    """Follows all feeds of a roster from their beginning, and goes on where it ended when it is run again.

    With `discard` a feed whose next header does not hold is given up there, instead of raising. `epochs` counts segments.
    """

    def __init__(self, *, discard: bool) -> None:
        self._discard = discard
        self.epochs: Counter[int] = Counter()
        self._followed: dict[int, _Followed] = {}
        # What headers name of feeds that were not followed so far: by device and seq the id, and who names it where.
        self._open: dict[tuple[int, int], list[tuple[ObjectId, int, int]]] = {}

    def run(self, roster: Roster) -> Steps[None]:
        """Follow what the relay shows by now. Raises peer errors, placed at the device and seq that do not hold."""
        for _ in range(_PASSES):
            before = self._count()
            for number in sorted(roster.devices):
                followed = self._followed.setdefault(number, _Followed(Feed(DeviceId(number)), bytearray()))
                removal = roster.devices[number].removal
                if not followed.cut:
                    yield from self._follow(roster, followed, None if removal is None else removal.seq)
            if self._count() == before:  # nobody names what was not read
                break
        self._settle(roster)

    def _count(self) -> int:
        return sum(followed.feed.seq for followed in self._followed.values())

    def head(self, device: int) -> tuple[Seq, ObjectId]:
        """Up to where a feed was verified."""
        followed = self._followed[device]
        return followed.feed.seq, followed.feed.head

    def heads(self) -> list[Feed]:
        """All feeds, as far as they were verified."""
        return [followed.feed for followed in self._followed.values()]

    def pins(self, roster: Roster, *, moving: bool = False) -> list[Removal]:
        """Removals of all active devices, each at the head that was verified; with `moving`, what they write meanwhile is
        given up."""
        return [self._pin(device.number, moving) for device in roster.active_devices]

    def lowered(self, roster: Roster) -> list[Removal]:
        """What lowers the pins of devices that were removed before and whose feeds were not verified up to there."""
        return [
            Removal(device.number, *self.head(device.number), True)
            for device in roster.devices.values()
            if device.removal is not None and self.head(device.number)[0] < device.removal.seq
        ]

    def cut(self) -> list[int]:
        """The devices whose feeds were given up before their heads."""
        return [number for number, followed in self._followed.items() if followed.cut]

    def _pin(self, number: int, moving: bool) -> Removal:
        seq, identifier = self.head(number)
        return Removal(number, seq, identifier, moving or self._followed[number].cut)

    def _follow(self, roster: Roster, followed: _Followed, last: int | None) -> Steps[None]:
        device = int(followed.feed.device)
        while last is None or followed.feed.seq < last:
            page: Page = yield ReadFeed(device, followed.feed.seq + 1)
            for item in page.items:
                if last is not None and followed.feed.seq >= last:
                    break
                try:
                    self._take(roster, followed, item)
                except PeerError as error:
                    if not self._discard or error.device not in (None, device):
                        raise
                    followed.cut = True
                    return
            if not page.items or not page.more:
                return

    def _take(self, roster: Roster, followed: _Followed, item: PageItem) -> None:
        device, seq = int(followed.feed.device), followed.feed.seq + 1
        # REL-11: "… and seqs of a feed that do not ascend by one from the one it asked for."
        if (item.device, item.seq) != (device, seq):
            raise HistoryError("replay", "the relay shows another header than the next one", device=device, seq=seq)
        key = roster.devices[device].keys.signing
        verified = verify_header(item.header, account=roster.account, device=device, seq=seq, key=key)
        named: dict[tuple[int, int], ObjectId] = {(h.device, h.seq): h.header_id for h in verified.header.heads}

        def known(other: int, place: int) -> ObjectId | None:
            found = self._id(other, place)
            return named.get((other, place)) if found is None else found

        followed.feed = followed.feed.follow(verified, roster, known)
        followed.ids += verified.id
        self.epochs[verified.header.epoch] += 1
        self._remember(verified)

    def _remember(self, verified: VerifiedHeader) -> None:
        header = verified.header
        for head in header.heads:
            if self._id(head.device, head.seq) is None:
                self._open.setdefault((head.device, head.seq), []).append((head.header_id, header.device, header.seq))

    def _settle(self, roster: Roster) -> None:
        """See whether every head that was named is there."""
        for (device, seq), claims in list(self._open.items()):
            found, removal = self._id(device, seq), roster.devices[device].removal
            beyond = self._followed[device].cut or (removal is not None and seq > removal.seq)
            for identifier, author, place in claims:
                if found == identifier or (found is None and beyond):
                    continue
                if not self._discard:
                    code = "missing" if found is None else "fork"
                    raise HistoryError(
                        code, f"it was shown device {device}, seq {seq}, otherwise", device=author, seq=place
                    )
                self._give_up(author, place)
            del self._open[device, seq]

    def _give_up(self, device: int, seq: int) -> None:
        followed = self._followed[device]
        if seq <= followed.feed.seq:
            del followed.ids[_ID * (seq - 1) :]
            head = ObjectId(bytes(followed.ids[-_ID:])) if seq > 1 else NO_ID
            followed.feed = Feed(followed.feed.device, Seq(seq - 1), head)
        followed.cut = True

    def _id(self, device: int, seq: int) -> ObjectId | None:
        followed = self._followed.get(device)
        if followed is None or not 0 < seq <= followed.feed.seq:
            return None
        return ObjectId(bytes(followed.ids[_ID * (seq - 1) : _ID * seq]))
