"""Pairing (spec §10): how a new device joins an account through an old one. Two pure machines and what they say."""

from sealkeep_protocol.pairing._code import MAX_MAILBOX, CodeKind, GivenCode, PairingCode, read_code
from sealkeep_protocol.pairing._messages import MAX_MESSAGE, Candidate, Enrolment
from sealkeep_protocol.pairing._new_device import NewDevice, Offer
from sealkeep_protocol.pairing._old_device import OldDevice

__all__ = [
    "MAX_MAILBOX",
    "MAX_MESSAGE",
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
