"""The line to a relay that misbehaves: named errors in plain words, bounded memory, bounded time, and no leak."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from sealkeep_client.answers import ChunksMissingError, EpochStaleError, Page
from sealkeep_client.transport import PAGE_ITEMS, Credentials, HttpRelay, check_url
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import (
    AuthenticationError,
    MalformedError,
    RefusedError,
    SealkeepError,
    TransportError,
    UsageError,
)
from sealkeep_protocol.files import MAX_CHUNK
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import Challenge
from support.accounts import MadeAccount, MadeRelay, device, refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MADE, RELAY = MadeAccount(devices=2), MadeRelay()
INCARNATION = RELAY.incarnation
PEER = "said-by-the-peer"
SECRET = "TOKEN-THAT-NOBODY-SEES"


def answer(value: Any, media: str = "application/cbor", **more: Any) -> web.Response:
    return web.Response(body=cbor.encode(value), content_type=media, **more)


def sequence(*values: Any, headers: dict[str, str] | None = None) -> web.Response:
    body = b"".join(map(cbor.encode, values))
    return web.Response(body=body, content_type="application/cbor-seq", headers=headers)


def problem(
    code: str, status: int | None = None, media: str = "application/problem+json", **members: Any
) -> web.Response:
    body = {"type": f"urn:sealkeep:problem:{code}", "code": code, "title": PEER, "detail": PEER, **members}
    return web.Response(
        status=status or PROBLEMS[code].status, body=json.dumps(body).encode(), headers={"Content-Type": media}
    )


def item(position: int = 1, size: int = 10) -> list[Any]:
    return [1, position, 2, position, b"header", b"summary", bytes(size)]


TRAILER = [0, 1, False, INCARNATION]
HEADS = {1: INCARNATION, 2: 0, 3: [], 4: 0, 5: 0}


class Server:
    """A relay that answers as it is told: `on` sets a handler for the last part of a path; logging in works."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.tokens = 0
        self.logins = 0
        self.asked: list[web.Request] = []
        self.key = RELAY.key
        self.life = 900
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    def on(self, name: str, given: Handler | web.Response | Callable[[], web.Response]) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            if isinstance(given, web.Response):
                return web.Response(status=given.status, body=given.body, headers=given.headers)
            made = given(request)  # type: ignore[call-arg]
            return await made if asyncio.iscoroutine(made) else made  # type: ignore[return-value]

        self.handlers[name] = handler

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        name = request.path.rsplit("/", 1)[1]
        if name in self.handlers:
            return await self.handlers[name](request)
        if name == "challenge":
            signer = Signer(*cbor.decode(await request.read(), limit=100))
            return answer(Challenge(signer, 1, bytes(16)).sign(MADE.id, self.key))
        if name == "token":
            self.logins += 1
            return answer({1: f"{SECRET}-{self.logins}", 2: self.life})
        return problem("not-found")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.server.start_server()
    yield made
    await made.server.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def line(server: Server, clock: Clock) -> AsyncIterator[HttpRelay]:
    relay = HttpRelay(server.url, now=clock, patience=5)
    relay.use(Credentials(MADE.id, Signer.device(1), MADE.devices[1].signing, RELAY.identity))
    yield relay
    await relay.close()


async def changes(line: HttpRelay, **options: Any) -> Page:
    return await line.changes(0, incarnation=None, **options)


def is_plain(error: SealkeepError) -> bool:
    """ERR-03: no secret, no token, and nothing that the peer said."""
    shown = f"{error} {error!r} {error.args} {error.__dict__}"
    return not any(word in shown for word in (PEER, SECRET, "Bearer", MADE.id.hex(), "127.0.0.1"))


# What is right


async def test_pages_are_read(server: Server, line: HttpRelay) -> None:
    server.on("changes", sequence(item(4), item(5), [0, 5, True, INCARNATION]))
    page = await line.changes(3, incarnation=INCARNATION)
    assert [one.position for one in page.items] == [4, 5]
    assert (page.position, page.more, page.incarnation) == (5, True, INCARNATION)
    asked = server.asked[-1]
    assert dict(asked.query) == {
        "after": "3",
        "parts": "bodies",
        "limit": str(PAGE_ITEMS),
        "incarnation": INCARNATION.hex(),
    }
    assert asked.path == f"/v1/accounts/{MADE.id.hex()}/changes"
    assert asked.headers["Authorization"] == f"Bearer {SECRET}-1"
    assert asked.headers["Accept-Encoding"] == "identity"
    await line.changes(3, incarnation=INCARNATION, parts="summaries", short=4096, limit=1000)
    asked = server.asked[-1]
    assert (asked.query["parts"], asked.query["short"], asked.query["limit"]) == ("summaries", "4096", "256")
    server.on("2", sequence(item(9), TRAILER))
    assert (await line.feed(2, 9, parts="headers", limit=5)).items[0].seq == 9
    assert server.asked[-1].query["from"] == "9"
    assert server.logins == 1


