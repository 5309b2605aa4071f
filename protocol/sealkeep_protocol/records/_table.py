"""What a table of records is made of (spec §7.1), and its records as columns, as rows and as objects.

A record as a row is a map `{field number: value}`, absent fields left out: what digests are taken of, what a database may
store, and what REC-04 measures. All work goes by columns, where a check costs a few nanoseconds a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import repeat
from operator import add, attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import cbor2

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.records._model import (
    Contact,
    ContactKey,
    ContentRecord,
    Conversation,
    ConversationKey,
    Mark,
    Message,
    Preview,
)
from sealkeep_protocol.records._values import CRITICAL, Codec, Item, head_size, item_size, malformed, unsupported

R = TypeVar("R", Contact, Conversation, Message, Mark, ContentRecord, Preview)
Row: TypeAlias = Mapping[int, Item]
Columns: TypeAlias = Mapping[int, Sequence[Any]]

MAX_RECORD: Final = 65_536
"""Bytes of one record, encoded on its own (REC-04)."""

_NONE = type(None)


class Form(Enum):
    """Which column form a writer tries first; any is legal for any field."""

    PLAIN = "plain"
    DICTIONARY = "dictionary"
    DELTA = "delta"


class Field(NamedTuple):
    """One field of a table. `name` is the attribute of the model's class, or of its key."""

    number: int
    name: str
    codec: Codec
    form: Form = Form.PLAIN
    required: bool = False


class Table(Generic[R]):
    """One table of a body: its number, the class of its records, their fields, and a rule beyond single fields.

    `rule` gets the number of records and their columns of model values.
    """

    def __init__(
        self,
        number: int,
        record: type[R],
        fields: Sequence[Field],
        *,
        key: type[ContactKey] | type[ConversationKey] | None = None,
        rule: Callable[[int, Columns], None] | None = None,
        name: str = "",
    ) -> None:
        self.number = number
        self.name = name or record.__name__.lower()
        self.fields = {field.number: field for field in fields}
        self._required = [field.number for field in fields if field.required]
        self._record: type[R] = record
        self._key = key
        self._rule = rule
        in_key = key._fields if key else ()
        self._get = {
            field.number: attrgetter(f"key.{field.name}" if field.name in in_key else field.name) for field in fields
        }
        # The slots' descriptors fill frozen objects a column at a time: 24 fields take 1 µs so, and 2 µs by __init__.
        self._set = {name: getattr(record, name).__set__ for name in record.__dataclass_fields__}

    def columns(self, records: Sequence[R]) -> dict[int, list[Any]]:
        """The records' values by field, None where absent; only fields that some have."""
        every = {number: list(map(get, records)) for number, get in self._get.items()}
        return {number: values for number, values in every.items() if set(map(type, values)) != {_NONE}}

    def build(self, count: int, columns: Columns, *, checked: bool = False) -> list[R]:
        """Records of columns whose values were checked one by one; `checked`: by `check` too. Raises `MalformedError`."""
        if not count:
            return []
        if not checked:
            self.check(count, columns)
        named = {self.fields[number].name: column for number, column in columns.items()}
        if self._key:
            named["key"] = list(map(self._key, *(named.pop(name) for name in self._key._fields)))
        new = object.__new__
        records = [new(self._record) for _ in range(count)]
        for name, put in self._set.items():
            for _ in map(put, records, named.get(name, repeat(None))):
                pass
        return records

    def check(self, count: int, columns: Columns) -> None:
        """Whether every record has what it must have, and what goes together. Raises `MalformedError`."""
        for number in self._required:
            # `in` compares by identity first, and nothing else equals None.
            if number not in columns or None in columns[number]:
                malformed(f"a {self.name} without its field {number}")
        if self._rule:
            self._rule(count, columns)

    def to_rows(self, records: Sequence[R]) -> list[dict[int, Item]]:
        """The records as maps of fields. Raises `ValueError` where one is not what a reader would accept."""
        rows: list[dict[int, Item]] = [{} for _ in records]
        if not rows:
            return rows
        try:
            values = self.columns(records)
            self.check(len(records), values)
            columns = {number: self.write(number, column) for number, column in values.items()}
            check_lengths(columns, len(rows))
        except MalformedError as error:
            raise ValueError(f"a {self.name} cannot be encoded: {error}") from error
        dump(columns)
        for number, written in columns.items():
            for row, value in zip(rows, written, strict=True):
                if value is not None:
                    row[number] = value
        return rows

    def from_rows(self, rows: Sequence[Row]) -> list[R]:
        """The records of such maps; unknown fields from 64 on are left to the caller. Raises `MalformedError`."""
        columns: dict[int, list[Any]] = {}
        if not rows:
            return []
        for number in set[int]().union(*rows):
            if type(number) is not int or number < 0:
                malformed(f"a {self.name} has a key that is no field number")
            if number < CRITICAL and number not in self.fields:
                unsupported(f"a {self.name} has a field that this version does not know")
            columns[number] = [row.get(number) for row in rows]
        read = {number: self.read(number, values) for number, values in columns.items() if number in self.fields}
        check_lengths(columns, len(rows))
        return self.build(len(rows), read)

    def read(self, number: int, values: list[Item]) -> list[Any]:
        """Check and convert the values of a field; null stays. Raises `MalformedError`."""
        read = self.fields[number].codec.read
        if None not in values:
            return read(values)
        present = [value for value in values if value is not None]
        converted = read(present)
        # Most types are read as they are written, and then nothing need be put together again.
        return values if converted is present else _with_nulls(values, converted)

    def write(self, number: int, values: list[Any]) -> list[Item]:
        """The values of a field as they are written, and as a reader would accept them. Raises `MalformedError`."""
        codec = self.fields[number].codec
        present = [value for value in values if value is not None] if None in values else values
        written = codec.write(present)
        codec.read(written)
        return written if present is values else _with_nulls(values, written)


