"""The vault at a glance."""

from __future__ import annotations

from sealkeep_client.engine import name_device
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._devices import is_closing, locked_by, who
from sealkeep_client.vault._missing import missing_here
from sealkeep_client.vault._types import Status


def read_status(core: Core) -> Status:
    """What `Vault.status` tells. On the store's thread."""
    local, store = core.local, core.store
    account = local.account
    last, used, allowed = local.get("last-sync") or (None, 0, 0)
    conversations, messages = store.views.counts()
    _, files, file_bytes = store.uploads.count()
    awaited = store.awaited.count()
    own = account.roster.devices[account.device]
    return Status(
        relay=local.get("relay"),
        account=account.id,
        device=account.device,
        device_name=name_device(account.roster, account.epochs, account.device),
        devices=len(account.roster.active_devices),
        conversations=conversations,
        messages=messages,
        waiting=store.count_waiting(),
        last_sync=last,
        used=used,
        allowed=allowed,
        size=store.size(),
        unopened=store.sync.count_unopened(),
        locked_by=locked_by(account),
        removed_by=None if own.removed_at is None else who(account, account.roster.entry_signers[own.removed_at]),
        closing=is_closing(account),
        files_waiting=files,
        file_bytes_waiting=file_bytes,
        files_damaged=store.media.count_damaged(),
        awaited=awaited.segments,
        awaited_records=awaited.records,
        awaited_bytes=awaited.size,
        missing=missing_here(account, store),
        unreadable=tuple(f"device {device}, seq {seq}: {code}" for device, seq, code in local.get("unreadable") or []),
    )
