"""Vaults in this process, quick to unlock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sealkeep_client import Passphrase, RecoveryKit, Vault
from sealkeep_client.store import Strength

# The passphrase of `support.clients.Device`, so that the command opens these homes as well; not what is tested.
UNLOCK = Passphrase("test", strength=Strength(1, 8 << 20))


@asynccontextmanager
async def created(home: Path, url: str, name: str = "phone") -> AsyncIterator[tuple[Vault, RecoveryKit]]:
    """A new account with its kit."""
    kits: list[RecoveryKit] = []
    async with await Vault.create(home, relay=url, unlock=UNLOCK, name=name, on_kit=kits.append) as vault:
        yield vault, kits[0]


async def recovered(home: Path, kit: RecoveryKit, url: str | None = None, name: str = "laptop") -> Vault:
    """A new device of the kit's account, which has not synced yet."""
    return await Vault.recover(home, kit=kit, unlock=UNLOCK, name=name, relay=url)


async def reclaimed(
    home: Path,
    kit: RecoveryKit,
    url: str,
    name: str = "new",
    *,
    on_kit: Callable[[RecoveryKit], None],
    discard: bool = False,
) -> Vault:
    """A new device that takes the account over (`recover --remove-others`); `on_kit` gets its new kit."""
    return await Vault.recover(
        home, kit=kit, unlock=UNLOCK, name=name, relay=url, remove_others=True, on_kit=on_kit, discard=discard
    )


async def opened(home: Path) -> Vault:
    return await Vault.open(home, unlock=UNLOCK)


async def exported(vault: Vault, out: Path) -> bytes:
    """Its JSON lines."""
    await vault.export(out, format="jsonl")
    return out.read_bytes()
