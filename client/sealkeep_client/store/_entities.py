"""Contacts and conversations: the newest record of each (spec §7.2), and this device's numbers for conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import cbor2

from sealkeep_client.store._batches import Found
from sealkeep_client.store._changes import Tracker
from sealkeep_client.store._database import Database, Row
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._rows import dump_all
from sealkeep_client.store._waiting import RecordKind
from sealkeep_protocol.errors import StoreError
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    RecordIds,
    contact_from_fields,
    contact_to_fields,
    contacts_from_fields,
    contacts_to_fields,
    conversation_from_fields,
    conversation_to_fields,
    join_contacts,
    join_conversations,
)

_CACHED = 4096


class ConversationEntry(NamedTuple):
    """A conversation as the store knows it: `record` is None while only messages name it."""

    n: int
    id: bytes
    key: ConversationKey
    record: Conversation | None
    messages: int


class Put(NamedTuple):
    """What became of records: new ones, ones that changed what was there, and ones that added nothing."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def plus(self, other: Put) -> Put:
        """The sum of two."""
        return Put(*(a + b for a, b in zip(self, other, strict=True)))


class Entities:
    """Contacts and conversations of one database. Writes belong to a transaction."""

    __slots__ = ("_changes", "_database", "_ids", "_keys", "_numbers", "_outbox", "_record_ids")

    def __init__(
        self, database: Database, outbox: Outbox, changes: Tracker, record_ids: Callable[[], RecordIds]
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._changes = changes
        self._record_ids = record_ids
        self._numbers: dict[bytes, int] = {}
        self._keys: dict[int, ConversationKey] = {}
        self._ids: dict[int, bytes] = {}

    def forget(self) -> None:
        """Drop what is remembered: the transaction that made it was rolled back."""
        self._numbers.clear()
        self._keys.clear()
        self._ids.clear()

    # --- conversations ------------------------------------------------------------------------------------------------

    def numbers(self, keys: Sequence[ConversationKey], ids: Sequence[bytes]) -> list[int]:
        """This device's numbers of conversations, made where they are new."""
        if len(self._numbers) > _CACHED:
            self.forget()
        return [
            self._numbers.get(record_id) or self._number(key, record_id)
            for key, record_id in zip(keys, ids, strict=True)
        ]

    def number_of(self, key: ConversationKey) -> int:
        """This device's number of one conversation, made where it is new."""
        return self.numbers([key], [self._record_ids().conversation(key)])[0]

    def _number(self, key: ConversationKey, record_id: bytes) -> int:
        number = self._database.value("SELECT n FROM conversations WHERE id = ?", (record_id,))
        if number is None:
            number = self._database.value("SELECT ifnull(max(n), 0) + 1 FROM conversations")
            self._database.write(
                "INSERT INTO conversations (n, id, app, scope, source) VALUES (?, ?, ?, ?, ?)",
                (number, record_id, *key),
            )
            self._changes.now.conversations.add(record_id)
        self._numbers[record_id], self._keys[number], self._ids[number] = number, key, record_id
        return int(number)

    def key(self, number: int) -> ConversationKey:
        """The key of a conversation by this device's number."""
        if number not in self._keys:
            self._remember(number)
        return self._keys[number]

    def id(self, number: int) -> bytes:
        """The id of a conversation by this device's number."""
        if number not in self._ids:
            self._remember(number)
        return self._ids[number]

    def _remember(self, number: int) -> None:
        row = self._database.row("SELECT id, app, scope, source FROM conversations WHERE n = ?", (number,))
        if row is None:
            raise StoreError("the database is damaged: restore this device from the relay with the recovery kit")
        if len(self._keys) > _CACHED:
            self.forget()
        self._ids[number], self._keys[number] = row[0], ConversationKey(*row[1:])

    def count_messages(self, number: int, more: int) -> None:
        """Add to a conversation's number of messages."""
        self._database.write("UPDATE conversations SET messages = messages + ? WHERE n = ?", (more, number))

    def put_conversations(self, records: Iterable[Conversation], upload: int | None, run: int) -> Put:
        """Join records of conversations; what is new to this device is queued in class `upload`, if any."""
        put = Put()
        for record in records:
            number = self.number_of(record.key)
            known = self._database.value("SELECT fields FROM conversations WHERE n = ?", (number,))
            if known is not None:
                record = join_conversations(conversation_from_fields(cbor2.loads(known)), record)
            fields = cbor2.dumps(conversation_to_fields(record))
            if fields == known:
                put = put.plus(Put(unchanged=1))
                continue
            self._database.write("UPDATE conversations SET fields = ? WHERE n = ?", (fields, number))
            self._changes.now.conversations.add(self.id(number))
            self._queue(RecordKind.CONVERSATION, number, upload, run)
            put = put.plus(Put(added=1) if known is None else Put(changed=1))
        return put

    def conversation(self, record_id: bytes) -> ConversationEntry | None:
        """A conversation by id."""
        row = self._database.row(f"{_CONVERSATIONS} WHERE id = ?", (record_id,))
        return None if row is None else _entry(row)

    def conversations(self) -> Iterator[ConversationEntry]:
        """All conversations that have a record or messages, ordered by id."""
        last = b""
        while rows := self._database.rows(f"{_CONVERSATIONS} WHERE id > ? ORDER BY id LIMIT 256", (last,)):
            last = rows[-1][1]
            # A message whose copies name different conversations may have left one empty that nobody else knows of.
            yield from (entry for entry in map(_entry, rows) if entry.record is not None or entry.messages)

    # --- contacts -----------------------------------------------------------------------------------------------------

    def put_contacts(self, records: Iterable[Contact], upload: int | None, run: int) -> Put:
        """Join records of contacts; what is new to this device is queued in class `upload`, if any."""
        joined: dict[ContactKey, Contact] = {}
        for record in records:
            other = joined.get(record.key)
            joined[record.key] = record if other is None else join_contacts(other, record)
        name = self._record_ids().contact
        wanted = {name(key): contact for key, contact in joined.items()}
        found = self._database.among("SELECT id, n, fields FROM contacts WHERE id IN carray(?)", list(wanted))
        known = contacts_from_fields([cbor2.loads(fields) for _, _, fields in found])
        changed = 0
        for (record_id, number, stored), contact in zip(found, known, strict=True):
            fields = cbor2.dumps(contact_to_fields(join_contacts(contact, wanted.pop(record_id))))
            if fields != stored:
                self._database.write("UPDATE contacts SET fields = ? WHERE n = ?", (fields, number))
                self._queue(RecordKind.CONTACT, number, upload, run)
                changed += 1
        if wanted:
            first = int(self._database.value("SELECT ifnull(max(n), 0) + 1 FROM contacts"))
            rows = zip(count(first), wanted, dump_all(contacts_to_fields(list(wanted.values()))))
            self._database.write_many("INSERT INTO contacts VALUES (?, ?, ?)", list(rows))
            if upload is not None:
                self._outbox.add(RecordKind.CONTACT, upload, run, first, first + len(wanted) - 1)
                self._changes.now.outbox = True
        if wanted or changed:
            self._changes.now.contacts = True
        return Put(len(wanted), changed, len(found) - changed)

    def contact(self, record_id: bytes) -> Contact | None:
        """A contact by id."""
        fields = self._database.value("SELECT fields FROM contacts WHERE id = ?", (record_id,))
        return None if fields is None else contact_from_fields(cbor2.loads(fields))

    def contacts(self) -> Iterator[tuple[bytes, Contact]]:
        """(id, contact) of all contacts, ordered by id."""
        last = b""
        while rows := self._database.rows(
            "SELECT id, fields FROM contacts WHERE id > ? ORDER BY id LIMIT 256", (last,)
        ):
            last = rows[-1][0]
            for record_id, fields in rows:
                yield record_id, contact_from_fields(cbor2.loads(fields))

    # --- the outbox ---------------------------------------------------------------------------------------------------

    def _queue(self, kind: int, number: int, upload: int | None, run: int) -> None:
        if upload is not None and not self._outbox.will_carry(kind, number):
            self._outbox.add(kind, upload, run, number, number)
            self._changes.now.outbox = True

    def read(self, kind: int, first: int, last: int, limit: int) -> Found:
        """Contacts or conversations of a range, ascending, at most `limit`."""
        if kind == RecordKind.CONTACT:
            rows = self._database.rows(
                "SELECT n, fields FROM contacts WHERE n BETWEEN ? AND ? ORDER BY n LIMIT ?", (first, last, limit)
            )
            records: Sequence[Any] = contacts_from_fields([cbor2.loads(fields) for _, fields in rows])
        else:
            rows = self._database.rows(
                "SELECT n, fields FROM conversations WHERE n BETWEEN ? AND ? AND fields IS NOT NULL ORDER BY n LIMIT ?",
                (first, last, limit),
            )
            records = [conversation_from_fields(cbor2.loads(fields)) for _, fields in rows]
        return Found([n for n, _ in rows], [len(fields) for _, fields in rows], records)


_CONVERSATIONS = "SELECT n, id, app, scope, source, fields, messages FROM conversations"


def _entry(row: Row) -> ConversationEntry:
    number, record_id, app, scope, source, fields, messages = row
    record = None if fields is None else conversation_from_fields(cbor2.loads(fields))
    return ConversationEntry(number, record_id, ConversationKey(app, scope, source), record, messages)
