"""The kit as one word, which its QR code holds (spec §3.7): `SEALKEEP:KIT/` and letters that every QR code packs well."""

from __future__ import annotations

import re
from typing import Final

from sealkeep_client.kit._model import VERSION, RecoveryKit, check_of
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.kit import ALPHABET, GROUP_BYTES, KitError, from_letters, to_letters
from sealkeep_protocol.primitives import equal

PREFIX: Final = "SEALKEEP:KIT/"
_LIMIT: Final = 4096  # bytes of CBOR
_DAMAGED: Final = "the kit's QR text, which begins with `SEALKEEP:`, is damaged: part of it is missing or changed"
_URI: Final = re.compile(rf"{PREFIX}[0-9A-Z]+".encode(), re.IGNORECASE)


def encode_uri(kit: RecoveryKit) -> str:
    data = kit.encode() + kit.check()
    length = -(-8 * len(data) // 5)
    return PREFIX + to_letters(int.from_bytes(data, "big") << 5 * length - 8 * len(data), length)


def decode_uri(uri: str) -> RecoveryKit:
    """Raises `KitError` for what is no kit's URI, of another version, or changed."""
    letters = "".join(uri.split()).upper()
    body = letters.removeprefix(PREFIX)
    size = 5 * len(body) // 8
    if body == letters or not GROUP_BYTES < size <= _LIMIT + GROUP_BYTES or not set(body) <= set(ALPHABET):
        raise KitError(_DAMAGED)
    data = (from_letters(body) >> 5 * len(body) - 8 * size).to_bytes(size, "big")
    # KEY-10: "A reader MUST refuse a kit whose check is not the one that it computes from what it read."
    # Before anything is read from it: a changed letter may look like another version.
    if not equal(check_of(data[:-GROUP_BYTES]), data[-GROUP_BYTES:]):
        raise KitError(_DAMAGED)
    try:
        item = cbor.decode(data[:-GROUP_BYTES], limit=_LIMIT)
    except MalformedError as error:
        raise KitError(_DAMAGED) from error
    if isinstance(item, list) and item and isinstance(item[0], int) and item[0] > VERSION:
        raise KitError(f"the kit is of version {item[0]}: a newer sealkeep reads it")
    kit = _from_item(item)
    # KEY-11: "A reader MUST refuse a URI that is not, in capitals, the one that it writes for the kit that it read."
    if encode_uri(kit) != letters:
        raise KitError(_DAMAGED)
    return kit


def find_uris(data: bytes) -> set[str]:
    """The URIs that stand in a file that we wrote."""
    return {found.decode("ascii").upper() for found in _URI.findall(data)}


def _from_item(item: cbor.Item) -> RecoveryKit:
    try:
        _, relay, identity, account, seed, (number, entry), feeds, date = item
        strings = (identity, account, seed, entry, *(identifier for _, _, identifier in feeds))
        numbers = (number, *(value for device, seq, _ in feeds for value in (device, seq)))
        if not isinstance(relay, str) or not isinstance(date, str):
            raise TypeError
        if any(type(value) is not bytes for value in strings) or any(type(value) is not int for value in numbers):
            raise TypeError
        return RecoveryKit(relay, identity, account, seed, (number, entry), tuple(map(tuple, feeds)), date)
    except (TypeError, ValueError) as error:
        raise KitError(_DAMAGED) from error
