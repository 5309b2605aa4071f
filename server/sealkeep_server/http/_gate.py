"""Who may come in, and how many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from sealkeep_protocol.roster import Signer
from sealkeep_protocol.types import AccountId
from sealkeep_server.http import _bodies
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Relay


class Gate:
    """What all routes of a relay share: tokens, and what is under way. `room` is memory for bodies that are held whole."""

    def __init__(self, relay: Relay) -> None:
        self._tokens = relay.tokens
        self._settings = relay.settings
        self._by_account: Counter[AccountId] = Counter()
        self._transfers = 0
        self.room = _bodies.Room(relay.settings.arriving_bytes)

    async def signer(self, request: web.BaseRequest, account: AccountId) -> Signer:
        """Who asks, by the token. Raises `ProblemError`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ProblemError("unauthorized", "This route needs a token.")
        return await self._tokens.check(account, token.strip())

    @contextmanager
    def turn(self, account: AccountId) -> Iterator[None]:
        """One request of an account. Raises `ProblemError` (`busy`)."""
        if self._by_account[account] >= self._settings.account_requests:
            raise self._busy()
        self._by_account[account] += 1
        try:
            yield
        finally:
            self._by_account[account] -= 1
            if not self._by_account[account]:
                del self._by_account[account]

    @contextmanager
    def transfer(self) -> Iterator[None]:
        """Whoever moves segments or chunks holds some of them in memory. Raises `ProblemError` (`busy`)."""
        if self._transfers >= self._settings.transfers:
            raise self._busy()
        self._transfers += 1
        try:
            yield
        finally:
            self._transfers -= 1

    def _busy(self) -> ProblemError:
        return ProblemError("busy", headers={"Retry-After": str(self._settings.retry_after_seconds)})
