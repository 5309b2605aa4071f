"""Exports counted by their own files alone: json, csv and lines, and nothing of an importer.

An entry is (chat, author, time, text); time as the exported line writes it: RFC 3339, in UTC where the zone is known, civil
otherwise. The shapes are those of the folder of real exports: no formatted text is lost, and no file is attached.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Entry = tuple[str, str | None, str, str]


def exported(records: Iterable[dict[str, Any]]) -> Counter[Entry]:
    """The same of exported lines."""
    return Counter(
        (line["conversation"], line["author"], _in_utc(line["time"]), line["text"] or "")
        for line in records
        if line["type"] == "record"
    )


def _in_utc(text: str) -> str:
    if text.endswith("Z") or not re.search(r"T.*[+-]", text):
        return text
    return _zulu(datetime.fromisoformat(text).timestamp())


def _zulu(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def telegram_entries(path: Path) -> dict[tuple[str, int], Any]:
    """Every entry by its chat's title and its id."""
    chats = json.loads(path.read_text(encoding="utf-8"))["chats"]["list"]
    return {(chat["name"], entry["id"]): entry for chat in chats for entry in chat["messages"]}


def telegram(path: Path) -> Counter[Entry]:
    found: Counter[Entry] = Counter()
    for (chat, _), entry in telegram_entries(path).items():
        parts = entry["text"] if isinstance(entry["text"], list) else [entry["text"]]
        text = "".join(part if isinstance(part, str) else part["text"] for part in parts)
        found[chat, entry.get("from", entry.get("actor")), _zulu(int(entry["date_unixtime"])), text] += 1
    return found


def wechat_rows(folder: Path) -> Iterable[tuple[str, str, dict[str, str]]]:
    """Nick and wxid of the chat with each row."""
    for path in sorted(folder.glob("*/*.csv")):
        nick, _, wxid = path.parent.name[:-1].rpartition("(")
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                yield nick, wxid, row


def wechat(folder: Path) -> Counter[Entry]:
    return Counter(
        (nick, row["Remark"] or row["NickName"], _zulu(int(row["CreateTime"])), row["StrContent"])
        for nick, _, row in wechat_rows(folder)
    )


# Of each file: its chat's title, the order of its dates' parts, whether its clock has seconds.
WHATSAPP = {
    "android-uk": ("android-uk", "dmy", False),
    "android-us": ("android-us", "mdy", False),
    "ios-de": ("#ubuntu 2005-12-23", "dmy", True),
    "ios-us": ("#ubuntu 2005-06-12", "mdy", True),
}
_LINE = re.compile(r"\[?(\d+)[./](\d+)[./](\d+), (\d+):(\d\d)(?::(\d\d))?(?:\u202f([AP])M)?(?:\] | - )(.*)", re.DOTALL)


def whatsapp(folder: Path) -> Counter[Entry]:
    found: Counter[Entry] = Counter()
    for path in sorted(folder.glob("*.txt")):
        title, order, seconds = WHATSAPP[path.stem]
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            match = _LINE.fullmatch(line)
            assert match, line
            first, second, year, hour, minute = map(int, match.group(1, 2, 3, 4, 5))
            month, day = (first, second) if order == "mdy" else (second, first)
            if match[7]:
                hour = hour % 12 + 12 * (match[7] == "P")
            time = f"{year % 100 + 2000}-{month:02}-{day:02}T{hour:02}:{minute:02}" + f":{match[6]}" * seconds
            author, colon, text = match[8].partition(": ")
            if not colon:
                found[title, None, time, author] += 1
            elif text.startswith("\u200e"):
                found[title, None, time, text[1:]] += 1
            else:
                found[title, author, time, text] += 1
    return found
