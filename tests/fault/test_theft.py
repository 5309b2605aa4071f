"""A device is stolen, unlocked. Whatever the thief does with it first, the owner's kit takes the account back (P6, P7)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import MissingKey
from sealkeep_protocol.errors import RefusedError, UsageError
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, exported, opened, reclaimed, recovered

CHAT = "telegram:user:1"


class Theft:
    """The owner's phone and kit; the stolen laptop, its thief's kits, and the devices that the thief brings in."""

    def __init__(self, base: Path, proxy: Proxy, relay: RelayProcess, phone: Vault, kit: RecoveryKit) -> None:
        self.base, self.proxy, self.relay, self.phone, self.kit = base, proxy, relay, phone, kit
        self.laptop: Vault
        self.thiefs: list[RecoveryKit] = []
        self.owners: list[RecoveryKit] = []
        self.vaults: list[Vault] = []

    def keep(self, vault: Vault) -> Vault:
        self.vaults.append(vault)
        return vault

    async def write(self, vault: Vault, text: str) -> None:
        await vault.append(await vault.conversation(CHAT), Text(text))

    async def texts(self, vault: Vault) -> list[str | None]:
        found = [r.text async for page in vault.history(await vault.conversation(CHAT)) for r in page]
        return sorted(found, key=str)

    async def reclaim(self, kit: RecoveryKit | None = None, name: str = "new", *, discard: bool = False) -> Vault:
        """`recover --remove-others`, with the owner's kit unless said otherwise."""
        kits = self.owners if kit is None else self.thiefs
        return self.keep(
            await reclaimed(
                self.base / name, kit or self.kit, self.relay.url, name, on_kit=kits.append, discard=discard
            )
        )


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("theft") / "relay") as process:
        yield process


@pytest.fixture
async def theft(tmp_path: Path, relay: RelayProcess) -> AsyncIterator[Theft]:
    with Proxy(relay.port) as proxy:
        async with created(tmp_path / "phone", proxy.url) as (phone, kit):
            theft = Theft(tmp_path, proxy, relay, phone, kit)
            await theft.write(phone, "before")
            await phone.sync()
            theft.laptop = theft.keep(await recovered(tmp_path / "laptop", kit, relay.url))
            await theft.laptop.sync()
            await theft.write(theft.laptop, "of the laptop")
            await theft.laptop.sync()
            await phone.sync()
            yield theft
            for vault in theft.vaults:
                await vault.close()


async def replaced_twice(theft: Theft) -> None:
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)


async def through_its_kit(theft: Theft) -> None:
    """The second kit is set by the first: the roster does not name the laptop for it."""
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append, kit=theft.thiefs[0])


async def closed(theft: Theft) -> None:
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    assert (await Vault.close_account(theft.thiefs[-1])).days == 30


async def removed_the_owner(theft: Theft) -> None:
    await theft.laptop.remove(1, on_kit=theft.thiefs.append)


async def reclaimed_it(theft: Theft) -> None:
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.reclaim(theft.thiefs[-1], "thief's")


async def added_devices(theft: Theft) -> None:
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    for name in ("second", "third"):
        theft.keep(await recovered(theft.base / name, theft.thiefs[-1], theft.relay.url, name))


DEEDS = [replaced_twice, through_its_kit, closed, removed_the_owner, reclaimed_it, added_devices]


