"""Observing a conversation: what is there, then what happens to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from sealkeep_client.store import Changes
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._shown import Shown
from sealkeep_client.vault._types import Change, Chat, Record
from sealkeep_protocol.errors import UsageError

_OBSERVED: Final = 256


class Observing:
    """Those who observe conversations of one vault."""

    def __init__(self, core: Core, shown: Shown) -> None:
        self._core = core
        self._shown = shown
        self._observers: set[Callable[[], None]] = set()  # each wakes one

    def __len__(self) -> int:
        return len(self._observers)

    def end(self) -> None:
        """Wake all, so that they see that the vault is closing."""
        for wake in tuple(self._observers):
            wake()

    async def observe(self, chat: Chat, *, limit: int) -> AsyncIterator[Change]:
        """What `Vault.observe` promises."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[set[bytes] | None](_OBSERVED)
        overflow = False

        def enqueue(ids: set[bytes] | None) -> None:
            nonlocal overflow
            if queue.full():
                overflow = True
            else:
                queue.put_nowait(ids)

        def changed(changes: Changes) -> None:
            if chat.id in changes.messages:
                with contextlib.suppress(RuntimeError):  # the observer's loop is gone, and he with it
                    loop.call_soon_threadsafe(enqueue, changes.messages[chat.id])

        def newest() -> list[Record]:
            return self._shown.records(self._core.store.views.history(chat.id, limit=limit))

        def wake() -> None:
            enqueue(set())

        stops: list[Callable[[], None]] = []
        self._observers.add(wake)
        try:
            await self._core.in_store(lambda: stops.append(self._core.store.listen(changed)))
            for record in await self._core.in_store(newest):
                yield Change("snapshot", record)
            while True:
                ids = await queue.get()
                if self._core.closing:
                    return
                if overflow or ids is None:
                    overflow = False
                    while not queue.empty():
                        queue.get_nowait()
                    yield Change("reset")
                    for record in await self._core.in_store(newest):
                        yield Change("snapshot", record)
                    continue
                for identifier in sorted(ids):
                    found = await self._find(identifier)
                    if found is not None:
                        yield Change("removed" if found.view.tombstone is not None else "changed", found)
        finally:
            self._observers.discard(wake)
            with contextlib.suppress(UsageError):  # closed, and all listeners with it
                await self._core.in_store(lambda: [stop() for stop in stops])

    async def _find(self, identifier: bytes) -> Record | None:
        return await self._core.in_store(lambda: self._shown.find(identifier))
