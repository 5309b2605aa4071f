"""States of messages (spec §7.7) in the database: what was joined from copies, and the marks that point there.

Nearly every message is its row alone, with no flag set: then nothing else is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import cbor2

from sealkeep_client.store._database import Database
from sealkeep_client.store._rows import message_of, read_ranges, write_range
from sealkeep_protocol.records import (
    Content,
    ConversationKey,
    Mark,
    MarkIdentity,
    MarkType,
    MessageState,
    MessageView,
    mark_from_fields,
    mark_identity,
    view,
)

OTHERS: Final = 1
"""Flag: other copies said something else (`contents`)."""
MIXED: Final = 1 << 6
"""Flag: copies had different attachments."""
MARKED: Final = (1 << 7) | sum(1 << kind for kind in MarkType)
"""Flags: marks of a type point here, `1 << type`; 1 << 7 for types that this version does not know."""
TOMBSTONE: Final = 1 << MarkType.TOMBSTONE

COLUMNS: Final = "n, id, conversation, time, rank, kind, author, text, rest, flags"


class StoredMessage(NamedTuple):
    """A row of `messages`."""

    n: int
    id: bytes
    conversation: int
    time: int
    rank: int
    kind: int
    author: str | None
    text: str | None
    rest: bytes
    flags: int


Keys = Callable[[int], ConversationKey]
"""The key of a conversation by this device's number."""


def mark_flag(kind: int) -> int:
    """The flag that says that marks of a type point to a message."""
    return 1 << kind if kind <= max(MarkType) else 1 << 7


def state_flags(state: MessageState) -> int:
    """The flags of a message's row."""
    flags = OTHERS * bool(state.others) | MIXED * state.mixed
    for mark in state.marks.values():
        flags |= mark_flag(mark.type)
    return flags


def write_content(content: Content) -> bytes:
    """A content as stored."""
    ranges = None if content.ranges is None else list(map(write_range, content.ranges))
    return cbor2.dumps([content.text, ranges, content.edited])


def _read_content(stored: bytes) -> Content:
    text, ranges, edited = cbor2.loads(stored)
    return Content(text, None if ranges is None else read_ranges(ranges), edited)


def read_mark(fields: bytes) -> Mark:
    """A mark as stored."""
    return mark_from_fields(cbor2.loads(fields))


class States:
    """Reads states and views of messages, many at a time."""

    __slots__ = ("_database", "_keys")

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def by_numbers(self, numbers: Sequence[int]) -> dict[int, StoredMessage]:
        """Rows by number."""
        sql = f"SELECT {COLUMNS} FROM messages WHERE n IN carray(?)"  # noqa: S608
        return {row[0]: StoredMessage(*row) for row in self._database.among_numbers(sql, numbers)}

    def by_id(self, record_id: bytes) -> StoredMessage | None:
        """The row of a message."""
        row = self._database.row(f"SELECT {COLUMNS} FROM messages WHERE id = ?", (record_id,))  # noqa: S608
        return None if row is None else StoredMessage(*row)

    def states(self, rows: Sequence[StoredMessage]) -> list[MessageState]:
        """The state of each row."""
        others = self._others([row.n for row in rows if row.flags & OTHERS])
        marks = self._marks([row.id for row in rows if row.flags & MARKED])
        states = []
        for row in rows:
            message = message_of(self._keys(row.conversation), *row[3:9])
            if row.flags:
                nothing: Mapping[Any, Any] = {}
                state = MessageState(
                    message, others.get(row.n, nothing), bool(row.flags & MIXED), marks.get(row.id, nothing)
                )
            else:
                state = MessageState(message)
            states.append(state)
        return states

    def views(self, rows: Sequence[StoredMessage]) -> Iterator[tuple[bytes, MessageView]]:
        """(id, what is shown) of each row."""
        for row, state in zip(rows, self.states(rows), strict=True):
            shown = view(state)
            if shown is not None:
                yield row.id, shown

    def shown_texts(self, rows: Sequence[StoredMessage]) -> list[str | None]:
        """The text that each row shows."""
        flagged = [row for row in rows if row.flags]
        shown = {record_id: one.message.text for record_id, one in self.views(flagged)}
        return [shown[row.id] if row.flags else row.text for row in rows]

    def _others(self, numbers: Sequence[int]) -> dict[int, dict[bytes, Content]]:
        found: dict[int, dict[bytes, Content]] = {}
        sql = "SELECT message, digest, content FROM contents WHERE message IN carray(?)"
        for message, digest, content in self._database.among_numbers(sql, numbers):
            found.setdefault(message, {})[digest] = _read_content(content)
        return found

    def _marks(self, targets: Sequence[bytes]) -> dict[bytes, dict[MarkIdentity, Mark]]:
        found: dict[bytes, dict[MarkIdentity, Mark]] = {}
        sql = "SELECT target, fields FROM marks WHERE target IN carray(?)"
        for target, fields in self._database.among(sql, targets):
            mark = read_mark(fields)
            found.setdefault(target, {})[mark_identity(mark)] = mark
        return found


def chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size`."""
    chunk: list[Any] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
