"""The own feed as the relay shows it: whether somebody else wrote to it (spec §6.7)."""

from __future__ import annotations

from sealkeep_client.answers import Heads, Page, PageItem
from sealkeep_client.engine._actions import ReadFeed, Steps
from sealkeep_client.engine._heads import check_head
from sealkeep_client.engine._reading import verify_item
from sealkeep_client.engine._session import Session
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.evidence import Contradiction, EvidenceKind, Place
from sealkeep_protocol.segments import VerifiedHeader


def check_own_feed(session: Session, heads: Heads) -> Steps[None]:
    """See whether somebody else wrote to the own feed: a copy of this home, or the one that a backup was taken of."""
    device = session.account.device
    shown = next((head for head in heads.heads if head.device == device), None)
    own = session.account.feed(device)
    if shown is None or shown.seq <= own.seq or session.pending(shown.seq) == shown.header_id:
        return
    seq = own.seq + 1
    while seq <= shown.seq:
        page: Page = yield ReadFeed(device, seq)
        if not page.items:
            raise HistoryError(
                "missing", "the relay names a header that it does not show", device=device, seq=shown.seq
            )
        for item in page.items:
            # REL-11: "… and seqs of a feed that do not ascend by one from the one it asked for."
            if (item.device, item.seq) != (device, seq):
                code = "gap" if item.device == device and item.seq > seq else "replay"
                raise HistoryError(code, "the relay shows another header than the next one", device=device, seq=seq)
            check_own_header(session, item, verify_item(session.account, item))
            seq += 1
    check_head(session, shown)


def check_own_header(session: Session, item: PageItem, verified: VerifiedHeader) -> None:
    """Check a header of the own feed: it is here too. Raises `HistoryError` (`clone`)."""
    identifier = session.lookup(item.device, item.seq)
    # SEG-19: "A device that is shown a validly signed header of its own feed which it does not have MUST NOT write to
    # that feed any more: it is a copy, or was restored from a backup."
    if identifier is None or identifier != verified.id:
        refusal = session.refused(verified.id)
        if refusal is not None:  # §6.6: a refused header "is not stored and never will be"
            proof = Contradiction(
                EvidenceKind.REFUSAL,
                (Place(item.device, item.seq),),
                (verified.data,),
                (session.account.identity, refusal),
            )
            raise HistoryError(
                "refusal", "the relay shows a segment that it has refused", device=item.device, seq=item.seq
            ).proved_by(proof)
        raise HistoryError(
            "clone",
            "this device's feed was continued elsewhere: this is a copy of it, or was restored from a backup",
            device=item.device,
            seq=item.seq,
        )
