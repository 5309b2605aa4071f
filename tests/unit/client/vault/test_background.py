"""The background sync: when it syncs, how long it waits, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from sealkeep_client.vault import SyncState, SyncSummary
from sealkeep_client.vault._background import LONGEST_ASKED, LONGEST_WAIT, Background, Wake
from sealkeep_protocol.errors import HistoryError, RefusedError, StoreError, TransportError

DONE = SyncSummary(0, 0, 0, 0, ())


class Run:
    """A run through these outcomes of syncs, which ends by itself, or when there are no more."""

    def __init__(self, outcomes: list[Exception | None], *, interval: float = 15, jitter: float = 1.0) -> None:
        self._left = list(outcomes)
        self._interval = interval
        self._jitter = jitter
        self.waits: list[float] = []  # in between
        self.least: list[float] = []  # of them, whatever is written meanwhile
        self.writes: list[bool] = []
        self.told: list[SyncState] = []

    async def _sync(self, *, writes: bool) -> SyncSummary:
        self.writes.append(writes)
        outcome = self._left.pop(0)
        if outcome is not None:
            raise outcome
        return DONE

    async def _sleep(self, seconds: float, *, least: float) -> None:
        self.waits.append(seconds)
        self.least.append(least)
        if not self._left:
            raise asyncio.CancelledError

    async def finish(self, told: Callable[[SyncState], None] | None = None) -> Run:
        background = Background(
            self._sync,
            on_state=told or self.told.append,
            interval=self._interval,
            jitter=lambda: self._jitter,
            sleep=self._sleep,
        )
        try:
            await background.run()
        except asyncio.CancelledError:
            assert not self._left
        return self


async def run(
    outcomes: list[Exception | None],
    *,
    jitter: float = 1.0,
    told: Callable[[SyncState], None] | None = None,
) -> list[float]:
    """The waits in between."""
    return (await Run(outcomes, jitter=jitter).finish(told)).waits


LINE = TransportError("the relay cannot be reached")


async def test_it_waits_longer_and_longer() -> None:
    assert await run([LINE] * 12) == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]
    assert len(await run([LINE] * 100)) == 100


async def test_jitter_spreads_the_waits() -> None:
    """From the half of it on, so that a wait is never none."""
    assert await run([LINE] * 3, jitter=0) == [0.5, 1, 2]
    assert await run([LINE] * 3, jitter=0.5) == [0.75, 1.5, 3]


async def test_success_begins_anew() -> None:
    assert await run([LINE, LINE, None, LINE, None]) == [1, 2, 15, 1, 15]


def busy(retry_after: float | None = None) -> RefusedError:
    return RefusedError("busy", "", status=429, retryable=True, retry_after=retry_after)


FULL = RefusedError("quota", "no room", status=507)


async def test_a_busy_relay_is_tried_again() -> None:
    assert await run([busy(), None]) == [1, 15]


async def test_a_relay_is_left_alone_for_as_long_as_it_asks() -> None:
    """Also by what is written meanwhile; not for less than without its asking, and not for ever."""
    done = await Run([busy(40), busy(0), busy(10**9), None]).finish()
    assert done.waits == [40, 2, LONGEST_ASKED, 15]
    assert done.least == [40, 0, LONGEST_ASKED, 0]
    assert done.told[1] == SyncState("offline", done.told[1].error, retry_in=40)


async def test_a_write_shortens_a_backoff_but_not_to_nothing() -> None:
    done = await Run([LINE] * 12).finish()
    assert done.least == [wait / 10 for wait in done.waits]
    assert (await Run([None]).finish()).least == [0]


async def test_a_full_relay_is_read_all_the_same() -> None:
    """It is asked to take more after 1, 2, 4, … rounds, and at last every five minutes."""
    done = await Run([FULL, None, FULL, None, None, FULL, None, None, None, None, None, FULL, None, None]).finish()
    assert [n for n, writes in enumerate(done.writes) if writes] == [0, 2, 5, 10, 11, 13]
    assert set(done.waits) == {15}
    # What is written can not be sent: until there is room it wakes nobody.
    assert done.least == [15] * 10 + [0, 15, 15, 0]
    states = [state for state in done.told if state.state != "syncing"]
    assert [state.state for state in states] == ["full"] * 10 + ["idle", "full", "full", "idle"]
    assert states[0] == SyncState("full", FULL, retry_in=30)
    assert states[1] == SyncState("full", FULL, 15, DONE)
    # However many rounds it takes.
    full = [outcome for k in range(8) for outcome in (FULL, *[None] * min(20, 2**k))]
    done = await Run(full, interval=15).finish()
    assert sum(done.writes) == 8
    assert max(b - a for a, b in pairwise(n for n, writes in enumerate(done.writes) if writes)) == 21
    assert (await Run([FULL, None, FULL, None], interval=1000).finish()).writes == [True, False, True, False]


async def test_a_full_relay_that_cannot_be_reached() -> None:
    done = await Run([FULL, LINE, LINE, None, FULL]).finish()
    assert done.waits == [15, 1, 2, 15, 15]
    assert done.writes == [True, False, False, False, True]


@pytest.mark.parametrize(
    "error",
    [
        HistoryError("rollback", "less than before"),
        RefusedError("revoked", "removed", status=403),
        StoreError("the disk is full"),
        RuntimeError("a mistake of ours"),
    ],
)
async def test_what_trying_again_cannot_mend_stops_it(error: Exception) -> None:
    told: list[SyncState] = []
    assert await run([None, error, None], told=told.append) == [15]
    assert [state.state for state in told] == ["syncing", "idle", "syncing", "stopped"]
    assert told[-1].error is error


async def test_states_are_told() -> None:
    told: list[SyncState] = []
    await run([LINE, None], told=told.append)
    assert told == [
        SyncState("syncing"),
        SyncState("offline", LINE, retry_in=1.0),
        SyncState("syncing"),
        SyncState("idle", summary=DONE),
    ]


async def test_a_callback_that_fails_ends_nothing() -> None:
    """It is the app's own: its error goes to the loop's handler, the sync goes on."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))

    def fail(state: SyncState) -> None:
        raise ValueError(state.state)

    assert await run([None, LINE, None], told=fail) == [15, 1, 15]
    assert len(reported) == 6


async def test_a_sleep_is_cut_short() -> None:
    wake = Wake()
    wake.wake()
    async with asyncio.timeout(5):
        await wake.sleep(60)  # what was written before it counts
        sleeping = asyncio.create_task(wake.sleep(60))
        await asyncio.sleep(0)
        wake.wake()
        await sleeping
    await wake.sleep(0.001)
    await wake.sleep(0.001, least=0.001)


async def test_a_sleep_is_not_cut_below_its_least() -> None:
    wake, loop = Wake(), asyncio.get_running_loop()
    wake.wake()
    started = loop.time()
    async with asyncio.timeout(5):
        await wake.sleep(60, least=0.02)
    assert loop.time() - started >= 0.02
