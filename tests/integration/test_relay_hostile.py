"""What a peer may throw at a relay over the socket: each has its named problem, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.problems import PROBLEMS
from support.relay import RelayProcess
from support.relay_client import CBOR, SEQUENCE, Owner, RelayClient, item

DEADLINE = 20
OPTIONS = (
    *("--header-seconds", "0.6", "--idle-seconds", "1", "--body-seconds", "0.6", "--linger-seconds", "0.3"),
    *("--rate-bytes", "1000", "--rate-grace-seconds", "1", "--header-bytes", "8192", "--body-bytes", "1000000"),
    *("--connections", "60", "--account-requests", "4", "--transfers", "6", "--object-bytes", "100000"),
    *("--arriving-bytes", "200000"),
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay") / "data", *OPTIONS) as relay:
        yield relay


@pytest.fixture
async def client(relay: RelayProcess) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


@pytest.fixture
async def owner(client: RelayClient) -> Owner:
    owner = Owner()
    assert (await client.create(owner)).status == 201
    return owner


@asynccontextmanager
async def serves_others(client: RelayClient) -> AsyncIterator[None]:
    """While the body of this context runs, another account's device writes and reads without a hitch."""
    other = Owner()
    assert (await client.create(other)).status == 201
    done = asyncio.Event()
    served = 0

    async def use() -> None:
        nonlocal served
        while not done.is_set() or not served:
            segment = other.device.seal(20_000)
            assert (await client.append(other.device, segment)).status == 200
            page = await client.page(other.device, segment.seq - 1)
            assert page.segments[-1].body == segment.body
            served += 1

    using = asyncio.ensure_future(use())
    try:
        yield
    finally:
        done.set()
        await using
    assert served


class Raw:
    """A bare connection, on which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def problem(self) -> str:
        """The code of the problem with which the relay answers; its status and media type fit."""
        status, headers, body = await self.answer()
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == status == PROBLEMS[problem["code"]].status
        assert problem["type"] == "urn:sealkeep:problem:" + problem["code"]
        assert problem["title"]
        code: str = problem["code"]
        return code

    async def closed(self) -> bool:
        return await self.reader.read(1) == b""


@asynccontextmanager
async def connect(relay: RelayProcess) -> AsyncIterator[Raw]:
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(relay.url).port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()


def post(path: str, *lines: str, length: int | None = None) -> bytes:
    media = SEQUENCE if path.endswith("/segments") else CBOR
    head = [f"POST {path} HTTP/1.1", "Host: relay", f"Content-Type: {media}", *lines]
    if length is not None:
        head.append(f"Content-Length: {length}")
    return "\r\n".join([*head, "", ""]).encode()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", "malformed"),
        (b"GET\r\n\r\n", "malformed"),
        (b"GET / HTTP/9.9\r\n\r\n", "malformed"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", "malformed"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "malformed"),
        (post("/v1/accounts", "Content-Length: 4", "Content-Length: 5"), "malformed"),
        (post("/v1/accounts", "Content-Length: -4"), "malformed"),
        (post("/v1/accounts", "Transfer-Encoding: chunked") + b"zz\r\n", "malformed"),
        (post("/v1/accounts", "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n", "malformed"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "headers-too-large"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "headers-too-large"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: aaaa\r\n" * 70 + b"\r\n", "headers-too-large"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: " % i + b"a" * 500 + b"\r\n" for i in range(20))
         + b"\r\n", "headers-too-large"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", "malformed"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "not-found"),
        (b"GET /health%00 HTTP/1.1\r\nHost: a\r\n\r\n", "not-found"),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", "not-found"),
        (b"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", "malformed"),
        (b"DELETE /health HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
    ],
)  # fmt: skip
async def test_what_is_not_a_request_gets_a_problem(relay: RelayProcess, sent: bytes, code: str) -> None:
    """REL-01: aiohttp's own errors too are problems of §9.1."""
    async with connect(relay) as raw:
        await raw.send(sent)
        assert await raw.problem() == code


