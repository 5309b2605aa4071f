"""Records on their way out: what the store hands over to be packed, and what the engine packs into one body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sealkeep_protocol.records import Contact, Conversation, Mark, Message, MessageColumns

Record: TypeAlias = Contact | Conversation | Message | Mark


class Messages(Protocol):
    """Messages in whatever form their store holds them; the columns are made where they are needed, and no sooner."""

    def __len__(self) -> int: ...

    def columns(self, count: int) -> MessageColumns:
        """The columns of the first `count`."""


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

    def __len__(self) -> int:
        return len(self.contacts) + len(self.conversations) + len(self.messages) + len(self.marks)

    def first(self, count: int) -> tuple[Sequence[Contact], Sequence[Conversation], MessageColumns, Sequence[Mark]]:
        """The first `count` of them, by table."""
        taken = dict.fromkeys((1, 2, 3, 4), 0)
        for table, many in self.order:
            part = min(many, count)
            taken[table] += part
            count -= part
        return (
            self.contacts[: taken[1]],
            self.conversations[: taken[2]],
            self.messages.columns(taken[3]),
            self.marks[: taken[4]],
        )
