"""Holding what the relay names as heads of feeds against what was verified (spec §6.7, §8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sealkeep_client.answers import Heads
from sealkeep_client.engine._session import Session
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.segments import Head


def compare_heads(session: Session, heads: Heads) -> None:
    """Hold the relay's heads against what was verified. Raises `HistoryError` (`rollback`, `fork`)."""
    shown = {head.device: head for head in heads.heads}
    for feed in session.account.feeds.values():
        head = shown.get(feed.device)
        place = {"device": feed.device, "seq": feed.seq}
        known = session.account.roster.devices.get(feed.device)
        removal = None if known is None else known.removal
        if removal is not None and removal.seq < feed.seq:  # discarded beyond its pin (ROS-17 saw to the rest)
            if removal.seq and (head is None or head.seq < removal.seq):
                raise HistoryError("rollback", "the relay does not show its feed up to its pin", **place)
            continue
        if feed.seq and (head is None or head.seq < feed.seq):
            raise HistoryError(
                "rollback", f"the relay shows its feed up to seq {head.seq if head else 0} only", **place
            )
        if head is not None and head.seq == feed.seq and head.header_id != feed.head:
            raise HistoryError("fork", "the relay shows another header than the verified one", **place)


def check_shown(session: Session, heads: Heads, floor: Sequence[Sequence[Any]]) -> None:
    """Hold what was read against the heads that the relay named, and those that the recovery kit had seen.

    Raises `HistoryError` (`missing`, `fork`, `rollback`).
    """
    for head in heads.heads:
        feed = session.tail if head.device == session.account.device else session.account.feed(head.device)
        if session.is_beyond_pin(head.device, head.seq):
            continue
        if feed.seq < head.seq:
            raise HistoryError(
                "missing", "the relay names it among the heads and withholds it", device=head.device, seq=head.seq
            )
        check_head(session, head)
    for device, seq, header_id in floor:
        found = session.lookup(device, seq)
        if found != header_id and not session.is_beyond_pin(device, seq):
            code = "rollback" if found is None else "fork"
            raise HistoryError(code, "the recovery kit has seen another feed", device=device, seq=seq)


def check_head(session: Session, head: Head) -> None:
    """Hold a head that the relay names against the header that it showed there."""
    if session.lookup(head.device, head.seq) != head.header_id:
        raise HistoryError("fork", "the relay shows another header than it names", device=head.device, seq=head.seq)
