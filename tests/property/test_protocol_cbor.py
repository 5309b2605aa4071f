"""Deterministic CBOR and its sequences: one value, one encoding (spec §2.1, §2.2)."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.sequence import SequenceReader
from support.accounts import flipped, refused

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
LIMIT = 1 << 20

scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.integers(-300, 300)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, INT_MAX) | st.integers(0, 300), inner, max_size=4)
        | st.dictionaries(st.text(max_size=30), inner, max_size=4)
    )


def nested(levels: int) -> st.SearchStrategy[Any]:
    return scalars if not levels else scalars | containers(nested(levels - 1))


values = nested(4)


def levels(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(levels, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    return 0


def same(left: Any, right: Any) -> bool:
    """Equal, with the same types: True is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@given(values)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    data = cbor.encode(value)
    assert same(cbor.decode(data, limit=len(data)), value)
    assert cbor.skip(data + b"\0", 0) == len(data)
    assert same(cbor.decode_padded(data + bytes(3)), value)


@given(values, st.data())
def test_the_order_of_a_map_does_not_matter(value: Any, data: st.DataObject) -> None:
    def shuffled(item: Any) -> Any:
        if isinstance(item, list):
            return [shuffled(inner) for inner in item]
        if isinstance(item, dict):
            return {key: shuffled(item[key]) for key in data.draw(st.permutations(list(item)))}
        return item

    assert cbor.encode(shuffled(value)) == cbor.encode(value)


class Sloppy:
    """Encodes a value as RFC 8949 allows it, but with longer heads, indefinite lengths and maps in any order."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def head(self, major: int, argument: int) -> bytes:
        least = next(n for n, bound in enumerate((24, 1 << 8, 1 << 16, 1 << 32, 1 << 64)) if argument < bound)
        width = self._draw(st.integers(least, 4))
        if not width:
            return bytes([major << 5 | argument])
        return bytes([major << 5 | 23 + width]) + argument.to_bytes(1 << width - 1, "big")

    def encode(self, value: Any) -> bytes:
        if isinstance(value, bool) or value is None:
            return cbor.encode(value)
        if isinstance(value, int):
            return self.head(0, value) if value >= 0 else self.head(1, -1 - value)
        if isinstance(value, bytes):
            return self.string(2, value)
        if isinstance(value, str):
            return self.string(3, value.encode())
        if isinstance(value, list):
            return self.items(4, len(value), [self.encode(item) for item in value])
        pairs = self._draw(st.permutations(list(value.items())))
        return self.items(5, len(pairs), [self.encode(key) + self.encode(item) for key, item in pairs])

    def string(self, major: int, value: bytes) -> bytes:
        if self._draw(st.integers(0, 9)):
            return self.head(major, len(value)) + value
        return bytes([major << 5 | 31]) + self.head(major, len(value)) + value + b"\xff"

    def items(self, major: int, count: int, items: list[bytes]) -> bytes:
        if self._draw(st.integers(0, 9)):
            return self.head(major, count) + b"".join(items)
        return bytes([major << 5 | 31]) + b"".join(items) + b"\xff"


@given(values, st.data())
def test_every_other_encoding_of_a_value_is_refused(value: Any, data: st.DataObject) -> None:
    """ENC-01"""
    encoded = Sloppy(data).encode(value)
    assume(encoded != cbor.encode(value))
    with refused(MalformedError, "malformed"):
        cbor.decode(encoded, limit=LIMIT)


@given(st.dictionaries(st.integers(0, 30), st.integers(0, 30), min_size=1), st.data())
def test_a_key_twice_is_refused(value: dict[int, int], data: st.DataObject) -> None:
    """ENC-01"""
    pairs = [*value.items(), (data.draw(st.sampled_from(list(value))), data.draw(st.integers(0, 30)))]
    encoded = b"".join(cbor.encode(key) + cbor.encode(item) for key, item in sorted(pairs))
    with refused(MalformedError, "malformed"):
        cbor.decode(cbor.encode([0] * len(pairs))[: 1 if len(pairs) < 24 else 2].translate(MAPS) + encoded, limit=LIMIT)


# The heads of arrays of up to 255 items to those of maps.
MAPS = bytes(range(128)) + bytes(range(160, 192)) + bytes(range(160, 256))


@given(st.binary(max_size=200))
def test_whatever_is_decoded_is_what_its_value_encodes_to(data: bytes) -> None:
    """ENC-01, ENC-02, ENC-03: hostile bytes only raise `MalformedError`."""
    try:
        value = cbor.decode(data, limit=200)
    except MalformedError:
        return
    assert cbor.encode(value) == data
    assert levels(value) <= 8


@given(values, st.data())
def test_changed_bytes_are_another_value_or_refused(value: Any, data: st.DataObject) -> None:
    """ENC-01"""
    encoded = cbor.encode(value)
    changed = flipped(encoded, data.draw(st.integers(0, 8 * len(encoded) - 1)))
    try:
        other = cbor.decode(changed, limit=LIMIT)
    except MalformedError:
        return
    assert not same(other, value)


@given(st.integers(0, 12), st.booleans(), scalars)
def test_nesting_up_to_eight_levels(depth: int, maps: bool, value: Any) -> None:
    """ENC-03"""
    for _ in range(depth):
        value = {0: value} if maps else [value]
    data = cbor.encode(value)
    if depth <= 8:
        assert same(cbor.decode(data, limit=LIMIT), value)
    else:
        with refused(MalformedError, "malformed"):
            cbor.decode(data, limit=LIMIT)


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    """The stream in chunks."""
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


@given(st.lists(values, max_size=6), st.data())
def test_a_sequence_gives_the_same_items_for_every_chunking(items: list[Any], data: st.DataObject) -> None:
    """ENC-06"""
    stream = b"".join(map(cbor.encode, items))
    reader = SequenceReader(limit=LIMIT)
    assert same([item for chunk in cut(stream, data) for item in reader.feed(chunk)], items)
    reader.finish()


@given(st.lists(values, max_size=4), st.binary(min_size=1, max_size=20), st.data())
def test_a_bad_sequence_gives_the_same_items_and_error_for_every_chunking(
    items: list[Any], tail: bytes, data: st.DataObject
) -> None:
    """ENC-06, ENC-01"""

    def read(chunks: list[bytes]) -> tuple[list[Any], str | None]:
        reader, given = SequenceReader(limit=60), list[Any]()
        try:
            for chunk in chunks:
                given += reader.feed(chunk)
            reader.finish()
        except MalformedError as error:
            return given, error.code
        return given, None

    stream = b"".join(map(cbor.encode, items)) + tail
    whole, chunked = read([stream]), read(cut(stream, data))
    assert same(whole[0], chunked[0])
    assert whole[1] == chunked[1]


@given(st.lists(values, min_size=1, max_size=4), st.data())
def test_a_sequence_that_is_cut_short_never_passes_for_whole(items: list[Any], data: st.DataObject) -> None:
    """ENC-06"""
    stream = b"".join(map(cbor.encode, items))
    end = data.draw(st.integers(0, len(stream)))
    reader = SequenceReader(limit=LIMIT)
    taken = reader.feed(stream[:end])
    assert same(taken, items[: len(taken)])
    whole = sum(len(cbor.encode(item)) for item in taken)
    assert reader.buffered == end - whole
    if end != whole:
        with refused(MalformedError, "malformed"):
            reader.finish()
    else:
        reader.finish()
