"""What of a message's attachments a view shows (spec §12.2)."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol import cbor
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import (
    Attachment,
    Covering,
    Mark,
    Message,
    MessageState,
    apply,
    join,
    shown_attachments,
    view,
)
from sealkeep_protocol.records._values import write_attachment
from support.record_strategies import CHAT

ROOT, OTHER = bytes(range(32)), bytes(32)
PLAIN = Message(CHAT, 1_000_000, 1, source=1, text="look")
NOT_HERE = Attachment("photo", state=2)
STORED = Attachment("photo", state=0, root=ROOT)


def shown(*lists: tuple[Attachment, ...], supplements: bool = False) -> tuple[Attachment, ...]:
    """The attachments in the view of a message of which copies, or supplements, have these lists: in every order."""
    records: list[Message | Mark] = [replace(PLAIN, attachments=each) for each in lists]
    if supplements:
        records = [PLAIN, *(Mark(2, bytes(16), attachments=each) for each in lists)]
    views = []
    for order in permutations(records):
        state = MessageState()
        for record in order:
            state = join(state, record) if isinstance(record, Message) else apply(state, record)
        found = view(state)
        assert found is not None
        views.append(found.message.attachments)
    assert all(one == views[0] for one in views)
    return views[0] or ()


def by_digest(*attachments: Attachment) -> tuple[Attachment, ...]:
    return tuple(sorted(attachments, key=lambda one: sha256(cbor.encode(write_attachment(one)))))


@pytest.mark.parametrize("supplements", [False, True])
def test_of_a_union_one_stands_for_all_that_are_alike(supplements: bool) -> None:
    """REC-06: alike in role, name and root; what else they say decides which."""
    named = replace(STORED, name="a.jpg")
    alike = by_digest(named, replace(named, width=1), replace(named, size=7), replace(named, media_type="image/png"))
    assert shown(*((one,) for one in alike), supplements=supplements) == alike[:1]
    differing = by_digest(named, STORED, replace(named, role="file"), replace(named, root=OTHER))
    assert shown(*((one,) for one in differing), supplements=supplements) == differing


def test_a_list_that_all_copies_have_is_shown_as_it_is() -> None:
    twice = (replace(STORED, width=2), STORED)
    assert shown(twice) == shown(twice, twice) == twice
    assert shown(twice, (STORED,)) == by_digest(*twice)[:1]


@pytest.mark.parametrize(
    ("placeholder", "stored"),
    [
        (NOT_HERE, STORED),
        (NOT_HERE, replace(STORED, name="a.jpg", size=5)),
        (replace(NOT_HERE, name="a.jpg"), STORED),
        (replace(NOT_HERE, name="a.jpg"), replace(STORED, name="a.jpg")),
        (replace(NOT_HERE, name="a.jpg", size=5), replace(STORED, name="a.jpg")),
        (replace(NOT_HERE, size=5, path="photos/a.jpg", state=1), replace(STORED, name="a.jpg", size=5)),
    ],
)
def test_a_placeholder_is_not_shown_beside_what_it_stands_for(placeholder: Attachment, stored: Attachment) -> None:
    """REC-06"""
    assert shown((placeholder,), (stored,)) == shown((placeholder,), (stored,), supplements=True) == (stored,)


def test_one_source_that_has_one_photo_and_lacks_another_shows_both() -> None:
    """Nothing says that the one stands for the other: the list comes from one place, where they were two."""
    pair = (NOT_HERE, STORED)
    assert shown(pair) == shown(pair, pair) == pair


@pytest.mark.parametrize(
    ("placeholder", "stored"),
    [
        (replace(NOT_HERE, role="file"), STORED),
        (replace(NOT_HERE, name="a.jpg"), replace(STORED, name="b.jpg")),
        (replace(NOT_HERE, size=5), replace(STORED, size=6)),
        (replace(NOT_HERE, name="a.jpg", size=5), replace(STORED, name="a.jpg", size=6)),
        (replace(NOT_HERE, name="a.jpg", size=5), replace(STORED, name="b.jpg", size=5)),
    ],
)
def test_a_placeholder_for_something_else_is_shown(placeholder: Attachment, stored: Attachment) -> None:
    assert shown((placeholder,), (stored,)) == by_digest(placeholder, stored)


def test_of_several_placeholders_only_what_says_the_same_is_covered() -> None:
    named = replace(NOT_HERE, name="a.jpg")
    stored = replace(STORED, name="a.jpg")
    assert shown((NOT_HERE, named), (stored,)) == by_digest(NOT_HERE, stored)
    both = (NOT_HERE, replace(NOT_HERE, width=1))
    assert shown(both, (STORED,)) == by_digest(*both, STORED)
    # One of another role does not count.
    assert shown((NOT_HERE, Attachment("file")), (STORED,)) == by_digest(Attachment("file"), STORED)
    assert Covering((named, stored, STORED)).covers(named)


def test_any_of_the_stored_ones_covers() -> None:
    named = replace(NOT_HERE, name="b.jpg")
    both = (replace(STORED, name="a.jpg"), replace(STORED, name="b.jpg"))
    assert shown((named,), both) == by_digest(*both)


def test_without_anything_stored_nothing_is_left_out() -> None:
    lists: list[tuple[Attachment, ...]] = [(), (NOT_HERE,), (NOT_HERE, NOT_HERE, Attachment("file"))]
    for each in lists:
        assert shown_attachments(each, mixed=True) is each
    assert shown_attachments(None, mixed=False) is None


def test_what_is_hidden_comes_back_with_the_records_that_are_there() -> None:
    """Nothing of it is stored: a state keeps every attachment."""
    state = join(MessageState(replace(PLAIN, attachments=(NOT_HERE,))), replace(PLAIN, attachments=(STORED,)))
    assert state.message is not None
    assert state.message.attachments == by_digest(NOT_HERE, STORED)
    again = join(state, replace(PLAIN, attachments=(replace(NOT_HERE, width=3),)))
    found = view(again)
    assert found is not None
    assert found.message.attachments == by_digest(NOT_HERE, STORED, replace(NOT_HERE, width=3))


def test_revisions_and_reactions_change_nothing_of_it() -> None:
    state = join(MessageState(replace(PLAIN, attachments=(NOT_HERE,))), replace(PLAIN, attachments=(STORED,)))
    found = view(apply(state, Mark(3, bytes(16), key="x", count=1)))
    assert found is not None
    assert found.message.attachments == (STORED,)


# Each of which a source may say or not.
SAID = [(name, size) for name in (None, "a", "b") for size in (None, 0, 1)]


@given(
    st.lists(st.sampled_from([replace(NOT_HERE, name=name, size=size) for name, size in SAID]), max_size=3),
    st.lists(st.sampled_from([replace(STORED, name=name, size=size) for name, size in SAID]), max_size=3),
    st.sampled_from([replace(NOT_HERE, name=name, size=size) for name, size in SAID]),
)
def test_covered_is_what_the_sentence_says(
    others: list[Attachment], stored: list[Attachment], placeholder: Attachment
) -> None:
    """REC-06: word by word, one against each."""
    joined = [*others, placeholder, *stored]
    expected = False
    for one in stored:
        differs = any(
            mine is not None and its is not None and mine != its
            for mine, its in ((placeholder.name, one.name), (placeholder.size, one.size))
        )
        alike = (placeholder.name is not None and placeholder.name == one.name) or (
            placeholder.size is not None and placeholder.size == one.size
        )
        expected = expected or (not differs and (alike or not others))
    assert Covering(joined).covers(placeholder) is expected


def test_thousands_of_attachments_are_no_work() -> None:
    """Each is looked up, none is held against every other: this would be 10^9 comparisons."""
    names = [str(number) for number in range(30_000)]
    joined = (*(replace(NOT_HERE, name=name) for name in names), *(replace(STORED, name=name + "x") for name in names))
    assert shown_attachments(joined, mixed=True) is joined
