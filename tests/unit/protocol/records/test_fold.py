"""Join and fold (spec §7.6, §7.7): what is shown of many records."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    Content,
    Conversation,
    Kind,
    Mark,
    Message,
    MessageState,
    MessageView,
    Precision,
    Range,
    Reaction,
    RecordIds,
    TombstoneReason,
    apply,
    fold,
    join,
    join_contacts,
    join_conversations,
    join_marks,
    merge,
    message_from_fields,
    message_to_fields,
    view,
)
from support.record_strategies import CHAT, FULL

IDS = RecordIds(bytes(32))
PLAIN = Message(CHAT, 1_000_000, 1, source=1, rank=1, text="one")
TARGET = IDS.message(PLAIN)


def sha(item: Any) -> bytes:
    return hashlib.sha256(cbor.encode(item)).digest()


def state_of(*records: Message | Mark) -> MessageState:
    state = MessageState()
    for record in records:
        state = join(state, record) if isinstance(record, Message) else apply(state, record)
    return state


def shown(*records: Message | Mark) -> MessageView:
    """The view of one message, the same in every order."""
    views = [view(state_of(*order)) for order in permutations(records)]
    assert all(one == views[0] for one in views)
    assert views[0] is not None
    return views[0]


def test_one_copy() -> None:
    assert shown(FULL) == MessageView(FULL)
    assert state_of(FULL) == MessageState(FULL)


def test_a_present_field_wins_over_an_absent_one() -> None:
    """REC-06"""
    bare = Message(CHAT, FULL.time, FULL.kind, source=42, precision=0, rank=42)
    assert shown(bare, FULL).message == FULL


def test_equal_copies_are_one() -> None:
    """REC-06"""
    decoded = message_from_fields(cbor.decode(cbor.encode(message_to_fields(FULL)), limit=10_000))
    assert shown(FULL, decoded) == MessageView(FULL)


def test_of_two_values_the_smallest_digest_wins() -> None:
    """REC-06"""
    for name, a, b in (
        ("author_name", "Ann", "Anna"),
        ("kind", Kind.TEXT, Kind.LINK),
        ("details", {"a": True}, {"a": 1}),
        ("reply_to", (1, b"x"), 7),
        ("direction", 1, 2),
    ):
        copies = [replace(FULL, **{name: value}) for value in (a, b)]  # type: ignore[arg-type]
        number = {"author_name": 11, "kind": 9, "details": 23, "reply_to": 16, "direction": 12}[name]
        expected = min((message_to_fields(copy)[number] for copy in copies), key=sha)
        assert sha(message_to_fields(shown(*copies).message)[number]) == sha(expected)


def test_time_precision_and_offset_stay_together() -> None:
    """The finest precision; of such copies one that knows its zone; then the smallest digest, never one's time with
    another's precision."""
    minute = replace(PLAIN, time=120_000, precision=Precision.MINUTES, offset=60)
    second = replace(PLAIN, time=121_000, precision=Precision.SECONDS, offset=None)
    zoned = replace(PLAIN, time=122_000, precision=Precision.SECONDS, offset=0)
    message = shown(minute, second, zoned).message
    assert (message.time, message.precision, message.offset) == (122_000, Precision.SECONDS, 0)


def test_the_greater_rank_wins() -> None:
    assert shown(PLAIN, replace(PLAIN, rank=9)).message.rank == 9


def test_contents_are_candidates() -> None:
    edited = replace(PLAIN, text="two", edited=5)
    revision = Mark(1, TARGET, edited=7, text="three", ranges=(Range(1, 0, 1),))
    found = shown(PLAIN, edited, revision)
    assert (found.message.text, found.message.ranges, found.message.edited) == ("three", (Range(1, 0, 1),), 7)
    assert found.history == (Content("two", None, 5), Content("one", None, None))


def test_contents_without_an_edit_are_ordered_by_digest() -> None:
    """REC-06"""
    texts = sorted(("one", "two", "three"), key=lambda text: sha([0, text, None]), reverse=True)
    found = shown(*(replace(PLAIN, text=text) for text in texts))
    assert [found.message.text, *(content.text for content in found.history)] == texts


def test_a_copy_that_says_nothing_is_no_candidate() -> None:
    assert shown(PLAIN, replace(PLAIN, text=None)) == MessageView(PLAIN)
    silent = replace(PLAIN, text=None)
    assert shown(silent, replace(silent, author="x")) == MessageView(replace(silent, author="x"))


def test_an_edit_at_zero_is_none() -> None:
    """REC-06"""
    assert shown(PLAIN, replace(PLAIN, edited=0)) == MessageView(PLAIN)
    assert view(MessageState(replace(PLAIN, edited=0))) == MessageView(PLAIN)


def test_equal_attachments_keep_their_order() -> None:
    two = (Attachment("b"), Attachment("a"))
    for attachments in (two, two[::-1]):
        message = replace(PLAIN, attachments=attachments)
        again = [replace(PLAIN, author="x", attachments=value) for value in (None, (), attachments)]
        assert shown(message, *again).message.attachments == attachments


def test_differing_attachments_are_united() -> None:
    """REC-06"""
    a, b, c = (Attachment(role) for role in "abc")
    supplement = Mark(2, TARGET, attachments=(c,))
    found = shown(replace(PLAIN, attachments=(b, a)), replace(PLAIN, attachments=(a, b)), supplement)
    expected = sorted((a, b, c), key=lambda one: sha({1: one.role, 9: 1}))
    assert found.message.attachments == tuple(expected)
    assert shown(PLAIN, supplement).message.attachments == (c,)
    assert shown(replace(PLAIN, attachments=()), PLAIN).message.attachments == ()


