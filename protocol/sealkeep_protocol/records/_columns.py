"""The content of a segment's body: records in columns (spec §7.1), as bytes and back.

A column is read as its few distinct values and a way to spread them over the records, so that checks and conversions cost
what differs, not what is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from operator import sub
from typing import Any, Final, NamedTuple, Self, overload

from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.records._fields import CONTACTS, CONTENTS, CONVERSATIONS, MARKS, MESSAGES, PREVIEWS
from sealkeep_protocol.records._model import Contact, ContentRecord, Conversation, Mark, Message, Preview
from sealkeep_protocol.records._scan import MAX_DEPTH, load
from sealkeep_protocol.records._table import Form, Table, check_lengths, dump, greatest_size
from sealkeep_protocol.records._values import (
    CRITICAL,
    INT_MAX,
    INT_MIN,
    VALUE_DEPTH,
    Item,
    item_size,
    malformed,
    unsupported,
)

MAX_EXPANDED: Final = 64 << 20
"""Bytes of a table's records when every one is written out."""
MAX_RECORDS: Final = 65_536
"""Records of one table."""
MAX_COLUMNS: Final = 64
"""Columns of one table: 65,536 constants would otherwise be a cheap way to fill a reader's memory."""

_TABLES: Final = frozenset(table.number for table in (CONTACTS, CONVERSATIONS, MESSAGES, MARKS, CONTENTS, PREVIEWS))
_PLAIN, _SPARSE, _DICTIONARY, _CONSTANT, _DELTA = range(5)
_LENGTHS: Final = {_PLAIN: 2, _SPARSE: 3, _DICTIONARY: 3, _CONSTANT: 2, _DELTA: 2}
_NONE = type(None)


@dataclass(frozen=True, slots=True)
class Unknown:
    """What a newer version wrote and this one keeps: numbers from 64 on (REC-03), as decoded and unchecked.

    `tables` holds whole tables by number; `fields` holds by table number and field number one value for each of the table's
    records, None where absent.
    """

    tables: Mapping[int, Item] = field(default_factory=dict)
    fields: Mapping[int, Mapping[int, Sequence[Item]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """The records of one segment, in the order in which they were written."""

    contacts: list[Contact] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    messages: Sequence[Message] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    contents: list[ContentRecord] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)
    unknown: Unknown = field(default_factory=Unknown)

    @property
    def counts(self) -> dict[int, int]:
        """How many records each table has, by its number, of those that this version knows and that are there."""
        tables: list[Sequence[object]]
        tables = [self.contacts, self.conversations, self.messages, self.marks, self.contents, self.previews]
        return {number: len(table) for number, table in enumerate(tables, 1) if table}

    @property
    def newest_epoch(self) -> int:
        """The greatest epoch that a content record names, 0 where there is none."""
        return max((record.epoch for record in self.contents), default=0)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class MessageColumns(Sequence[Message]):
    """Messages by their columns: the model's own values by field number (spec §7.3), None where absent.

    A column in which every value is None is left out. Whoever makes them has checked the values. As a sequence it makes
    the messages each time: whoever works by columns never needs them.
    """

    length: int
    columns: Mapping[int, list[Any]]

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages())

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self.messages()[index]

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Self:
        """The columns of messages."""
        return cls(len(messages), MESSAGES.columns(messages))

    def first(self, count: int) -> MessageColumns:
        """The first `count` of the messages."""
        if count >= self.length:
            return self
        columns = {number: values[:count] for number, values in self.columns.items()}
        return MessageColumns(
            count, {number: values for number, values in columns.items() if set(map(type, values)) != {_NONE}}
        )

    def messages(self) -> list[Message]:
        """The messages. Raises `MalformedError` where one lacks a field that it must have."""
        return MESSAGES.build(self.length, self.columns)


class BodyTooLargeError(ValueError):
    """So many records do not go into one body; fewer of them do."""


class _Column(NamedTuple):
    """`values` are the distinct ones as written; `spread` makes one per record of them, or of as many others."""

    values: list[Item]
    spread: Callable[[list[Any]], list[Any]]


def decode_body(data: bytes, *, limit: int) -> Body:
    """Read a body's content (spec §7.1).

    `limit` is its greatest length in bytes. Raises `MalformedError`: `too-large` (the body, or a record in it: REC-04),
    `unsupported` (a critical number that is not known: REC-03), otherwise `malformed` (REC-01, REC-02).
    """
    body = decode_columns(data, limit=limit)
    return replace(body, messages=list(body.messages))


