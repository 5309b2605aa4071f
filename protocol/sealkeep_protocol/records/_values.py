"""The types of fields (spec §7.1): how values stand in a column, and the checks that every reader makes.

A `Codec` works on many values at once, none of them null: `read` checks what a peer wrote and turns it into the model's
values, `write` turns the model's values into what is written. Its errors are `MalformedError`, whichever way: where a
caller's record is written, they become a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.fields import MAX_NUMBER
from sealkeep_protocol.files import MAX_NAMED, MAX_SIZE
from sealkeep_protocol.primitives import HASH_SIZE
from sealkeep_protocol.records._model import (
    Attachment,
    AttachmentState,
    ConversationKey,
    Direction,
    Kind,
    MarkType,
    NativeIdentity,
    Precision,
    Range,
    TombstoneReason,
)

Item: TypeAlias = Any
Values: TypeAlias = list[Any]

CRITICAL: Final = 64
"""Numbers below are critical, from here on ignorable (REC-03)."""
VALUE_DEPTH: Final = 10
"""Levels of arrays and maps in one value; a value in a column starts at level 6 of 16."""
ID_SIZE: Final = 16
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
# 0001-01-02 to 9999-12-30: no offset leads out of the years that calendars of all languages know.
TIME_MIN, TIME_MAX = -62_135_510_400_000, 253_402_214_399_999
OFFSET_MAX: Final = 1439  # minutes
MAX_PICTURE: Final = 16_384
"""Bytes of a preview's picture."""
MAX_PIXELS: Final = 512
"""Its greatest width and height."""
PREVIEW_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})

_INT, _TEXT = {int}, {str}


class Codec(NamedTuple):
    """One type of field; see the module."""

    read: Callable[[Values], Values]
    write: Callable[[Values], Values]


# REC-02: "A reader MUST refuse a table or column whose shape, length, index or value type is not the one given here."
def malformed(what: str) -> NoReturn:
    raise MalformedError("malformed", what)


# REC-03: "Numbers of tables, fields, kinds and mark types below 64 are critical: a reader MUST refuse a body with a
# critical number that it does not know with the code `unsupported`."
def unsupported(what: str) -> NoReturn:
    raise MalformedError("unsupported", what)


def _as_written(values: Values) -> Values:
    return values


