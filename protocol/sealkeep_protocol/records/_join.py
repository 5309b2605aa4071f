"""The join of records with one identity (spec §7.6, §7.7): what is left of two copies, whichever came first.

Each part of a state is a greatest element, a set, or whatever has the smallest digest. Python's `==` is not used on maps:
to it, true is 1, and their digests differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from sealkeep_protocol.records._fields import CONTACTS, CONVERSATIONS, MARKS, MESSAGES
from sealkeep_protocol.records._ids import HasContent, MarkIdentity, content_digest, mark_identity
from sealkeep_protocol.records._model import Attachment, Contact, Conversation, Mark, Message, Range
from sealkeep_protocol.records._table import Field, R, Table, digest
from sealkeep_protocol.records._values import write_attachment

Attachments: TypeAlias = "tuple[Attachment, ...] | None"

# These have a join of their own; all others are joined as `_join_field` says.
_OWN_JOIN: Final = frozenset({"time", "precision", "offset", "rank", "text", "ranges", "edited", "attachments"})
_FIELDS: Final = tuple(field for field in MESSAGES.fields.values() if field.name not in _OWN_JOIN)
_SCALARS: Final = frozenset({int, str, bytes})
_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Content:
    """One candidate for what a message says; `edited` in ms, None for what never was edited."""

    text: str | None = None
    ranges: tuple[Range, ...] | None = None
    edited: int | None = None


Candidates: TypeAlias = Mapping[bytes, Content]


@dataclass(frozen=True, slots=True)
class MessageState:
    """All that is known of one message id: enough to go on joining, and to show it.

    `message` is the join of its copies, None before the first came; of their contents it holds the one that wins, `others`
    has the rest by digest. `mixed`: the copies' attachments differed, and stand in the order of their digests. `marks` are
    those that point at it. `MessageState(message)` is the state of a message with one copy and no mark.
    """

    message: Message | None = None
    others: Candidates = field(default_factory=lambda: _EMPTY)
    mixed: bool = False
    marks: Mapping[MarkIdentity, Mark] = field(default_factory=lambda: _EMPTY)


def join(state: MessageState, message: Message) -> MessageState:
    """The state with one more copy of its message."""
    return merge(state, MessageState(message))


def apply(state: MessageState, mark: Mark) -> MessageState:
    """The state with one more mark that points at its message."""
    return merge(state, MessageState(marks={mark_identity(mark): mark}))


def merge(a: MessageState, b: MessageState) -> MessageState:
    """The join of two states of one message."""
    # REC-06: "The join MUST be commutative, associative and idempotent: the same set of records gives the same view in
    # every order."
    marks = a.marks
    if b.marks:
        both = a.marks.keys() & b.marks.keys()
        marks = {**a.marks, **b.marks, **{key: join_marks(a.marks[key], b.marks[key]) for key in both}}
    if a.message is None or b.message is None:
        known = a if b.message is None else b
        return MessageState(_normal(known.message), known.others, known.mixed, marks)
    attachments, mixed = join_attachments(a.message.attachments, a.mixed, b.message.attachments, b.mixed)
    content, others = choose({**candidates(a.message), **candidates(b.message), **a.others, **b.others})
    ours, theirs = a.message, b.message
    timed = min(ours, theirs, key=_timing)
    joined = {one.name: _join_field(one, getattr(ours, one.name), getattr(theirs, one.name)) for one in _FIELDS}
    message = Message(
        **joined,
        time=timed.time,
        precision=timed.precision,
        offset=timed.offset,
        rank=max(a.message.rank, b.message.rank),
        text=content.text,
        ranges=content.ranges,
        edited=content.edited,
        attachments=attachments,
    )
    return MessageState(message, others, mixed, marks)


def _timing(message: Message) -> tuple[int, bool, bytes]:
    """Orders what copies say of a message's time: the finest first, then one that knows its zone.

    The time of one copy with the precision of another would claim what no source says.
    """
    time = [message.time, int(message.precision), message.offset]
    return int(message.precision), message.offset is None, digest(time)


def _normal(message: Message | None) -> Message | None:
    """An edit at 0 has the digest of none, and must not differ from it."""
    return replace(message, edited=None) if message and message.edited == 0 else message


def candidates(content: HasContent) -> dict[bytes, Content]:
    """The content of a copy or revision by its digest. A copy that says nothing is no candidate."""
    if content.text is None and content.ranges is None and not content.edited:
        return {}
    return {content_digest(content): Content(content.text, content.ranges, content.edited or None)}


def choose(found: Candidates) -> tuple[Content, Candidates]:
    """The candidate with the greatest (edited or 0, digest), and the others."""
    if not found:
        return Content(), _EMPTY
    winner = max(found, key=lambda key: (found[key].edited or 0, key))
    return found[winner], {key: content for key, content in found.items() if key != winner} or _EMPTY


def join_attachments(a: Attachments, a_mixed: bool, b: Attachments, b_mixed: bool) -> tuple[Attachments, bool]:
    """The union by digest, and whether it is one: lists that are equal keep their order."""
    if not b:
        return b if a is None else a, a_mixed
    if not a:
        return b, b_mixed
    if a == b:
        return a, a_mixed or b_mixed
    by_digest = {digest(write_attachment(attachment)): attachment for attachment in (*a, *b)}
    return tuple(by_digest[key] for key in sorted(by_digest)), True


def _join_field(of: Field, a: Any, b: Any) -> Any:
    """A present value over an absent one, otherwise the one with the smallest digest."""
    if b is None or a is b:
        return a
    if a is None:
        return b
    if type(a) in _SCALARS and a == b:
        return a
    return min((digest(of.codec.write([value])[0]), index, value) for index, value in enumerate((a, b)))[2]


def join_marks(a: Mark, b: Mark) -> Mark:
    """The join of two marks of one identity: the greater (clock or 0, count or 0), then the smallest digest."""
    a_rank, b_rank = ((mark.clock or 0, mark.count or 0) for mark in (a, b))
    return (a if a_rank > b_rank else b) if a_rank != b_rank else _smallest(MARKS, a, b)


def join_contacts(a: Contact, b: Contact) -> Contact:
    """The join of two records of one contact: the greater rank, then the smallest digest (§7.2)."""
    return (a if a.rank > b.rank else b) if a.rank != b.rank else _smallest(CONTACTS, a, b)


def join_conversations(a: Conversation, b: Conversation) -> Conversation:
    """The join of two records of one conversation: the greater rank, then the smallest digest (§7.2)."""
    return (a if a.rank > b.rank else b) if a.rank != b.rank else _smallest(CONVERSATIONS, a, b)


def _smallest(table: Table[R], a: R, b: R) -> R:
    """The record whose map of fields has the smallest digest."""
    if a is b:
        return a
    a_row, b_row = table.to_rows([a, b])
    return a if digest(a_row) <= digest(b_row) else b
