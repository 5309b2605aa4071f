"""Filling bodies (spec §6.3–§6.4): how many records go into one segment, and sealing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sealkeep_client.engine._state import Account
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.padding import MAX_CONTENT, compress
from sealkeep_protocol.records import (
    MAX_RECORDS,
    Contact,
    Conversation,
    Mark,
    Message,
    RecordIds,
    encode_body,
)
from sealkeep_protocol.segments import (
    MAX_PACKED,
    Position,
    SealedSegment,
    SegmentClass,
    seal_segment,
    summarize,
)
from sealkeep_protocol.types import Seq

Record: TypeAlias = Contact | Conversation | Message | Mark

MAX_LIVE_RECORDS: Final = 64
_FULL_ENOUGH: Final = 0.96  # of the cap: filling closer costs more than the padding
_FIRST_GUESS: Final = 40.0  # packed bytes a record
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Packed:
    """The first `count` of the records given, as the content of one body."""

    count: int
    data: bytes
    compressed: bool
    content_length: int
    full: bool  # no more of them would fit


class Packer:
    """Fills bodies to the cap, remembering how dense the records before were."""

    def __init__(self) -> None:
        self._density = _FIRST_GUESS

    @property
    def wanted(self) -> int:
        """How many records to offer `pack`: enough to fill a body."""
        return min(MAX_RECORDS, int(1.25 * MAX_PACKED / self._density) + 64)

    def pack(self, records: Sequence[Record], segment_class: SegmentClass) -> Packed:
        """Pack as many of the first records as fit. Raises `ValueError` where not even one does."""
        compressed = segment_class is not SegmentClass.LIVE
        low, high = (
            0,
            min(len(records), MAX_RECORDS if compressed else MAX_LIVE_RECORDS),
        )  # `low` fits, `high` may
        count, best = high, None
        if compressed:
            count = min(high, max(1, int(MAX_PACKED / self._density)))
        for _ in range(_ATTEMPTS):
            content, data = _encode(records[:count], compressed=compressed)
            size = len(data)
            if size <= MAX_PACKED and len(content) <= MAX_CONTENT:
                low = count
                best = Packed(count, data, compressed, len(content), full=False)
                if count == high or size >= _FULL_ENOUGH * MAX_PACKED:
                    break
                guess = int(count * 0.99 * MAX_PACKED / max(size, 1))
            else:
                high = count - 1
                guess = int(count * min(0.98 * MAX_PACKED / size, 0.98 * MAX_CONTENT / len(content)))
            if high <= low:
                break
            count = min(high, max(low + 1, guess))
        while best is None:  # a few large records: halve until they fit
            if high < 1:
                raise ValueError("a record does not fit a body")
            count = max(1, high // 2)
            content, data = _encode(records[:count], compressed=compressed)
            if len(data) <= MAX_PACKED and len(content) <= MAX_CONTENT:
                best = Packed(count, data, compressed, len(content), full=False)
            high = count - 1
        if best.count >= 256:
            self._density = max(1.0, len(best.data) / best.count)
        return Packed(best.count, best.data, compressed, best.content_length, full=best.count < len(records))


def _encode(records: Sequence[Record], *, compressed: bool) -> tuple[bytes, bytes]:
    content = encode_body(
        [record for record in records if isinstance(record, Contact)],
        [record for record in records if isinstance(record, Conversation)],
        [record for record in records if isinstance(record, Message)],
        [record for record in records if isinstance(record, Mark)],
    )
    return content, compress(content) if compressed else content


def seal_records(
    account: Account,
    tail: Feed,
    records: Sequence[Record],
    packed: Packed,
    segment_class: SegmentClass,
    ids: RecordIds,
    *,
    salt: bytes,
    last: bool,
) -> SealedSegment:
    """Seal packed records as the segment that follows `tail`, the own feed with all that is pending.

    `records` are exactly the packed ones.
    """
    messages = [record for record in records if isinstance(record, Message)]
    conversations = {message.conversation for message in messages}
    summary = summarize(
        segment_class,
        (message.time for message in messages),
        len(records),
        (ids.conversation(key) for key in conversations),
        packed.content_length,
        has_marks=any(isinstance(record, Mark) for record in records),
    )
    heads = account.heads_of_others()
    named = tail.heads
    position = Position(
        account=account.id,
        device=account.device,
        seq=Seq(tail.seq + 1),
        previous=tail.head,
        roster_number=account.roster.number,
        roster_head=account.roster.head,
        changed_heads=tuple(head for head in heads if named.get(head.device) != head),
        all_heads=heads,
    )
    return seal_segment(
        position,
        account.epoch(account.roster.epoch),
        account.keys.signing,
        summary,
        packed.data,
        compressed=packed.compressed,
        salt=salt,
        last=last,
    )
