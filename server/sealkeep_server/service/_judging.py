"""What segments are judged against, and the rules of their feed (spec §6.2)."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.segments import VerifiedHeader
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._accounts import Account
from sealkeep_server.stores import FeedHead


@dataclass(frozen=True, slots=True)
class View:
    """What segments are judged against: the account, and its author's feed as the store has it."""

    state: Account
    feed: FeedHead


class StaleError(ProblemError):
    """`epoch-stale`, with the header that it is about."""

    def __init__(self, verified: VerifiedHeader) -> None:
        super().__init__("epoch-stale", "Read the roster, and seal again under the current epoch.")
        self.verified = verified


def judge_next(verified: VerifiedHeader, head: FeedHead, state: Account) -> None:
    """Judge whether a header is the next of its feed by its own roster head. Raises `PeerError` or `ProblemError`."""
    header = verified.header
    # SEG-02: "A header's seq MUST be one more than that of the header before it in its feed, and `previous` MUST be that
    # header's id."
    if header.seq != head.seq + 1 or header.previous != head.header_id:
        raise ProblemError("gap", f"The feed's head is seq {head.seq}.")
    # SEG-03, SEG-04 and SEG-05 are checked by the code that readers run.
    Feed(head.device, head.seq, head.header_id, head.roster).check_link(header, state.roster)


def head_after(verified: VerifiedHeader) -> FeedHead:
    """The feed's head once this segment is stored."""
    header = verified.header
    return FeedHead(header.device, header.seq, verified.id, header.roster)
