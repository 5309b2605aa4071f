"""Records as the engine has them packed, and contents as it has them decoded, for stores in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sealkeep_client.outgoing import Attachments, Outgoing, Record
from sealkeep_protocol.records import Body, Contact, ContentRecord, Conversation, Mark, Message, MessageColumns

_TABLES = {Contact: 1, Conversation: 2, Message: 3, Mark: 4}


@dataclass(frozen=True)
class MadeMessages:
    """Messages as they are; the columns are made of them."""

    messages: Sequence[Message]

    def __len__(self) -> int:
        return len(self.messages)

    def columns(self, count: int) -> MessageColumns:
        return MessageColumns.of(self.messages[:count])

    def attachments(self) -> list[Attachments]:
        return [message.attachments for message in self.messages]


def outgoing(records: Sequence[Record]) -> Outgoing:
    return Outgoing(
        contacts=[record for record in records if isinstance(record, Contact)],
        conversations=[record for record in records if isinstance(record, Conversation)],
        messages=MadeMessages([record for record in records if isinstance(record, Message)]),
        marks=[record for record in records if isinstance(record, Mark)],
        order=[(_TABLES[type(record)], 1) for record in records],
        weight=sum(map(weight_of, records)),
    )


def weight_of(record: Record) -> int:
    """About the bytes of a record in a body."""
    return 32 + len((getattr(record, "text", None) or "").encode())


@dataclass(frozen=True)
class DecodedBody:
    """A decoded body (the engine's `Content`)."""

    body: Body

    @property
    def records(self) -> int:
        return sum(self.body.counts.values())

    @property
    def times(self) -> Sequence[int]:
        times = [message.time for message in self.body.messages]
        return (min(times), max(times)) if times else ()

    @property
    def tables(self) -> Collection[int]:
        return self.body.counts

    @property
    def newest_epoch(self) -> int:
        return self.body.newest_epoch

    @property
    def contents(self) -> Sequence[ContentRecord]:
        return self.body.contents
