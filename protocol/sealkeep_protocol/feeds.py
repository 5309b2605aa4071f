"""Feeds as hash chains (spec §6.1–§6.2): whether a header continues its feed, for a relay and for a reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import Head, SegmentHeader, VerifiedHeader, view_hash
from sealkeep_protocol.types import NO_ID, NO_SEQ, DeviceId, ObjectId, Seq

# Looks up the id of the header that a device has verified at (device, seq); None where it has none.
HeaderIds = Callable[[int, int], "ObjectId | None"]


@dataclass(frozen=True, slots=True)
class Feed:
    """What is known of one feed: its head, its author's last roster number, and the heads its author has named."""

    device: DeviceId
    seq: Seq = NO_SEQ
    head: ObjectId = NO_ID
    roster: int = 0
    heads: Mapping[int, Head] = field(default_factory=lambda: MappingProxyType({}))

    def check_link(self, header: SegmentHeader, roster: Roster) -> None:
        """Check all that a relay sees too: chain, author, roster head, epoch, pin. Raises `HistoryError`."""
        place = {"device": self.device, "seq": header.seq}
        # SEG-02: "A header's seq MUST be one more than that of the header before it in its feed, and `previous` MUST be
        # that header's id."
        if header.seq > self.seq + 1:
            raise HistoryError("gap", f"seq {self.seq + 1} is missing before it", **place)
        if header.seq <= self.seq:
            raise HistoryError("replay", f"the feed has come to seq {self.seq} already", **place)
        if header.previous != self.head:
            raise HistoryError("fork", "it does not follow the header before it", **place)
        # SEG-03: "The author MUST be active at the header's roster head, and that number MUST NOT go back along a feed."
        if header.roster > roster.number:
            raise HistoryError("missing", f"it knows roster entry {header.roster}, which was not shown", **place)
        author = roster.devices.get(self.device)
        if author is None or not author.was_active_at(header.roster):
            raise HistoryError("author", "its author was not active at its roster head", **place)
        if header.roster < self.roster:
            raise HistoryError("roster", "its roster head goes back along the feed", **place)
        # SEG-04: "The epoch MUST be the epoch of the header's roster head."
        if header.epoch != roster.entry_epochs[header.roster]:
            raise HistoryError("epoch", "its epoch is not the one of its roster head", **place)
        # SEG-05: "A reader MUST refuse a header beyond the pin of a removed device."
        if author.removal is not None and header.seq > author.removal.seq:
            raise HistoryError("pinned", "its author was removed before it", **place)

    def check_pinned(self, verified: VerifiedHeader, roster: Roster) -> None:
        """At a removed device's pin stands the pinned header, and no other. Raises `HistoryError` (`pinned`)."""
        removal, seq = roster.devices[self.device].removal, verified.header.seq
        if removal is not None and seq == removal.seq and verified.id != removal.header_id:
            raise HistoryError("pinned", "it is not the header that was pinned", device=self.device, seq=seq)

    def follow(self, verified: VerifiedHeader, roster: Roster, known: HeaderIds) -> Feed:
        """Check a verified header as a reader and return the feed after it.

        `known` answers what this reader has verified of other feeds. Raises `HistoryError`.
        """
        header = verified.header
        self.check_link(header, roster)
        self.check_pinned(verified, roster)
        heads = dict(self.heads)
        for head in header.heads:
            self._check_head(head, heads.get(head.device), header, roster, known)
            heads[head.device] = head
        # SEG-07: "A reader MUST recompute `view` from the heads along the feed and its own roster, and refuse a
        # difference as `fork`."
        if header.view != view_hash(roster.entry_ids[header.roster], heads.values()):
            raise HistoryError("fork", "its author was shown another history", device=self.device, seq=header.seq)
        return replace(
            self,
            seq=header.seq,
            head=verified.id,
            roster=header.roster,
            heads=MappingProxyType(heads),
        )

    def _check_head(
        self, head: Head, before: Head | None, header: SegmentHeader, roster: Roster, known: HeaderIds
    ) -> None:
        place = {"device": self.device, "seq": header.seq}
        # SEG-21: "A reader MUST refuse a header that names an unknown device, or a head not beyond the one its author named
        # before, as `rollback`."
        other = roster.devices.get(head.device)
        if other is None or (before is not None and head.seq <= before.seq):
            raise HistoryError("rollback", f"its view of device {head.device} goes back", **place)
        # SEG-06: "A reader MUST compare every head that a header names with what it has itself verified at that place,
        # and refuse a difference as `fork`; a head that it has not been shown is `missing`, unless it lies beyond a removed
        # device's pin."
        if other.removal is not None and head.seq > other.removal.seq:
            return
        identifier = known(head.device, head.seq)
        if identifier is None:
            raise HistoryError(
                "missing", f"it has seen device {head.device}, seq {head.seq}, which is withheld", **place
            )
        if identifier != head.header_id:
            raise HistoryError("fork", f"it was shown another header of device {head.device}, seq {head.seq}", **place)
