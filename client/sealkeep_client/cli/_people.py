"""Who wrote a message, and messages as the lines that an export has for them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sealkeep_protocol.records import Contact, ContactKey, Conversation, ConversationKey, Direction, Message

if TYPE_CHECKING:
    from sealkeep_client.store import ContactEntry, ViewEntry
    from sealkeep_client.vault import Chat, Record, Vault


class People:
    """The contacts of a vault, by key."""

    def __init__(self, contacts: Iterable[ContactEntry]) -> None:
        self._contacts = {entry.contact.key: entry for entry in contacts}

    @classmethod
    async def of(cls, vault: Vault) -> People:
        """All contacts that a vault knows."""
        return cls(await vault._in_store(lambda: list(vault._store.views.contacts())))

    def entry(self, message: Message) -> ContactEntry | None:
        """The author of a message as a contact."""
        app, scope, _ = message.conversation
        return None if message.author is None else self._contacts.get(ContactKey(app, scope, message.author))

    def name(self, message: Message) -> str:
        """The author of a message as a person knows them; empty for what the app itself says."""
        if message.direction == Direction.SENT:
            return "You"
        if message.author_name:
            return message.author_name
        entry = self.entry(message)
        return _name(entry.contact) if entry is not None else message.author or ""


def _name(contact: Contact) -> str:
    return contact.remark or contact.name or contact.alias or contact.key.source


def json_lines(records: Sequence[Record], chats: Mapping[ConversationKey, Chat], people: People) -> Iterator[bytes]:
    """Messages as `sealkeep export --format jsonl` writes them, a line each without its end."""
    from sealkeep_client.exporting import write_lines
    from sealkeep_client.store import ConversationView, MessageEntry

    authors = {entry.id: entry for record in records if (entry := people.entry(record.view.message))}
    entries: list[ViewEntry] = list(authors.values())
    key: ConversationKey | None = None
    for record in records:
        message = record.view.message
        if message.conversation != key and message.conversation in chats:
            key = message.conversation
            chat = chats[key]
            shown = Conversation(key=key, title=chat.title, type=chat.type)
            entries.append(ConversationView(chat.id, key, shown, chat.messages, chat.last, {}))
        entries.append(MessageEntry(record.id, record.view, record.place))
    written = io.BytesIO()
    write_lines(entries, written)
    for written_entry, line in zip(entries, written.getvalue().split(b"\n"), strict=False):
        if isinstance(written_entry, MessageEntry):
            yield line
