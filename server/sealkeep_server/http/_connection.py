"""One connection, with what aiohttp's server leaves open: a limit on connections, a deadline and a size for headers, and
problems instead of its own error pages.

aiohttp logs parser errors together with the input; nothing of that is called here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from sealkeep_server import log
from sealkeep_server.http._problems import problem_body, problem_response
from sealkeep_server.problems import ProblemError
from sealkeep_server.settings import Settings

_MAX_HEADER_LINES = 64


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class RelayServer(web.Server):
    """Makes `RelayConnection`s; `settings` bounds them."""

    def __init__(self, handler: Handler, settings: Settings) -> None:
        super().__init__(self._handle)
        self.settings = settings
        self._handler = handler
        self._under_way = 0
        self._stopping: asyncio.Event | None = None  # set once nothing is under way any more

    def __call__(self) -> RequestHandler:
        return RelayConnection(self, loop=asyncio.get_running_loop(), settings=self.settings)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._is_stopping():
            return problem_response(ProblemError("unavailable", "The relay is stopping.", close=True))
        self._under_way += 1
        try:
            response = await self._handler(request)
        finally:
            self._under_way -= 1
            self._settle()
        if self._is_stopping():
            response.force_close()
        return response

    def _is_stopping(self) -> bool:
        return self._stopping is not None

    def _settle(self) -> None:
        if self._stopping is not None and not self._under_way:
            self._stopping.set()

    async def drain(self) -> None:
        """Close what is idle, and wait, for so long as the settings say, until requests under way have their answers.

        (aiohttp's own shutdown stops reading, so that a body which is still arriving never does.)
        """
        self._stopping = asyncio.Event()
        self._settle()
        for connection in self.connections:
            if isinstance(connection, RelayConnection):
                connection.close_if_idle()
        try:
            async with asyncio.timeout(self.settings.stop_seconds):
                await self._stopping.wait()
        except TimeoutError:
            log.warning("stopped-under-way", count=self._under_way)


class RelayConnection(RequestHandler):
    """aiohttp's connection, bounded."""

    def __init__(self, server: RelayServer, *, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=settings.idle_seconds,
            access_log=None,  # type: ignore[arg-type]  # REL-12; aiohttp takes None, its annotation does not say so
            max_line_size=settings.header_bytes,
            max_field_size=settings.header_bytes,
            max_headers=_MAX_HEADER_LINES,
            lingering_time=settings.linger_seconds,
            # A deflated body inflates without limit, and content codings are refused anyway (REL-02).
            auto_decompress=False,
        )
        self._settings = settings
        self._server = server
        self._header_bytes = 0
        self._header_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._server.connections) > 2 * self._settings.connections:
            self.force_close()  # too many to be told
        elif len(self._server.connections) > self._settings.connections:
            retry = {"Retry-After": str(self._settings.retry_after_seconds)}
            self._refuse(ProblemError("busy", "Come back later.", headers=retry))
        else:
            # A peer that connects has something to ask.
            self._header_deadline = self._loop.call_later(self._settings.header_seconds, self._header_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._header_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._header_done()
        elif data and self._idle():
            # Part of a header, and no request under way.
            # REL-03: "A relay MUST refuse a body, item, batch or header that exceeds its limits as soon as that is known,
            # without holding more of it, and MUST drop a peer that sends too slowly."
            self._header_bytes += len(data)
            if self._header_bytes > self._settings.header_bytes:
                self._refuse(ProblemError("headers-too-large"))
            elif self._header_deadline is None:
                self._header_deadline = self._loop.call_later(self._settings.header_seconds, self._header_late)

    def _header_done(self) -> None:
        self._header_bytes = 0
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _header_late(self) -> None:
        self._header_deadline = None
        if self._idle():
            self._refuse(ProblemError("timeout"))

    def _idle(self) -> bool:
        """Whether the next bytes are a header's: no request is under way, and none waits to be."""
        if self.transport is None or self._close:
            return False
        # Without a waiter it is busy, or so new that its task has not come to its first wait.
        return self._request_count == 0 if self._waiter is None else not self._waiter.done()

    def close_if_idle(self) -> None:
        if self._idle():
            self.force_close()

    def _refuse(self, problem: ProblemError) -> None:
        """Answer without a request to answer, and close.

        The peer may still be sending: what it sends is thrown away for a while, since a reset would take the answer from
        it.
        """
        self._header_done()
        if self.transport is not None:
            body = problem_body(problem)
            head = [
                f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
                "Content-Type: application/problem+json",
                f"Content-Length: {len(body)}",
                "Connection: close",
                *(f"{name}: {value}" for name, value in problem.headers.items()),
            ]
            self.transport.write("\r\n".join([*head, "", ""]).encode("ascii") + body)
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.close()  # from here on `data_received` takes nothing
        self._loop.call_later(self._settings.linger_seconds, self.force_close)

    # What aiohttp does by itself

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is under way already")
        if status >= 500:
            log.fault("http-fault", exc)
            problem = ProblemError("internal", close=True)
        elif isinstance(exc, LineTooLong) or (message or "").startswith("Too many headers"):
            problem = ProblemError("headers-too-large", close=True)
        else:
            problem = ProblemError("malformed", "This is not HTTP as RFC 9112 has it.", close=True)
        return problem_response(problem)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Peers that go away are not worth a line."""

    def log_exception(self, *args: Any, **kw: Any) -> None:
        # REL-12: "Without its debug flag a relay MUST NOT log account ids, tokens, addresses or anything that a peer
        # sent."  The arguments hold addresses, and the exception may hold what was parsed.
        error = kw.get("exc_info")
        log.fault("http-fault", error if isinstance(error, BaseException) else None)
