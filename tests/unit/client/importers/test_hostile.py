"""What somebody may have written into a chat or file never stops an import, nor takes the square of its length."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import Batch
from sealkeep_client.importers._wechat_content import read_content
from sealkeep_client.importers._whatsapp_phrases import read_body
from sealkeep_protocol.records import (
    contact_to_fields,
    conversation_to_fields,
    encoded_size,
    mark_to_fields,
    message_to_fields,
)
from support.exports_telegram import plain
from support.exports_wechat import WECHAT_COLUMNS

HUGE = "x" * 70_000


def entry(number: int, **keys: Any) -> dict[str, Any]:
    who = {"from": "A", "from_id": "user1"}
    return {"id": number, "type": "message", "date_unixtime": "1688205600", **who, **plain("x"), **keys}


def telegram(folder: Path, *entries: dict[str, Any], **keys: Any) -> Path:
    chat = {"name": "Chat", "type": "private_group", "id": 5, **keys, "messages": list(entries)}
    document = {"personal_information": {"user_id": 9}, "chats": {"list": [chat]}}
    (folder / "result.json").write_text(json.dumps(document))
    return folder / "result.json"


def fits(batch: Batch) -> bool:
    """Whether every record is one that a reader takes; raises otherwise."""
    for message in batch.messages:
        message_to_fields(message)
    for contact in batch.contacts:
        contact_to_fields(contact)
    for conversation in batch.conversations:
        conversation_to_fields(conversation)
    for mark in batch.marks:
        mark_to_fields(mark.resolve(lambda conversation, target: bytes(16)))
    return True


@pytest.mark.parametrize(
    ("broken", "messages", "problems"),
    [
        ({"from": HUGE}, 2, 1),
        ({"from_id": HUGE}, 1, 2),  # neither the message nor its author's contact
        ({"reactions": [{"type": "emoji", "emoji": HUGE, "count": 1}]}, 2, 1),
        (
            {
                "reactions": [
                    {
                        "type": "emoji",
                        "emoji": "!",
                        "count": 1,
                        "recent": [{"from": "B", "from_id": "user2", "date": "2023-07-01T12:00:00", "z": HUGE}],
                    }
                ]
            },
            2,
            1,
        ),
        ({"text_entities": ["a", {"type": "plain", "text": "b"}]}, 2, 0),
        ({"text": "ab", "text_entities": ["a", {"type": "bold", "text": "b"}]}, 2, 0),
        ({f"key{number}": "v" * 90 for number in range(20_000)}, 2, 1),
        ({HUGE: 1}, 2, 1),
    ],
    ids=["name", "author", "reaction", "actor", "texts", "texts and styles", "keys", "key"],
)
def test_an_entry_with_something_huge_or_odd_costs_itself_at_most(
    tmp_path: Path, read: Any, broken: dict[str, Any], messages: int, problems: int
) -> None:
    batch = read(telegram(tmp_path, entry(1), entry(2, **broken)))
    assert len(batch.messages) == messages
    assert len(batch.problems) == problems
    assert all(len(problem.reason) < 1_000 for problem in batch.problems)
    assert fits(batch)


def test_what_is_no_exact_text_stays_raw(tmp_path: Path, read: Any) -> None:
    parts = ["a", {"type": "plain", "text": "b"}]
    batch = read(telegram(tmp_path, entry(1, text="ab", text_entities=parts)))
    assert (batch.messages[0].text, batch.messages[0].extension) == ("ab", {"text_entities": parts, "text": "ab"})


def test_heads_and_contacts_that_are_huge_are_cut_and_told(tmp_path: Path, read: Any) -> None:
    path = telegram(tmp_path, entry(1), **{f"about{number}": "y" * 11_000 for number in range(9)})
    document = json.loads(path.read_text())
    saved = [{"user_id": 1, "first_name": "A", "username": HUGE}, {"user_id": 2, "first_name": HUGE, "note": HUGE}]
    path.write_text(json.dumps({"contacts": {"list": saved}, **document}))
    batch = read(path)
    assert [contact.key.source for contact in batch.contacts] == ["user1", "user2", "user9"]
    assert [conversation.title for conversation in batch.conversations] == ["Chat"]
    assert len(batch.conversations[0].extension) == 6  # five of nine, and the type
    assert len(batch.problems) == 3
    assert fits(batch)


def test_keys_of_a_chat_behind_its_messages_are_told(tmp_path: Path, read: Any) -> None:
    path = telegram(tmp_path, entry(1))
    document = json.loads(path.read_text())
    document["chats"]["list"][0]["later"] = 1
    path.write_text(json.dumps(document))
    assert read(path).left_out == ["chats.list.later"]


def test_columns_that_are_huge(tmp_path: Path, read: Any) -> None:
    rows = []
    for number, column in enumerate(["StrContent", "Remark", "NickName", "Sender", "Status", "more"]):
        row = dict(
            zip(WECHAT_COLUMNS, [number, 1, 1, 0, 0, 1_600_000_000 + number, 2, "x", "", "", "", "wxid_a"], strict=True)
        )
        rows.append([*{**row, "more": "", column: "z" * 100_000}.values()])
    folder = tmp_path / "nick(wxid_a)"
    folder.mkdir()
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*WECHAT_COLUMNS, "more"], *rows])
    batch = read(folder)
    assert len(batch.messages) == 5  # no record names so long a sender
    assert all(encoded_size(message) <= 65_536 for message in batch.messages)
    assert len(batch.contacts) == len(batch.conversations) == 1
    assert fits(batch)


@pytest.mark.parametrize(
    "body",
    [
        "\u200e" * 60_000,
        "\u200e" * 60_000 + "<",
        "\u200e" * 60_000 + "(",
        "\u200ea" * 30_000 + "<x>",
        "<" + " " * 60_000 + ">",
        "<This message was edited>" * 2_500 + "x",
        "a.b (" * 12_000,
    ],
    ids=["marks", "marks and <", "marks and (", "marks between", "spaces", "edits", "names"],
)
def test_a_body_takes_its_length_to_read(body: str) -> None:
    """The square of it would be minutes, for each such message that anybody sends."""
    assert read_body(body).attachment is None


def test_a_recall_takes_its_length_to_find() -> None:
    assert read_content(10000, 0, "撤回了成员" * 13_000).text == "撤回了成员" * 13_000
