"""Pairing (spec §10): how a new device joins an account through an old one. Two pure machines and what they say."""

from sealkeep_protocol.pairing._code import CodeKind, GivenCode, PairingCode, read_code
from sealkeep_protocol.pairing._messages import Candidate, Enrolment
from sealkeep_protocol.pairing._new_device import NewDevice, Offer
from sealkeep_protocol.pairing._old_device import OldDevice

__all__ = [
    "Candidate",
    "CodeKind",
    "Enrolment",
    "GivenCode",
    "NewDevice",
    "Offer",
    "OldDevice",
    "PairingCode",
    "read_code",
]
