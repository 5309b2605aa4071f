"""Syncing in the background: after every local write, and from time to time; offline is normal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from sealkeep_client.vault._types import SyncState, SyncSummary
from sealkeep_protocol.errors import RefusedError, SealkeepError

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0
LONGEST_ASKED: Final = 3600.0
"""What a relay may ask for; beyond that it would be a way to have a device never come back."""

_EAGER: Final = 0.1  # a write cuts a backoff to this part of it: not to nothing, since there may be many writes


class _Sync(Protocol):
    async def __call__(self, *, writes: bool) -> SyncSummary: ...


class _Sleep(Protocol):
    async def __call__(self, seconds: float, *, least: float) -> None: ...


class Background:
    """Runs `sync` until it is stopped. An error that trying again cannot mend stops it and is told to `on_state`; a relay
    without room for more stops the writing alone.

    `sleep` waits so many seconds, or until woken, but `least` in any case; `jitter` gives a fraction from 0 to 1.
    """

    def __init__(
        self,
        sync: _Sync,
        *,
        on_state: Callable[[SyncState], None] | None,
        interval: float,
        jitter: Callable[[], float],
        sleep: _Sleep,
    ) -> None:
        self._sync = sync
        self._on_state = on_state or (lambda state: None)
        self._interval = interval
        self._jitter = jitter
        self._sleep = sleep
        self._failures = 0  # in a row
        self._full: RefusedError | None = None
        self._refusals = 0  # for want of room, in a row
        self._only_reading = 0  # rounds, before writing is tried again

    async def run(self) -> None:
        while True:
            self._tell(SyncState("syncing"))
            try:
                summary = await self._sync(writes=not self._only_reading)
            except Exception as error:
                if isinstance(error, RefusedError) and error.code == "quota":
                    wait = least = self._become_full(error)
                elif isinstance(error, SealkeepError) and error.retryable:
                    wait, least = self._back_off(error)
                else:
                    self._tell(SyncState("stopped", error))
                    return
            else:
                wait, least = self._succeed(summary)
            await self._sleep(wait, least=least)

    def _succeed(self, summary: SyncSummary) -> tuple[float, float]:
        self._failures = 0
        if self._only_reading:
            self._only_reading -= 1
            self._tell(SyncState("full", self._full, self._until_written, summary))
            return self._interval, self._interval  # what is written meanwhile could not be sent
        self._full, self._refusals = None, 0
        self._tell(SyncState("idle", summary=summary))
        return self._interval, 0.0

    def _become_full(self, error: RefusedError) -> float:
        """What was there to read has been read. Writing is tried again after 1, 2, 4, … rounds of reading."""
        self._failures = 0
        most = max(1, int(LONGEST_WAIT / self._interval))
        self._full, self._only_reading = error, min(most, 1 << min(self._refusals, 16))
        self._refusals += 1
        self._tell(SyncState("full", error, self._until_written))
        return self._interval

    @property
    def _until_written(self) -> float:
        return (self._only_reading + 1) * self._interval

    def _back_off(self, error: SealkeepError) -> tuple[float, float]:
        """How long to wait, and how long at least, whatever is written meanwhile."""
        wait = self._backoff()
        least = wait * _EAGER
        asked = error.retry_after if isinstance(error, RefusedError) else None
        if asked is not None:
            least = min(asked, LONGEST_ASKED)
            wait = max(wait, least)
        self._failures += 1
        self._tell(SyncState("offline", error, retry_in=wait))
        return wait, least

    def _backoff(self) -> float:
        """Exponential, with jitter: many devices that lost one relay do not come back at once."""
        longest: float = min(LONGEST_WAIT, FIRST_WAIT * (1 << min(self._failures, 16)))
        return longest * (0.5 + 0.5 * self._jitter())

    def _tell(self, state: SyncState) -> None:
        try:
            self._on_state(state)
        except Exception as error:  # the app's own: it does not end the sync, and is not lost
            context = {"message": "on_state of a background sync failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


class Wake:
    """A sleep that can be cut short."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def sleep(self, seconds: float, *, least: float = 0.0) -> None:
        """Sleep so many seconds, or until woken; `least` in any case."""
        if least > 0:
            await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
