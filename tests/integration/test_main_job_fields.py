"""Exports with every key and type of their formats: what a second device restores and exports is the source's own entry.

Expected is what the writer of each export reckons (`support.exports`); nothing here asks an importer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client import Passphrase, RecoveryKit, Vault
from sealkeep_client.store import Strength
from sealkeep_protocol.records import ContactKey, Kind
from support.exported import Exported, Shown, read_export
from support.exports import Expected, without_floats
from support.exports_telegram import OWN, write_telegram
from support.exports_wechat import rebuild_wechat, write_wechat
from support.exports_whatsapp import write_whatsapp
from support.rebuild_telegram import rebuild_telegram
from support.relay import RelayProcess

QUICK = Strength(1, 8 << 20)  # of the passphrase, which is not what is tested here


@pytest.fixture
async def restored(tmp_path: Path) -> AsyncIterator[Any]:
    """Imports, syncs, recovers on a second device, and reads that one's export back."""
    unlock = Passphrase("both", strength=QUICK)
    with RelayProcess(tmp_path / "relay") as relay:

        async def restore(*sources: Path) -> Exported:
            kits: list[RecoveryKit] = []
            async with await Vault.create(
                tmp_path / "phone", relay=relay.url, unlock=unlock, name="phone", on_kit=kits.append
            ) as phone:
                for source in sources:
                    await phone.import_exports([source])
                await phone.sync()
                await phone.export(tmp_path / "phone.jsonl", format="jsonl")
            async with await Vault.recover(tmp_path / "laptop", kit=kits[0], unlock=unlock, name="laptop") as laptop:
                assert (await laptop.sync()).unreadable == ()
                await laptop.export(tmp_path / "laptop.jsonl", format="jsonl")
                assert (await laptop.verify()).unreadable == ()
            assert (tmp_path / "phone.jsonl").read_bytes() == (tmp_path / "laptop.jsonl").read_bytes()
            return read_export(tmp_path / "laptop.jsonl")

        yield restore


def check_basics(found: Exported, shown: Shown, expected: Expected) -> None:
    """What is expected of every entry, whatever its source."""
    message, line = shown.message, shown.line
    assert found.title(message) == line["conversation"] == expected.chat
    assert (message.time, message.offset) == (expected.milliseconds, expected.offset)
    assert (message.text or None, message.kind) == (expected.text, expected.kind)


@pytest.mark.parametrize("full", [True, False])
async def test_telegram(restored: Any, tmp_path: Path, full: bool) -> None:
    written = write_telegram(tmp_path / "source", full=full)
    found = await restored(written.path)
    by_place = {(shown.line["conversation"], shown.message.source): shown for shown in found.records}
    assert len(by_place) == len(found.records) == len(written.entries)
    for expected in written.entries:
        shown = by_place[expected.chat, expected.entry["id"]]
        check_basics(found, shown, expected)
        if expected.author is not None:
            assert shown.line["author"] == expected.author
        rebuilt = rebuild_telegram(shown.message, shown.marks, written.names)
        assert unordered(rebuilt) == unordered(without_floats(expected.entry))
    assert {shown.message.kind for shown in found.records} >= {
        *(Kind.TEXT, Kind.IMAGE, Kind.VIDEO, Kind.ROUND_VIDEO, Kind.ANIMATION, Kind.VOICE, Kind.AUDIO, Kind.FILE),
        *(Kind.STICKER, Kind.LOCATION, Kind.CONTACT_CARD, Kind.LINK, Kind.POLL, Kind.CALL, Kind.MONEY),
        *(Kind.VIEW_ONCE, Kind.SERVICE),
    }
    if full:
        me = found.contacts[ContactKey("telegram", str(OWN), f"user{OWN}")]
        assert me.extension is not None
        assert me.extension["personal_information"]["bio"] == "b"
        assert me.extension["sessions"]["list"] == [{"last_ip": "127.0.0.1"}]
        types = Counter((conversation.extension or {}).get("type") for conversation in found.conversations.values())
        assert len(types) == len(found.conversations) == 9  # one chat of every type
    else:
        [conversation] = found.conversations.values()
        assert (conversation.key.source, conversation.title) == ("channel:1000000", "Plans")


def unordered(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with its reactions in an order of their own: they are a set of marks, not a list."""
    if "reactions" not in entry:
        return entry
    reactions = [
        {**one, "recent": sorted(one.get("recent", ()), key=lambda by: by["date"])} for one in entry["reactions"]
    ]
    return {**entry, "reactions": sorted(reactions, key=lambda one: sorted(map(str, one.values())))}


@pytest.mark.parametrize("people", [True, False])
async def test_wechat(restored: Any, tmp_path: Path, people: bool) -> None:
    written = write_wechat(tmp_path / "source", people=people)
    found = await restored(tmp_path / "source")
    assert len(found.records) == len(written.entries)
    by_place = {shown.message.extension["localId"]: shown for shown in found.records if shown.message.extension}
    for expected in written.entries:
        row = dict(expected.entry)
        shown = by_place[row["localId"]] if row["localId"] in by_place else by_place[int(row["localId"])]
        check_basics(found, shown, expected)
        assert row.pop("TalkerId") == "7"
        if not people and (row["IsSender"], row["Type"] == "10000") == ("0", False):
            row["Sender"] = "wxid_ann"  # whom the folder's name gives
        assert rebuild_wechat(shown.message, found.remarks("wechat"), found.names("wechat")) == row
        if people:
            names = {row["Remark"], row["NickName"]}
            assert shown.line["author"] in names
    assert {shown.message.kind for shown in found.records} >= {Kind.MERGED_FORWARD, Kind.MONEY, Kind.RECALL, Kind.POKE}


async def test_whatsapp(restored: Any, tmp_path: Path) -> None:
    written = write_whatsapp(tmp_path / "source")
    found = await restored(tmp_path / "source")
    assert len(found.records) == sum(len(part.entries) for part in written)
    for part in written:
        shown = [one for one in found.records if one.line["conversation"] == part.entries[0].chat]
        assert len(shown) == len(part.entries)
        for one, expected in zip(shown, part.entries, strict=True):  # the file's order is the view's
            check_basics(found, one, expected)
            assert one.line["author"] == expected.author
            named = [attachment.name or attachment.path for attachment in one.message.attachments or ()]
            if one.message.kind in (Kind.IMAGE, Kind.VIDEO, Kind.VOICE, Kind.STICKER, Kind.ANIMATION, Kind.FILE):
                assert named
                assert named[0] in str(expected.entry)
            if "edited" in str(expected.entry):
                assert one.message.extension == {"edited": "<This message was edited>"}


async def test_all_at_once(restored: Any, tmp_path: Path) -> None:
    """One folder with everything, as a person who has it all on one disk gives it."""
    entries = write_telegram(tmp_path / "all" / "telegram").entries
    entries += write_wechat(tmp_path / "all" / "wechat").entries
    for part in write_whatsapp(tmp_path / "all" / "whatsapp"):
        entries += part.entries
    found = await restored(tmp_path / "all")
    assert Counter((one.line["conversation"], one.message.time, one.message.text or None) for one in found.records) == (
        Counter((expected.chat, expected.milliseconds, expected.text) for expected in entries)
    )
