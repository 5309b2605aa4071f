"""Files of messages through a vault: taken in, sent, and read on another device."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Draft, Progress, Record, Text, Vault
from sealkeep_protocol.errors import HistoryError, RefusedError, StoreError, TransportError, UsageError
from sealkeep_protocol.records import Attachment, Kind
from support.vaults import exported

from .conftest import Person

MIB = 1 << 20


def made(folder: Path, name: str, size: int) -> Path:
    """A file of random bytes."""
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


async def only(vault: Vault) -> Record:
    """The one record of the one conversation."""
    [chat] = await vault.conversations()
    [page] = [page async for page in vault.history(chat)]
    [record] = page
    return record


async def read(vault: Vault, record: Record, index: int = 0) -> bytes:
    async with await vault.open_attachment(record, index) as file:
        return await file.read()


@pytest.mark.parametrize("size", [0, 1, 5_000, MIB, 3 * MIB + 17, 9 * MIB + 1])
async def test_a_file_goes_to_another_device(person: Person, tmp_path: Path, size: int) -> None:
    phone, path = await person.create(), made(tmp_path, "holiday.jpg", size)
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[path])
    [shown] = record.view.message.attachments or ()
    assert (record.view.message.kind, shown.name, shown.media_type, shown.size) == (
        Kind.IMAGE,
        "holiday.jpg",
        "image/jpeg",
        size,
    )
    assert await phone.here([shown]) == [True]
    assert await read(phone, record) == path.read_bytes()
    await phone.sync()
    laptop = await person.recover()
    await laptop.sync()
    received = await only(laptop)
    assert received.view.message.attachments == (shown,)
    assert await laptop.here([shown]) == [False]
    assert await read(laptop, received) == path.read_bytes()


async def test_any_place_of_a_file(person: Person, tmp_path: Path) -> None:
    phone, path = await person.create(), made(tmp_path, "film.mp4", 12 * MIB + 5)
    data = path.read_bytes()
    record = await phone.append(await phone.conversation("telegram:user:1"), Text("look"))
    await phone.attach(record, path)
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    async with await laptop.open_attachment(record.id) as file:
        for start, size in ((11 * MIB + 3, 70), (MIB - 5, 10), (12 * MIB, 99), (5, 0), (13 * MIB, 5)):
            assert await file.seek(start) == file.tell() == start
            assert await file.read(size) == data[start : start + size]
        assert await file.seek(-5, os.SEEK_END) == len(data) - 5
        assert await file.read() == data[-5:]
        with pytest.raises(UsageError, match="no such place"):
            await file.seek(-1)
    with pytest.raises(UsageError, match="closed"):
        await file.read()


async def test_the_same_file_is_stored_once(person: Person, tmp_path: Path) -> None:
    phone, path = await person.create(), made(tmp_path, "a.png", 700_000)
    chat = await phone.conversation("telegram:user:1")
    first = await phone.append(chat, Draft(), files=[path])
    await phone.uploaded(first, timeout=30)
    used = (await phone.status()).used
    laptop = await person.recover()
    await laptop.sync()
    second = await laptop.append(chat, Draft(), files=[path])
    await laptop.uploaded(second, timeout=30)
    await phone.sync()
    assert (await phone.status()).used - used < 20_000
    assert await read(phone, second) == path.read_bytes()


async def test_saving_goes_on_where_it_was_interrupted(person: Person, tmp_path: Path) -> None:
    phone, path = await person.create(), made(tmp_path, "long.mkv", 10 * MIB + 9)
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[path])
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    data, out = path.read_bytes(), tmp_path / "out.mkv"
    part = tmp_path / ".out.mkv.sealkeep-part"
    part.write_bytes(data[: 3 * MIB] + bytes(2 * MIB))  # of what is there, what is right is kept
    seen: list[Progress] = []
    assert await laptop.save_attachment(record.id, 0, out, progress=seen.append) == len(data)
    await asyncio.sleep(0)
    assert [step.done for step in seen[:2]] == [3 * MIB, 4 * MIB]
    assert out.read_bytes() == data
    assert not part.exists()
    entries = [entry async for entry in laptop.files()]
    assert [(entry.here, entry.stored, entry.record.id) for entry in entries] == [(False, True, record.id)]
    with pytest.raises(UsageError, match="is a directory"):
        await laptop.save_attachment(record.id, 0, tmp_path)
    with pytest.raises(UsageError, match="no such attachment"):
        await laptop.save_attachment(record.id, 1, out)


async def test_an_export_with_its_files(person: Person, tmp_path: Path) -> None:
    """Each once, under a name that leads nowhere; the lines and the page say which."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    picture, other = made(tmp_path, "a b.png", 5_000), made(tmp_path, "x", 700)
    await phone.append(chat, Draft(), files=[picture])
    record = await phone.append(chat, Draft(), files=[picture])
    await phone.attach(record, other, name="../../<b>.html")
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    out = tmp_path / "out"
    out.mkdir()
    report = await laptop.export(out / "all.jsonl", format="jsonl", files=out / "files")
    assert (report.records, report.files, report.file_bytes, report.files_missing) == (2, 2, 5_700, 0)
    lines = [json.loads(line) for line in (out / "all.jsonl").read_bytes().splitlines()]
    named = {one["file"] for line in lines for one in line.get("attachments", ())}
    assert {path.relative_to(out).as_posix() for path in (out / "files").iterdir()} == named
    assert sorted((out / name).read_bytes() for name in named) == sorted(map(Path.read_bytes, (picture, other)))
    assert all("<" not in name and Path(name).parts[0] == "files" and len(Path(name).parts) == 2 for name in named)
    again = await laptop.export(out / "all.html", format="html", files=out / "files")
    assert again.files == 2
    page = (out / "all.html").read_text()
    assert "img-src 'self' file:" in page
    assert re.search(r'<img src="files/[0-9a-f]{16}-a%20b\.png"', page)
    assert re.search(r'<a class=f href="files/[0-9a-f]{16}-[^"]*_b_\.html" download>', page)


