"""Makes values of a source fit into a record (spec §7.1, §7.3), and says what had to give way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sealkeep_protocol import cbor
from sealkeep_protocol.records import MAX_RECORD, Message, Range, Value

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
# Years 1 to 9999, as spec §7.3 has times.
TIME_MIN, TIME_MAX = -62_135_510_400_000, 253_402_214_399_999
MAX_DEPTH = 9  # levels of arrays and maps that stay a structure; what is deeper becomes its JSON text
SHORT = 14_000  # characters of source that make less than a full record, whatever they are

_ROOM = MAX_RECORD - 512  # bytes; the rest is for the numbers, and for how fields are laid out
_PLAIN = frozenset({str, bool, type(None)})


def fitted(value: Any, depth: int = MAX_DEPTH) -> Value:
    """A JSON value as an extension map holds it: integers beyond 64 bits and structures that are too deep become text."""
    kind = type(value)
    if kind in _PLAIN:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return value if INT_MIN <= value <= INT_MAX else str(value)
    if kind is dict:
        if depth == 0:
            return json.dumps(value, ensure_ascii=False)
        return {key: fitted(part, depth - 1) for key, part in value.items()}
    if kind is list:
        if depth == 0:
            return json.dumps(value, ensure_ascii=False)
        return [fitted(part, depth - 1) for part in value]
    return str(value)


def whole_pairs(value: Any) -> Any:
    """The JSON value with every lone half of a surrogate pair replaced by U+FFFD: such texts have no encoding."""
    kind = type(value)
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if kind is dict:
        return {whole_pairs(key): whole_pairs(part) for key, part in value.items()}
    if kind is list:
        return [whole_pairs(part) for part in value]
    return value


def bounded(message: Message) -> tuple[Message | None, str | None]:
    """The message, cut where it is longer than a record may be, and what was cut; None where nothing of it can be kept."""
    # REC-04: "A record MUST NOT be longer than 65,536 bytes when encoded on its own as a table of one."
    if _size(message) <= _ROOM:
        return message, None
    lost: list[str] = []
    for name in ("extension", "details", "quote", "forwarded"):
        held: Mapping[str, Value] | None = getattr(message, name)
        kept = dict(held or {})
        # The text comes first: it gives way only once all else takes less than half of the record.
        while kept and _is_crowded(message):
            largest = max(kept, key=lambda key: len(json.dumps(kept[key], ensure_ascii=False)))
            del kept[largest]
            lost.append(largest)
            changed: dict[str, Any] = {name: kept or None}
            message = replace(message, **changed)
    if message.ranges and _is_crowded(message):
        lost.append("formatting")
        message = replace(message, ranges=None)
    if (excess := _size(message) - _ROOM) > 0 and message.text:
        text = message.text.encode()[: max(0, _text_size(message) - excess)].decode(errors="ignore")
        message = replace(message, text=text, ranges=_within(message.ranges, len(text)))
        lost.append(f"the text after {len(text)} characters")
    if _size(message) > _ROOM:
        return None, "longer than a record may be (64 KiB): left out"
    return message, f"longer than a record may be (64 KiB): kept without {', '.join(lost)}"


def _size(message: Message) -> int:
    """About how many bytes the message takes on its own: never less, but for `MAX_RECORD - _ROOM`."""
    files = [[file.role, file.name, file.media_type, file.path, bytes(40)] for file in message.attachments or ()]
    parts = (*message.conversation, message.source, message.author, message.author_name, message.text, message.ranges)
    maps = (message.quote, message.forwarded, message.details, message.extension)
    return len(cbor.encode([*parts, *maps, files]))


def _is_crowded(message: Message) -> bool:
    size = _size(message)
    return size > _ROOM and size - _text_size(message) > _ROOM // 2


def _text_size(message: Message) -> int:
    return len(message.text.encode()) if message.text else 0


def _within(ranges: tuple[Range, ...] | None, length: int) -> tuple[Range, ...] | None:
    return tuple(part for part in ranges if part.start + part.length <= length) or None if ranges else None
