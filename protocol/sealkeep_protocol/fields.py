"""Strict reading of decoded maps and arrays: exactly the known fields, of exactly the right types (ENC-05)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.primitives import HASH_SIZE, SUITE


def decode_map(data: bytes, *, limit: int, what: str) -> dict[int, cbor.Item]:
    """Decode a deterministic map with integer keys. Raises `MalformedError`."""
    value = cbor.decode(data, limit=limit)
    if not isinstance(value, dict) or not all(isinstance(key, int) for key in value):
        raise MalformedError("malformed", f"a {what} is a map with integer keys")
    return value


def check_suite(value: Mapping[int, cbor.Item], *, what: str) -> None:
    """Field 0 is the suite. Raises `MalformedError` (`unsupported`)."""
    # KEY-01: "A reader MUST refuse an object whose suite is not 1, with the code `unsupported`."
    if type(value.get(0)) is not int or value[0] != SUITE:
        raise MalformedError("unsupported", f"a {what} of a suite that this version does not know")


def check_keys(
    value: Mapping[int, cbor.Item], required: Collection[int], optional: Collection[int] = (), *, what: str
) -> None:
    """The map has all required keys and none but the optional ones beside. Raises `MalformedError`."""
    # ENC-05: "A decoder of a signed or sealed object with integer keys MUST refuse keys that this document does not give
    # to the object (`unsupported`), and missing ones that it does not call optional (`malformed`)."
    missing = [key for key in required if key not in value]
    unknown = [key for key in value if key not in required and key not in optional]
    if missing or unknown:
        raise MalformedError("unsupported" if unknown else "malformed", f"a {what} with unknown or missing fields")


MAX_NUMBER = (1 << 32) - 1  # of entries, epochs and seqs (§5.1)
MAX_DEVICE = 65_535


def unsigned(value: cbor.Item, what: str, *, minimum: int = 0, maximum: int = (1 << 63) - 1) -> int:
    """An unsigned integer within bounds. Raises `MalformedError`."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise MalformedError("malformed", f"{what} is an integer from {minimum} to {maximum}")
    return value


def octets(value: cbor.Item, what: str, *, size: int = HASH_SIZE) -> bytes:
    """A byte string of exactly this size. Raises `MalformedError`."""
    if not isinstance(value, bytes) or len(value) != size:
        raise MalformedError("malformed", f"{what} is a byte string of {size} bytes")
    return value


def array(value: cbor.Item, what: str, *, size: int | None = None, empty: bool = True) -> list[cbor.Item]:
    """An array, of this size if given. Raises `MalformedError`."""
    if not isinstance(value, list) or (size is not None and len(value) != size) or not (empty or value):
        raise MalformedError("malformed", f"{what} is an array{f' of {size}' if size is not None else ''}")
    return value
