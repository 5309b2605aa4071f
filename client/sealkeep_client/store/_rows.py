"""Messages as rows of the database, and back.

Rows are made in columns, without the database: another process can do it and send the columns over. `rest` is a CBOR
map by the field numbers of spec §7.3 of what has no column of its own; a precision of seconds, which is the rule, is
left out, and 4 is what the time has beyond its precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

_REST: Final = (
    (2, "source"),
    (3, "native"),
    (5, "precision"),
    (6, "offset"),
    (7, "received"),
    (11, "author_name"),
    (12, "direction"),
    (14, "ranges"),
    (15, "edited"),
    (16, "reply_to"),
    (17, "quote"),
    (18, "thread"),
    (19, "forwarded"),
    (20, "expires"),
    (21, "pinned"),
    (22, "attachments"),
    (23, "details"),
    (24, "extension"),
)
_NUMBERS: Final = tuple(number for number, _ in _REST)
_get_rest = attrgetter(*(name for _, name in _REST))
_get_columns = attrgetter("time", "precision", "rank", "kind", "author", "text")
_UNITS: Final = (1, 1_000, 60_000, 86_400_000)  # of spec §7.3's precisions, in milliseconds
_ATTACHMENT: Final = tuple(field.name for field in fields(Attachment))
_get_attachment = attrgetter(*_ATTACHMENT)


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
    numbers: dict[ConversationKey, int] = {}
    number = numbers.setdefault
    conversation = [number(message.conversation, len(numbers)) for message in messages]
    times, precisions, ranks, kinds, authors, texts = zip(*map(_get_columns, messages), strict=True)
    if set(map(type, kinds)) != {int}:
        kinds = tuple(map(int, kinds))
    keys = list(numbers)
    return MessageRows(
        keys,
        list(map(ids.conversation, keys)),
        conversation,
        ids.messages(messages),
        [time - time % _UNITS[precision] for time, precision in zip(times, precisions, strict=True)],
        ranks,
        kinds,
        authors,
        texts,
        _dump_all(map(_rest, messages)),
        [indexed(text) if text else None for text in texts],
    )


def message_columns(message: Message) -> tuple[int, int, int, str | None, str | None, bytes]:
    """(time at its precision, rank, kind, author, text, rest) of a message's row."""
    time = message.time - message.time % _UNITS[message.precision]
    return time, message.rank, int(message.kind), message.author, message.text, rest_of(message)


def rest_of(message: Message) -> bytes:
    """The `rest` of a message's row. The same message gives the same bytes."""
    return cbor2.dumps(_rest(message))


def _dump_all(items: Iterable[dict[int, Any]]) -> list[bytes]:
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


def _rest(message: Message) -> dict[int, Any]:
    # The loop is what an import spends most of its time in: one pass, and work only for what is there.
    rest = {number: value for number, value in zip(_NUMBERS, _get_rest(message), strict=True) if value is not None}
    if rest.get(5) == Precision.SECONDS:
        del rest[5]
    elif 5 in rest:
        rest[5] = int(rest[5])
    if 12 in rest:
        rest[12] = int(rest[12])
    beyond = message.time % _UNITS[message.precision]
    if beyond:
        rest[4] = beyond
    if rest.get(15) == 0:
        del rest[15]  # the same as no edit, to digests and the join
    if 3 in rest:
        rest[3] = list(rest[3])
    if 14 in rest:
        rest[14] = [write_range(part) for part in rest[14]]
    if 22 in rest:
        rest[22] = write_attachments(rest[22])
    return rest


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
            for number, value in enumerate(_get_attachment(part), 1)
            if value is not None
        }
        for part in attachments
    ]


def read_attachments(value: Iterable[dict[int, Any]]) -> tuple[Attachment, ...]:
    """Attachments of a stored array."""
    return tuple(Attachment(**{_ATTACHMENT[number - 1]: part for number, part in item.items()}) for item in value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if type(value) is list else value


_READERS: Final = {
    2: _tuples,
    3: lambda value: NativeIdentity(*value),
    14: read_ranges,
    16: _tuples,
    18: _tuples,
    22: read_attachments,
}
