"""Staying in step: the background sync of a vault, and waiting until a record is uploaded."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from sealkeep_client.vault._background import Background, Wake
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._relaying import Relaying
from sealkeep_client.vault._types import OnProgress, SyncState, SyncSummary
from sealkeep_protocol.errors import RefusedError, TransportError, UsageError


class InStep:
    """At most one background sync, and those who wait for what it does."""

    def __init__(self, core: Core, relaying: Relaying) -> None:
        self._core = core
        self._relaying = relaying
        self._wake = Wake()
        self._task: asyncio.Task[None] | None = None
        self._full: RefusedError | None = None  # why what waits is not being sent

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Something was written: sync soon."""
        self._wake.wake()

    @contextlib.asynccontextmanager
    async def background_sync(
        self, *, on_state: Callable[[SyncState], None] | None, interval: float, progress: OnProgress | None
    ) -> AsyncIterator[None]:
        """What `Vault.background_sync` promises."""
        if self.is_running:
            raise UsageError("a background sync is running already")
        if self._core.closing:
            raise UsageError("the vault is closed")
        self._full = None

        async def sync(*, writes: bool) -> SyncSummary:
            return await self._sync(writes, progress)

        background = Background(
            sync, on_state=on_state, interval=interval, jitter=random.random, sleep=self._wake.sleep
        )
        self._task = asyncio.create_task(self._run(background))
        try:
            yield
        finally:
            await self.stop()

    async def _sync(self, writes: bool, progress: OnProgress | None) -> SyncSummary:
        try:
            summary = await self._relaying.sync(progress=progress, writes=writes)
        except RefusedError as refused:
            if refused.code == "quota":
                self._full = refused
                async with self._relaying.settled:
                    self._relaying.settled.notify_all()
            raise
        if writes:
            self._full = None
        return summary

    async def _run(self, background: Background) -> None:
        try:
            await background.run()
        finally:
            async with self._relaying.settled:  # whoever waits for it syncs alone, and meets the error
                self._relaying.settled.notify_all()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def uploaded(self, identifier: bytes, *, timeout: float | None) -> None:
        """What `Vault.uploaded` promises."""
        settled = self._relaying.settled
        try:
            async with asyncio.timeout(timeout):
                while not await self._is_uploaded(identifier):
                    if not self.is_running:
                        # Once, not to the end: on a new device the rest may take longer than anybody waits for one record.
                        await self._relaying.sync_once(tells=False)
                        continue
                    self._check_room()
                    async with settled:
                        if not await self._is_uploaded(identifier):
                            self._check_room()
                            await settled.wait()
        except TimeoutError as error:
            raise TransportError("the relay has not confirmed the record in time; it is safe on this device") from error

    def _check_room(self) -> None:
        if self._full is not None:
            raise RefusedError(self._full.code, str(self._full), status=self._full.status)

    async def _is_uploaded(self, identifier: bytes) -> bool:
        found = await self._core.in_store(lambda: self._core.store.is_uploaded(identifier))
        if found is None:
            raise UsageError("there is no such record in this vault")
        return found
