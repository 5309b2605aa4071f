"""Telegram's result.json: every key comes back; streaming, odd orders, damage (spec §7.3 to §7.6)."""

from __future__ import annotations

import json
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.importers import Batch, open_exports
from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import (
    ConversationKey,
    ConversationType,
    MarkType,
    RecordIds,
    encode_body,
    mark_to_fields,
    message_to_fields,
)
from support.exports import without_floats
from support.exports_telegram import plain, telegram_entries, write_telegram
from support.rebuild_telegram import rebuild_telegram


def _chat(folder: Path, *entries: Any, **keys: Any) -> Path:
    path = folder / "export.dat"
    chat = {"name": "Chat", "type": "private_supergroup", "id": 5, "messages": list(entries), **keys}
    path.write_text(json.dumps(chat), encoding="utf-8")
    return path


def _entry(number: int, text: str = "x", **keys: Any) -> dict[str, Any]:
    stamp = {"date": "2023-07-01T12:00:00", "date_unixtime": "1688205600"}
    return {"id": number, "type": "message", **stamp, "from": "A", "from_id": "user1", **plain(text), **keys}


def _titles(batch: Batch) -> dict[ConversationKey, str]:
    return {conversation.key: conversation.title for conversation in batch.conversations}


@pytest.mark.parametrize("full", [True, False])
def test_every_key_comes_back(tmp_path: Path, read: Any, full: bool) -> None:
    written = write_telegram(tmp_path, full=full)
    batch = read(written.path)
    assert batch.problems == [] or ["1 saved contacts" in str(problem) for problem in batch.problems] == [True]
    titles = _titles(batch)
    names = {contact.key.source: contact.name for contact in batch.contacts}
    marks = defaultdict(list)
    for mark in batch.marks:
        marks[mark.conversation, mark.target].append(mark.mark)
    assert len(batch.messages) == len(written.entries)
    for message, expected in zip(batch.messages, sorted(written.entries, key=_in_file_order), strict=True):
        assert titles[message.conversation] == expected.chat
        assert (names.get(message.author or "") or message.author_name) == expected.author
        assert (message.time, message.text, message.kind) == (expected.milliseconds, expected.text, expected.kind)
        assert message.offset == expected.offset
        rebuilt = rebuild_telegram(message, marks[message.conversation, message.source], written.names)
        assert rebuilt == without_floats(expected.entry)
        message_to_fields(message)
    assert encode_body(batch.contacts, batch.conversations, batch.messages)


def _in_file_order(expected: Any) -> bool:
    return bool(expected.chat == "Secret news")  # the one left chat stands behind all others


def test_reactions_are_marks(tmp_path: Path, read: Any) -> None:
    written = write_telegram(tmp_path, full=False)
    batch = read(written.path)
    assert {mark.mark.type for mark in batch.marks} == {MarkType.REACTION}
    found = [(mark.mark.key, mark.mark.actor, mark.mark.count) for mark in batch.marks]
    assert found == [
        ("👍", "user42", 1),
        ("👍", "user13", 1),
        ("🔥", "user900", 1),
        ("🔥", None, 5),
        ("🎉", None, 3),
        ("stickers/dog.tgs", "user42", 1),
        ("stickers/dog.tgs", None, 1),
        ("paid", None, 50),
    ]
    ids = RecordIds(bytes(32))
    first = batch.marks[0].resolve(ids.source)
    assert first.target == ids.source(batch.marks[0].conversation, batch.marks[0].target)
    mark_to_fields(first)


def test_reactions_that_are_none_stay_raw(tmp_path: Path, read: Any) -> None:
    odd: list[Any] = [
        "no",
        [1],
        [{"type": "emoji", "count": -1, "emoji": "x"}],
        [{"type": "emoji", "count": 1, "emoji": "x", "recent": 5}],
        [{"type": "emoji", "count": 1, "emoji": "x", "recent": [5]}],
        [{"type": "emoji", "count": 1, "emoji": "x", "recent": [{"date": "x"}]}],
    ]
    batch = read(_chat(tmp_path, *(_entry(number, reactions=value) for number, value in enumerate(odd))))
    assert batch.marks == []
    assert [message.extension["reactions"] for message in batch.messages] == odd


