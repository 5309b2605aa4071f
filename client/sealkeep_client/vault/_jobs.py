"""The work of a sync that needs no store: packing bodies and decoding them, each a pure call that a worker may make."""

from __future__ import annotations

from collections import deque
from typing import Final

from sealkeep_client.engine import Packed, pack
from sealkeep_client.jobs.contents import DecodedContent, decode_content
from sealkeep_client.outgoing import Outgoing
from sealkeep_client.store import OutboxBatch
from sealkeep_client.workers import Task, Worker
from sealkeep_protocol.records import RecordIds
from sealkeep_protocol.segments import SegmentClass

_WORTH_SENDING: Final = 100_000  # bytes of records: less is done before a worker has heard of it


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
