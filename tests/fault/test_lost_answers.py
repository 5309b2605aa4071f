"""An append whose answer is lost, and one that meets a rotation: neither ever looks like a fork (spec §6.5, §6.6)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_protocol.errors import TransportError
from support.large_exports import texts_of, write_noise
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import UNLOCK, created, exported, opened, recovered

MESSAGES = 5_500  # about ten segments, in two appends
SEEDS = [pytest.param(seed, marks=() if seed < 3 else pytest.mark.long) for seed in range(20)]


@dataclass
class Place:
    """A relay behind a proxy. The relay's own address is for the devices whose line holds."""

    base: Path
    relay: RelayProcess
    proxy: Proxy
    joined: list[Path] = field(default_factory=list)

    def join(self, kit: RecoveryKit) -> Callable[[], None]:
        """Another device joins, which rotates the epoch; for the proxy's thread."""

        def act() -> None:
            home = self.base / f"laptop{len(self.joined)}"
            self.joined.append(home)

            async def recover() -> None:
                await (await recovered(home, kit, self.relay.url)).close()

            asyncio.run(recover())

        return act

    def stored(self) -> list[tuple[int, int]]:
        """Device and seq of the segments at the relay."""
        with sqlite3.connect(f"file:{self.relay.data / 'relay.db'}?mode=ro", uri=True) as database:
            return list(database.execute("SELECT device, seq FROM segment ORDER BY device, seq"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        yield Place(tmp_path, relay, proxy)


async def finish(place: Place, phone: Vault, kit: RecoveryKit, texts: Counter[str]) -> None:
    """Every device has the same, each message once, and the phone's feed has no hole."""
    assert (await phone.status()).waiting == 0
    assert (await phone.sync()).segments_sent == 0
    mine = await exported(phone, place.base / "phone.jsonl")
    assert texts_of(mine) == texts
    assert (await phone.verify()).unreadable == ()
    late = await recovered(place.base / "late", kit, place.relay.url)
    devices = [late, *[await opened(home) for home in place.joined]]
    for device in devices:
        async with device:
            assert (await device.sync()).unreadable == ()
            assert await exported(device, place.base / "other.jsonl") == mine
    seqs = [seq for device, seq in place.stored() if device == 1]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("skip", [0, 1])
async def test_a_lost_answer(place: Place, skip: int) -> None:
    """SEG-12: the same segments go out again, and are receipted."""
    texts = write_noise(place.base / "result.json", MESSAGES)
    async with created(place.base / "phone", place.proxy.url) as (phone, kit):
        await phone.import_exports([place.base / "result.json"])
        lost = place.proxy.lose_answer("POST", "/segments", skip=skip)
        with pytest.raises(TransportError):
            await phone.sync()
        assert lost.is_set()
        stored = place.stored()
        assert (await phone.status()).waiting > 0 or skip
        again = await phone.sync()
        assert again.segments_sent >= len(stored) - 8 * skip  # what had no receipt has one now
        await finish(place, phone, kit, texts)


@pytest.mark.parametrize("skip", [0, 1])
async def test_a_rotation_while_an_append_is_under_way(place: Place, skip: int) -> None:
    """SEG-14: the relay's signed refusal permits other headers there, under the new epoch."""
    texts = write_noise(place.base / "result.json", MESSAGES)
    async with created(place.base / "phone", place.proxy.url) as (phone, kit):
        await phone.import_exports([place.base / "result.json"])
        place.proxy.before("POST", "/segments", place.join(kit), skip=skip)
        summary = await phone.sync()
        assert len(place.joined) == 1
        assert summary.segments_sent == len(place.stored()) > 8
        assert (await phone.status()).devices == 2
        await finish(place, phone, kit, texts)


async def test_a_lost_answer_and_then_a_rotation(place: Place) -> None:
    """SEG-13: the device that has seen the new epoch sends its old header alone, and gets the receipt it missed."""
    texts = write_noise(place.base / "result.json", MESSAGES)
    async with created(place.base / "phone", place.proxy.url) as (phone, kit):
        await phone.import_exports([place.base / "result.json"])
        place.proxy.lose_answer("POST", "/segments", act=place.join(kit))
        with pytest.raises(TransportError):
            await phone.sync()
        before = place.stored()
        assert before
        await phone.sync()
        assert place.stored()[: len(before)] == before
        await finish(place, phone, kit, texts)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_to_appends(place: Place, seed: int) -> None:
    """Lost answers and rotations in any order, with words written in between."""
    dice = random.Random(seed)
    texts = write_noise(place.base / "result.json", MESSAGES, seed=seed)
    async with created(place.base / "phone", place.proxy.url) as (phone, kit):
        await phone.import_exports([place.base / "result.json"])
        chat = await phone.conversation("telegram:channel:1")
        for number in range(dice.randint(3, 6)):
            word = f"written {number}"
            texts[word] += 1
            await phone.append(chat, Text(word))
            for _ in range(dice.randint(0, 2)):
                skip = dice.randint(0, 1)
                match dice.randrange(3):
                    case 0:
                        place.proxy.lose_answer("POST", "/segments", skip=skip)
                    case 1:
                        place.proxy.before("POST", "/segments", place.join(kit), skip=skip)
                    case 2:
                        place.proxy.lose_answer("POST", "/segments", skip=skip, act=place.join(kit))
            for _ in range(4):
                try:
                    await phone.sync()
                except TransportError:
                    continue
                break
        place.proxy.forget_rules()
        await phone.sync()
        await finish(place, phone, kit, texts)


async def test_the_answer_to_a_new_account_is_lost(place: Place) -> None:
    """The home is there, and the next sync tells the relay of the same account again."""
    lost = place.proxy.lose_answer("POST", "/v1/accounts")
    kits: list[RecoveryKit] = []
    with pytest.raises(TransportError):
        await Vault.create(place.base / "phone", relay=place.proxy.url, unlock=UNLOCK, name="phone", on_kit=kits.append)
    assert lost.is_set()
    async with await opened(place.base / "phone") as phone:
        await phone.append(await phone.conversation("telegram:user:1"), Text("hi"))
        assert (await phone.sync()).segments_sent == 1
        await finish(place, phone, kits[0], Counter({"hi": 1}))


async def test_the_answer_to_a_recovery_is_lost(place: Place) -> None:
    """The device finds that it has joined, and joins no second time."""
    async with created(place.base / "phone", place.proxy.url) as (phone, kit):
        await phone.append(await phone.conversation("telegram:user:1"), Text("hi"))
        await phone.sync()
        lost = place.proxy.lose_answer("POST", "/roster")
        async with await recovered(place.base / "laptop", kit, place.proxy.url) as laptop:
            assert lost.is_set()
            await laptop.sync()
            assert (await laptop.status()).devices == 2
            await laptop.append(await laptop.conversation("telegram:user:1"), Text("ho"))
            await laptop.sync()
        await phone.sync()
        await finish(place, phone, kit, Counter({"hi": 1, "ho": 1}))
