"""A relay whose directory was put back from a backup: told from an honest one by every device that has seen more, and
repaired by them when a person asks for it (spec §11.5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import RecoveryKit, Vault
from sealkeep_client.cli._failures import explain
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Chat, Draft, Lost, Text
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError, TransportError
from sealkeep_protocol.evidence import decode_evidence, verify_evidence
from sealkeep_protocol.roster import Removal, compose_change
from support.backups import LocalRelay
from support.vaults import created, opened, recovered

NAME = "telegram:user:1"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[LocalRelay]:
    relay = LocalRelay(tmp_path / "relay")
    await relay.start()
    yield relay
    await relay.stop()


class World:
    """An account with a phone, and whatever joins it."""

    def __init__(self, folder: Path, relay: LocalRelay, phone: Vault, kit: RecoveryKit) -> None:
        self.folder = folder
        self.relay = relay
        self.phone = phone
        self.kit = kit
        self.backups = 0
        self.closing: list[Vault] = []

    async def backup(self) -> Path:
        """Take one; returns where it is."""
        self.backups += 1
        place = self.folder / f"backup {self.backups}"
        await self.relay.backup(place)
        return place

    async def restore(self, backup: Path, *, said: bool = True) -> None:
        """Put it back; what the devices' lines were is gone."""
        await self.relay.restore(backup, said=said)

    async def join(self, name: str) -> Vault:
        vault = await recovered(self.folder / name, self.kit, name=name)
        self.closing.append(vault)
        return vault

    async def reopen(self, vault: Vault, name: str) -> Vault:
        await vault.close()
        again = await opened(self.folder / name)
        self.closing.append(again)
        return again


@pytest.fixture
async def world(tmp_path: Path, relay: LocalRelay) -> AsyncIterator[World]:
    async with created(tmp_path / "phone", relay.url) as (phone, kit):
        world = World(tmp_path, relay, phone, kit)
        yield world
        for vault in world.closing:
            await vault.close()


async def say(vault: Vault, *words: str, sync: bool = True) -> None:
    """Write, a segment for each word."""
    chat = await vault.conversation(NAME)
    for word in words:
        await vault.append(chat, Text(word))
        if sync:
            await vault.sync()


async def texts(vault: Vault) -> list[str]:
    chat: Chat = await vault.conversation(NAME)
    return sorted([record.text or "" async for page in vault.history(chat) for record in page])


