"""Any set of records folds into one view, in every order and however it is divided (spec §7.7)."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    Mark,
    Message,
    MessageState,
    RecordIds,
    View,
    apply,
    fold,
    join,
    join_contacts,
    merge,
    view,
)
from support import record_strategies as some

IDS = RecordIds(bytes(32))
TARGET = IDS.source(some.CHAT, 1)

# Few values each, so that copies agree often enough to be joined in every way.
copies = st.builds(
    Message,
    conversation=st.just(some.CHAT),
    source=st.just(1),
    time=st.integers(0, 2000),
    kind=st.integers(0, 2),
    rank=st.integers(0, 2),
    author=st.none() | st.sampled_from("ab"),
    text=st.none() | st.sampled_from(["", "x", "y"]),
    ranges=st.none() | st.just(()) | some.ranges,
    edited=st.none() | st.integers(0, 2),
    pinned=st.none() | st.booleans(),
    attachments=st.none() | some.attachments,
    details=st.none() | st.dictionaries(st.just("k"), st.booleans() | st.integers(0, 1), max_size=1),
)
records = copies | some.marks_for(st.just(TARGET))
states = st.lists(records, max_size=4).map(lambda found: reduce(add, found, MessageState()))


def add(state: MessageState, record: Message | Mark) -> MessageState:
    return join(state, record) if isinstance(record, Message) else apply(state, record)


@given(states, states, states)
def test_merge_is_a_join(a: MessageState, b: MessageState, c: MessageState) -> None:
    """REC-06"""
    assert _seen(merge(a, b)) == _seen(merge(b, a))
    assert _seen(merge(merge(a, b), c)) == _seen(merge(a, merge(b, c)))
    assert _seen(merge(a, a)) == _seen(a)
    assert _seen(merge(merge(a, b), b)) == _seen(merge(a, b))


def _seen(state: MessageState) -> str:
    """A state as text: `==` would take true for 1."""
    return repr((state.message, sorted(state.others.items()), state.mixed, sorted(map(repr, state.marks.items()))))


@given(st.lists(records, max_size=7), st.randoms(use_true_random=False))
def test_every_order_gives_the_same_view(found: list[Message | Mark], random: object) -> None:
    """REC-06"""
    shuffled = [*found, *found[:2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert repr(view(reduce(add, found, MessageState()))) == repr(view(reduce(add, shuffled, MessageState())))


@given(copies, st.lists(records, max_size=5))
def test_nothing_shows_through_a_tombstone(message: Message, others: list[Message | Mark]) -> None:
    """REC-07"""
    tombstone = Mark(5, TARGET, reason=1)
    for order in ([message, *others, tombstone], [tombstone, message, *others], [*others, tombstone, message]):
        seen = view(reduce(add, order, MessageState()))
        assert seen is not None
        assert seen.tombstone is not None
        assert (seen.message.text, seen.message.attachments, seen.reactions, seen.history) == (None, None, (), ())


def _order(found: View) -> list[bytes]:
    return list(found.messages)


chats = st.lists(st.builds(replace, copies, source=st.integers(0, 3)), max_size=6)


@given(
    chats,
    st.lists(some.marks_for(st.sampled_from([IDS.source(some.CHAT, source) for source in range(5)])), max_size=6),
    st.randoms(use_true_random=False),
)
def test_fold_of_a_chat(messages: list[Message], marks: list[Mark], random: object) -> None:
    """REC-06"""
    once = fold(IDS, messages=messages, marks=marks)
    random.shuffle(messages)  # type: ignore[attr-defined]
    random.shuffle(marks)  # type: ignore[attr-defined]
    again = fold(IDS, messages=messages, marks=[*marks, *marks])
    assert again == once
    assert _order(again) == _order(once)


names = st.builds(
    Contact,
    key=st.just(ContactKey("a", "", "b")),
    name=st.none() | st.sampled_from("xy"),
    rank=st.integers(0, 1),
    extension=st.none() | st.dictionaries(st.just("k"), st.booleans() | st.integers(0, 1), max_size=1),
)


@given(names, names, names)
def test_contacts_join(a: Contact, b: Contact, c: Contact) -> None:
    """REC-06"""
    assert repr(join_contacts(a, b)) == repr(join_contacts(b, a))
    assert repr(join_contacts(join_contacts(a, b), c)) == repr(join_contacts(a, join_contacts(b, c)))
    assert join_contacts(a, a) == a
