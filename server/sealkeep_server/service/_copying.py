"""The copy route (spec §11.4): segments that were acknowledged once, for a relay that lost them or never had them."""

from __future__ import annotations

from collections.abc import Sequence

from sealkeep_protocol import cbor
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.segments import VerifiedHeader
from sealkeep_protocol.types import AccountId, DeviceId
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._accounts import Account, Accounts
from sealkeep_server.service._append import Appended, Batch
from sealkeep_server.service._item import copied_item
from sealkeep_server.service._judging import judge_next
from sealkeep_server.stores import FeedHead, NewSegment, RefusedError, Store


class _Run(Batch):
    """Segments of one feed that an active device, `sender`, copies: judged by the clients' rule."""

    def __init__(
        self,
        accounts: Accounts,
        store: Store,
        identity: SigningKey,
        account: AccountId,
        device: DeviceId,
        limit: int,
        allowed: int | None,
        *,
        sender: DeviceId,
    ) -> None:
        super().__init__(accounts, store, identity, account, device, limit, allowed)
        self._sender = sender

    async def _author_key(self, state: Account) -> bytes:
        await self._accounts.signer_key(self._account, Signer.device(self._sender))
        author = state.roster.devices.get(self._device)
        if author is None:
            raise ProblemError("invalid", "Its author is not in the roster that is here.")
        return author.keys.signing

    def _judge(self, verified: VerifiedHeader, head: FeedHead, state: Account) -> None:
        # VIE-07: "A relay MUST take through the copy route only the next header of a feed, with summary and body, that
        # satisfies SEG-01 to SEG-05 and SEG-08 for the header's own roster head, and at a pin's seq only the pinned
        # header; whoever sends it, an active device of the account."
        if verified.header.roster > state.roster.number:
            raise ProblemError("roster-conflict", f"The roster's head is entry {state.roster.number}.")
        judge_next(verified, head, state)
        Feed(head.device).check_pinned(verified, state.roster)

    async def _append(self, roster: int, after: FeedHead, segments: Sequence[NewSegment]) -> int:
        try:
            return await self._store.append(self._account, roster, after, segments, copied=True, allowed=self._allowed)
        except RefusedError:
            raise ProblemError("invalid", "A header of this feed was refused for a newer roster head.") from None


class CopiedBatch:
    """Segments of any feeds, in the order in which they come; used as `Batch` is. Each change of the feed commits."""

    def __init__(
        self,
        accounts: Accounts,
        store: Store,
        identity: SigningKey,
        account: AccountId,
        sender: DeviceId,
        limit: int,
        allowed: int | None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._identity = identity
        self._account = account
        self._sender = sender
        self._limit = limit
        self._allowed = allowed
        self._count = 0
        self._run: tuple[int, _Run] | None = None  # with the device whose feed it is
        self._receipts: list[bytes] = []
        self._problem: Exception | None = None
        self.fault: Exception | None = None  # what the operator has to know of

    async def add(self, item: cbor.Item) -> bool:
        """Judge an item, and store it sooner or later; False: the prefix has ended, nothing more is taken."""
        try:
            device, segment = copied_item(item)
            self._count += 1
            if self._count > self._limit:
                raise ProblemError("too-large", "Send the rest in another batch.")
            run = await self._run_of(device)
        except Exception as error:
            self.end(error)
            return False
        return await run.add_item(segment)

    def end(self, error: Exception) -> None:
        """The prefix ends here, since this is wrong with what comes next: what came before it still counts."""
        self._problem = self._problem or error

    async def finish(self) -> Appended:
        """Store what is pending. Raises the problem of the first item where nothing could be taken."""
        try:
            await self._end_run()
        except Exception as error:  # it stands before whatever ended the batch
            self._problem = error
        if self._receipts:
            return Appended(len(self._receipts), self._receipts)
        raise self._problem or ProblemError("malformed", "A batch has one item at least.")

    async def abandon(self) -> None:
        """Let go of bodies that found no segment."""
        if self._run is not None:
            await self._run[1].abandon()
            self.fault = self.fault or self._run[1].fault

    async def _run_of(self, device: int) -> _Run:
        if self._run is not None and self._run[0] == device:
            return self._run[1]
        await self._end_run()
        run = _Run(
            self._accounts,
            self._store,
            self._identity,
            self._account,
            DeviceId(device),
            self._limit,
            self._allowed,
            sender=self._sender,
        )
        self._run = device, run
        return run

    async def _end_run(self) -> None:
        """Settle the run of one feed. Raises its problem where it ended early: the batch ends with it."""
        if self._run is None:
            return
        run = self._run[1]
        try:
            appended = await run.finish()
        finally:
            self._run = None
            await run.abandon()
            self.fault = self.fault or run.fault
        self._receipts += appended.receipts
        if run.problem is not None:
            raise run.problem
