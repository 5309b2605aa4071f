"""Bodies in columns (spec §7.1): what is written is read again, and what is not as the spec says is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2
import pytest

from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.records import (
    MAX_RECORD,
    MAX_RECORDS,
    Body,
    Contact,
    ContactKey,
    Conversation,
    ConversationType,
    Kind,
    Mark,
    Message,
    NativeIdentity,
    Unknown,
    decode_body,
    encode_body,
    encoded_size,
    message_to_fields,
)
from support.record_strategies import CHAT, FULL

LIMIT = 1 << 22
CONTACT = Contact(ContactKey("telegram", "", "user1"), name="Ann", rank=5)
CONVERSATION = Conversation(CHAT, "Chat", ConversationType.GROUP, 7, {"k": "v"})
MARK = Mark(4, bytes(16), actor="user1")
# The least that a message of a table of one has, as columns.
LEAST: dict[int, Any] = {1: [3, ["a", "b", "c"]], 2: [3, 1], 4: [3, 0], 5: [3, 1], 8: [3, 0], 9: [3, 1]}


def decode(data: bytes) -> Body:
    return decode_body(data, limit=LIMIT)


def body(columns: dict[int, Any], count: int = 1) -> bytes:
    return cbor2.dumps({3: [count, {**LEAST, **columns}]})


def refused(data: bytes, code: str = "malformed") -> None:
    with pytest.raises(MalformedError) as caught:
        decode(data)
    assert caught.value.code == code


def test_all_tables_round_trip() -> None:
    found = decode(encode_body([CONTACT], [CONVERSATION], [FULL, replace(FULL, source=43)], [MARK]))
    assert found == Body([CONTACT], [CONVERSATION], [FULL, replace(FULL, source=43)], [MARK])


def test_empty_body() -> None:
    assert decode(encode_body()) == Body()


def test_enums_are_written_as_numbers() -> None:
    messages = [Message(CHAT, 0, Kind.TEXT, source=1), Message(CHAT, 0, Kind.IMAGE, source=2)]
    found = decode(encode_body(messages=messages)).messages
    assert found == messages
    assert {type(message.kind) for message in found} == {int}


@pytest.mark.parametrize(
    ("field", "name", "values", "form"),
    [
        (13, "text", ["a", "b", "c"], 0),
        (13, "text", ["a", "b", None], 0),
        (13, "text", ["a", None, None, None], 1),
        (14, "ranges", [(), (), None], 0),
        (10, "author", ["a", "b", None, "a", "b", None], 2),
        (10, "author", ["a", "b", "c"], 0),
        (10, "author", ["a", "a"], 3),
        (4, "time", [5, 5, 5], 3),
        (4, "time", [5, 7, 4], 4),
        (9, "kind", [1, 2, 1], 0),
        (16, "reply_to", [bytes(16), 7, (1, b"x")], 0),
        (2, "source", [1, "x", (1, (2, b"y"))], 0),
    ],
)
def test_writer_chooses_forms(field: int, name: str, values: list[Any], form: int) -> None:
    messages = [
        replace(Message(CHAT, 0, 1, source=index), **{name: value})  # type: ignore[arg-type]
        for index, value in enumerate(values)
    ]
    data = encode_body(messages=messages)
    assert cbor2.loads(data)[3][1][field][0] == form
    assert decode(data).messages == messages


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ([0, ["a", None, "b"]], ["a", None, "b"]),
        ([1, [0, 2], ["a", "b"]], ["a", None, "b"]),
        ([1, [], []], [None, None, None]),
        ([2, ["a", None, "unused"], [1, 0, 0]], [None, "a", "a"]),
        ([3, "a"], ["a", "a", "a"]),
        ([3, None], [None, None, None]),
    ],
)
def test_reader_takes_any_form(column: Any, values: list[Any]) -> None:
    found = decode(body({13: column, 2: [4, [5, -1, -1]]}, 3)).messages
    assert [message.text for message in found] == values
    assert [message.source for message in found] == [5, 4, 3]


def test_rank_equal_to_source_costs_next_to_nothing() -> None:
    messages = [Message(CHAT, 1000 * index, 1, source=3 * index, rank=3 * index) for index in range(1000)]
    assert len(encode_body(messages=messages)) < 9000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xa0\xa0", id="bytes after the end"),
        pytest.param(b"\xa0\x18", id="half an item after the end"),
        pytest.param(b"\xa1\x03", id="cut short in the map"),
        pytest.param(b"\x19\x00", id="cut short in a head"),
        pytest.param(b"\x63\x61", id="cut short in a text"),
        pytest.param(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", id="more items than can be"),
        pytest.param(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", id="more pairs than can be"),
        pytest.param(b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", id="longer than can be"),
        pytest.param(b"\xa1\x18\x40\x61\xff", id="not UTF-8"),
        pytest.param(b"\xa1\x18\x40\xc0\x60", id="tag"),
        pytest.param(b"\xa1\x18\x40\xc2\x41\x05", id="tag that stands for a plain number"),
        pytest.param(cbor2.dumps({64: cbor2.CBORTag(35, "(?i)[\0-\U0010ffff]")}), id="regular expression"),
        pytest.param(cbor2.dumps({64: 1.5}), id="float"),
        pytest.param(b"\xa1\x18\x40\xf9\x3c\x00", id="half float"),
        pytest.param(b"\xa1\x18\x40\xf7", id="undefined"),
        pytest.param(b"\xa1\x18\x40\xe0", id="simple value"),
        pytest.param(b"\xa1\x18\x40\x1c", id="reserved head"),
        pytest.param(b"\xbf\xff", id="indefinite map"),
        pytest.param(b"\xa1\x18\x40\x9f\xff", id="indefinite array"),
        pytest.param(b"\xa1\x18\x40\x7f\x61a\xff", id="indefinite text"),
        pytest.param(b"\xa2\x18\x40\x00\x18\x40\x00", id="key twice"),
        pytest.param(b"\xa1\x18\x40\xa2\x61a\x00\x61a\x00", id="text key twice"),
        pytest.param(b"\xa1\x18\x40\xa2\x61a\x00\x01\x00", id="mixed keys"),
        pytest.param(b"\xa1\x18\x40\xa1\x20\x00", id="negative key"),
        pytest.param(b"\xa1\x18\x40\xa1\xf4\x00", id="boolean key"),
        pytest.param(b"\xa1\x18\x40\xa1\x80\x00", id="array as key"),
        pytest.param(b"\xa1\x18\x40\xa1\xa0\x00", id="map as key"),
        pytest.param(b"\xa1\x18\x40" + b"\x81" * 15 + b"\x80", id="17 levels"),
        pytest.param(b"\xa1\x18\x40" + b"\x81" * 16 + b"\x00", id="17 levels with a number"),
        pytest.param(b"\x81" * 100_000, id="very deep"),
        pytest.param(b"\x80", id="no map"),
        pytest.param(b"\xa1\x61a\x00", id="text keys"),
    ],
)
def test_not_one_well_formed_item(data: bytes) -> None:
    """REC-01"""
    refused(data)


def test_sixteen_levels_and_long_forms_are_read() -> None:
    """REC-01"""
    assert decode(b"\xa1\x18\x40" + b"\x81" * 14 + b"\x80").unknown.tables.keys() == {64}
    assert decode(b"\xa1\x18\x40" + b"\x81" * 14 + b"\xa0").unknown.tables.keys() == {64}
    assert decode(b"\xb9\x00\x01\x1b\x00\x00\x00\x00\x00\x00\x00\x40\x79\x00\x01a").unknown.tables == {64: "a"}


@pytest.mark.parametrize(
    "table",
    [
        7,
        [],
        [1, LEAST, 0],
        [0, {}],
        [True, LEAST],
        [MAX_RECORDS + 1, LEAST],
        ["1", LEAST],
        [1, []],
        [1, {"a": [3, 1]}],
        [1, {**LEAST, **{number: [3, 1] for number in range(64, 64 + 60)}}],
    ],
)
def test_table_of_another_shape(table: Any) -> None:
    """REC-02"""
    refused(cbor2.dumps({3: table}))


@pytest.mark.parametrize(
    "column",
    [
        "text",
        [],
        ["0", []],
        [False, ["a", "b"]],
        [5, ["a", "b"]],
        [-1, ["a", "b"]],
        [0],
        [0, ["a", "b"], 0],
        [0, "ab"],
        [0, ["a"]],
        [0, ["a", "b", "c"]],
        [1, [0]],
        [1, 0, ["a"]],
        [1, [0], "a"],
        [1, [0], []],
        [1, [0, 0], ["a", "b"]],
        [1, [1, 0], ["a", "b"]],
        [1, [-1], ["a"]],
        [1, [2], ["a"]],
        [1, [True], ["a"]],
        [2, ["a"], [0]],
        [2, ["a"], [0, 1]],
        [2, ["a"], [0, -1]],
        [2, ["a"], [0, False]],
        [2, [], [0, 0]],
        [2, "a", [0, 0]],
        [3],
        [3, "a", "b"],
        [4, [1]],
        [4, ["a", 1]],
        [4, [None, 1]],
        [4, [1, True]],
        [4, 1],
    ],
)
def test_column_of_another_shape(column: Any) -> None:
    """REC-02"""
    refused(body({2: [4, [1, 1]], 13: column}, 2))
    refused(body({2: [4, [1, 1]], 64: column}, 2))


@pytest.mark.parametrize("number", [1, 4, 5, 8, 9])
def test_message_without_what_it_always_has(number: int) -> None:
    """REC-02"""
    refused(cbor2.dumps({3: [1, {key: column for key, column in LEAST.items() if key != number}]}))
    refused(body({number: [3, None]}))


def test_message_has_one_identity() -> None:
    """REC-02"""
    native = [3, [1, 2, bytes(16), 3]]
    refused(body({2: [3, None]}))
    refused(body({3: native}))
    found = decode(body({2: [0, [1, None]], 3: [1, [1], [native[1]]]}, 2)).messages
    assert [(one.source, one.native) for one in found] == [(1, None), (None, NativeIdentity(1, 2, bytes(16), 3))]


@pytest.mark.parametrize(
    ("table", "columns", "missing"),
    [
        (1, {1: [3, "a"], 2: [3, ""], 3: [3, "b"], 8: [3, 0]}, (1, 2, 3, 8)),
        (2, {1: [3, "a"], 2: [3, ""], 3: [3, "b"], 4: [3, "t"], 5: [3, 0], 8: [3, 0]}, (1, 2, 3, 4, 5, 8)),
        (4, {1: [3, 1], 2: [3, bytes(16)], 6: [3, "a"]}, (1, 2, 6)),
        (4, {1: [3, 2], 2: [3, bytes(16)], 8: [3, []]}, (1, 2, 8)),
        (4, {1: [3, 3], 2: [3, bytes(16)], 9: [3, "a"], 10: [3, 1]}, (1, 2, 9, 10)),
        (4, {1: [3, 4], 2: [3, bytes(16)]}, (1, 2)),
        (4, {1: [3, 5], 2: [3, bytes(16)], 12: [3, 1]}, (1, 2, 12)),
        (4, {1: [3, 64], 2: [3, bytes(16)]}, (1, 2)),
    ],
)
def test_other_tables_without_what_they_always_have(table: int, columns: dict[int, Any], missing: tuple[int]) -> None:
    """REC-02"""
    decode(cbor2.dumps({table: [1, columns]}))
    for number in missing:
        refused(cbor2.dumps({table: [1, {key: column for key, column in columns.items() if key != number}]}))
        refused(cbor2.dumps({table: [1, {**columns, number: [3, None]}]}))


@pytest.mark.parametrize(
    "data",
    [
        cbor2.dumps({7: [1, {}]}),
        cbor2.dumps({63: [1, {}]}),
        cbor2.dumps({0: 0}),
        body({25: [3, 1]}),
        body({63: [3, 1]}),
        body({9: [3, 21]}),
        body({9: [3, 63]}),
        cbor2.dumps({4: [1, {1: [3, 6], 2: [3, bytes(16)]}]}),
        cbor2.dumps({1: [1, {10: [3, 6]}]}),
        cbor2.dumps({2: [1, {6: [3, 6]}]}),
        body({22: [3, [{1: "a", 9: 1, 17: 1}]]}),
        body({22: [3, [{1: "a", 9: 1, 64: 1}]]}),
        cbor2.dumps({5: [1, {7: [3, 1]}]}),
        cbor2.dumps({6: [1, {6: [3, 1]}]}),
    ],
)
def test_unknown_critical_numbers(data: bytes) -> None:
    """REC-03"""
    refused(data, "unsupported")


def test_ignorable_numbers_are_kept() -> None:
    """REC-03"""
    odd: Any = {"any": [b"bytes", {1: 2}]}
    data = cbor2.dumps(
        {
            3: [2, {**LEAST, 2: [4, [1, 1]], 9: [3, 64], 70: [1, [1], [odd]], 71: [2, ["x"], [0, 0]]}],
            4: [1, {1: [3, 99], 2: [3, bytes(16)], 64: [3, 1]}],
            64: [["not a table"]],
        }
    )
    found = decode(data)
    assert [message.kind for message in found.messages] == [64, 64]
    assert found.marks[0].type == 99
    assert found.unknown == Unknown({64: [["not a table"]]}, {3: {70: [None, odd], 71: ["x", "x"]}, 4: {64: [1]}})
    again = encode_body(found.contacts, found.conversations, found.messages, found.marks, found.unknown)
    assert decode(again) == found


def test_unknown_values_nest_ten_levels() -> None:
    """REC-01"""
    value: Any = 1
    for _ in range(10):
        value = [value]
    assert decode(body({64: [0, [value]]})).unknown.fields == {3: {64: [value]}}
    refused(body({64: [0, [[value]]]}))


def test_unknown_fields_of_other_records() -> None:
    with pytest.raises(ValueError, match="number of values"):
        encode_body(messages=[FULL], unknown=Unknown(fields={3: {64: [1, 2]}}))


def sized(size: int) -> Message:
    """A message of that many bytes."""
    message = Message(CHAT, 0, 1, source=1, text="x" * (size - 1000))
    return replace(message, text="x" * (size - 1000 + size - encoded_size(message)))


def test_size_of_a_record_on_its_own() -> None:
    """REC-04"""
    for message in (FULL, sized(3000), replace(FULL, text="x" * 70, source=(1, -500, b"x" * 300, "y" * 70_0))):
        fields = message_to_fields(message)
        assert encoded_size(message) == len(cbor2.dumps([1, {number: [3, value] for number, value in fields.items()}]))
    assert encoded_size(sized(MAX_RECORD)) == MAX_RECORD


def test_record_that_is_too_long() -> None:
    """REC-04"""
    longest = sized(MAX_RECORD)
    many = [longest, Message(CHAT, 5, 1, source=2, author="a", text="short"), replace(longest, source=3)]
    assert decode(encode_body(messages=many)).messages == many
    with pytest.raises(ValueError, match="longer"):
        encode_body(messages=[*many, replace(longest, text=f"{longest.text}x")])
    fields = {number: [3, value] for number, value in message_to_fields(longest).items()}
    refused(cbor2.dumps({3: [1, {**fields, 13: [3, f"{longest.text}x"]}]}), "too-large")
    refused(cbor2.dumps({3: [1, {**fields, 64: [3, 0]}]}), "too-large")
    refused(cbor2.dumps({3: [2, {**fields, 13: [1, [1], [f"{longest.text}x"]]}]}), "too-large")
    refused(cbor2.dumps({3: [2, {**fields, 13: [2, ["", f"{longest.text}x"], [0, 1]]}]}), "too-large")


def test_body_beyond_the_limit() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_body(b"\xa0" * 9, limit=8)
    assert caught.value.code == "too-large"


def test_table_beyond_its_limit() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode_body(messages=[FULL] * (MAX_RECORDS + 1))


def test_as_many_records_as_a_table_holds() -> None:
    message = Message(CHAT, 0, 1, source=0)
    assert len(decode(encode_body(messages=[message] * MAX_RECORDS)).messages) == MAX_RECORDS


def test_errors_name_no_content() -> None:
    with pytest.raises(MalformedError) as caught:
        decode(body({13: [3, {"secret": 1}]}))
    assert "secret" not in str(caught.value)
