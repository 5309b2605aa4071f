"""Strict deterministic CBOR (spec §2.1; RFC 8949 §4.2.1) for all that is signed, hashed or associated data.

cbor2 does the coding; what it is lenient about (duplicate keys, long forms, indefinite lengths, tags, trailing bytes) is
refused here. Record bodies have limits of their own (`sealkeep_protocol.records`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import cbor2

from sealkeep_protocol.errors import MalformedError

Item: TypeAlias = Any

MAX_DEPTH = 8  # §2.1: of every deterministic object
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1
NO_LIMIT = 1 << 80  # more than the heads of any item can announce


def encode(value: Item) -> bytes:
    """Encode as deterministic CBOR.

    Takes integers of 64 bits, bytes, text, booleans, None, lists, tuples and mappings (keys all unsigned integers or all
    text). Raises `TypeError` or `ValueError` for anything else: a mistake of the caller.
    """
    return cbor2.dumps(_ordered(value))


def _ordered(value: Item) -> Item:
    # The exact type decides: bool is an int to isinstance, and an enum must not reach cbor2 as itself.
    kind = type(value)
    if kind is bytes or kind is str or kind is bool or value is None:
        return value
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise ValueError("integer beyond 64 bits")
        return int(value)
    if isinstance(value, (list, tuple)):
        return [_ordered(item) for item in value]
    if isinstance(value, Mapping):
        return _ordered_map(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{kind.__name__} has no deterministic encoding")


def _ordered_map(value: Mapping[Any, Item]) -> dict[Any, Item]:
    pairs = [(_ordered(key), _ordered(item)) for key, item in value.items()]
    if all(type(key) is int and key >= 0 for key, _ in pairs):
        # Shortest form first is ascending order for unsigned integers.
        return dict(sorted(pairs, key=lambda pair: pair[0]))
    if all(type(key) is str for key, _ in pairs):
        return dict(sorted(pairs, key=lambda pair: cbor2.dumps(pair[0])))  # bytewise order of the encoded keys
    raise TypeError("the keys of a map are all unsigned integers or all text")


def decode(data: bytes, *, limit: int, items: int = NO_LIMIT) -> Item:
    """Decode one deterministic item of at most `limit` bytes that holds at most `items` others.

    Raises `MalformedError` (`too-large`, `malformed`) unless the bytes are exactly the deterministic encoding of a value
    that `encode` accepts: no tags, floats, other simple values, indefinite or long forms, duplicate or unsorted keys, no
    trailing bytes, at most `MAX_DEPTH` levels.
    """
    # ENC-04: "A decoder MUST refuse an item longer than the limit of its object before it decodes it."
    if len(data) > limit:
        raise MalformedError("too-large", f"{len(data)} bytes where at most {limit} are allowed")
    end = skip(data, 0, items=items)
    if end != len(data):
        raise MalformedError("malformed", f"{len(data) - end} bytes after the end of the CBOR item")
    try:
        value = cbor2.loads(data)
        canonical = encode(value)
    except (cbor2.CBORDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise MalformedError("malformed", "not a deterministic CBOR item") from error
    # ENC-01: "A decoder MUST refuse an item that is not byte for byte the deterministic encoding of its value."
    if canonical != data:
        raise MalformedError("malformed", "not in deterministic encoding")
    return value


def decode_padded(data: bytes) -> Item:
    """Decode one deterministic item that zeros pad to a fixed length (§2.3). Raises `MalformedError`."""
    end = skip(data, 0)
    # ENC-10: "A reader MUST refuse a fixed-length plaintext with anything but zeros after its item."
    if data.count(0, end) != len(data) - end:
        raise MalformedError("malformed", "the padding is not zero")
    return decode(data[:end], limit=len(data))


def skip(data: bytes, start: int, *, items: int = NO_LIMIT) -> int:
    """Walk over one item that begins at `start` and return where it ends; nothing is built. Raises `MalformedError`."""
    walk = Walk(start, limit=NO_LIMIT, items=items)
    if not walk.advance(data):
        raise MalformedError("malformed", "the CBOR item is cut short")
    return walk.position


class Walk:
    """A walk over the heads of one item of at most `limit` bytes, which goes on as its bytes come in.

    Refuses what no deterministic item holds before cbor2 sees it: tags (cbor2 would run their decoders), floats, simple
    values but false, true and null, indefinite lengths and deep nesting. Every byte is looked at once.
    """

    __slots__ = ("_items", "_left", "_limit", "_pending", "_start", "position")

    def __init__(self, start: int = 0, *, limit: int, items: int = NO_LIMIT) -> None:
        self._start, self._limit, self._items = start, limit, items
        self._pending = [1]  # items still to come, by level
        self._left = 1  # their sum: each needs a byte at least
        self.position = start  # of the next head; the item's end once it is whole

    def advance(self, data: bytes | bytearray) -> bool:
        """Go on with the data that is there, from its beginning; whether the item is whole. Raises `MalformedError`."""
        size, pending = len(data), self._pending
        while pending:
            if not pending[-1]:
                pending.pop()
                continue
            self._check_limit()
            if self.position >= size:
                return False
            initial = data[self.position]
            major, info = initial >> 5, initial & 31
            # ENC-02: "A decoder MUST refuse floats, tags and simple values other than false, true and null."
            if major == 6 or (major == 7 and info not in (20, 21, 22)):
                raise MalformedError("malformed", "a CBOR tag, float or simple value that is not allowed")
            if info > 27:
                raise MalformedError("malformed", "an indefinite or reserved length")
            body = self.position + 1 + (0 if info < 24 else 1 << (info - 24))
            if body > size:
                return False
            argument = info if info < 24 else int.from_bytes(data[self.position + 1 : body], "big")
            self.position = body
            pending[-1] -= 1
            self._left -= 1
            if major in (2, 3):
                self.position += argument
            elif major in (4, 5):
                # ENC-03: "A decoder MUST refuse an item that nests deeper than 8 levels."
                if len(pending) > MAX_DEPTH:
                    raise MalformedError("malformed", "nested too deeply")
                pending.append(argument * (major - 3))
                self._left += pending[-1]
                self._items -= pending[-1]
                if self._items < 0:
                    raise MalformedError("too-large", "a CBOR item with too many parts")
        self._check_limit()
        return self.position <= size

    def _check_limit(self) -> None:
        if self.position + self._left - self._start > self._limit:
            raise MalformedError("too-large", f"a CBOR item of more than {self._limit} bytes")