def _plain_ints(values: Values) -> Values:
    """Enums become plain integers; everything else stays, and is refused by the check."""
    if set(map(type, values)) == _INT:
        return values
    return [int(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]


def integer(low: int = INT_MIN, high: int = INT_MAX) -> Codec:
    """Integers from `low` to `high`."""

    def read(values: Values) -> Values:
        if values and (set(map(type, values)) != _INT or min(values) < low or max(values) > high):
            malformed(f"a field holds something else than integers from {low} to {high}")
        return values

    return Codec(read, _plain_ints)


def number(known: Iterable[int], name: str) -> Codec:
    """Unsigned integers; those below 64 are of `known`."""
    critical = frozenset(range(CRITICAL)) - frozenset(map(int, known))
    unsigned = integer(0)

    def read(values: Values) -> Values:
        unsigned.read(values)
        if not critical.isdisjoint(values):
            unsupported(f"a {name} below {CRITICAL} that this version does not know")
        return values

    return Codec(read, _plain_ints)


def _read_texts(values: Values) -> Values:
    if values and set(map(type, values)) != _TEXT:
        malformed("a text field holds something else")
    return values


def _read_booleans(values: Values) -> Values:
    if values and set(map(type, values)) != {bool}:
        malformed("a boolean field holds something else")
    return values


def _read_ids(values: Values) -> Values:
    if values and (set(map(type, values)) != {bytes} or set(map(len, values)) != {ID_SIZE}):
        malformed(f"a record id is not {ID_SIZE} bytes")
    return values


def _read_hashes(values: Values) -> Values:
    if values and (set(map(type, values)) != {bytes} or set(map(len, values)) != {HASH_SIZE}):
        malformed(f"a hash is not {HASH_SIZE} bytes")
    return values


def _read_hash_arrays(values: Values) -> Values:
    for value in values:
        if type(value) is not list or not 1 <= len(value) <= MAX_NAMED:
            malformed(f"an array of hashes does not hold 1 to {MAX_NAMED}")
        _read_hashes(value)
    return list(map(tuple, values))


def _read_preview_types(values: Values) -> Values:
    if not PREVIEW_TYPES.issuperset(_read_texts(values)):
        malformed("a preview of a media type that none has")
    return values


def _read_pictures(values: Values) -> Values:
    if values and (set(map(type, values)) != {bytes} or not all(1 <= len(value) <= MAX_PICTURE for value in values)):
        malformed(f"a preview's picture is not 1 to {MAX_PICTURE} bytes")
    return values


def _read_conversations(values: Values) -> Values:
    for value in values:
        if type(value) is not list or [type(part) for part in value] != [str, str, str]:
            malformed("a conversation is not three texts")
    return [ConversationKey(*value) for value in values]


def _write_tuples(values: Values) -> Values:
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _read_natives(values: Values) -> Values:
    for value in values:
        if type(value) is not list or [type(part) for part in value] != [int, int, bytes, int]:
            malformed("a native identity is not [device, clock, salt, index]")
        device, clock, salt, index = value
        if min(device, clock, index) < 0 or max(device, clock, index) > INT_MAX or len(salt) != ID_SIZE:
            malformed("a number or the salt of a native identity is out of range")
    return [NativeIdentity(*value) for value in values]


def _source(value: Item, depth: int) -> Any:
    kind = type(value)
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            malformed("an integer of a source identity is out of range")
    elif kind is list:
        if depth == 0:
            malformed("a source identity nests too deeply")
        return tuple(_source(part, depth - 1) for part in value)
    elif kind is not str and (kind is not bytes or depth == VALUE_DEPTH):
        malformed("a source identity holds something else than integers, texts, bytes and arrays")
    return value


def _read_sources(values: Values) -> Values:
    if set(map(type, values)) == _INT:
        return integer().read(values)
    return [_source(value, VALUE_DEPTH) for value in values]


def _write_source(value: Any) -> Item:
    return [_write_source(part) for part in value] if isinstance(value, tuple) else value


def _write_sources(values: Values) -> Values:
    if set(map(type, values)) == _INT:
        return values
    return [_write_source(value) for value in values]


def _read_replies(values: Values) -> Values:
    if bytes in set(map(type, values)):
        _read_ids([value for value in values if type(value) is bytes])
        return [value if type(value) is bytes else _source(value, VALUE_DEPTH) for value in values]
    return _read_sources(values)


def _check_value(value: Item, depth: int) -> None:
    """A value of an extension map: text, integer, boolean, null, array or map with text keys."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            malformed("an integer in a map is out of range")
        return
    if kind is not list and kind is not dict:
        malformed("a map holds something else than text, integers, booleans, null, arrays and maps")
    if depth == 0:
        malformed("a map nests too deeply")
    if kind is dict:
        if value and set(map(type, value)) != _TEXT:
            malformed("a map has other keys than text")
        value = value.values()
    for part in value:
        _check_value(part, depth - 1)


def _read_maps(values: Values) -> Values:
    for value in values:
        if type(value) is not dict:
            malformed("a map field holds something else")
        _check_value(value, VALUE_DEPTH)
    return values


def _write_value(value: Any, depth: int) -> Item:
    if isinstance(value, (Mapping, list, tuple)):
        if depth == 0:  # an importer's source may nest as deep as it likes
            malformed("a map nests too deeply")
        if isinstance(value, Mapping):
            return {key: _write_value(part, depth - 1) for key, part in value.items()}
        return [_write_value(part, depth - 1) for part in value]
    return value


def _write_maps(values: Values) -> Values:
    return [_write_value(value, VALUE_DEPTH) for value in values]


def _range(value: Item) -> Range:
    if type(value) is not list or [type(part) for part in value] not in ([int, int, int], [int, int, int, str]):
        malformed("a range is not [type, start, length, ? value]")
    if min(value[:3]) < 0 or max(value[:3]) > INT_MAX:
        malformed("a number of a range is out of range")
    return Range(*value)


def _read_ranges(values: Values) -> Values:
    for value in values:
        if type(value) is not list:
            malformed("ranges are not an array")
    return [tuple(map(_range, value)) for value in values]


def _write_range(value: Range) -> Item:
    type_, start, length, extra = value
    head = _plain_ints([type_, start, length])
    return head if extra is None else [*head, extra]


def _write_ranges(values: Values) -> Values:
    return [[_write_range(part) for part in value] for value in values]


_SIZE = integer(0)
_TEXTS = Codec(_read_texts, _as_written)

# §7.5: "All fields of an attachment are critical …"
_ATTACHMENT: Final[Mapping[int, tuple[str, Codec]]] = {
    1: ("role", _TEXTS),
    2: ("name", _TEXTS),
    3: ("media_type", _TEXTS),
    4: ("size", _SIZE),
    5: ("width", _SIZE),
    6: ("height", _SIZE),
    7: ("duration", _SIZE),
    8: ("path", _TEXTS),
    9: ("state", integer(0, max(AttachmentState))),
    16: ("root", Codec(_read_hashes, _as_written)),
}


def _attachment(value: Item) -> Attachment:
    if type(value) is not dict or not {1, 9} <= value.keys():
        malformed("an attachment is not a map with a role and a state")
    given: dict[str, Any] = {}
    for key, part in value.items():
        if key not in _ATTACHMENT:
            unsupported("an attachment has a field that this version does not know")
        name, codec = _ATTACHMENT[key]
        given[name] = codec.read([part])[0]
    # §7.5: "… 16 root of the content (32 bytes; §12.2), there exactly when the state is 0."
    if ("root" in given) is not (given["state"] == AttachmentState.STORED):
        malformed("an attachment whose state and root do not go together")
    return Attachment(**given)


def _read_attachments(values: Values) -> Values:
    for value in values:
        if type(value) is not list:
            malformed("attachments are not an array")
    return [tuple(map(_attachment, value)) for value in values]


def write_attachment(value: Attachment) -> dict[int, Item]:
    """One attachment as it is written and digested (spec §7.5)."""
    parts = ((key, getattr(value, name), codec) for key, (name, codec) in _ATTACHMENT.items())
    return {key: codec.write([part])[0] for key, part, codec in parts if part is not None}


def _write_attachments(values: Values) -> Values:
    return [[write_attachment(part) for part in value] for value in values]


INTEGER = integer()
UNSIGNED = integer(0)
TIME = integer(TIME_MIN, TIME_MAX)
OFFSET = integer(-OFFSET_MAX, OFFSET_MAX)
PRECISION = integer(0, max(Precision))
DIRECTION = integer(min(Direction), max(Direction))
REASON = integer(min(TombstoneReason), max(TombstoneReason))
KIND = number(Kind, "kind of message")
MARK_TYPE = number(MarkType, "type of mark")
TEXT = _TEXTS
BOOLEAN = Codec(_read_booleans, _as_written)
ID = Codec(_read_ids, _as_written)
CONVERSATION = Codec(_read_conversations, _write_tuples)
NATIVE = Codec(_read_natives, _write_tuples)
SOURCE = Codec(_read_sources, _write_sources)
REPLY = Codec(_read_replies, _write_sources)
MAP = Codec(_read_maps, _write_maps)
RANGES = Codec(_read_ranges, _write_ranges)
ATTACHMENTS = Codec(_read_attachments, _write_attachments)
HASH = Codec(_read_hashes, _as_written)
HASHES = Codec(_read_hash_arrays, _write_tuples)
CONTENT_SIZE = integer(0, MAX_SIZE)
EPOCH = integer(1, MAX_NUMBER)
PREVIEW_TYPE = Codec(_read_preview_types, _as_written)
PICTURE = Codec(_read_pictures, _as_written)
PIXELS = integer(1, MAX_PIXELS)


def item_size(value: Item) -> int:
    """Length of a value in deterministic CBOR, in bytes. Raises `MalformedError` for a type that no body holds."""
    if type(value) is str:
        length = len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        return head_size(length) + length
    if value is None or type(value) is bool:
        return 1
    if type(value) is int:
        return head_size(value if value >= 0 else -1 - value)
    if type(value) is bytes:
        return head_size(len(value)) + len(value)
    if type(value) is dict:
        return head_size(len(value)) + sum(map(item_size, value)) + sum(map(item_size, value.values()))
    if type(value) is not list:  # only an unknown field of a row was not checked before
        malformed("a field holds something that has no place in a body")
    return head_size(len(value)) + sum(map(item_size, value))


def head_size(argument: int) -> int:
    """Length of the head of an item: of an integer itself, a length or a number of entries."""
    if argument < 24:
        return 1
    return 2 if argument < 1 << 8 else 3 if argument < 1 << 16 else 5 if argument < 1 << 32 else 9
