"""What proves a fork (spec §11.2): looking for the two signed statements that contradict each other."""

from __future__ import annotations

from sealkeep_client.answers import Page
from sealkeep_client.engine._actions import ReadFeed, Steps
from sealkeep_client.engine._reading import verify_item
from sealkeep_client.engine._session import Session, SignedHeaders
from sealkeep_protocol.errors import PeerError, SealkeepError
from sealkeep_protocol.evidence import Contradiction, EvidenceKind, Place
from sealkeep_protocol.feeds import HeaderIds
from sealkeep_protocol.segments import VerifiedHeader


def find_proof(verified: VerifiedHeader, known: HeaderIds, signed: SignedHeaders) -> Contradiction | None:
    """What contradicts this header among those that this device keeps as they were signed."""
    header = verified.header
    place = Place(header.device, header.seq)
    identifier, before = known(*place), signed(*place)
    if before is not None and identifier not in (None, verified.id):
        return Contradiction(EvidenceKind.HEADERS, (place,), (before, verified.data))
    for head in header.heads:
        named = Place(head.device, head.seq)
        identifier, before = known(*named), signed(*named)
        if before is not None and identifier not in (None, head.header_id):
            return Contradiction(EvidenceKind.VIEW, (place, named), (verified.data, before))
    return None


def ask_for_proof(session: Session, error: PeerError) -> Steps[None]:
    """The relay names another head than was verified: see whether it can show a signed header for it.

    Whatever it answers, the error stands; with such a header it has its proof.
    """
    # VIE-03: "A client that refuses something as `fork`, or as a refused segment that is shown, MUST save the evidence
    # where it holds both statements; a header that the relay only names it asks for first."
    device, seq = error.device, error.seq
    if error.code != "fork" or device is None or seq is None or session.signed(device, seq) is None:
        return
    try:
        page: Page = yield ReadFeed(device, seq)
        for item in page.items:
            if (item.device, item.seq) == (device, seq):
                verified = verify_item(session.account, item)
                error.proved_by(find_proof(verified, session.lookup, session.signed))
    except SealkeepError:
        return  # it cannot; the error says so by having no proof
