"""A vault whose syncs are cut: by a lost answer, a rotation, a cancellation, a restart. Nothing is lost, nobody blamed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from sealkeep_client.engine import _packing as packing
from sealkeep_client.store import UploadClass
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Chat, Text, Vault
from sealkeep_protocol.errors import HistoryError, TransportError
from sealkeep_protocol.records import Mark, MarkType, Unknown, encode_body

Person = Any  # of this folder's conftest


async def texts(vault: Vault, chat: Chat) -> list[str]:
    found = [record.text or "" async for page in vault.history(chat) for record in page]
    return sorted(found)


async def write(vault: Vault, chat: Chat, *words: str) -> None:
    for word in words:
        await vault.append(chat, Text(word))


@contextlib.contextmanager
def breaking(monkeypatch: pytest.MonkeyPatch, *, after: bool) -> Any:
    """The line breaks before, or after, the relay takes an append."""
    append = HttpRelay.append

    async def broken(self: HttpRelay, items: Any) -> Any:
        if after:
            await append(self, items)
        raise TransportError("the connection to the relay broke")

    with monkeypatch.context() as patch:
        patch.setattr(HttpRelay, "append", broken)
        yield


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("rotates", [False, True])
async def test_an_append_without_an_answer(
    person: Person, monkeypatch: pytest.MonkeyPatch, after: bool, rotates: bool, restarts: bool
) -> None:
    """SEG-12, SEG-13, SEG-15: neither a fork nor a clone; a new device joins meanwhile, and writes on what it reads."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    tablet = await person.recover("tablet")
    await tablet.sync()
    words = [f"{n:03}" for n in range(150)]
    await write(phone, chat, *words)
    with breaking(monkeypatch, after=after), pytest.raises(TransportError):
        await phone.sync()
    assert (await phone.status()).waiting == 151
    await write(tablet, chat, "meanwhile")
    await tablet.sync()
    others = [tablet]
    if rotates:
        laptop = await person.recover("laptop")
        await laptop.sync()
        await write(laptop, chat, "from the new one")
        await laptop.sync()
        others.append(laptop)
    if restarts:
        await phone.close()
        phone = await person.open()
    await write(phone, chat, "later")
    await phone.sync()
    assert (await phone.status()).waiting == 0
    for vault in others:
        await vault.sync()
        assert await texts(vault, chat) == await texts(phone, chat)
    assert len(await texts(phone, chat)) == 151 + len(others)
    reports = [await vault.verify() for vault in (phone, *others)]
    assert all(report == reports[0] and not report.unreadable for report in reports)
    refusals = await phone._core.in_store(phone._core.store.outbox.refusals)
    assert len(refusals) == (1 if rotates and not after else 0)