@pytest.mark.parametrize("deed", DEEDS)
async def test_the_owners_kit_takes_the_account_back(theft: Theft, deed: Callable[[Theft], Awaitable[None]]) -> None:
    """§5.4, ROS-11: everybody else is out, no kit of the thief does anything any more, and nothing is lost."""
    await deed(theft)
    new = await theft.reclaim()
    await new.sync()
    assert await theft.texts(new) == ["before", "of the laptop"]
    active = [device.name for device in await new.devices() if device.active]
    assert active == ["new"]
    in_force = [kit.number for kit in await new.kits() if kit.in_force]
    assert in_force == [len(theft.thiefs) + 1]
    for vault in [theft.phone, *theft.vaults[:-1]]:
        with pytest.raises(RefusedError) as caught:
            await vault.sync()
        assert caught.value.code == "revoked"
    for kit in (theft.kit, *theft.thiefs):
        assert not (await Vault.verify_kit(kit)).in_force
        with pytest.raises(RefusedError, match="replaced by a newer one"):
            await recovered(theft.base / "again", kit, theft.relay.url)
        with pytest.raises(RefusedError, match="replaced by a newer one"):
            await Vault.close_account(kit)
    await theft.write(new, "goes on")
    await new.sync()
    report = await Vault.verify_kit(theft.owners[-1])
    assert (report.restores_all, report.lost) == (True, 0)


async def test_a_phone_alone_is_safe_until_the_kit_is_there(theft: Theft) -> None:
    """ROS-16, ROS-19: it removes the laptop and whatever came from there; the thief's kits wait, the owner's ends them."""
    await through_its_kit(theft)
    change = await theft.phone.remove(2, on_kit=theft.owners.append)
    assert change.new_kit
    for kit in theft.thiefs[1:]:  # the first was ended by the second
        for use in (
            lambda kit=kit: theft.reclaim(kit, "thief's"),
            lambda kit=kit: Vault.close_account(kit),
        ):
            with pytest.raises(RefusedError) as caught:
                await use()
            assert caught.value.code == "disputed"
        with pytest.raises(UsageError, match="replaced on"):  # whatever the relay says (ROS-25)
            await recovered(theft.base / "spy", kit, theft.relay.url)
    await theft.write(theft.phone, "in peace")
    await theft.phone.sync()
    ended = await theft.phone.remove(2, kit=theft.kit)
    assert (ended.removed, ended.ended) == ((), True)
    assert [kit.in_force for kit in await theft.phone.kits()] == [True, False, False, True]
    assert (await Vault.verify_kit(theft.owners[-1])).restores_all
    restored = theft.keep(await recovered(theft.base / "restored", theft.owners[-1], theft.relay.url))
    await restored.sync()
    assert await theft.texts(restored) == ["before", "in peace", "of the laptop"]


async def test_a_thief_who_adds_a_device_while_being_removed(theft: Theft) -> None:
    """ROS-20: once, and once more, each a moment before the removal reaches the relay."""
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.phone.sync()
    names = iter(["second", "third"])

    def add() -> None:
        async def join() -> None:
            name = next(names)
            async with await recovered(theft.base / name, theft.thiefs[0], theft.relay.url, name):
                pass

        asyncio.run(join())

    for _ in range(2):
        theft.proxy.before("POST", "/roster", add)
    change = await theft.phone.remove(2, on_kit=theft.owners.append)
    assert [name for _, name in change.removed] == ["laptop", "second", "third"]
    assert [device.name for device in await theft.phone.devices() if device.active] == ["phone"]
    assert len(theft.owners) == 1
    for name in ("second", "third"):
        async with await opened(theft.base / name) as vault:
            with pytest.raises(RefusedError, match="removed from the account by “phone”"):
                await vault.sync()


async def test_a_thief_who_writes_while_being_removed(theft: Theft) -> None:
    """ROS-12: what it wrote before the removal is read, and belongs to what is pinned."""

    def write() -> None:
        async def send() -> None:
            # The laptop's home as a copy, which the vault that is open here does not lock.
            async with await opened(theft.base / "copy") as laptop:
                await theft.write(laptop, "meanwhile")
                await laptop.sync()

        asyncio.run(send())

    await theft.laptop.close()
    shutil.copytree(theft.base / "laptop", theft.base / "copy")
    theft.proxy.before("POST", "/roster", write)
    await theft.phone.remove(2)
    assert "meanwhile" in await theft.texts(theft.phone)
    [_, laptop] = await theft.phone.devices()
    assert laptop.segments == 2