def _with_nulls(values: list[Any], present: list[Any]) -> list[Any]:
    rest = iter(present)
    return [None if value is None else next(rest) for value in values]


def digest(item: Item) -> bytes:
    """SHA-256 of the deterministic CBOR: what ties are broken by (spec §7.6, §7.7). It must never change."""
    return hashlib.sha256(cbor.encode(item)).digest()


def dump(item: Item) -> bytes:
    """CBOR of what codecs have written. Raises `ValueError` for a text that is none: the error's own would show it."""
    try:
        return cbor2.dumps(item)
    except UnicodeEncodeError:
        raise ValueError("a text holds a lone surrogate") from None


def record_size(row: Row) -> int:
    """Bytes of a record on its own: a table `[1, {field: [3, value], …}]`, every column a constant (spec §7.1)."""
    return 2 + head_size(len(row)) + sum(_field_size(number, value) for number, value in row.items())


def _field_size(number: int, value: Item) -> int:
    return head_size(number) + 2 + item_size(value)


def check_lengths(
    columns: Mapping[int, list[Item]], count: int, spread: Callable[[int, list[int]], list[Any]] | None = None
) -> None:
    """Check the length of every record (REC-04) by its columns as they are written.

    Where `columns` hold distinct values only, `spread(number, sizes)` makes one for each of the `count` records of them.
    """
    # Nearly always even the longest values of all columns together are short enough, and no record needs a look.
    longest = sum(_field_size(number, 0) + greatest_size(values) for number, values in columns.items())
    if 2 + head_size(len(columns)) + longest <= MAX_RECORD:
        return
    totals, present = [2] * count, [0] * count
    for number, values in columns.items():
        sizes = [0 if value is None else _field_size(number, value) for value in values]
        if spread:
            sizes = [size or 0 for size in spread(number, sizes)]
        totals = list(map(add, totals, sizes))
        present = list(map(add, present, map(bool, sizes)))
    # REC-04: "A record MUST NOT be longer than 65,536 bytes when encoded on its own as a table of one."
    if max(map(add, totals, map(head_size, present))) > MAX_RECORD:
        raise MalformedError("too-large", f"a record is longer than {MAX_RECORD} bytes")


def greatest_size(values: list[Item]) -> int:
    """At least the encoded size of the longest value."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return 9 + 4 * max(map(len, values))
    if kinds <= {int, bool, _NONE}:
        return 9
    return max(map(item_size, values))
