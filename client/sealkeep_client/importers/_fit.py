"""Makes values of a source fit into a record (spec §7.1, §7.3), and says what had to give way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sealkeep_protocol import cbor
from sealkeep_protocol.records import MAX_RECORD, Contact, Conversation, Mark, Message, Range, Value

Entity = TypeVar("Entity", Contact, Conversation)

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
# Years 1 to 9999, as spec §7.3 has times.
TIME_MIN, TIME_MAX = -62_135_510_400_000, 253_402_214_399_999
MAX_DEPTH = 9  # levels of arrays and maps that stay a structure; what is deeper becomes its JSON text
SHORT = 14_000  # characters of source that make less than a full record, whatever they are

_ROOM = MAX_RECORD - 512  # bytes; the rest is for the numbers, and for how fields are laid out
_MAX_NAME = 4_096
_NAMED = 8  # parts of what had to give way
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
    size, text_size = _size(message), _text_size(message)
    for name in ("extension", "details", "quote", "forwarded"):
        held: Mapping[str, Value] | None = getattr(message, name)
        # The text comes first: it gives way only once all else takes less than half of the record.
        if held and _crowds(size, text_size):
            kept, gone, size = _without_largest(held, size, max(_ROOM, text_size + _ROOM // 2))
            lost += gone
            changed: dict[str, Any] = {name: kept or None}
            message = replace(message, **changed)
    if message.ranges and _crowds(_size(message), text_size):
        lost.append("formatting")
        message = replace(message, ranges=None)
    if message.author_name and len(message.author_name) > _MAX_NAME and _size(message) > _ROOM:
        lost.append("most of the author's name")
        message = replace(message, author_name=message.author_name[:_MAX_NAME])
    if (excess := _size(message) - _ROOM) > 0 and message.text:
        text = message.text.encode()[: max(0, _text_size(message) - excess)].decode(errors="ignore")
        message = replace(message, text=text, ranges=_within(message.ranges, len(text)))
        lost.append(f"the text after {len(text)} characters")
    if _size(message) > _ROOM:
        return None, "longer than a record may be (64 KiB): left out"
    return message, _told(lost)


def bounded_entity(record: Entity) -> tuple[Entity | None, str | None]:
    """The contact or conversation, without what makes it longer than a record may be, as `bounded`."""
    size = _entity_size(record)
    if size <= _ROOM:
        return record, None
    kept, lost, _ = _without_largest(record.extension or {}, size, _ROOM)
    record = replace(record, extension=kept or None)
    if _entity_size(record) > _ROOM:
        return None, "longer than a record may be (64 KiB): left out"
    return record, _told(lost)


def mark_fits(mark: Mark) -> bool:
    """Whether a mark is no longer than a record may be."""
    return len(cbor.encode([mark.actor, mark.key, mark.text, mark.extension])) <= _ROOM


def _without_largest(held: Mapping[str, Value], size: int, least: int) -> tuple[dict[str, Value], list[str], int]:
    """A map without its largest values, so that of a record of `size` bytes at most `least` are left, if that suffices; the
    keys that went, and the size that is left."""
    kept, lost = dict(held), list[str]()
    weights = {key: len(cbor.encode([key, value])) - 1 for key, value in held.items()}
    for key in sorted(weights, key=weights.__getitem__, reverse=True):
        if size <= least:
            break
        del kept[key]
        lost.append(key)
        size -= weights[key]
    return kept, lost, size


def _told(lost: Sequence[str]) -> str:
    names = [name if len(name) <= 60 else f"{name[:60]}…" for name in lost[:_NAMED]]
    more = [f"{len(lost) - _NAMED} more"] if len(lost) > _NAMED else []
    return f"longer than a record may be (64 KiB): kept without {', '.join([*names, *more])}"


def _size(message: Message) -> int:
    """About how many bytes the message takes on its own: never less, but for `MAX_RECORD - _ROOM`."""
    files = [[file.role, file.name, file.media_type, file.path, bytes(40)] for file in message.attachments or ()]
    parts = (*message.conversation, message.source, message.author, message.author_name, message.text, message.ranges)
    maps = (message.quote, message.forwarded, message.details, message.extension)
    return len(cbor.encode([*parts, *maps, files]))


def _entity_size(record: Contact | Conversation) -> int:
    names = [getattr(record, name, None) for name in ("name", "remark", "alias", "avatar", "title")]
    return len(cbor.encode([*record.key, *names, record.extension]))


def _crowds(size: int, text_size: int) -> bool:
    """Whether what is not the text has to give way, in a message of so many bytes with a text of so many."""
    return size > _ROOM and size - text_size > _ROOM // 2


def _text_size(message: Message) -> int:
    return len(message.text.encode()) if message.text else 0


def _within(ranges: tuple[Range, ...] | None, length: int) -> tuple[Range, ...] | None:
    return tuple(part for part in ranges if part.start + part.length <= length) or None if ranges else None
