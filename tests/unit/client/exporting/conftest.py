"""Views to export: folded from records, as a store gives them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry, ViewEntry
from sealkeep_protocol.records import (
    Contact,
    Conversation,
    ConversationKey,
    Mark,
    Message,
    RecordIds,
    fold,
    order_key,
)

IDS = RecordIds(bytes(range(32)))


def as_entries(*records: Contact | Conversation | Message | Mark) -> list[ViewEntry]:
    """What a store shows of these records, in its order."""

    def of(kind: type) -> list[Any]:
        return [record for record in records if isinstance(record, kind)]

    view = fold(IDS, contacts=of(Contact), conversations=of(Conversation), messages=of(Message), marks=of(Mark))
    entries: list[ViewEntry] = [ContactEntry(IDS.contact(key), contact) for key, contact in view.contacts.items()]
    entries.sort(key=lambda entry: entry.id)
    chats: dict[ConversationKey, list[MessageEntry]] = {key: [] for key in view.conversations}
    for record_id, shown in view.messages.items():
        key = order_key(shown.message, record_id)
        chats.setdefault(shown.message.conversation, []).append(MessageEntry(record_id, shown, key))
    for chat in sorted(chats, key=IDS.conversation):
        last = chats[chat][-1].key[0] if chats[chat] else None
        reads = dict(view.reads.get(chat, {}))
        record = view.conversations.get(chat)
        entries.append(ConversationView(IDS.conversation(chat), chat, record, len(chats[chat]), last, reads))
        entries += chats[chat]
    return entries


def as_bytes(write: Callable[..., int], entries: Iterable[ViewEntry], **options: Any) -> bytes:
    """An export of these entries."""
    file = io.BytesIO()
    write(entries, file, **{"ids": IDS, **options})
    return file.getvalue()


@pytest.fixture(scope="session")
def ids() -> RecordIds:
    return IDS


@pytest.fixture(scope="session")
def entries_of() -> Callable[..., list[ViewEntry]]:
    return as_entries


@pytest.fixture(scope="session")
def written() -> Callable[..., bytes]:
    return as_bytes