def decode_columns(data: bytes, *, limit: int) -> Body:
    """`decode_body` for whoever works by columns: the body's messages are `MessageColumns`."""
    if len(data) > limit:
        raise MalformedError("too-large", f"a body of {len(data)} bytes where at most {limit} are allowed")
    root = load(data)
    if type(root) is not dict or not _is_numbered(root):
        malformed("a body is not a map of tables")
    tables: dict[int, Item] = {}
    for number, table in root.items():
        if number >= CRITICAL:
            _check_unknown(number, 0)
            _check_unknown(table, MAX_DEPTH - 1)
            tables[number] = table
        elif number not in _TABLES:
            unsupported("a body has a table that this version does not know")
    fields: dict[int, dict[int, list[Item]]] = {}
    contacts, conversations, messages, marks, contents, previews = (
        _read_table(table, root, fields) for table in (CONTACTS, CONVERSATIONS, MESSAGES, MARKS, CONTENTS, PREVIEWS)
    )
    return Body(
        CONTACTS.build(*contacts, checked=True),
        CONVERSATIONS.build(*conversations, checked=True),
        MessageColumns(*messages),
        MARKS.build(*marks, checked=True),
        CONTENTS.build(*contents, checked=True),
        PREVIEWS.build(*previews, checked=True),
        Unknown(tables, fields),
    )


def _read_table(
    table: Table[Any], root: dict[int, Item], unknown: dict[int, dict[int, list[Item]]]
) -> tuple[int, dict[int, list[Any]]]:
    """The number of a table's records and their columns, checked."""
    if table.number not in root:
        return 0, {}
    raw = root[table.number]
    if type(raw) is not list or len(raw) != 2:
        malformed("a table is not [n, columns]")
    count, columns = raw
    if type(count) is not int or not 1 <= count <= MAX_RECORDS:
        malformed("a table's number of records is out of range")
    if type(columns) is not dict or not _is_numbered(columns) or len(columns) > MAX_COLUMNS:
        malformed("a table's columns are not a map of fields")
    parsed: dict[int, _Column] = {}
    for number, column in columns.items():
        if number not in table.fields and number < CRITICAL:
            unsupported(f"a {table.name} has a field that this version does not know")
        parsed[number] = _column(column, count)
        # REC-03: "From 64 on they are ignorable: a reader MUST keep what it does not know, untouched."
        if number not in table.fields:
            _check_unknown(number, 0)
            for value in parsed[number].values:
                _check_unknown(value, VALUE_DEPTH)
            unknown.setdefault(table.number, {})[number] = parsed[number].spread(parsed[number].values)
    check_lengths(
        {number: column.values for number, column in parsed.items()},
        count,
        lambda number, sizes: parsed[number].spread(sizes),
    )
    _check_expanded(parsed, count)
    known = {number: column for number, column in parsed.items() if number in table.fields}
    read = {number: column.spread(table.read(number, column.values)) for number, column in known.items()}
    table.check(count, read)
    return count, read


def _check_expanded(columns: Mapping[int, _Column], count: int) -> None:
    """A few constants and dictionaries must not become gigabytes of records."""
    if count * sum(greatest_size(column.values) for column in columns.values()) <= MAX_EXPANDED:
        return
    sizes = (column.spread([item_size(value) for value in column.values]) for column in columns.values())
    total = sum(size or 0 for spread in sizes for size in spread)
    if total > MAX_EXPANDED:
        raise MalformedError("too-large", f"a table of more than {MAX_EXPANDED} bytes when written out")


def _is_numbered(mapping: dict[Any, Item]) -> bool:
    """Whether a map that `load` returned has unsigned keys: it lets only those and texts pass."""
    return not mapping or type(next(iter(mapping))) is int


def _check_unknown(value: Item, depth: int) -> None:
    """REC-01 and §7.1's integers, for values that no field's type bounds."""
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        malformed("an unknown integer is out of range")
    if type(value) is list or type(value) is dict:
        if depth == 0:
            malformed("an unknown value nests too deeply")
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _check_unknown(part, depth - 1)


def _column(raw: Item, count: int) -> _Column:
    """Check a column's shape, lengths and indices (REC-02)."""
    if type(raw) is not list or not raw or type(raw[0]) is not int or _LENGTHS.get(raw[0]) != len(raw):
        malformed("a column has none of the known forms")
    form = raw[0]
    if form == _CONSTANT:
        return _Column(raw[1:], lambda values: values * count)
    if not all(type(part) is list for part in raw[1:]):
        malformed("a part of a column is not an array")
    if form == _SPARSE:
        indices, values = raw[1:]
        _check_integers(indices, len(values))
        if indices and (indices[0] < 0 or indices[-1] >= count or any(a >= b for a, b in pairwise(indices))):
            malformed("the indices of a sparse column do not ascend within the table")

        def place(values: list[Any]) -> list[Any]:
            column = [None] * count
            for index, value in zip(indices, values, strict=True):
                column[index] = value
            return column

        return _Column(values, place)
    last = raw[-1]
    if form == _DICTIONARY:
        values = raw[1]
        _check_integers(last, count)
        if min(last) < 0 or max(last) >= len(values):
            malformed("an index of a dictionary column is out of range")
        return _Column(values, lambda values: list(map(values.__getitem__, last)))
    if form == _DELTA:
        _check_integers(last, count)
        return _Column(list(accumulate(last)), lambda values: values)
    if len(last) != count:
        malformed("a plain column has another number of values than its table")
    return _Column(last, lambda values: values)


