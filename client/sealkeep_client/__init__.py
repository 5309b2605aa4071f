"""The client SDK: a person's chat records, encrypted on their devices, kept in step through a relay that cannot read them.

from sealkeep_client import Passphrase, Text, Vault

async with await Vault.open(home, unlock=Passphrase(ask)) as vault:
    chat = await vault.conversation("telegram:user:42")
    await vault.append(chat, Text("hi"))
    await vault.sync()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sealkeep_client.importers import ImportOptions
    from sealkeep_client.kit import RecoveryKit
    from sealkeep_client.store import Keyring, Passphrase
    from sealkeep_client.vault import Draft, SyncVault, Text, Vault
    from sealkeep_protocol.errors import SealkeepError

__all__ = [
    "Draft",
    "ImportOptions",
    "Keyring",
    "Passphrase",
    "RecoveryKit",
    "SealkeepError",
    "SyncVault",
    "Text",
    "Vault",
]

_HOMES = {
    "Draft": "sealkeep_client.vault",
    "ImportOptions": "sealkeep_client.importers",
    "Keyring": "sealkeep_client.store",
    "Passphrase": "sealkeep_client.store",
    "RecoveryKit": "sealkeep_client.kit",
    "SealkeepError": "sealkeep_protocol.errors",
    "SyncVault": "sealkeep_client.vault",
    "Text": "sealkeep_client.vault",
    "Vault": "sealkeep_client.vault",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: `sealkeep --help` must not wait for the whole SDK.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
