"""Overlapping exports on two devices that write, each offline: one view, each message once (spec §7.7).

Real chats, cut in two parts that overlap; and generated ones in which both devices know an edit that the other does not.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import Text, Vault
from support import source_counts
from support.exported import lines
from support.exports_telegram import telegram_entries
from support.relay import RelayProcess
from support.vaults import created, exported, recovered

CHATS = 6  # of the large exports


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path / "relay") as process:
        yield process


async def converge(base: Path, *vaults: Vault) -> list[dict[str, Any]]:
    """Sync until all have seen each other; the lines of their one view."""
    for vault in (*vaults, *vaults):
        assert (await vault.sync()).unreadable == ()
    first, *others = [await exported(vault, base / f"{number}.jsonl") for number, vault in enumerate(vaults)]
    assert all(other == first for other in others)
    for vault in vaults:
        assert (await vault.status()).waiting == 0
        assert (await vault.sync()).segments_sent == 0
    return list(lines(base / "0.jsonl"))


# Real chats in two overlapping parts: each gives the whole (as counted by its files alone), early and late.


def cut_telegram(source: Path, base: Path) -> Counter[source_counts.Entry]:
    whole = json.loads((source / "telegram" / "result.json").read_text(encoding="utf-8"))
    chats = whole["chats"]["list"][:CHATS]
    for name, cut in (("whole", slice(None)), ("early", slice(None, -300)), ("late", slice(300, None))):
        (base / name).mkdir()
        part = {"chats": {"list": [{**chat, "messages": chat["messages"][cut]} for chat in chats]}}
        (base / name / "result.json").write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8")
    return source_counts.telegram(base / "whole" / "result.json")


def cut_wechat(source: Path, base: Path) -> Counter[source_counts.Entry]:
    for folder in sorted((source / "wechat").iterdir())[:CHATS]:
        [path] = folder.iterdir()
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = csv.reader(file)
        times = [row[head.index("CreateTime")] for row in rows]
        first = times.index(times[len(rows) // 3])  # a second is not cut: equal messages are counted in it
        last = len(rows) - times[::-1].index(times[2 * len(rows) // 3])
        for name, part in (("whole", rows), ("early", rows[:last]), ("late", rows[first:])):
            (base / name / folder.name).mkdir(parents=True)
            with (base / name / folder.name / path.name).open("w", encoding="utf-8-sig", newline="") as out:
                # Another export numbers its rows in its own way.
                numbered = [[str(int(row[0]) + 7) if name == "late" else row[0], *row[1:]] for row in part]
                csv.writer(out).writerows([head, *numbered])
    return source_counts.wechat(base / "whole")


def cut_whatsapp(source: Path, base: Path) -> Counter[source_counts.Entry]:
    shutil.copytree(source / "whatsapp", base / "whole")
    for path in (base / "whole").iterdir():
        minutes = [list(group) for _, group in groupby(path.read_text(encoding="utf-8").splitlines(), key=_minute)]
        first, last = len(minutes) // 3, 2 * len(minutes) // 3
        for name, part in (("early", minutes[:last]), ("late", minutes[first:])):
            (base / name).mkdir(exist_ok=True)
            said = "\n".join(line for minute in part for line in minute) + "\n"
            # A later export has no first line to name the group: its file does, as the app names files.
            title = source_counts.WHATSAPP[path.stem][0]
            (base / name / f"WhatsApp Chat with {title}.txt").write_text(said, encoding="utf-8")
    return source_counts.whatsapp(base / "whole")


def _minute(line: str) -> str:
    date, _, rest = line.partition(", ")
    return f"{date} {rest[:5].strip(':')} {'PM' if 'PM' in rest[:12] else ''}"


@pytest.mark.parametrize("cut", [cut_telegram, cut_wechat, cut_whatsapp])
async def test_real_chats_in_two_parts(
    data_dir: Path, tmp_path: Path, relay: RelayProcess, cut: Callable[[Path, Path], Counter[source_counts.Entry]]
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    whole = cut(data_dir, parts)
    async with (
        created(tmp_path / "phone", relay.url) as (phone, kit),
        await recovered(tmp_path / "laptop", kit) as laptop,
    ):
        early = await phone.import_exports([parts / "early"])
        late = await laptop.import_exports([parts / "late"])
        assert early.problems == late.problems == ()
        assert early.added + late.added > whole.total()  # they do overlap
        assert max(early.added, late.added) < whole.total()
        for vault, words in ((phone, "from the phone"), (laptop, "from the laptop")):
            chat = (await vault.conversations())[0]
            await vault.append(chat, Text(words))
        records = [line for line in await converge(tmp_path, phone, laptop) if line["type"] == "record"]
        written = [line for line in records if "native" in line]
        assert sorted(line["text"] for line in written) == ["from the laptop", "from the phone"]
        assert source_counts.exported(line for line in records if "native" not in line) == whole
        # The whole export says nothing that is not there, on either device.
        for vault in (phone, laptop):
            again = await vault.import_exports([parts / "early"])
            assert (again.added, again.changed) == (0, 0)
            again = await vault.import_exports([parts / "whole"])
            assert again.added == 0
        await converge(tmp_path, phone, laptop)


def chat_of(base: Path, name: str, entries: list[dict[str, Any]]) -> Path:
    path = base / f"{name}.json"
    chat = {"name": "Plans", "type": "private_supergroup", "id": 7, "messages": entries}
    path.write_text(json.dumps(chat, ensure_ascii=False), encoding="utf-8")
    return path


def edited(entry: dict[str, Any], text: str, when: int) -> dict[str, Any]:
    words = {"text": text, "text_entities": [{"type": "plain", "text": text}]}
    return {**entry, **words, "edited_unixtime": str(when)}


async def test_edits_that_each_device_alone_knows(tmp_path: Path, relay: RelayProcess) -> None:
    """The newest edit is shown, all others are kept, on all three devices, and whatever is imported once more."""
    entries, _ = telegram_entries("Plans")
    plain = [n for n, entry in enumerate(entries) if entry.get("text") in ("hello", "an answer", "buttons")]
    a, b, c = plain
    early, late = list(entries[:40]), list(entries)
    early[a] = edited(entries[a], "hello, early edit", 1_690_000_100)
    late[a] = edited(entries[a], "hello, late edit", 1_690_000_900)
    early[b] = edited(entries[b], "the newest, which the shorter export has", 1_690_000_900)
    late[b] = edited(entries[b], "the older", 1_690_000_100)
    late[c] = edited(entries[c], "edited in one only", 1_690_000_500)
    paths = [chat_of(tmp_path, name, part) for name, part in (("plain", entries), ("early", early), ("late", late))]
    async with (
        created(tmp_path / "phone", relay.url) as (phone, kit),
        await recovered(tmp_path / "laptop", kit, name="laptop") as laptop,
        await recovered(tmp_path / "tablet", kit, name="tablet") as tablet,
    ):
        for vault, path in zip((tablet, phone, laptop), paths, strict=True):
            await vault.import_exports([path])
        found = {line["source"]: line for line in await converge(tmp_path, phone, laptop, tablet) if "source" in line}
        records = {number: line for number, line in found.items() if line["type"] == "record"}
        assert len(records) == len(entries)

        def texts(number: int) -> list[str]:
            line = records[entries[number]["id"]]
            return [line["text"], *(one["text"] for one in line.get("history", ()))]

        assert texts(a) == ["hello, late edit", "hello, early edit", "hello"]
        assert texts(b) == ["the newest, which the shorter export has", "the older", "an answer"]
        assert texts(c) == ["edited in one only", "buttons"]
        before = await exported(phone, tmp_path / "before.jsonl")
        for vault in (phone, laptop, tablet):
            for path in paths:
                again = await vault.import_exports([path])
                assert (again.added, again.changed) == (0, 0)
            assert (await vault.status()).waiting == 0
            assert (await vault.sync()).segments_sent == 0
            assert await exported(vault, tmp_path / "after.jsonl") == before


async def test_one_message_live_and_by_import_is_one(tmp_path: Path, relay: RelayProcess) -> None:
    """Written live with its source on both devices, and in an export besides."""
    entries, _ = telegram_entries("Plans")
    async with (
        created(tmp_path / "phone", relay.url) as (phone, kit),
        await recovered(tmp_path / "laptop", kit) as laptop,
    ):
        for vault in (phone, laptop):
            chat = await vault.conversation("telegram:channel:7", title="Plans")
            for _ in range(2):
                await vault.append(chat, Text("hello"), source=1)
        await laptop.import_exports([chat_of(tmp_path, "result", entries)])
        found = [line for line in await converge(tmp_path, phone, laptop) if line["type"] == "record"]
        assert sorted(line["source"] for line in found) == [entry["id"] for entry in entries]
        assert [line["text"] for line in found if line["source"] == 1] == ["hello"]
