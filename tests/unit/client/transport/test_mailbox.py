"""A mailbox over HTTP (spec §8.8): what is asked, and answers that are none."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sealkeep_client.transport import HttpMailbox, HttpRelay
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError, RefusedError, TransportError
from support.accounts import refused

SECRET = bytes(range(32))


class Server:
    """Answers everything with `answer`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = web.Response
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app)

    def says(self, value: Any, **more: Any) -> None:
        self.answer = lambda: web.Response(body=cbor.encode(value), content_type="application/cbor", **more)  # type: ignore[assignment]

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, str(request.rel_url), dict(request.headers), await request.read()))
        return self.answer()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def mailbox(server: Server) -> AsyncIterator[HttpMailbox]:
    line = HttpRelay(str(server.server.make_url("/")), now=lambda: 0.0, patience=5.0)
    yield HttpMailbox(line, SECRET)
    await line.close()


async def test_what_is_asked(server: Server, mailbox: HttpMailbox) -> None:
    server.says({1: 7, 2: 600}, status=201)
    assert await mailbox.make() == (7, 600)
    server.says({})
    await mailbox.put(7, 2, b"message")
    server.says(b"said")
    assert await mailbox.get(7, 1) == b"said"
    server.says(None)
    assert await mailbox.get(7, 3, wait=0) is None
    server.says({})
    await mailbox.end(7)
    assert [(method, path, body) for method, path, _, body in server.asked] == [
        ("POST", "/v1/mailboxes", b""),
        ("PUT", "/v1/mailboxes/7/2", b"message"),
        ("GET", "/v1/mailboxes/7/1?wait=20", b""),
        ("GET", "/v1/mailboxes/7/3?wait=0", b""),
        ("DELETE", "/v1/mailboxes/7", b""),
    ]
    text = base64.urlsafe_b64encode(SECRET).decode().rstrip("=")
    for _, path, headers, _ in server.asked:
        assert headers["Authorization"] == f"Bearer {text}"
        assert text not in path
    assert server.asked[1][2]["Content-Type"] == "application/cbor"


@pytest.mark.parametrize(
    "answer", [{1: 0, 2: 600}, {1: 100_000, 2: 600}, {1: 7, 2: 0}, {1: 7, 2: 3601}, {1: 7}, [7, 600]]
)
async def test_a_mailbox_that_is_none(server: Server, mailbox: HttpMailbox, answer: Any) -> None:
    server.says(answer)
    with refused(MalformedError, "malformed"):
        await mailbox.make()


@pytest.mark.parametrize("answer", [bytes(4097), "text", 5, {1: b""}])
async def test_a_message_that_is_none(server: Server, mailbox: HttpMailbox, answer: Any) -> None:
    server.says(answer)
    with refused(MalformedError, "malformed"):
        await mailbox.get(7, 1)


async def test_problems_and_broken_lines(server: Server, mailbox: HttpMailbox) -> None:
    """ERR-01"""
    body = {"type": "urn:sealkeep:problem:mailbox-used", "code": "mailbox-used", "title": "x"}
    server.answer = lambda: web.Response(  # type: ignore[assignment]
        status=410, body=json.dumps(body).encode(), content_type="application/problem+json"
    )
    with pytest.raises(RefusedError) as caught:
        await mailbox.get(7, 1)
    assert (caught.value.code, caught.value.retryable) == ("mailbox-used", False)
    server.answer = lambda: web.Response(body=b"<html>")  # type: ignore[assignment]
    for ask in (mailbox.make(), mailbox.get(7, 1), mailbox.put(7, 2, b""), mailbox.end(7)):
        with pytest.raises(TransportError):
            await ask


async def test_the_pass_is_not_shown(mailbox: HttpMailbox) -> None:
    assert repr(mailbox) == "<HttpMailbox>"
    with pytest.raises(ValueError, match="32 bytes"):
        HttpMailbox(HttpRelay("http://127.0.0.1:1", now=lambda: 0.0), bytes(31))
