"""Homes that were copied, or restored from an old backup (spec §11.3): they go on as new devices, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Chat, Enrolled, Text, Vault
from sealkeep_client.vault._local import Local
from sealkeep_protocol.errors import RefusedError, TransportError
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.roster import Removal, Signer, compose_change

Person = Any  # of this folder's conftest


async def texts(vault: Vault, chat: Chat) -> list[str]:
    found = [record.text or "" async for page in vault.history(chat) for record in page]
    return sorted(found)


async def write(vault: Vault, chat: Chat, *words: str) -> None:
    for word in words:
        await vault.append(chat, Text(word))


async def cloned(person: Person, *, sealed: bool = False) -> tuple[Vault, Vault, Chat]:
    """A phone that has gone on since its home was copied, and the copy, which has records of its own."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    await write(phone, chat, "one")
    await phone.sync()
    await phone.close()
    shutil.copytree(person.home("phone"), person.home("copy"))
    phone, copy = await person.open(), await person.open("copy")
    await write(copy, chat, "from the copy")
    if sealed:
        with broken_line("append"), pytest.raises(TransportError):
            await copy.sync()
    await write(phone, chat, "from the phone")
    await phone.sync()
    return phone, copy, chat


@contextlib.contextmanager
def broken_line(route: str, *, after: bool = False) -> Iterator[None]:
    """The line breaks before, or after, the relay takes what comes on a route."""
    honest = getattr(HttpRelay, route)

    async def broken(self: HttpRelay, *arguments: Any, **options: Any) -> Any:
        if after:
            await honest(self, *arguments, **options)
        raise TransportError("the connection to the relay broke")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HttpRelay, route, broken)
        yield


async def converge(chat: Chat, *vaults: Vault) -> list[str]:
    for vault in (*vaults, *vaults):
        await vault.sync()
    shown = [await texts(vault, chat) for vault in vaults]
    assert shown.count(shown[0]) == len(shown)
    codes = {(await vault.checkpoint(("able", "zone"))).code for vault in vaults}
    assert len(codes) == 1
    return shown[0]


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_copy_enrols_afresh(person: Person, sealed: bool) -> None:
    """SEG-19, VIE-05, VIE-06: what it alone holds, sealed already or not, goes out under its new number."""
    phone, copy, chat = await cloned(person, sealed=sealed)
    summary = await copy.sync()
    assert summary.enrolled == Enrolled(1, 2, "phone (copy)")
    assert (summary.sent, summary.received) == (1, 1)
    assert (await copy.status()).device == 2
    assert (await copy.status()).device_name == "phone (copy)"
    assert (await copy.status()).waiting == 0
    assert (await phone.sync()).enrolled is None  # it notices nothing
    assert (await phone.status()).device == 1
    assert await converge(chat, phone, copy) == ["from the copy", "from the phone", "one"]
    assert (await copy.sync()).enrolled is None
    assert (await phone.verify()) == (await copy.verify())
    await copy.close()
    copy = await person.open("copy")
    await write(copy, chat, "more")
    assert "more" in await converge(chat, copy, phone)


async def test_its_keys_are_fresh(person: Person) -> None:
    """VIE-05: neither key of the old device serves the new one."""
    _, copy, _ = await cloned(person)
    local = copy._core.local
    before = local.get("signing-seed"), local.get("kem-seed")
    await copy.sync()
    after = local.get("signing-seed"), local.get("kem-seed")
    assert not set(before) & set(after)
    account = local.account
    assert account.keys.signing.public == account.roster.devices[2].keys.signing
    assert account.roster.devices[2].added_by == Signer.device(1)
    assert account.roster.devices[1].active


async def test_a_copy_of_a_copy(person: Person) -> None:
    phone, copy, chat = await cloned(person)
    await copy.sync()
    await copy.close()
    shutil.copytree(person.home("copy"), person.home("third"))
    copy, third = await person.open("copy"), await person.open("third")
    await write(copy, chat, "second")
    await copy.sync()
    await write(third, chat, "third")
    assert (await third.sync()).enrolled == Enrolled(2, 3, "phone (copy)")
    assert len(await converge(chat, phone, copy, third)) == 5


