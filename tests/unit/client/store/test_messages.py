"""Putting records: what is new, what joins, and what of it the other devices must hear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_client.store import Changes, Put, Receipt, RecordKind, Store, UploadClass, message_rows
from sealkeep_client.store._rows import message_columns, message_of
from sealkeep_client.store._waiting import Waiting
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    RecordIds,
    Unknown,
    order_key,
)
from support.record_strategies import CHAT, FULL

LIVE = UploadClass.LIVE
HELLO = Message(conversation=CHAT, source=1, time=1_000, kind=1, text="hello")
ID = RecordIds(bytes(range(32))).message(HELLO)


def upload(store: Store, kind: UploadClass = LIVE) -> list[Any]:
    """Everything that waits in a class, as if it were uploaded now."""
    found: list[Any] = []
    while batch := store.outbox.read(kind, limit=100):
        seq = len(found) + 1
        found += batch.records
        store.outbox.add_pending(seq, b"", b"", b"", batch.carried())
        store.outbox.settle([Receipt(seq, bytes(32), seq)])
    return found


def text(store: Store) -> str | None:
    entry = store.views.message(ID)
    assert entry is not None
    return entry.view.message.text


def shown_files(store: Store) -> tuple[Attachment, ...] | None:
    entry = store.views.message(ID)
    assert entry is not None
    return entry.view.message.attachments


# --- rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", [FULL, HELLO, replace(HELLO, time=1_234, precision=3), replace(HELLO, text="", edited=7, attachments=())]
)
def test_row_and_back(message: Message, ids: RecordIds) -> None:
    columns = message_columns(message)
    assert message_of(message.conversation, *columns) == message
    assert (columns[0], columns[1]) == order_key(message, bytes(16))[:2]
    rows = message_rows([message], ids)
    assert (rows.times[0], rows.ranks[0], rows.kinds[0], rows.authors[0], rows.texts[0], rows.rests[0]) == columns
    assert rows.ids == ids.messages([message])
    assert "hello" not in repr(rows)
    assert len(message_rows([], ids)) == 0


def test_an_edit_at_zero_is_none() -> None:
    assert message_columns(replace(HELLO, edited=0)) == message_columns(HELLO)


# --- put ----------------------------------------------------------------------------------------------------------


def test_again_adds_nothing_and_uploads_nothing(store: Store) -> None:
    messages = [replace(FULL, source=n) for n in range(300)]
    contacts = [Contact(ContactKey("a", "", "x"), name="Ann")]
    chats = [Conversation(CHAT, title="chat")]
    first = store.put(messages, contacts=contacts, conversations=chats, upload=LIVE)
    assert first == Put(302, 0, 0)
    assert len(upload(store)) == 302
    assert store.put(messages, contacts=contacts, conversations=chats, upload=LIVE) == Put(0, 0, 302)
    assert store.outbox.read(LIVE, limit=10) is None


def test_overlap_adds_only_what_is_new(store: Store) -> None:
    store.put([replace(HELLO, source=n) for n in range(0, 20, 2)], upload=LIVE)
    upload(store)
    twice = [replace(HELLO, source=n) for n in (*range(20), 19, 19)]
    assert store.put(twice, upload=LIVE) == Put(10, 0, 12)
    assert [message.source for message in upload(store)] == list(range(1, 20, 2))


def test_differing_text_is_a_revision(store: Store) -> None:
    store.put([HELLO], upload=LIVE)
    upload(store)
    edited = replace(HELLO, text="hello again", edited=5)
    assert store.put([edited], upload=LIVE) == Put(0, 1, 0)
    assert upload(store) == [Mark(MarkType.REVISION, ID, edited=5, text="hello again")]
    assert text(store) == "hello again"
    assert store.put([edited, HELLO], upload=LIVE) == Put(0, 0, 2)
    assert upload(store) == []
    assert [entry.id for entry in store.views.search("again")] == [ID]
    assert store.put(marks=[Mark(MarkType.REVISION, ID, edited=9, text="bye")], upload=None).added == 1
    assert list(store.views.search("hello")) == []
    assert [entry.id for entry in store.views.search("bye")] == [ID]


def test_added_attachment_is_a_supplement(store: Store) -> None:
    one, two = Attachment("photo", "a.jpg"), Attachment("file", "b.pdf")
    store.put([replace(HELLO, attachments=(one,))], upload=LIVE)
    upload(store)
    assert store.put([replace(HELLO, attachments=(one, two))], upload=LIVE) == Put(0, 1, 0)
    assert upload(store) == [Mark(MarkType.SUPPLEMENT, ID, attachments=(two,))]
    assert store.put([replace(HELLO, attachments=(two,))], upload=LIVE) == Put(0, 0, 1)


def test_what_is_stored_of_an_attachment_covers_its_placeholder(store: Store) -> None:
    """Spec §12.2: what a view would not show beside it is not told to the others."""
    root = bytes(range(32))
    placeholder = Attachment("photo", size=5, path="photos/a.jpg", state=2)
    stored = Attachment("photo", "a.jpg", size=5, state=0, root=root)
    store.put([replace(HELLO, attachments=(placeholder,))], upload=LIVE)
    upload(store)
    assert store.put(marks=[Mark(MarkType.SUPPLEMENT, ID, attachments=(stored,))], upload=None).added == 1
    assert shown_files(store) == (stored,)
    known = [
        stored,
        placeholder,
        replace(stored, width=640),  # alike in role, name and root
        replace(placeholder, path="elsewhere/a.jpg"),
        replace(placeholder, size=None, name="a.jpg", state=1),
        Attachment("photo"),  # the only one of its role in its copy
    ]
    for attachment in known:
        assert store.put([replace(HELLO, attachments=(attachment,))], upload=LIVE) == Put(0, 0, 1)
    assert upload(store) == []
    news = [
        (replace(placeholder, size=6, name="c.jpg"),),
        (Attachment("photo", width=1), Attachment("photo", width=2)),
        (Attachment("file"),),
    ]
    for attachments in news:
        assert store.put([replace(HELLO, attachments=attachments)], upload=LIVE) == Put(0, 1, 0)
        assert upload(store) == [Mark(MarkType.SUPPLEMENT, ID, attachments=attachments)]


def test_a_row_keeps_the_root_of_an_attachment(store: Store) -> None:
    attachments = (
        Attachment("photo", "a.jpg", "image/jpeg", 1, 2, 3, 4, "photos/a.jpg", 0, bytes(range(32))),
        Attachment("file", state=2),
        Attachment("photo", state=1),
    )
    message = replace(HELLO, attachments=attachments)
    store.put([message], upload=LIVE)
    assert upload(store) == [message]
    assert shown_files(store) == attachments


def test_another_field_sends_the_message_again(store: Store) -> None:
    store.put([HELLO], upload=LIVE)
    upload(store)
    assert store.put([replace(HELLO, pinned=True, rank=3)], upload=LIVE) == Put(0, 1, 0)
    assert upload(store) == [replace(HELLO, pinned=True, rank=3)]


def test_volatile_keys_of_the_extension_stay_as_they_were(store: Store) -> None:
    volatile = frozenset({"views"})
    store.put([replace(HELLO, extension={"views": 1, "via": "x"})], upload=LIVE, volatile=volatile)
    upload(store)
    again = replace(HELLO, extension={"views": 2, "via": "x"})
    assert store.put([again], upload=LIVE, volatile=volatile) == Put(0, 0, 1)


def test_a_change_of_what_waits_is_sealed_with_it(store: Store) -> None:
    store.put([HELLO], upload=LIVE)
    store.put([replace(HELLO, pinned=True)], upload=LIVE)
    assert upload(store) == [replace(HELLO, pinned=True)]


def test_a_change_of_what_is_being_sealed_goes_again(store: Store) -> None:
    store.put([HELLO], upload=LIVE)
    batch = store.outbox.read(LIVE, limit=10)
    assert batch is not None
    store.put([replace(HELLO, pinned=True)], upload=LIVE)
    store.outbox.add_pending(9, b"", b"", b"", batch.carried())
    assert upload(store) == [replace(HELLO, pinned=True)]


def test_what_a_received_copy_displaces_is_told(store: Store) -> None:
    """The row that waits will be sealed with the other's text: this device's own must not be lost."""
    store.put([HELLO], upload=LIVE)
    store.put([replace(HELLO, text="theirs", edited=2)], upload=None)
    assert text(store) == "theirs"
    assert upload(store) == [
        replace(HELLO, text="theirs", edited=2),
        Mark(MarkType.REVISION, ID, text="hello"),
    ]


def test_what_a_received_copy_displaces_in_a_segment_without_an_answer_is_told(store: Store) -> None:
    """If that is refused, the row is sealed anew, with the other's text: then too nothing must be lost."""
    store.put([HELLO], upload=LIVE)
    batch = store.outbox.read(LIVE, limit=10)
    assert batch is not None
    store.outbox.add_pending(9, b"", b"", b"", batch.carried())
    store.put([replace(HELLO, text="theirs", edited=2)], upload=None)
    store.outbox.refuse(9, bytes(32), b"")
    assert upload(store) == [
        replace(HELLO, text="theirs", edited=2),
        Mark(MarkType.REVISION, ID, text="hello"),
    ]


