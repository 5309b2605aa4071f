"""Pages of segments (spec §8.5), cut into runs that are small enough to hold."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.types import AccountId, DeviceId
from sealkeep_server import log
from sealkeep_server.stores import DamagedError, Parts, Run, Store, StoredSegment

_RUN_BYTES = 1 << 19
_RUN_ITEMS = 512
_PARTS = 2  # of which a header has digests: summary and body
_WORTH_A_THREAD = 1 << 16  # bytes to be hashed

# Asks the store for a run: from where on, how many items, how many bytes.
_Ask = Callable[[int, int, int], Awaitable[Run]]


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Where a page ends: after so many items, or with the item that reaches so many bytes."""

    items: int
    size: int


def changes(
    store: Store, account: AccountId, after: int, parts: Parts, limits: PageLimits, short: int
) -> AsyncIterator[list[bytes]]:
    """A page in the order of positions: encoded items, some at a time, the trailer last. Raises `StoreError`."""

    async def ask(cursor: int, items: int, size: int) -> Run:
        return await store.changes(account, cursor, parts, limit=items, size=size, short=short)

    return _page(store.incarnation, ask, after, lambda segment: segment.position, limits)


def feed(
    store: Store, account: AccountId, device: DeviceId, first: int, parts: Parts, limits: PageLimits
) -> AsyncIterator[list[bytes]]:
    """A page of one feed in the order of seq, likewise; its trailer tells the next seq."""

    async def ask(cursor: int, items: int, size: int) -> Run:
        return await store.feed(account, device, cursor, parts, limit=items, size=size)

    return _page(store.incarnation, ask, first, lambda segment: segment.seq + 1, limits)


async def _page(
    incarnation: bytes,
    ask: _Ask,
    cursor: int,
    after: Callable[[StoredSegment], int],
    limits: PageLimits,
) -> AsyncIterator[list[bytes]]:
    items, size = limits.items, limits.size
    while True:
        run = await ask(cursor, min(items, _RUN_ITEMS), min(size, _RUN_BYTES))
        encoded = [_encode(segment) for segment in await intact(run.segments)]
        items -= len(encoded)
        size -= sum(map(len, encoded))
        if run.segments:
            cursor = after(run.segments[-1])
        if not run.more or items <= 0 or size <= 0:
            yield [*encoded, cbor.encode([0, cursor, run.more, incarnation])]
            return
        yield encoded


async def intact(segments: Sequence[StoredSegment]) -> list[StoredSegment]:
    """The segments, without the bodies that are lost or not what was appended. The operator is told of those."""
    if sum(len(segment.body or b"") for segment in segments) < _WORTH_A_THREAD:
        return list(map(_intact, segments))
    return await asyncio.to_thread(lambda: list(map(_intact, segments)))


def _intact(segment: StoredSegment) -> StoredSegment:
    # REL-16: "A relay MUST compare a body that it gives or proves with the hash in its header, and MUST treat one that it
    # cannot read, or that fails its hash, as one that is not there: …"
    fault = segment.fault
    if segment.body is not None:
        digests = _digests(segment.header)
        if digests is None or hashlib.sha256(segment.body).digest() == digests[1]:
            return segment
        fault = DamagedError("a stored body has another hash than the header that it came with")
    if fault is not None:
        log.fault("body-fault", fault)
    return replace(segment, body=None)


def _digests(header: bytes) -> Sequence[bytes] | None:
    """What a stored header says of its parts; None where it rotted itself, which whoever reads it finds."""
    try:
        digests = signed.decode_payload(signed.split(header)[0]).digests
    except MalformedError:
        return None
    return digests if len(digests) == _PARTS else None


def _encode(segment: StoredSegment) -> bytes:
    """`[1, position, device, seq, header, summary or null, body or null]`, by hand: bodies need no second look."""
    address = b"".join(map(cbor.encode, (1, segment.position, segment.device, segment.seq)))
    pieces = [b"\x87", address, _octets_head(len(segment.header)), segment.header]
    for part in (segment.summary, segment.body):
        pieces += [b"\xf6"] if part is None else [_octets_head(len(part)), part]
    return b"".join(pieces)


def _octets_head(length: int) -> bytes:
    if length < 24:
        return bytes([0x40 | length])
    width = 1 if length < 1 << 8 else 2 if length < 1 << 16 else 4
    return bytes([0x58 + width.bit_length() - 1]) + length.to_bytes(width, "big")
