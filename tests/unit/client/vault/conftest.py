"""A relay process for all tests of a module, and vaults on it that are closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Passphrase, Strength
from sealkeep_client.vault import Vault
from support.relay import RelayProcess

UNLOCK = Passphrase("correct horse", strength=Strength(1, 8192))


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay") / "data") as process:
        yield process


class Person:
    """One account: its devices by name, and the kit that its first device made."""

    def __init__(self, folder: Path, relay: RelayProcess) -> None:
        self.folder = folder
        self.relay = relay
        self.unlock = UNLOCK
        self.kits: list[RecoveryKit] = []
        self.vaults: list[Vault] = []

    @property
    def kit(self) -> RecoveryKit:
        return self.kits[0]

    def home(self, name: str) -> Path:
        return self.folder / name

    def keep(self, vault: Vault) -> Vault:
        self.vaults.append(vault)
        return vault

    async def create(self, name: str = "phone", **options: Any) -> Vault:
        return self.keep(
            await Vault.create(
                self.home(name),
                relay=self.relay.url,
                unlock=UNLOCK,
                name=name,
                on_kit=self.kits.append,
                **options,
            )
        )

    async def open(self, name: str = "phone", **options: Any) -> Vault:
        return self.keep(await Vault.open(self.home(name), unlock=UNLOCK, **options))

    async def recover(self, name: str = "laptop", **options: Any) -> Vault:
        return self.keep(
            await Vault.recover(
                self.home(name),
                kit=self.kit,
                unlock=UNLOCK,
                name=name,
                **options,
            )
        )


@pytest.fixture
async def person(tmp_path: Path, relay: RelayProcess) -> AsyncIterator[Person]:
    someone = Person(tmp_path, relay)
    yield someone
    for vault in someone.vaults:
        await vault.close()