def test_what_a_received_copy_displaces_after_its_receipt_is_known(store: Store) -> None:
    store.put([HELLO], upload=LIVE)
    batch = store.outbox.read(LIVE, limit=10)
    assert batch is not None
    store.outbox.add_pending(9, b"", b"", b"", batch.carried())
    assert store.is_uploaded(ID) is False
    store.outbox.settle([Receipt(9, bytes(32), 1)])
    assert store.is_uploaded(ID) is True
    store.put([replace(HELLO, text="theirs", edited=2)], upload=None)
    assert store.outbox.waiting() == []


def test_a_later_edit_of_nothing_wins(store: Store) -> None:
    store.put([replace(HELLO, text=None, edited=1)], upload=LIVE)
    upload(store)
    assert store.put([replace(HELLO, text=None, edited=2)], upload=LIVE) == Put(0, 1, 0)
    assert upload(store) == [replace(HELLO, text=None, edited=2)]
    assert store.put([replace(HELLO, text=None, edited=1)], upload=LIVE) == Put(0, 0, 1)


def test_received_records_are_not_uploaded(store: Store) -> None:
    store.put([HELLO], marks=[Mark(MarkType.READ, ID, actor="me")], upload=None)
    store.put([replace(HELLO, pinned=True)], upload=None)
    assert store.outbox.waiting() == []
    assert store.is_uploaded(ID) is True
    assert store.is_uploaded(bytes(16)) is None