def test_full_export_scopes_and_people(tmp_path: Path, read: Any) -> None:
    batch = read(write_telegram(tmp_path).path)
    keys = {conversation.title: conversation for conversation in batch.conversations}
    assert keys["Ann 安"].key == ("telegram", "777", "user:2001")
    assert keys["Old group"].key == ("telegram", "777", "chat:2005")
    assert keys["Plans"].key == ("telegram", "", "channel:1000000")
    types = {title: conversation.type for title, conversation in keys.items()}
    assert types["Saved Messages"] == ConversationType.NOTES
    assert types["Daily News"] == ConversationType.CHANNEL
    assert keys["Secret news"].extension == {"type": "private_channel", "left": True}
    people = {contact.key: contact for contact in batch.contacts}
    me = people["telegram", "777", "user777"]
    assert (me.name, me.alias) == ("Me Myself", "@me")
    assert me.extension is not None
    assert me.extension.keys() == {"personal_information", "profile_pictures", "frequent_contacts", "sessions"}
    ann = people["telegram", "777", "user42"]
    assert ann.extension is not None
    assert ann.extension["phone_number"] == "+2"
    directions = {message.author: message.direction for message in batch.messages}
    assert directions == {"user777": 2, "user42": 1, "user13": 1}
    assert "about" in batch.left_out


def test_without_an_account_a_personal_chat_tells_its_sides(tmp_path: Path, read: Any) -> None:
    path = _chat(tmp_path, _entry(1, from_id="user5"), _entry(2, from_id="user6"), type="personal_chat")
    batch = read(path)
    assert [message.direction for message in batch.messages] == [1, 2]
    assert batch.conversations[0].key == ("telegram", "", "user:5")


def test_order_of_keys_does_not_matter(tmp_path: Path, read: Any) -> None:
    written = write_telegram(tmp_path)
    before = read(written.path)
    document = json.loads(written.path.read_text(encoding="utf-8"))
    turned = json.dumps(_reversed(document), ensure_ascii=True)
    written.path.write_text(turned, encoding="utf-8")
    after = read(written.path)
    assert _by_id(after) == _by_id(before)
    assert {(c.key, c.title, c.rank) for c in after.conversations} == {
        (c.key, c.title, c.rank) for c in before.conversations
    }


def _by_id(batch: Batch) -> dict[Any, Any]:
    return {(m.conversation, m.source): (m.time, m.author, m.text, m.kind, m.reply_to) for m in batch.messages}


def _reversed(value: Any) -> Any:
    return (
        {key: _reversed(value[key]) for key in reversed(value)}
        if isinstance(value, dict)
        else ([_reversed(part) for part in value] if isinstance(value, list) else value)
    )


def test_times_and_authors_at_the_edges(tmp_path: Path, read: Any) -> None:
    entries: list[dict[str, Any]] = [
        _entry(1),
        _entry(2, date_unixtime=None),  # before 2020
        _entry(3, date="2023-07-01T12:00:30"),  # no whole minutes
        _entry(4, date="1"),
        {"id": 5, "type": "unsupported"},
        _entry(6, **{"from": None, "from_id": "user1"}),
        _entry(7, **{"from": "B"}),
        _entry(8, from_id=4294967296 + 9),  # as before 2021
        _entry(9, from_id=None),
        _entry(-999_999_990),
        _entry(-5_000_000_000),
    ]
    batch = read(_chat(tmp_path, *entries))
    by_id = {message.source: message for message in batch.messages}
    assert (by_id[1].time, by_id[1].offset) == (1688205600000, 120)
    assert (by_id[2].time, by_id[2].offset) == (1688212800000, None)
    assert (by_id[3].offset, by_id[3].extension) == (0, {"date": "2023-07-01T12:00:30"})
    assert by_id[4].extension == {"date": "1"}
    assert (by_id[5].time, by_id[5].kind, by_id[5].extension) == (1688205600000, 0, {"type": "unsupported"})
    assert by_id[6].extension == {"from": None}
    assert by_id[7].author_name == "B"
    assert (by_id[8].author, by_id[8].extension) == ("chat9", {"from_id": 4294967305})
    assert (by_id[9].author, by_id[9].author_name) == (None, "A")
    assert [by_id[-999_999_990].rank, by_id[-5_000_000_000].rank] == [10, 0]


