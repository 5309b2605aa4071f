"""The main job on real chats: import, sync, recover from the kit alone, and every record is the same."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import Passphrase, RecoveryKit, Vault
from sealkeep_client.store import Strength
from support.relay import RelayProcess

QUICK = Strength(1, 8 << 20)  # of the passphrase, which is not what is tested here


@asynccontextmanager
async def phone(base: Path, relay: RelayProcess) -> AsyncIterator[tuple[Vault, RecoveryKit]]:
    kits: list[RecoveryKit] = []
    unlock = Passphrase("phone", strength=QUICK)
    async with await Vault.create(
        base / "phone", relay=relay.url, unlock=unlock, name="phone", on_kit=kits.append
    ) as vault:
        yield vault, kits[0]


async def restored(base: Path, relay: RelayProcess, source: Path) -> list[dict[str, Any]]:
    """Import, sync, recover on a second home; the exports of both are one, and come back as records."""
    async with phone(base, relay) as (vault, kit):
        report = await vault.import_exports([source])
        assert report.problems == ()
        await vault.sync()
        async with await Vault.recover(
            base / "laptop", kit=kit, unlock=Passphrase("laptop", strength=QUICK), name="laptop"
        ) as laptop:
            summary = await laptop.sync()
            assert summary.unreadable == ()
            for home, name in ((vault, "phone"), (laptop, "laptop")):
                await home.export(base / f"{name}.jsonl", format="jsonl")
            again = await vault.import_exports([source])
            assert (again.added, again.changed) == (0, 0)
            assert (await vault.sync()).segments_sent == 0
            verified = await laptop.verify()
            assert verified.unreadable == ()
    first, second = (base / f"{name}.jsonl" for name in ("phone", "laptop"))
    assert first.read_bytes() == second.read_bytes()
    lines = [json.loads(line) for line in first.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["type"] == "record"]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path / "relay") as process:
        yield process


async def test_telegram(data_dir: Path, tmp_path: Path, relay: RelayProcess) -> None:
    source = data_dir / "telegram" / "result.json"
    records = await restored(tmp_path, relay, source)
    expected: Counter[tuple[str, str | None, str, str]] = Counter()
    for chat in json.loads(source.read_text(encoding="utf-8"))["chats"]["list"]:
        for entry in chat["messages"]:
            parts = entry["text"] if isinstance(entry["text"], list) else [entry["text"]]
            text = "".join(part if isinstance(part, str) else part["text"] for part in parts)
            moment = datetime.fromtimestamp(int(entry["date_unixtime"]), UTC)
            author = entry.get("from", entry.get("actor"))
            expected[chat["name"], author, moment.isoformat().replace("+00:00", "Z"), text] += 1
    assert count(records) == expected
    # What a record cannot hold as its own is kept beside it.
    joins = [record for record in records if record["kind"] == "service"]
    assert len(joins) == 12_545
    assert all("Group" in json.dumps(record) for record in joins)
    assert sum("reply_to" in record for record in records) == 51_936


async def test_wechat(data_dir: Path, tmp_path: Path, relay: RelayProcess) -> None:
    source = data_dir / "wechat"
    records = await restored(tmp_path, relay, source)
    expected: Counter[tuple[int, str]] = Counter()
    for file in source.glob("*/*.csv"):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                expected[int(row["CreateTime"]), row["StrContent"]] += 1
    assert Counter((int(moment(record).timestamp()), record["text"]) for record in records) == expected


async def test_whatsapp(data_dir: Path, tmp_path: Path, relay: RelayProcess) -> None:
    source = data_dir / "whatsapp"
    records = await restored(tmp_path, relay, source)
    words: Counter[str] = Counter()
    for file in source.glob("*.txt"):
        for line in file.read_text(encoding="utf-8").splitlines():
            words[line.translate({0x200E: None, 0x200F: None}).split(": ", 1)[-1].strip()] += 1
    texts = Counter(line.strip() for record in records for line in record["text"].splitlines())
    missing = [
        text for text in texts if text and words[text] < texts[text] and not any(text in known for known in words)
    ]
    assert missing == []
    assert len(records) > 4_000


def moment(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["time"].replace("Z", "+00:00"))


def count(records: list[dict[str, Any]]) -> Counter[tuple[str, str | None, str, str]]:
    return Counter(
        (
            record["conversation"],
            record.get("author"),
            moment(record).astimezone(UTC).isoformat().replace("+00:00", "Z"),
            record.get("text") or "",
        )
        for record in records
    )
