"""The sync engine: pure decisions, without sockets, files, clocks or randomness of its own."""

from sealkeep_client.engine._actions import (
    Action,
    Append,
    CheckRecords,
    DropPending,
    LoadOutbox,
    LoadPending,
    Progress,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadRoster,
    ReadWraps,
    SavePending,
    SaveRoster,
    SaveSegment,
    Settle,
    Steps,
    Waiting,
)
from sealkeep_client.engine._packing import Record
from sealkeep_client.engine._reading import ReadSegment, open_content, read_segment, verify_item
from sealkeep_client.engine._roster import check_pins, decode, extend_roster, unlock, unlock_by_kit
from sealkeep_client.engine._state import Account
from sealkeep_client.engine._sync import Sync, SyncReport
from sealkeep_client.engine._verification import Verification, Verified

__all__ = [
    "Account",
    "Action",
    "Append",
    "CheckRecords",
    "DropPending",
    "LoadOutbox",
    "LoadPending",
    "Progress",
    "ReadChanges",
    "ReadFeed",
    "ReadHeads",
    "ReadRoster",
    "ReadSegment",
    "ReadWraps",
    "Record",
    "SavePending",
    "SaveRoster",
    "SaveSegment",
    "Settle",
    "Steps",
    "Sync",
    "SyncReport",
    "Verification",
    "Verified",
    "Waiting",
    "check_pins",
    "decode",
    "extend_roster",
    "open_content",
    "read_segment",
    "unlock",
    "unlock_by_kit",
    "verify_item",
]
