"""The hostile relay over HTTP. It is there for tests: it holds whole bodies in memory, and trusts its peers' pace."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from sealkeep_conformance.relay._answers import CBOR, OCTETS, SEQUENCE, Problem, Reply, Span
from sealkeep_conformance.relay._exchange import Exchange
from sealkeep_conformance.relay._hostile import Hostile
from sealkeep_conformance.relay._items import MAX_PARTS, Copied, ProofsAsked, claimed, copied_entry
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_conformance.relay._question import MethodError, ask
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.files import MAX_CHUNK
from sealkeep_protocol.mailboxes import MAX_MESSAGE, PASS_SIZE
from sealkeep_protocol.roster import decode_signer
from sealkeep_protocol.sequence import SequenceReader

_SMALL_BODY: Final = 4096
_PASS: Final = re.compile("[A-Za-z0-9_-]{43}")
_FILE_LIMIT: Final = 64 << 10  # of a claim, or of what proofs are asked for
_RANGE: Final = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")
_ETAG: Final = re.compile(r'"(0|[1-9][0-9]{0,17})"')


class Handler:
    """Answers every request to a hostile relay."""

    def __init__(self, hostile: Hostile) -> None:
        self._hostile = hostile
        self._limits = hostile.honest.limits

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            question = ask(request.method, request.path, request.query)
        except MethodError as error:
            return await _send(request, Problem("method", headers={"Allow": error.allowed}).reply())
        except ProblemError as error:
            return await _send(request, Problem(error.code).reply())
        with self._hostile.exchange(question) as exchange:
            try:
                await self._carry_out(request, exchange)
            except (ProblemError, PeerError) as error:
                exchange.fail(error)
            return await _send(request, exchange.reply())

    async def _carry_out(self, request: web.BaseRequest, exchange: Exchange) -> None:
        exchange.admit(_token(request))
        match exchange.question.route:
            case "create":
                exchange.create(*await self._entry(request))
            case "enter":
                tag = _ETAG.fullmatch(request.headers.get("If-Match", ""))
                if tag is None:
                    raise ProblemError("malformed")
                exchange.enter(int(tag[1]), *await self._entry(request))
            case "challenge":
                exchange.challenge(decode_signer(await self._pair(request, _SMALL_BODY)))
            case "token":
                challenge, login = await self._pair(request, _SMALL_BODY)
                if not isinstance(challenge, bytes) or not isinstance(login, bytes):
                    raise ProblemError("malformed")
                exchange.log_in(challenge, login)
            case "append":
                await self._batch(request, exchange, exchange.take)
                exchange.finish_batch()
            case "copy":
                await self._batch(request, exchange, exchange.take_copy)
                exchange.finish_batch()
            case "copy-roster":
                await self._copy_roster(request, exchange)
            case "claim" | "chunk-put" | "chunk-get" | "prove":
                await self._files(request, exchange)
            case "mailbox-make" | "mailbox-put" | "mailbox-get" | "mailbox-end":
                await self._mailbox(request, exchange, _pass(request))
            case _:
                exchange.read()

    async def _files(self, request: web.BaseRequest, exchange: Exchange) -> None:
        match exchange.question.route:
            case "claim":
                exchange.check_sender()
                exchange.claim(claimed(await self._whole(request, CBOR, _FILE_LIMIT)))
            case "chunk-put":
                exchange.check_sender()
                exchange.put_chunk(await self._whole(request, OCTETS, MAX_CHUNK))
            case "chunk-get":
                exchange.get_chunk(_span(request, exchange.chunk_size(), f'"{(exchange.question.chunk or b"").hex()}"'))
            case "prove":
                exchange.prove(ProofsAsked.of(await self._whole(request, CBOR, _FILE_LIMIT)))

    async def _mailbox(self, request: web.BaseRequest, exchange: Exchange, secret: bytes) -> None:
        match exchange.question.route:
            case "mailbox-make":
                if request.body_exists:
                    raise ProblemError("malformed")
                exchange.make_mailbox(secret)
            case "mailbox-put":
                _check_media(request, CBOR)
                message = b"".join([chunk async for chunk in _chunks(request, MAX_MESSAGE)])
                exchange.put_message(secret, message)
            case "mailbox-get":
                await self._wait(exchange, secret)
            case "mailbox-end":
                exchange.end_mailbox(secret)

    async def _wait(self, exchange: Exchange, secret: bytes) -> None:
        """Answer with a message as soon as it is there, or when the time is over that its reader would wait."""
        loop, mailboxes = asyncio.get_running_loop(), self._hostile.honest.mailboxes
        deadline = loop.time() + min(exchange.question.wait, self._limits.mailbox_wait_seconds)
        while True:
            changed = mailboxes.changed  # before the look, so that no change falls between the two
            if exchange.get_message(secret) or loop.time() >= deadline:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await changed.wait()

    async def _batch(self, request: web.BaseRequest, exchange: Exchange, take: Callable[[cbor.Item], None]) -> None:
        exchange.check_sender()
        _check_media(request, SEQUENCE)
        reader, count = SequenceReader(limit=self._limits.item_bytes), 0
        async for chunk in _chunks(request, self._limits.body_bytes):
            for item in reader.feed(chunk):
                count += 1
                if count > self._limits.batch_items:
                    raise ProblemError("too-large")
                take(item)
        reader.finish()

    async def _copy_roster(self, request: web.BaseRequest, exchange: Exchange) -> None:
        _check_media(request, SEQUENCE)
        reader, items = SequenceReader(limit=self._limits.object_bytes), list[Copied]()
        async for chunk in _chunks(request, self._limits.object_bytes):
            items += [copied_entry(item) for item in reader.feed(chunk)]
        reader.finish()
        exchange.copy_roster(items)

    async def _entry(self, request: web.BaseRequest) -> tuple[bytes, list[bytes]]:
        entry, wraps = await self._pair(request, self._limits.object_bytes)
        if not isinstance(entry, bytes) or not isinstance(wraps, list) or not all(isinstance(w, bytes) for w in wraps):
            raise ProblemError("malformed")
        return entry, wraps

    async def _pair(self, request: web.BaseRequest, limit: int) -> list[cbor.Item]:
        body = await self._whole(request, CBOR, limit)
        value = cbor.decode(body, limit=limit, items=MAX_PARTS)
        if not isinstance(value, list) or len(value) != 2:
            raise ProblemError("malformed")
        return value

    @staticmethod
    async def _whole(request: web.BaseRequest, media: str, limit: int) -> bytes:
        _check_media(request, media)
        return b"".join([chunk async for chunk in _chunks(request, limit)])


def _token(request: web.BaseRequest) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _pass(request: web.BaseRequest) -> bytes:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _PASS.fullmatch(text):
        raise ProblemError("unauthorized")
    secret = base64.urlsafe_b64decode(text + "=")
    if len(secret) != PASS_SIZE or base64.urlsafe_b64encode(secret).rstrip(b"=").decode() != text:
        raise ProblemError("unauthorized")
    return secret


def _span(request: web.BaseRequest, size: int, tag: str) -> Span:
    """The span of bytes that is asked for; None for all. Raises `ProblemError` (`range`)."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", tag) != tag or not (match[1] or match[2]):
        return None
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return None
    start, stop = (int(first), min(size, int(last or size) + 1)) if first else (max(0, size - int(last)), size)
    if start >= stop:
        raise ProblemError("range", {"Content-Range": f"bytes */{size}"})
    return start, stop


def _check_media(request: web.BaseRequest, media: str) -> None:
    # REL-02: "A relay MUST refuse a body with a content coding, and another media type than the route's."
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity" or request.headers.getall("Content-Type", []) != [media]:
        raise ProblemError("media-type")


async def _chunks(request: web.BaseRequest, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise ProblemError("too-large")
        yield chunk


async def _send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = {"Content-Type": reply.media, **reply.headers}
    if reply.lost:
        return _hang_up(request, web.Response())
    if reply.pieces is None and not reply.cut:
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    if reply.pieces is not None:
        response.enable_chunked_encoding()
    await response.prepare(request)
    if reply.pieces is None:
        await response.write(reply.body)
        return _hang_up(request, response)
    with contextlib.suppress(ConnectionError):  # the peer has had enough
        async for piece in reply.pieces():
            await response.write(piece)
        await response.write_eof()
    return response


def _hang_up(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Close the line behind what was sent; the rest of the answer goes nowhere."""
    if request.transport is not None:
        request.transport.close()
    return response
