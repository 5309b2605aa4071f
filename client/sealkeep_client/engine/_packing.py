"""Filling bodies (spec §6.3–§6.4): how many records go into one segment, and sealing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
_AIM: Final = 0.985  # of the cap, at first: a body that is too long is encoded again
_FIRST_GUESS: Final = 40.0  # packed bytes a record
_ATTEMPTS: Final = 16  # at most; one or two are usual
_GUESSES: Final = 2  # of them, by density alone


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
        """How many records to offer `pack`: enough to fill a body, as far as the ones before tell."""
        return min(MAX_RECORDS, int(1.08 * MAX_PACKED / self._density) + MAX_LIVE_RECORDS)

    def wants_more(self, packed: Packed) -> bool:
        """Whether a body that took all it was offered has room for many more."""
        roomy = max(len(packed.data) / MAX_PACKED, packed.content_length / MAX_CONTENT) < _FULL_ENOUGH
        return roomy and not packed.full and packed.count < MAX_RECORDS

    def pack(self, records: Sequence[Record], segment_class: SegmentClass) -> Packed:
        """Pack as many of the first records as fit. Raises `ValueError` where not even one does."""
        compressed = segment_class is not SegmentClass.LIVE
        # So many fit, and so many do not; with what part of a body they take, where it is known.
        low, high = 0, min(len(records), MAX_RECORDS if compressed else MAX_LIVE_RECORDS) + 1
        low_fill, high_fill = 0.0, 0.0
        count = min(high - 1, max(1, self._guess(records))) if compressed else high - 1
        best: Packed | None = None
        attempts = 0
        while low + 1 < high and (best is None or attempts < _ATTEMPTS):
            attempts += 1
            content, data = _encode(records[:count], compressed=compressed)
            fill = max(len(data) / MAX_PACKED, len(content) / MAX_CONTENT)
            if fill <= 1:
                low, low_fill, best = count, fill, Packed(count, data, compressed, len(content), full=False)
                if fill >= _FULL_ENOUGH:
                    break
            else:
                high, high_fill = count, fill
            if high_fill:  # between the two, as if all records there were alike
                guess = low + int((high - low) * (_AIM - low_fill) / (high_fill - low_fill))
            else:
                guess = int(count * _AIM / low_fill)
            # They are not always: every other time what is left is halved.
            is_new = low < guess < high and (attempts <= _GUESSES or attempts % 2)
            count = guess if is_new else (low + high) // 2
        if best is None:
            raise ValueError("a record does not fit a body")
        full = best.count < len(records)
        if full or best.count >= 256:  # a few records say little of the next ones, unless they fill a body
            self._density = max(1.0, len(best.data) / best.count)
        return replace(best, full=full)

    def _guess(self, records: Sequence[Record]) -> int:
        """How many records to try first: by the density of those before, and by what their texts alone amount to."""
        count, size = 0, 0
        most = int(_AIM * MAX_PACKED / self._density)
        for record in records:
            size += len(record.text or "") if isinstance(record, Message | Mark) else 0
            if count >= most or size > MAX_CONTENT:
                break
            count += 1
        return count


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
