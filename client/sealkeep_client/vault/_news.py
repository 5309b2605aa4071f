"""Who and what came into the account, or left it, without this home: for its person to be told once."""

from __future__ import annotations

from typing import Final

from sealkeep_client.engine import decode
from sealkeep_client.vault._device_types import RosterChange
from sealkeep_client.vault._devices import tell_change
from sealkeep_client.vault._local import MADE_HERE, Local
from sealkeep_protocol.primitives import sha256

_TOLD: Final = "roster-told"  # the number of the newest entry that the person was told of


def take_news(local: Local) -> tuple[RosterChange, ...]:
    """The changes of devices and kits since this was asked last that were not made here. On the store's thread."""
    account = local.account
    told = local.get(_TOLD)
    first = (account.roster.devices[account.device].added_at if told is None else told) + 1
    if told == account.roster.number:
        return ()
    made, news = set(local.get(MADE_HERE) or []), []
    for data in local.store.sync.roster()[first:]:
        digest = sha256(data)
        if digest in made:
            made.discard(digest)
            continue
        change = tell_change(account, decode(data))
        if change.added or change.kit is not None or len(change.removed) > len(change.lowered):
            news.append(change)
    with local.store.transaction():
        local.put(_TOLD, account.roster.number)
        local.put(MADE_HERE, [digest for digest in local.get(MADE_HERE) or [] if digest in made])
    return tuple(news)