async def test_rosters_and_wraps_are_read(server: Server, line: HttpRelay) -> None:
    server.on("roster", sequence(*MADE.entries[1:], headers={"ETag": '"1"'}))
    assert await line.roster(MADE.id, 1) == (MADE.entries[1:], 1)
    assert "Authorization" not in server.asked[-1].headers
    server.on("wraps", sequence([1, 1, b"wrap"]))
    assert [wrap.wrap for wrap in await line.wraps()] == [b"wrap"]


async def test_entries_and_genesis_are_sent(server: Server, line: HttpRelay) -> None:
    seen: list[tuple[str | None, Any]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((request.headers.get("If-Match"), cbor.decode(await request.read(), limit=1 << 20)))
        return answer({1: MADE.id}, status=201)

    server.on("accounts", take)
    server.on("roster", take)
    assert await line.create_account(MADE.entries[0], MADE.wraps[0]) == MADE.id
    await line.append_roster(MADE.id, 7, b"entry", [b"wrap"])
    assert seen == [(None, [MADE.entries[0], list(MADE.wraps[0])]), ('"7"', [b"entry", [b"wrap"]])]


async def test_segments_are_streamed(server: Server, line: HttpRelay) -> None:
    """SEG-13: a header may go alone; otherwise the ids of chunks go along, and that some may be missing."""
    seen: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(await request.read())
        assert request.content_type == "application/cbor-seq"
        return answer({1: 2, 2: [b"receipt"]})

    server.on("segments", take)
    assert (await line.append([(b"h", b"s", b"b", [b"1"], True), (b"h2",)])).receipts == (b"receipt",)
    assert seen == [cbor.encode([b"h", b"s", b"b", [b"1"], True]) + cbor.encode([b"h2"])]


# Answers that are none


@pytest.mark.parametrize(
    "given",
    [
        web.Response(body=b"", content_type="application/cbor-seq"),
        web.Response(body=cbor.encode(item()), content_type="application/cbor-seq"),
        web.Response(body=cbor.encode(item()) + cbor.encode(TRAILER)[:-1], content_type="application/cbor-seq"),
        web.Response(body=cbor.encode(TRAILER), content_type="application/cbor"),
        web.Response(body=cbor.encode(TRAILER), content_type="text/html"),
        web.Response(body=cbor.encode(TRAILER)),
        web.Response(
            body=cbor.encode(TRAILER), content_type="application/cbor-seq", headers={"Content-Encoding": "gzip"}
        ),
        problem("busy", 200),
        problem("busy", 503, media="text/plain"),
        problem("busy", 503, media="application/json"),
        web.Response(status=500, text=f"<h1>{PEER}</h1>"),
        web.Response(status=503, body=b"", content_type="application/problem+json"),
        web.Response(status=400, body=b"{", content_type="application/problem+json"),
        web.Response(status=400, body=b"[" * 60_000, content_type="application/problem+json"),
        web.Response(status=302, headers={"Location": "/v1/elsewhere"}),
        web.Response(status=307, headers={"Location": "http://127.0.0.1:9/"}),
        web.Response(status=304),
        web.Response(status=204),
    ],
)
async def test_what_is_no_answer_is_a_broken_line(server: Server, line: HttpRelay, given: web.Response) -> None:
    """ERR-01, REL-10: retryable, in plain words; redirects and compressed answers are refused like the rest."""
    server.on("changes", given)
    with pytest.raises(TransportError) as caught:
        await changes(line)
    assert caught.value.retryable
    assert is_plain(caught.value)
    assert [request.path.rsplit("/", 1)[1] for request in server.asked] == ["challenge", "token", "changes"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (cbor.encode([9, 1]), "unsupported"),
        (cbor.encode(TRAILER) + cbor.encode(item()) + cbor.encode(TRAILER), "malformed"),
        (b"\xff", "malformed"),
        (b"\xc0\x00", "malformed"),
        (b"\x9f\xff", "malformed"),
        (b"\x81" * 20, "malformed"),
        (b"\x5a\x7f\xff\xff\xff", "too-large"),
        (b"\x9a\x00\xff\xff\xff", "too-large"),
        (cbor.encode([1, 1, 2, 1, b"h", b"s", bytes(410_000)]), "too-large"),
        (b"".join(cbor.encode(item(n)) for n in range(1, PAGE_ITEMS + 3)), "too-large"),
    ],
)
async def test_a_page_of_something_else_is_malformed(server: Server, line: HttpRelay, body: bytes, code: str) -> None:
    """ENC-06: from its head alone where it announces too much."""
    server.on("changes", web.Response(body=body, content_type="application/cbor-seq"))
    with refused(MalformedError, code):
        await changes(line)


