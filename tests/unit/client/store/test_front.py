"""The front of an import: the newest messages of every chat, and what shows them."""

from __future__ import annotations

from dataclasses import replace

from sealkeep_client.store import Store, UploadClass
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    TombstoneReason,
)
from support.record_strategies import CHAT

HISTORY, FRONT = UploadClass.HISTORY, UploadClass.FRONT
OTHER = ConversationKey("telegram", "", "user:7")


def messages(count: int, chat: ConversationKey = CHAT) -> list[Message]:
    """The first is by user1, the second by user2, and so on, up to user3."""
    return [
        Message(conversation=chat, source=n, time=n * 1000, kind=1, text=f"m{n}", author=f"user{(n - 1) % 3 + 1}")
        for n in range(1, count + 1)
    ]


def contact(name: str) -> Contact:
    return Contact(ContactKey("telegram", "", name), name=name.title(), rank=1)


def in_front(store: Store) -> list[object]:
    batch = store.outbox.read(FRONT, limit=1000)
    return [] if batch is None else list(batch.records)


def test_chats_and_authors_come_along(store: Store) -> None:
    """§6.3: in the order in which messages name them; nobody else."""
    run = store.outbox.start_run()
    people = [contact(f"user{n}") for n in (1, 9, 2, 3)]
    chats = [Conversation(CHAT, title="one", rank=1), Conversation(OTHER, title="other", rank=1)]
    store.put(messages(6), contacts=people, conversations=chats, upload=HISTORY, run=run)
    assert store.front.queue(run, messages=2) == 2
    assert in_front(store) == [chats[0], people[2], people[3], *messages(6)[4:]]
    # The history has all of it too.
    batch = store.outbox.read(HISTORY, limit=1000)
    assert batch is not None
    assert len(batch) == 12


def test_what_is_known_already_comes_along_too(store: Store) -> None:
    """A new device may not have it yet: it is in an older import's history."""
    store.put(contacts=[contact("user1")], conversations=[Conversation(CHAT, title="one", rank=1)], upload=None)
    run = store.outbox.start_run()
    store.put(messages(1), upload=HISTORY, run=run)
    store.front.queue(run)
    assert in_front(store) == [Conversation(CHAT, title="one", rank=1), contact("user1"), *messages(1)]


def test_marks_that_change_how_they_are_shown(store: Store) -> None:
    """Of messages in the front, as far as this import brought them."""
    run = store.outbox.start_run()
    store.put(messages(4), upload=HISTORY, run=run)
    first, *_, third, last = [store.ids.message(one) for one in messages(4)]
    revision = Mark(MarkType.REVISION, last, text="edited", edited=9)
    reaction = Mark(MarkType.REACTION, third, key="+", count=1)
    older = Mark(MarkType.REACTION, first, key="+", count=1)
    came = replace(reaction, key="-")
    tombstone = Mark(MarkType.TOMBSTONE, third, reason=TombstoneReason.RECALLED)
    store.put(marks=[revision, older, reaction], upload=HISTORY, run=run)
    store.put(marks=[came], upload=None)
    store.front.queue(run, messages=2)
    assert in_front(store) == [*messages(4)[2:], revision, reaction]
    store.put(marks=[tombstone], upload=HISTORY, run=run)
    assert reaction not in in_front(store)  # it went with its message


def test_nothing_waits(store: Store) -> None:
    run = store.outbox.start_run()
    store.put(messages(2), upload=None)
    assert store.front.queue(run) == 0
    assert in_front(store) == []
