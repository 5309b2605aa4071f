"""What the outbox tells of what is not uploaded yet: what waits, and what was sealed and has no answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sealkeep_client.store._batches import Span
from sealkeep_protocol.files import ContentRecord


class UploadClass(IntEnum):
    """Classes of segments that the outbox fills, by their numbers in a summary (spec §6.3)."""

    LIVE = 1
    FRONT = 2
    HISTORY = 3
    PREVIEW = 4


class RecordKind(IntEnum):
    """Kinds of records, by the numbers of their tables in a body (spec §7.1)."""

    CONTACT = 1
    CONVERSATION = 2
    MESSAGE = 3
    MARK = 4
    PREVIEW = 6


class Waiting(NamedTuple):
    """How much waits in one class and run; `records` may count a few that are gone."""

    upload: UploadClass
    run: int
    records: int


@dataclass(frozen=True, slots=True, repr=False)
class Pending:
    """A sealed segment that has no answer yet; it is sent only as it stands (SEG-12)."""

    seq: int
    header: bytes
    summary: bytes
    body: bytes
    carried: tuple[Span, ...]
    chunks: tuple[bytes, ...] = ()
    missing_ok: bool = False
    contents: tuple[ContentRecord, ...] = ()


class Receipt(NamedTuple):
    """That the relay holds a segment of this device."""

    seq: int
    header_id: bytes
    position: int
