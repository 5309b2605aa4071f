"""The routes of spec §8, and who may use them: HTTP in, operations of the service, HTTP out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.files import MAX_CHUNKS
from sealkeep_protocol.roster import decode_signer
from sealkeep_protocol.sequence import SequenceReader
from sealkeep_protocol.types import AccountId, DeviceId
from sealkeep_server import log
from sealkeep_server.http import _bodies
from sealkeep_server.http._files import FileRoutes
from sealkeep_server.http._gate import Gate
from sealkeep_server.http._mailboxes import MAILBOX, MailboxRoutes
from sealkeep_server.http._problems import problem_response
from sealkeep_server.problems import ProblemError, is_fault, problem_of
from sealkeep_server.service import Batch, Copied, CopiedBatch, Relay
from sealkeep_server.stores import Parts

Answer: TypeAlias = Awaitable[web.StreamResponse]

_PARTS = {"headers": Parts.HEADERS, "summaries": Parts.SUMMARIES, "bodies": Parts.BODIES}
_MAX_NUMBER = (1 << 63) - 1
_SMALL_BODY = 4096
_LEAST_ENTRY = 128  # bytes
_SEGMENT_ITEMS = MAX_CHUNKS + 16  # in an item of a batch: its parts, and the ids of its chunks
_MAX_ITEMS = 128  # of a body that is one object: an entry and a wrap for each of 65 recipients
# What stands in a path, by its name in the table.
_VALUES: dict[str, Callable[[str], Any]] = {
    "device": int,
    "seq": int,
    "chunk": bytes.fromhex,
    "mailbox": int,
    "message": int,
}
_ETAG = re.compile(r'"(0|[1-9][0-9]{0,17})"')


class Routes:
    """The handler of every request. Raises nothing but what ends a connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._settings = relay.settings
        self._gate = Gate(relay)
        mailboxes = MailboxRoutes(relay.mailboxes, relay.settings, self._gate.room)
        files = FileRoutes(relay.files, relay.settings, self._gate)
        account = "/v1/accounts/(?P<account>[0-9a-f]{64})"
        feed = f"{account}/feeds/(?P<device>[1-9][0-9]{{0,17}})"
        # REL-01 covers reserved routes too: what is not here is `not-found`.
        table: list[tuple[str, dict[str, Callable[..., Answer]]]] = [
            (f"{account}/segments", {"POST": self._append}),
            (f"{account}/copies", {"POST": self._copy}),
            (f"{account}/copies/roster", {"POST": self._copy_roster}),
            (f"{account}/changes", {"GET": self._changes}),
            (f"{account}/heads", {"GET": self._heads}),
            (feed, {"GET": self._feed}),
            (f"{feed}/(?P<seq>[1-9][0-9]{{0,17}})/chunks", {"GET": files.named}),
            (f"{account}/claims", {"POST": files.claim}),
            (f"{account}/chunks/(?P<chunk>[0-9a-f]{{64}})", {"GET": files.get, "PUT": files.put}),
            (f"{account}/proofs", {"POST": files.prove}),
            (f"{account}/roster", {"GET": self._roster, "POST": self._append_entry}),
            (f"{account}/wraps", {"GET": self._wraps}),
            (f"{account}/challenge", {"POST": self._challenge}),
            (f"{account}/token", {"POST": self._token}),
            ("/v1/accounts", {"POST": self._create}),
            ("/v1/mailboxes", {"POST": mailboxes.make}),
            (MAILBOX, {"DELETE": mailboxes.end}),
            (f"{MAILBOX}/(?P<message>[1-9][0-9]{{0,3}})", {"GET": mailboxes.get, "PUT": mailboxes.put}),
            ("/v1/info", {"GET": self._info}),
            ("/health", {"GET": self._health}),
        ]
        self._table = [(re.compile(pattern), methods) for pattern, methods in table]

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except (ConnectionError, TimeoutError):
            raise ConnectionResetError("the peer is gone") from None
        except Exception as error:
            if is_fault(error):
                log.fault("request-fault", error)
            if request.writer.output_size > 0:
                raise ConnectionResetError("the answer was cut") from None
            return problem_response(problem_of(error))

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        lines = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if lines + len(request.raw_path) > self._settings.header_bytes:
            raise ProblemError("headers-too-large", close=True)
        handler, values = self._match(request)
        await _expect(request)
        account = values.pop("account", None)
        named = {name: _VALUES[name](value) for name, value in values.items()}
        if account is None:
            return await handler(request, **named)
        identifier = AccountId(bytes.fromhex(account))
        if handler in (self._roster, self._append_entry, self._copy_roster, self._challenge, self._token):
            return await handler(request, identifier)  # anybody's: it must not take a turn from the account's own
        with self._gate.turn(identifier):
            return await handler(request, identifier, **named)

    def _match(self, request: web.BaseRequest) -> tuple[Callable[..., Answer], dict[str, str]]:
        path = request.path
        for pattern, methods in self._table:
            match = pattern.fullmatch(path)
            if match is not None:
                handler = methods.get(request.method)
                if handler is None:
                    raise ProblemError("method", headers={"Allow": ", ".join(methods)})
                return handler, match.groupdict()
        raise ProblemError("not-found", "There is no such route.")

    # §8.1

    async def _info(self, _: web.BaseRequest) -> web.Response:
        return _cbor(self._relay.info())

    async def _health(self, _: web.BaseRequest) -> web.Response:
        await self._relay.health()
        return _cbor(cbor.encode({}))

    # §8.2

    async def _create(self, request: web.BaseRequest) -> web.Response:
        genesis, wraps = await self._entry(request)
        account, made = await self._relay.accounts.create(genesis, wraps)
        return _cbor(cbor.encode({1: account}), status=201 if made else 200)

    async def _roster(self, request: web.BaseRequest, account: AccountId) -> web.StreamResponse:
        head, pieces = await self._relay.accounts.entries(account, _number(request, "from", 0))

        async def encoded() -> AsyncIterator[list[bytes]]:
            async for entries in pieces:
                yield [cbor.encode(entry) for entry in entries]

        return await _bodies.stream(request, self._settings, encoded(), {"ETag": f'"{head}"'})

    async def _append_entry(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        match = _ETAG.fullmatch(request.headers.get("If-Match", ""))
        if match is None:
            raise ProblemError("malformed", 'If-Match gives the number of the roster\'s head, in quotes: "0".')
        entry, wraps = await self._entry(request)
        number, made = await self._relay.accounts.append(account, int(match[1]), entry, wraps)
        return _cbor(cbor.encode({1: number}), status=201 if made else 200)

    async def _entry(self, request: web.BaseRequest) -> tuple[bytes, list[bytes]]:
        entry, wraps = await self._pair(request, self._settings.object_bytes)
        if not isinstance(entry, bytes) or not isinstance(wraps, list) or not all(isinstance(w, bytes) for w in wraps):
            raise ProblemError("malformed", "The body is [entry, [wrap, …]].")
        return entry, wraps

    async def _wraps(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        signer = await self._gate.signer(request, account)
        return _cbor(b"".join(await self._relay.wraps(account, signer)), media=_bodies.SEQUENCE_TYPE)

    # §8.3

    async def _challenge(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        signer = decode_signer(await self._pair(request, _SMALL_BODY))
        return _cbor(cbor.encode(await self._relay.challenge(account, signer)))

    async def _token(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        challenge, login = await self._pair(request, _SMALL_BODY)
        if not isinstance(challenge, bytes) or not isinstance(login, bytes):
            raise ProblemError("malformed", "The body is [challenge, login].")
        token = await self._relay.login(account, challenge, login)
        return _cbor(cbor.encode({1: token.text, 2: token.seconds}))

    async def _pair(self, request: web.BaseRequest, limit: int) -> list[cbor.Item]:
        body = await _bodies.whole(request, self._settings, limit, self._gate.room)
        value = cbor.decode(body, limit=limit, items=_MAX_ITEMS)
        if not isinstance(value, list) or len(value) != 2:
            raise ProblemError("malformed", "The body is an array of two.")
        return value

    # §8.4

    async def _append(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        signer = await self._gate.signer(request, account)
        _bodies.check_media_type(request, _bodies.SEQUENCE_TYPE)
        return await self._take(self._relay.batch(account, signer), request)

    async def _take(self, batch: Batch | CopiedBatch, request: web.BaseRequest) -> web.Response:
        with self._gate.transfer():
            try:
                await self._fill(batch, request)
                appended = await batch.finish()
            finally:
                await batch.abandon()
                if batch.fault is not None:
                    log.fault("append-fault", batch.fault)
        return _cbor(cbor.encode({1: appended.last_seq, 2: appended.receipts}))

    async def _fill(self, batch: Batch | CopiedBatch, request: web.BaseRequest) -> None:
        reader = SequenceReader(limit=self._settings.item_bytes, items=_SEGMENT_ITEMS)
        try:
            async for chunk in _bodies.chunks(request, self._settings, self._settings.body_bytes):
                for item in reader.feed(chunk):
                    if not await batch.add(item):
                        return
            # ENC-06: "A reader of a sequence MUST refuse an item from its head alone when it announces more than the
            # limit, and MUST treat a sequence that ends inside an item as cut short."
            reader.finish()
        except (PeerError, ProblemError) as error:
            batch.end(error)

    # §11.4

    async def _copy(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        signer = await self._gate.signer(request, account)
        _bodies.check_media_type(request, _bodies.SEQUENCE_TYPE)
        return await self._take(self._relay.copies(account, signer), request)

    async def _copy_roster(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        _bodies.check_media_type(request, _bodies.SEQUENCE_TYPE)
        limit = self._settings.object_bytes
        reader, items = SequenceReader(limit=limit), list[Copied]()
        with self._gate.transfer():
            async for chunk in _bodies.chunks(request, self._settings, limit):
                items += [_copied(item) for item in reader.feed(chunk)]
            reader.finish()
            if not items:
                raise ProblemError("malformed", "There is no entry.")
            return _cbor(cbor.encode({1: await self._relay.accounts.copy(account, items)}))

    # §8.5

    async def _changes(self, request: web.BaseRequest, account: AccountId) -> web.StreamResponse:
        await self._gate.signer(request, account)
        incarnation = request.query.get("incarnation")
        if incarnation is not None and not re.fullmatch("[0-9a-f]{32}", incarnation):
            raise ProblemError("malformed", "An incarnation is 32 hexadecimal digits.")
        with self._gate.transfer():
            page = await self._relay.changes(
                account,
                _number(request, "after", 0),
                _parts(request),
                _limit(request),
                None if incarnation is None else bytes.fromhex(incarnation),
                short=_number(request, "short", 0),
            )
            return await _bodies.stream(request, self._settings, page, {})

    async def _feed(self, request: web.BaseRequest, account: AccountId, device: DeviceId) -> web.StreamResponse:
        await self._gate.signer(request, account)
        with self._gate.transfer():
            page = await self._relay.feed(
                account, device, _number(request, "from", 1), _parts(request), _limit(request)
            )
            return await _bodies.stream(request, self._settings, page, {})

    async def _heads(self, request: web.BaseRequest, account: AccountId) -> web.Response:
        await self._gate.signer(request, account)
        return _cbor(await self._relay.heads(account))


def _copied(item: cbor.Item) -> Copied:
    if isinstance(item, list) and len(item) == 2:
        entry, wraps = item
        are_wraps = isinstance(wraps, list) and all(wrap is None or isinstance(wrap, bytes) for wrap in wraps)
        # No entry is so short; and many items that are nothing would take much more room than their bytes.
        if isinstance(entry, bytes) and len(entry) >= _LEAST_ENTRY and are_wraps and len(wraps) <= _MAX_ITEMS:
            return Copied(entry, tuple(wraps))
    raise ProblemError("malformed", "An item here is [entry, [wrap or null, …]].")


def _cbor(body: bytes, *, status: int = 200, media: str = _bodies.MEDIA_TYPE) -> web.Response:
    return web.Response(status=status, body=body, content_type=media)


async def _expect(request: web.BaseRequest) -> None:
    """`Expect: 100-continue` (RFC 9110 §10.1.1), after the checks that need no body."""
    expect = request.headers.get("Expect")
    if expect is None:
        return
    if expect.lower() != "100-continue":
        raise ProblemError("malformed", "The only expectation known here is 100-continue.")
    if request.transport is not None:
        # An interim answer: past the writer of the real one.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _number(request: web.BaseRequest, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) > _MAX_NUMBER:
        raise ProblemError("malformed", f"{name} is an unsigned integer.")
    return int(text)


def _limit(request: web.BaseRequest) -> int | None:
    if "limit" not in request.query:
        return None
    limit = _number(request, "limit", 0)
    if limit == 0:
        raise ProblemError("malformed", "limit is at least 1.")
    return limit


def _parts(request: web.BaseRequest) -> Parts:
    try:
        return _PARTS[request.query.get("parts", "bodies")]
    except KeyError:
        raise ProblemError("malformed", "parts is headers, summaries or bodies.") from None
