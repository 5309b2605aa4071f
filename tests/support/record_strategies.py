"""Hypothesis strategies for records (spec §7), and hand-made ones that have every field."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from sealkeep_protocol.files import MAX_NAMED, MAX_SIZE, content_root, piece_count
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    ContentRecord,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    NativeIdentity,
    Preview,
    Range,
)

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
TIME_MIN, TIME_MAX = -62_135_510_400_000, 253_402_214_399_999

CHAT = ConversationKey("telegram", "", "channel:1000000")
ROOT = bytes(range(32))

FULL = Message(
    conversation=CHAT,
    time=1_700_000_000_000,
    kind=2,
    source=42,
    precision=0,
    offset=-480,
    received=1_700_000_000_123,
    rank=42,
    author="user1",
    author_name="Ann 安",
    direction=2,
    text="早安, see https://example.org",
    ranges=(Range(21, 8, 19), Range(6, 0, 2, "python")),
    edited=1_700_000_001_000,
    reply_to=41,
    quote={"text": "早", "nested": [{"a": None, "b": True}, -1]},
    thread="topic",
    forwarded={"from": "Bob"},
    expires=1_800_000_000_000,
    pinned=True,
    attachments=(
        Attachment("photo", "a.jpg", "image/jpeg", 1, 2, 3, 4, "photos/a.jpg", 0, ROOT),
        Attachment("thumbnail"),
    ),
    details={"poll": {"question": "?"}},
    extension={"via_bot": "@x"},
)

short = st.text(max_size=8)
numbers = st.integers(0, INT_MAX)
times = st.integers(TIME_MIN, TIME_MAX)
record_ids = st.binary(min_size=16, max_size=16)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | short,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(short, values, max_size=3)
scalars = st.integers(INT_MIN, INT_MAX) | short
sources: st.SearchStrategy[Any] = scalars | st.recursive(
    st.lists(scalars | st.binary(max_size=8), max_size=3).map(tuple),
    lambda inner: st.lists(inner | scalars, max_size=3).map(tuple),
    max_leaves=3,
)
ranges = st.lists(st.builds(Range, numbers, numbers, numbers, st.none() | short), max_size=3).map(tuple)
# Of few roles, names, sizes and contents: so that what stands for the same file meets.
_few_names = st.none() | st.sampled_from(["a.jpg", "b.jpg"]) | short
_few_sizes = st.none() | st.integers(0, 2) | numbers


def _attachments(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Attachment]:
    return st.builds(
        Attachment,
        role=st.sampled_from(["photo", "file"]) | short,
        name=_few_names,
        media_type=st.none() | short,
        size=_few_sizes,
        width=st.none() | st.integers(0, 2),
        height=st.none() | numbers,
        duration=st.none() | numbers,
        path=st.none() | short,
        **fields,
    )


hashes = st.binary(min_size=32, max_size=32)
attachments = st.lists(
    _attachments(state=st.integers(1, 2))
    | _attachments(state=st.just(0), root=st.sampled_from([ROOT, bytes(32)]) | hashes),
    max_size=3,
).map(tuple)
conversation_keys = st.just(CHAT) | st.builds(ConversationKey, short, short, short)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_message_fields: dict[str, st.SearchStrategy[Any]] = {
    "conversation": conversation_keys,
    "time": times,
    "kind": st.integers(0, 20) | st.integers(64, INT_MAX),
    "precision": st.integers(0, 3),
    "offset": _maybe(st.integers(-1439, 1439)),
    "received": _maybe(times),
    "rank": numbers,
    "author": _maybe(short),
    "author_name": _maybe(short),
    "direction": _maybe(st.integers(1, 2)),
    "text": _maybe(st.text()),
    "ranges": _maybe(ranges),
    "edited": _maybe(times),
    "reply_to": _maybe(sources | record_ids),
    "quote": _maybe(maps),
    "thread": _maybe(sources),
    "forwarded": _maybe(maps),
    "expires": _maybe(times),
    "pinned": _maybe(st.booleans()),
    "attachments": _maybe(attachments),
    "details": _maybe(maps),
    "extension": _maybe(maps),
}
natives = st.builds(NativeIdentity, numbers, numbers, record_ids, numbers)
sourced_messages = st.builds(Message, source=sources, **_message_fields)
messages = sourced_messages | st.builds(Message, native=natives, **_message_fields)

contacts = st.builds(
    Contact,
    key=st.builds(ContactKey, short, short, short),
    name=_maybe(short),
    remark=_maybe(short),
    alias=_maybe(short),
    avatar=_maybe(short),
    rank=st.integers(INT_MIN, INT_MAX),
    extension=_maybe(maps),
)
conversations = st.builds(
    Conversation,
    key=conversation_keys,
    title=short,
    type=numbers,
    rank=st.integers(INT_MIN, INT_MAX),
    extension=_maybe(maps),
)


def marks_for(targets: st.SearchStrategy[bytes]) -> st.SearchStrategy[Mark]:
    """Marks of all types, ignorable ones too, that point at `targets`."""
    clocks = _maybe(numbers)
    build: Callable[..., st.SearchStrategy[Mark]] = st.builds
    return st.one_of(
        build(
            Mark,
            st.just(int(MarkType.REVISION)),
            targets,
            clock=clocks,
            edited=_maybe(times),
            text=short,
            ranges=_maybe(ranges),
        ),
        build(Mark, st.just(int(MarkType.SUPPLEMENT)), targets, clock=clocks, attachments=attachments),
        build(
            Mark,
            st.just(int(MarkType.REACTION)),
            targets,
            clock=clocks,
            actor=_maybe(st.sampled_from("ab")),
            key=st.sampled_from("👍👎"),
            count=st.integers(0, 2),
            time=_maybe(times),
        ),
        build(Mark, st.just(int(MarkType.READ)), targets, clock=clocks, actor=_maybe(st.sampled_from("ab"))),
        build(
            Mark,
            st.just(int(MarkType.TOMBSTONE)),
            targets,
            clock=clocks,
            reason=st.integers(1, 3),
            extension=_maybe(maps),
        ),
        build(Mark, st.integers(64, INT_MAX), targets, clock=clocks, extension=_maybe(maps)),
    )


marks = marks_for(record_ids)


def _content_record(size: int, epoch: int, seed: bytes) -> ContentRecord:
    """A record that a reader accepts, with made-up chunks and hashes."""
    pieces = piece_count(size)
    named = pieces if pieces <= MAX_NAMED else 1
    made = [hashlib.sha256(seed + bytes([index])).digest() for index in range(2 * named)]
    chunks, parts = tuple(made[:named]), tuple(made[named:])
    if pieces > MAX_NAMED:
        return ContentRecord(hashlib.sha256(seed).digest(), size, epoch, chunks, parts, pieces)
    return ContentRecord(content_root(size, parts), size, epoch, chunks, parts)


contents = st.builds(
    _content_record,
    st.integers(0, 600) | st.integers(0, 20 << 20) | st.integers(0, MAX_SIZE),
    st.integers(1, (1 << 32) - 1),
    st.binary(max_size=4),
)
previews = st.builds(
    Preview,
    hashes,
    st.sampled_from(["image/jpeg", "image/png", "image/webp"]),
    st.binary(min_size=1, max_size=64),
    st.integers(1, 512),
    st.integers(1, 512),
)