def dump(vault: Vault) -> list[Any]:
    """All that its store holds but what the last sync was."""
    database = vault._core.store._database
    tables = [name for (name,) in database.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    kept = [name for name in tables if not name.startswith(("words", "sqlite"))]
    return [(name, sorted(database.rows(f"SELECT * FROM {name}"), key=repr)) for name in kept]


@contextlib.contextmanager
def misbehaves(code: str) -> Iterator[pytest.ExceptionInfo[PeerError]]:
    with pytest.raises(PeerError) as caught:
        yield caught
    assert caught.value.code == code, repr(caught.value)


async def refuses(vault: Vault, call: Callable[[], Awaitable[object]], code: str = "rollback") -> PeerError:
    """It raises this, and leaves all as it was and readable."""
    before, shown = await vault._core.in_store(lambda: dump(vault)), await texts(vault)
    with misbehaves(code) as caught:
        await call()
    assert await vault._core.in_store(lambda: dump(vault)) == before
    assert await texts(vault) == shown
    return caught.value


async def converge(*vaults: Vault) -> list[str]:
    for vault in (*vaults, *vaults):
        await vault.sync()
    shown = [await texts(vault) for vault in vaults]
    assert shown.count(shown[0]) == len(shown)
    assert len({(await vault.checkpoint(("able", "zone"))).code for vault in vaults}) == 1
    verified = [await vault.verify() for vault in vaults]
    assert verified.count(verified[0]) == len(verified)
    return shown[0]


async def test_a_relay_that_does_not_say_that_it_was_restored(world: World) -> None:
    """VIE-10, ERR-02: no repair for one that looks like a liar; another word of the operator makes it one."""
    phone = world.phone
    await say(phone, "one")
    backup = await world.backup()
    await say(phone, "two", "three")
    await world.restore(backup, said=False)
    for _ in range(2):
        assert (await refuses(phone, phone.sync)).restored is None
        await refuses(phone, phone.repair)
    await world.restore(backup)
    error = await refuses(phone, phone.sync)
    assert error.restored is not None
    assert error.restored > 1_700_000_000_000
    assert (error.device, error.seq) == (1, 3)


async def test_segments_come_back(world: World) -> None:
    """VIE-12: of all devices, from whichever is first, as they were signed."""
    phone = world.phone
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    backup = await world.backup()
    for n in range(4):
        await say(phone, f"phone {n}")
        await say(laptop, f"laptop {n}")
    await phone.sync()
    said = await converge(phone, laptop)
    await world.restore(backup)
    for vault in (phone, laptop):
        await refuses(vault, vault.sync)
    report = await phone.repair()
    assert (report.entries, report.segments, report.missing, report.enrolled) == (0, 8, (), None)
    assert await converge(phone, laptop) == said
    assert (await laptop.repair()).segments == 0
    assert await converge(phone, laptop, await world.join("tablet")) == said


async def test_files_come_back_before_what_names_them(world: World) -> None:
    """§12.4: small ones and one with a list; after the repair the relay has them as before."""
    backup = await world.backup()
    files = {"small": os.urandom(5_000), "large": os.urandom(9 << 20)}
    chat = await world.phone.conversation(NAME)
    for name, data in files.items():
        (world.folder / name).write_bytes(data)
        await world.phone.append(chat, Draft(), files=[world.folder / name])
    await world.phone.sync()
    await world.restore(backup)
    await refuses(world.phone, world.phone.sync)
    report = await world.phone.repair()
    assert (report.missing, report.segments > 0) == ((), True)
    laptop = await world.join("laptop")
    await laptop.sync()
    found = {}
    async for entry in laptop.files():
        async with await laptop.open_attachment(entry.record, entry.index) as file:
            found[entry.attachment.name] = await file.read()
    assert found == files
    assert (await world.phone.verify(files=True)).unavailable == ()


async def test_each_device_brings_what_it_has(world: World) -> None:
    """VIE-10: the error ends on each when nothing that it has verified is missing."""
    phone = world.phone
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    backup = await world.backup()
    await say(phone, "seen by both")
    await say(laptop, "of the laptop alone")
    await say(phone, "of the phone alone", sync=False)
    await world.restore(backup)
    report = await phone.repair()
    assert (report.segments, report.missing) == (1, ())
    await phone.sync()  # writes, while the laptop has not come yet
    await refuses(laptop, laptop.sync)
    assert (await laptop.repair()).segments == 1
    assert await converge(phone, laptop) == ["of the laptop alone", "of the phone alone", "seen by both"]


async def test_a_relay_from_before_the_device_was_added(world: World) -> None:
    """VIE-09, ROS-14: its entry comes back with a fresh rotation behind it, from the device itself, which has no token."""
    phone = world.phone
    await say(phone, "one")
    backup = await world.backup()
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    await say(laptop, "two")
    await world.restore(backup)
    assert (await refuses(laptop, laptop.sync)).restored is not None
    report = await laptop.repair()
    assert (report.entries, report.segments) == (1, 1)
    assert await converge(laptop, phone) == ["one", "two"]
    assert len(laptop._core.local.account.roster.entry_ids) == 3
    assert await converge(laptop, phone, await world.join("tablet")) == ["one", "two"]  # the kit still opens all


async def test_a_relay_from_before_the_account_was_made(world: World) -> None:
    """VIE-09: the account is made anew from its genesis, with the kit's wraps that the devices kept."""
    phone, relay = world.phone, world.relay
    await say(phone, "one")
    await relay.stop()
    for path in relay.data.iterdir():
        if path.name.startswith("relay.db"):
            path.unlink()
    await relay.start()
    assert (await refuses(phone, phone.sync)).restored is not None
    report = await phone.repair()
    assert (report.entries, report.segments) == (1, 1)
    await phone.sync()
    assert await converge(phone, await world.join("laptop")) == ["one"]


async def test_a_removed_devices_feed_comes_back_up_to_its_pin(world: World) -> None:
    """VIE-07, VIE-09: the removal comes before the feed that it ends."""
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await say(laptop, "one", "two")
    await phone.sync()
    await remove(phone, 2)
    await say(phone, "three")
    await world.restore(backup)
    report = await phone.repair()
    assert report.entries == 2
    assert report.missing == ()
    assert await converge(phone, await world.join("tablet")) == ["one", "three", "two"]


async def remove(vault: Vault, number: int) -> None:
    """Remove a device, at its head."""
    local = vault._core.local
    account = local.account
    feed = account.feed(number)
    composed = compose_change(
        account.roster,
        account.signer,
        account.keys.signing,
        list(account.epochs.values()),
        random=vault._core.sources.random,
        removed=[Removal(number, feed.seq, feed.head, False)],
    )
    await vault._core.relay.append_roster(account.id, account.roster.number, composed.entry, composed.wraps)
    await vault.sync()


async def test_a_removed_device_that_wrote_on_meanwhile(world: World) -> None:
    """VIE-09, D92: on the restored relay it is active again; when its removal comes back what it wrote there is given up.
    Who has read that without the removal goes on once the kit has lowered the pin (ROS-17, ROS-23)."""
    phone = world.phone
    laptop, tablet = await world.join("laptop"), await world.join("tablet")
    await say(laptop, "one", "two")
    await converge(phone, laptop, tablet)
    backup = await world.backup()
    assert (await phone.remove(2)).entry is not None
    await world.restore(backup)
    await say(laptop, "not pinned")  # neither has heard of the removal
    await tablet.sync()
    report = await phone.repair()
    assert (report.entries, report.missing) == (1, ())
    await phone.sync()
    await refuses(laptop, laptop.sync)
    late = await world.join("late")
    assert await converge(phone, late) == ["one", "two"]
    error = await refuses(tablet, tablet.sync)
    assert "`sealkeep remove 2 --discard-after 2 --with KIT` on another of your devices" in explain(error).lines[-1]
    assert (await phone.remove(2, discard={2: 2}, kit=world.kit)).lowered == ((2, "laptop"),)
    await say(tablet, "three")
    assert await texts(tablet) == ["not pinned", "one", "three", "two"]
    for vault in (phone, late):
        await vault.sync()
        assert await texts(vault) == ["one", "three", "two"]
    assert len({(await vault.checkpoint(("able", "zone"))).code for vault in (phone, late, tablet)}) == 1
    with pytest.raises(RefusedError, match="removed from the account"):
        await laptop.sync()
    assert await texts(laptop) == ["not pinned", "one", "two"]


async def test_a_pin_that_nobody_can_bring_a_feed_to(world: World) -> None:
    """ROS-23, VIE-12: the repair names what is missing; given up with the kit, the rest comes back."""
    phone = world.phone
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    await say(laptop, "one")
    await phone.sync()
    backup = await world.backup()
    await say(laptop, "lost")
    await say(phone, "names it", "two")
    await remove(phone, 2)
    await phone._core.in_store(lambda: forget(phone, 2, 2))
    await world.restore(backup)
    report = await phone.repair()
    assert report.missing == (Lost(1, 2, 3), Lost(2, 2, 2, removed=True))
    await refuses(phone, phone.sync)
    assert (await phone.remove(2, discard={2: 1}, kit=world.kit)).lowered == ((2, "laptop"),)
    assert (await phone.repair()).missing == ()
    await phone.sync()
    assert await texts(phone) == ["lost", "names it", "one", "two"]
    tablet = await world.join("tablet")
    await tablet.sync()
    assert await texts(tablet) == ["names it", "one", "two"]


@pytest.mark.parametrize("final", [False, True])
async def test_a_closed_account_comes_back_closed(world: World, final: bool) -> None:
    """ROS-09, VIE-09: behind a close nobody rotates; what may still be taken back comes back whole."""
    phone = world.phone
    kit = world.kit
    if not final:
        kits: list[RecoveryKit] = []
        await phone.replace_kit(on_kit=kits.append)
        kit = kits[0]
    backup = await world.backup()
    await say(phone, "one")
    await rotate(phone)
    await Vault.close_account(kit)
    with contextlib.suppress(RefusedError):
        await phone.sync()
    await world.restore(backup)
    report = await phone.repair()
    assert (report.entries, report.segments, report.missing) == (2, 0 if final else 1, ())
    if final:
        with pytest.raises(RefusedError, match="closed"):
            await phone.sync()
    else:
        assert (await phone.sync()).closing
    assert (await phone.repair()).entries == 0


async def test_what_is_not_held_whole_is_named(world: World) -> None:
    """VIE-12: nor does a header come back before what it names; another device holds it."""
    phone = world.phone
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    backup = await world.backup()
    await say(phone, "one", "two")
    await say(laptop, "an answer")
    await phone.sync()
    said = await converge(phone, laptop)
    await phone._core.in_store(lambda: forget(phone, 1, 2))
    await world.restore(backup)
    report = await phone.repair()
    assert report.segments == 1
    assert report.missing == (Lost(1, 2, 2), Lost(2, 1, 1))
    await refuses(phone, phone.sync)
    assert (await laptop.repair()).missing == ()
    assert await converge(phone, laptop) == said


def forget(vault: Vault, device: int, seq: int) -> None:
    """As if it had been too long ago."""
    database = vault._core.store._database
    with database.transaction():
        database.write("UPDATE kept SET summary = NULL, body = NULL WHERE device = ? AND seq = ?", (device, seq))


async def test_another_history_since(world: World) -> None:
    """VIE-11, VIE-03: an account that another device changed on the restored relay cannot be put together; both entries
    are kept."""
    phone = world.phone
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    backup = await world.backup()
    await rotate(phone)
    await world.restore(backup)
    await rotate(laptop)
    await refuses(phone, phone.sync)
    for _ in range(2):
        error = await refuses(phone, phone.repair, "fork")
        assert error.evidence is not None
        finding = verify_evidence(decode_evidence(Path(error.evidence).read_bytes()))
        assert (finding.accused, finding.entry) == ("roster", 2)
    assert len(list(Path(error.evidence).parent.iterdir())) == 1  # the same once
    await rotate(laptop)
    error = await refuses(phone, phone.sync, "fork")  # and so does the next entry behind the other one
    assert error.evidence is not None


async def rotate(vault: Vault) -> None:
    """Change the roster, without another change in it."""
    await vault._core.relay.info()  # the line to the relay before its restart is gone
    account = vault._core.local.account
    composed = compose_change(
        account.roster,
        account.signer,
        account.keys.signing,
        list(account.epochs.values()),
        random=vault._core.sources.random,
    )
    await vault._core.relay.append_roster(account.id, account.roster.number, composed.entry, composed.wraps)
    await vault.sync()


async def test_a_segment_without_an_answer_is_stranded(world: World) -> None:
    """SEG-13, SEG-15, VIE-06: its device goes on as a new one, and what it carried goes out again."""
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    await say(phone, "no answer", sync=False)
    with broken_line("append", after=True), pytest.raises(TransportError):
        await phone.sync()
    await laptop.sync()  # has read it
    await world.restore(backup)
    report = await phone.repair()
    assert report.enrolled is not None
    assert (report.enrolled.before, report.enrolled.number) == (1, 3)
    await phone.sync()
    assert (await laptop.repair()).missing == ()
    assert await converge(phone, laptop) == ["no answer"]


async def test_a_segment_without_an_answer_that_another_brought_back(world: World) -> None:
    """SEG-13, SEG-17: its header alone gets the receipt."""
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await converge(phone, laptop)
    await say(phone, "no answer", sync=False)
    with broken_line("append", after=True), pytest.raises(TransportError):
        await phone.sync()
    await laptop.sync()
    await world.restore(backup)
    assert (await laptop.repair()).missing == ()
    assert (await phone.repair()).enrolled is None
    assert await converge(phone, laptop) == ["no answer"]


async def test_a_segment_without_an_answer_goes_on_where_nothing_was_rotated(world: World) -> None:
    phone = world.phone
    await say(phone, "one")
    backup = await world.backup()
    await say(phone, "two")
    await say(phone, "no answer", sync=False)
    with broken_line("append", after=True), pytest.raises(TransportError):
        await phone.sync()
    await world.restore(backup)
    assert (await phone.repair()).enrolled is None
    await phone.sync()
    assert await converge(phone, await world.join("laptop")) == ["no answer", "one", "two"]


@contextlib.contextmanager
def broken_line(route: str, *, after: bool) -> Iterator[None]:
    honest = getattr(HttpRelay, route)

    async def broken(self: HttpRelay, *arguments: Any) -> Any:
        if after:
            await honest(self, *arguments)
        raise TransportError("the connection to the relay broke")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HttpRelay, route, broken)
        yield


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("route", ["copy_roster", "copy"])
async def test_a_repair_without_an_answer(world: World, route: str, after: bool) -> None:
    """VIE-08, VIE-09: the same command again goes on from there."""
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await say(laptop, "one")
    await say(phone, "two")
    await laptop.sync()
    await world.restore(backup)
    with broken_line(route, after=after), pytest.raises(TransportError):
        await phone.repair()
    phone = await world.reopen(phone, "phone")
    assert (await phone.repair()).missing == ()
    assert await converge(phone, laptop) == ["one", "two"]