async def test_verify_asks_for_files_and_reads_them(person: Person, tmp_path: Path) -> None:
    """FIL-16: a file that this device has put is missed, and the relay named; one that it only read of is shown."""
    phone = await person.create()
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[made(tmp_path, "a", MIB)])
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    report = await phone.verify()
    assert (report.files, report.file_bytes, report.unavailable) == (1, None, ())
    report = await laptop.verify(files=True)
    assert (report.files, report.file_bytes, report.unavailable) == (1, MIB, ())


async def test_a_relay_that_lost_a_file(person: Person, tmp_path: Path) -> None:
    """FIL-16: this device has put it, and says so; the other one has only read of it, and accuses nobody."""
    phone = await person.create()
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[made(tmp_path, "a", MIB)])
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    lose_chunks(person)
    with pytest.raises(HistoryError) as lost:
        await phone.verify()
    assert (lost.value.code, lost.value.device, lost.value.seq) == ("missing", 1, 2)
    assert (await laptop.verify(files=True)).unavailable == ((1, 2),)
    with pytest.raises(RefusedError, match="device 1, seq 2") as refused:
        await read(laptop, record)
    assert refused.value.code == "not-found"
    report = await laptop.export(tmp_path / "all.jsonl", format="jsonl", files=tmp_path / "files")
    assert (report.files, report.files_missing) == (0, 1)
    assert len(await read(phone, record)) == MIB  # it is here


async def test_a_file_that_was_given_up_with_its_device(person: Person, tmp_path: Path) -> None:
    """FIL-16, ROS-12: no stored segment names it any more, so that the relay lost nothing."""
    phone = await person.create()
    laptop = await person.recover()
    record = await laptop.append(
        await laptop.conversation("telegram:user:1"), Draft(), files=[made(tmp_path, "a", MIB)]
    )
    await laptop.uploaded(record, timeout=30)
    await phone.sync()
    assert (await phone.verify(files=True)).files == 1
    await phone.remove(2, discard={2: 0})
    lose_chunks(person)
    [(device, _)] = (await phone.verify()).unavailable
    assert device == 2


async def test_a_false_record_takes_no_file_away(person: Person, tmp_path: Path) -> None:
    """FIL-07, FIL-02: it is passed over, and told with its device and seq."""
    phone, path = await person.create(), made(tmp_path, "a", 700)
    chat = await phone.conversation("telegram:user:1")
    record = await phone.append(chat, Draft(), files=[path])
    other = await phone.append(chat, Draft(), files=[made(tmp_path, "b", 700)])
    await phone.uploaded(other, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    [root, another] = [(one.view.message.attachments or ())[0].root or b"" for one in (record, other)]
    store, account = laptop._core.store, laptop._core.local.account

    def lie() -> None:
        [true], [theirs] = store.records.of(root), store.records.of(another)
        lies = [replace(true.record, chunks=theirs.record.chunks, epoch=epoch) for epoch in (1, account.roster.epoch)]
        with store.transaction():
            store.records.put(2, 7, lies)

    await laptop._core.in_store(lie)
    async with await laptop.open_attachment(record.id) as file:
        assert await file.read() == path.read_bytes()
        told = file.reader.passed_over
    assert told
    assert {(error.device, error.seq) for error in told} == {(2, 7)}


async def test_offline(person: Person, tmp_path: Path) -> None:
    phone, path = await person.create(), made(tmp_path, "a", 2 * MIB)
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[path])
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()
    await laptop._core.relay.close()
    laptop._core.relay = HttpRelay("http://127.0.0.1:9", now=time.monotonic)
    laptop._core.use_device()
    with pytest.raises(TransportError, match="not on this device, and the relay cannot be reached"):
        await read(laptop, record)
    assert await read(phone, record) == path.read_bytes()
    with pytest.raises(UsageError, match="nobody has it"):
        await phone.open_attachment(record, Attachment("photo", name="a.jpg"))


