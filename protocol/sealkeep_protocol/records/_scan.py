"""Bytes to an item of plain types, for record bodies (spec §7.1): no tag, float, indefinite length or doubled key gets by.

cbor2 runs a decoder of its own for every tag that it knows (regular expressions, MIME, big fractions, shared references),
and none of that can be switched off. So the heads are walked first: about 60 ns an item, a sixth of what a body costs.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import cbor2

from sealkeep_protocol.errors import MalformedError

MAX_DEPTH: Final = 16
"""Levels of arrays and maps in a body, the body's own map included (REC-01)."""


def _steps() -> list[int]:
    """By initial byte: the length of an item (of arrays: of the head) if that byte alone tells it, otherwise 0."""
    steps = [0] * 256
    for info in range(24):
        for major in (0, 1, 4):
            steps[major << 5 | info] = 1
        for major in (2, 3):
            steps[major << 5 | info] = 1 + info
    for power in range(4):
        for major in (0, 1, 4):
            steps[major << 5 | 24 + power] = 1 + (1 << power)
    for simple in (0xF4, 0xF5, 0xF6):  # false, true, null
        steps[simple] = 1
    return steps


_STEPS = _steps()


def _scan(data: bytes) -> int:
    """Walk over the heads of all items; return how many pairs all maps hold. Nesting and UTF-8 are left to cbor2."""
    pairs = position = 0
    size = len(data)
    steps = _STEPS
    while position < size:
        initial = data[position]
        step = steps[initial]
        if step:
            position += step
            continue
        major, info = initial >> 5, initial & 31
        # REC-01: "A reader MUST refuse a body whose content is not exactly one well-formed CBOR item, nests deeper than
        # 16 levels, or holds a tag, a float, a simple value other than false, true and null, an indefinite length, or a
        # map with a key twice or with keys that are neither all unsigned integers nor all text."
        if major not in (2, 3, 5) or info > 27:
            raise MalformedError("malformed", "a body holds a tag, a float, or a value or length that is not allowed")
        width = 0 if info < 24 else 1 << (info - 24)
        argument = int.from_bytes(data[position + 1 : position + 1 + width], "big") if width else info
        position += 1 + width
        if major == 5:
            pairs += argument
        else:
            position += argument
    if position != size:
        raise MalformedError("malformed", "a body is cut short")
    return pairs


def load(data: bytes) -> Any:
    """Decode one item into lists, dicts, str, bytes, int, bool and None. Raises `MalformedError` (REC-01)."""
    expected = _scan(data)
    pairs = 0

    def check(_: object, found: dict[Any, Any]) -> dict[Any, Any]:
        nonlocal pairs
        pairs += len(found)
        kinds = set(map(type, found))
        if found and kinds != {str} and (kinds != {int} or min(found) < 0):
            raise MalformedError("malformed", "the keys of a map are neither all unsigned integers nor all text")
        return found

    # cbor2 counts what the deepest array or map holds as a level of its own.
    decoder = cbor2.CBORDecoder(BytesIO(data), object_hook=check, read_size=65536, max_depth=MAX_DEPTH + 1)
    try:
        item = decoder.decode()
    except MalformedError:
        raise
    # Of hostile bytes cbor2 has raised more than its own errors; whatever it is, the body is at fault.
    except Exception as error:
        raise MalformedError("malformed", "a body is not one well-formed CBOR item") from error
    if pairs != expected:
        raise MalformedError("malformed", "a map holds a key twice, or bytes follow the end of a body")
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return item
    raise MalformedError("malformed", "bytes follow the end of a body")
