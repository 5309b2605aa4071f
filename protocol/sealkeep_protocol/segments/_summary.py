"""Summaries (spec §6.3): what a device can know of a segment without its body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.fields import MAX_NUMBER, array, check_keys, octets, unsigned
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.primitives import TAG_SIZE
from sealkeep_protocol.segments._header import LIVE_SUMMARY, SUMMARY

TAG_LENGTH = 8  # of a conversation: the first bytes of its id
_TIME_LIMIT = 1 << 53


class SegmentClass(IntEnum):
    """Classes of segments (§6.3), told in the summary only."""

    LIVE = 1
    FRONT = 2
    HISTORY = 3
    PREVIEW = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """Class, first and last time in ms, number of records, conversation tags, and the content's length in bytes."""

    segment_class: SegmentClass
    first: int
    last: int
    records: int
    tags: tuple[bytes, ...]
    overflow: bool
    content_length: int

    @property
    def ciphertext_length(self) -> int:
        return LIVE_SUMMARY if self.segment_class is SegmentClass.LIVE else SUMMARY

    @property
    def _is_of_its_class(self) -> bool:
        # §12.3: "… their summaries have the span [0, 0], no tags and no overflow."
        says = (self.first, self.last, self.tags, self.overflow)
        return self.segment_class is not SegmentClass.PREVIEW or says == (0, 0, (), False)

    def encode(self) -> bytes:
        """The padded plaintext: 80 or 2,032 bytes. Raises `ValueError` for what its class cannot say, or has no room."""
        item = cbor.encode(
            {
                1: int(self.segment_class),
                2: [self.first, self.last],
                3: self.records,
                4: list(self.tags),
                5: self.overflow,
                6: self.content_length,
            }
        )
        room = self.ciphertext_length - TAG_SIZE
        if len(item) > room:
            raise ValueError("the summary does not fit its fixed length")
        if not self._is_of_its_class:
            raise ValueError("the summary of a preview segment tells no times and no conversations")
        return item.ljust(room, b"\0")


def summarize(
    segment_class: SegmentClass,
    times: Iterable[int],
    records: int,
    conversations: Iterable[bytes],
    content_length: int,
    *,
    has_marks: bool = False,
) -> Summary:
    """Summarise a segment; tags that find no room are left out and said so. `conversations` are record ids."""
    spread = list(times) or [0]
    tags = sorted({conversation[:TAG_LENGTH] for conversation in conversations})
    room = 4 if segment_class is SegmentClass.LIVE else 220
    return Summary(
        segment_class,
        min(spread),
        max(spread),
        records,
        tuple(tags[:room]),
        has_marks or len(tags) > room,
        content_length,
    )


def decode_summary(plaintext: bytes) -> Summary:
    """Decode a summary's plaintext. Raises `MalformedError`."""
    value = cbor.decode_padded(plaintext)
    if not isinstance(value, dict):
        raise MalformedError("malformed", "a summary is a map")
    check_keys(value, range(1, 7), what="summary")
    kind = unsigned(value[1], "the class")
    if kind not in set(SegmentClass):
        raise MalformedError("unsupported", "a segment of a class that this version does not know")
    first, last = (_time(item) for item in array(value[2], "the time span", size=2))
    tags = tuple(octets(item, "a conversation tag", size=TAG_LENGTH) for item in array(value[4], "the tags"))
    if list(tags) != sorted(set(tags)) or first > last or not isinstance(value[5], bool):
        raise MalformedError("malformed", "the summary's tags or times are out of order")
    summary = Summary(
        SegmentClass(kind),
        first,
        last,
        unsigned(value[3], "the number of records", maximum=MAX_NUMBER),
        tags,
        value[5],
        unsigned(value[6], "the content's length", maximum=MAX_CONTENT),
    )
    # FIL-09: "A reader MUST take as unreadable (SEG-22) a `preview` segment whose summary has another span, tags or
    # overflow, …"
    if not summary._is_of_its_class:
        raise MalformedError("malformed", "the summary of a preview segment tells times or conversations")
    return summary


def _time(value: cbor.Item) -> int:
    if type(value) is not int or not -_TIME_LIMIT < value < _TIME_LIMIT:
        raise MalformedError("malformed", "a time is an integer of milliseconds")
    return value
