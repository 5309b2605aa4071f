"""Beginning: a new account on this device (spec §5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store, Unlock
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault._core import Sources
from sealkeep_client.vault._driver import StoreThread
from sealkeep_client.vault._kits import iso_date
from sealkeep_client.vault._membership import write_membership
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import compose_genesis


async def create_home(
    home: Path,
    *,
    relay: HttpRelay,
    unlock: Unlock,
    name: str,
    on_kit: Callable[[RecoveryKit], None],
    thread: StoreThread,
    sources: Sources,
) -> Store:
    """Make a home with a new account that the relay does not know yet. The kit is handed out first: nothing is kept
    before the person can have it."""
    info = await relay.info()
    seed = sources.random(KEY_SIZE)
    signing, kem = sources.random(KEY_SIZE), sources.random(KEY_SIZE)
    now = sources.now()
    composed = compose_genesis(
        PrivateKeys(signing, kem), name, PrivateKeys.of_recovery(seed), random=sources.random, time=now
    )
    on_kit(
        RecoveryKit(
            relay=str(relay.url),
            identity=info.identity,
            account=composed.roster.account,
            seed=seed,
            roster=(0, composed.roster.head),
            feeds=(),
            date=iso_date(now),
        )
    )

    def write() -> Store:
        store = Store.create(home, unlock)
        try:
            with store.transaction():
                write_membership(
                    store,
                    device=1,
                    seeds=(signing, kem),
                    identity=info.identity,
                    relay=str(relay.url),
                    entries=[composed.entry],
                    epochs={composed.keys.number: composed.keys.secret},
                    unsent_wraps=composed.wraps,
                    incarnation=info.incarnation,
                    recovery_wrap=composed.wraps[0],
                )
            store.publish()
        except BaseException:
            store.close()
            raise
        return store

    return await thread.open(write)