async def test_an_import_takes_files_in(person: Person, tmp_path: Path) -> None:
    """All that the export holds, each once; what it does not hold keeps its place, and a hostile path takes nothing in."""
    export = tmp_path / "export"
    (export / "photos").mkdir(parents=True)
    made(export / "photos", "1.jpg", 3_000)
    made(tmp_path, "secret", 10)
    entries = [
        {"id": n, "type": "message", "date_unixtime": "1700000000", "from_id": "user1", "text": "", "photo": photo}
        for n, photo in enumerate(
            ("photos/1.jpg", "photos/1.jpg", "photos/2.jpg", "../secret", "(File not included. Change data exporting)"),
            1,
        )
    ]
    chat = {"name": "Ann", "type": "personal_chat", "id": 1, "messages": entries}
    (export / "result.json").write_text(json.dumps(chat))
    phone = await person.create()
    for new in (1, 0):  # and the same again
        report = await phone.import_exports([export])
        assert (report.files, report.file_bytes, report.files_missing) == (new, 3_000 * new, 3)
        assert [problem.reason for problem in report.problems] == ["names a file outside the export: left out"]
    assert (report.added, report.changed) == (0, 0)
    [chat_] = await phone.conversations()
    [page] = [page async for page in phone.history(chat_)]
    shown = [[one.state for one in record.view.message.attachments or ()] for record in page]
    assert shown == [[0], [0], [1], [1], [2]]
    assert await read(phone, page[1]) == (export / "photos" / "1.jpg").read_bytes()
    await phone.sync()
    laptop = await person.recover()
    await laptop.sync()
    assert await exported(laptop, tmp_path / "1") == await exported(phone, tmp_path / "2")


async def test_attaching_what_an_export_lacked(person: Person, tmp_path: Path) -> None:
    """A file of the name of a placeholder takes its place."""
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    named = Attachment("voice", name="v.ogg", duration=3_000)
    record = await phone.append(chat, Draft(Kind.VOICE, attachments=(named,)))
    record = await phone.attach(record, made(tmp_path, "v.ogg", 900))
    [shown] = record.view.message.attachments or ()
    assert (shown.role, shown.duration, shown.state, shown.size) == ("voice", 3_000, 0, 900)
    with pytest.raises(UsageError, match="no such record"):
        await phone.attach(bytes(16), tmp_path / "v.ogg")
    with pytest.raises(StoreError, match="cannot be read"):
        await phone.attach(record, tmp_path / "none")
    with pytest.raises(UsageError, match="no file of at most"):
        await phone.attach(record, tmp_path)


def lose_chunks(person: Person) -> None:
    """Have the relay lose all chunks that it has."""
    with contextlib.closing(sqlite3.connect(person.relay.data / "relay.db", timeout=10)) as database, database:
        assert database.execute("DELETE FROM chunk").rowcount > 0


