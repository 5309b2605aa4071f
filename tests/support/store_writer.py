"""A process that appends to a store until it is killed: `store_writer.py sqlite DIR`.

It prints `device seq position` for every segment that was acknowledged, and nothing before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from pathlib import Path

from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.stores import ConflictError, Entry, NewSegment, Store
from sealkeep_server.stores.sqlite import SqliteStore

ACCOUNT = AccountId(b"\xaa" * 32)
DEVICES = 6
_SIZES = (300, 20_000, 7_000, 120_000)  # by seq: inline and as files


def body_of(device: int, seq: int) -> bytes:
    """What stands at an address, so that a reader can tell."""
    size = _SIZES[(device + seq) % len(_SIZES)]
    return hashlib.shake_128(b"%d %d" % (device, seq)).digest(size)


def header_id(device: int, seq: int) -> ObjectId:
    return ObjectId(hashlib.sha256(b"id %d %d" % (device, seq)).digest() if seq else b"")


async def open_store(words: list[str]) -> Store:
    match words:
        case ["sqlite", data]:
            return SqliteStore.open(Path(data))
        case _:
            raise SystemExit(f"no such engine: {words}")


async def write(store: Store, device: int) -> None:
    place = await store.place(ACCOUNT, DeviceId(device), Seq(0))
    assert place is not None
    head = place.feed
    count = device % 3 + 1  # some alone, some in batches
    while True:
        batch = []
        for seq in range(head.seq + 1, head.seq + 1 + count):
            body = body_of(device, seq)
            stored = await store.stage(body) if len(body) > store.inline_bytes else body
            batch.append(NewSegment(Seq(seq), header_id(device, seq), 0, b"header", b"summary", stored))
        first = await store.append(ACCOUNT, 0, head, batch)
        for offset, segment in enumerate(batch):
            print(device, segment.seq, first + offset, flush=True)
        head = type(head)(DeviceId(device), batch[-1].seq, batch[-1].header_id, 0)


async def main() -> None:
    store = await open_store(sys.argv[1:])
    with contextlib.suppress(ConflictError):  # not the first run
        await store.create_account(ACCOUNT, ObjectId(b"\1" * 32), Entry(0, b"genesis", 0), [])
    await store.sweep()
    await asyncio.gather(*(write(store, device) for device in range(1, DEVICES + 1)))


if __name__ == "__main__":
    asyncio.run(main())
