"""What a person sees: conversations, pages of history, search, and everything in the order of exports (spec §7.7)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sealkeep_client.store._database import Database
from sealkeep_client.store._entities import ConversationEntry, Entities
from sealkeep_client.store._messages import Messages
from sealkeep_client.store._schema import TOKENIZER
from sealkeep_client.store._states import COLUMNS, StoredMessage, read_mark
from sealkeep_client.store._words import Query
from sealkeep_protocol.records import Contact, Conversation, ConversationKey, MessageView, OrderKey

_PAGE: Final = 500
_SELECT: Final = f"SELECT {COLUMNS} FROM messages"  # noqa: S608


class MessageEntry(NamedTuple):
    """A message as it is shown, with its id. `key` is its place in the order of views: a cursor of `history`."""

    id: bytes
    view: MessageView
    key: OrderKey


@dataclass(frozen=True, slots=True)
class ContactEntry:
    """A contact with its id."""

    id: bytes
    contact: Contact


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation with its id; `record` is None while only messages name it.

    `messages` counts its messages (recalled ones too), `last` is the time of the newest in ms, None where there is
    none; `reads` tells by actor the id of the last message that was read.
    """

    id: bytes
    key: ConversationKey
    record: Conversation | None
    messages: int
    last: int | None
    reads: dict[str | None, bytes]


ViewEntry = ContactEntry | ConversationView | MessageEntry


