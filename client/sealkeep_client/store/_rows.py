"""Messages as rows of the database, and back.

Rows are made in columns, without the database: another process can do it and send the columns over. `rest` is a CBOR
map by the field numbers of spec §7.3 of what has no column of its own; a precision of seconds, which is the rule, is
left out, and 4 is what the time has beyond its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

import cbor2

from sealkeep_client.store._words import indexed
from sealkeep_protocol.records import (
    Attachment,
    ConversationKey,
    Message,
    MessageColumns,
    NativeIdentity,
    Precision,
    Range,
    RecordIds,
)

_NUMBERS: Final = (
    2,
    3,
    5,
    6,
    7,
    11,
    12,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
)  # fields in a row's `rest`, in order
_ROOT: Final = b"\x10\x58\x20"  # field 16, and the beginning of 32 bytes: what a row without them names no content by
_UNITS: Final = (1, 1_000, 60_000, 86_400_000)  # of spec §7.3's precisions, in milliseconds
_ATTACHMENT: Final = {
    16 if field.name == "root" else number: field.name for number, field in enumerate(fields(Attachment), 1)
}
"""The fields of an attachment by the numbers of spec §7.5."""
_get_attachment = attrgetter(*_ATTACHMENT.values())


@dataclass(slots=True, repr=False)
class MessageRows:
    """Messages ready to be inserted: columns of equal length, in order; `conversation` holds indexes into `keys`.

    `words` is what the full-text index gets, None for a message without text. Plain values: it can be pickled.
    """

    keys: list[ConversationKey]
    conversation_ids: list[bytes]
    conversation: list[int]
    ids: list[bytes]
    times: Sequence[int]
    ranks: Sequence[int]
    kinds: Sequence[int]
    authors: Sequence[str | None]
    texts: Sequence[str | None]
    rests: list[bytes]
    words: list[str | None]

    def __len__(self) -> int:
        return len(self.ids)


def message_rows(messages: Sequence[Message], ids: RecordIds) -> MessageRows:
    """Compute ids and rows of messages; touches no database, so that a worker can do it."""
    if not messages:
        return MessageRows([], [], [], [], (), (), (), (), (), [], [])
    given = messages if isinstance(messages, MessageColumns) else MessageColumns.of(messages)
    columns, none = given.columns, [None] * len(given)
    numbers: dict[ConversationKey, int] = {}
    number = numbers.setdefault
    conversation = [number(key, len(numbers)) for key in columns[1]]
    keys = list(numbers)
    texts = columns.get(13, none)
    return MessageRows(
        keys,
        list(map(ids.conversation, keys)),
        conversation,
        ids.columns(columns[1], columns.get(2, none), columns.get(3, none)),
        [time - time % _UNITS[precision] for time, precision in zip(columns[4], columns[5], strict=True)],
        columns[8],
        list(map(int, columns[9])),
        columns.get(10, none),
        texts,
        dump_all(_rests(given)),
        [indexed(text) if text else None for text in texts],
    )


def message_columns(message: Message) -> tuple[int, int, int, str | None, str | None, bytes]:
    """(time at its precision, rank, kind, author, text, rest) of a message's row."""
    time = message.time - message.time % _UNITS[message.precision]
    return time, message.rank, int(message.kind), message.author, message.text, rest_of(message)


def rest_of(message: Message) -> bytes:
    """The `rest` of a message's row. The same message gives the same bytes."""
    return cbor2.dumps(_rests(MessageColumns.of([message]))[0])


def dump_all(items: Iterable[dict[int, Any]]) -> list[bytes]:
    """Each item's CBOR, by one encoder: making one for each takes five times as long as encoding."""
    file = BytesIO()
    encode, tell = cbor2.CBOREncoder(file).encode, file.tell
    ends = [0]
    for item in items:
        encode(item)
        ends.append(tell())
    data = file.getvalue()
    return [data[start:end] for start, end in pairwise(ends)]


def _load_all(items: Sequence[bytes]) -> list[dict[int, Any]]:
    """The items of CBOR texts that this module wrote, by one decoder."""
    decode = cbor2.CBORDecoder(BytesIO(b"".join(items))).decode
    return [decode() for _ in items]