def test_reactions() -> None:
    marks = (
        Mark(3, TARGET, key="👍", count=3),
        Mark(3, TARGET, key="👍", count=1, actor="ann", time=5, clock=1),
        Mark(3, TARGET, key="👍", count=0, actor="ann", clock=2),
        Mark(3, TARGET, key="❤", count=1, actor="bob"),
    )
    assert shown(PLAIN, *marks).reactions == (Reaction("❤", "bob", 1, None), Reaction("👍", None, 3, None))


def test_marks_of_one_identity_join() -> None:
    """REC-06"""
    one, two = Mark(5, TARGET, reason=1, clock=1), Mark(5, TARGET, reason=1, clock=2)
    assert join_marks(one, two) == join_marks(two, one) == two
    few, many = Mark(3, TARGET, key="x", count=1, clock=0), Mark(3, TARGET, key="x", count=2)
    assert join_marks(few, many) == join_marks(many, few) == many
    a, b = Mark(4, TARGET, time=1), Mark(4, TARGET, time=2)
    expected = a if sha({1: 4, 2: TARGET, 11: 1}) < sha({1: 4, 2: TARGET, 11: 2}) else b
    assert join_marks(a, b) == join_marks(b, a) == expected
    assert join_marks(a, a) is a


@pytest.mark.parametrize("reason", list(TombstoneReason))
def test_a_tombstone_covers_whatever_comes(reason: TombstoneReason) -> None:
    """REC-07"""
    target = IDS.message(FULL)
    found = shown(
        FULL,
        Mark(1, target, edited=1 << 40, text="later"),
        Mark(2, target, attachments=(Attachment("x"),)),
        Mark(3, target, key="👍", count=1),
        Mark(5, target, reason=reason),
    )
    assert found.message == Message(
        CHAT,
        FULL.time,
        2,
        source=42,
        precision=0,
        offset=-480,
        received=FULL.received,
        rank=42,
        author="user1",
        author_name="Ann 安",
        direction=2,
    )
    assert (found.history, found.reactions) == ((), ())
    assert found.tombstone == Mark(5, target, reason=reason)


def test_of_several_tombstones_the_smallest_reason_shows() -> None:
    """REC-07"""
    marks = [Mark(5, TARGET, reason=reason) for reason in (3, 1, 2)]
    assert shown(PLAIN, *marks).tombstone == marks[1]


def test_marks_alone_show_nothing() -> None:
    """REC-07"""
    assert view(state_of(Mark(5, TARGET, reason=1))) is None


def test_marks_of_later_versions_change_nothing_and_are_kept() -> None:
    """REC-03"""
    mark = Mark(64, TARGET, text="x")
    assert shown(PLAIN, mark) == MessageView(PLAIN)
    assert list(state_of(PLAIN, mark).marks.values()) == [mark]


def test_states_merge() -> None:
    """REC-06"""
    parts = [
        state_of(PLAIN, Mark(3, TARGET, key="x", count=1)),
        state_of(replace(PLAIN, text="two"), Mark(3, TARGET, key="x", count=2)),
        state_of(Mark(5, TARGET, reason=1)),
        MessageState(),
    ]
    results = [merge(merge(merge(a, b), c), d) for a, b, c, d in permutations(parts)]
    results += [merge(merge(a, b), merge(c, d)) for a, b, c, d in permutations(parts)]
    assert all(result == results[0] for result in results)
    assert merge(results[0], results[0]) == results[0]


def test_contacts_and_conversations_join() -> None:
    """REC-06"""
    key = ContactKey("a", "", "c")
    old, new = Contact(key, "Old", rank=1), Contact(key, "New", rank=2)
    assert join_contacts(old, new) == join_contacts(new, old) == new
    other = replace(new, name="Other")
    fields = {1: "a", 2: "", 3: "c", 8: 2}
    expected = min((new, other), key=lambda one: sha({**fields, 4: one.name}))
    assert join_contacts(new, other) == join_contacts(other, new) == expected
    early, late = Conversation(CHAT, "Early", rank=1), Conversation(CHAT, "Late", rank=2)
    assert join_conversations(early, late) == join_conversations(late, early) == late
    same = replace(late, title="Same")
    assert join_conversations(late, same) == join_conversations(same, late)


def test_fold_of_everything() -> None:
    """REC-06"""
    key = ContactKey("telegram", "", "user1")
    contacts = [Contact(key, "Old", rank=1), Contact(key, "New", rank=2)]
    conversations = [Conversation(CHAT, "Old", rank=1), Conversation(CHAT, "New", rank=2)]
    messages = [replace(PLAIN, source=source, time=1000 * source, rank=source) for source in (3, 1, 2)]
    ids = [IDS.source(CHAT, source) for source in (1, 2, 3)]
    marks = [
        Mark(4, ids[1], actor="ann"),
        Mark(4, ids[0], actor="ann"),
        Mark(4, ids[0]),
        Mark(4, b"?" * 16),
        Mark(3, ids[0], key="x", count=1),
    ]
    found = fold(IDS, contacts=contacts, conversations=conversations, messages=messages, marks=marks)
    assert found.contacts == {key: contacts[1]}
    assert found.conversations == {CHAT: conversations[1]}
    assert list(found.messages) == ids
    assert found.reads == {CHAT: {"ann": ids[1], None: ids[0]}}
    assert found.waiting == {b"?" * 16}
    again = fold(
        IDS, contacts=contacts[::-1], conversations=conversations[::-1], messages=messages[::-1], marks=marks[::-1]
    )
    assert again == found
    assert list(again.messages) == ids