async def test_an_endless_header_is_cut(relay: RelayProcess, client: RelayClient) -> None:
    """REL-03"""
    async with serves_others(client), connect(relay) as raw:
        await raw.send(b"GET /health HTTP/1.1\r\n")
        for _ in range(40):
            await raw.send(b"X: " + b"a" * 300 + b"\r\n")
        assert await raw.problem() == "headers-too-large"
        assert await raw.closed()


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /health HTTP/1.1\r\nHost: a\r\n"])
async def test_a_slow_header_is_dropped(relay: RelayProcess, client: RelayClient, sent: bytes) -> None:
    """REL-03"""
    async with serves_others(client), connect(relay) as raw:
        await raw.send(sent)
        assert await raw.problem() == "timeout"
        assert await raw.closed()


async def test_a_dripping_header_is_dropped(relay: RelayProcess) -> None:
    """REL-03: the deadline is for the whole header, not for the pause between bytes."""
    async with connect(relay) as raw:
        await raw.send(b"GET /health HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await raw.send(b"X")
                await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        assert await raw.problem() == "timeout"
        dripping.cancel()


async def test_an_idle_connection_is_closed(relay: RelayProcess) -> None:
    async with connect(relay) as raw:
        await raw.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await raw.answer())[0] == 200
        await raw.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await raw.answer())[0] == 200
        assert await raw.closed()


async def segments_head(client: RelayClient, owner: Owner, *lines: str, length: int | None = None) -> bytes:
    token = await client.token(owner.device)
    return post(client.path(owner, "segments"), f"Authorization: Bearer {token}", *lines, length=length)


