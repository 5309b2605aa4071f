"""The items of a batch that is appended or copied (spec §8.4, §11.4), by their shape alone."""

from __future__ import annotations

from typing import Final, TypeAlias

from sealkeep_conformance.relay._copying import Copied
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol import cbor
from sealkeep_protocol.fields import MAX_DEVICE

MAX_PARTS: Final = 128  # of what is one object: an entry and a wrap for each of 65 recipients
Parts: TypeAlias = tuple[bytes, bytes | None, bytes | None]  # header, summary and body


def segment(item: cbor.Item) -> Parts:
    """An item of an append. Raises `ProblemError` (`malformed`, `unsupported`)."""
    if not isinstance(item, list) or len(item) not in (1, 4):
        raise ProblemError("malformed")
    *parts, chunks = item if len(item) == 4 else [*item, []]
    if not all(isinstance(part, bytes) for part in parts) or not isinstance(chunks, list):
        raise ProblemError("malformed")
    if chunks:
        raise ProblemError("unsupported")
    if len(parts) == 1:
        return parts[0], None, None
    header, summary, body = parts
    return header, summary, body


def copied_segment(item: cbor.Item) -> tuple[int, Parts]:
    """A copied segment with the device whose it is. Raises `ProblemError` (`malformed`, `unsupported`)."""
    if not isinstance(item, list) or len(item) != 5 or type(item[0]) is not int or not 1 <= item[0] <= MAX_DEVICE:
        raise ProblemError("malformed")
    return item[0], segment(item[1:])


def copied_entry(item: cbor.Item) -> Copied:
    """A copied entry with its wraps, as far as they are there. Raises `ProblemError` (`malformed`)."""
    if isinstance(item, list) and len(item) == 2:
        entry, wraps = item
        are_wraps = isinstance(wraps, list) and all(wrap is None or isinstance(wrap, bytes) for wrap in wraps)
        if isinstance(entry, bytes) and are_wraps and len(wraps) <= MAX_PARTS:
            return Copied(entry, tuple(wraps))
    raise ProblemError("malformed")
