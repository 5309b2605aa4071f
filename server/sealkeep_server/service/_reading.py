"""Pages of segments (spec §8.5), cut into runs that are small enough to hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from sealkeep_protocol import cbor
from sealkeep_protocol.types import AccountId, DeviceId
from sealkeep_server.stores import Parts, Run, Store, StoredSegment

_RUN_BYTES = 1 << 19
_RUN_ITEMS = 512

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

    return _page(store.incarnation, ask, after, lambda segment: segment.position, parts, limits)


def feed(
    store: Store, account: AccountId, device: DeviceId, first: int, parts: Parts, limits: PageLimits
) -> AsyncIterator[list[bytes]]:
    """A page of one feed in the order of seq, likewise; its trailer tells the next seq."""

    async def ask(cursor: int, items: int, size: int) -> Run:
        return await store.feed(account, device, cursor, parts, limit=items, size=size)

    return _page(store.incarnation, ask, first, lambda segment: segment.seq + 1, parts, limits)


async def _page(
    incarnation: bytes,
    ask: _Ask,
    cursor: int,
    after: Callable[[StoredSegment], int],
    parts: Parts,
    limits: PageLimits,
) -> AsyncIterator[list[bytes]]:
    items, size = limits.items, limits.size
    while True:
        run = await ask(cursor, min(items, _RUN_ITEMS), min(size, _RUN_BYTES))
        encoded = [_encode(segment, parts) for segment in run.segments]
        items -= len(encoded)
        size -= sum(map(len, encoded))
        if run.segments:
            cursor = after(run.segments[-1])
        if not run.more or items <= 0 or size <= 0:
            yield [*encoded, cbor.encode([0, cursor, run.more, incarnation])]
            return
        yield encoded


def _encode(segment: StoredSegment, parts: Parts) -> bytes:
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