async def test_a_sync_that_is_cancelled_while_the_store_works(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step of the store in turn: the next sync begins behind what the cancelled one still wrote."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    tablet = await person.recover("tablet")
    await tablet.sync()
    written = 0
    step, reached = 0, True
    while reached:
        step, reached = step + 1, False
        for vault in (tablet, phone):
            written += 1
            await write(vault, chat, f"{written}")
        await tablet.sync()
        run, count = phone._core.thread.run, 0

        async def cut(function: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal count, reached
            count += 1
            if count == step:  # noqa: B023
                reached = True
                asyncio.get_running_loop().call_soon(syncing.cancel)  # noqa: B023
            return await run(function, *arguments)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(phone._core.thread, "run", cut)
            syncing = asyncio.create_task(phone.sync())
            with contextlib.suppress(asyncio.CancelledError):
                await syncing
        await phone.sync()
        await tablet.sync()
    assert step > 6
    assert await texts(phone, chat) == await texts(tablet, chat) == sorted(f"{n}" for n in range(1, written + 1))
    assert (await phone.verify()) == (await tablet.verify())


async def test_what_nobody_can_read_is_reported(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEG-22: in the summary of the sync, in the status, by `verify`; its author goes on."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    tablet = await person.recover("tablet")
    with monkeypatch.context() as patch:
        patch.setattr(packing, "encode_body", lambda *_, **__: b"\xff garbage")
        await phone.sync()
    await write(phone, chat, "readable")
    await phone.sync()
    summary = await tablet.sync()
    assert [(error.code, error.device, error.seq) for error in summary.unreadable] == [("malformed", 1, 1)]
    assert (await tablet.status()).unreadable == ("device 1, seq 1: malformed",)
    assert await texts(tablet, chat) == ["readable"]
    assert [error.seq for error in (await tablet.verify()).unreadable] == [1]
    assert not (await tablet.sync()).unreadable


async def test_what_a_later_version_wrote_is_kept(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """REC-03: a field and a table that this version does not know."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    tablet = await person.recover("tablet")
    await phone.sync()
    await write(phone, chat, "with something new")
    later = Unknown({70: ["a", 1]}, {3: {77: ["of a later version"]}})

    def encode_more(*tables: Any, **more: Any) -> bytes:
        return encode_body(*tables, unknown=later, **more)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "encode_body", encode_more)
        await phone.sync()
    assert not (await tablet.sync()).unreadable
    assert await texts(tablet, chat) == ["with something new"]
    kept = await tablet._core.in_store(lambda: tablet._core.store._database.value("SELECT count(*) FROM unknown"))
    assert kept == 2


async def test_marks_travel(person: Person) -> None:
    """REC-08: with the clock that they were stamped with."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    record = await phone.append(chat, Text("hi"))
    mark = Mark(MarkType.REACTION, record.id, clock=phone._core.local.clock.last + 1, actor="me", key="👍", count=1)
    await phone._core.in_store(lambda: phone._core.store.put(marks=[mark], upload=UploadClass.LIVE))
    await phone.sync()
    tablet = await person.recover("tablet")
    await tablet.sync()
    shown = await tablet.record(record.id)
    assert shown is not None
    assert [reaction.key for reaction in shown.view.reactions] == ["👍"]
    assert tablet._core.local.clock.last >= phone._core.local.clock.last
    await tablet.verify()


async def test_what_a_tombstone_covers_is_not_missed(person: Person) -> None:
    """REC-07: it does not stay on the device, and `verify` does not ask for it; for anything else it does."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    record, other = [await phone.append(chat, Text(text)) for text in ("recalled", "kept")]
    reaction = Mark(MarkType.REACTION, record.id, key="👍", count=1)
    await phone._core.in_store(lambda: phone._core.store.put(marks=[reaction], upload=UploadClass.LIVE))
    await phone.sync()
    gone = Mark(MarkType.TOMBSTONE, record.id, reason=1)
    await phone._core.in_store(lambda: phone._core.store.put(marks=[gone], upload=UploadClass.LIVE))
    await phone.sync()
    assert (await phone.verify()).records == 5

    def lose() -> None:
        with phone._core.store.transaction():
            phone._core.store._database.write("DELETE FROM messages WHERE id = ?", (other.id,))

    await phone._core.in_store(lose)
    with pytest.raises(HistoryError) as caught:
        await phone.verify()
    assert (caught.value.code, caught.value.seq) == ("missing", 1)


async def test_many_pages_are_read_ahead(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    for n in range(70):
        await write(phone, chat, f"{n}")
        await phone.sync()
    tablet = await person.recover("tablet")
    assert (await tablet.sync()).segments_received == 70
    assert (await tablet.verify()).segments == 70


async def test_what_a_tombstone_took_before_it_was_sent_waits_no_more(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    record = await phone.append(chat, Text("recalled"))
    await phone.sync()
    store = phone._core.store
    reaction, gone = (
        Mark(MarkType.REACTION, record.id, key="👍", count=1),
        Mark(MarkType.TOMBSTONE, record.id, reason=1),
    )
    await phone._core.in_store(lambda: store.put(marks=[reaction], upload=UploadClass.HISTORY, run=1))
    assert (await phone.status()).waiting == 1
    await phone._core.in_store(lambda: store.put(marks=[gone], upload=None))  # as another device sent it
    assert (await phone.sync()).sent == 0
    assert (await phone.status()).waiting == 0