async def test_a_repair_cut_anywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step of the store it reaches, the next one comes to its end, and loses nothing."""
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await say(laptop, "one")
    await say(phone, "two", "three")
    await laptop.sync()
    step = 0
    while True:
        step += 1
        await world.restore(backup)
        run = phone._core.thread.run
        count = 0

        async def cut(function: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:  # noqa: B023
                asyncio.get_running_loop().call_soon(repairing.cancel)  # noqa: B023
            return await run(function, *arguments)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(phone._core.thread, "run", cut)
            repairing = asyncio.create_task(phone.repair())
            with contextlib.suppress(asyncio.CancelledError):
                await repairing
        assert (await phone.repair()).missing == ()
        await phone.sync()
        assert (await phone.verify()).records == (await phone.verify()).records
        if count < step:
            break
    assert step > 5
    assert await converge(phone, laptop) == ["one", "three", "two"]


async def test_two_devices_repair_at_once(world: World) -> None:
    phone = world.phone
    backup = await world.backup()
    laptop = await world.join("laptop")
    await say(laptop, *"abcdef")
    await say(phone, *"ghijkl")
    await laptop.sync()
    await world.restore(backup)
    done = await asyncio.gather(phone.repair(), laptop.repair(), return_exceptions=True)
    for report in done:
        assert not isinstance(report, BaseException) or isinstance(report, HistoryError), report
    for vault in (phone, laptop):
        assert (await vault.repair()).missing == ()
    assert await converge(phone, laptop) == list("abcdefghijkl")


async def test_there_is_nothing_to_repair(world: World) -> None:
    phone = world.phone
    await say(phone, "one")
    report = await phone.repair()
    assert (report.entries, report.segments, report.missing, report.enrolled) == (0, 0, (), None)
    backup = await world.backup()
    await world.restore(backup)  # and nothing is lost
    assert (await phone.repair()).segments == 0
    assert await converge(phone) == ["one"]
