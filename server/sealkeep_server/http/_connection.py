"""One connection, with what aiohttp's server leaves open: a limit on connections, a deadline and a size for headers, and
problems instead of its own error pages.

aiohttp logs parser errors together with the input; nothing of that is called here.
"""

from __future__ import annotations

import asyncio
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


class RelayServer(web.Server):
    """Makes `RelayConnection`s; `settings` bounds them."""

    def __init__(self, handler: Any, settings: Settings) -> None:
        super().__init__(handler)
        self.settings = settings

    def __call__(self) -> RequestHandler:
        return RelayConnection(self, loop=asyncio.get_running_loop(), settings=self.settings)


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
        if len(self._server.connections) > self._settings.connections:
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
        if self._waiter is None:  # busy, or new: what serves requests has not come to its first wait
            waiting = self._request_count == 0
        else:
            waiting = not self._waiter.done()
        return waiting and self.transport is not None

    def _refuse(self, problem: ProblemError) -> None:
        """Answer and close without a request to answer."""
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
        self.force_close()

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
