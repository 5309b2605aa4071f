"""Filling bodies (spec §6.3–§6.4): how many records go into one segment, and sealing them."""

from __future__ import annotations

from typing import Final

from sealkeep_client.engine._packed import Packed
from sealkeep_client.engine._state import Account
from sealkeep_client.outgoing import Outgoing
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.files import MAX_CHUNKS
from sealkeep_protocol.padding import compress
from sealkeep_protocol.records import MAX_RECORDS, BodyTooLargeError, RecordIds, encode_body
from sealkeep_protocol.segments import (
    MAX_PACKED,
    Position,
    SealedSegment,
    SegmentClass,
    seal_segment,
    summarize,
)
from sealkeep_protocol.types import Seq

MAX_LIVE_RECORDS: Final = 64
_FULL_ENOUGH: Final = 0.9  # of the cap: filling closer costs more than the padding
_AIM: Final = 0.965  # of the cap: a body that is too long is encoded again
_FIRST_DENSITY: Final = 0.3  # packed bytes for each byte of records
_BODIES: Final = 4  # packed at once
_AT_ONCE: Final = 1 << 22  # bytes of their records: those that compress to nothing fill a body with megabytes
_ATTEMPTS: Final = 16  # at most; one is usual
_GUESSES: Final = 2  # of them, by density alone


class Packer:
    """Says how much to pack at once, by how dense the bodies before came out."""

    def __init__(self) -> None:
        self._fill_of_a_byte = _FIRST_DENSITY / MAX_PACKED
        self._has_learnt = False
        self._too_little = 0  # bytes of records that did not fill the body before

    @property
    def weight(self) -> int:
        """About how many bytes of records fill a body, as far as the ones before tell."""
        return int(_AIM / self._fill_of_a_byte)

    @property
    def bodies(self) -> int:
        """How many bodies may be packed at once: one, until it is known how dense they come out."""
        return max(1, min(_BODIES, _AT_ONCE // self.weight)) if self._has_learnt else 1

    def learn(self, packed: Packed, offered: int, weight: int, *, more: bool) -> bool:
        """Note how dense a body came out for which `offered` records were given, of `weight` bytes together.

        Returns whether it is good: where `more` records wait, one that took all it was offered and has room for many of
        them is to be packed anew, from the greater weight that is asked for now.
        """
        if not packed.compressed:
            return True
        is_good = packed.full or packed.fill >= _FULL_ENOUGH or not more or packed.count >= MAX_RECORDS
        # More was asked for, and did not come: one record alone is more than there is room for.
        is_good = is_good or weight <= self._too_little
        self._too_little = 0 if is_good else weight
        # A few records say little of the next ones, unless they fill a body.
        if packed.full or packed.count >= 256 or not is_good:
            self._fill_of_a_byte = packed.fill / max(1, weight * packed.count // offered)
            self._has_learnt = True
        return is_good


def pack(outgoing: Outgoing, segment_class: SegmentClass) -> Packed:
    """Pack as many of the first records as fit. Pure. Raises `ValueError` where not even one does."""
    compressed = segment_class is not SegmentClass.LIVE
    # So many fit, and so many do not; with what part of a body they take, where it is known.
    low, high = 0, min(len(outgoing), MAX_RECORDS if compressed else MAX_LIVE_RECORDS) + 1
    low_fill, high_fill = 0.0, 0.0
    count = high - 1
    best: Packed | None = None
    attempts = 0
    while low + 1 < high and (best is None or attempts < _ATTEMPTS):
        attempts += 1
        packed = _encode(outgoing, count, compressed=compressed, closely=segment_class is SegmentClass.FRONT)
        if packed is None:
            high, high_fill = count, 2.0
        elif packed.fill <= 1:
            low, low_fill, best = count, packed.fill, packed
            if packed.fill >= _FULL_ENOUGH:
                break
        else:
            high, high_fill = count, packed.fill
        if high_fill:  # between the two, as if all records there were alike
            guess = low + int((high - low) * (_AIM - low_fill) / (high_fill - low_fill))
        else:
            guess = int(count * _AIM / low_fill)
        # They are not always: every other time what is left is halved.
        is_new = low < guess < high and (attempts <= _GUESSES or attempts % 2)
        count = guess if is_new else (low + high) // 2
    if best is None:
        raise ValueError("a record does not fit a body")
    return best


def _encode(outgoing: Outgoing, count: int, *, compressed: bool, closely: bool) -> Packed | None:
    """The first `count` records, or None where so many are beyond what a body may hold, whatever its length."""
    contacts, conversations, messages, marks, previews = outgoing.first(count)
    # FIL-05: "A writer MUST put into a body a content record of every content that a message or mark of that body names;
    # the chunks of the segment (§12.4) are exactly those of the content records in its body, and of their lists."
    stored = outgoing.stored_of(messages, marks)
    chunks = {identifier for one in stored for identifier in one.chunks}
    if len(chunks) > MAX_CHUNKS:
        return None
    contents = [one.record for one in stored]
    try:
        content = encode_body(contacts, conversations, messages, marks, contents=contents, previews=previews)
    except BodyTooLargeError:
        return None
    times = messages.columns.get(4, [])
    return Packed(
        count=count,
        # A new device waits for the front of all chats, and it is made once.
        data=compress(content, closely=closely) if compressed else content,
        compressed=compressed,
        content_length=len(content),
        times=(min(times), max(times)) if times else (),
        conversations=tuple(dict.fromkeys(messages.columns.get(1, []))),
        has_marks=bool(marks),
        full=count < len(outgoing),
        contents=tuple(contents),
        chunks=tuple(sorted(chunks)),
        missing_ok=not all(one.is_complete for one in stored),
    )


def seal_records(
    account: Account,
    tail: Feed,
    packed: Packed,
    segment_class: SegmentClass,
    ids: RecordIds,
    *,
    salt: bytes,
    last: bool,
) -> SealedSegment:
    """Seal packed records as the segment that follows `tail`, the own feed with all that is pending."""
    summary = summarize(
        segment_class,
        packed.times,
        packed.records,
        (ids.conversation(key) for key in packed.conversations),
        packed.content_length,
        has_marks=packed.has_marks,
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
        chunks=packed.chunks,
    )