def _rests(messages: MessageColumns) -> list[dict[int, Any]]:
    columns = messages.columns
    rests: list[dict[int, Any]] = [{} for _ in range(len(messages))]
    for number in _NUMBERS:
        if number not in columns:
            continue
        values, write = columns[number], _WRITERS.get(number)
        if write is not None:
            values = [None if value is None else write(value) for value in values]
        for rest, value in zip(rests, values, strict=True):
            if value is not None:
                rest[number] = value
    for rest, time, precision in zip(rests, columns[4], columns[5], strict=True):
        beyond = time % _UNITS[precision]
        if beyond:
            rest[4] = beyond
    return rests


def message_of(
    key: ConversationKey, time: int, rank: int, kind: int, author: str | None, text: str | None, rest: bytes
) -> Message:
    """The message of a row."""
    return messages_of([key], [(time, rank, kind, author, text, rest)])[0]


def messages_of(keys: Sequence[ConversationKey], rows: Sequence[Sequence[Any]]) -> list[Message]:
    """The messages of rows (time, rank, kind, author, text, rest), with the key of each one's conversation."""
    return _columns(keys, rows).messages()


@dataclass(frozen=True, slots=True, repr=False)
class StoredMessages:
    """Rows of the database as they were read: (number, conversation, time, rank, kind, author, text, rest), and the keys of
    their conversations. Plain values: another process can make columns of them.
    """

    keys: Mapping[int, ConversationKey]
    rows: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def columns(self, count: int) -> MessageColumns:
        """The columns of the first `count` messages."""
        rows = self.rows[:count]
        return _columns([self.keys[row[1]] for row in rows], [row[2:] for row in rows])

    def attachments(self) -> list[tuple[Attachment, ...] | None]:
        """The attachments of those messages that name a content."""
        named = [row for row in self.rows if _ROOT in row[7]]
        if not named:
            return []
        columns = _columns([self.keys[row[1]] for row in named], [row[2:] for row in named]).columns
        return columns.get(22, [])


def _columns(keys: Sequence[ConversationKey], rows: Sequence[Sequence[Any]]) -> MessageColumns:
    if not rows:
        return MessageColumns(0, {})
    times, ranks, kinds, authors, texts, rests = map(list, zip(*rows, strict=True))
    maps = _load_all(rests)
    columns: dict[int, list[Any]] = {
        number: [values.get(number) for values in maps] for number in set[int]().union(*maps)
    }
    if 4 in columns:
        times = [time + (beyond or 0) for time, beyond in zip(times, columns[4], strict=True)]
    for number, read in _READERS.items():
        if number in columns:
            columns[number] = [None if value is None else read(value) for value in columns[number]]
    seconds = int(Precision.SECONDS)
    precisions = columns.get(5)
    columns[5] = [seconds if p is None else p for p in precisions] if precisions else [seconds] * len(rows)
    columns |= {1: list(keys), 4: times, 8: ranks, 9: kinds}
    columns |= {number: values for number, values in ((10, authors), (13, texts)) if values.count(None) < len(values)}
    return MessageColumns(len(rows), columns)


def write_range(value: Range) -> list[Any]:
    """A range as stored."""
    kind, start, length, extra = value
    return [int(kind), start, length] if extra is None else [int(kind), start, length, extra]


def read_ranges(value: Iterable[Any]) -> tuple[Range, ...]:
    """Ranges of a stored array."""
    return tuple(Range(*part) for part in value)


def write_attachments(attachments: Iterable[Attachment]) -> list[dict[int, Any]]:
    """Attachments as stored: maps by the numbers of spec §7.5."""
    return [
        {
            number: int(value) if number == 9 else value
            for number, value in zip(_ATTACHMENT, _get_attachment(part), strict=True)
            if value is not None
        }
        for part in attachments
    ]


def read_attachments(value: Iterable[dict[int, Any]]) -> tuple[Attachment, ...]:
    """Attachments of a stored array."""
    return tuple(Attachment(**{_ATTACHMENT[number]: part for number, part in item.items()}) for item in value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if type(value) is list else value


_WRITERS: Final[Mapping[int, Callable[[Any], Any]]] = {
    3: list,
    5: lambda value: None if value == Precision.SECONDS else int(value),
    12: int,
    14: lambda value: [write_range(part) for part in value],
    15: lambda value: value or None,  # 0 is the same as no edit, to digests and the join
    22: write_attachments,
}
_READERS: Final = {
    2: _tuples,
    3: lambda value: NativeIdentity(*value),
    14: read_ranges,
    16: _tuples,
    18: _tuples,
    22: read_attachments,
}
