"""Real exports, against their own files read with nothing but json, csv and lines; speed and memory are `make bench`'s."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import Batch, Export, open_exports
from support.rebuild_telegram import rebuild_telegram


def _whole(exports: Any) -> Batch:
    whole = Batch()
    for export in exports:
        assert isinstance(export, Export)
        for batch in export.batches():
            for name in ("contacts", "conversations", "messages", "marks", "problems"):
                getattr(whole, name).extend(getattr(batch, name))
    return whole


def _shown(batch: Batch) -> Counter[tuple[Any, ...]]:
    titles = {conversation.key: conversation.title for conversation in batch.conversations}
    names = {contact.key.source: contact.name for contact in batch.contacts}
    return Counter(
        (titles[message.conversation], message.author and names[message.author], message.time, message.text or "")
        for message in batch.messages
    )


def test_telegram(data_dir: Path) -> None:
    path = data_dir / "telegram" / "result.json"
    batch = _whole(open_exports([path]))
    assert batch.problems == []
    source: Counter[tuple[Any, ...]] = Counter()
    entries: dict[tuple[str, int], Any] = {}
    for chat in json.loads(path.read_text(encoding="utf-8"))["chats"]["list"]:
        for entry in chat["messages"]:
            text = entry["text"]
            text = text if type(text) is str else "".join(part if type(part) is str else part["text"] for part in text)
            author = entry.get("from", entry.get("actor"))
            source[chat["name"], author, int(entry["date_unixtime"]) * 1000, text] += 1
            entries[f"channel:{chat['id']}", entry["id"]] = entry
    assert _shown(batch) == source
    assert len(batch.messages) == len(entries) == 142_816
    names = {contact.key.source: contact.name for contact in batch.contacts}
    for message in batch.messages:
        assert rebuild_telegram(message, (), names) == entries[message.conversation.source, message.source]


def test_wechat(data_dir: Path) -> None:
    folder = data_dir / "wechat"
    batch = _whole(open_exports([folder]))
    assert batch.problems == []
    source: Counter[tuple[Any, ...]] = Counter()
    for path in folder.glob("*/*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                source[path.stem, row["NickName"], int(row["CreateTime"]) * 1000, row["StrContent"]] += 1
    assert _shown(batch) == source
    assert {conversation.key.source for conversation in batch.conversations} == {
        path.name[path.name.index("(") + 1 : -1] for path in folder.iterdir()
    }


_LINE = re.compile(r"\[?(\S+?),? (\d+):(\d\d)(?::(\d\d))?(?:\u202f([AP]M))?(?:\]| -) (.*)", re.DOTALL)


def test_whatsapp(data_dir: Path) -> None:
    folder = data_dir / "whatsapp"
    source: Counter[tuple[Any, ...]] = Counter()
    titles = {
        "android-uk": "android-uk",
        "android-us": "android-us",
        "ios-de": "#ubuntu 2005-12-23",
        "ios-us": "#ubuntu 2005-06-12",
    }
    for path in folder.glob("*.txt"):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            match = _LINE.match(line)
            assert match
            numbers = [int(number) for number in re.split(r"[./]", match[1])]
            month, day, year = numbers if path.stem.endswith("us") else (numbers[1], numbers[0], numbers[2])
            hour = int(match[2]) % 12 + 12 * (match[5] == "PM") if match[5] else int(match[2])
            civil = datetime(
                year + 2000 if year < 100 else year, month, day, hour, int(match[3]), int(match[4] or 0), tzinfo=UTC
            )
            author, colon, text = match[6].partition(": ")
            if not colon or text.startswith("\u200e"):
                author, text = None, text.lstrip("\u200e") if colon else match[6]  # type: ignore[assignment]
            source[titles[path.stem], author, int(civil.timestamp() * 1000), text] += 1
    batch = _whole(open_exports([folder]))
    assert batch.problems == []
    assert _shown(batch) == source


@pytest.mark.parametrize("part", ["telegram", "wechat", "whatsapp"])
def test_identities_are_unique(data_dir: Path, part: str) -> None:
    messages = _whole(open_exports([data_dir / part])).messages
    assert len({(message.conversation, message.source) for message in messages}) == len(messages)
