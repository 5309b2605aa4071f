"""Messages as the lines that an export has for them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sealkeep_protocol.records import Contact, ContactKey, Conversation, ConversationKey

if TYPE_CHECKING:
    from sealkeep_client.store import ViewEntry
    from sealkeep_client.vault import Chat, Record


def json_lines(records: Sequence[Record], chats: Mapping[ConversationKey, Chat]) -> Iterator[bytes]:
    """Messages as `sealkeep export --format jsonl` writes them, a line each without its end."""
    from sealkeep_client.exporting import write_lines
    from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry

    entries: list[ViewEntry] = []
    key: ConversationKey | None = None
    for record in records:
        message = record.view.message
        if message.conversation != key and message.conversation in chats:
            key = message.conversation
            chat = chats[key]
            shown = Conversation(key=key, title=chat.title, type=chat.type)
            entries.append(ConversationView(chat.id, key, shown, chat.messages, chat.last, {}))
        if message.author is not None and message.author_name is None:
            # An export tells of contacts before it names one as an author.
            contact = ContactKey(message.conversation.app, message.conversation.scope, message.author)
            entries.append(ContactEntry(b"", Contact(contact, name=record.author)))
        entries.append(MessageEntry(record.id, record.view, record.place))
    written = io.BytesIO()
    write_lines(entries, written)
    for entry, line in zip(entries, written.getvalue().split(b"\n"), strict=False):
        if isinstance(entry, MessageEntry):
            yield line
