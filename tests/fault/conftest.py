"""What the tests of attacks share: one hostile relay, the stages played once, and the table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sealkeep_conformance.relay import HostileRelay
from support import attack_table
from support.attack_table import AttackTable
from support.hostile_scene import Deeds, HostileScene
from support.household import Household
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, recovered


@pytest.fixture(scope="package")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with HostileRelay() as relay:
        yield Household(tmp_path_factory.mktemp("household"), relay)


@pytest.fixture(scope="package")
def table(pytestconfig: pytest.Config) -> Iterator[AttackTable]:
    writes = pytestconfig.getoption("--write-docs")
    table = AttackTable(None if writes else attack_table.PATH.read_text(encoding="utf-8"))
    yield table
    if writes:
        attack_table.PATH.write_text(table.render(), encoding="utf-8")


@pytest.fixture(scope="package")
def honest_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("honest") / "relay") as process:
        yield process


@pytest.fixture
async def scene(tmp_path: Path, honest_relay: RelayProcess, table: AttackTable) -> AsyncIterator[HostileScene]:
    """All have read what the phone wrote; the laptop has written nothing."""
    url = honest_relay.url
    with Proxy(honest_relay.port) as proxy:
        async with (
            created(tmp_path / "phone", proxy.url) as (phone, kit),
            await recovered(tmp_path / "tablet", kit, url, "tablet") as tablet,
            await recovered(tmp_path / "laptop", kit, url, "laptop") as laptop,
        ):
            scene = HostileScene(tmp_path, honest_relay, proxy, phone, tablet, laptop, kit, Deeds(table))
            await scene.write(phone, "one")
            for vault in (phone, tablet, laptop):
                await vault.sync()
            yield scene
