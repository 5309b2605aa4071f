"""Records on their way out: what the store hands over to be packed, and what the engine packs into one body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from sealkeep_protocol.files import ContentRecord
from sealkeep_protocol.records import Attachment, Contact, Conversation, Mark, Message, MessageColumns, Preview

Attachments: TypeAlias = tuple[Attachment, ...] | None
Record: TypeAlias = Contact | Conversation | Message | Mark | Preview
Parts: TypeAlias = tuple[Sequence[Contact], Sequence[Conversation], MessageColumns, Sequence[Mark], Sequence[Preview]]


class Messages(Protocol):
    """Messages in whatever form their store holds them; the columns are made where they are needed, and no sooner."""

    def __len__(self) -> int: ...

    def columns(self, count: int) -> MessageColumns:
        """The columns of the first `count`."""

    def attachments(self) -> Iterable[Attachments]:
        """Those of each message, or of those at least that name a content."""


class StoredContent(NamedTuple):
    """A content record that goes along with what names its root, and the ids of its chunks: of all, where it `is_complete`,
    otherwise of its list's alone, which nobody could show."""

    record: ContentRecord
    chunks: tuple[bytes, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """Records that wait to be sealed, by table, and how they follow each other. Plain values: it can be pickled.

    `order` holds (number of the table in spec §7.1, how many of it follow); `weight` is about the bytes that all of them
    take before compression.
    """

    contacts: Sequence[Contact]
    conversations: Sequence[Conversation]
    messages: Messages
    marks: Sequence[Mark]
    order: Sequence[tuple[int, int]]
    weight: int
    previews: Sequence[Preview] = ()
    contents: Mapping[bytes, Sequence[StoredContent]] = field(default_factory=dict)  # by root

    def __len__(self) -> int:
        others = len(self.contacts) + len(self.conversations) + len(self.marks) + len(self.previews)
        return others + len(self.messages)

    def first(self, count: int) -> Parts:
        """The first `count` of them, by table."""
        taken = dict.fromkeys((1, 2, 3, 4, 6), 0)
        for table, many in self.order:
            part = min(many, count)
            taken[table] += part
            count -= part
        return (
            self.contacts[: taken[1]],
            self.conversations[: taken[2]],
            self.messages.columns(taken[3]),
            self.marks[: taken[4]],
            self.previews[: taken[6]],
        )

    def roots(self) -> list[bytes]:
        """The roots of all contents that the messages and marks name."""
        return _roots(self.messages.attachments(), self.marks)

    def stored_of(self, messages: MessageColumns, marks: Sequence[Mark]) -> list[StoredContent]:
        """The content records of all that some messages and marks name."""
        if not self.contents:
            return []
        roots = _roots(messages.columns.get(22, ()), marks)
        return [stored for root in roots for stored in self.contents.get(root, ())]


def _roots(of_messages: Iterable[Attachments], marks: Sequence[Mark]) -> list[bytes]:
    named = [*of_messages, *(mark.attachments for mark in marks)]
    return list(dict.fromkeys(one.root for those in named for one in those or () if one.root is not None))
