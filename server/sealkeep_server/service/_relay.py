"""The relay as its HTTP layer sees it: every operation of spec §8, on bytes and values, without a socket."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from sealkeep_protocol import cbor
from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.types import AccountId, DeviceId
from sealkeep_server.identity import TokenKeys
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import _reading
from sealkeep_server.service._accounts import Accounts
from sealkeep_server.service._append import Batch
from sealkeep_server.service._copying import CopiedBatch
from sealkeep_server.service._entry_limit import EntryLimit
from sealkeep_server.service._files import Files
from sealkeep_server.service._mailboxes import Mailboxes
from sealkeep_server.service._tokens import Token, Tokens
from sealkeep_server.settings import Settings
from sealkeep_server.stores import Parts, Store

VERSIONS = [1]
SUITES = [1]
RECOVERY_RECIPIENT = 0


class Relay:
    """Stands on a store, an identity and the keys of tokens. `now` gives seconds since 1970.

    Methods raise `ProblemError`, or what `problems.problem_of` translates.
    """

    def __init__(
        self,
        store: Store,
        identity: SigningKey,
        token_keys: TokenKeys,
        settings: Settings,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.store = store
        limit = EntryLimit(settings.roster_entries, settings.roster_reserve, int(settings.roster_seconds * 1000))
        self.accounts = Accounts(
            store,
            now=now,
            cached=settings.cached_accounts,
            cached_bytes=settings.cached_roster_bytes,
            limit=limit,
        )
        self.files = Files(store, self.accounts, identity, settings, now=now)
        self.mailboxes = Mailboxes(store, settings, now=now)
        self.tokens = Tokens(
            self.accounts,
            identity,
            token_keys,
            now=now,
            challenge_seconds=settings.challenge_seconds,
            token_seconds=settings.token_seconds,
        )
        info: dict[int, cbor.Item] = {
            1: VERSIONS,
            2: SUITES,
            3: identity.public,
            4: store.incarnation,
            5: settings.announced(),
            6: [],
        }
        if store.restored is not None:
            info[7] = list(store.restored)
        self._info = cbor.encode(info)

    def info(self) -> bytes:
        """§8.1, encoded."""
        return self._info

    async def health(self) -> None:
        """Returns when the store answers."""
        await self.store.ready()

    async def challenge(self, account: AccountId, signer: Signer) -> bytes:
        return await self.tokens.challenge(account, signer)

    async def login(self, account: AccountId, challenge: bytes, login: bytes) -> Token:
        return await self.tokens.login(account, challenge, login)

    async def wraps(self, account: AccountId, signer: Signer) -> list[bytes]:
        """Encoded `[number of the entry, recipient, wrap]`: a device's own newest, or all for recovery keys."""
        recipient = RECOVERY_RECIPIENT if signer.is_recovery else signer.number
        return [cbor.encode([w.number, w.recipient, w.wrap]) for w in await self.store.wraps(account, recipient)]

    def batch(self, account: AccountId, signer: Signer) -> Batch:
        """Begin an append to the signer's own feed."""
        if signer.is_recovery:
            raise ProblemError("forbidden", "Only a device writes segments.")
        return Batch(*self._batch(account, signer))

    def copies(self, account: AccountId, signer: Signer) -> CopiedBatch:
        """Begin to take copies of segments from the signer."""
        if signer.is_recovery:
            raise ProblemError("forbidden", "Only a device copies segments.")
        return CopiedBatch(*self._batch(account, signer))

    def _batch(
        self, account: AccountId, signer: Signer
    ) -> tuple[Accounts, Store, SigningKey, AccountId, DeviceId, int, int | None]:
        device, limit = DeviceId(signer.number), self.settings.batch_items
        return self.accounts, self.store, self.identity, account, device, limit, self.settings.account_bytes or None

    async def heads(self, account: AccountId) -> bytes:
        """§8.5, encoded."""
        heads = await self.store.heads(account)
        if heads is None:
            raise ProblemError("not-found", "There is no such account.")
        feeds = [[feed.device, feed.seq, feed.header_id] for feed in heads.feeds]
        return cbor.encode(
            {1: self.store.incarnation, 2: heads.position, 3: feeds, 4: heads.used, 5: self.settings.account_bytes}
        )

    async def changes(
        self,
        account: AccountId,
        after: int,
        parts: Parts,
        limit: int | None,
        incarnation: bytes | None,
        *,
        short: int = 0,
    ) -> AsyncIterator[list[bytes]]:
        if incarnation is not None and incarnation != self.store.incarnation:
            raise ProblemError("incarnation", "Read from the beginning; what is verified already decides.")
        # REL-15: "Where `changes` is asked for summaries with `short={bytes}`, a relay MUST give each segment whose body
        # has at most so many bytes with its body, and each other one without."
        return _reading.changes(self.store, account, after, parts, self._page(limit), short)

    async def feed(
        self, account: AccountId, device: DeviceId, first: int, parts: Parts, limit: int | None
    ) -> AsyncIterator[list[bytes]]:
        if device not in (await self.accounts.get(account)).roster.devices:
            raise ProblemError("not-found", "There is no such device.")
        return _reading.feed(self.store, account, device, first, parts, self._page(limit))

    def _page(self, limit: int | None) -> _reading.PageLimits:
        most = self.settings.page_items
        return _reading.PageLimits(most if limit is None else min(limit, most), self.settings.page_bytes)