def test_bad_entries_are_counted(tmp_path: Path, read: Any) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    path = _chat(
        tmp_path, _entry(1), 5, {"type": "message"}, _entry(2), _entry(3, later=deep), {"id": "x"}, _entry(1 << 64)
    )
    batch = read(path)
    assert [message.source for message in batch.messages] == [1, 2, 3]
    assert [problem.line for problem in batch.problems] == [1] * 4
    assert all(str(path) in str(problem) for problem in batch.problems)
    message_to_fields(batch.messages[2])


def test_values_that_no_record_holds(tmp_path: Path, read: Any) -> None:
    path = _chat(tmp_path, _entry(1, later={"big": 1 << 70, "nan": float("nan"), "half": 0.1}))
    path.write_text(path.read_text().replace('"x"', '"x\\ud800"'), encoding="utf-8")
    batch = read(path)
    assert batch.messages[0].extension == {"later": {"big": str(1 << 70), "nan": "NaN", "half": "0.1"}}
    assert batch.messages[0].text == "x\ufffd"
    assert [problem.reason for problem in batch.problems] == ["half a character: replaced"]
    message_to_fields(batch.messages[0])


def test_a_message_that_is_too_long_is_cut(tmp_path: Path, read: Any) -> None:
    batch = read(
        _chat(
            tmp_path,
            _entry(1, "安" * 40_000),
            _entry(2, later="y" * 70_000),
            _entry(3, "z" * 40_000, later="y" * 40_000),
        )
    )
    assert len(batch.problems) == 3
    assert 20_000 < len(batch.messages[0].text) < 22_000
    assert [message.extension for message in batch.messages] == [None, None, None]
    for message in batch.messages:
        message_to_fields(message)


def test_control_characters_as_old_versions_write_them(tmp_path: Path, read: Any) -> None:
    path = _chat(tmp_path, _entry(1))
    path.write_text(path.read_text().replace('"x"', r'"a\x0Bb\\x41\\\x1F"'), encoding="utf-8")
    assert read(path).messages[0].text == "a\x0bb\\x41\\\x1f"