async def test_a_smaller_page_that_was_asked_for_has_a_smaller_limit(server: Server, line: HttpRelay) -> None:
    server.on("changes", sequence(item(1), item(2), item(3), TRAILER))
    with refused(MalformedError, "too-large"):
        await changes(line, limit=2)
    assert len((await changes(line, limit=3)).items) == 3


@pytest.mark.parametrize("etag", ["", "1", '"x"', 'W/"1"', '"-1"', '"' + "9" * 40 + '"', '"²"'])
async def test_a_roster_without_the_number_of_its_head(server: Server, line: HttpRelay, etag: str) -> None:
    server.on("roster", sequence(*MADE.entries, headers={"ETag": etag} if etag.isascii() else {}))
    with pytest.raises(TransportError, match="number of the roster"):
        await line.roster(MADE.id, 0)


async def test_a_roster_that_is_cut_short(server: Server, line: HttpRelay) -> None:
    """§8.2: fewer entries than the ETag says."""
    server.on("roster", sequence(MADE.entries[0], headers={"ETag": '"1"'}))
    with pytest.raises(TransportError, match="cut short"):
        await line.roster(MADE.id, 0)
    server.on("roster", sequence("text", headers={"ETag": '"0"'}))
    with refused(MalformedError, "malformed"):
        await line.roster(MADE.id, 0)