def _check_integers(values: list[Item], length: int) -> None:
    # bool is another type here: true is no index
    if len(values) != length or (values and set(map(type, values)) != {int}):
        malformed("a list in a column has another length or holds something else than integers")


def encode_body(
    contacts: Sequence[Contact] = (),
    conversations: Sequence[Conversation] = (),
    messages: Sequence[Message] = (),
    marks: Sequence[Mark] = (),
    unknown: Unknown | None = None,
    *,
    contents: Sequence[ContentRecord] = (),
    previews: Sequence[Preview] = (),
) -> bytes:
    """Write a body's content (spec §7.1): at most 65,536 records of each table.

    Messages may be `MessageColumns`: a store that holds them so need not make each one first. `unknown` is what
    `decode_body` found beyond this version, for a body of the same records in the same order. Raises `ValueError` where a
    record is not what a reader would accept, `BodyTooLargeError` where fewer records would do.
    """
    unknown = unknown or Unknown()
    root: dict[int, Item] = {}
    by_column = messages if isinstance(messages, MessageColumns) else MessageColumns.of(messages)
    try:
        _write_table(CONTACTS, len(contacts), CONTACTS.columns(contacts), unknown, root)
        _write_table(CONVERSATIONS, len(conversations), CONVERSATIONS.columns(conversations), unknown, root)
        _write_table(MESSAGES, len(messages), by_column.columns, unknown, root)
        _write_table(MARKS, len(marks), MARKS.columns(marks), unknown, root)
        _write_table(CONTENTS, len(contents), CONTENTS.columns(contents), unknown, root)
        _write_table(PREVIEWS, len(previews), PREVIEWS.columns(previews), unknown, root)
    except MalformedError as error:
        raise ValueError(f"a record cannot be encoded: {error}") from error
    root.update(unknown.tables)
    return dump(root)


def _write_table(
    table: Table[Any], count: int, given: Mapping[int, list[Any]], unknown: Unknown, root: dict[int, Item]
) -> None:
    if not count:
        return
    if count > MAX_RECORDS:
        raise BodyTooLargeError(f"{count} records where a table holds at most {MAX_RECORDS}")
    table.check(count, given)
    columns: dict[int, Item] = {}
    written: dict[int, list[Item]] = {}
    for number, values in given.items():
        columns[number], written[number] = _write_column(table, number, values)
    for number, kept in unknown.fields.get(table.number, {}).items():
        if len(kept) != count:
            raise ValueError("an unknown field has another number of values than its table")
        written[number] = list(kept)
        columns[number] = [_PLAIN, written[number]]
    check_lengths(written, count, lambda number, sizes: _column(columns[number], count).spread(sizes))
    if count * sum(map(greatest_size, written.values())) > MAX_EXPANDED:
        try:
            _check_expanded({number: _column(column, count) for number, column in columns.items()}, count)
        except MalformedError as error:
            raise BodyTooLargeError(str(error)) from error
    root[table.number] = [count, columns]


def _write_column(table: Table[Any], number: int, values: list[Any]) -> tuple[Item, list[Item]]:
    """The column in the form that fits what the field holds, and the distinct values in it, which are checked."""
    count = len(values)
    form = table.fields[number].form
    written: list[Item]
    if form is Form.DICTIONARY:
        known: dict[Any, int] = {}
        keys = [known.setdefault(value, len(known)) for value in values]
        if 2 * len(known) <= count:
            written = table.write(number, list(known))
            return ([_CONSTANT, written[0]] if len(known) == 1 else [_DICTIONARY, written, keys]), written
    if None in values:
        indices = [index for index, value in enumerate(values) if value is not None]
        if 2 * len(indices) <= count:
            written = table.write(number, [values[index] for index in indices])
            return [_SPARSE, indices, written], written
    written = table.write(number, values)
    if count == 1:
        return [_CONSTANT, written[0]], written
    if set(map(type, written)) == {int}:
        if min(written) == max(written):
            return [_CONSTANT, written[0]], written[:1]
        if form is Form.DELTA:
            return [_DELTA, [written[0], *map(sub, written[1:], written)]], written
    return [_PLAIN, written], written
