"""Two devices that import overlapping exports and write, each offline: one view, each message once (spec §7.7)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import Passphrase, RecoveryKit, Text, Vault
from sealkeep_client.store import Strength
from support.relay import RelayProcess

QUICK = Strength(1, 8 << 20)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path / "relay") as process:
        yield process


@pytest.fixture
async def devices(tmp_path: Path, relay: RelayProcess) -> AsyncIterator[tuple[Vault, Vault]]:
    kits: list[RecoveryKit] = []
    unlock = Passphrase("both", strength=QUICK)
    async with (
        await Vault.create(
            tmp_path / "phone", relay=relay.url, unlock=unlock, name="phone", on_kit=kits.append
        ) as phone,
        await Vault.recover(tmp_path / "laptop", kit=kits[0], unlock=unlock, name="laptop") as laptop,
    ):
        yield phone, laptop


async def converge(phone: Vault, laptop: Vault, base: Path) -> list[dict[str, Any]]:
    """Sync until both have seen each other, and return the records of their one view."""
    for vault in (phone, laptop, phone, laptop):
        await vault.sync()
    for vault, name in ((phone, "phone"), (laptop, "laptop")):
        await vault.export(base / f"{name}.jsonl", format="jsonl")
    exported = (base / "phone.jsonl").read_bytes()
    assert exported == (base / "laptop.jsonl").read_bytes()
    assert (await phone.sync()).segments_sent == 0
    return [line for line in map(json.loads, exported.splitlines()) if line["type"] == "record"]


def telegram(path: Path, numbers: range, *, edited: dict[int, str] | None = None) -> Path:
    entries = []
    for number in numbers:
        entry: dict[str, Any] = {
            "id": number,
            "type": "message",
            "date_unixtime": str(1_600_000_000 + number),
            "from": "Ann",
            "from_id": "user7",
            "text": f"message {number}",
        }
        if edited and number in edited:
            entry |= {"text": edited[number], "edited_unixtime": "1700000000"}
        entries.append(entry)
    chat = {"name": "Ann", "type": "private_supergroup", "id": 7, "messages": entries}
    path.write_text(json.dumps(chat), encoding="utf-8")
    return path


def wechat(path: Path, numbers: range) -> Path:
    folder = path / "Ann(wxid_ann)"
    folder.mkdir(parents=True)
    lines = ["localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender"]
    for number in numbers:  # two equal messages in every second
        for _ in range(2):
            lines.append(f"{1000 + len(lines)},3,1,0,0,{1_600_000_000 + number},2,好 {number},,Ann,Ann,wxid_ann")
    (folder / "Ann.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def whatsapp(path: Path, numbers: range) -> Path:
    path.mkdir()
    lines = [f"[{number // 60 + 13:02}.02.21, 10:{number % 60:02}:00] Ann: ok {number}" for number in numbers]
    (path / "WhatsApp Chat with Ann.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


async def test_telegram(devices: tuple[Vault, Vault], tmp_path: Path) -> None:
    """REC-06: imports that overlap, an edit in the later one, and words written on both while offline."""
    phone, laptop = devices
    await phone.import_exports([telegram(tmp_path / "early.json", range(1, 401))])
    await laptop.import_exports(
        [telegram(tmp_path / "late.json", range(201, 601), edited={300: "message 300, better"})]
    )
    for vault, text in ((phone, "from the phone"), (laptop, "from the laptop")):
        await vault.append(await vault.conversation("telegram:channel:7"), Text(text))
        await vault.append(await vault.conversation("telegram:channel:7"), Text("the same"), source=9999)
    records = await converge(phone, laptop, tmp_path)
    texts = sorted(record["text"] for record in records)
    wanted = [f"message {n}" for n in range(1, 601) if n != 300]
    assert texts == sorted([*wanted, "message 300, better", "from the phone", "from the laptop", "the same"])
    edited = next(record for record in records if record["text"] == "message 300, better")
    assert "message 300" in json.dumps(edited["history"])


async def test_wechat(devices: tuple[Vault, Vault], tmp_path: Path) -> None:
    """Equal messages stay two, and local numbers that differ between exports say nothing new."""
    phone, laptop = devices
    await phone.import_exports([wechat(tmp_path / "early", range(300))])
    await laptop.import_exports([wechat(tmp_path / "late", range(150, 450))])
    records = await converge(phone, laptop, tmp_path)
    assert sorted(record["text"] for record in records) == sorted(f"好 {n}" for n in range(450) for _ in range(2))


async def test_whatsapp(devices: tuple[Vault, Vault], tmp_path: Path) -> None:
    phone, laptop = devices
    await phone.import_exports([whatsapp(tmp_path / "early", range(300))])
    await laptop.import_exports([whatsapp(tmp_path / "late", range(180, 540))])
    records = await converge(phone, laptop, tmp_path)
    assert sorted(record["text"] for record in records) == sorted(f"ok {n}" for n in range(540))


async def test_a_longer_export_adds_only_what_is_new(devices: tuple[Vault, Vault], tmp_path: Path) -> None:
    phone, _ = devices
    await phone.import_exports([telegram(tmp_path / "first.json", range(1, 301))])
    await phone.sync()
    again = await phone.import_exports([telegram(tmp_path / "again.json", range(1, 301))])
    assert (again.added, again.changed, again.unchanged) == (0, 0, 300)
    assert (await phone.sync()).segments_sent == 0
    longer = await phone.import_exports([telegram(tmp_path / "longer.json", range(101, 351))])
    assert (longer.added, longer.changed, longer.unchanged) == (50, 0, 200)
    assert (await phone.sync()).sent <= 52  # the new ones; and what the contact's and the chat's newest message moved
