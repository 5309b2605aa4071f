"""What every part of a vault works with: the open home, its account, the line to the relay, time and randomness."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sealkeep_client.engine import Account, RemovedError, Steps
from sealkeep_client.engine import Progress as EngineProgress
from sealkeep_client.store import Store
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_client.vault._driver import Driver, StoreThread
from sealkeep_client.vault._evidence import save_evidence
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._transfers import IN_FLIGHT
from sealkeep_client.vault._types import OnProgress, Progress
from sealkeep_protocol.errors import PeerError, UsageError
from sealkeep_protocol.keys import KeyRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sources:
    """Time and randomness as the vault takes them: `now` in ms since 1970 UTC, `random` fresh bytes."""

    now: Callable[[], int]
    random: Callable[[int], bytes]


class Core:
    """One open home. `store` and `local` are used on the store's thread only: through `in_store`, `long` or `drive`.

    `exclusive` is held by whoever carries steps of the engine through: two at once would each work on an account that
    the other changes. `closing` says that the vault was told to close, `worker` that long work may use
    a second process, `in_flight` how many chunks may be on their way at once.
    """

    def __init__(
        self,
        store: Store,
        local: Local,
        thread: StoreThread,
        relay: HttpRelay,
        sources: Sources,
        *,
        worker: bool = True,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self.store = store
        self.local = local
        self.thread = thread
        self.relay = relay
        self.sources = sources
        self.worker = worker
        self.in_flight = in_flight
        self.exclusive = asyncio.Lock()
        self.closing = False
        self.use_device()

    def use_device(self) -> None:
        """Have the line to the relay speak for this device."""
        account = self.local.account
        self._speaks_for = account.device
        self.relay.use(Credentials(account.id, account.signer, account.keys.signing, account.identity))

    async def in_store(self, function: Callable[[], T]) -> T:
        """Run a function on the store's thread, behind what runs there. Raises `UsageError` once the vault is closed."""
        return await self.thread.run(function)

    async def long(self, work: Callable[[Callable[[Progress], None]], T], progress: OnProgress | None) -> T:
        """Run long work on the store's thread. Cancelling the caller stops it at its next report: nothing of it stays."""
        tell, cancelled = _reporter(progress), threading.Event()

        def report(step: Progress) -> None:
            if cancelled.is_set():
                raise UsageError("nobody waits for this any more")
            tell(step)

        try:
            return await self.in_store(lambda: work(report))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def drive(
        self,
        steps: Steps[T],
        progress: OnProgress | None = None,
        new_kit: Callable[[Account], KeyRecord] | None = None,
    ) -> T:
        """Carry steps of the engine through, holding `exclusive`. Raises what the engine raises; the store then holds
        whole steps only, and the roster that shows it where this device was removed."""
        if self._speaks_for != self.local.account.device:  # it became another, and whoever saw to that was cancelled
            self.use_device()
        driver = Driver(
            self.local,
            self.relay,
            self.thread,
            _engine_progress(progress),
            worker=self.worker,
            in_flight=self.in_flight,
            new_kit=new_kit,
        )
        try:
            return await driver.run(steps)
        except RemovedError as removed:
            await self.in_store(partial(self.local.note_removal, removed))
            raise
        except PeerError as error:
            if error.proof is not None:
                proof = error.proof
                error.evidence = await self.in_store(lambda: save_evidence(self.store, proof))
            raise

    async def close(self) -> None:
        await self.relay.close()
        await self.thread.close()


def _reporter(progress: OnProgress | None) -> Callable[[Progress], None]:
    """A reporter for the store's thread that calls `progress` on the event loop."""
    if progress is None:
        return lambda report: None
    loop = asyncio.get_running_loop()
    return lambda report: (loop.call_soon_threadsafe(progress, report), None)[1]


def _engine_progress(progress: OnProgress | None) -> Callable[[EngineProgress], None] | None:
    if progress is None:
        return None
    return lambda step: progress(Progress(step.phase, step.segments, None, step.records))
