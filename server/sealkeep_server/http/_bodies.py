"""Bodies, in and out, at the pace and size that a relay bears (REL-03)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from sealkeep_server.problems import ProblemError
from sealkeep_server.settings import Settings

MEDIA_TYPE = "application/cbor"
SEQUENCE_TYPE = "application/cbor-seq"
OCTETS_TYPE = "application/octet-stream"

Result = TypeVar("Result")


class Pace:
    """Watches how fast a peer takes or gives: no pause longer than `body_seconds`, and on average no less than
    `rate_bytes` a second once it has kept us waiting for `rate_grace_seconds` in all. Our own work does not count."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._waited = 0.0
        self._bytes = 0

    async def wait(self, step: Awaitable[Result]) -> Result:
        """Wait for the peer. Raises `ProblemError` (`timeout`)."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await step
        except TimeoutError:
            raise ProblemError("timeout", close=True) from None
        finally:
            self._waited += self._clock() - started

    def count(self, size: int) -> None:
        """So many bytes went over. Raises `ProblemError` (`timeout`)."""
        self._bytes += size
        if self._waited > self._settings.rate_grace_seconds and self._bytes < self._settings.rate_bytes * self._waited:
            raise ProblemError("timeout", close=True)


def check_media_type(request: web.BaseRequest, media: str) -> None:
    """Refuse all but this media type without a coding. Raises `ProblemError` (`media-type`)."""
    # REL-02: "A relay MUST refuse a body with a content coding, and another media type than the route's."
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity" or request.headers.getall("Content-Type", []) != [media]:
        raise ProblemError("media-type", f"The body of this route is {media}, without a content coding.")


async def chunks(request: web.BaseRequest, settings: Settings, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives, at most `limit` bytes. Raises `ProblemError` (`too-large`, `timeout`, `malformed`)."""
    # REL-03: "A relay MUST refuse a body, item, batch or header that exceeds its limits as soon as that is known,
    # without holding more of it, and MUST drop a peer that sends too slowly."
    if (request.content_length or 0) > limit:
        raise ProblemError("too-large", f"A body here has at most {limit} bytes.")
    pace = Pace(settings, asyncio.get_running_loop().time)
    total = 0
    while True:
        try:
            chunk = await pace.wait(request.content.readany())
        except RequestPayloadError:
            raise ProblemError("malformed", "The body's framing is broken.", close=True) from None
        if not chunk:
            return
        total += len(chunk)
        if total > limit:
            raise ProblemError("too-large", f"A body here has at most {limit} bytes.")
        pace.count(len(chunk))
        yield chunk


class Room:
    """Memory for bodies that are held whole, of all peers together: anybody may send one, with or without a token."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Take so many bytes; False where they are not there."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


async def whole(request: web.BaseRequest, settings: Settings, limit: int, room: Room | None = None) -> bytes:
    """A body that is one object. Raises `ProblemError` as `chunks` does, and `busy` where there is no room for it."""
    check_media_type(request, MEDIA_TYPE)
    parts: list[bytes] = []
    held = 0
    try:
        async for chunk in chunks(request, settings, limit):
            if room is not None:
                if not room.take(len(chunk)):
                    raise ProblemError("busy", headers={"Retry-After": str(settings.retry_after_seconds)}, close=True)
                held += len(chunk)
            parts.append(chunk)
        return b"".join(parts)
    finally:
        if room is not None:
            room.give_back(held)


async def stream(
    request: web.BaseRequest, settings: Settings, pieces: AsyncIterator[list[bytes]], headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with a sequence of items as they come. What fails before the first piece raises; later the connection is
    cut, so that the reader sees that something is missing."""
    first = b"".join(await anext(pieces, []))
    second = await anext(pieces, None)
    if second is None:
        return web.Response(body=first, content_type=SEQUENCE_TYPE, headers=headers)
    response = web.StreamResponse(headers={"Content-Type": SEQUENCE_TYPE, **headers})
    response.enable_chunked_encoding()

    async def joined(second: bytes) -> AsyncIterator[bytes]:
        yield first
        yield second
        async for piece in pieces:
            yield b"".join(piece)

    return await send(request, settings, response, joined(b"".join(second)))


async def send(
    request: web.BaseRequest, settings: Settings, response: web.StreamResponse, slices: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Send an answer slice by slice, at the peer's pace. What fails before the first slice raises; later the connection is
    cut."""
    pace = Pace(settings, asyncio.get_running_loop().time)
    first = await anext(slices, b"")
    await response.prepare(request)
    try:
        await pace.wait(response.write(first))
        pace.count(len(first))
        async for data in slices:
            await pace.wait(response.write(data))
            pace.count(len(data))
        await pace.wait(response.write_eof())
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise
    return response