async def test_a_page_without_an_end_costs_no_memory(server: Server, line: HttpRelay) -> None:
    """Bounded by its number of items, by the length of each, and by what it has to be."""

    async def endless(request: web.Request, chunk: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/cbor-seq"})
        await response.prepare(request)
        while True:
            await response.write(chunk)

    nested = b"\x9a\x00\x00\xea\x60" + b"\x80" * 60_000
    for chunk in (cbor.encode(item(1, 200_000)), nested):
        server.on("changes", lambda request, chunk=chunk: endless(request, chunk))
        tracemalloc.start()
        try:
            with pytest.raises(SealkeepError):
                await changes(line)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()


async def test_a_long_answer_is_not_read_to_its_end(server: Server, line: HttpRelay) -> None:
    server.on("heads", answer(bytes(2 << 20)))
    with refused(MalformedError, "too-large"):
        await line.heads()
    server.on("heads", web.Response(status=400, body=b" " * 100_000, content_type="application/problem+json"))
    with refused(MalformedError, "too-large"):
        await line.heads()


# A line that breaks


async def broken_after(request: web.Request, sent: bytes, length: int | None) -> web.StreamResponse:
    """Announce more than is sent, or chunks that do not end; then cut the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/cbor-seq"})
    response.content_length = length
    await response.prepare(request)
    await response.write(sent)
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.mark.parametrize("length", [None, 10_000])
async def test_a_connection_that_breaks_in_an_answer(server: Server, line: HttpRelay, length: int | None) -> None:
    """REL-10: even where what came before it is whole."""
    whole = cbor.encode(item()) + cbor.encode(TRAILER)
    server.on("changes", lambda request: broken_after(request, whole, length))
    with pytest.raises(TransportError, match="broke") as caught:
        await changes(line)
    assert is_plain(caught.value)


async def test_a_connection_that_breaks_at_once(server: Server, line: HttpRelay) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.on("segments", cut)
    with pytest.raises(TransportError, match="broke"):
        await line.append([(b"h", b"s", bytes(100_000))] * 8)


async def test_nobody_listens() -> None:
    line = HttpRelay(f"http://127.0.0.1:{unused_port()}", now=Clock())
    for _ in range(2):
        with pytest.raises(TransportError) as caught:
            await line.info()
        assert str(caught.value) == "the relay cannot be reached"
    await line.close()


@contextlib.asynccontextmanager
async def raw(answering: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server of bare bytes; its URL. Connections end with the block."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answering(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(
        lambda reader, writer: tasks.append(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
    )
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"\0\0\0\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/cbor\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 9\r\n\r\n\xa1",
    ],
)
async def test_what_is_no_http_is_a_broken_line(bytes_: bytes) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes_)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with raw(answering) as url:
        line = HttpRelay(url, now=Clock(), patience=5)
        with pytest.raises(TransportError) as caught:
            await line.info()
        assert is_plain(caught.value)
        await line.close()


# Slowness; the patience of the test is short


SLOW: list[tuple[str, bytes, bytes]] = [
    ("says nothing", b"", b""),
    ("stops in its header", b"HTTP/1.1 200 OK\r\n", b""),
    ("drips its header", b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    ("stops in its body", b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 99999\r\n\r\n", b""),
    ("drips its body", b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 99999\r\n\r\n", b"\0"),
]


@pytest.mark.parametrize(("first", "drop"), [slow[1:] for slow in SLOW], ids=[slow[0] for slow in SLOW])
async def test_a_slow_relay_is_left(first: bytes, drop: bytes) -> None:
    """However it is slow: a pause, or drops that come just in time."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw(answering) as url:
        line = HttpRelay(url, now=asyncio.get_running_loop().time, patience=0.2)
        with pytest.raises(TransportError, match=r"in time|slowly"):
            async with asyncio.timeout(5):
                await line.info()
        await line.close()


async def test_a_relay_that_does_not_read_is_left(clock: Clock) -> None:
    """An upload that nobody takes ends too."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with raw(answering) as url:
        line = HttpRelay(url, now=clock, patience=0.2)
        line.use(Credentials(MADE.id, Signer.device(1), MADE.devices[1].signing, RELAY.identity))
        line._token = ("token", 1e9)
        with pytest.raises(TransportError, match="in time"):
            async with asyncio.timeout(5):
                await line.append([(b"h", bytes(50), bytes(400))] * 30_000)
        await line.close()


async def test_a_slow_upload_that_goes_on_is_waited_for(server: Server, clock: Clock) -> None:
    """Each segment has its time: a line at a few kilobytes a second is slow, not broken."""
    relay = HttpRelay(server.url, now=clock, patience=0.3)
    relay.use(Credentials(MADE.id, Signer.device(1), MADE.devices[1].signing, RELAY.identity))

    async def take(request: web.Request) -> web.Response:
        async for _ in request.content.iter_chunked(65_536):
            await asyncio.sleep(0.005)
        return answer({1: 1, 2: []})

    server.on("segments", take)
    assert (await relay.append([(b"h", bytes(2048), bytes(262_144), [])] * 24)).last == 1
    await relay.close()


# Tokens


async def test_a_token_serves_until_shortly_before_its_end(server: Server, line: HttpRelay, clock: Clock) -> None:
    server.on("heads", answer(HEADS))
    for elapsed, logins in ((0, 1), (869, 1), (1, 2), (0, 2)):
        clock.now += elapsed
        await line.heads()
        assert server.logins == logins
    line.use(Credentials(MADE.id, Signer.device(2), MADE.devices[2].signing, RELAY.identity))
    await line.heads()
    assert server.logins == 3


async def test_a_token_with_a_short_life_is_used_at_all(server: Server, line: HttpRelay) -> None:
    server.life = 0
    server.on("heads", answer(HEADS))
    await line.heads()


async def test_a_token_that_ends_early_is_replaced(server: Server, line: HttpRelay) -> None:
    """A relay that was started anew knows none of its tokens; the same request goes out again, an upload too."""
    valid = 1

    def checked(good: web.Response) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            await request.read()
            if request.headers["Authorization"] != f"Bearer {SECRET}-{valid}":
                return problem("unauthorized")
            return web.Response(body=good.body, headers=good.headers)

        return handler

    server.on("heads", checked(answer(HEADS)))
    server.on("segments", checked(answer({1: 1, 2: [b"receipt"]})))
    await line.heads()
    valid = 2
    await line.heads()
    valid = 3
    assert (await line.append([(b"h", b"s", b"b")])).last == 1
    assert server.logins == 3


async def test_two_requests_share_a_new_token(server: Server, line: HttpRelay) -> None:
    server.on("heads", answer(HEADS))
    await line.heads()

    async def only_new(request: web.Request) -> web.StreamResponse:
        return problem("unauthorized") if request.headers["Authorization"].endswith("-1") else answer(HEADS)

    server.on("heads", only_new)
    await asyncio.gather(*(line.heads() for _ in range(5)))


async def test_a_relay_that_takes_no_token_refuses(server: Server, line: HttpRelay) -> None:
    """Once more with a fresh one, not for ever."""
    server.on("heads", problem("unauthorized"))
    for attempt in (1, 2):
        with pytest.raises(RefusedError) as caught:
            await line.heads()
        assert caught.value.code == "unauthorized"
        assert server.logins == attempt * 2 - (attempt - 1)
        assert is_plain(caught.value)


async def test_another_identity_gets_no_login(server: Server, line: HttpRelay) -> None:
    """REL-05: the challenge is signed by the pinned identity, for this signer, or nothing is signed."""
    server.on("heads", answer(HEADS))
    server.key = MadeRelay("another").key
    with refused(AuthenticationError, "identity"):
        await line.heads()
    server.key = RELAY.key
    for signer in (Signer.device(2), Signer.recovery(1)):
        server.on("challenge", answer(Challenge(signer, 1, bytes(16)).sign(MADE.id, RELAY.key)))
        with refused(AuthenticationError, "identity"):
            await line.heads()
    server.on("challenge", answer(b"no challenge"))
    with pytest.raises(SealkeepError):
        await line.heads()
    assert server.logins == 0


async def test_a_request_needs_credentials(server: Server) -> None:
    line = HttpRelay(server.url, now=Clock())
    for request in (line.heads, line.wraps, line._log_in):
        with pytest.raises(UsageError):
            await request()
    await line.close()


# Problems


@pytest.mark.parametrize("code", sorted(set(PROBLEMS) - {"epoch-stale", "unauthorized"}))
async def test_a_problem_is_a_refusal(server: Server, line: HttpRelay, code: str) -> None:
    """ERR-01, ERR-03."""
    server.on("heads", problem(code))
    with pytest.raises(RefusedError) as caught:
        await line.heads()
    assert (caught.value.code, caught.value.retryable) == (code, PROBLEMS[code].retryable)
    assert is_plain(caught.value)


@pytest.mark.parametrize(("status", "retryable"), [(422, False), (502, True)])
async def test_an_unknown_problem(server: Server, line: HttpRelay, status: int, retryable: bool) -> None:
    """ERR-01: final with a status below 500."""
    server.on("heads", problem("later", status))
    with pytest.raises(RefusedError) as caught:
        await line.heads()
    assert (caught.value.code, caught.value.retryable) == ("unknown", retryable)
    assert is_plain(caught.value)


async def test_a_stale_epoch_brings_its_refusal(server: Server, line: HttpRelay) -> None:
    refusal = b"signed refusal"
    server.on("segments", problem("epoch-stale", refusal=base64.urlsafe_b64encode(refusal).rstrip(b"=").decode()))
    with pytest.raises(EpochStaleError) as caught:
        await line.append([(b"header",)])
    assert caught.value.refusal == refusal
    server.on("segments", problem("epoch-stale"))
    with pytest.raises(EpochStaleError) as caught:
        await line.append([(b"header",)])
    assert caught.value.refusal == b""
    server.on("segments", problem("epoch-stale", refusal="a"))
    with refused(MalformedError, "malformed"):
        await line.append([(b"header",)])


async def test_a_problem_while_an_upload_is_under_way(server: Server, line: HttpRelay) -> None:
    """It is read, or the line broke: never anything else."""

    async def early(request: web.Request) -> web.StreamResponse:
        return problem("quota")

    server.on("segments", early)
    for _ in range(3):
        with pytest.raises((RefusedError, TransportError)) as caught:
            await line.append([(b"h", bytes(2048), bytes(262_144))] * 16)
        assert isinstance(caught.value, TransportError) or getattr(caught.value, "code", None) == "quota"


# URLs and ends


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.example",
        "ftp://relay.example",
        "https://:secret@relay.example",
        "https://relay.example/#part",
        "https://",
        "https://me:secret@relay.example",
        "https://relay.example/?account=1",
        "http://[::1",
        "https://relay.example:port",
        7,
    ],
)
def test_a_url_that_is_none(url: Any) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


def test_a_url_may_have_a_path() -> None:
    assert str(HttpRelay("https://relay.example/keep", now=Clock()).url) == "https://relay.example/keep"


async def test_a_closed_line_stays_closed(server: Server, line: HttpRelay) -> None:
    server.on("info", answer({1: [1], 2: [1], 3: RELAY.identity, 4: INCARNATION, 5: {}}))
    assert (await line.info()).identity == RELAY.identity
    await line.close()
    await line.close()
    with pytest.raises(UsageError):
        await line.info()


async def test_a_request_that_is_under_way_when_the_line_is_closed(server: Server, line: HttpRelay) -> None:
    begun, ends = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        begun.set()
        await ends.wait()
        return answer(HEADS)

    server.on("heads", wait)
    request = asyncio.create_task(line.heads())
    await begun.wait()
    await line.close()
    with pytest.raises(SealkeepError):
        await request
    ends.set()


def test_credentials_show_no_key() -> None:
    """ERR-03."""
    shown = repr(Credentials(MADE.id, device(1), MADE.devices[1].signing, RELAY.identity))
    assert "key" not in shown


async def test_cookies_are_forgotten(server: Server, clock: Clock) -> None:
    """P1, §1.3: what a relay may tell a device by is its account and its token, and those end."""

    def marking(request: web.Request) -> web.Response:
        response = answer({1: [1], 2: [1], 3: bytes(32), 4: bytes(16), 5: {}, 6: []})
        response.set_cookie("device", "7")
        return response

    server.on("info", marking)
    relay = HttpRelay(server.url.replace("127.0.0.1", "localhost"), now=clock)
    try:
        await relay.info()
        await relay.info()
    finally:
        await relay.close()
    assert [request.headers.get("Cookie") for request in server.asked] == [None, None]


# Chunks


async def test_chunks_are_claimed_put_and_read(server: Server, line: HttpRelay) -> None:
    chunk, identifier = bytes(300_000), sha256(bytes(300_000))
    seen: list[tuple[str, bytes, int | None]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((request.content_type, await request.read(), request.content_length))
        return answer({}, status=201)

    server.on(identifier.hex(), take)
    await line.put_chunk(identifier, chunk)
    assert seen == [("application/octet-stream", chunk, len(chunk))]  # its length said before, whatever it is cut into
    give = web.Response(body=chunk, content_type="application/octet-stream")
    server.on(identifier.hex(), give)
    assert await line.chunk(identifier) == chunk
    server.on("claims", answer({1: [0, 2], 2: 3600}))
    assert await line.claim([bytes(32), b"\1" * 32, b"\2" * 32]) == [0, 2]
    server.on("chunks", answer([bytes(32), b"\1" * 32]))
    assert await line.chunk_ids(2, 5) == (bytes(32), b"\1" * 32)


@pytest.mark.parametrize("indexes", [[3], [0, 0], [1, 0], [-1], ["0"], [None], 0])
async def test_claims_that_say_what_cannot_be(server: Server, line: HttpRelay, indexes: Any) -> None:
    server.on("claims", answer({1: indexes, 2: 3600}))
    with pytest.raises(MalformedError):
        await line.claim([bytes(32), b"\1" * 32, b"\2" * 32])


async def test_a_chunk_of_any_length_is_not_read(server: Server, line: HttpRelay) -> None:
    """A relay cannot fill this device's memory."""
    body = bytes(MAX_CHUNK + 1)
    server.on(bytes(32).hex(), web.Response(body=body, content_type="application/octet-stream"))
    with pytest.raises(MalformedError, match="exceeds"):
        await line.chunk(bytes(32))


@pytest.mark.parametrize(
    ("missing", "known"),
    [(["ab" * 32], 1), (["ab" * 32] * 2, 1), ([], 0), (None, 0), (["AB" * 32], None), (["ab"], None)],
)
async def test_missing_chunks_are_named(server: Server, line: HttpRelay, missing: Any, known: int | None) -> None:
    problem = {"type": "urn:sealkeep:problem:chunks-missing", "code": "chunks-missing", "title": "", "status": 409}
    body = json.dumps({**problem, "missing": missing}).encode()
    server.on("segments", web.Response(body=body, status=409, content_type="application/problem+json"))
    with pytest.raises(MalformedError if known is None else ChunksMissingError) as caught:
        await line.append([(b"h", b"s", b"b", [])])
    if isinstance(caught.value, ChunksMissingError):
        assert len(caught.value.missing) == known