class Views:
    """Reads views of one database. Steps of an iteration see what was committed between them."""

    __slots__ = ("_database", "_entities", "_messages")

    def __init__(self, database: Database, entities: Entities, messages: Messages) -> None:
        self._database = database
        self._entities = entities
        self._messages = messages

    # --- conversations ------------------------------------------------------------------------------------------------

    def conversations(self) -> Iterator[ConversationView]:
        """All conversations, ordered by id."""
        return map(self._conversation, self._entities.conversations())

    def counts(self) -> tuple[int, int]:
        """(conversations, messages)."""
        row = self._database.row("SELECT count(*), ifnull(sum(messages), 0) FROM conversations")
        return (0, 0) if row is None else (row[0], row[1])

    def conversation(self, record_id: bytes) -> ConversationView | None:
        """A conversation by id."""
        entry = self._entities.conversation(record_id)
        return None if entry is None else self._conversation(entry)

    def _conversation(self, entry: ConversationEntry) -> ConversationView:
        last = self._database.value(
            "SELECT time FROM messages WHERE conversation = ? ORDER BY time DESC LIMIT 1", (entry.n,)
        )
        return ConversationView(entry.id, entry.key, entry.record, entry.messages, last, self._reads(entry.n))

    def _reads(self, conversation: int) -> dict[str | None, bytes]:
        # Read marks of a conversation, by the place of their targets: the last one of an actor counts.
        rows = self._database.rows(
            "SELECT m.id, k.fields FROM marks AS k JOIN messages AS m ON m.id = k.target"
            " WHERE k.type = 4 AND m.conversation = ? ORDER BY m.time, m.rank, m.id",
            (conversation,),
        )
        reads = {read_mark(fields).actor: record_id for record_id, fields in rows}
        return {actor: reads[actor] for actor in sorted(reads, key=lambda one: (one is not None, one or ""))}

    def contacts(self) -> Iterator[ContactEntry]:
        """All contacts, ordered by id."""
        return (ContactEntry(record_id, contact) for record_id, contact in self._entities.contacts())

    # --- messages -----------------------------------------------------------------------------------------------------

    def message(self, record_id: bytes) -> MessageEntry | None:
        """A message by id."""
        row = self._messages.states.by_id(record_id)
        return None if row is None else next(iter(self._entries([row])), None)

    def between(self, first: bytes, last: bytes, limit: int) -> list[MessageEntry]:
        """Messages whose ids lie between two, both included."""
        return self._entries(
            self._rows(f"{_SELECT} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (first, last, limit))
        )

    def history(
        self, conversation: bytes, *, before: OrderKey | None = None, after: OrderKey | None = None, limit: int = 50
    ) -> list[MessageEntry]:
        """A page of a conversation in the order of views: the last `limit` before `before` (the newest, where it is
        None), or the first `limit` after `after`."""
        entry = self._entities.conversation(conversation)
        if entry is None:
            return []
        if after is not None:
            rows = self._after(entry.n, after, limit)
        elif before is not None:
            rows = self._rows(
                f"{_SELECT} WHERE conversation = ? AND (time, rank, id) < (?, ?, ?)"
                " ORDER BY time DESC, rank DESC, id DESC LIMIT ?",
                (entry.n, *before, limit),
            )[::-1]
        else:
            rows = self._rows(
                f"{_SELECT} WHERE conversation = ? ORDER BY time DESC, rank DESC, id DESC LIMIT ?", (entry.n, limit)
            )[::-1]
        return self._entries(rows)

    def _after(self, conversation: int, after: OrderKey, limit: int) -> list[StoredMessage]:
        return self._rows(
            f"{_SELECT} WHERE conversation = ? AND (time, rank, id) > (?, ?, ?) ORDER BY time, rank, id LIMIT ?",
            (conversation, *after, limit),
        )

    def _rows(self, sql: str, bindings: Sequence[object]) -> list[StoredMessage]:
        return [StoredMessage(*row) for row in self._database.rows(sql, bindings)]

    def _entries(self, rows: Sequence[StoredMessage]) -> list[MessageEntry]:
        shown = zip(rows, self._messages.states.views(rows), strict=True)
        return [MessageEntry(record_id, one, (row.time, row.rank, row.id)) for row, (record_id, one) in shown]

    # --- search -------------------------------------------------------------------------------------------------------

    def search(
        self, query: str, *, conversation: bytes | None = None, limit: int | None = None
    ) -> Iterator[MessageEntry]:
        """Messages whose shown text holds every word of `query`, the newest first.

        Memory: 8 bytes for each candidate, and one page of messages.
        """
        words = Query(query, self._database.tokenizer(TOKENIZER[0], TOKENIZER[1:]))
        entry = None if conversation is None else self._entities.conversation(conversation)
        if words.empty or (conversation is not None and entry is None):
            return
        found = 0
        for page in self._candidates(words.match, None if entry is None else entry.n):
            texts = self._messages.states.shown_texts(page)
            rows = [row for row, text in zip(page, texts, strict=True) if text and words.matches(text)]
            for hit in self._entries(rows):
                yield hit
                found += 1
                if found == limit:
                    return

    def _candidates(self, match: str | None, conversation: int | None) -> Iterator[list[StoredMessage]]:
        chosen = "" if match is None else " AND n IN (SELECT rowid FROM words WHERE words MATCH ?2)"
        numbers = array(
            "q",
            (
                n
                for (n,) in self._database.each(
                    f"SELECT n FROM messages WHERE (?1 IS NULL OR conversation = ?1){chosen}"  # noqa: S608
                    " ORDER BY time DESC, rank DESC, id DESC",
                    (conversation,) if match is None else (conversation, match),
                )
            ),
        )
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start : start + _PAGE]
            rows = self._messages.states.by_numbers(page)
            yield [rows[n] for n in page if n in rows]

    # --- everything ---------------------------------------------------------------------------------------------------

    def everything(self) -> Iterator[ViewEntry]:
        """All contacts ordered by id, then each conversation ordered by id with its messages in the order of views."""
        yield from self.contacts()
        for entry in self._entities.conversations():
            yield self._conversation(entry)
            last: OrderKey = (-(1 << 63), -1, b"")
            while rows := self._after(entry.n, last, _PAGE):
                last = (rows[-1].time, rows[-1].rank, rows[-1].id)
                yield from self._entries(rows)