# --- marks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_tombstone_covers_whichever_came_first(store: Store, first: bool) -> None:
    """REC-07"""
    tombstone = Mark(MarkType.TOMBSTONE, ID, reason=1)
    others = [
        Mark(MarkType.REVISION, ID, text="other words"),
        Mark(MarkType.REACTION, ID, key="👍", actor="a", count=1),
        Mark(MarkType.SUPPLEMENT, ID, attachments=(Attachment("photo"),)),
    ]
    if first:
        store.put(marks=[tombstone], upload=None)
        store.put([HELLO], marks=others, upload=None)
    else:
        store.put([HELLO], marks=others, upload=None)
        assert [entry.id for entry in store.views.search("hello" if text(store) == "hello" else "other")] == [ID]
        store.put(marks=[tombstone], upload=None)
    entry = store.views.message(ID)
    assert entry is not None
    assert entry.view.tombstone == tombstone
    assert (entry.view.message.text, entry.view.message.attachments, entry.view.reactions) == (None, None, ())
    for word in ("hello", "other"):
        assert list(store.views.search(word)) == []
    # P10: what is gone is not kept on this device either.
    assert store._database.value("SELECT count(*) FROM marks WHERE type <> 5") == 0
    assert store._database.value("SELECT text FROM messages") is None
    assert store.put([HELLO], marks=others, upload=LIVE).added == 0
    assert store.outbox.waiting() == []


def test_what_waits_goes_without_its_text_when_it_was_recalled(store: Store) -> None:
    store.put([replace(HELLO, author="me", extension={"secret": True})], upload=LIVE)
    store.put(marks=[Mark(MarkType.TOMBSTONE, ID, reason=1)], upload=LIVE)
    assert upload(store) == [replace(HELLO, text=None, author="me"), Mark(MarkType.TOMBSTONE, ID, reason=1)]


def test_greater_count_of_a_reaction_replaces(store: Store) -> None:
    one = Mark(MarkType.REACTION, ID, clock=1, key="👍", actor="a", count=1)
    store.put([HELLO], marks=[one], upload=LIVE)
    upload(store)
    gone = replace(one, clock=2, count=0)
    assert store.put(marks=[gone, one], upload=LIVE) == Put(0, 1, 1)
    assert upload(store) == [gone]
    entry = store.views.message(ID)
    assert entry is not None
    assert entry.view.reactions == ()


# --- conversations, contacts, what is unknown ---------------------------------------------------------------------


