"""The HTTP connection to a relay (spec §8). The only module that knows aiohttp."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from sealkeep_client.answers import (
    MAX_ANSWER,
    MAX_ITEM,
    Appended,
    ChunksMissingError,
    EpochStaleError,
    Heads,
    Page,
    RelayInfo,
    Wrap,
    decode_account,
    decode_appended,
    decode_challenge,
    decode_chunk_ids,
    decode_claims,
    decode_heads,
    decode_info,
    decode_page_item,
    decode_problem,
    decode_token,
    decode_wrap,
    make_page,
)
from sealkeep_client.transport._session import Credentials, Parts
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError, RefusedError, TransportError, UsageError
from sealkeep_protocol.files import MAX_CHUNK
from sealkeep_protocol.hybrid_kem import WRAP_SIZE
from sealkeep_protocol.sequence import SequenceReader
from sealkeep_protocol.signed import MAX_SIZE
from sealkeep_protocol.statements import sign_login, verify_challenge
from sealkeep_protocol.types import AccountId

CBOR: Final = "application/cbor"
SEQUENCE: Final = "application/cbor-seq"
PROBLEM: Final = "application/problem+json"
OCTETS: Final = "application/octet-stream"

T = TypeVar("T")
_Stream: TypeAlias = Callable[[], Iterable[bytes]]

PAGE_ITEMS = 32
"""Segments on a page, with bodies of any length."""

SUMMARY_ITEMS = 256
"""Segments on a page with short bodies alone."""

_MAX_PAGE = (PAGE_ITEMS + 1) * MAX_ITEM
_MAX_ROSTER = 64 << 20
_LEAST_ENTRY = 256  # bytes; an entry is a good deal longer
_MAX_PROBLEM = 65_536
_SLOWEST = 1024  # bytes a second, below which a line counts as broken
_LONGEST_URL = 256  # §3.7
_SLICE = 1 << 17  # bytes of a chunk
_TOKEN_MARGIN = 30.0  # seconds before its end in which a token is not used any more


class HttpRelay:
    """A relay at a URL. `now` gives seconds of a monotonic clock; `patience` is how long to wait for it, in seconds."""

    def __init__(self, url: str, *, now: Callable[[], float], patience: float = 60.0) -> None:
        self.url = check_url(url)
        self._now = now
        self._patience = patience
        # The rest of the time is kept below: aiohttp would count an upload as silence of the relay.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(10, patience))
        self._closed = False
        self._session: aiohttp.ClientSession | None = None
        self._token: tuple[str, float] | None = None
        self._credentials: Credentials | None = None

    async def close(self) -> None:
        """Close the connection for good. May be called twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    def use(self, credentials: Credentials) -> None:
        """Log in as this signer from the next request on that needs a token."""
        self._credentials = credentials
        self._token = None

    # Routes without a token

    async def info(self) -> RelayInfo:
        return decode_info(await self._answer("GET", "/v1/info"))

    async def create_account(self, genesis: bytes, wraps: Sequence[bytes]) -> AccountId:
        body = cbor.encode([genesis, list(wraps)])
        return AccountId(decode_account(await self._answer("POST", "/v1/accounts", body=body)))

    async def roster(self, account: AccountId, first: int) -> tuple[list[bytes], int]:
        """The entries from number `first` on, and the number of the head. Raises `TransportError` where it is cut short."""
        path = f"/v1/accounts/{account.hex()}/roster"
        async with self._request("GET", path, query={"from": str(first)}) as response:
            entries = await self._sequence(
                response, _entry, item=MAX_SIZE + 16, total=_MAX_ROSTER, count=_MAX_ROSTER // _LEAST_ENTRY
            )
            head = _etag(response.headers.get("ETag", ""))
        if first + len(entries) <= head:
            raise TransportError("the relay's answer was cut short")
        return entries, head

    async def append_roster(self, account: AccountId, head: int, entry: bytes, wraps: Sequence[bytes]) -> None:
        """Append an entry behind the head of this number. Raises `RefusedError` (`roster-conflict`) when it has moved."""
        path = f"/v1/accounts/{account.hex()}/roster"
        body = cbor.encode([entry, list(wraps)])
        await self._answer("POST", path, body=body, headers={"If-Match": f'"{head}"'})

    # Routes of a signer

    async def wraps(self) -> list[Wrap]:
        async with self._request("GET", self._path("wraps"), authorized=True) as response:
            return await self._sequence(
                response, decode_wrap, item=MAX_SIZE, total=_MAX_ROSTER, count=_MAX_ROSTER // WRAP_SIZE
            )

    async def heads(self) -> Heads:
        return decode_heads(await self._answer("GET", self._path("heads"), authorized=True))

    async def changes(
        self,
        after: int,
        *,
        incarnation: bytes | None,
        parts: Parts = "bodies",
        short: int = 0,
        limit: int = PAGE_ITEMS,
    ) -> Page:
        """Changes after a position. With summaries, bodies of at most `short` bytes come too."""
        most = PAGE_ITEMS if parts == "bodies" else SUMMARY_ITEMS
        query = {"after": str(after), "parts": parts, "limit": str(min(limit, most))}
        if short:
            query["short"] = str(short)
        if incarnation is not None:
            query["incarnation"] = incarnation.hex()
        return await self._page("changes", query)

    async def feed(self, device: int, first: int, *, parts: Parts = "bodies", limit: int = PAGE_ITEMS) -> Page:
        query = {"from": str(first), "parts": parts, "limit": str(min(limit, PAGE_ITEMS))}
        return await self._page(f"feeds/{device}", query)

    async def append(self, items: Sequence[Sequence[cbor.Item]]) -> Appended:
        """Append segments: (header, summary, body, ids of chunks) with True behind where some of those may be missing, or
        (header,) alone (SEG-13).

        Raises `EpochStaleError` with the refusal where the epoch has moved, `ChunksMissingError`, otherwise `RefusedError`.
        """
        answer = await self._answer(
            "POST",
            self._path("segments"),
            body=lambda: (cbor.encode(list(item)) for item in items),
            media=SEQUENCE,
            authorized=True,
        )
        return decode_appended(answer)

    async def copy_roster(self, account: AccountId, items: Sequence[tuple[bytes, Sequence[bytes | None]]]) -> None:
        """Copy consecutive entries, each with its wraps, or None for those that are lost (§11.4). Needs no signer."""
        await self._answer(
            "POST",
            f"/v1/accounts/{account.hex()}/copies/roster",
            body=lambda: (cbor.encode([entry, list(wraps)]) for entry, wraps in items),
            media=SEQUENCE,
        )

    async def copy(self, items: Sequence[Sequence[cbor.Item]]) -> Appended:
        """Copy segments, of any feeds (§11.4): (device, header, summary, body, ids of chunks) with True behind, as in
        `append`."""
        answer = await self._answer(
            "POST",
            self._path("copies"),
            body=lambda: (cbor.encode(list(item)) for item in items),
            media=SEQUENCE,
            authorized=True,
        )
        return decode_appended(answer)

    # Chunks (§12.4)

    async def claim(self, ids: Sequence[bytes]) -> list[int]:
        """Claim chunks, at most 1,000 distinct ids, ascending: the indexes of those that the relay does not have."""
        body = cbor.encode(list(ids))
        return decode_claims(await self._answer("POST", self._path("claims"), body=body, authorized=True), len(ids))

    async def put_chunk(self, identifier: bytes, chunk: bytes) -> None:
        """Put a chunk; it is durable when this returns."""
        await self._answer(
            "PUT",
            self._path(f"chunks/{identifier.hex()}"),
            body=lambda: _slices(chunk),
            media=OCTETS,
            headers={"Content-Length": str(len(chunk))},
            authorized=True,
        )

    async def chunk(self, identifier: bytes) -> bytes:
        """The bytes that the relay has for a chunk; nothing of them is verified."""
        async with self._request("GET", self._path(f"chunks/{identifier.hex()}"), authorized=True) as response:
            _expect_media(response, OCTETS)
            data = await self._read(response, MAX_CHUNK)
        if response.content_length is not None and len(data) < response.content_length:
            raise TransportError("the relay's answer was cut short")
        return data

    async def chunk_ids(self, device: int, seq: int) -> tuple[bytes, ...]:
        """The ids of the chunks that came with a segment."""
        path = self._path(f"feeds/{device}/{seq}/chunks")
        return decode_chunk_ids(await self._answer("GET", path, authorized=True))

    # What has a type of its own (`HttpMailbox`)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """Send a request without a token, and return its answer, one item. Raises `RefusedError`, `TransportError`."""
        return await self._answer(method, path, query=query, body=body, headers=headers)

    # Beneath

    def _path(self, name: str) -> str:
        if self._credentials is None:
            raise UsageError("no credentials for this relay")
        return f"/v1/accounts/{self._credentials.account.hex()}/{name}"

    async def _page(self, name: str, query: dict[str, str]) -> Page:
        async with self._request("GET", self._path(name), query=query, authorized=True) as response:
            return make_page(
                await self._sequence(
                    response, decode_page_item, item=MAX_ITEM, total=_MAX_PAGE, count=int(query["limit"]) + 1
                )
            )

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | _Stream | None = None,
        media: str = CBOR,
        headers: dict[str, str] | None = None,
        authorized: bool = False,
    ) -> bytes:
        async with self._request(
            method, path, query=query, body=body, media=media, headers=headers, authorized=authorized
        ) as response:
            _expect_media(response, CBOR)
            return await self._read(response, MAX_ANSWER)

    async def _sequence(
        self,
        response: aiohttp.ClientResponse,
        decode: Callable[[cbor.Item], T],
        *,
        item: int,
        total: int,
        count: int,
    ) -> list[T]:
        """At most `count` items of at most `item` bytes, `total` in all; each is decoded, or refused, as it comes."""
        _expect_media(response, SEQUENCE)
        reader, items = SequenceReader(limit=item), list[T]()
        async for chunk in self._chunks(response, total):
            for value in reader.feed(chunk):
                if len(items) == count:
                    raise MalformedError("too-large", f"the relay's answer has more than {count} items")
                items.append(decode(value))
        if reader.buffered:
            raise TransportError("the relay's answer was cut short")
        return items

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response, limit)])

    async def _chunks(self, response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
        started, size = self._now(), 0
        while True:
            async with asyncio.timeout(self._patience):
                chunk = await response.content.readany()
            if not chunk:
                return
            size += len(chunk)
            if size > limit:
                raise MalformedError("too-large", f"the relay's answer exceeds {limit} bytes")
            # Drops that come just in time would still take for ever.
            if self._now() - started > self._patience + size / _SLOWEST:
                raise TransportError("the relay answers too slowly")
            yield chunk

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | _Stream | None = None,
        media: str = CBOR,
        headers: dict[str, str] | None = None,
        authorized: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = media
        async with contextlib.AsyncExitStack() as stack:
            try:
                try:
                    response = await stack.enter_async_context(
                        self._send(method, path, query, body, await self._headers(sent, authorized))
                    )
                except RefusedError as refused:
                    # A token may end before its time: when the relay starts anew, say. Once more, with a fresh one.
                    if not authorized or refused.code != "unauthorized":
                        raise
                    if f"Bearer {self._token and self._token[0]}" == sent["Authorization"]:
                        self._token = None
                    response = await stack.enter_async_context(
                        self._send(method, path, query, body, await self._headers(sent, authorized))
                    )
                yield response
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise TransportError(_line_error(error)) from error

    async def _headers(self, sent: dict[str, str], authorized: bool) -> dict[str, str]:
        if authorized:
            sent["Authorization"] = f"Bearer {await self._bearer()}"
        return sent

    @contextlib.asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: bytes | _Stream | None,
        headers: dict[str, str],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; the answer has begun, and is no problem. Both are bounded in time, not only their pauses."""
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._patience) as limit:

                async def stream(items: Iterable[bytes]) -> AsyncIterator[bytes]:
                    for item in items:
                        with contextlib.suppress(RuntimeError):  # answered already
                            limit.reschedule(loop.time() + self._patience + len(item) / _SLOWEST)
                        yield item

                response = await stack.enter_async_context(
                    self._open().request(
                        method,
                        self.url / path.lstrip("/"),
                        params=query,
                        data=stream(body()) if callable(body) else body,
                        headers=headers,
                        allow_redirects=False,
                    )
                )
            if response.status >= 300:
                await self._raise_problem(response)
            yield response

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the connection to the relay is closed")
        if self._session is None:
            # No cookies: a relay has no use for them but to tell by them who comes again, or to fill this memory.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    async def _raise_problem(self, response: aiohttp.ClientResponse) -> None:
        _expect_media(response, PROBLEM)
        body = await self._read(response, _MAX_PROBLEM)
        problem = decode_problem(response.status, body, response.headers.get("Retry-After", ""))
        if problem.error.code == "epoch-stale":
            raise EpochStaleError(_base64(problem.refusal), status=response.status)
        if problem.error.code == "chunks-missing":
            raise ChunksMissingError(problem.missing, status=response.status)
        raise problem.error

    async def _bearer(self) -> str:
        if self._token is None or self._now() >= self._token[1]:
            self._token = await self._log_in()
        return self._token[0]

    async def _log_in(self) -> tuple[str, float]:
        credentials = self._credentials
        if credentials is None:
            raise UsageError("no credentials for this relay")
        body = cbor.encode(list(credentials.signer))
        challenge = decode_challenge(await self._answer("POST", self._path("challenge"), body=body))
        challenge_id, _ = verify_challenge(
            challenge, credentials.account, credentials.identity, signer=credentials.signer
        )
        login = sign_login(challenge_id, credentials.identity, credentials.account, credentials.key)
        started = self._now()
        token, life = decode_token(
            await self._answer("POST", self._path("token"), body=cbor.encode([challenge, login]))
        )
        return token, started + max(1.0, life - _TOKEN_MARGIN)


def check_url(url: str) -> URL:
    """A relay's base URL. Raises `UsageError` for one that is not http or https, or carries credentials."""
    try:
        parsed = URL(url)
    except (TypeError, ValueError) as error:
        raise UsageError("the relay's URL cannot be read; it looks like https://relay.example") from error
    extra = (parsed.user, parsed.password, parsed.query_string, parsed.fragment)  # would go onto kits, and into codes
    if parsed.scheme not in ("http", "https") or not parsed.host or any(extra):
        raise UsageError("the relay's URL looks like https://relay.example, without a name or a query")
    if len(str(parsed)) > _LONGEST_URL:
        raise UsageError(f"the relay's URL is longer than {_LONGEST_URL} characters, which is all that a kit holds")
    return parsed


def _entry(item: cbor.Item) -> bytes:
    if not isinstance(item, bytes):
        raise MalformedError("malformed", "a roster entry is a byte string")
    return item


def _slices(data: bytes) -> Iterator[bytes]:
    """Parts of a body: a slow line is given its time for each."""
    view = memoryview(data)
    return (bytes(view[start : start + _SLICE]) for start in range(0, len(data), _SLICE))


def _etag(value: str) -> int:
    if not (len(value) >= 3 and value[0] == value[-1] == '"' and value[1:-1].isdecimal() and len(value) < 20):
        raise TransportError("the relay's answer lacks the number of the roster's head")
    return int(value[1:-1])


def _expect_media(response: aiohttp.ClientResponse, media: str) -> None:
    if response.content_type != media or "Content-Encoding" in response.headers:
        raise TransportError(f"the relay answered with status {response.status} and something unexpected")


def _base64(text: str | None) -> bytes:
    try:
        return base64.urlsafe_b64decode((text or "") + "=" * (-len(text or "") % 4))
    except (binascii.Error, ValueError) as error:
        raise MalformedError("malformed", "the relay's refusal cannot be read") from error


def _line_error(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "the relay's certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the relay cannot be reached"
    if isinstance(error, TimeoutError):
        return "the relay did not answer in time"
    return "the connection to the relay broke"
