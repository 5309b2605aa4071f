"""What was packed into one body (spec §6.3–§6.4)."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_protocol.files import ContentRecord
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.records import ConversationKey
from sealkeep_protocol.segments import MAX_PACKED


@dataclass(frozen=True, slots=True, repr=False)
class Packed:
    """The first `count` of the records given, as the content of one body, and what its summary says of them."""

    count: int
    data: bytes
    compressed: bool
    content_length: int
    times: tuple[int, ...]  # first and last of its messages, or nothing
    conversations: tuple[ConversationKey, ...]
    has_marks: bool
    full: bool  # no more of the records would fit
    contents: tuple[ContentRecord, ...] = ()
    chunks: tuple[bytes, ...] = ()  # ids, ascending
    missing_ok: bool = False  # of a list nobody could be asked what it holds

    @property
    def records(self) -> int:
        """How many stand in the body: content records are no records of the outbox."""
        return self.count + len(self.contents)

    @property
    def fill(self) -> float:
        """The part of a body that it takes, by its length or by that of its content."""
        return max(len(self.data) / MAX_PACKED, self.content_length / MAX_CONTENT)
