"""Ids of records (spec §7.1, §7.3, §7.6), held against a computation of the spec's formulas by hand."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.files import content_root
from sealkeep_protocol.records import (
    Attachment,
    ContactKey,
    ContentRecord,
    ConversationKey,
    Mark,
    Message,
    NativeIdentity,
    Preview,
    Range,
    RecordIds,
    mark_identity,
    mark_to_fields,
)
from sealkeep_protocol.records import _ids as module
from support.record_strategies import CHAT

KEY = bytes(range(32))
IDS = RecordIds(KEY)
TARGET = b"t" * 16


def h(separator: int, item: Any) -> bytes:
    return hashlib.sha256(KEY + bytes([separator]) + cbor.encode(item)).digest()[:16]


def sha(item: Any) -> bytes:
    return hashlib.sha256(cbor.encode(item)).digest()


@pytest.mark.parametrize(
    "source",
    [
        *(0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, -1, -42, -(1 << 63)),
        *("", "ü", (), (1_700_000_000, "wxid", 49, 57, bytes(32), 0), ((1,), ("x", b"y"))),
    ],
)
def test_messages_with_a_source(source: Any) -> None:
    """REC-05"""
    expected = h(0x01, ["telegram", "", "channel:1000000", source])
    assert IDS.message(Message(CHAT, 0, 1, source=source)) == expected
    assert IDS.source(CHAT, source) == expected


def test_native_messages() -> None:
    """REC-05"""
    native = NativeIdentity(1, 2 << 40, bytes(16), 7)
    assert IDS.message(Message(CHAT, 0, 1, native=native)) == h(0x00, [1, 2 << 40, bytes(16), 7]) == IDS.native(native)


def test_contacts_and_conversations() -> None:
    """REC-05"""
    assert IDS.contact(ContactKey("a", "b", "c")) == h(0x03, ["a", "b", "c"])
    assert IDS.conversation(ConversationKey("a", "b", "c")) == h(0x02, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("mark", "separator", "item"),
    [
        (Mark(1, TARGET, edited=5, text="a", ranges=(Range(1, 0, 1),)), 4, [TARGET, 1, sha([5, "a", [[1, 0, 1]]])]),
        (Mark(1, TARGET, text="a", clock=9), 4, [TARGET, 1, sha([0, "a", None])]),
        (Mark(2, TARGET, attachments=(Attachment("photo"),)), 4, [TARGET, 2, sha([{1: "photo", 9: 1}])]),
        (Mark(3, TARGET, key="👍", count=2), 5, [TARGET, "👍", None]),
        (Mark(3, TARGET, key="👍", count=0, actor="x"), 5, [TARGET, "👍", "x"]),
        (Mark(4, TARGET, time=1), 6, [TARGET, None]),
        (Mark(5, TARGET, reason=2, actor="x"), 7, [TARGET, 2]),
        (Mark(64, TARGET, text="x"), 8, [TARGET, 64, sha(mark_to_fields(Mark(64, TARGET, text="x")))]),
    ],
)
def test_marks(mark: Mark, separator: int, item: list[Any]) -> None:
    """REC-05"""
    assert IDS.mark(mark) == h(separator, item)
    assert mark_identity(mark)[0] == mark.type


def test_content_records_and_previews() -> None:
    """REC-05"""
    record = ContentRecord(content_root(5, [bytes(32)]), 5, 3, (bytes([1]) * 32,), (bytes(32),))
    row = {1: record.root, 2: 5, 3: 3, 4: [bytes([1]) * 32], 5: [bytes(32)]}
    assert IDS.content(record) == h(0x09, [record.root, sha(row)])
    preview = Preview(record.root, "image/png", b"picture", 7, 8)
    row = {1: record.root, 2: "image/png", 3: b"picture", 4: 7, 5: 8}
    assert IDS.preview(preview) == h(0x0A, [record.root, sha(row)])


def test_many_at_once() -> None:
    messages = [Message(CHAT, 0, 1, source=source) for source in (3, "x", -1)]
    assert IDS.messages(messages) == [IDS.message(message) for message in messages]


def test_the_cache_of_conversations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED", 2)
    ids = RecordIds(KEY)
    chats = [ConversationKey("a", "", str(number)) for number in range(5)]
    for chat in chats + chats:
        assert ids.source(chat, 1) == h(0x01, [*chat, 1])
        assert len(ids._sources) <= 2


def test_misuse() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RecordIds(b"short")
    with pytest.raises(ValueError, match="neither"):
        IDS.message(Message(CHAT, 0, 1))


def test_the_key_is_not_shown() -> None:
    assert repr(IDS) == "RecordIds(…)"
