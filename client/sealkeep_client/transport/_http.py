"""The HTTP connection to a relay (spec §8). The only module that knows aiohttp."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

import aiohttp
from yarl import URL

from sealkeep_client.answers import (
    MAX_ANSWER,
    MAX_ITEM,
    Appended,
    EpochStaleError,
    Heads,
    Page,
    RelayInfo,
    Wrap,
    decode_account,
    decode_appended,
    decode_challenge,
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
from sealkeep_protocol.errors import MalformedError, TransportError, UsageError
from sealkeep_protocol.sequence import SequenceReader
from sealkeep_protocol.signed import MAX_SIZE
from sealkeep_protocol.statements import sign_login, verify_challenge
from sealkeep_protocol.types import AccountId

CBOR: Final = "application/cbor"
SEQUENCE: Final = "application/cbor-seq"
PROBLEM: Final = "application/problem+json"

PAGE_ITEMS = 32
_MAX_PAGE = (PAGE_ITEMS + 1) * MAX_ITEM
_MAX_ROSTER = 64 << 20
_TOKEN_MARGIN = 30.0  # seconds before its end in which a token is not used any more


class HttpRelay:
    """A relay at a URL. `now` gives seconds of a monotonic clock, for the life of tokens."""

    def __init__(self, url: str, *, now: Callable[[], float], patience: float = 60.0) -> None:
        self.url = check_url(url)
        self._now = now
        self._timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_connect=10, sock_read=patience)
        self._session: aiohttp.ClientSession | None = None
        self._token: tuple[str, float] | None = None
        self._credentials: Credentials | None = None

    async def close(self) -> None:
        """Close the connection. May be called twice."""
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
            entries = await self._sequence(response, item=MAX_SIZE + 16, total=_MAX_ROSTER)
            head = _etag(response.headers.get("ETag", ""))
        if not all(isinstance(entry, bytes) for entry in entries):
            raise MalformedError("malformed", "a roster entry is a byte string")
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
            return [decode_wrap(item) for item in await self._sequence(response, item=MAX_SIZE, total=_MAX_ROSTER)]

    async def heads(self) -> Heads:
        return decode_heads(await self._answer("GET", self._path("heads"), authorized=True))

    async def changes(
        self, after: int, *, incarnation: bytes | None, parts: Parts = "bodies", limit: int = PAGE_ITEMS
    ) -> Page:
        query = {"after": str(after), "parts": parts, "limit": str(min(limit, PAGE_ITEMS))}
        if incarnation is not None:
            query["incarnation"] = incarnation.hex()
        return await self._page("changes", query)

    async def feed(self, device: int, first: int, *, parts: Parts = "bodies", limit: int = PAGE_ITEMS) -> Page:
        query = {"from": str(first), "parts": parts, "limit": str(min(limit, PAGE_ITEMS))}
        return await self._page(f"feeds/{device}", query)

    async def append(self, items: Iterable[Sequence[bytes]]) -> Appended:
        """Append segments: (header, summary, body), or (header,) alone (SEG-13).

        Raises `EpochStaleError` with the refusal where the epoch has moved, otherwise `RefusedError`.
        """

        async def stream() -> AsyncIterator[bytes]:
            for item in items:
                yield cbor.encode([*item, []] if len(item) == 3 else list(item))

        answer = await self._answer("POST", self._path("segments"), body=stream(), media=SEQUENCE, authorized=True)
        return decode_appended(answer)

    # Beneath

    def _path(self, name: str) -> str:
        if self._credentials is None:
            raise UsageError("no credentials for this relay")
        return f"/v1/accounts/{self._credentials.account.hex()}/{name}"

    async def _page(self, name: str, query: dict[str, str]) -> Page:
        async with self._request("GET", self._path(name), query=query, authorized=True) as response:
            return make_page(
                [decode_page_item(item) for item in await self._sequence(response, item=MAX_ITEM, total=_MAX_PAGE)]
            )

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        body: bytes | AsyncIterator[bytes] | None = None,
        media: str = CBOR,
        headers: dict[str, str] | None = None,
        authorized: bool = False,
    ) -> bytes:
        async with self._request(
            method, path, body=body, media=media, headers=headers, authorized=authorized
        ) as response:
            _expect_media(response, CBOR)
            return await _read(response, MAX_ANSWER)

    async def _sequence(self, response: aiohttp.ClientResponse, *, item: int, total: int) -> list[cbor.Item]:
        _expect_media(response, SEQUENCE)
        reader, items, size = SequenceReader(limit=item), list[cbor.Item](), 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > total:
                raise MalformedError("too-large", f"the relay's answer exceeds {total} bytes")
            items += reader.feed(chunk)
        if reader.buffered:
            raise TransportError("the relay's answer was cut short")
        return items

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        media: str = CBOR,
        headers: dict[str, str] | None = None,
        authorized: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = media
        if authorized:
            sent["Authorization"] = f"Bearer {await self._bearer()}"
        try:
            async with self._open().request(
                method, self.url / path.lstrip("/"), params=query, data=body, headers=sent, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    await self._raise_problem(response)
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise TransportError(_line_error(error)) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, auto_decompress=False, headers={"Accept-Encoding": "identity"}
            )
        return self._session

    async def _raise_problem(self, response: aiohttp.ClientResponse) -> None:
        _expect_media(response, PROBLEM)
        problem = decode_problem(response.status, await _read(response, MAX_ANSWER))
        if problem.error.code == "unauthorized":
            self._token = None  # the next attempt logs in afresh
        if problem.error.code == "epoch-stale":
            raise EpochStaleError(_base64(problem.refusal), status=response.status)
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
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.user or parsed.query_string:
        raise UsageError("the relay's URL looks like https://relay.example, without a name or a query")
    return parsed


def _etag(value: str) -> int:
    if not (len(value) >= 3 and value[0] == value[-1] == '"' and value[1:-1].isdecimal() and len(value) < 20):
        raise TransportError("the relay's answer lacks the number of the roster's head")
    return int(value[1:-1])


def _expect_media(response: aiohttp.ClientResponse, media: str) -> None:
    if response.content_type != media or "Content-Encoding" in response.headers:
        raise TransportError(f"the relay answered with status {response.status} and something unexpected")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise MalformedError("too-large", f"the relay's answer exceeds {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


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
