"""Reading exports, beside the process that stores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sealkeep_client.importers import Exports, Problem
from sealkeep_protocol.records import Contact, Conversation, Mark, MessageColumns, RecordIds

_BATCH: Final = 4_000


@dataclass(frozen=True, slots=True, repr=False)
class ReadBatch:
    """A stretch of all exports, from that with the number `export`; `done` of `total` bytes are read with it."""

    export: int
    contacts: Sequence[Contact]
    conversations: Sequence[Conversation]
    messages: MessageColumns
    marks: Sequence[Mark]
    volatile: frozenset[str]
    problems: Sequence[Problem]
    left_out: Sequence[str]
    done: int
    total: int


def read_exports(exports: Exports, ids: RecordIds) -> Iterator[ReadBatch]:
    """Read exports. Touches nothing else, so that a worker can do it. Raises `SourceError`."""
    total, done = sum(export.size for export in exports), 0
    for number, export in enumerate(exports):
        for batch in export.batches(_BATCH):
            yield ReadBatch(
                number,
                batch.contacts,
                batch.conversations,
                batch.messages if isinstance(batch.messages, MessageColumns) else MessageColumns.of(batch.messages),
                [mark.resolve(ids.source) for mark in batch.marks],
                export.volatile,
                batch.problems,
                batch.left_out,
                done + batch.position,
                total,
            )
        done += export.size
