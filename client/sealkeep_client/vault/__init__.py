"""The vault: the public face of the SDK."""

from sealkeep_client.vault._device_types import DeviceInfo, KitInfo, KitReport, MembershipChange, RosterChange
from sealkeep_client.vault._sync_vault import SyncVault
from sealkeep_client.vault._types import (
    Change,
    Chat,
    Draft,
    ImportReport,
    LinkCode,
    Linked,
    Newcomer,
    OnProgress,
    Progress,
    Record,
    Status,
    SyncState,
    SyncSummary,
    Text,
    VerifyReport,
)
from sealkeep_client.vault._vault import Vault

__all__ = [
    "Change",
    "Chat",
    "DeviceInfo",
    "Draft",
    "ImportReport",
    "KitInfo",
    "KitReport",
    "LinkCode",
    "Linked",
    "MembershipChange",
    "Newcomer",
    "OnProgress",
    "Progress",
    "Record",
    "RosterChange",
    "Status",
    "SyncState",
    "SyncSummary",
    "SyncVault",
    "Text",
    "Vault",
    "VerifyReport",
]
