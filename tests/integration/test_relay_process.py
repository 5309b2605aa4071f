"""The relay as a process: its command, its files, its log, and what `kill -9` leaves (spec §8.6)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.roster import Removal
from sealkeep_protocol.segments import SealedSegment
from support.relay import RelayProcess
from support.relay_client import Author, Owner, RelayClient, batch, item, new_keys


@asynccontextmanager
async def talking_to(relay: RelayProcess) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sealkeep_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, **env}, check=False)


def test_it_says_where_it_listens_in_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sealkeep_server", "--data", str(tmp_path / "a" / "b"), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(20) == 0
    assert re.fullmatch(r"sealkeep relay [0-9a-f]{64} listens on http://127\.0\.0\.1:\d+\n", line)
    assert rest == ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--listen", "nowhere"], 2, "give HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], 2, "give HOST:PORT"),
        (["--body-bytes", "1"], 2, "body_bytes must be at least 65536"),
        (["--item-bytes", "900000000"], 2, "item_bytes must not be above body_bytes"),
        (["--data", "/proc/nothing/here"], 1, "No such file or directory"),
        (["--listen", "203.0.113.1:1"], 1, "cannot listen on 203.0.113.1:1"),
    ],
)
def test_what_it_cannot_do_is_one_line(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    done = run("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= (1 if status == 1 else 4)


def test_a_second_relay_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data"):
        done = run("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        assert (done.returncode, done.stdout) == (1, "")
        assert "in use by another relay" in done.stderr


@pytest.mark.parametrize("name", ["identity", "token-keys"])
def test_a_spoilt_key_file_is_one_line(tmp_path: Path, name: str) -> None:
    with RelayProcess(tmp_path / "data"):
        pass
    (tmp_path / "data" / name).write_bytes(b"short")
    done = run("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_come_from_flags_and_the_environment(tmp_path: Path) -> None:
    with RelayProcess(
        tmp_path / "data",
        "--batch-items",
        "7",
        env={"SEALKEEP_RELAY_PAGE_ITEMS": "9", "SEALKEEP_RELAY_BATCH_ITEMS": "8"},
    ) as relay:

        async def info() -> dict[int, cbor.Item]:
            async with talking_to(relay) as client:
                value: dict[int, cbor.Item] = (await client.request("GET", "/v1/info")).value
                return value

        limits = asyncio.run(info())[5]
        assert (limits["batch_items"], limits["page_items"]) == (7, 9)


def test_it_starts_quickly_and_keeps_its_identity(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data") as relay:
        before = (relay.identity, relay.incarnation, relay.url)
        took = []
        for _ in range(3):
            relay.stop()
            started = time.perf_counter()
            relay.start()
            took.append(time.perf_counter() - started)
        assert (relay.identity, relay.incarnation, relay.url) == before
        assert min(took) < 1
        for name in ("identity", "token-keys"):
            assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600


async def test_tokens_outlive_a_restart(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            await client.append(owner.device, owner.device.seal())
            relay.restart()
            async with talking_to(relay) as later:
                later.tokens = client.tokens
                assert (await later.append(owner.device, owner.device.seal())).value[1] == 2


async def test_requests_under_way_are_finished_at_a_stop(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            segments = [owner.device.seal(100_000) for _ in range(2)]
            begun = asyncio.Event()

            async def body() -> AsyncIterator[bytes]:
                yield item(segments[0])
                begun.set()
                await asyncio.sleep(0.3)
                yield item(segments[1])

            append = asyncio.ensure_future(client.as_device(owner.device, "POST", "segments", body()))
            await begun.wait()
            assert await asyncio.to_thread(relay.stop) == 0
            assert len((await append).value[2]) == 2
            relay.start()
        async with talking_to(relay) as client:
            assert len((await client.page(owner.device)).segments) == 2


async def provoke(client: RelayClient, owner: Owner) -> None:
    """Everything that might tempt a relay to write something down."""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    tablet = owner.devices[2]
    await client.append(owner.device, owner.device.seal(), owner.device.seal(60_000))
    await client.append(tablet, tablet.seal(seq=9, take=False))
    removal = owner.change(removed=[Removal(2, 0, b"", False)])
    await client.change(owner, removal.entry, removal.wraps, 1)
    await client.changes(tablet)
    await client.changes(owner.device)
    await client.as_device(owner.device, "POST", "segments", b"MARKER-in-a-body")
    await client.request("GET", f"/MARKER-in-a-path/{owner.account.hex()}?MARKER-in-a-query")
    await client.request("GET", client.path(owner, "heads"), authorization="Bearer MARKER-in-a-token")
    port = int(client.url.rsplit(":", 1)[1])
    for garbage in (
        b"MARKER-garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nMARKER bad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"MARKER" * 5000 + b"\r\n\r\n",
        b"POST /v1/accounts HTTP/1.1\r\nHost: a\r\nContent-Type: application/cbor\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"MARKER\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        await reader.read()
        writer.close()


async def test_the_log_names_nobody(tmp_path: Path) -> None:
    """REL-12"""
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            await provoke(client, owner)
            [body] = [p for p in (tmp_path / "data" / "bodies").rglob("*") if p.is_file()]
            body.unlink()
            assert [read.body for read in (await client.page(owner.device)).segments].count(None) == 1
            token = await client.token(owner.device)
        relay.stop()
        log = relay.log
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["event"] for line in lines] == ["listening", "body-fault", "stopping", "stopped"]
    assert {name for line in lines for name in line} == {"event", "level", "timestamp", "error"}
    assert lines[1]["error"] == "DamagedError < FileNotFoundError"
    for secret in ("MARKER", token, owner.account.hex(), owner.account.hex()[:8], "127.0.0.1", "/v1/"):
        assert secret not in log


async def test_the_debug_flag_says_more(tmp_path: Path) -> None:
    """REL-12: only with the flag."""
    with RelayProcess(tmp_path / "data", "--debug") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            await client.append(owner.device, owner.device.seal(60_000))
            [body] = [p for p in (tmp_path / "data" / "bodies").rglob("*") if p.is_file()]
            body.unlink()
            assert [read.body for read in (await client.page(owner.device)).segments].count(None) == 1
        assert "Traceback" in relay.log


async def test_a_damaged_body_keeps_no_other_away(tmp_path: Path) -> None:
    """REL-16: lost, cut, or with one flipped bit: it is not there, neither on a page nor for a proof."""
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            put = [owner.device.seal(size) for size in (200_000, 200, 150_000, 100_000, 200, 50_000)]
            await client.append(owner.device, *put)
            by_size = {p.stat().st_size: p for p in (tmp_path / "data" / "bodies").rglob("*") if p.is_file()}
            lost, cut, flipped = (by_size[len(put[place].body)] for place in (0, 2, 3))
            lost.unlink()
            cut.write_bytes(put[2].body[:-1])
            flipped.write_bytes(put[3].body[:-1] + bytes([put[3].body[-1] ^ 1]))
            for _ in range(2):
                page = await client.page(owner.device)
                assert [read.body for read in page.segments] == [
                    None,
                    put[1].body,
                    None,
                    None,
                    *(s.body for s in put[4:]),
                ]
                assert [read.summary for read in page.segments] == [s.summary for s in put]
            challenge = bytes(32)
            answers = (await client.prove(owner.device, *((challenge, (1, seq)) for seq in range(1, 7)))).items
            assert [answer is None for answer in answers[:-1]] == [True, False, True, True, False, False]
        assert "body-fault" in relay.log


async def test_an_idle_relay_holds_no_log_and_little_more_than_the_bodies(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with RelayProcess(data, "--checkpoint-idle-seconds", "0.1") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            await client.append(owner.device, *(owner.device.seal(260_000) for _ in range(20)))
            await client.append(owner.device, *(owner.device.seal(60) for _ in range(100)))
        wal = data / "relay.db-wal"
        async with asyncio.timeout(10):
            while wal.stat().st_size:  # noqa: ASYNC110 - SQLite tells nobody
                await asyncio.sleep(0.02)
        used = sum(-(-p.stat().st_size // 4096) * 4096 for p in data.rglob("*") if p.is_file())
        bodies = 20 * 262_144 + 100 * 256
        assert used < bodies + 100 * 1_000 + 20 * 4_500 + 150_000


async def test_a_large_upload_and_restore_stay_in_bounded_memory(tmp_path: Path) -> None:
    """REL-03"""
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            for _ in range(3):
                segments = [owner.device.seal(261_000) for _ in range(200)]
                assert len((await client.append(owner.device, *segments)).value[2]) == 200
            process = psutil.Process(relay.pid)
            after_upload = process.memory_info().rss
            position, more = 0, True
            while more:
                page = await client.page(owner.device, position)
                position, more = page.position, page.more
            assert position == 600
            assert after_upload < 200e6
            assert process.memory_info().rss < 200e6


class Uploader:
    """Appends until told to stop, as a client does: again and identically until there is a receipt."""

    def __init__(self, client: RelayClient, author: Author, chance: random.Random) -> None:
        self.client, self.author, self.chance = client, author, chance
        self.acknowledged: list[SealedSegment] = []
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            sizes = [self.chance.choice((60, 3_000, 30_000, 200_000)) for _ in range(self.chance.randint(1, 6))]
            pending = [self.author.seal(size) for size in sizes]
            while pending:
                taken = await self.send(pending)
                self.acknowledged += pending[:taken]
                del pending[:taken]

    async def send(self, pending: list[SealedSegment]) -> int:
        import aiohttp

        try:
            answer = await self.client.as_device(self.author, "POST", "segments", batch(pending))
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.05)
            return 0
        assert answer.status == 200 or answer.code == "unavailable", answer
        return len(answer.value[2]) if answer.status == 200 else 0


async def kill_during_uploads(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with RelayProcess(tmp_path / "data") as relay:
        async with talking_to(relay) as client:
            owner = Owner()
            await client.create(owner)
            change = owner.change(added=[new_keys(), new_keys()])
            await client.change(owner, change.entry, change.wraps, 0)
            uploaders = [Uploader(client, author, chance) for author in owner.devices.values()]
            for uploader in uploaders:
                await client.token(uploader.author)
            running = [asyncio.ensure_future(uploader.run()) for uploader in uploaders]
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.05, 0.5))
                await asyncio.to_thread(relay.restart, kill=True)
            for uploader in uploaders:
                uploader.stop = True
            await asyncio.gather(*running)
            read = []
            position, more = 0, True
            while more:
                page = await client.page(owner.device, position)
                read += page.segments
                position, more = page.position, page.more
    assert [s.position for s in read] == list(range(1, len(read) + 1))
    for uploader in uploaders:
        stored = [(s.header, s.summary, s.body) for s in read if s.device == uploader.author.number]
        assert stored == [(s.header, s.summary, s.body) for s in uploader.acknowledged]
    assert relay.log.count('"listening"') == 5
    assert "fault" not in relay.log


@pytest.mark.parametrize("seed", range(2))
async def test_kill_9_during_uploads_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """SEG-17, SEG-18: whatever was acknowledged is there, once; whoever sends again never looks like a fork."""
    await kill_during_uploads(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 20))
async def test_kill_9_many_times(tmp_path: Path, seed: int) -> None:
    """SEG-17, SEG-18"""
    await kill_during_uploads(tmp_path, seed)
