"""Keys of the account that are not there: how much was written under them, and who was given them (spec §5.6)."""

from __future__ import annotations

from collections.abc import Mapping

from sealkeep_client.engine import Account, name_device
from sealkeep_client.store import Store
from sealkeep_client.vault._device_types import MissingKey
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.roster import Roster


def find_missing(
    roster: Roster, epochs: Mapping[int, EpochKeys], segments: Mapping[int, int], *, but: int | None = None
) -> tuple[MissingKey, ...]:
    """The keys under which so many segments were written, by epoch; `epochs` are those that are held, `but` is the device
    that asks."""
    found = []
    for epoch, count in sorted(segments.items()):
        begun = roster.entry_epochs.index(epoch)
        given = [device for device in roster.devices.values() if device.was_active_at(begun) and device.number != but]
        named = tuple((device.number, name_device(roster, epochs, device.number), device.active) for device in given)
        found.append(MissingKey(epoch, count, named))
    return tuple(found)


def missing_here(account: Account, store: Store) -> tuple[MissingKey, ...]:
    """Those of the segments that a home keeps without reading them. On the store's thread."""
    return find_missing(account.roster, account.epochs, store.sync.unopened_by_epoch(), but=account.device)
