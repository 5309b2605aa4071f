"""Messages as lines of text, and the words that were searched for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.cli import _messages, _output
from sealkeep_client.cli._messages import Hits, describe, shown_author
from sealkeep_client.vault import Record
from sealkeep_protocol.records import (
    Attachment,
    Content,
    ConversationKey,
    Direction,
    Kind,
    Mark,
    MarkType,
    Message,
    MessageView,
    Reaction,
)

PLAIN = Message(ConversationKey("wechat", "", "wxid_a"), 0, Kind.TEXT, source=1, text="hello")

PHOTO = Attachment("photo", path="photos/a.jpg", size=1_200_000)
VOICE = Attachment("voice", duration=72_400)
FILE = Attachment("file", path="C:\\x\\c.doc")
THUMBNAIL = Attachment("thumbnail", "t.jpg")


def lines(**fields: object) -> list[str]:
    return describe(MessageView(replace(PLAIN, **fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "hello"),
        ({"text": None}, "(empty)"),
        ({"edited": 5}, "hello (edited)"),
        ({"kind": Kind.IMAGE, "text": None}, "[photo]"),
        ({"kind": Kind.IMAGE, "attachments": (PHOTO,)}, "[photo a.jpg 1.2 MB] hello"),
        ({"kind": Kind.VOICE, "text": None, "attachments": (VOICE,)}, "[voice message 1:12]"),
        ({"kind": Kind.FILE, "attachments": (FILE, THUMBNAIL)}, "[file c.doc] hello"),
        ({"attachments": (FILE,)}, "[file c.doc] hello"),
        ({"kind": Kind.MONEY, "text": None, "details": {"amount": "￥8.88"}}, "[money ￥8.88]"),
        ({"kind": Kind.LINK, "text": "hello", "details": {"title": "hello"}}, "[link] hello"),
        ({"kind": Kind.POLL, "text": None, "details": {"poll": {"question": "When?"}}}, "[poll When?]"),
        ({"kind": Kind.CALL, "text": None, "details": {"action": "phone_call"}}, "[call phone call]"),
        ({"kind": Kind.SERVICE, "text": None, "details": {"action": "invite_members"}}, "[invite members]"),
        ({"kind": Kind.SERVICE, "text": None}, "(empty)"),
        ({"kind": Kind.SERVICE, "text": "Ann joined"}, "Ann joined"),
        ({"kind": Kind.UNKNOWN, "text": None}, "[unknown]"),
        ({"kind": 77, "text": None}, "[file]"),
    ],
)  # fmt: skip
def test_one_line(fields: dict[str, object], shown: str) -> None:
    assert lines(**fields) == [shown]


def test_what_stands_around_a_message() -> None:
    assert lines(forwarded={"from": "Bob"}) == ["forwarded from Bob:", "hello"]
    assert lines(forwarded={"from": 3}) == ["forwarded:", "hello"]
    assert lines(quote={"text": "are\nyou there?"}) == ["> are you there?", "hello"]
    view = MessageView(PLAIN, reactions=(Reaction("👍", "ann", 1, None), Reaction("❤", None, 3, None)))
    assert describe(view) == ["hello", "👍  ❤ 3"]
    assert describe(MessageView(PLAIN, history=(Content("helo"),))) == ["hello (edited)"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [(1, "(recalled by its author)"), (2, "(recalled by an admin)"), (3, "(deleted)"), (70, "(deleted)")],
)
def test_what_is_gone(reason: int, shown: str) -> None:
    tombstone = Mark(MarkType.TOMBSTONE, bytes(16), reason=reason)
    assert describe(MessageView(replace(PLAIN, text=None), tombstone=tombstone)) == [shown]


def test_authors() -> None:
    assert shown_author(Record(b"", MessageView(PLAIN), (0, 0, b""), "Ann")) == "Ann"
    assert shown_author(Record(b"", MessageView(PLAIN), (0, 0, b""))) == ""
    sent = MessageView(replace(PLAIN, direction=Direction.SENT))
    assert shown_author(Record(b"", sent, (0, 0, b""), "Me")) == "You"


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        (["hello"], "Hello, HELLO", ["Hello", "HELLO"]),
        (["cafe"], "Café cafe\u0301s", ["Café", "cafe\u0301"]),
        (["发货"], "已经发货了", ["发货"]),
        (["ABC"], "ａｂｃ", ["ａｂｃ"]),
        (["an", "and"], "Andy", ["And"]),
        (["strasse"], "Straße!", ["Straße"]),
        (["two words"], "words, two", ["words", "two"]),
        (["\u0301"], "abc", []),
        (["no"], "", []),
    ],
)  # fmt: skip
def test_hits(words: list[str], text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in Hits(words).spans(text)] == found


@given(
    st.lists(st.text("abA é发货", min_size=1, max_size=3), max_size=3),
    st.text("abAé发货 ", max_size=60),
    st.integers(1, 40),
)
def test_snippets_fit_and_mark_what_was_searched(words: list[str], text: str, columns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_messages, "highlight", lambda part: f"<{part}>")
        shown = Hits(words).snippet(text, columns)
    plain = shown.replace("<", "").replace(">", "")
    assert _output.width(plain) <= max(columns, 16)
    assert plain.strip("…") in text or plain.rstrip("…").lstrip("…") in text
    assert "…>" not in shown
    if columns > 16 and Hits(words).spans(text):
        assert "<" in shown
