"""The background sync: when it syncs, how long it waits, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sealkeep_client.vault import SyncState, SyncSummary
from sealkeep_client.vault._background import LONGEST_WAIT, Background, Wake
from sealkeep_protocol.errors import HistoryError, RefusedError, StoreError, TransportError

DONE = SyncSummary(0, 0, 0, 0, ())


async def run(
    outcomes: list[Exception | None],
    *,
    jitter: float = 1.0,
    told: Callable[[SyncState], None] | None = None,
) -> list[float]:
    """Run through these outcomes of syncs; the waits in between. Ends by itself, or when there are no more."""
    waits: list[float] = []
    left = list(outcomes)

    async def sync() -> SyncSummary:
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome
        return DONE

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if not left:
            raise asyncio.CancelledError

    background = Background(sync, on_state=told, interval=15, jitter=lambda: jitter, sleep=sleep)
    try:
        await background.run()
    except asyncio.CancelledError:
        assert not left
    return waits


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


async def test_a_busy_relay_is_tried_again() -> None:
    assert await run([RefusedError("busy", "", status=429, retryable=True), None]) == [1, 15]


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