async def test_a_backup_of_a_home_whose_original_is_gone(person: Person) -> None:
    """What the original wrote after the backup comes back from the relay; the old feed ends there."""
    phone, copy, chat = await cloned(person)
    await phone.close()
    shutil.rmtree(person.home("phone"))
    assert (await copy.sync()).enrolled is not None
    assert await texts(copy, chat) == ["from the copy", "from the phone", "one"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
async def test_an_enrolment_without_an_answer(person: Person, after: bool, restarts: bool) -> None:
    """VIE-05: it goes on with the keys that it persisted; no device without a home is left in the roster."""
    phone, copy, chat = await cloned(person)
    with broken_line("append_roster", after=after):
        if after:  # it looks into the roster, and finds itself there
            assert (await copy.sync()).enrolled is not None
            return
        with pytest.raises(TransportError):
            await copy.sync()
    assert (await copy.status()).waiting == 1
    if restarts:
        await copy.close()
        copy = await person.open("copy")
    assert (await copy.sync()).enrolled == Enrolled(1, 2, "phone (copy)")
    assert len(copy._core.local.account.roster.devices) == 2
    assert len(await converge(chat, phone, copy)) == 3


async def test_an_enrolment_that_was_removed_again(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIE-05, P6: the copy did not hear that it had joined, and somebody has removed the unknown device since."""
    phone, copy, chat = await cloned(person)
    become = Local._become

    def dies(self: Local, account: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Local, "_become", dies)
    with pytest.raises(KeyboardInterrupt):
        await copy.sync()
    monkeypatch.setattr(Local, "_become", become)
    await phone.sync()
    assert (await phone.remove(2)).removed == ((2, "phone (copy)"),)
    await copy.close()
    copy = await person.open("copy")
    for _ in range(2):
        with pytest.raises(RefusedError, match="was removed from it again") as caught:
            await copy.sync()
        assert caught.value.code == "revoked"
    assert "from the copy" in await texts(copy, chat)


async def test_another_change_comes_first(person: Person) -> None:
    """ROS-13: it rebases on the other's entry."""
    phone, copy, chat = await cloned(person)
    honest = HttpRelay.append_roster
    raced: list[Vault] = []

    async def late(self: HttpRelay, *arguments: Any) -> None:
        patch.setattr(HttpRelay, "append_roster", honest)
        raced.append(await person.recover("laptop"))
        await honest(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HttpRelay, "append_roster", late)
        summary = await copy.sync()
    assert summary.enrolled is not None
    assert len(await converge(chat, phone, copy, raced[0])) == 3


async def test_cut_anywhere(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIE-05, VIE-06: whatever step of the store an enrolment reaches, the next one comes to its end."""
    phone, copy, chat = await cloned(person)
    await phone.close()
    await copy.close()
    step = 0
    while True:
        step += 1
        name = f"copy {step}"
        shutil.copytree(person.home("copy"), person.home(name))
        vault = await person.open(name)
        run = vault._core.thread.run
        count = 0

        async def cut(function: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:  # noqa: B023
                asyncio.get_running_loop().call_soon(syncing.cancel)  # noqa: B023
            return await run(function, *arguments)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(vault._core.thread, "run", cut)
            syncing = asyncio.create_task(vault.sync())
            with contextlib.suppress(asyncio.CancelledError):
                await syncing
        done = count < step
        await vault.close()
        vault = await person.open(name)
        await vault.sync()
        assert await texts(vault, chat) == ["from the copy", "from the phone", "one"]
        roster = vault._core.local.account.roster
        assert len(roster.devices) == step + 1, "one device for each copy"
        await vault.close()
        if done:
            break
    assert step > 8


async def test_cancelled_after_it_became_another(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same vault goes on as the new device: the line to the relay too."""
    phone, copy, chat = await cloned(person)
    become = copy._core.local._become
    syncing: asyncio.Task[Any] | None = None
    loop = asyncio.get_running_loop()

    def cancelling(account: Any) -> None:
        become(account)
        assert syncing is not None
        loop.call_soon_threadsafe(syncing.cancel)

    monkeypatch.setattr(copy._core.local, "_become", cancelling)
    syncing = asyncio.create_task(copy.sync())
    with pytest.raises(asyncio.CancelledError):
        await syncing
    await copy.sync()
    assert (await copy.status()).device == 2
    assert len(await converge(chat, phone, copy)) == 3


async def test_the_original_was_removed(person: Person) -> None:
    """P6, VIE-05: its keys enrol nobody any more; what the copy holds stays readable."""
    phone, copy, chat = await cloned(person)
    await phone.sync()
    laptop = await person.recover("laptop")
    account = phone._core.local.account
    head = account.feed(1)
    await laptop.sync()
    local = laptop._core.local
    changed = compose_change(
        local.account.roster,
        local.account.signer,
        local.account.keys.signing,
        list(local.account.epochs.values()),
        random=laptop._core.sources.random,
        removed=[Removal(1, head.seq, head.head, False)],
        recovery=PrivateKeys.of_recovery(bytes(32)).record((1, local.account.id)),  # ROS-16
    )
    await laptop._core.relay.append_roster(local.account.id, local.account.roster.number, changed.entry, changed.wraps)
    with pytest.raises(RefusedError) as caught:
        await copy.sync()
    assert caught.value.code == "revoked"
    assert await texts(copy, chat) == ["from the copy", "one"]
    assert (await copy.status()).waiting == 1