async def test_previews_come_behind_the_text(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FIL-10: a sync decodes nothing; who looks gets the preview of a picture that is not here."""
    Image.frombytes("RGB", (64, 48), os.urandom(64 * 48 * 3)).save(tmp_path / "a.png")
    phone = await person.create()
    record = await phone.append(await phone.conversation("telegram:user:1"), Draft(), files=[tmp_path / "a.png"])
    [shown] = record.view.message.attachments or ()
    assert await phone.preview(shown) is not None
    decode = Image.open
    monkeypatch.setattr(Image, "open", None)
    await phone.sync()
    assert (await phone.status()).waiting == 0
    laptop = await person.recover()
    await laptop.sync()
    monkeypatch.setattr(Image, "open", decode)
    found = await laptop.preview(shown)
    assert found == await phone.preview(shown)
    assert found is not None
    assert (found.width, found.height) == (64, 48)
    assert await laptop.preview(Attachment("photo")) is None
    assert (await laptop.verify()).unreadable == ()


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_as_many_chunks_at_once_as_the_vault_may(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    """There, back into a file, and back to be proved."""
    under_way, most = 0, 0

    def counting(method: str) -> None:
        original = getattr(HttpRelay, method)

        async def counted(self: HttpRelay, *arguments: object) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            try:
                return await original(self, *arguments)
            finally:
                under_way -= 1

        monkeypatch.setattr(HttpRelay, method, counted)

    counting("put_chunk")
    counting("chunk")
    found = []
    phone = await person.create(in_flight=in_flight)
    record = await phone.append(
        await phone.conversation("telegram:user:1"), Draft(), files=[made(tmp_path, "a", 6 * MIB)]
    )
    await phone.uploaded(record, timeout=30)
    found.append(most)
    laptop = await person.recover(in_flight=in_flight)
    await laptop.sync()
    for fetch in (laptop.save_attachment(await only(laptop), 0, tmp_path / "b"), laptop.verify(files=True)):
        most = 0
        await fetch
        found.append(most)
    assert found == [in_flight] * 3


@pytest.mark.parametrize("in_flight", [0, -1, 65])
async def test_a_number_of_chunks_that_cannot_be(person: Person, in_flight: int) -> None:
    await (await person.create()).close()
    with pytest.raises(UsageError, match="1 to 64"):
        await person.open(in_flight=in_flight)


async def test_the_chunks_of_a_long_file_are_learnt_when_its_list_is_opened(person: Person, tmp_path: Path) -> None:
    """§11.5: from then on this device can bring the segment back to a relay that lost it."""
    phone, path = await person.create(), made(tmp_path, "long", 9 * MIB + 1)
    chat = await phone.conversation("telegram:user:1")
    record = await phone.append(chat, Draft(), files=[path, made(tmp_path, "short", 10)])
    await phone.uploaded(record, timeout=30)
    laptop = await person.recover()
    await laptop.sync()

    def whole(vault: Vault) -> list[tuple[int, tuple[bytes, ...] | None]]:
        kept = [vault._core.store.kept.whole(1, seq) for seq in range(1, 4)]
        return [(one.seq, one.chunks) for one in kept if one is not None]

    theirs = await phone._core.in_store(lambda: whole(phone))
    before = dict(await laptop._core.in_store(lambda: whole(laptop)))
    assert [seq for seq, chunks in theirs if chunks != before[seq]] == [theirs[-1][0]]
    assert before[theirs[-1][0]] is None
    assert len(theirs[-1][1] or ()) == 10 + 1 + 1  # pieces, their list, and the other file
    received = await only(laptop)
    [long] = [one for one in received.view.message.attachments or () if one.name == "long"]
    async with await laptop.open_attachment(received, long) as file:
        await file.read(1)
    assert await laptop._core.in_store(lambda: whole(laptop)) == theirs


async def test_a_page_shows_previews_of_what_is_not_beside_it(person: Person, tmp_path: Path) -> None:
    """FIL-10: within the page, so that nothing is fetched; and only those that may be shown."""
    for name in ("good.png", "bad.png"):
        Image.frombytes("RGB", (64, 48), os.urandom(64 * 48 * 3)).save(tmp_path / name)
    phone = await person.create()
    chat = await phone.conversation("telegram:user:1")
    records = [await phone.append(chat, Draft(), files=[tmp_path / name]) for name in ("good.png", "bad.png")]
    [good], [bad] = [record.view.message.attachments or () for record in records]
    small = await phone.preview(good)
    assert small is not None

    def lie() -> None:
        store = phone._core.store
        [(_, made)] = store.previews.of(bad.root or b"")
        with store.transaction():
            store.previews.put(1, 0, [replace(made, width=made.width + 1)])

    await phone._core.in_store(lie)
    await phone.export(tmp_path / "page.html", format="html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    [shown] = re.findall(r'<img src="?data:image/jpeg;base64,([^" >]+)', page)
    assert base64.b64decode(shown) == small.picture
    assert "bad.png" in page
    [policy] = re.findall(r'Content-Security-Policy content="([^"]*)"', page)
    assert "img-src data:;" in policy
    await phone.export(tmp_path / "with.html", format="html", files=tmp_path / "files")
    beside = (tmp_path / "with.html").read_text(encoding="utf-8")
    assert "base64" not in beside
    assert "base64" not in (await exported(phone, tmp_path / "lines.jsonl")).decode()
