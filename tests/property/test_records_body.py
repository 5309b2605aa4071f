"""Bodies of arbitrary records and of arbitrary bytes (spec §7.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import cbor2
from hypothesis import example, given
from hypothesis import strategies as st

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.records import (
    Body,
    Contact,
    ContentRecord,
    Conversation,
    Mark,
    Message,
    Preview,
    RecordIds,
    Unknown,
    contact_from_fields,
    contact_to_fields,
    content_from_fields,
    content_to_fields,
    conversation_from_fields,
    conversation_to_fields,
    decode_body,
    encode_body,
    encoded_size,
    mark_from_fields,
    mark_to_fields,
    message_from_fields,
    message_to_fields,
    messages_from_fields,
    messages_to_fields,
    preview_from_fields,
    preview_to_fields,
)
from support import record_strategies as some

LIMIT = 1 << 22


def read(data: bytes) -> Body | None:
    """The body, or None where it is refused; any other error is a bug."""
    try:
        return decode_body(data, limit=LIMIT)
    except MalformedError:
        return None


def write(body: Body) -> bytes:
    return encode_body(
        body.contacts,
        body.conversations,
        body.messages,
        body.marks,
        body.unknown,
        contents=body.contents,
        previews=body.previews,
    )


@given(
    st.lists(some.contacts, max_size=5),
    st.lists(some.conversations, max_size=5),
    st.lists(some.messages, max_size=12),
    st.lists(some.marks, max_size=8),
)
def test_round_trip(
    contacts: list[Contact], conversations: list[Conversation], messages: list[Message], marks: list[Mark]
) -> None:
    data = encode_body(contacts, conversations, messages, marks)
    body = decode_body(data, limit=LIMIT)
    assert body == Body(contacts, conversations, messages, marks)
    assert encode_body(body.contacts, body.conversations, body.messages, body.marks) == data


@given(st.lists(some.contents, max_size=6), st.lists(some.previews, max_size=6), st.lists(some.messages, max_size=2))
def test_round_trip_of_contents_and_previews(
    contents: list[ContentRecord], previews: list[Preview], messages: list[Message]
) -> None:
    data = encode_body(messages=messages, contents=contents, previews=previews)
    body = decode_body(data, limit=LIMIT)
    assert body == Body(messages=messages, contents=contents, previews=previews)
    assert encode_body(messages=body.messages, contents=body.contents, previews=body.previews) == data
    for record in contents:
        assert content_from_fields(cbor.decode(cbor.encode(content_to_fields(record)), limit=LIMIT)) == record
    for preview in previews:
        assert preview_from_fields(cbor.decode(cbor.encode(preview_to_fields(preview)), limit=LIMIT)) == preview


@given(st.lists(some.messages, min_size=1, max_size=5), st.data())
def test_round_trip_with_what_is_not_known(messages: list[Message], data: st.DataObject) -> None:
    """REC-03"""
    values: Any = some.values | st.binary(max_size=4)
    numbers = st.integers(64, (1 << 63) - 1)
    columns = st.lists(values, min_size=len(messages), max_size=len(messages))
    fields = data.draw(st.dictionaries(numbers, columns, max_size=3))
    unknown = Unknown(data.draw(st.dictionaries(numbers, values, max_size=3)), {3: fields} if fields else {})
    body = decode_body(encode_body(messages=messages, unknown=unknown), limit=LIMIT)
    assert body == Body(messages=messages, unknown=unknown)


@given(some.messages)
def test_one_message_as_fields(message: Message) -> None:
    """REC-04"""
    fields = message_to_fields(message)
    assert message_from_fields(cbor2.loads(cbor.encode(fields))) == message
    assert encoded_size(message) == len(cbor2.dumps([1, {number: [3, value] for number, value in fields.items()}]))


@given(st.lists(some.messages, max_size=6))
def test_many_messages_as_fields(messages: list[Message]) -> None:
    rows = messages_to_fields(messages)
    assert rows == list(map(message_to_fields, messages))
    assert messages_from_fields(rows) == messages


@given(some.contacts, some.conversations, some.marks)
def test_other_records_as_fields(contact: Contact, conversation: Conversation, mark: Mark) -> None:
    assert contact_from_fields(contact_to_fields(contact)) == contact
    assert conversation_from_fields(conversation_to_fields(conversation)) == conversation
    assert mark_from_fields(mark_to_fields(mark)) == mark


@given(some.sources, some.conversation_keys)
def test_ids_of_sources(source: Any, chat: Any) -> None:
    """REC-05"""
    ids = RecordIds(bytes(32))
    assert ids.source(chat, source) == ids._hash(0x01, [*chat, source])


@given(st.binary(max_size=200))
def test_hostile_bytes(data: bytes) -> None:
    """REC-01, REC-02"""
    read(data)


@given(
    st.lists(some.messages, max_size=4),
    st.lists(some.marks, max_size=2),
    st.lists(some.contents, max_size=2),
    st.lists(some.previews, max_size=2),
    st.data(),
)
def test_mutated_bodies(
    messages: list[Message],
    marks: list[Mark],
    contents: list[ContentRecord],
    previews: list[Preview],
    data: st.DataObject,
) -> None:
    """REC-01, REC-02, FIL-06: what is read in spite of a change can be written again, and means the same."""
    mutated = bytearray(encode_body(messages=messages, marks=marks, contents=contents, previews=previews))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutated)))
        change = data.draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if change == "insert":
            mutated[position:position] = data.draw(st.binary(min_size=1, max_size=4))
        elif change == "end":
            del mutated[position:]
        elif change == "cut":
            del mutated[position : position + data.draw(st.integers(1, 4))]
        else:
            mutated[position : position + 1] = data.draw(st.binary(min_size=1, max_size=1))
    body = read(bytes(mutated))
    if body is not None:
        assert decode_body(write(body), limit=LIMIT) == body


# Shapes that are nearly right reach deeper than random bytes.
_leaf: Any = (
    some.values
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.binary(max_size=16)
    | st.floats()
    | st.builds(cbor2.CBORTag, st.integers(0, 300), st.integers(-9, 9) | some.short | st.binary(max_size=8))
)
_keys: Any = st.integers(-1, 70) | some.short | st.booleans()
_part: Any = _leaf | some.sources | some.ranges.map(lambda found: list(map(list, found)))
_list: Any = st.lists(_part, max_size=3)
_column: Any = st.one_of(
    st.tuples(st.just(3), _part),
    st.tuples(st.just(0), _list),
    st.tuples(st.sampled_from([1, 2]), st.lists(st.integers(-1, 3), max_size=3) | _list, _list),
    st.tuples(st.just(2), _list, st.lists(st.integers(-1, 3), max_size=3)),
    st.tuples(st.just(4), st.lists(st.integers(-(1 << 63), 1 << 63), max_size=3)),
    _leaf,
)
_RIGHT: dict[int, Any] = {1: [3, ["a", "b", "c"]], 2: [3, 1], 4: [3, 0], 5: [3, 1], 8: [3, 0], 9: [3, 1]}
_columns: Any = st.dictionaries(_keys, _column, max_size=3).map(lambda found: {**_RIGHT, **found}) | _leaf
_table: Any = st.tuples(st.integers(0, 3) | _leaf, _columns) | _leaf
_body: Any = st.dictionaries(st.integers(0, 7) | _keys, _table, max_size=3) | st.tuples(_columns).map(
    lambda found: {3: [2, found[0]]}
)


@given(_body)
@example({3: [1, {**_RIGHT, 64: [3, cbor2.CBORTag(35, "(")]}]})
def test_nearly_right_bodies(item: Any) -> None:
    """REC-01, REC-02, REC-03: refused, or written again as it was."""
    try:
        data = cbor2.dumps(item)
    except (cbor2.CBOREncodeError, ValueError):
        return
    body = read(data)
    if body is not None:
        assert decode_body(write(body), limit=LIMIT) == body


@given(st.dictionaries(_keys, _part, max_size=3), st.booleans())
def test_nearly_right_rows(changes: dict[Any, Any], whole: bool) -> None:
    """REC-02, REC-03"""
    right = {number: column[1] for number, column in _RIGHT.items()} if whole else {}
    readers: list[Callable[[Any], object]] = [
        message_from_fields,
        mark_from_fields,
        contact_from_fields,
        conversation_from_fields,
        content_from_fields,
        preview_from_fields,
    ]
    for reader in readers:
        with contextlib.suppress(MalformedError):
            reader({**right, **changes})
