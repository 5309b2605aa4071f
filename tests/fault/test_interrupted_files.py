"""`kill -9` while files are taken in and while they are sent (P9): nothing is half there, and nothing is sent twice."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store
from sealkeep_client.vault import Vault
from support.clients import Device
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import UNLOCK, created, exported, opened, recovered

MIB = 1 << 20
SIZES = (5_000, 300_000, 3 * MIB + 7, 20 * MIB + 1)  # 1 + 1 + 4 + 21 chunks, and 1 of a list
CHUNKS = 28


def write_export(folder: Path) -> dict[str, bytes]:
    """A Telegram export with files; returns these by name."""
    dice = random.Random(7)
    files = {f"{number}.bin": dice.randbytes(size) for number, size in enumerate(SIZES)}
    (folder / "files").mkdir(parents=True)
    for name, data in files.items():
        (folder / "files" / name).write_bytes(data)
    entries = [
        {
            "id": number,
            "type": "message",
            "date_unixtime": str(1_700_000_000 + number),
            "from": "Ann",
            "from_id": "user1",
            "text": f"look {number}",
            "file": f"files/{name}",
            "file_name": name,
            "file_size": len(files[name]),
        }
        for number, name in enumerate(files, 1)
    ]
    chat = {"name": "Ann", "type": "personal_chat", "id": 1, "messages": entries}
    (folder / "result.json").write_text(json.dumps(chat))
    return files


class Place:
    """A relay behind a proxy, the home of a phone, and an export."""

    def __init__(self, base: Path, relay: RelayProcess, proxy: Proxy) -> None:
        self.base, self.relay, self.proxy = base, relay, proxy
        self.kit: RecoveryKit
        self.phone = Device(base / "phone")
        self.export = base / "export"
        self.files = write_export(self.export)

    async def finish(self) -> None:
        """After a restart the sync ends, and a device that recovers has all files."""
        async with await opened(self.phone.home) as phone:
            await phone.sync()
            status = await phone.status()
            assert (status.waiting, status.files_waiting) == (0, 0)
            mine = await exported(phone, self.base / "phone.jsonl")
            assert await contents(phone) == self.files
        async with await recovered(self.base / "laptop", self.kit, self.relay.url) as laptop:
            assert (await laptop.sync()).unreadable == ()
            assert await exported(laptop, self.base / "laptop.jsonl") == mine
            assert await contents(laptop) == self.files


async def contents(vault: Vault) -> dict[str, bytes]:
    """All files of a vault by name."""
    found: dict[str, bytes] = {}
    async for entry in vault.files():
        async with await vault.open_attachment(entry.record, entry.index) as file:
            found[entry.attachment.name or ""] = await file.read()
    return found


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        made = Place(tmp_path, relay, proxy)
        async with created(tmp_path / "phone", proxy.url) as (_, kit):
            made.kit = kit
        yield made


@pytest.mark.parametrize("skip", [9, *(pytest.param(n, marks=pytest.mark.long) for n in (0, 1, 27))])
@pytest.mark.parametrize("taken", [False, True], ids=["before the relay has it", "before the answer"])
async def test_the_client_is_killed_at_a_chunk(place: Place, taken: bool, skip: int) -> None:
    async with await opened(place.phone.home) as vault:
        await vault.import_exports([place.export])
    running: list[subprocess.Popen[str]] = []
    put = ("PUT", "/chunks/*")
    if taken:
        place.proxy.lose_answer(*put, skip=skip, act=lambda: running[0].kill())
    else:
        place.proxy.before(*put, lambda: running[0].kill(), skip=skip)
    running.append(place.phone.start("sync"))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -9
    await place.finish()
    puts = [request for request in place.proxy.requests if request.startswith("PUT ")]
    assert CHUNKS <= len(puts) <= CHUNKS + 8  # of those in flight some may go out again, and no others


@pytest.mark.parametrize("at", ["/claims", pytest.param("/segments", marks=pytest.mark.long)])
async def test_the_relay_is_killed_during_an_upload(place: Place, at: str) -> None:
    async with await opened(place.phone.home) as vault:
        await vault.import_exports([place.export])
    place.proxy.before("POST", at, place.relay.kill, skip=1)
    assert "everything is safe on this device" in place.phone.run("sync", status=1)
    place.relay.start()
    await place.finish()


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 20))])
async def test_the_client_is_killed_while_it_takes_files_in(place: Place, seed: int) -> None:
    """All of the import is there or nothing, and no file without its row once the home was opened."""
    place.phone.killed(random.Random(seed).uniform(0.3, 1.1), "import", str(place.export))
    async with await opened(place.phone.home) as vault:
        found = await contents(vault)
        assert found in ({}, place.files)
        await vault.import_exports([place.export])
        assert await contents(vault) == place.files
    with Store.open(place.phone.home, UNLOCK) as store:
        rows = store._database.value("SELECT count(*) FROM pieces")
        assert rows == sum(path.is_file() for path in (place.phone.home / "media").rglob("*"))
