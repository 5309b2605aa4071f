"""JSON lines: every field, the same bytes whatever the order of arrival, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.exporting import write_lines
from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry, ViewEntry
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Kind,
    Mark,
    MarkType,
    Message,
    MessageView,
    NativeIdentity,
    Precision,
    Range,
    RangeType,
    Reaction,
    RecordIds,
    TombstoneReason,
)
from support import record_strategies as some

Entries = Callable[..., list[ViewEntry]]
Written = Callable[..., bytes]
CHAT = some.CHAT
ANN = Contact(ContactKey("telegram", "", "user1"), name="Ann 安", rank=5)


def lines_of(data: bytes) -> list[dict[str, Any]]:
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def test_a_small_export_byte_for_byte(entries_of: Entries, written: Written) -> None:
    entries = entries_of(
        ANN,
        Conversation(CHAT, "读书会 & friends", ConversationType.GROUP, 7, {"b": 1, "a": [True, None]}),
        Message(
            CHAT, 1_148_865_540_000, Kind.TEXT, source=1, precision=Precision.MINUTES, author="user1", text="你好\n"
        ),
        Message(CHAT, 1_148_865_600_000, Kind.SERVICE, source=("x", b"\x01\xff"), offset=480, rank=2),
    )
    assert written(write_lines, entries).decode() == (
        '{"type":"contact","app":"telegram","id":"5eb959850a8e87cbc53e44a3bc954721","name":"Ann 安","rank":5,"scope":"",'
        '"source":"user1"}\n'
        '{"type":"conversation","app":"telegram","chat_type":"group","extension":{"a":[true,null],"b":1},'
        '"id":"b57cecc52c679534149c1238010e176a","rank":7,'
        '"scope":"","source":"channel:1000000","title":"读书会 & friends"}\n'
        '{"type":"record","app":"telegram","author":"Ann 安","author_source":"user1","conversation":"读书会 & friends",'
        '"conversation_id":"b57cecc52c679534149c1238010e176a","conversation_source":"channel:1000000",'
        '"id":"b8bbc1acf294c921685d5561e076f704","kind":"text","rank":0,"source":1,'
        '"text":"你好\\n","time":"2006-05-29T01:19"}\n'
        '{"type":"record","app":"telegram","author":null,"conversation":"读书会 & friends",'
        '"conversation_id":"b57cecc52c679534149c1238010e176a",'
        '"conversation_source":"channel:1000000","id":"e5758bb37ffdd07418b0e648876c7e2a","kind":"service","rank":2,"source":["x","01ff"],'
        '"text":null,"time":"2006-05-29T09:20:00+08:00"}\n'
    )


def test_a_record_with_every_field(entries_of: Entries, written: Written, ids: RecordIds) -> None:
    target = ids.message(some.FULL)
    entries = entries_of(
        Contact(ContactKey("telegram", "", "user2"), name="Bob"),
        some.FULL,
        Mark(MarkType.REVISION, target, edited=1, text="早", ranges=(Range(99, 0, 1),)),
        Mark(MarkType.REACTION, target, actor="user2", key="👍", count=1, time=1_700_000_000_000),
        Mark(MarkType.REACTION, target, key="👍", count=4),
        Mark(MarkType.READ, target, actor="user2"),
    )
    _, chat, record = lines_of(written(write_lines, entries))
    assert chat["read"] == [{"actor": "user2", "id": target.hex()}]
    assert chat["title"] == CHAT.source
    assert chat["chat_type"] == "unknown"
    assert record == {
        "type": "record",
        "app": "telegram",
        "attachments": [
            {
                "role": "photo",
                "name": "a.jpg",
                "media_type": "image/jpeg",
                "size": 1,
                "width": 2,
                "height": 3,
                "duration": 4,
                "path": "photos/a.jpg",
                "state": "stored",
                "root": bytes(range(32)).hex(),
            },
            {"role": "thumbnail", "state": "named"},
        ],
        "author": "Ann 安",
        "author_name": "Ann 安",
        "author_source": "user1",
        "conversation": CHAT.source,
        "conversation_id": ids.conversation(CHAT).hex(),
        "conversation_source": CHAT.source,
        "details": {"poll": {"question": "?"}},
        "direction": "sent",
        "edited": "2023-11-14T22:13:21Z",
        "expires": "2027-01-15T08:00:00Z",
        "extension": {"via_bot": "@x"},
        "forwarded": {"from": "Bob"},
        "history": [
            {
                "text": "早",
                "ranges": [{"type": "other", "type_number": 99, "start": 0, "length": 1}],
                "edited": "1970-01-01T00:00:00.001Z",
            }
        ],
        "id": target.hex(),
        "kind": "image",
        "pinned": True,
        "quote": {"text": "早", "nested": [{"a": None, "b": True}, -1]},
        "rank": 42,
        "ranges": [
            {"type": "link", "start": 8, "length": 19},
            {"type": "preformatted", "start": 0, "length": 2, "value": "python"},
        ],
        "reactions": [
            {"key": "👍", "count": 4},
            {"key": "👍", "count": 1, "actor": "user2", "actor_name": "Bob", "time": "2023-11-14T22:13:20Z"},
        ],
        "received": "2023-11-14T22:13:20.123Z",
        "reply_to": {"source": 41, "id": ids.source(CHAT, 41).hex()},
        "source": 42,
        "text": "早安, see https://example.org",
        "thread": "topic",
        "time": "2023-11-14T14:13:20.000-08:00",
    }


@pytest.mark.parametrize("name", [field.name for field in fields(Message)])
def test_no_field_of_a_message_is_dropped(name: str, written: Written) -> None:
    changed: dict[str, Any] = {
        "conversation": ConversationKey("wechat", "s", "x"),
        "time": 0,
        "kind": 77,
        "source": None,
        "precision": Precision.DAYS,
        "rank": 1,
        "native": NativeIdentity(1, 2, bytes(16), 3),
    }
    message = some.FULL
    if name == "native":
        message = replace(message, source=None)

    def line(one: Message) -> bytes:
        return written(write_lines, [MessageEntry(bytes(16), MessageView(one), (0, 0, b""))])

    other = replace(message, **{name: changed.get(name)})
    assert line(message) != line(other)


@pytest.mark.parametrize("kind", [Contact, Conversation, Reaction])
def test_no_field_of_the_others_is_dropped(kind: type, entries_of: Entries, written: Written) -> None:
    contact = Contact(ContactKey("telegram", "", "u"), "n", "r", "a", "p", 3, {"k": 1})
    chat = Conversation(CHAT, "t", 2, 4, {"k": 2})
    for field in fields(kind):
        if kind is Contact and field.name != "key":
            default = 0 if field.name == "rank" else None
            assert written(write_lines, entries_of(contact)) != written(
                write_lines, entries_of(replace(contact, **{field.name: default}))
            )
        if kind is Conversation and field.name != "key":
            default = {"rank": 0, "type": 0, "title": "other"}.get(field.name)
            assert written(write_lines, entries_of(chat)) != written(
                write_lines, entries_of(replace(chat, **{field.name: default}))
            )
        if kind is Reaction:
            full = Reaction("k", "u", 2, 5, {"type": "paid"})
            other = replace(full, **{field.name: {"key": "j", "count": 1}.get(field.name)})
            assert written(write_lines, [_reacted(full)]) != written(write_lines, [_reacted(other)])


def _reacted(reaction: Reaction) -> MessageEntry:
    return MessageEntry(bytes(16), MessageView(some.FULL, reactions=(reaction,)), (0, 0, b""))


@given(some.messages)
def test_a_message_can_be_read_back(message: Message) -> None:
    entry = MessageEntry(bytes(16), MessageView(message), (0, 0, b""))
    file: list[bytes] = []
    write_lines([entry], _Lines(file))
    raw = b"".join(file).decode().removesuffix("\n")
    line = json.loads(raw)
    # One line, whatever the text holds; `type` first, the others in their order.
    assert "\n" not in raw
    assert list(line) == ["type", *sorted(key for key in line if key != "type")]
    assert _time(line) == (message.time, message.offset)
    assert _number(Kind, line["kind"], line.get("kind_number")) == message.kind
    assert line.get("author_source") == message.author
    assert line.get("author_name") == message.author_name
    assert line["author"] == (message.author_name if message.author_name is not None else message.author)
    assert line["text"] == message.text
    assert line["rank"] == message.rank
    assert line["source"] == _hexed(message.source)
    for name in ("thread", "details", "extension", "forwarded", "quote", "pinned"):
        assert line.get(name) == _hexed(getattr(message, name))
    for name in ("edited", "expires", "received"):
        assert _utc(line.get(name)) == (None if name == "edited" and message.edited == 0 else getattr(message, name))
    assert line.get("direction") == {None: None, 1: "received", 2: "sent"}[message.direction]
    reply = line.get("reply_to", {})
    assert reply.get("id" if isinstance(message.reply_to, bytes) else "source") == _hexed(message.reply_to)
    ranges = [
        Range(_number(RangeType, one["type"], one.get("type_number")), one["start"], one["length"], one.get("value"))
        for one in line.get("ranges", ())
    ]
    assert ranges == list(message.ranges or ())
    assert ("ranges" in line) == (message.ranges is not None)
    assert len(line.get("attachments", ())) == len(message.attachments or ())
    if message.native is not None:
        native = message.native
        assert list(line["native"].values()) == [native.clock, native.device, native.ordinal, native.salt.hex()]
    assert line.get("scope", "") == message.conversation.scope
    assert (line["app"], line["conversation_source"]) == (message.conversation.app, message.conversation.source)


class _Lines:
    def __init__(self, to: list[bytes]) -> None:
        self.write = to.append


def _hexed(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return list(map(_hexed, value)) if isinstance(value, tuple) else value


def _number(numbers: type[Any], name: str, number: int | None) -> int:
    return int(numbers[name.upper()]) if number is None else number


def _utc(text: str | None) -> int | None:
    if text is None:
        return None
    since = datetime.fromisoformat(text.removesuffix("Z")) - datetime(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _time(line: dict[str, Any]) -> tuple[int, int | None]:
    text, offset = line["time"], line.get("offset")
    if text.endswith("Z"):
        text, offset = text[:-1], 0
    elif "T" in text and text[-6] in "+-":
        sign = -1 if text[-6] == "-" else 1
        offset = sign * (int(text[-5:-3]) * 60 + int(text[-2:]))
        text = text[:-6]
    time = line.get("time_ms")
    if time is None:
        found = _utc(text)
        assert found is not None
        time = found - (offset or 0) * 60_000
    return time, offset


def test_a_covered_message_has_its_tombstone(entries_of: Entries, written: Written, ids: RecordIds) -> None:
    target = ids.message(some.FULL)
    mark = Mark(MarkType.TOMBSTONE, target, clock=9, actor="u", time=1000, reason=TombstoneReason.RECALLED_BY_ADMIN)
    record = lines_of(written(write_lines, entries_of(some.FULL, replace(mark, extension={"a": 1}))))[1]
    assert record["tombstone"] == {
        "actor": "u",
        "clock": 9,
        "extension": {"a": 1},
        "reason": "recalled_by_admin",
        "time": "1970-01-01T00:00:01Z",
    }
    assert record["text"] is None
    later = Mark(MarkType.TOMBSTONE, target, reason=9)
    assert lines_of(written(write_lines, entries_of(some.FULL, later)))[1]["tombstone"] == {"reason": 9}


def test_names_come_from_the_message_then_the_contact(entries_of: Entries, written: Written) -> None:
    def author(contact: Contact | None, **more: Any) -> str | None:
        message = Message(CHAT, 0, 1, source=1, **more)
        entries = entries_of(message, *([contact] if contact else []))
        name: str | None = lines_of(written(write_lines, entries))[-1]["author"]
        return name

    full = replace(ANN, remark="老安", alias="@ann")
    assert author(full, author="user1", author_name="A.") == "A."
    assert author(full, author="user1") == "老安"
    assert author(replace(full, remark=None), author="user1") == "Ann 安"
    assert author(Contact(ANN.key, alias="@ann"), author="user1") == "@ann"
    assert author(Contact(ANN.key), author="user1") == "user1"
    assert author(None, author="user1") == "user1"
    # A contact of another app or scope is somebody else.
    assert author(replace(full, key=ContactKey("wechat", "", "user1")), author="user1") == "user1"
    assert author(None) is None
    assert author(None, author_name="somebody") == "somebody"


def test_messages_of_a_chat_that_nothing_describes_appear(written: Written, ids: RecordIds) -> None:
    entry = MessageEntry(bytes(16), MessageView(replace(some.FULL, reply_to=b"\x01" * 16)), (0, 0, b""))
    with_ids, without = (lines_of(written(write_lines, [entry], ids=one))[0] for one in (ids, None))
    assert with_ids["conversation"] == CHAT.source
    assert with_ids["conversation_id"] == ids.conversation(CHAT).hex()
    assert with_ids["reply_to"] == {"id": "01" * 16}
    assert "conversation_id" not in without
    entry = MessageEntry(bytes(16), MessageView(some.FULL), (0, 0, b""))
    assert lines_of(written(write_lines, [entry], ids=None))[0]["reply_to"] == {"source": 41}


def test_a_type_of_chats_of_a_later_version_is_kept(entries_of: Entries, written: Written) -> None:
    (line,) = lines_of(written(write_lines, entries_of(Conversation(CHAT, "", 77))))
    assert (line["chat_type"], line["chat_type_number"], line["title"]) == ("unknown", 77, CHAT.source)


def test_values_of_other_types_than_json_has(entries_of: Entries, written: Written) -> None:
    odd: Any = MappingProxyType({"b": b"\x01", "r": MappingProxyType({"x": range(2)})})
    entry = MessageEntry(bytes(16), MessageView(replace(some.FULL, details=odd)), (0, 0, b""))
    assert lines_of(written(write_lines, [entry]))[0]["details"] == {"b": "01", "r": {"x": [0, 1]}}
    entry = MessageEntry(bytes(16), MessageView(replace(some.FULL, details={"x": 1j})), (0, 0, b""))  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="complex"):
        written(write_lines, [entry])


def test_half_a_surrogate_pair_is_an_escape(written: Written) -> None:
    entry = MessageEntry(bytes(16), MessageView(replace(some.FULL, text="a\ud83d")), (0, 0, b""))
    data = written(write_lines, [entry])
    assert rb'"text":"a\ud83d"' in data
    assert json.loads(data)["text"] == "a\ud83d"


def test_separators_of_lines_in_texts_stay_inside_their_line(written: Written) -> None:
    entry = MessageEntry(bytes(16), MessageView(replace(some.FULL, text="a\r\n\u2028\x85b")), (0, 0, b""))
    assert written(write_lines, [entry]).count(b"\n") == 1


def test_no_entries_no_lines(written: Written) -> None:
    assert written(write_lines, []) == b""


def many(count: int) -> Iterator[ViewEntry]:
    yield ContactEntry(bytes(16), ANN)
    for number in range(count):
        message = Message(CHAT, number * 1000, 1, source=number, author=f"user{number % 500}", text=f"message {number}")
        yield MessageEntry(number.to_bytes(16), MessageView(message), (number, 0, b""))


def test_memory_does_not_grow_with_the_number_of_records() -> None:
    class Nowhere:
        def write(self, data: bytes) -> None:
            assert len(data) < 1 << 20

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert write_lines(many(count), Nowhere()) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(5_000)
    assert peak(20_000) < few + (128 << 10)


def test_more_authors_than_are_remembered(written: Written) -> None:
    entries = [
        MessageEntry(
            bytes(16), MessageView(replace(some.FULL, author=f"u{number % 5000}", author_name=None)), (0, 0, b"")
        )
        for number in range(10_000)
    ]
    lines = lines_of(written(write_lines, entries))
    assert [line["author_source"] for line in lines] == [f"u{number % 5000}" for number in range(10_000)]


def test_earlier_texts_say_only_what_is_known(entries_of: Entries, written: Written, ids: RecordIds) -> None:
    plain = Mark(MarkType.REVISION, ids.message(some.FULL), text="first")
    assert lines_of(written(write_lines, entries_of(some.FULL, plain)))[1]["history"] == [{"text": "first"}]


def test_progress_is_told(written: Written) -> None:
    seen: list[int] = []
    written(write_lines, many(1500), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1500
    assert len(seen) > 2


@given(st.data())
def test_a_conversation_can_be_read_back(data: st.DataObject) -> None:
    record = data.draw(some.conversations)
    reads = data.draw(st.dictionaries(st.none() | some.short, some.record_ids, max_size=2))
    file: list[bytes] = []
    write_lines([ConversationView(bytes(16), record.key, record, 0, None, reads)], _Lines(file))
    line = json.loads(b"".join(file))
    assert line["title"] == (record.title or record.key.source)
    assert (line["rank"], line.get("extension")) == (record.rank, record.extension)
    assert _number(ConversationType, line["chat_type"], line.get("chat_type_number")) == record.type
    assert {one["actor"]: bytes.fromhex(one["id"]) for one in line.get("read", ())} == reads
