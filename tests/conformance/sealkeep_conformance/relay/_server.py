"""A hostile relay with its sockets: an event loop on a thread of its own, so that any kind of test can use it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from sealkeep_conformance.relay._control import Control
from sealkeep_conformance.relay._honest import Honest, Limits
from sealkeep_conformance.relay._hostile import Hostile, Snapshot
from sealkeep_conformance.relay._http import Handler
from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay._question import Route
from sealkeep_conformance.relay._scope import Asked, Scope
from sealkeep_conformance.relay.faults import Fault
from sealkeep_protocol.types import AccountId


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class HostileRelay:
    """A relay in memory, on free loopback ports while it is entered; honest until it is told otherwise.

        with HostileRelay() as relay:
            phone = connect(relay.door("phone"))
            with relay.fault(Drop(device=1, seq=4), door="laptop"):
                ...
            assert relay.log[-1].route == "changes"

    `now` gives milliseconds since 1970; `limits` are what it takes and gives at most.
    """

    def __init__(self, *, now: Callable[[], int] = _now_ms, limits: Limits | None = None) -> None:
        self._hostile = Hostile(Honest.make(now, limits or Limits()))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile-relay", daemon=True)
        self._runners: list[web.BaseRunner] = []
        self.url = self.control_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        server = web.Server(Handler(self._hostile), auto_decompress=False, access_log=None)
        self.url = await self._listen(web.ServerRunner(server, shutdown_timeout=0.1))
        control = Control(self._hostile).application()
        self.control_url = await self._listen(web.AppRunner(control, access_log=None, shutdown_timeout=0.1))

    async def _listen(self, runner: web.BaseRunner) -> str:
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # answers without end, and peers that do not go
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # Who it is

    @property
    def identity(self) -> bytes:
        """Its long-term public key."""
        return self._hostile.honest.key.public

    @property
    def incarnation(self) -> bytes:
        return self._hostile.honest.incarnation

    def door(self, name: str) -> str:
        """The URL for one device (lower-case letters, digits and dashes): what comes by it can be told from others."""
        return f"{self.url}/for/{name}"

    # What it does

    def inject(
        self,
        fault: Fault,
        *,
        account: AccountId | None = None,
        door: str | None = None,
        device: int | None = None,
        routes: Collection[Route] | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> int:
        """Turn a fault on for whom `Scope` says; its number."""
        return self._hostile.inject(fault, Scope(account, door, device, routes, times, skip))

    def lift(self, number: int | None = None) -> None:
        """Turn one fault off, or all of them. Raises `KeyError` for one that is not on."""
        self._hostile.lift(number)

    @contextmanager
    def fault(self, fault: Fault, **scope: Any) -> Iterator[int]:
        """Turn a fault on for a while."""
        number = self.inject(fault, **scope)
        try:
            yield number
        finally:
            self.lift(number)

    @property
    def log(self) -> list[Asked]:
        """All requests so far."""
        return list(self._hostile.log)

    # What it stores

    @property
    def accounts(self) -> Mapping[AccountId, Ledger]:
        return self._hostile.honest.accounts

    def snapshot(self) -> Snapshot:
        """All that is stored as it is now."""
        return self._hostile.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Be honest, with what there was at a snapshot and an empty log; nobody can tell that time has gone back."""
        self._hostile.restore(snapshot)

    def put_back(self, backup: Snapshot) -> None:
        """Be restored from a backup, as an operator does who tells the devices so (spec §11.5)."""
        self._hostile.put_back(backup)

    def edit(self, change: Callable[[dict[AccountId, Ledger]], object]) -> None:
        """Change what is stored, as whoever owns the disk can."""
        self._hostile.edit(change)
