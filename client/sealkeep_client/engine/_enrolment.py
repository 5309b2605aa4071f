"""Going on as a new device of the same account (spec §11.3): what a clone does, and a device whose feed cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sealkeep_client.engine._actions import Become, Steps
from sealkeep_client.engine._change import Change, Changing
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.types import DeviceId


def enrol(
    session: Session, fresh: PrivateKeys, name: str, *, random: Callable[[int], bytes], time: int | None
) -> Steps[Account]:
    """Add `fresh` as a new device named `name`, signed by the present one, and become it; → the account as that device.

    `fresh` is persisted already: after a crash or a lost answer the same steps find it in the roster, or add it. Raises
    `RemovedError` where the present device was removed, and whatever changing the roster raises.
    """
    # VIE-05: "A clone MUST draw fresh device keys, persist them before it sends anything, and sign the `change` that adds
    # them with the old device's key."
    record = fresh.record((1, session.account.id))
    changed = yield from Changing(session, Change(added=((record, name),)), random=random, time=time).run()
    # What this home has written lies beyond its cursor, and is read again as another device's.
    account = replace(session.account, device=DeviceId(changed.added[-1]), keys=fresh, rereads=True)
    yield Become(account)
    return account
