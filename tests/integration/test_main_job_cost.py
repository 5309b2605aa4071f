"""A sync with one new message costs what is new, not what is stored."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sealkeep_client import Vault
from support.clients import write_telegram
from support.cost import Cost, one_message
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, recovered

FEW = 1_000
ROUNDS = 9
RATIO = 1.3


async def pair(stack: AsyncExitStack, base: Path, url: str, source: Path) -> tuple[Vault, Vault]:
    """Two devices of a new account that have an export in common."""
    base.mkdir()
    phone, kit = await stack.enter_async_context(created(base / "phone", url))
    await phone.import_exports([source])
    await phone.sync()
    laptop = await stack.enter_async_context(await recovered(base / "laptop", kit, url))
    await laptop.sync()
    await phone.sync()
    return phone, laptop


async def compare(base: Path, many: Path) -> tuple[Cost, Cost]:
    """The cost of a message after `FEW`, and after all of an export; turn about, so that both meet the same machine."""
    write_telegram(base / "few.json", FEW)
    costs = Cost(), Cost()
    with RelayProcess(base / "relay") as relay, Proxy(relay.port) as proxy:
        async with AsyncExitStack() as stack:
            pairs = [
                await pair(stack, base / name, proxy.url, source)
                for name, source in (("after-few", base / "few.json"), ("after-many", many))
            ]
            for _ in range(ROUNDS):
                for (phone, laptop), cost in zip(pairs, costs, strict=True):
                    await one_message(phone, laptop, proxy, cost)
    return costs


async def test_bytes_after_some(tmp_path: Path) -> None:
    write_telegram(tmp_path / "many.json", 16 * FEW)
    few, many = await compare(tmp_path, tmp_path / "many.json")
    assert many.bytes_written <= RATIO * few.bytes_written
    assert many.bytes_read <= RATIO * few.bytes_read


@pytest.mark.long
async def test_bytes_and_time_after_all_real_messages(data_dir: Path, tmp_path: Path) -> None:
    few, many = await compare(tmp_path, data_dir / "telegram" / "result.json")
    assert many.bytes_written <= RATIO * few.bytes_written
    assert many.bytes_read <= RATIO * few.bytes_read
    assert many.time <= RATIO * few.time
