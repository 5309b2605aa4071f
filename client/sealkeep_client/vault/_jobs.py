"""The work of a sync that needs no store: packing bodies and decoding them, each a pure call that a worker may make."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sealkeep_client.engine import Packed, pack
from sealkeep_client.outgoing import Outgoing
from sealkeep_client.store import MessageRows, OutboxBatch, message_rows
from sealkeep_client.workers import Task, Worker
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.records import Contact, Conversation, Mark, MessageColumns, RecordIds, Unknown, decode_columns
from sealkeep_protocol.segments import SegmentClass

_WORTH_SENDING: Final = 100_000  # bytes of records: less is done before a worker has heard of it


@dataclass(frozen=True, slots=True, repr=False)
class DecodedContent:
    """A segment's records as the store takes them (the engine's `Content`).

    `unknown_ids` are the ids of all records by table, where the body has what this version does not know.
    """

    rows: MessageRows
    contacts: Sequence[Contact]
    conversations: Sequence[Conversation]
    marks: Sequence[Mark]
    unknown: Unknown
    unknown_ids: dict[int, list[bytes]] | None
    times: Sequence[int]
    stamps: Sequence[int]  # of the hybrid clock

    @property
    def records(self) -> int:
        return len(self.rows) + len(self.contacts) + len(self.conversations) + len(self.marks)


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
        body.unknown,
        unknown_ids,
        (min(times), max(times)) if times else (),
        stamps,
    )


class Jobs:
    """The calls under way for one sync, in the order in which the engine asked for them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._here = Worker(enabled=False)
        self._packing: deque[tuple[OutboxBatch, Task[Packed]]] = deque()
        self._decoding: deque[Task[DecodedContent]] = deque()

    def forget_packing(self) -> None:
        """Nobody wants what was offered before."""
        self._packing.clear()

    def pack(self, batch: OutboxBatch, segment_class: SegmentClass) -> None:
        """Begin to pack a batch."""
        outgoing: Outgoing = batch.outgoing
        self._packing.append((batch, self._for(outgoing.weight).submit(pack, outgoing, segment_class)))

    def packed(self) -> tuple[OutboxBatch, Packed]:
        """The first batch that was not taken yet. Raises `ValueError` where a record fits no body."""
        batch, task = self._packing.popleft()
        # While the worker has the next ones, the last is made here.
        for _, last in reversed(self._packing):
            if task.is_done or last.take_back():
                break
        return batch, task.result()

    def decode(self, content: bytes, ids: RecordIds) -> None:
        """Begin to decode a content."""
        self._decoding.append(self._for(len(content)).submit(decode_content, content, ids))

    def decoded(self) -> DecodedContent:
        """The first content that was not taken yet. Raises `MalformedError`."""
        return self._decoding.popleft().result()

    def _for(self, weight: int) -> Worker:
        return self._worker if weight >= _WORTH_SENDING else self._here
