"""The vault on a real relay: what an app sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import ImportOptions
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Passphrase, Strength, UploadClass, is_held
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Change, Chat, Draft, Progress, Record, SyncState, SyncVault, Text, Vault
from sealkeep_client.vault import _recovering as recovering
from sealkeep_protocol.errors import (
    AuthenticationError,
    HistoryError,
    RefusedError,
    SourceError,
    StoreError,
    TransportError,
    UsageError,
)
from sealkeep_protocol.kit import KitError
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    ConversationType,
    Mark,
    MarkType,
    TombstoneReason,
    clock_time,
)
from support.relay import RelayProcess

MINUTE = 60_000
NOW = 1_700_000_000_000
LATER = 4_000_000_000_000

Person = Any  # of this folder's conftest


async def texts(vault: Vault, chat: Chat, limit: int = 50) -> list[str | None]:
    return [record.text async for page in vault.history(chat, limit=limit) for record in page]


async def everything(vault: Vault) -> dict[str, list[str | None]]:
    return {
        f"{chat.key.app}:{chat.key.source}": sorted(await texts(vault, chat), key=str)
        for chat in await vault.conversations()
    }


async def put_mark(vault: Vault, mark: Mark) -> None:
    """What an app cannot say yet: another device, or an import, does."""
    await vault._core.in_store(lambda: vault._core.store.put(marks=[mark], upload=UploadClass.LIVE))


# Opening


async def test_create_open_recover(person: Person) -> None:
    phone = await person.create()
    assert person.kit.relay == person.relay.url
    assert person.kit.identity == person.relay.identity
    chat = await phone.conversation("telegram:user:42", title="Bo")
    record = await phone.append(chat, Text("hi"))
    assert (record.text, record.view.message.kind) == ("hi", 1)
    summary = await phone.sync()
    assert (summary.sent, summary.segments_sent, summary.received) == (2, 1, 0)
    await phone.close()

    again = await person.open()
    assert await texts(again, chat) == ["hi"]
    assert "hi" not in repr(again)
    laptop = await person.recover()
    assert await laptop.conversations() == []
    summary = await laptop.sync()
    assert (summary.received, summary.sent) == (2, 0)
    assert await everything(laptop) == {"telegram:user:42": ["hi"]}
    assert [shown.title for shown in await laptop.conversations()] == ["Bo"]


async def test_a_kit_is_handed_out_before_anything_is_kept(person: Person, relay: RelayProcess) -> None:
    def refuse(kit: RecoveryKit) -> None:
        assert not list(person.folder.iterdir())
        raise OSError("no paper")

    with pytest.raises(OSError, match="no paper"):
        await Vault.create(person.home("phone"), relay=relay.url, unlock=person.unlock, name="phone", on_kit=refuse)
    with pytest.raises(StoreError):
        await person.open()
    await person.create()


async def test_a_home_is_opened_once(person: Person) -> None:
    await person.create()
    for attempt in (person.open, person.create, person.recover):
        with pytest.raises(StoreError):
            await attempt("phone")


async def test_another_process_cannot_open_it(person: Person) -> None:
    await person.create()
    program = (
        "import asyncio, sys; from pathlib import Path;"
        "from sealkeep_client.vault import Vault; from sealkeep_client.store import Passphrase;"
        "asyncio.run(Vault.open(Path(sys.argv[1]), unlock=Passphrase('correct horse')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(person.home("phone"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "StoreError: another process has this home open" in done.stderr


async def test_a_failed_open_leaves_the_home_free(person: Person) -> None:
    phone = await person.create()
    await phone.close()
    with pytest.raises(StoreError, match="passphrase"):
        await Vault.open(person.home("phone"), unlock=Passphrase("wrong"))
    await person.open()


async def test_an_open_that_is_cancelled_leaves_the_home_free(person: Person) -> None:
    """At whichever step: neither lock nor thread stays behind."""
    await (await person.create()).close()
    for steps in range(12):
        opening = asyncio.create_task(Vault.open(person.home("phone"), unlock=person.unlock))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
        await (await person.open()).close()


async def test_a_relay_that_goes_away_at_the_last_step(person: Person, tmp_path: Path) -> None:
    """The home is there with its kit; `sync` tells the relay of the account."""
    with RelayProcess(tmp_path / "another") as relay:
        kits: list[RecoveryKit] = []

        def go_away(kit: RecoveryKit) -> None:
            kits.append(kit)
            relay.kill()

        with pytest.raises(TransportError):
            await Vault.create(
                person.home("phone"), relay=relay.url, unlock=person.unlock, name="phone", on_kit=go_away
            )
        phone = await person.open()
        chat = await phone.conversation("telegram:user:42")
        record = await phone.append(chat, Text("written before the relay knew"))
        with pytest.raises(TransportError):
            await phone.sync()
        relay.start()
        await phone.uploaded(record)
        laptop = person.keep(
            await Vault.recover(person.home("laptop"), kit=kits[0], unlock=person.unlock, name="laptop")
        )
        await laptop.sync()
        assert await texts(laptop, chat) == ["written before the relay knew"]


async def test_no_relay_at_all(person: Person, tmp_path: Path) -> None:
    with pytest.raises(TransportError):
        await Vault.create(
            tmp_path / "home", relay="http://127.0.0.1:9", unlock=person.unlock, name="phone", on_kit=person.kits.append
        )
    assert not person.kits
    assert not (tmp_path / "home").exists()


# Recovering


async def test_two_recover_at_once(person: Person) -> None:
    """ROS-13: the loser of the race rebases."""
    await person.create()
    laptop, tablet = await asyncio.gather(person.recover("laptop"), person.recover("tablet"))
    assert {(await vault.status()).device for vault in (laptop, tablet)} == {2, 3}
    for vault in (laptop, tablet):
        await vault.sync()
    assert (await laptop.status()).devices == 3


async def test_a_lost_answer_makes_no_second_device(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROS-13: whoever is not sure looks for its own entry first."""
    await person.create()
    append, calls = HttpRelay.append_roster, 0

    async def lose(self: HttpRelay, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        await append(self, *arguments)
        raise TransportError("the connection to the relay broke")

    monkeypatch.setattr(HttpRelay, "append_roster", lose)
    laptop = await person.recover()
    assert calls == 1
    await laptop.sync()
    status = await laptop.status()
    assert (status.device, status.devices, status.device_name) == (2, 2, "laptop")


async def test_a_race_that_is_lost_for_ever(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    await person.create()
    monkeypatch.setattr(recovering, "REBASES", 8)
    attempts = 0

    async def lose(self: HttpRelay, *arguments: Any) -> None:
        nonlocal attempts
        attempts += 1
        raise RefusedError("roster-conflict", "", status=412)

    monkeypatch.setattr(HttpRelay, "append_roster", lose)
    with pytest.raises(RefusedError) as caught:
        await person.recover()
    assert caught.value.code == "roster-conflict"
    assert attempts == 8
    # One of them may have come to be taken: the device's keys are kept, and the same call goes on with them.
    assert is_held(person.home("laptop"))
    monkeypatch.undo()
    laptop = await person.recover()
    await laptop.sync()
    assert (await laptop.status()).devices == 2


async def test_another_refusal_ends_a_recovery(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    await person.create()

    async def refuse(self: HttpRelay, *arguments: Any) -> None:
        raise RefusedError("quota", "", status=507)

    monkeypatch.setattr(HttpRelay, "append_roster", refuse)
    with pytest.raises(RefusedError, match=r"^$"):
        await person.recover()


async def test_a_kit_of_another_relay_or_account(person: Person, tmp_path: Path) -> None:
    """KEY-09: checked against what the kit names, before anything is signed."""
    await person.create()
    kit = person.kit
    await (await Vault.recover(tmp_path / "laptop", kit=kit, unlock=person.unlock, name="laptop")).close()
    other = bytes(32)
    for wrong, family, code in (
        (replace(kit, identity=other), AuthenticationError, "identity"),
        (replace(kit, roster=(1, other)), HistoryError, "fork"),
        (replace(kit, roster=(7, kit.roster[1])), HistoryError, "rollback"),
        (replace(kit, feeds=((1, 1, other),)), HistoryError, "rollback"),
    ):
        with pytest.raises(family) as caught:
            await Vault.recover(tmp_path / "other", kit=wrong, unlock=person.unlock, name="other")
        assert caught.value.code == code
    with pytest.raises(KitError, match=r"not \(yet\) in force"):
        await Vault.recover(tmp_path / "other", kit=replace(kit, seed=other), unlock=person.unlock, name="other")
    elsewhere = replace(kit, account=other, roster=(0, other))
    with pytest.raises(RefusedError) as refused:
        await Vault.recover(tmp_path / "other", kit=elsewhere, unlock=person.unlock, name="other")
    assert refused.value.code == "not-found"
    assert not (tmp_path / "other").exists()


async def test_a_kit_that_has_seen_another_head(person: Person, tmp_path: Path) -> None:
    phone = await person.create()
    await phone.append(await phone.conversation("telegram:user:1"), Text("one"))
    await phone.sync()
    for feeds, code in ((((1, 1, bytes(32)),), "fork"), (((1, 2, bytes(32)),), "rollback")):
        with pytest.raises(HistoryError) as caught:
            await Vault.recover(
                tmp_path / "other", kit=replace(person.kit, feeds=feeds), unlock=person.unlock, name="other"
            )
        assert (caught.value.code, caught.value.device) == (code, 1)


# Conversations and records


async def test_a_title_changes_whatever_the_clock_says(person: Person) -> None:
    """The newest copy counts: also one of the same millisecond, and one that a clock set back makes older."""
    times = [2_000, 2_000, 1_000]
    phone = await person.create(now=lambda: times[0])
    for title in ("Bo", "Bo Li", "Bo at work"):
        chat = await phone.conversation("telegram:user:42", title=title)
        assert chat.title == title
        times.pop(0)


async def test_names_of_conversations(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    assert (chat.title, chat.key.app, chat.key.source, chat.messages, chat.last) == (
        "user:42",
        "telegram",
        "user:42",
        0,
        None,
    )
    named = await phone.conversation("telegram:user:42", title="Bo", type=ConversationType.ONE_TO_ONE)
    assert (named.id, named.title, named.type) == (chat.id, "Bo", 1)
    assert (await phone.conversation("telegram:user:42")).title == "Bo"
    assert (await phone.conversation("telegram:user:42", type=ConversationType.BOT)).type == ConversationType.BOT
    assert (await phone.conversation("wechat:a b:c@chatroom")).key.source == "a b:c@chatroom"
    for wrong in ("", "telegram", "telegram:", ":user:42"):
        with pytest.raises(UsageError, match="app:identifier"):
            await phone.conversation(wrong)
    for wrong in ("x" * 70_000, "\ud800"):
        with pytest.raises(UsageError):
            await phone.conversation("telegram:user:43", title=wrong)
    assert len(await phone.conversations()) == 2


async def test_the_same_conversation_is_uploaded_once(person: Person) -> None:
    """An app says its titles at every start."""
    ticks = iter(range(NOW, NOW + 100_000, 1000))
    phone = await person.create(now=lambda: next(ticks))
    for _ in range(3):
        await phone.conversation("telegram:user:42", title="Bo")
    assert (await phone.sync()).sent == 1
    await phone.conversation("telegram:user:42", title="Bo")
    assert (await phone.sync()).sent == 0
    await phone.conversation("telegram:user:42", title="Bo Li")
    assert (await phone.sync()).sent == 1


async def test_append_is_idempotent_with_a_source(person: Person) -> None:
    """And says nothing new the second time, though the clock has moved."""
    ticks = iter(range(NOW, NOW + 1_000_000, 1000))
    phone = await person.create(now=lambda: next(ticks))
    chat = await phone.conversation("telegram:user:42")
    first = await phone.append(chat, Text("hi"), source=7)
    again = await phone.append(chat, Text("hi"), source=7)
    assert again == first
    assert (await phone.sync()).sent == 2
    assert await phone.append(chat, Text("hi"), source=7) == first
    assert (await phone.sync()).sent == 0
    other = await phone.append(chat, Text("hi"), source=8)
    unnamed = [await phone.append(chat, Text("hi")) for _ in range(2)]
    assert len({record.id for record in (first, other, *unnamed)}) == 4
    edited = await phone.append(chat, Text("hi, edited"), source=7)
    assert edited.id == first.id
    assert (await phone.record(first.id)) == edited


async def test_what_no_record_holds_is_the_callers_mistake(person: Person) -> None:
    """REC-04: and nothing of it is kept; the next sync goes as ever."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    for draft in (
        Text("x" * 70_000),
        Text("\ud800"),
        Draft(text="a", time=1 << 60),
        Draft(text="a", extension={"a": 1.5}),  # type: ignore[dict-item]
        Draft(text=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match="cannot be kept"):
            await phone.append(chat, draft)
    with pytest.raises(UsageError):
        await phone.append(chat, Text("a"), source={"no": "identity"})
    assert await texts(phone, chat) == []
    await phone.append(chat, Text("x" * 65_000))
    assert (await phone.sync()).sent == 2


async def test_history_comes_in_pages(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    for n in range(25):
        await phone.append(chat, Draft(text=f"{n:02}", time=NOW + 1000 * (n % 20)))
    pages = [[record.text for record in page] async for page in phone.history(chat, limit=10)]
    assert [len(page) for page in pages] == [10, 10, 5]
    flat = [text for page in reversed(pages) for text in page]
    assert sorted(flat, key=str) == [f"{n:02}" for n in range(25)]
    first = await anext(phone.history(chat, limit=10))
    older = [record.text async for page in phone.history(chat, before=first[0], limit=7) for record in page]
    assert sorted(older, key=str) == sorted((text for page in pages[1:] for text in page), key=str)
    other = await phone.conversation("telegram:user:43")
    assert await texts(phone, other) == []


async def test_search(person: Person) -> None:
    phone = await person.create()
    one, other = [await phone.conversation(f"telegram:user:{n}") for n in (1, 2)]
    for n in range(120):
        await phone.append(one, Draft(text=f"明天见 tomorrow {n}", time=NOW + n))
    await phone.append(other, Text("明天"))
    assert len([record async for record in phone.search("明天")]) == 121
    assert len([record async for record in phone.search("明天", chat=one)]) == 120
    assert len([record async for record in phone.search("tomorrow 7", limit=1)]) == 1
    assert not [record async for record in phone.search("nowhere")]


async def test_authors_have_the_names_of_contacts(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    record = await phone.append(chat, Draft(text="hi", author="user7"))
    assert record.author == "user7"
    contact = Contact(ContactKey("telegram", "", "user7"), name="Bo", rank=1)
    await phone._core.in_store(lambda: phone._core.store.put(contacts=[contact], upload=UploadClass.LIVE))
    known = await phone.record(record.id)
    assert known is not None
    assert known.author == "Bo"
    assert await phone.record(bytes(16)) is None


# Uploading


async def test_uploaded_without_a_background_sync(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    record = await phone.append(chat, Text("hi"))
    assert (await phone.status()).waiting == 2
    await phone.uploaded(record)
    assert (await phone.status()).waiting == 0
    await phone.uploaded(record.id)  # at once
    with pytest.raises(UsageError, match="no such record"):
        await phone.uploaded(bytes(16))


async def test_uploaded_with_a_background_sync(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    states: list[SyncState] = []
    async with phone.background_sync(on_state=states.append, interval=60):
        with pytest.raises(UsageError, match="running already"):
            async with phone.background_sync():
                pass
        records = [await phone.append(chat, Text(f"{n}")) for n in range(5)]
        await asyncio.gather(*(phone.uploaded(record, timeout=20) for record in records))
    assert {state.state for state in states} <= {"syncing", "idle"}
    assert not phone._in_step.is_running
    async with phone.background_sync():
        pass


@pytest.mark.parametrize(("code", "state"), [("forbidden", "stopped"), ("quota", "full")])
async def test_a_background_sync_that_cannot_write_tells_those_who_wait(
    person: Person, monkeypatch: pytest.MonkeyPatch, code: str, state: str
) -> None:
    """Where it has stopped they sync themselves, and meet the error."""
    phone = await person.create()
    record = await phone.append(await phone.conversation("telegram:user:42"), Text("hi"))

    async def refuse(*_: object) -> None:
        raise RefusedError(code, "the relay refused", status=507)

    monkeypatch.setattr(HttpRelay, "append", refuse)
    states: list[SyncState] = []
    async with phone.background_sync(on_state=states.append):
        waiting = [asyncio.create_task(phone.uploaded(record, timeout=20)) for _ in range(2)]
        refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert [getattr(error, "code", error) for error in refused] == [code, code]
    assert states[-1].state == state


async def test_a_full_relay_is_read_all_the_same(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others write arrives; what waits here is sent once there is room."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:42")
    laptop = await person.recover()
    await laptop.sync()
    waits = await phone.append(chat, Text("waits"))
    append, tried = HttpRelay.append, 0

    async def refuse(self: HttpRelay, items: Any) -> Any:
        nonlocal tried
        if self is not phone._core.relay:
            return await append(self, items)
        tried += 1
        raise RefusedError("quota", "the relay refused", status=507)

    moved = asyncio.Event()
    states: list[SyncState] = []

    def note(state: SyncState) -> None:
        states.append(state)
        moved.set()

    with monkeypatch.context() as patch:
        patch.setattr(HttpRelay, "append", refuse)
        async with asyncio.timeout(20), phone.background_sync(on_state=note, interval=0.01):
            for n in range(3):
                await laptop.append(chat, Text(f"{n}"))
                await laptop.sync()
                while len(await texts(phone, chat)) < n + 2:
                    moved.clear()
                    await moved.wait()
            patch.undo()
            while not await phone._core.in_store(lambda: phone._core.store.is_uploaded(waits.id)):
                moved.clear()
                await moved.wait()
    assert {state.state for state in states} == {"syncing", "full", "idle"}
    assert tried < len([state for state in states if state.state == "full"])


async def test_uploaded_has_a_timeout(person: Person, tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "another") as relay:
        phone = person.keep(
            await Vault.create(
                person.home("phone"), relay=relay.url, unlock=person.unlock, name="phone", on_kit=person.kits.append
            )
        )
        record = await phone.append(await phone.conversation("telegram:user:42"), Text("hi"))
        relay.kill()
        states: list[SyncState] = []
        async with phone.background_sync(on_state=states.append):
            with pytest.raises(TransportError, match="safe on this device"):
                await phone.uploaded(record, timeout=0.2)
        assert states[-1].state == "offline"
        with pytest.raises(TransportError, match="cannot be reached"):
            await phone.uploaded(record)
        relay.start()
        await phone.uploaded(record, timeout=20)


async def test_a_relay_that_starts_anew_is_logged_into_again(person: Person, tmp_path: Path) -> None:
    """`kill -9` of the relay, between two syncs of one open vault."""
    with RelayProcess(tmp_path / "another") as relay:
        phone = person.keep(
            await Vault.create(
                person.home("phone"), relay=relay.url, unlock=person.unlock, name="phone", on_kit=person.kits.append
            )
        )
        chat = await phone.conversation("telegram:user:42")
        for n in range(3):
            await phone.uploaded(await phone.append(chat, Text(f"{n}")))
            relay.restart(kill=True)
        assert (await phone.verify()).segments == 3


# Observing


async def take(changes: Any, count: int) -> list[Change]:
    async with asyncio.timeout(20):
        return [await anext(changes) for _ in range(count)]


async def test_observing_a_conversation(person: Person) -> None:
    phone = await person.create()
    chat, other = [await phone.conversation(f"telegram:user:{n}") for n in (1, 2)]
    old = [await phone.append(chat, Draft(text=text, time=NOW + n)) for n, text in enumerate("abc")]
    changes = phone.observe(chat, limit=2)
    assert await take(changes, 2) == [Change("snapshot", record) for record in old[1:]]
    new = await phone.append(chat, Text("new"))
    await phone.append(other, Text("not seen"))
    assert await take(changes, 1) == [Change("changed", new)]
    await put_mark(phone, Mark(MarkType.TOMBSTONE, old[0].id, reason=TombstoneReason.RECALLED))
    (gone,) = await take(changes, 1)
    assert (gone.what, gone.record and gone.record.id) == ("removed", old[0].id)
    await changes.aclose()


async def test_observing_what_another_device_does(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    laptop = await person.recover()
    changes = laptop.observe(chat)
    waiting = asyncio.create_task(take(changes, 1))
    record = await phone.append(chat, Text("from the phone"))
    await phone.sync()
    await laptop.sync()
    (change,) = await waiting
    assert (change.what, change.record) == ("changed", record)
    await changes.aclose()


async def test_too_much_to_name_begins_again(person: Person) -> None:
    """Coalesced: `reset`, then the newest again; reading slowly loses nothing."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    changes = phone.observe(chat, limit=3)
    waiting = asyncio.create_task(take(changes, 1))
    await asyncio.sleep(0)
    first = await phone.append(chat, Text("0"))
    assert [change.record for change in await waiting] == [first]
    last = [await phone.append(chat, Draft(text=f"{n}", time=LATER + n)) for n in range(300)][-3:]
    seen = await take(changes, 4)
    assert [change.what for change in seen] == ["reset", "snapshot", "snapshot", "snapshot"]
    assert [change.record for change in seen[1:]] == last
    await changes.aclose()


async def test_observers_leave_nothing_behind(person: Person) -> None:
    """Cancelled at whichever step."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    await phone.append(chat, Text("one"))
    listeners = phone._core.store._tracker._listeners
    before = len(listeners)
    for steps in range(12):
        changes = phone.observe(chat)
        observing = asyncio.create_task(take(changes, 2))
        for _ in range(steps):
            await asyncio.sleep(0)
        observing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await observing
        await changes.aclose()
        await phone.status()
        assert len(listeners) == before
    assert not len(phone._observing)


async def test_observers_end_with_the_vault(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")

    async def follow() -> list[Change]:
        return [change async for change in phone.observe(chat)]

    following = asyncio.create_task(follow())
    await phone.append(chat, Text("one"))
    await phone.status()
    await phone.close()
    async with asyncio.timeout(20):
        assert [change.what for change in await following]


# Cancelling and closing


async def test_a_cancelled_append_is_whole_or_not_there(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    for steps in range(10):
        appending = asyncio.create_task(phone.append(chat, Text(f"{steps}"), source=steps))
        for _ in range(steps):
            await asyncio.sleep(0)
        appending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await appending
        await phone.append(chat, Text(f"{steps}"), source=steps)
    assert await texts(phone, chat) == [f"{n}" for n in range(10)]


async def test_a_cancelled_sync_loses_and_doubles_nothing(person: Person) -> None:
    """Wherever it is cut: neither a fork nor a clone, nor a record twice."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    laptop = await person.recover()
    written = []
    for steps in range(40):
        for vault, name in ((phone, "phone"), (laptop, "laptop")):
            written.append(f"{name} {steps}")
            await vault.append(chat, Text(written[-1]))
            syncing = asyncio.create_task(vault.sync())
            for _ in range(3 * steps):
                await asyncio.sleep(0)
            syncing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await syncing
            if steps % 4 == 0:
                await vault.sync()
    for vault in (phone, laptop, phone):
        await vault.sync()
    assert await everything(phone) == await everything(laptop) == {"telegram:user:1": sorted(written)}
    assert (await phone.verify()).segments == (await laptop.verify()).segments


async def test_syncs_wait_for_each_other(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    for n in range(5):
        await phone.append(chat, Text(f"{n}"))
    done = await asyncio.gather(
        *(phone.sync() for _ in range(4)), phone.verify(), phone.append(chat, Text("meanwhile"))
    )
    assert sum(summary.sent for summary in done[:4]) in (6, 7)


async def test_records_that_are_written_during_a_sync_go_out_with_the_next(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    laptop = await person.recover()
    syncing = True

    async def sync() -> None:
        while syncing:
            await phone.sync()

    task = asyncio.create_task(sync())
    for n in range(60):
        await phone.append(chat, Text(f"{n}"), source=n)
        if n % 3 == 0:
            await phone.append(chat, Text(f"{n} edited"), source=n)
    syncing = False
    await task
    await phone.sync()
    await laptop.sync()
    assert await everything(laptop) == await everything(phone)
    assert len((await everything(laptop))["telegram:user:1"]) == 60


async def test_a_vault_is_closed_once(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    await asyncio.gather(*(phone.close() for _ in range(3)))
    await phone.close()
    for use in (
        phone.sync,
        phone.verify,
        phone.status,
        phone.conversations,
        lambda: phone.append(chat, Text("late")),
        lambda: phone.uploaded(bytes(16)),
        lambda: anext(phone.history(chat)),
        lambda: anext(phone.observe(chat)),
        lambda: phone.background_sync().__aenter__(),
    ):
        with pytest.raises(UsageError, match="closed"):
            await use()
    async with await person.open() as again:
        assert await texts(again, chat) == []


async def test_a_vault_is_closed_during_a_sync(person: Person) -> None:
    """Whoever syncs gets an error; the home is free, and nothing is lost."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    for steps in range(0, 60, 4):
        await phone.append(chat, Text(f"{steps}"))
        syncing = asyncio.create_task(phone.sync())
        for _ in range(steps):
            await asyncio.sleep(0)
        await phone.close()
        with contextlib.suppress(UsageError, TransportError):
            await syncing
        phone = await person.open()
    await phone.sync()
    assert len(await texts(phone, chat)) == 15
    assert (await phone.verify()).records >= 15


async def test_a_cancelled_close_goes_on(person: Person) -> None:
    phone = await person.create()
    for steps in range(4):
        closing = asyncio.create_task(phone.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        await phone.close()
        phone = await person.open()


async def test_nothing_is_left_running(person: Person) -> None:
    """Neither tasks nor threads, nor sockets that are not closed."""
    before = {thread.name for thread in threading.enumerate()}
    async with await person.create() as phone:
        chat = await phone.conversation("telegram:user:1")
        async with phone.background_sync():
            await phone.uploaded(await phone.append(chat, Text("hi")), timeout=20)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [t for t in threading.enumerate() if t.name.startswith("sealkeep") and t.name not in before]


# Two devices


async def test_two_devices_converge(person: Person) -> None:
    phone = await person.create()
    laptop = await person.recover()
    for vault, name in ((phone, "phone"), (laptop, "laptop")):
        shared = await vault.conversation("telegram:user:1", title=f"as the {name} calls it")
        own = await vault.conversation(f"wechat:{name}")
        for n in range(10):
            await vault.append(shared, Text(f"{name} {n}"))
            await vault.append(shared, Text("the same"), source=n)
            await vault.append(own, Text(f"{n}"))
    for vault in (phone, laptop, phone, laptop):
        await vault.sync()
    assert await everything(phone) == await everything(laptop)
    assert [chat.title for chat in await phone.conversations()] == [chat.title for chat in await laptop.conversations()]
    assert len((await everything(phone))["telegram:user:1"]) == 30
    orders = [await texts(vault, await vault.conversation("telegram:user:1")) for vault in (phone, laptop)]
    assert orders[0] == orders[1]
    verified = [await vault.verify() for vault in (phone, laptop)]
    assert verified[0] == verified[1]


@pytest.mark.parametrize(("ahead", "followed"), [(10, True), (14, True), (16, False), (60, False)])
async def test_a_clock_that_is_ahead(person: Person, ahead: int, followed: bool) -> None:
    """REC-08: followed up to 15 minutes, and kept over a restart."""
    phone = await person.create(now=lambda: NOW)
    laptop = await person.recover(now=lambda: NOW + ahead * MINUTE)
    chat = await laptop.conversation("telegram:user:1")
    await laptop.append(chat, Text("from the future"))
    await laptop.sync()
    await phone.sync()
    await phone.close()
    phone = await person.open(now=lambda: NOW)
    record = await phone.append(chat, Text("from now"))
    native = record.view.message.native
    assert native is not None
    assert (clock_time(native.clock) - NOW) // MINUTE == (ahead if followed else 0)
    assert record.view.message.time == NOW


async def test_stamps_ascend(person: Person) -> None:
    phone = await person.create(now=lambda: NOW)
    chat = await phone.conversation("telegram:user:1")
    stamps = [(await phone.append(chat, Text("a"))).view.message.native for _ in range(3)]
    clocks = [stamp.clock for stamp in stamps if stamp is not None]
    assert clocks == sorted(set(clocks))
    assert len(clocks) == 3


# Status, verify, import and export


async def test_status(person: Person) -> None:
    phone = await person.create(now=lambda: NOW)
    chat = await phone.conversation("telegram:user:1")
    for n in range(3):
        await phone.append(chat, Text(f"{n}"))
    status = await phone.status()
    assert (status.relay.rstrip("/"), status.device, status.device_name, status.devices) == (
        person.relay.url.rstrip("/"),
        1,
        "phone",
        1,
    )
    assert (status.conversations, status.messages, status.waiting, status.last_sync) == (1, 3, 4, None)
    assert status.account == person.kit.account
    await phone.sync()
    status = await phone.status()
    assert (status.waiting, status.last_sync, status.unreadable) == (0, NOW, ())
    assert status.size > 0


async def test_progress_is_told(person: Person) -> None:
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    for n in range(70):
        await phone.append(chat, Text(f"{n}"))
    told: list[Progress] = []
    await phone.sync(progress=told.append)
    assert [step.phase for step in told][-1] == "writing"
    assert told[-1].done == 2
    await phone.verify(progress=told.append)
    assert (told[-1].phase, told[-1].records) == ("verifying", 71)


def flip_on_disk(data: Path) -> None:
    """Change one byte in the largest body that the relay keeps."""
    bodies = [
        path for path in data.rglob("*") if path.is_file() and ".db" not in path.name and path.stat().st_size > 20_000
    ]
    assert bodies
    largest = max(bodies, key=lambda path: path.stat().st_size)
    os.chmod(largest, 0o600)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


async def test_verify(person: Person, tmp_path: Path) -> None:
    """It holds; after one byte was changed on the relay's disk it names device and seq, and so does a new device."""
    with RelayProcess(tmp_path / "another") as relay:
        phone = person.keep(
            await Vault.create(
                person.home("phone"), relay=relay.url, unlock=person.unlock, name="phone", on_kit=person.kits.append
            )
        )
        chat = await phone.conversation("telegram:user:1")
        for size in (10, 60_000, 20):
            await phone.append(chat, Text("x" * size))
            await phone.sync()
        report = await phone.verify()
        assert (report.entries, report.segments, report.records, report.unreadable) == (1, 3, 4, ())
        assert report.bytes > 60_000
        laptop = await person.recover()
        flip_on_disk(relay.data)
        before = await everything(phone)
        for vault in (phone, laptop):
            with pytest.raises(HistoryError) as caught:  # REL-16: to an honest relay it is lost
                await (vault.verify() if vault is phone else vault.sync())
            assert (caught.value.code, caught.value.device, caught.value.seq) == ("missing", 1, 2)
        assert await everything(phone) == before


EXPORT = """\
12/31/23, 9:15 PM - Messages and calls are end-to-end encrypted.
12/31/23, 9:16 PM - Bo: happy new year
12/31/23, 9:17 PM - Me: 新年快乐
"""


async def test_import_and_export(person: Person, tmp_path: Path) -> None:
    phone = await person.create()
    export = tmp_path / "WhatsApp Chat with Bo.txt"
    export.write_text(EXPORT, encoding="utf-8")
    told: list[Progress] = []
    report = await phone.import_exports([export], progress=told.append)
    assert (report.exports, report.added) == (1, 3)
    await asyncio.sleep(0)
    assert told[-1].phase == "importing"
    again = await phone.import_exports([export], options=ImportOptions())
    assert (again.added, again.changed, again.unchanged) == (0, 0, 3)
    await phone.sync()
    laptop = await person.recover()
    await laptop.sync()
    for form in ("jsonl", "html"):
        for vault in (phone, laptop):
            out = tmp_path / f"{(await vault.status()).device}.{form}"
            assert (await vault.export(out, format=form, progress=told.append)).records == 3
        assert (tmp_path / f"1.{form}").read_bytes() == (tmp_path / f"2.{form}").read_bytes()
    with pytest.raises(SourceError):
        await phone.import_exports([tmp_path / "nothing"])


async def test_long_exports_tell_their_progress(person: Person, tmp_path: Path) -> None:
    """Also the front of a large import, which a new device reads first."""
    phone = await person.create()
    export = tmp_path / "WhatsApp Chat with Bo.txt"
    lines = [f"12/31/23, 9:{n % 60:02} PM - Bo: message number {n}" for n in range(5_100)]
    export.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = await phone.import_exports([export])
    assert report.added == 5_100
    summary = await phone.sync()
    assert summary.segments_sent == 2
    told: list[Progress] = []
    assert (await phone.export(tmp_path / "out.jsonl", format="jsonl", progress=told.append)).records == 5_100
    await asyncio.sleep(0)
    assert [step.records for step in told] == [1000, 2000, 3000, 4000, 5000]
    laptop = await person.recover()
    await laptop.sync()
    assert (await laptop.status()).messages == 5_100


# For threads


def test_threads_share_a_vault(tmp_path: Path, relay: RelayProcess) -> None:
    unlock = Passphrase("correct horse", strength=Strength(1, 8192))
    kits: list[RecoveryKit] = []
    with SyncVault.create(
        tmp_path / "phone", relay=relay.url, unlock=unlock, name="phone", on_kit=kits.append
    ) as phone:
        chat = phone.conversation("telegram:user:1", title="Bo")
        written: list[Record] = []

        def write(name: str) -> None:
            for n in range(20):
                written.append(phone.append(chat, Text(f"{name} {n}")))
                if n % 5 == 0:
                    phone.sync()

        threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
        changes = phone.observe(chat)
        for thread in threads:
            thread.start()
        assert next(changes).what in ("snapshot", "changed")
        for thread in threads:
            thread.join()
        changes.close()  # type: ignore[attr-defined]
        for record in written:
            phone.uploaded(record, timeout=20)
        assert len([record for page in phone.history(chat, limit=7) for record in page]) == 40
        assert len(list(phone.search("a", limit=3))) == 3
        assert phone.record(written[0].id) == written[0]
        assert [shown.title for shown in phone.conversations()] == ["Bo"]
        states: list[SyncState] = []
        with phone.background_sync(on_state=states.append):
            phone.uploaded(phone.append(chat, Text("in the background")), timeout=20)
        assert states
        assert phone.status().messages == 41
        assert phone.verify().records == 42
        export = tmp_path / "WhatsApp Chat with Bo.txt"
        export.write_text(EXPORT, encoding="utf-8")
        assert phone.import_exports([export]).added == 3
        assert phone.export(tmp_path / "out.jsonl", format="jsonl").records == 44
    with SyncVault.open(tmp_path / "phone", unlock=unlock) as phone:
        assert phone.status().messages == 44
        phone.sync()
    with SyncVault.recover(tmp_path / "laptop", kit=kits[0], unlock=unlock, name="laptop") as laptop:
        assert laptop.sync().received > 40
    with pytest.raises(StoreError):
        SyncVault.open(tmp_path / "nowhere", unlock=unlock)


def test_a_vault_for_threads_is_closed_once(tmp_path: Path, relay: RelayProcess) -> None:
    unlock = Passphrase("correct horse", strength=Strength(1, 8192))
    phone = SyncVault.create(tmp_path / "phone", relay=relay.url, unlock=unlock, name="phone", on_kit=lambda kit: None)
    chat = phone.conversation("telegram:user:1")
    phone.append(chat, Text("one"))
    pages = phone.history(chat)
    seen: list[Change] = []
    observer = threading.Thread(target=lambda: seen.extend(phone.observe(chat)))
    observer.start()
    assert next(pages)
    phone.close()
    phone.close()
    observer.join(20)
    assert not observer.is_alive()
    with pytest.raises(UsageError, match="closed"):
        phone.status()
    with pytest.raises(UsageError, match="closed"):
        next(phone.observe(chat))
    pages.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sealkeep")]
