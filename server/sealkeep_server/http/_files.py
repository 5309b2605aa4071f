"""The routes of chunks, claims and storage proofs (spec §12.4, §12.5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from aiohttp import web

from sealkeep_protocol import cbor
from sealkeep_protocol.files import MAX_CHUNK
from sealkeep_protocol.types import AccountId, DeviceId, Seq
from sealkeep_server.http import _bodies
from sealkeep_server.http._gate import Gate
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import MAX_CLAIMED, MAX_PROVED, Files
from sealkeep_server.settings import Settings
from sealkeep_server.stores import ChunkId, OpenChunk

_SLICE = 1 << 17  # written to a peer, or to the disk, at a time
_ID_BYTES = 34  # of an id in an array, encoded
_SPAN = re.compile(r"bytes=(?P<first>\d{1,15})?-(?P<last>\d{1,15})?")


class FileRoutes:
    """HTTP in, operations of `Files`, HTTP out. Raises `ProblemError`."""

    def __init__(self, files: Files, settings: Settings, gate: Gate) -> None:
        self._files = files
        self._settings = settings
        self._gate = gate

    async def claim(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        signer = await self._gate.signer(request, account)
        limit = _ID_BYTES * MAX_CLAIMED + 8
        body = await _bodies.whole(request, self._settings, limit, self._gate.room)
        chunks = cbor.decode(body, limit=limit, items=MAX_CLAIMED)
        return _cbor(await self._files.claim(account, signer, chunks))

    async def put(self, request: web.BaseRequest, account: AccountId, chunk: ChunkId) -> web.Response:
        signer = await self._gate.signer(request, account)
        _bodies.check_media_type(request, _bodies.OCTETS_TYPE)
        with self._gate.transfer():
            slices = _gathered(_bodies.chunks(request, self._settings, MAX_CHUNK))
            made = await self._files.put(account, signer, chunk, slices, request.content_length)
        return _cbor(cbor.encode({}), status=201 if made else 200)

    async def get(self, request: web.BaseRequest, account: AccountId, chunk: ChunkId) -> web.StreamResponse:
        await self._gate.signer(request, account)
        with self._gate.transfer():
            found = await self._files.open(account, chunk)
            try:
                return await self._give(request, found, f'"{chunk.hex()}"')
            finally:
                await found.close()

    async def _give(self, request: web.BaseRequest, chunk: OpenChunk, tag: str) -> web.StreamResponse:
        span = _span(request, chunk.size, tag)
        start, stop = span or (0, chunk.size)
        response = web.StreamResponse(status=206 if span else 200)
        response.content_type = _bodies.OCTETS_TYPE
        response.content_length = stop - start
        response.headers.update({"ETag": tag, "Accept-Ranges": "bytes"})
        if span:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{chunk.size}"
        return await _bodies.send(request, self._settings, response, _slices(chunk, start, stop))

    async def named(self, request: web.BaseRequest, account: AccountId, device: DeviceId, seq: Seq) -> web.Response:
        await self._gate.signer(request, account)
        with self._gate.transfer():
            return _cbor(await self._files.named(account, device, seq))

    async def prove(self, request: web.BaseRequest, account: AccountId) -> web.StreamResponse:
        await self._gate.signer(request, account)
        limit = MAX_PROVED * (3 * _ID_BYTES) + 8
        with self._files.proving(account), self._gate.transfer():
            body = await _bodies.whole(request, self._settings, limit, self._gate.room)
            # [challenge, target] is three items, and five where the target is [device, seq].
            asked = cbor.decode(body, limit=limit, items=5 * MAX_PROVED + 1)
            answers = await self._files.prove(account, body, asked)
            return await _bodies.stream(request, self._settings, answers, {})


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in slices that are worth a step to the disk."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _SLICE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _slices(chunk: OpenChunk, start: int, stop: int) -> AsyncIterator[bytes]:
    for offset in range(start, stop, _SLICE):
        yield await chunk.read(offset, min(_SLICE, stop - offset))


def _span(request: web.BaseRequest, size: int, tag: str) -> tuple[int, int] | None:
    """The one span of bytes that is asked for, as a slice; None for all. Raises `ProblemError` (`range`).

    What is not a span of bytes is passed over, as are several (RFC 9110 §14.2), and one that is for another ETag.
    """
    match = _SPAN.fullmatch(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", tag) != tag or not (match["first"] or match["last"]):
        return None
    if match["first"] is None:
        start, stop = max(0, size - int(match["last"])), size
    else:
        start, stop = int(match["first"]), min(size, int(match["last"] or size) + 1)
        if match["last"] is not None and int(match["last"]) < start:
            return None
    if start >= stop:
        raise ProblemError("range", headers={"Content-Range": f"bytes */{size}"})
    return start, stop


def _cbor(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type=_bodies.MEDIA_TYPE)