def test_newest_record_of_a_conversation_wins(store: Store, ids: RecordIds) -> None:
    store.put([HELLO], upload=None)
    (before,) = store.views.conversations()
    assert (before.record, before.messages, before.last) == (None, 1, 1_000)
    new = Conversation(CHAT, title="new", rank=2)
    assert store.put(conversations=[new, replace(new, title="old", rank=1)], upload=LIVE) == Put(1, 0, 1)
    view = store.views.conversation(ids.conversation(CHAT))
    assert view is not None
    assert view.record == new
    assert upload(store) == [new]
    assert store.views.conversation(bytes(16)) is None
    assert store.views.counts() == (1, 1)


def test_contacts(store: Store) -> None:
    key = ContactKey("a", "", "x")
    ann = Contact(key, name="Ann", rank=1)
    assert store.put(contacts=[ann, replace(ann, name="An", rank=0)], upload=LIVE).added == 1
    assert store.contact(key) == ann
    assert store.contact(ContactKey("a", "", "y")) is None
    assert store.put(contacts=[replace(ann, name="Anna", rank=2)], upload=LIVE) == Put(0, 1, 0)
    assert upload(store) == [replace(ann, name="Anna", rank=2)]


def test_unknown_is_kept_untouched(store: Store) -> None:
    """REC-03"""
    unknown = Unknown(tables={64: [1, {1: [3, "x"]}]}, fields={3: {70: ["a", None]}})
    for _ in range(2):
        store.put_unknown(unknown, ids={3: [ID, bytes(16)]})
    rows = store._database.rows("SELECT kind, record, field, value FROM unknown ORDER BY kind")
    assert rows == [(3, ID, 70, b"\x61a"), (64, b"", 0, b"\x82\x01\xa1\x01\x82\x03\x61x")]
    store.put_unknown(Unknown(), ids={})


# --- who hears of it ----------------------------------------------------------------------------------------------


def test_changes_are_told_once_a_commit(store: Store, ids: RecordIds) -> None:
    told: list[Changes] = []
    stop = store.listen(told.append)
    with store.transaction():
        store.put([HELLO], upload=LIVE)
        store.put(marks=[Mark(MarkType.READ, ID)], conversations=[Conversation(CHAT, title="t")], upload=None)
        assert told == []
    chat = ids.conversation(CHAT)
    assert told == [Changes({chat: {ID}}, {chat}, contacts=False, outbox=True)]
    store.put([HELLO], marks=[Mark(MarkType.READ, ID)], upload=LIVE)
    assert len(told) == 1  # nothing new, nobody is told
    store.put([replace(HELLO, source=n) for n in range(2, 400)], upload=None)
    assert told[1].messages == {chat: None}
    stop()
    stop()
    store.put([replace(HELLO, source=1000)], upload=None)
    assert len(told) == 2


def test_changes_name_at_most_so_many(store: Store, ids: RecordIds) -> None:
    changes = Changes()
    changes.touch(b"chat", [bytes([n]) for n in range(200)])
    changes.touch(b"chat", [bytes([n, 0]) for n in range(200)])
    assert changes.messages == {b"chat": None}
    changes.touch(b"chat", [b"x"])
    assert changes.messages == {b"chat": None}


def test_nothing_is_told_of_what_was_rolled_back(store: Store) -> None:
    told: list[Changes] = []
    store.listen(told.append)

    def failing() -> None:
        with store.transaction():
            store.put([HELLO], conversations=[Conversation(CHAT, title="t")], upload=LIVE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert told == []
    # What was remembered of the transaction is forgotten: numbers are given again.
    assert store.put([HELLO], upload=LIVE).added == 1
    assert [entry.id for entry in store.views.history(store.ids.conversation(CHAT))] == [ID]
    assert store.outbox.waiting() == [Waiting(LIVE, 0, 1)]


def test_what_is_missing_and_what_waits(store: Store) -> None:
    from sealkeep_protocol.records import Body

    other = ConversationKey("telegram", "", "user:1")
    body = Body(messages=[HELLO, replace(HELLO, source=2)], conversations=[Conversation(other, title="x")])
    assert store.count_missing(body) == 3
    store.put([HELLO], upload=LIVE)
    assert (store.count_missing(body), store.count_waiting()) == (2, 1)
    batch = store.outbox.read(LIVE, limit=1)
    assert batch is not None
    store.outbox.add_pending(1, b"", b"", b"", batch.carried())
    assert store.count_waiting() == 1
    assert store.is_uploaded(ID) is False
    store.outbox.settle([Receipt(1, bytes(32), 1)])
    assert store.count_waiting() == 0
    assert store.is_uploaded(ID) is True
    assert store.size() > 4096
    assert RecordKind.MESSAGE == 3
