"""Records and conversations as an app sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sealkeep_client.store import Changes, ConversationView, MessageEntry, Store
from sealkeep_client.vault._types import Chat, Record
from sealkeep_protocol.records import ContactKey, Conversation, ConversationType

_NAMES: Final = 4096


class Shown:
    """Makes what an app is shown from what the store holds, remembering the names of contacts. On the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[ContactKey, str] = {}
        store.listen(self._forget_names)

    def records(self, entries: Iterable[MessageEntry]) -> list[Record]:
        return [self.record(entry) for entry in entries]

    def record(self, entry: MessageEntry) -> Record:
        """The record with its author's name: the message's own, otherwise the contact's."""
        message = entry.view.message
        author = message.author_name
        if author is None and message.author is not None:
            author = self._name(ContactKey(message.conversation.app, message.conversation.scope, message.author))
        return Record(entry.id, entry.view, entry.key, author)

    def find(self, identifier: bytes) -> Record | None:
        """The record with this id."""
        entry = self._store.views.message(identifier)
        return None if entry is None else self.record(entry)

    def _name(self, key: ContactKey) -> str:
        """The name of a contact; its source where nothing else is known."""
        if key not in self._names:
            contact = self._store.contact(key)
            shown = (contact.remark or contact.name or contact.alias) if contact is not None else None
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[key] = shown or key.source
        return self._names[key]

    def _forget_names(self, changes: Changes) -> None:
        if changes.contacts:
            self._names.clear()


def show_chat(view: ConversationView, *, awaited: int = 0) -> Chat:
    """The conversation as an app is shown it, also where nothing but messages is known of it."""
    record = view.record if isinstance(view.record, Conversation) else None
    return Chat(
        key=view.key,
        id=view.id,
        title=record.title if record is not None else view.key.source,
        type=record.type if record is not None else ConversationType.UNKNOWN,
        messages=view.messages,
        last=view.last,
        reads=view.reads,
        awaited=awaited,
    )
