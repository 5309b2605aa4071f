"""Chunks and the relay's process: what `kill -9` leaves, what peers hold up, what it holds in memory, what it tells its
operator (spec §12.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.files import MAX_CHUNK
from sealkeep_protocol.primitives import sha256
from support.relay import RelayProcess
from support.relay_client import Author, Owner, RelayClient, new_keys

DEADLINE = 30


@asynccontextmanager
async def talking_to(relay: RelayProcess) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


@asynccontextmanager
async def owned(data: Path, *options: str) -> AsyncIterator[tuple[RelayProcess, RelayClient, Author]]:
    with RelayProcess(data, *options) as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            assert (await client.create(owner)).status == 201
            yield relay, client, owner.device


def stored(data: Path) -> list[Path]:
    return [path for folder in ("bodies", "incoming") for path in (data / folder).rglob("*") if path.is_file()]


# kill -9


class Sender:
    """Puts chunks and appends segments that name them, as a client does: again and identically until it is answered."""

    def __init__(self, client: RelayClient, author: Author, chance: random.Random) -> None:
        self.client, self.author, self.chance = client, author, chance
        self.acknowledged: dict[bytes, bytes] = {}  # chunks whose put was answered
        self.segments: list[list[bytes]] = []  # the chunks of those that have receipts
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            chunks = [
                self.chance.randbytes(self.chance.choice((256, 4112, 65_552, MAX_CHUNK)))
                for _ in range(self.chance.randint(1, 4))
            ]
            ids = sorted(map(sha256, chunks))
            await asyncio.gather(*map(self.put, chunks))
            segment = self.author.seal(self.chance.choice((60, 30_000)), chunks=ids)
            while not await self.answered(self.client.append_using(self.author, segment, ids)):
                pass
            self.segments.append(ids)

    async def put(self, chunk: bytes) -> None:
        while not await self.answered(self.client.put(self.author, chunk)):
            pass
        self.acknowledged[sha256(chunk)] = chunk

    async def answered(self, request: object) -> bool:
        try:
            answer = await request  # type: ignore[misc]
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.02)
            return False
        assert answer.status in (200, 201) or answer.code == "unavailable", answer
        return answer.status in (200, 201)


async def kill_during_puts(data: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with owned(data) as (relay, client, phone):
        change = phone.owner.change(added=[new_keys()])
        await client.change(phone.owner, change.entry, change.wraps, 0)
        senders = [Sender(client, author, chance) for author in phone.owner.devices.values()]
        for sender in senders:
            await client.token(sender.author)
        running = [asyncio.ensure_future(sender.run()) for sender in senders]
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            await asyncio.to_thread(relay.restart, kill=True)
        for sender in senders:
            sender.stop = True
        await asyncio.gather(*running)
        chunks = {chunk: data for sender in senders for chunk, data in sender.acknowledged.items()}
        for chunk, expected in chunks.items():
            assert (await client.chunk(phone, chunk)).body == expected
        for sender in senders:
            for seq, ids in enumerate(sender.segments, start=1):
                named = await client.as_device(phone, "GET", f"feeds/{sender.author.number}/{seq}/chunks")
                assert named.value == ids
        page = await client.page(phone)
        used = (await client.as_device(phone, "GET", "heads")).value[4]
        bodies = sum(len(s.header) + len(s.summary or b"") + len(s.body or b"") for s in page.segments)
        stamps = sum(len(ids) for sender in senders for ids in sender.segments)
        assert used == bodies + sum(map(len, chunks.values())) + 64 * stamps
        # What a crash left without a row goes at the start behind it.
        await asyncio.to_thread(relay.restart)
        large = sum(len(s.body or b"") > 8192 for s in page.segments)
        async with asyncio.timeout(DEADLINE):
            while len(stored(data)) != len(chunks) + large:  # noqa: ASYNC110 - a file system tells nobody
                await asyncio.sleep(0.02)
    assert "fault" not in relay.log


@pytest.mark.parametrize("seed", range(1))
async def test_kill_9_during_puts_and_appends_loses_nothing(tmp_path: Path, seed: int) -> None:
    """FIL-12, FIL-13, FIL-14: what was answered is there, once and whole, and nothing else takes room."""
    await kill_during_puts(tmp_path / "data", seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 20))
async def test_kill_9_many_times(tmp_path: Path, seed: int) -> None:
    """FIL-12, FIL-13, FIL-14"""
    await kill_during_puts(tmp_path / "data", seed)


# Memory and pace


async def test_many_large_puts_and_reads_at_once_stay_in_bounded_memory(tmp_path: Path) -> None:
    """REL-03: 64 chunks of 1 MiB arrive at a time, are read at a time, and others are served meanwhile."""
    async with owned(tmp_path / "data", "--account-requests", "80") as (relay, client, phone):
        await client.token(phone)
        process, peak, done = psutil.Process(relay.pid), 0, asyncio.Event()
        before = process.memory_info().rss

        async def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, process.memory_info().rss)
                assert (await client.request("GET", "/health")).status == 200

        watching = asyncio.ensure_future(watch())
        noise = os.urandom(MAX_CHUNK - 4)
        ids = []

        async def put(number: int) -> None:
            chunk = noise + number.to_bytes(4, "big")
            ids.append(sha256(chunk))
            assert (await client.put(phone, chunk)).status == 201

        async def read(chunk: bytes) -> None:
            assert sha256((await client.chunk(phone, chunk)).body) == chunk

        await asyncio.gather(*map(put, range(64)))
        await asyncio.gather(*map(read, ids[:64]))
        proofs = await client.prove(phone, *((os.urandom(32), chunk) for chunk in ids[:64]))
        assert len(proofs.items) == 65
        done.set()
        await watching
    assert peak < 200e6
    assert peak - before < 128 * MAX_CHUNK


SLOW = ("--body-seconds", "0.5", "--linger-seconds", "0.2", "--rate-grace-seconds", "1", "--rate-bytes", "1000")


async def test_a_slow_put_is_dropped_and_leaves_nothing(tmp_path: Path) -> None:
    """REL-03"""
    data = tmp_path / "data"
    async with owned(data, *SLOW) as (_, client, phone):
        chunk = os.urandom(65_552)

        async def stalling() -> AsyncIterator[bytes]:
            yield chunk[:1000]
            await asyncio.sleep(5)
            yield chunk[1000:]

        async def dripping() -> AsyncIterator[bytes]:
            for byte in chunk:
                yield bytes([byte])
                await asyncio.sleep(0.02)

        async with asyncio.timeout(DEADLINE):
            for slowly in (stalling(), dripping()):
                with contextlib.suppress(aiohttp.ClientError):  # it hung up while we were still sending
                    assert (await client.put(phone, slowly, sha256(chunk))).code == "timeout"
        assert (await client.claim(phone, sha256(chunk))).value[1] == [0]
        assert stored(data) == []
        assert (await client.put(phone, chunk)).status == 201


async def test_a_put_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with owned(data) as (relay, client, phone):
        chunk = os.urandom(65_552)
        token = await client.token(phone)
        head = (
            f"PUT {client.path(phone.owner, f'chunks/{sha256(chunk).hex()}')} HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(chunk)}\r\n\r\n"
        )
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(head.encode() + chunk[:60_000])
            await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()
        async with asyncio.timeout(DEADLINE):
            while stored(data):  # noqa: ASYNC110 - a file system tells nobody
                await asyncio.sleep(0.02)
        assert (await client.claim(phone, sha256(chunk))).value[1] == [0]


async def test_an_item_of_many_small_parts_is_refused(tmp_path: Path) -> None:
    """REL-03: before it is taken apart: each of them would cost much more memory than its byte."""
    async with owned(tmp_path / "data") as (relay, client, phone):
        before = psutil.Process(relay.pid).memory_info().rss
        segment = phone.seal(take=False)
        whole = b"".join(map(cbor.encode, (segment.header, segment.summary, segment.body)))
        answer = await client.as_device(
            phone, "POST", "segments", b"\x84" + whole + b"\x9a" + (600_000).to_bytes(4, "big") + b"\x80" * 600_000
        )
        assert answer.code == "too-large"
        assert psutil.Process(relay.pid).memory_info().rss - before < 20e6


# What the operator is told


async def test_a_damaged_chunk_is_an_alarm_and_the_log_names_nobody(tmp_path: Path) -> None:
    """REL-12, FIL-13"""
    data = tmp_path / "data"
    async with owned(data) as (relay, client, phone):
        chunks = [os.urandom(65_552) for _ in range(2)]
        ids = sorted(map(sha256, chunks))
        for chunk in chunks:
            await client.put(phone, chunk)
        await client.append_using(phone, phone.seal(chunks=ids), ids)
        for path in stored(data):
            path.write_bytes(bytes(65_552))
        first = await client.chunk(phone, ids[0], range="bytes=5-9")  # a part, too, is looked at with the rest
        assert (first.status, first.code) == (500, "internal")
        assert (await client.chunk(phone, ids[0])).code == "not-found"
        assert (await client.prove(phone, (bytes(32), ids[1]))).items[0] is None
        assert (await client.claim(phone, *ids)).value[1] == [0, 1]
        await client.as_device(phone, "PUT", f"chunks/{ids[0].hex()}", b"MARKER" * 43)
        await client.as_device(phone, "POST", "claims", b"MARKER")
        await client.as_device(phone, "POST", "proofs", cbor.encode([[b"MARKER", b"MARKER"]]))
        for chunk in chunks:
            assert (await client.put(phone, chunk)).status == 201
        assert (await client.chunk(phone, ids[0])).status == 200
        relay.stop()
        lines = [json.loads(line) for line in relay.log.splitlines()]
        events = [line["event"] for line in lines]
        assert events == [
            "listening", "request-fault", "proof-fault", "chunk-mended", "chunk-mended", "stopping", "stopped",
        ]  # fmt: skip
        for secret in ("MARKER", phone.owner.account.hex()[:8], *(chunk.hex()[:8] for chunk in ids)):
            assert secret not in relay.log
        relay.start()


async def test_what_nobody_names_goes_by_itself_after_a_stop_too(tmp_path: Path) -> None:
    """FIL-13: the relay keeps house in the background, and at once when it was stopped for long."""
    data = tmp_path / "data"
    quick = ("--claim-seconds", "1", "--idle-chunk-seconds", "1", "--housekeeping-seconds", "0.1")
    async with owned(data, *quick) as (relay, client, phone):
        named, left = os.urandom(256), os.urandom(272)
        for chunk in (named, left):
            await client.put(phone, chunk)
        assert (await client.append_using(phone, phone.seal(chunks=[sha256(named)]), [sha256(named)])).status == 200
        relay.stop()
        relay.start()
        async with asyncio.timeout(DEADLINE), talking_to(relay) as client:
            while len(stored(data)) > 1:  # noqa: ASYNC110 - a file system tells nobody
                await asyncio.sleep(0.05)
            assert (await client.chunk(phone, sha256(named))).body == named
            assert (await client.chunk(phone, sha256(left))).code == "not-found"
        assert '"erased"' in relay.log


async def test_an_account_without_room(tmp_path: Path) -> None:
    options = ("--account-bytes", "2000000")
    async with owned(tmp_path / "data", *options) as (_, client, phone):
        assert (await client.put(phone, os.urandom(MAX_CHUNK))).status == 201
        full = await client.put(phone, os.urandom(MAX_CHUNK))
        assert (full.status, full.code) == (507, "quota")
        heads = (await client.as_device(phone, "GET", "heads")).value
        assert (heads[4], heads[5]) == (MAX_CHUNK, 2_000_000)
        answers = [await client.append(phone, phone.seal(260_000)) for _ in range(4)]
        assert [answer.code for answer in answers[:3]] == [None, None, None]
        assert answers[3].code == "quota"