async def test_a_thief_who_never_stops_writing(theft: Theft, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, ROS-12: a segment before every attempt holds no reclaim up, where the person gives up what comes meanwhile."""
    honest = HttpRelay.append_roster
    attempts = 0

    async def late(self: HttpRelay, *arguments: Any) -> Any:
        nonlocal attempts
        attempts += 1
        await theft.write(theft.laptop, f"meanwhile {attempts}")
        await theft.laptop.sync()
        return await honest(self, *arguments)

    monkeypatch.setattr(HttpRelay, "append_roster", late)
    monkeypatch.setattr("sealkeep_client.vault._recovering.REBASES", 6)
    with pytest.raises(RefusedError) as caught:
        await theft.reclaim()
    assert (caught.value.code, attempts) == ("pinned", 6)
    new = await theft.reclaim(discard=True)
    assert attempts < 12
    await new.sync()
    assert {"before", "of the laptop", "meanwhile 6"} <= set(await theft.texts(new))
    assert [device.name for device in await new.devices() if device.active] == ["new"]
    assert [cut for _, cut in (await new.device_log())[-1].pins] == [True, True]
    assert len(theft.owners) == 1


async def test_the_kit_alone_restores_everything(theft: Theft, tmp_path: Path) -> None:
    """P7: all devices are lost; it brings back all that they had, byte for byte, and removes them."""
    before = await exported(theft.phone, tmp_path / "before.jsonl")
    new = await theft.reclaim()
    summary = await new.sync()
    assert (summary.unreadable, summary.unopened) == ((), 0)
    assert await exported(new, tmp_path / "after.jsonl") == before
    assert [device.active for device in await new.devices()] == [False, False, True]
    assert (await new.verify()).unreadable == ()


async def test_what_was_written_under_the_thiefs_kit(theft: Theft) -> None:
    """§5.4, ROS-22: the older kit does not open it. A phone that the owner kept in the account, by signing with the kit
    from there, hands out a new kit first (ROS-25), which does."""
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.write(theft.phone, "under the thief's kit")
    await theft.phone.sync()
    await theft.phone.remove(2, on_kit=theft.owners.append, kit=theft.kit)
    assert [kit.in_force for kit in await theft.phone.kits()] == [True, False, True]
    assert (await Vault.verify_kit(theft.owners[-1])).restores_all
    new = theft.keep(await recovered(theft.base / "new", theft.owners[-1], theft.relay.url))
    await new.sync()
    assert await theft.texts(new) == ["before", "of the laptop", "under the thief's kit"]


async def test_a_reclaim_without_the_phone_keeps_what_it_cannot_open(theft: Theft) -> None:
    """SEG-23"""
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    await theft.write(theft.phone, "under the thief's kit")
    await theft.phone.sync()
    new = await theft.reclaim()
    summary = await new.sync()
    assert (summary.unopened, summary.unreadable) == (1, ())
    report = await Vault.verify_kit(theft.owners[-1])
    assert (report.missing, report.lost, report.restores_all) == ((3,), 1, False)
    assert await theft.texts(new) == ["before", "of the laptop"]
    assert (await new.status()).unopened == 1
    assert await new.missing_keys() == [MissingKey(3, 1, ((1, "phone", False), (2, "laptop", False)))]
    assert "under the thief's kit" in await theft.texts(theft.phone)  # which stays readable


async def test_a_replaced_kit_lets_nobody_in(theft: Theft) -> None:
    """ROS-25, P7: who found it joins with nothing; its owner is told when and by whom it was replaced, and what to do."""
    await theft.laptop.replace_kit(on_kit=theft.thiefs.append)
    with pytest.raises(UsageError, match=r"replaced on .* by a newer one, made by device 2; .* `sealkeep recover --"):
        await recovered(theft.base / "new", theft.kit, theft.relay.url, "new")
    await theft.phone.sync()
    assert [device.name for device in await theft.phone.devices()] == ["phone", "laptop"]
    new = await theft.reclaim()
    assert [device.active for device in await new.devices()] == [False, False, True]
