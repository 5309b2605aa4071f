"""`chats`, `show`, `search` and `export`: what is on this device, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import CHAT, CHATS, MESSAGES, Sealkeep
from support.relay import RelayProcess


def test_chats(phone: Path, tmp_path: Path, relay: RelayProcess, sealkeep: Sealkeep) -> None:
    lines = sealkeep(phone, "chats", "--json").objects
    [status] = sealkeep(phone, "status", "--json").objects
    assert len(lines) == status[CHATS]
    assert sum(line["messages"] for line in lines) == status[MESSAGES]
    table = sealkeep(phone, "chats").out.splitlines()
    assert table[0].split() == ["Chat", "App", "Messages", "Newest", "Id"]
    [row] = [row for row in table if row.startswith(f"{CHAT} ")]
    [line] = [line for line in lines if line["title"] == CHAT]
    assert row.split() == [CHAT, "Telegram", str(line["messages"]), line["last"], line["id"][:8]]
    sealkeep(tmp_path / "new", "init", "--relay", relay.url, "--kit", tmp_path / "kit.txt")
    assert sealkeep(tmp_path / "new", "chats").out.startswith("No chats yet: ")


def test_a_chat_is_named_in_many_ways(phone: Path, sealkeep: Sealkeep) -> None:
    [line] = [line for line in sealkeep(phone, "chats", "--json").objects if line["title"] == CHAT]
    expected = sealkeep(phone, "show", CHAT, "--limit", "3", "--json").out
    assert len(expected.splitlines()) == 3
    name = f"{line['app']}:{line['source']}"
    for wanted in (line["id"], line["id"][:6], name, "plans", "lan"):
        assert sealkeep(phone, "show", wanted, "--limit", "3", "--json").out == expected
    said = sealkeep(phone, "show", "a")
    assert (said.status, said.out) == (1, "")
    assert "chats match `a`: " in said.err
    assert said.err.endswith("give an id\n")
    said = sealkeep(phone, "show", "nobody at all")
    assert said.status == 1
    assert "no chat is called `nobody at all`; `sealkeep chats` lists them" in said.err


def test_show(phone: Path, tmp_path: Path, sealkeep: Sealkeep) -> None:
    sealkeep(phone, "export", tmp_path / "all.jsonl", "--format", "jsonl")
    exported = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    expected = [line for line in exported if line["type"] == "record" and line["conversation"] == CHAT]
    shown = sealkeep(phone, "show", CHAT, "--limit", "100000", "--json").objects
    assert [line["id"] for line in shown] == [line["id"] for line in expected]
    for one, other in zip(shown, expected, strict=True):
        # An export also names the targets of replies, and those who reacted, from all that it holds.
        for key in one.keys() - {"reply_to", "reactions"}:
            assert one[key] == other[key]
        assert one.keys() == other.keys()
    last = sealkeep(phone, "show", CHAT, "--limit", "7", "--json").objects
    assert last == shown[-7:]

    moment = shown[len(shown) // 2]["time"]
    older = sealkeep(phone, "show", CHAT, "--limit", "100000", "--before", moment, "--json").objects
    assert older == [line for line in shown if line["time"] < moment]
    assert sealkeep(phone, "show", CHAT, "--before", moment[:19], "--json").objects == older[-50:]
    assert sealkeep(phone, "show", CHAT, "--before", "1990-01-01", "--json").out == ""

    text = sealkeep(phone, "show", CHAT, "--limit", "100000").out
    assert text.startswith(f"{CHAT}  {len(shown)} messages\n")
    assert "12:00  Ann 安  https:" in text
    assert "12:00  You     hello" in text
    assert sealkeep(phone, "show", CHAT, "--limit", "2").out.startswith(f"{CHAT}  2 of {len(shown)} messages\n")


def test_search(phone: Path, sealkeep: Sealkeep) -> None:
    hits = sealkeep(phone, "search", "拍了", "--json").objects
    assert hits
    assert all("拍了" in hit["text"] for hit in hits)
    assert all(hit["type"] == "record" for hit in hits)
    text = sealkeep(phone, "search", "拍了").out
    assert len(text.splitlines()) == len(hits)
    assert "拍了" in text
    assert len(sealkeep(phone, "search", "in", "--limit", "2", "--json").objects) == 2
    assert sealkeep(phone, "search", "nowhere-to-be-found") == (0, "", "")


def test_export_to_standard_output_and_as_a_page(phone: Path, tmp_path: Path, sealkeep: Sealkeep) -> None:
    out = tmp_path / "all.jsonl"
    [said] = sealkeep(phone, "export", out, "--format", "jsonl", "--json").objects
    assert (said["type"], said["path"], said["format"]) == ("export", str(out), "jsonl")
    assert said["records"] == sum(line.startswith(b'{"type":"record"') for line in out.read_bytes().splitlines())
    assert sealkeep(phone, "export", "-", "--format", "jsonl").out.encode() == out.read_bytes()
    text = sealkeep(phone, "export", tmp_path / "all.html", "--format", "html").out
    assert text.startswith(f"Wrote {said['records']:,} messages to ")
    assert "<html" in (tmp_path / "all.html").read_text()
    said_ = sealkeep(phone, "export", tmp_path / "no" / "such" / "folder.html", "--format", "html")
    assert said_.status in (1, 2)
    assert said_.err.count("\n") == 1


def test_a_wrong_passphrase(phone: Path, sealkeep: Sealkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "battery staple")
    said = sealkeep(phone, "status")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("sealkeep: wrong passphrase")
    assert said.err.count("\n") == 1
