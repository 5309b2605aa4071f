"""The tests of chunks, claims and stamps that every storage engine of the relay passes (spec §12.4); see `store_suite`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from sealkeep_protocol.types import AccountId, DeviceId, Seq
from sealkeep_server.stores import (
    ChunkId,
    ConflictError,
    CopiedEntry,
    Entry,
    FullError,
    MissingChunksError,
    NewSegment,
    Pin,
    Put,
    Store,
)
from support.store_suite import Engine, account, after, everything, identifier, made, segment, start

NOW, HOUR, DAY = 1_800_000_000_000, 3_600_000, 24 * 3_600_000


def made_chunk(tag: int, size: int = 256) -> bytes:
    return hashlib.shake_128(b"chunk %d" % tag).digest(size)


def id_of(data: bytes) -> ChunkId:
    return ChunkId(hashlib.sha256(data).digest())


def naming(seq: int, *chunks: bytes, missing_ok: bool = False, tag: int = 0) -> NewSegment:
    """A segment that names these chunks."""
    plain = segment(seq, tag=tag)
    ids = b"".join(sorted(map(id_of, chunks)))
    return NewSegment(
        plain.seq, plain.header_id, plain.roster, plain.header, plain.summary, plain.body, ids, missing_ok
    )


async def put(
    store: Store, of: AccountId, data: bytes, *, now: int = NOW, slices: int = 3, allowed: int | None = None
) -> bool:
    arriving = await store.chunks.receive()
    try:
        step = -(-len(data) // slices)
        for at in range(0, len(data), step):
            await arriving.write(data[at : at + step])
        assert (arriving.size, arriving.id) == (len(data), id_of(data))
        return await store.chunks.put(of, arriving, now=now, until=now + HOUR, allowed=allowed) is not Put.KNOWN
    finally:
        await arriving.discard()


async def claim(store: Store, of: AccountId, *chunks: bytes, now: int = NOW) -> list[int]:
    return await store.chunks.claim(of, [id_of(chunk) for chunk in chunks], now=now, until=now + HOUR)


async def sweep(store: Store, now: int, *, limit: int = 100) -> int:
    """Sweep what has been idle for a day."""
    return await store.chunks.sweep(now=now, idle_since=now - DAY, limit=limit)


async def read(store: Store, of: AccountId, chunk: ChunkId) -> bytes | None:
    found = await store.chunks.open(of, chunk)
    if found is None:
        return None
    try:
        return await found.read(0, found.size + 1)
    finally:
        await found.close()


async def used(store: Store, of: AccountId) -> int:
    heads = await store.heads(of)
    assert heads is not None
    return heads.used


class ChunkSuite:
    """See the module."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, engine: Engine) -> AsyncIterator[Store]:
        store = await engine.open()
        yield store
        await store.close()

    async def test_a_chunk_comes_back_as_it_was_put(self, store: Store) -> None:
        one = await made(store)
        data = made_chunk(1, 1_048_592)
        assert await read(store, one, id_of(data)) is None
        assert await claim(store, one, data) == [0]
        assert await put(store, one, data)
        assert await claim(store, one, data) == []
        assert await read(store, one, id_of(data)) == data
        found = await store.chunks.open(one, id_of(data))
        assert found is not None
        assert [await found.read(at, 5) for at in (0, 70_000, found.size - 3)] == [
            data[:5], data[70_000:70_005], data[-3:],
        ]  # fmt: skip
        await found.close()
        assert await used(store, one) == len(data)

    async def test_a_chunk_is_stored_once(self, engine: Engine, store: Store) -> None:
        """FIL-12: one after the other, and at once; accounts share nothing."""
        one, two = await made(store, 1), await made(store, 2)
        data = made_chunk(1)
        assert await put(store, one, data)
        assert not await put(store, one, data)
        assert await claim(store, two, data) == [0]
        assert await read(store, two, id_of(data)) is None
        results = await asyncio.gather(*(put(store, two, data) for _ in range(8)))
        assert sorted(results) == [False] * 7 + [True]
        assert engine.stored_objects() == 2
        assert [await used(store, n) for n in (one, two)] == [len(data)] * 2
        with pytest.raises(ConflictError):
            await put(store, account(9), data)
        assert engine.stored_objects() == 2

    async def test_what_is_given_up_leaves_nothing(self, engine: Engine, store: Store) -> None:
        one = await made(store)
        arriving = await store.chunks.receive()
        await arriving.write(b"half of it")
        await arriving.discard()
        await arriving.discard()
        assert engine.stored_objects() == 0
        assert await used(store, one) == 0

    async def test_a_full_account_takes_no_chunk_and_no_segment(self, engine: Engine, store: Store) -> None:
        one = await made(store)
        first, second = made_chunk(1), made_chunk(2)
        assert await put(store, one, first, allowed=300)
        with pytest.raises(FullError):
            await put(store, one, second, allowed=300)
        assert not await put(store, one, first, allowed=300)  # needs no room
        with pytest.raises(FullError):
            await store.append(one, 0, start(), [naming(1, first)], allowed=300)
        assert await store.chunks.named(one, DeviceId(1), Seq(1)) is None
        assert await used(store, one) == len(first)
        assert engine.stored_objects() == 1
        assert await store.append(one, 0, start(), [naming(1, first)], allowed=10_000) == 1
        assert await put(store, one, second, allowed=10_000)

    # Appends

    async def test_an_append_names_what_is_there(self, store: Store) -> None:
        """FIL-14: in one transaction, all or none."""
        one = await made(store)
        there, away, later = (made_chunk(n) for n in range(3))
        await put(store, one, there)
        ids = sorted([id_of(away), id_of(later)])
        with pytest.raises(MissingChunksError) as refused:
            await store.append(one, 0, start(), [naming(1, there), naming(2, there, away, later), naming(3)])
        assert (refused.value.index, list(refused.value.missing)) == (1, ids)
        assert (await everything(store, one)).segments == []
        # The refused append stamped nothing: what was put stays unused, and goes.
        assert await sweep(store, NOW + DAY) == 1
        assert await store.append(one, 0, start(), [naming(1, there, away, missing_ok=True)]) == 1
        # What comes later counts as used at once.
        await put(store, one, away)
        await put(store, one, later)
        assert await sweep(store, NOW + 10 * DAY) == 1
        assert await claim(store, one, there, away, later) == [0, 2]

    async def test_so_many_missing_chunks_are_named_and_no_more(self, store: Store) -> None:
        one = await made(store)
        with pytest.raises(MissingChunksError) as refused:
            await store.append(one, 0, start(), [naming(1, *(made_chunk(n) for n in range(1200)))])
        assert len(refused.value.missing) == 1000

    async def test_a_segment_knows_its_chunks(self, store: Store) -> None:
        one = await made(store)
        chunks = [made_chunk(n) for n in range(5)]
        await store.append(one, 0, start(), [naming(1, *chunks, missing_ok=True), segment(2)])
        assert await store.chunks.named(one, DeviceId(1), Seq(1)) == sorted(map(id_of, chunks))
        assert await store.chunks.named(one, DeviceId(1), Seq(2)) == []
        for device, seq in ((1, 3), (2, 1)):
            assert await store.chunks.named(one, DeviceId(device), Seq(seq)) is None

    @pytest.mark.parametrize("copied", [False, True])
    async def test_what_is_cut_off_loses_its_stamps(self, store: Store, copied: bool) -> None:
        """FIL-13: what a segment named that is still stored stays; the rest goes a day after. VIE-09: a copied pin cuts
        likewise."""
        one = await made(store)
        kept, cut, both = (made_chunk(n) for n in range(3))
        for chunk in (kept, cut, both):
            await put(store, one, chunk, now=NOW - 5 * DAY)
        segments = [naming(1, kept, both), naming(2, cut, both), naming(3, cut)]
        await store.append(one, 0, start(), segments)
        chunks = 3 * len(kept)
        assert await used(store, one) == chunks + sum(s.size for s in segments)
        assert segments[0].size == segment(1).size + 2 * 64
        pin = Pin(DeviceId(1), Seq(1), identifier(1), cut=True)
        removal = Entry(1, b"removal", NOW)
        if copied:
            last = CopiedEntry(identifier(2), Entry(2, b"rotation", NOW), [], [])
            entries = [CopiedEntry(identifier(1), removal, [], [pin]), last]
            await store.copy_entries(one, 0, entries, may_lack=True)
        else:
            await store.append_entry(one, identifier(1), removal, [], [pin])
        assert await used(store, one) == chunks + segments[0].size
        assert await store.chunks.named(one, DeviceId(1), Seq(2)) is None
        assert await sweep(store, NOW + DAY - 1) == 0
        assert await sweep(store, NOW + DAY) == 1
        assert await claim(store, one, kept, cut, both, now=NOW) == [1]
        assert await sweep(store, NOW + 100 * DAY) == 0
        # The feed goes on from its cut, and names chunks again.
        roster = 2 if copied else 1
        assert await store.append(one, roster, after(segments[0]), [naming(2, both, tag=7)]) == 4

    # The sweep

    async def test_what_no_append_named_is_swept_a_day_after_its_last_claim(self, engine: Engine, store: Store) -> None:
        """FIL-13: a claim keeps what is there while it lives."""
        one = await made(store)
        chunks = [made_chunk(n) for n in range(3)]
        for chunk in chunks:
            await put(store, one, chunk)
        await store.append(one, 0, start(), [naming(1, chunks[0])])
        assert await claim(store, one, chunks[1], now=NOW + 5 * HOUR) == []
        assert await claim(store, one, chunks[1], now=NOW) == []  # an older claim shortens nothing
        assert await sweep(store, NOW + DAY - 1) == 0
        assert await sweep(store, NOW + DAY) == 1
        assert await claim(store, one, *chunks, now=NOW) == [2]
        assert await sweep(store, NOW + DAY + 5 * HOUR - 1) == 0
        assert await sweep(store, NOW + DAY + 5 * HOUR) == 1
        assert await sweep(store, NOW + 1000 * DAY) == 0
        assert [await read(store, one, id_of(chunk)) for chunk in chunks] == [chunks[0], None, None]
        assert engine.stored_objects() == 1
        assert await used(store, one) == len(chunks[0]) + naming(1, chunks[0]).size
        # What was swept may be put again.
        assert await put(store, one, chunks[2])

    async def test_a_sweep_does_a_bounded_step(self, engine: Engine, store: Store) -> None:
        one, two = await made(store, 1), await made(store, 2)
        for n in range(7):
            await put(store, (one, two)[n % 2], made_chunk(n), now=NOW + n)
        assert [await sweep(store, NOW + 2 * DAY, limit=3) for _ in range(4)] == [3, 3, 1, 0]
        assert [await used(store, n) for n in (one, two)] == [0, 0]
        assert engine.stored_objects() == 0

    async def test_what_is_being_read_may_be_swept(self, store: Store) -> None:
        one = await made(store)
        data = made_chunk(1, 1_048_592)
        await put(store, one, data)
        found = await store.chunks.open(one, id_of(data))
        assert found is not None
        assert await sweep(store, NOW + DAY) == 1
        assert await found.read(0, found.size) == data
        await found.close()

    async def test_the_bytes_of_what_is_asked_for_are_counted(self, store: Store) -> None:
        one = await made(store)
        data = made_chunk(1)
        await put(store, one, data)
        await store.append(one, 0, start(), [segment(1)])
        places = [(DeviceId(1), Seq(1)), (DeviceId(1), Seq(2))]
        ids = [id_of(data), id_of(made_chunk(2))]
        counted = await store.chunks.stored_bytes(one, ids, places)
        assert counted == len(data) + len(b"summary 1") + len(b"b" * 300)

    # Durability

    async def test_everything_is_there_after_opening_again(self, engine: Engine) -> None:
        store = await engine.open()
        one = await made(store)
        chunks = [made_chunk(n, 20_000) for n in range(3)]
        for chunk in chunks[:2]:
            await put(store, one, chunk)
        await store.append(one, 0, start(), [naming(1, chunks[0], chunks[2], missing_ok=True)])
        half = await store.chunks.receive()
        await half.write(b"half")
        await store.close()
        store = await engine.open()
        try:
            assert await store.sweep() == 0
            assert engine.stored_objects() == 2
            assert await claim(store, one, *chunks) == [2]
            assert [await read(store, one, id_of(chunk)) for chunk in chunks] == [*chunks[:2], None]
            await put(store, one, chunks[2])
            assert await sweep(store, NOW + 5 * DAY) == 1  # though it was stopped for days
            assert await claim(store, one, *chunks) == [1]
        finally:
            await store.close()