async def test_a_stalled_body_is_dropped(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    """REL-03"""
    async with serves_others(client), connect(relay) as raw:
        await raw.send(await segments_head(client, owner, length=500_000) + b"\x84")
        assert await raw.problem() == "timeout"
        assert await raw.closed()


async def test_a_dripping_body_is_dropped(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    """REL-03: never silent for long, but below the least rate."""
    async with serves_others(client), connect(relay) as raw:
        await raw.send(await segments_head(client, owner, length=500_000) + b"\x84\x5a\x00\x01\x00\x00")

        async def drip() -> None:
            while True:
                await raw.send(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        assert await raw.problem() == "timeout"
        dripping.cancel()


async def test_what_came_before_a_stall_is_stored(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    """SEG-18: the prefix of a batch that came to a halt is answered for."""
    async with connect(relay) as raw:
        await raw.send(await segments_head(client, owner, length=500_000) + item(owner.device.seal()))
        status, _, body = await raw.answer()
        assert status == 200
        assert cbor.decode(body, limit=1000)[1] == 1


async def test_a_reader_that_does_not_read_is_dropped(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    """REL-03: answers too have their pace. Nobody else waits for it."""
    for _ in range(20):
        assert (await client.append(owner.device, *(owner.device.seal(240_000) for _ in range(3)))).status == 200
    token = await client.token(owner.device)
    async with serves_others(client), connect(relay) as raw:
        path = client.path(owner, "changes")
        await raw.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await drained(raw)


async def drained(raw: Raw) -> None:
    """Read to the end; raises when that is not the end of a whole answer."""
    rest = b""
    while chunk := await raw.reader.read(1 << 20):
        rest = (rest + chunk)[-16:]
    if not rest.endswith(b"0\r\n\r\n"):
        raise ConnectionError("cut short")


async def test_a_body_cut_short_stores_nothing(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    data = item(owner.device.seal(50_000, take=False))
    async with connect(relay) as raw:
        await raw.send(await segments_head(client, owner, length=len(data)) + data[:-10])
        raw.writer.close()
    async with connect(relay) as raw:  # closed for writing only: an answer could still come
        await raw.send(await segments_head(client, owner, length=len(data)) + data[:-10])
        raw.writer.write_eof()
        await raw.closed()
    assert (await client.as_device(owner.device, "GET", "heads")).value[3] == []


async def test_oversized_bodies_are_refused_as_soon_as_known(
    relay: RelayProcess, client: RelayClient, owner: Owner
) -> None:
    """REL-03: by the announced length, by the count of a chunked body, and by the head of an item (ENC-06)."""
    async with serves_others(client):
        async with connect(relay) as raw:
            await raw.send(await segments_head(client, owner, length=10**12))
            assert await raw.problem() == "too-large"
        async with connect(relay) as raw:
            await raw.send(await segments_head(client, owner, "Transfer-Encoding: chunked"))
            await raw.send(b"5\r\n\x5a\xff\xff\xff\xff\r\n")
            assert await raw.problem() == "too-large"
        async with connect(relay) as raw:
            await raw.send(post("/v1/accounts", "Transfer-Encoding: chunked") + b"9\r\n\x5b" + b"\xff" * 8 + b"\r\n")
            # One object: its own decoder names it once the small limit for objects is passed.
            for _ in range(60):
                await raw.send(b"1000\r\n" + bytes(4096) + b"\r\n")
            assert await raw.problem() == "too-large"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(600):
            yield b"\x80" * 4096

    answer = await client.as_device(owner.device, "POST", "segments", endless())
    assert answer.code == "malformed"


@pytest.mark.parametrize("depth", [9, 2000, 100_000])
async def test_a_body_nested_too_deeply_is_malformed(client: RelayClient, owner: Owner, depth: int) -> None:
    """ENC-03 over the wire."""
    body = b"\x81" * depth + b"\x00"
    async with serves_others(client):
        answer = await client.as_device(owner.device, "POST", "segments", body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert (await client.request("POST", "/v1/accounts", body)).code in ("malformed", "too-large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x", "gzip, identity"])
async def test_content_codings_are_refused(client: RelayClient, owner: Owner, coding: str) -> None:
    """REL-02: and nothing is ever inflated."""
    bomb = gzip.compress(bytes(30_000_000)) if coding == "gzip" else zlib.compress(bytes(30_000_000))
    for answer in (
        await client.as_device(owner.device, "POST", "segments", bomb, content_encoding=coding),
        await client.request("POST", "/v1/accounts", bomb, content_encoding=coding),
    ):
        assert (answer.status, answer.code) == (415, "media-type")


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", "application/cbor; charset=utf-8", "", "*", "swapped"]
)
async def test_other_media_types_are_refused(client: RelayClient, owner: Owner, media_type: str) -> None:
    """REL-02"""
    data = item(owner.device.seal(take=False))
    one, sequence = (SEQUENCE, CBOR) if media_type == "swapped" else (media_type, media_type)
    for answer in (
        await client.as_device(owner.device, "POST", "segments", data, content_type=sequence),
        await client.request("POST", client.path(owner, "challenge"), b"\x82\x00\x01", content_type=one),
    ):
        assert (answer.status, answer.code) == (415, "media-type")


async def test_a_body_needs_a_media_type(relay: RelayProcess) -> None:
    """REL-02"""
    async with connect(relay) as raw:
        await raw.send(b"POST /v1/accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\x80")
        assert await raw.problem() == "media-type"


async def test_a_body_may_be_announced(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    """RFC 9110 §10.1.1: with `Expect: 100-continue` the refusal comes before the body, or the body is asked for."""
    data = item(owner.device.seal())
    async with connect(relay) as raw:
        await raw.send(await segments_head(client, owner, "Expect: 100-continue", length=len(data)))
        assert (await raw.answer())[0] == 100
        await raw.send(data)
        assert (await raw.answer())[0] == 200
    async with connect(relay) as raw:
        await raw.send(post("/v1/nothing", "Expect: 100-continue", length=5))
        assert await raw.problem() == "not-found"


@pytest.mark.parametrize(
    "path", ["/", "/v2/info", "/v1/accounts/x/roster", "/v1/accounts/" + "A" * 64 + "/roster", "/v1/info/", "//v1/info"]
)
async def test_what_is_not_there_is_not_found(client: RelayClient, path: str) -> None:
    assert (await client.request("GET", path)).code == "not-found"


@pytest.mark.parametrize("rest", ["mailboxes/00", "notices"])
async def test_reserved_routes_are_not_found_until_then(client: RelayClient, owner: Owner, rest: str) -> None:
    assert (await client.as_device(owner.device, "POST", rest, b"\x80")).code == "not-found"


async def test_methods_are_named(client: RelayClient, owner: Owner) -> None:
    answer = await client.request("PUT", client.path(owner, "roster"), b"")
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method", "GET, POST")
    assert (await client.request("OPTIONS", "/v1/info")).code == "method"
    assert (await client.request("HEAD", "/v1/info")).status == 405


async def test_too_many_connections_are_told_so(relay: RelayProcess, client: RelayClient) -> None:
    async with asyncio.timeout(DEADLINE):
        assert (await client.request("GET", "/health")).status == 200
        open_ones = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(80)]
        try:
            refused = 0
            for reader, _ in open_ones[60:]:
                status, headers, _ = await Raw(reader, open_ones[0][1]).answer()
                assert status == 429
                assert headers["retry-after"] == "1"
                refused += 1
            assert refused == 20
            assert (await client.request("GET", "/health")).status == 200  # those who are in stay in
        finally:
            for _, writer in open_ones:
                writer.close()


async def test_one_account_cannot_take_all_turns(relay: RelayProcess, client: RelayClient, owner: Owner) -> None:
    head = await segments_head(client, owner, length=1000)
    async with serves_others(client):
        raws = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(4)]
        for _, writer in raws:
            writer.write(head)
        async with asyncio.timeout(DEADLINE):
            answer = await client.as_device(owner.device, "GET", "heads")
            while answer.status == 200:
                answer = await client.as_device(owner.device, "GET", "heads")
        assert (answer.status, answer.code) == (429, "busy")
        assert answer.headers["Retry-After"] == "1"
        for _, writer in raws:
            writer.close()


async def test_bodies_that_are_held_whole_are_bounded_over_all_peers(relay: RelayProcess, client: RelayClient) -> None:
    """REL-03: they need no token. Who would need too much is told to come back, and has taken nothing from the others."""
    head = post("/v1/accounts", length=90_000)
    async with connect(relay) as first, connect(relay) as second, connect(relay) as third:
        for raw in (first, second):
            await raw.send(head + bytes(80_000))
        assert (await client.request("GET", "/health")).status == 200
        await third.send(head + bytes(80_000))
        assert await third.problem() == "busy"
        owner = Owner()
        assert (await client.create(owner)).status == 201  # a body of the usual size fits in
    async with connect(relay) as fourth:
        await fourth.send(head + bytes(90_000))
        assert await fourth.problem() == "malformed"


async def test_transfers_are_bounded_over_all_accounts(relay: RelayProcess, client: RelayClient) -> None:
    owners = [Owner() for _ in range(3)]
    raws = []
    for owner in owners:
        await client.create(owner)
        head = await segments_head(client, owner, length=1000)
        for _ in range(2):
            raws.append(await asyncio.open_connection("127.0.0.1", relay.port))
            raws[-1][1].write(head)
    last = Owner()
    await client.create(last)
    await client.token(last.device)
    async with asyncio.timeout(DEADLINE):
        answer = await client.changes(last.device)
        while answer.status == 200:
            answer = await client.changes(last.device)
    assert (answer.status, answer.code) == (429, "busy")
    assert (await client.as_device(last.device, "GET", "heads")).status == 200  # what holds nothing goes on
    for _, writer in raws:
        writer.close()


async def test_many_requests_at_once_on_one_connection(relay: RelayProcess) -> None:
    async with connect(relay) as raw:
        await raw.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
        for _ in range(50):
            assert (await raw.answer())[0] == 200
