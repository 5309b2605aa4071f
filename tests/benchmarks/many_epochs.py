"""A phase of the benchmark: an account of 20 devices and 500 epochs, and what opening it costs."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from sealkeep_client import Passphrase, RecoveryKit, Vault
from sealkeep_client.transport import HttpRelay
from sealkeep_protocol.hybrid_kem import WRAP_SIZE
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.roster import Roster, Signer, compose_change

DEVICES: Final = 20
EPOCHS: Final = 500
MB: Final = 1_000_000


async def many_epochs(base: Path, relay: str) -> dict[str, float]:
    """Make it, let a device that was away for all of it catch up, and open its vault. Times in ms, sizes in MB."""
    kits: list[RecoveryKit] = []
    home, unlock = base / "old phone", Passphrase("bench")
    async with await Vault.create(home, relay=relay, unlock=unlock, name="phone", on_kit=kits.append) as vault:
        account = vault._core.local.account
        size = await _grow(HttpRelay(relay, now=time.monotonic), kits[0], account.roster, list(account.epochs.values()))
        started = time.perf_counter()
        await vault.sync()
        catching_up = time.perf_counter() - started
    started = time.perf_counter()
    async with await Vault.open(home, unlock=unlock) as vault:
        opening = time.perf_counter() - started
        epochs = vault._core.local.account.epochs
        if len(epochs) != EPOCHS:
            raise AssertionError(f"{len(epochs)} of {EPOCHS} epochs are unlocked")
    return {"opening": opening * 1000, "catching up": catching_up * 1000, "size": size / MB}


async def _grow(line: HttpRelay, kit: RecoveryKit, roster: Roster, held: list[EpochKeys]) -> int:
    """Add devices and rotate, signed by the kit, which no limit counts. Returns the bytes that the relay keeps of it."""
    recovery = PrivateKeys.of_recovery(kit.seed)
    size, newest = 2 * WRAP_SIZE, 0
    try:
        while roster.epoch < EPOCHS:
            keys = PrivateKeys(os.urandom(32), os.urandom(32))
            added = [(keys.record((1, roster.account)), "tablet")] if len(roster.devices) < DEVICES else []
            composed = compose_change(
                roster, Signer.recovery(0), recovery.signing, held, random=os.urandom, added=added
            )
            await line.append_roster(roster.account, roster.number, composed.entry, composed.wraps)
            roster, held = composed.roster, [*held, composed.keys]
            size, newest = size + len(composed.entry) + WRAP_SIZE, len(composed.wraps) - 1
    finally:
        await line.close()
    return size + newest * WRAP_SIZE


def run_many_epochs(base: Path, relay: str) -> dict[str, float]:
    return asyncio.run(many_epochs(base, relay))
