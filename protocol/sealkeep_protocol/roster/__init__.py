"""The roster (spec §5): entries, the state machine that judges them, and composing new ones."""

from sealkeep_protocol.roster._compose import (
    Composed,
    Random,
    compose_change,
    compose_close,
    compose_genesis,
    follow_links,
    open_name,
    open_wrap,
    seal_name,
    unreached,
)
from sealkeep_protocol.roster._entries import (
    MAX_ENTRY,
    MAX_NAME,
    Addition,
    Entry,
    EntryType,
    Link,
    Removal,
    Rotation,
    Signer,
    decode_entry,
    decode_signer,
)
from sealkeep_protocol.roster._recovery import RecoveryKey
from sealkeep_protocol.roster._state import Roster, RosterDevice

__all__ = [
    "MAX_ENTRY",
    "MAX_NAME",
    "Addition",
    "Composed",
    "Entry",
    "EntryType",
    "Link",
    "Random",
    "RecoveryKey",
    "Removal",
    "Roster",
    "RosterDevice",
    "Rotation",
    "Signer",
    "compose_change",
    "compose_close",
    "compose_genesis",
    "decode_entry",
    "decode_signer",
    "follow_links",
    "open_name",
    "open_wrap",
    "seal_name",
    "unreached",
]
