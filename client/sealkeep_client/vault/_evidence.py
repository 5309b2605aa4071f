"""Keeping what proves that somebody lied (spec §11.2)."""

from __future__ import annotations

import hashlib

from sealkeep_client.store import Store
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.evidence import Contradiction, Evidence, verify_evidence


def save_evidence(store: Store, proof: Contradiction) -> str | None:
    """Save a contradiction with this device's roster as a file, and return where; None where it would prove nothing to
    others: what the relay showed beside it was not kept."""
    evidence = Evidence(tuple(store.sync.roster()), proof)
    try:
        verify_evidence(evidence)
    except PeerError:
        return None
    data = evidence.encode()
    place = "".join(f"-device-{place.device}-seq-{place.seq}" for place in proof.places[:1])
    name = f"{proof.kind.name.lower()}{place}-{hashlib.sha256(data).hexdigest()[:8]}.evidence"
    return str(store.write_evidence(name, data))
