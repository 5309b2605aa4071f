"""Decoding the content of a segment, beside the process that stores its records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sealkeep_client.store import MessageRows, message_rows
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.records import (
    Contact,
    ContentRecord,
    Conversation,
    Mark,
    MessageColumns,
    Preview,
    RecordIds,
    Unknown,
    decode_columns,
)


@dataclass(frozen=True, slots=True, repr=False)
class DecodedContent:
    """A segment's records as the store takes them (the engine's `Content`).

    `unknown_ids` are the ids of all records by table, where the body has what this version does not know.
    """

    rows: MessageRows
    contacts: Sequence[Contact]
    conversations: Sequence[Conversation]
    marks: Sequence[Mark]
    contents: Sequence[ContentRecord]
    previews: Sequence[Preview]
    unknown: Unknown
    unknown_ids: dict[int, list[bytes]] | None
    times: Sequence[int]
    stamps: Sequence[int]  # of the hybrid clock
    records: int  # of all tables
    tables: Collection[int]
    newest_epoch: int


def decode_content(content: bytes, ids: RecordIds) -> DecodedContent:
    """Decode the opened content of a segment. Raises `MalformedError` as `decode_body` does."""
    body = decode_columns(content, limit=MAX_CONTENT)
    rows = message_rows(body.messages, ids)
    unknown_ids = None
    if body.unknown.tables or body.unknown.fields:
        unknown_ids = {
            1: [ids.contact(contact.key) for contact in body.contacts],
            2: [ids.conversation(conversation.key) for conversation in body.conversations],
            3: rows.ids,
            4: [ids.mark(mark) for mark in body.marks],
            5: [ids.content(record) for record in body.contents],
            6: [ids.preview(preview) for preview in body.previews],
        }
    columns = body.messages.columns if isinstance(body.messages, MessageColumns) else {}
    times = columns.get(4, ())
    stamps = [native.clock for native in columns.get(3, ()) if native is not None]
    stamps += [mark.clock for mark in body.marks if mark.clock is not None]
    return DecodedContent(
        rows,
        body.contacts,
        body.conversations,
        body.marks,
        body.contents,
        body.previews,
        body.unknown,
        unknown_ids,
        (min(times), max(times)) if times else (),
        stamps,
        sum(body.counts.values()),
        frozenset(body.counts),
        body.newest_epoch,
    )
