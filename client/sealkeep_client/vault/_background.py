"""Syncing in the background: after every local write, and from time to time; offline is normal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sealkeep_client.vault._types import SyncState, SyncSummary
from sealkeep_protocol.errors import SealkeepError

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0


class Background:
    """Runs `sync` until it is stopped. An error that trying again cannot mend stops it and is told to `on_state`.

    `sleep` waits so many seconds or until woken; `jitter` gives a fraction from 0 to 1.
    """

    def __init__(
        self,
        sync: Callable[[], Awaitable[SyncSummary]],
        *,
        on_state: Callable[[SyncState], None] | None,
        interval: float,
        jitter: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._sync = sync
        self._on_state = on_state or (lambda state: None)
        self._interval = interval
        self._jitter = jitter
        self._sleep = sleep

    async def run(self) -> None:
        failures = 0
        while True:
            self._tell(SyncState("syncing"))
            try:
                summary = await self._sync()
            except Exception as error:
                if not (isinstance(error, SealkeepError) and error.retryable):
                    self._tell(SyncState("stopped", error))
                    return
                wait = self._backoff(failures)
                failures += 1
                self._tell(SyncState("offline", error, retry_in=wait))
            else:
                failures, wait = 0, self._interval
                self._tell(SyncState("idle", summary=summary))
            await self._sleep(wait)

    def _tell(self, state: SyncState) -> None:
        try:
            self._on_state(state)
        except Exception as error:  # the app's own: it does not end the sync, and is not lost
            context = {"message": "on_state of a background sync failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _backoff(self, failures: int) -> float:
        """Exponential, with jitter: many devices that lost one relay do not come back at once."""
        longest: float = min(LONGEST_WAIT, FIRST_WAIT * (1 << min(failures, 16)))
        return longest * (0.5 + 0.5 * self._jitter())


class Wake:
    """A sleep that can be cut short."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
