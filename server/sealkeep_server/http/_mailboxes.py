"""The routes of mailboxes (spec §8.8)."""

from __future__ import annotations

import base64
import binascii
import re

from aiohttp import web

from sealkeep_protocol import cbor
from sealkeep_protocol.mailboxes import MAX_MESSAGE, PASS_SIZE
from sealkeep_server.http import _bodies
from sealkeep_server.http._address import client_address
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Mailboxes
from sealkeep_server.settings import Settings

_PASS = re.compile("[A-Za-z0-9_-]{43}")
MAILBOX = "/v1/mailboxes/(?P<mailbox>[1-9][0-9]{0,4})"


class MailboxRoutes:
    """HTTP in, operations of `Mailboxes`, HTTP out. Raises `ProblemError`."""

    def __init__(self, mailboxes: Mailboxes, settings: Settings, room: _bodies.Room) -> None:
        self._mailboxes = mailboxes
        self._settings = settings
        self._room = room
        self._proxies = settings.proxies()

    async def make(self, request: web.BaseRequest) -> web.Response:
        if request.body_exists:
            raise ProblemError("malformed", "A mailbox is made without a body.")
        made = await self._mailboxes.make(_pass(request), self._address(request))
        return _answer({1: made.number, 2: made.seconds}, status=201)

    async def end(self, request: web.BaseRequest, mailbox: int) -> web.Response:
        await self._mailboxes.end(mailbox, _pass(request))
        return _answer({})

    async def put(self, request: web.BaseRequest, mailbox: int, message: int) -> web.Response:
        secret = _pass(request)
        content = await _bodies.whole(request, self._settings, MAX_MESSAGE, self._room)
        new = await self._mailboxes.put(mailbox, message, secret, content, self._address(request))
        return _answer({}, status=201 if new else 200)

    def _address(self, request: web.BaseRequest) -> str | None:
        return client_address(request.remote, request.headers, self._proxies)

    async def get(self, request: web.BaseRequest, mailbox: int, message: int) -> web.Response:
        return _answer(await self._mailboxes.get(mailbox, message, _pass(request), wait=_seconds(request)))


def _pass(request: web.BaseRequest) -> bytes:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _PASS.fullmatch(text):
        raise ProblemError("unauthorized", "A mailbox's peer proves itself by a pass of 43 characters.")
    try:
        secret = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != PASS_SIZE:
        raise ProblemError("unauthorized", "A pass is 32 bytes in base64url without padding.")
    return secret


def _seconds(request: web.BaseRequest) -> int:
    text = request.query.get("wait", "0")
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text):
        raise ProblemError("malformed", "wait is a number of seconds.")
    return int(text)


def _answer(value: cbor.Item, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=cbor.encode(value), content_type=_bodies.MEDIA_TYPE)
