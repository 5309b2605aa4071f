"""Field types (spec §7.2 … §7.6): every wrong type, range and shape is refused, in bodies, in rows, and when writing."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import cbor2
import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    Conversation,
    Kind,
    Mark,
    Message,
    NativeIdentity,
    Range,
    contact_from_fields,
    contact_to_fields,
    conversation_from_fields,
    conversation_to_fields,
    decode_body,
    encode_body,
    mark_from_fields,
    mark_to_fields,
    message_from_fields,
    message_to_fields,
    messages_from_fields,
    messages_to_fields,
)
from support.record_strategies import CHAT, FULL, INT_MAX, INT_MIN, TIME_MAX, TIME_MIN

ROW: dict[int, Any] = {1: ["a", "b", "c"], 2: 1, 4: 0, 5: 1, 8: 0, 9: 1}
SALT = bytes(16)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


WRONG: list[tuple[int, Any]] = [
    *((number, value) for number in (10, 11, 13) for value in (1, b"a", True, ["a"], {"a": 1})),
    *((number, value) for number in (4, 7, 15, 20) for value in (TIME_MIN - 1, TIME_MAX + 1, "0", True, [0])),
    *((1, value) for value in ("abc", ["a", "b"], ["a", "b", 1], ["a", "b", "c", "d"], {"a": 1})),
    *((2, value) for value in (INT_MAX + 1, INT_MIN - 1, b"x" * 16, True, [True], [None], {"a": 1}, [{}], nested(11))),
    *((2, [value]) for value in (INT_MAX + 1, INT_MIN - 1)),
    *((18, value) for value in (b"x" * 16, False)),
    *((16, value) for value in (b"x" * 15, b"", True, [None], {"a": 1})),
    *((5, value) for value in (-1, 4, "0", False)),
    *((6, value) for value in (-1440, 1440)),
    *((8, value) for value in (-1, INT_MAX + 1)),
    *((9, value) for value in (-1, "1", True)),
    *((12, value) for value in (0, 3)),
    *((21, value) for value in (0, 1, "true")),
    *((14, value) for value in ("a", [1], [[1, 2]], [[1, 2, 3, 4]], [[1, 2, 3, "a", "b"]], [[True, 2, 3]], {"a": 1})),
    *((14, [value]) for value in ([-1, 0, 0], [0, -1, 0], [0, 0, INT_MAX + 1], [0, 0, 0, None])),
    *((number, value) for number in (17, 19, 23, 24) for value in ("a", [], {1: 2}, {"a": b"x"}, {"a": {1: 2}})),
    *((24, {"a": value}) for value in (INT_MAX + 1, INT_MIN - 1, nested(10))),
    *((22, value) for value in ("a", {"a": 1}, [1], [{}], [{1: "a"}], [{9: 1}], [{1: 1, 9: 1}], [{1: "a", 9: 3}])),
    *((22, [{1: "a", 9: 1, 4: value}]) for value in (-1, "1", True, None)),
    *((22, [{1: "a", 9: 0, 16: value}]) for value in (b"", bytes(31), bytes(33), "x" * 32, None, 1)),
    *((22, [value]) for value in ({1: "a", 9: 0}, *({1: "a", 9: state, 16: bytes(32)} for state in (1, 2)))),
]


@pytest.mark.parametrize(("number", "value"), WRONG)
def test_wrong_values_are_refused(number: int, value: Any) -> None:
    """REC-02"""
    with pytest.raises(MalformedError) as caught:
        message_from_fields({**ROW, number: value})
    assert caught.value.code == "malformed"
    columns = {key: [3, one] for key, one in {**ROW, number: value}.items()}
    with pytest.raises(MalformedError):
        decode_body(cbor2.dumps({3: [1, columns]}), limit=1 << 20)


@pytest.mark.parametrize(
    "native",
    [
        1,
        [1, 2, SALT],
        [-1, 2, SALT, 3],
        [1, -1, SALT, 3],
        [1, 2, SALT, -1],
        [1, 2, SALT, INT_MAX + 1],
        [1, 2, b"", 3],
        [True, 2, SALT, 3],
        [1, 2, "x", 3],
    ],
)
def test_wrong_native_identities(native: Any) -> None:
    """REC-02"""
    row = {key: value for key, value in ROW.items() if key != 2}
    assert message_from_fields({**row, 3: [1, 2, SALT, 3]}).native == NativeIdentity(1, 2, SALT, 3)
    with pytest.raises(MalformedError):
        message_from_fields({**row, 3: native})


@pytest.mark.parametrize("value", [b"", b"x" * 15, b"x" * 17, "x" * 16, 1])
def test_a_target_is_sixteen_bytes(value: Any) -> None:
    """REC-02"""
    with pytest.raises(MalformedError):
        mark_from_fields({1: 4, 2: value})


@pytest.mark.parametrize(("number", "value"), [(3, -1), (10, -1), (12, 0), (12, 4), (1, -1)])
def test_wrong_numbers_of_marks(number: int, value: int) -> None:
    """REC-02"""
    with pytest.raises(MalformedError):
        mark_from_fields({1: 4, 2: SALT, number: value})


def test_extremes_round_trip() -> None:
    least = Message(
        CHAT,
        TIME_MIN,
        0,
        source=INT_MIN,
        offset=-1439,
        rank=0,
        text="",
        ranges=(),
        attachments=(),
        quote={},
        details={"a": nested(9)},
    )
    most = Message(CHAT, TIME_MAX, INT_MAX, source=INT_MAX, offset=1439, rank=INT_MAX, reply_to=nested_tuple(10))
    for message in (least, most, FULL):
        assert message_from_fields(message_to_fields(message)) == message
    assert decode_body(encode_body(messages=[least, most]), limit=1 << 20).messages == [least, most]


def nested_tuple(levels: int) -> Any:
    return (nested_tuple(levels - 1),) if levels else 1


@pytest.mark.parametrize(
    "message",
    [
        replace(FULL, time=TIME_MAX + 1),
        replace(FULL, precision=True),
        replace(FULL, precision="1"),  # type: ignore[arg-type]
        replace(FULL, source=None),
        replace(FULL, native=NativeIdentity(1, 2, SALT, 3)),
        replace(FULL, text=b"bytes"),  # type: ignore[arg-type]
        replace(FULL, text="\ud800"),
        replace(FULL, kind=63),
        replace(FULL, rank=None),  # type: ignore[arg-type]
        replace(FULL, extension={"a": b"bytes"}),
        replace(FULL, extension={"a": 1.5}),  # type: ignore[dict-item]
        replace(FULL, extension={1: "a"}),  # type: ignore[dict-item]
        replace(FULL, extension={"a": nested(10_000)}),
        replace(FULL, thread=b"x" * 16),  # type: ignore[arg-type]
        replace(FULL, text="x" * 65_536),
    ],
)
def test_writing_refuses_what_a_reader_would(message: Message) -> None:
    """REC-02, REC-04"""
    with pytest.raises(ValueError):  # noqa: PT011 - a lone surrogate raises its own kind of it
        message_to_fields(message)
    with pytest.raises(ValueError):  # noqa: PT011
        encode_body(messages=[message])


def test_mappings_and_tuples_in_maps_are_written_as_maps_and_arrays() -> None:
    extension = MappingProxyType({"a": (1, MappingProxyType({"b": None}))})
    assert message_to_fields(replace(FULL, extension=extension))[24] == {"a": [1, {"b": None}]}


def test_fields_of_a_message() -> None:
    fields = message_to_fields(
        Message(CHAT, 5, Kind.POLL, source=(1, "a", b"h", 0), attachments=(Attachment("photo"),))
    )
    assert fields == {
        1: ["telegram", "", "channel:1000000"],
        2: [1, "a", b"h", 0],
        4: 5,
        5: 1,
        8: 0,
        9: 14,
        22: [{1: "photo", 9: 1}],
    }
    assert cbor.decode(cbor.encode(fields), limit=1000) == fields


def test_many_rows_at_once() -> None:
    messages = [replace(FULL, source=index, text=None if index % 2 else "x") for index in range(5)]
    rows = messages_to_fields(messages)
    assert rows == [message_to_fields(message) for message in messages]
    assert messages_from_fields(rows) == messages
    assert messages_to_fields([]) == []
    assert messages_from_fields([]) == []


def test_a_long_row_among_others() -> None:
    """REC-04"""
    rows = messages_to_fields([FULL, replace(FULL, text="x" * 60_000)])
    assert messages_from_fields(rows)[1].text == "x" * 60_000
    rows[0][13] = "y" * 65_536
    with pytest.raises(MalformedError) as caught:
        messages_from_fields(rows)
    assert caught.value.code == "too-large"


def test_unknown_numbers_of_rows() -> None:
    """REC-03"""
    assert message_from_fields({**ROW, 64: [b"later"]}) == message_from_fields(ROW)
    with pytest.raises(MalformedError) as caught:
        message_from_fields({**ROW, 25: 1})
    assert caught.value.code == "unsupported"
    for number in (-1, "a", True, 64):
        with pytest.raises(MalformedError) as caught:
            message_from_fields({**ROW, number: 1.5})  # type: ignore[dict-item]
        assert caught.value.code == "malformed"


def test_other_records_as_fields() -> None:
    contact = Contact(ContactKey("a", "b", "c"), "n", "r", "l", "v", -5, {"x": 1})
    assert contact_to_fields(contact) == {1: "a", 2: "b", 3: "c", 4: "n", 5: "r", 6: "l", 7: "v", 8: -5, 9: {"x": 1}}
    assert contact_from_fields(contact_to_fields(contact)) == contact
    conversation = Conversation(CHAT, "t", 9, 3)
    assert conversation_to_fields(conversation) == {1: "telegram", 2: "", 3: "channel:1000000", 4: "t", 5: 9, 8: 3}
    assert conversation_from_fields(conversation_to_fields(conversation)) == conversation
    mark = Mark(1, SALT, 1, "a", 2, "t", (Range(1, 2, 3),), (Attachment("r"),), "k", 4, 5, 3, {"x": None})
    assert list(mark_to_fields(mark)) == list(range(1, 14))
    assert mark_from_fields(mark_to_fields(mark)) == mark
    with pytest.raises(ValueError, match="cannot be encoded"):
        mark_to_fields(Mark(5, SALT))