def test_truncation_is_one_line_wherever_it_happens(tmp_path: Path) -> None:
    written = write_telegram(tmp_path)
    whole = written.path.read_bytes()
    for cut in range(1, len(whole) - 1, max(1, len(whole) // 150)):
        written.path.write_bytes(whole[:cut])
        with pytest.raises(SourceError) as caught:
            [list(export.batches()) for export in open_exports([written.path])]
        assert "\n" not in str(caught.value)
        assert str(written.path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"messages": [}', "not valid JSON"),
        (b'{"messages": [5,}', "not valid JSON"),
        (b'{"name": "x", "type": "personal_chat", "id": 1, "messages": [{"id" 1}]}', "not valid JSON"),
        (b'{"name": "x", "type": "personal_chat", "id": 1, "messages": [{}]} x}', "something follows"),
        (b'{"name": "x", "type": "personal_chat", "id": 1, "messages": ["\xff"]}', "not UTF-8"),
        (
            b'{"name": "x", "type": "personal_chat", "id": 1, "messages": [' + b"[" * 100_000 + b"]}",
            "nested too deeply",
        ),
        (b'{"messages": [{"role": "user"}]}', "not a Telegram export"),
        (b'{"name": "x", "type": "personal_chat", "id": 1, "messages": [{"role": "user"}]}', "no entry"),
        (b'{"contacts": {"list": []}}', "no chats"),
        (b'{"chats": {"list": {}}}', "no chats"),
        (b'{"chats": 5}', "no chats"),
    ],
)
def test_what_is_no_export(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=what):
        [list(export.batches()) for export in open_exports([path])]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    entry = json.dumps(_entry(1, "a text of some length " * 5))
    path.write_text('{"name":"x","type":"private_group","id":1,"messages":[' + ",".join([entry] * 20_000) + "]}")
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    (export,) = open_exports([path])
    count = sum(len(batch.messages) for batch in export.batches(500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 4_000_000


def test_import_is_the_same_again(tmp_path: Path, read: Any) -> None:
    path = write_telegram(tmp_path).path
    assert read(path) == read(path, size=10_000)


def test_generated_entries_cover_the_service_and_message_kinds() -> None:
    kinds = {expected.kind for expected in telegram_entries("x")[1]}
    assert len(kinds) > 14


def test_odd_chats_are_told(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "result.json"
    chats: list[Any] = [
        7,
        {"name": "no messages", "type": "private_group", "id": 1},
        {"name": "no number", "type": "private_group", "messages": [_entry(1)]},
        {"name": None, "type": "personal_chat", "id": 3, "messages": [_entry(1)]},
        {"name": 5, "type": "a_later_type", "id": 4, "colour": "red", "messages": [_entry(2)]},
    ]
    document = {"personal_information": 1, "contacts": 2, "frequent_contacts": {}, "chats": {"list": chats}}
    path.write_text(json.dumps(document))
    batch = read(path)
    assert [problem.reason for problem in batch.problems] == [
        "a chat that is no object: left out",
        "a chat without messages: left out",
        "a chat without a number: left out",
    ]
    assert [(chat.key.source, chat.title, chat.extension) for chat in batch.conversations] == [
        ("user:3", "", {"name": None, "type": "personal_chat"}),
        ("unknown:4", "", {"name": 5, "type": "a_later_type", "colour": "red"}),
    ]
    assert batch.left_out == ["personal_information", "contacts", "frequent_contacts"]


def test_an_account_behind_the_chats(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "result.json"
    chat = {"messages": [_entry(1)], "id": 3, "type": "personal_chat", "name": "A"}
    path.write_text(
        json.dumps({"chats": {"list": [chat, 5]}, "personal_information": {"user_id": 9, "first_name": "Me"}})
    )
    batch = read(path)
    assert batch.messages[0].conversation == ("telegram", "9", "user:3")
    assert {contact.key.source: contact.name for contact in batch.contacts} == {"user1": "A", "user9": "Me"}


def test_a_part_that_is_too_large_to_keep_is_told(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "result.json"
    document = {
        "personal_information": {"user_id": 9},
        "other_data": ["x" * 60_000],
        "chats": {"list": [{"name": "A", "type": "private_group", "id": 1, "messages": [_entry(1)]}]},
    }
    path.write_text(json.dumps(document))
    batch = read(path)
    assert batch.left_out == ["other_data"]


def test_edits_without_a_moment_and_odd_files(tmp_path: Path, read: Any) -> None:
    batch = read(
        _chat(
            tmp_path,
            _entry(1, edited="2023-07-01T13:00:00"),
            _entry(2, edited="x", edited_unixtime="y"),
            _entry(3, photo=5, file=None, width="wide", file_size=-1),
            _entry(4, file="a.mp4", file_name=3, file_size=-1, media_type=["x"], width=-5),
        )
    )
    first, second, third, fourth = batch.messages
    assert (first.edited, first.extension) == (1688209200000, {"edited": "2023-07-01T13:00:00"})
    assert (second.edited, second.extension) == (None, {"edited": "x", "edited_unixtime": "y"})
    assert third.extension == {"photo": 5, "file": None, "width": "wide", "file_size": -1}
    assert fourth.extension == {"file_name": 3, "file_size": -1, "media_type": ["x"], "width": -5}


def test_names_that_change_inside_an_export(tmp_path: Path, read: Any) -> None:
    recent = [{"from": "Other", "from_id": "user1", "date": "2023-07-01T13:00:00"}, {"from": None, "from_id": "user1"}]
    entry = _entry(1, reactions=[{"type": "emoji", "emoji": "x", "count": 2, "recent": recent}])
    batch = read(_chat(tmp_path, entry))
    assert [mark.mark.extension for mark in batch.marks] == [{"from": "Other"}, {"from": None}]
