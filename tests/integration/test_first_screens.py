"""A new device shows the newest messages of every chat before the rest is there, and goes on from where it was stopped."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.vault import Progress
from sealkeep_protocol.errors import HistoryError
from support.clients import Device
from support.large_exports import write_noise
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, exported, opened, recovered

FRONT = 50  # messages of each chat
MOST = 0.05  # of the account's bytes, until these are shown
BODIES = "/feeds/1"
MESSAGES = 5_500  # about ten segments, with a front


@dataclass
class Account:
    """What a phone has imported and sent, behind a proxy that counts; `shown` are the newest messages of each chat."""

    base: Path
    proxy: Proxy
    kit: RecoveryKit
    used: int
    shown: dict[bytes, list[Any]]

    @property
    def phone(self) -> Path:
        return self.base / "phone"


async def newest(vault: Vault) -> dict[bytes, list[Any]]:
    """By chat, its title with its newest messages as they are shown: times, authors' names and texts."""
    found: dict[bytes, list[Any]] = {}
    for chat in await vault.conversations():
        async for page in vault.history(chat, limit=FRONT):
            found[chat.id] = [chat.title, *((one.id, one.place, one.author, one.text) for one in page)]
            break
    return found


async def account_of(source: Path, base: Path, relay: RelayProcess, proxy: Proxy) -> Account:
    async with created(base / "phone", relay.url) as (vault, kit):
        await vault.import_exports([source])
        await vault.sync()
        return Account(base, proxy, kit, (await vault.status()).used, await newest(vault))


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    source = tmp_path / "result.json"
    write_noise(source, MESSAGES)
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        yield await account_of(source, tmp_path, relay, proxy)


class EnoughError(Exception):
    """The sync was stopped."""


async def sync_until_the_front_is_there(vault: Vault, proxy: Proxy) -> int:
    """Stop a sync as soon as it has kept a body; the bytes that were received by then."""
    received = 0

    def stop(step: Progress) -> None:
        nonlocal received
        if step.done:
            received = proxy.received
            raise EnoughError

    with pytest.raises(EnoughError):
        await vault.sync(progress=stop)
    return received


async def test_first_screens_of_real_chats(data_dir: Path, tmp_path: Path) -> None:
    """On the text alone, with all that a recovery reads before."""
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        account = await account_of(data_dir / "telegram" / "result.json", tmp_path, relay, proxy)
        async with await recovered(tmp_path / "laptop", account.kit, proxy.url) as laptop:
            received = await sync_until_the_front_is_there(laptop, proxy)
            assert await newest(laptop) == account.shown
            assert len(account.shown) == 102
            assert received <= MOST * account.used, received / account.used
            assert (await laptop.status()).awaited_records > 140_000
            await laptop.sync()
            assert (await laptop.status()).messages == 142_816


async def test_chats_are_read_and_written_while_the_rest_comes(account: Account) -> None:
    """SEG-26: what is there is right, and all devices have everything in the end."""
    async with await recovered(account.base / "laptop", account.kit, account.proxy.url) as laptop:
        await sync_until_the_front_is_there(laptop, account.proxy)
        assert await newest(laptop) == account.shown
        status = await laptop.status()
        assert status.awaited >= 9
        assert 0 < status.awaited_bytes <= account.used
        chats = await laptop.conversations()
        assert all(0 < chat.awaited <= status.awaited for chat in chats)
        await laptop.append(chats[0], Text("written before the rest was here"))
        report = await laptop.verify()  # all is proved, though not all is here
        assert report.unreadable == ()
        assert (await laptop.status()).awaited == status.awaited
        await laptop.sync()
        status = await laptop.status()
        assert (status.waiting, status.awaited, status.awaited_records, status.awaited_bytes) == (0, 0, 0, 0)
        assert not any(chat.awaited for chat in await laptop.conversations())
        mine = await exported(laptop, account.base / "laptop.jsonl")
    async with await opened(account.phone) as phone:
        await phone.sync()
        assert await exported(phone, account.base / "phone.jsonl") == mine


async def test_whoever_waits_for_one_record_does_not_wait_for_all_that_is_old(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealkeep_client.engine._awaited.AT_ONCE", 1)
    async with await recovered(account.base / "laptop", account.kit, account.proxy.url) as laptop:
        await sync_until_the_front_is_there(laptop, account.proxy)
        before = (await laptop.status()).awaited
        record = await laptop.append((await laptop.conversations())[0], Text("sent at once"))
        await laptop.uploaded(record)
        assert before - 1 <= (await laptop.status()).awaited < before


async def test_a_device_that_is_killed_among_the_bodies(account: Account) -> None:
    """`kill -9` at each question for bodies: what came stays, what is on its way is told, and comes (P9)."""
    late = Device(account.base / "late")
    await (await recovered(late.home, account.kit, account.proxy.url)).close()
    for skip in (0, 2):
        running: list[subprocess.Popen[str]] = []
        account.proxy.before("GET", BODIES, lambda running=running: running[0].kill(), skip=skip)  # type: ignore[misc]
        running.append(late.start("sync"))
        running[0].communicate(timeout=60)
        assert running[0].returncode == -9
        account.proxy.forget_rules()
    assert "more of this chat is on its way" in late.run("show", "Chat 1", "--limit", "5")
    assert "not everything is here yet" in late.run("search", "北京", "--limit", "1")
    assert "To come" in late.run("status")
    async with await opened(late.home) as vault, await opened(account.phone) as phone:
        await vault.sync()
        assert (await vault.status()).awaited == 0
        assert await exported(vault, account.base / "late.jsonl") == await exported(phone, account.base / "phone.jsonl")


async def test_a_body_that_the_relay_lost(account: Account) -> None:
    """SEG-27, REL-16: told, with device and seq, whenever asked; all else is here."""
    bodies = sorted(p for p in (account.base / "relay" / "bodies").rglob("*") if p.is_file())
    damaged = bodies[len(bodies) // 2]
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    async with await recovered(account.base / "laptop", account.kit, account.proxy.url) as laptop:
        for _ in range(2):
            with pytest.raises(HistoryError) as caught:
                await laptop.sync()
            assert (caught.value.code, caught.value.device) == ("missing", 1)
            status = await laptop.status()
            assert status.awaited == 1
            assert status.messages > MESSAGES // 2
        assert await newest(laptop) == account.shown
        damaged.write_bytes(good)
        await laptop.sync()
        assert (await laptop.status()).messages == MESSAGES
