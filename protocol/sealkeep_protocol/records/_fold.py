"""The fold: what a set of records looks like to a person (spec §7.7), the same whatever the order in which they came.

`view` shows one message from its state, for a store that folds as records arrive; `fold` does it all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sealkeep_protocol.records._ids import RecordIds
from sealkeep_protocol.records._join import (
    Content,
    MessageState,
    apply,
    candidates,
    choose,
    join,
    join_attachments,
    join_contacts,
    join_conversations,
)
from sealkeep_protocol.records._model import (
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ExtensionMap,
    Mark,
    MarkType,
    Message,
)
from sealkeep_protocol.records._order import order_key
from sealkeep_protocol.records._shown import shown_attachments


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction that a message has: by one contact (its source), or by so many where the source does not say who."""

    key: str
    actor: str | None
    count: int
    time: int | None
    extension: ExtensionMap | None = None


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message as it is shown.

    `message` holds the newest content and those of its attachments that are shown; `history` the other contents, the newest
    first; `tombstone` the mark that says that it is gone, and then `message` has only what places it (fields 1 to 12).
    """

    message: Message
    history: tuple[Content, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    tombstone: Mark | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a set of records looks like.

    `messages` by id, in the order of views; `reads` by conversation and actor: the id of the last message that was read;
    `waiting`: ids that marks point at, whose messages have not come.
    """

    contacts: Mapping[ContactKey, Contact]
    conversations: Mapping[ConversationKey, Conversation]
    messages: Mapping[bytes, MessageView]
    reads: Mapping[ConversationKey, Mapping[str | None, bytes]]
    waiting: frozenset[bytes]


def view(state: MessageState) -> MessageView | None:
    """What is shown of a message; None where only marks for it have come."""
    return None if state.message is None else _show(state.message, state)


def _show(message: Message, state: MessageState) -> MessageView:
    if not state.marks and not state.others and message.edited != 0:  # nearly every message; at 0 it was never edited
        shown = shown_attachments(message.attachments, mixed=state.mixed)
        return MessageView(message if shown is message.attachments else replace(message, attachments=shown))
    tombstones = [mark for mark in state.marks.values() if mark.type == MarkType.TOMBSTONE]
    if tombstones:
        return MessageView(_bare(message), tombstone=min(tombstones, key=lambda mark: mark.reason or 0))
    found = {**candidates(message), **state.others}
    attachments, mixed = message.attachments, state.mixed
    reactions = []
    for mark in state.marks.values():
        if mark.type == MarkType.REVISION:
            found.update(candidates(mark))
        elif mark.type == MarkType.SUPPLEMENT:
            attachments, mixed = join_attachments(attachments, mixed, mark.attachments, False)
        elif mark.type == MarkType.REACTION and mark.count:
            reactions.append(Reaction(mark.key or "", mark.actor, mark.count, mark.time, mark.extension))
    content, others = choose(found)
    reactions.sort(key=lambda reaction: (reaction.key, reaction.actor is not None, reaction.actor or ""))
    attachments = shown_attachments(attachments, mixed=mixed)
    return MessageView(
        replace(message, text=content.text, ranges=content.ranges, edited=content.edited, attachments=attachments),
        history=tuple(others[key] for key in sorted(others, key=lambda k: (others[k].edited or 0, k), reverse=True)),
        reactions=tuple(reactions),
    )


def _bare(message: Message) -> Message:
    # REC-07: "A message covered by a tombstone MUST NOT show text, attachments or reactions in a view, whichever came
    # first."
    # What else it said goes with them: the view keeps fields 1 to 12.
    return Message(
        conversation=message.conversation,
        source=message.source,
        native=message.native,
        time=message.time,
        precision=message.precision,
        offset=message.offset,
        received=message.received,
        rank=message.rank,
        kind=message.kind,
        author=message.author,
        author_name=message.author_name,
        direction=message.direction,
    )


def fold(
    ids: RecordIds,
    *,
    contacts: Iterable[Contact] = (),
    conversations: Iterable[Conversation] = (),
    messages: Iterable[Message] = (),
    marks: Iterable[Mark] = (),
) -> View:
    """Fold a set of records into a view, in whatever order they come (REC-06). Raises as `RecordIds` does."""
    known_contacts: dict[ContactKey, Contact] = {}
    for contact in contacts:
        other = known_contacts.get(contact.key)
        known_contacts[contact.key] = join_contacts(other, contact) if other else contact
    known_conversations: dict[ConversationKey, Conversation] = {}
    for conversation in conversations:
        earlier = known_conversations.get(conversation.key)
        known_conversations[conversation.key] = join_conversations(earlier, conversation) if earlier else conversation
    states: dict[bytes, MessageState] = {}
    empty = MessageState()
    for message in messages:
        record_id = ids.message(message)
        states[record_id] = join(states.get(record_id, empty), message)
    for mark in marks:
        states[mark.target] = apply(states.get(mark.target, empty), mark)

    ordered = sorted(
        ((order_key(state.message, key), state.message, state) for key, state in states.items() if state.message),
        key=lambda found: found[0],
    )
    reads: dict[ConversationKey, dict[str | None, bytes]] = {}
    for key, message, state in ordered:
        for mark in state.marks.values():
            if mark.type == MarkType.READ:
                reads.setdefault(message.conversation, {})[mark.actor] = key[2]
    return View(
        dict(sorted(known_contacts.items())),
        dict(sorted(known_conversations.items())),
        {key[2]: _show(message, state) for key, message, state in ordered},
        reads,
        frozenset(key for key, state in states.items() if state.message is None),
    )
