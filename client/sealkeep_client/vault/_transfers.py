"""Several chunks on their way at once, there and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from sealkeep_client.transport import HttpRelay
from sealkeep_protocol.errors import UsageError

IN_FLIGHT: Final = 8
"""Chunks on their way at once, where nothing else is said."""

_MOST: Final = 64  # each is a megabyte in memory, and a connection


def check_in_flight(in_flight: int) -> None:
    """Raises `UsageError` for a number of chunks that cannot be on their way at once."""
    if not 0 < in_flight <= _MOST:
        raise UsageError(f"of a file 1 to {_MOST} pieces can be on their way at once, not {in_flight}")


async def put_chunks(relay: HttpRelay, chunks: Mapping[bytes, bytes], ids: Iterable[bytes], *, in_flight: int) -> None:
    """Put chunks. Raises what the first that fails raises; the others are not waited for, and may be there or not."""
    waiting = iter(ids)

    async def put() -> None:
        for identifier in waiting:
            await relay.put_chunk(identifier, chunks[identifier])

    await in_parallel(put, in_flight)


async def in_parallel(work: Callable[[], Awaitable[None]], times: int) -> None:
    """Do the same work so many times side by side. Raises what the first that fails raises; the others are cancelled."""
    tasks = [asyncio.ensure_future(work()) for _ in range(times)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
