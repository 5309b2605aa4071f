"""Driving the engine: its actions on the store run on the store's thread, those on the relay on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from sealkeep_client.answers import Page
from sealkeep_client.engine import (
    Account,
    Action,
    AppendEntry,
    Become,
    BodyRange,
    NewKit,
    Progress,
    PutChunks,
    ReadBodies,
    ReadChanges,
    SaveRoster,
    SaveSegment,
    Settle,
    Steps,
)
from sealkeep_client.store import Store
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault._asking import ask, bodies, changes
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._transfers import IN_FLIGHT, put_chunks
from sealkeep_client.workers import Worker
from sealkeep_protocol.errors import PeerError, SealkeepError, UsageError
from sealkeep_protocol.keys import KeyRecord

T = TypeVar("T")
_Asked: TypeAlias = ReadChanges | BodyRange


class StoreThread:
    """The one thread on which a vault uses its store, and who closes that. Functions run in the order of their calls."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sealkeep-store")
        self._opened: list[Store] = []
        self._closed = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function there. Cancelling the caller does not stop it: what it wrote is whole.

        Raises `UsageError` after `close`.
        """
        if self._closed:
            raise UsageError("the vault is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*arguments))

    async def open(self, function: Callable[..., Store], *arguments: Any) -> Store:
        """Run a function that opens a store. `close` closes it, even where the caller was cancelled before he had it."""

        def opening() -> Store:
            self._opened.append(function(*arguments))
            return self._opened[-1]

        return await self.run(opening)

    async def close(self) -> None:
        """Finish what was begun, close the store, and end the thread. May be called again."""
        self._closed = True
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        with contextlib.suppress(RuntimeError):  # a second call finds the thread gone
            self._pool.submit(self._close_stores).result()
        self._pool.shutdown()

    def _close_stores(self) -> None:
        while self._opened:
            self._opened.pop().close()


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    value: T


class Driver:
    """Carries one generator of the engine through. `on_progress` is called on the event loop; `worker` says whether packing
    and decoding may use a second process; `new_kit` hands a new recovery kit to the person and gives its public keys."""

    def __init__(
        self,
        local: Local,
        relay: HttpRelay,
        thread: StoreThread,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        worker: bool = False,
        in_flight: int = IN_FLIGHT,
        new_kit: Callable[[Account], KeyRecord] | None = None,
    ) -> None:
        self._local = local
        self._relay = relay
        self._thread = thread
        self._on_progress = on_progress
        self._may_have_worker = worker
        self._in_flight = in_flight
        self._new_kit = new_kit
        self._ahead: dict[_Asked, asyncio.Task[Page]] = {}

    async def run(self, steps: Steps[T]) -> T:
        """Run to the end. Raises what the engine raises; the store then holds whole steps only."""
        answer: Any = None
        failure: Exception | None = None
        async with self._reading_ahead(), self._working():
            while True:
                outcome = await self._thread.run(self._advance, steps, answer, failure)
                if isinstance(outcome, _Done):
                    return outcome.value  # type: ignore[no-any-return]
                try:
                    answer, failure = await self._answer(outcome), None
                except SealkeepError as error:
                    answer, failure = None, error

    def _advance(self, steps: Steps[T], answer: Any, failure: Exception | None) -> Action | _Done[T]:
        """Go on until the engine needs the relay; what it has the store write up to there is one transaction."""
        local = self._local
        account: Account | None = None
        outcome: Action | _Done[T]
        # ERR-02: "A client MUST leave its state as it was before the answer that it reports with a code of this list; …" An
        # error rolls back.
        with contextlib.ExitStack() as writing:
            try:
                outcome = steps.send(answer) if failure is None else steps.throw(failure)
                if local.handles(outcome):
                    writing.enter_context(local.store.transaction())
                while local.handles(outcome):
                    if isinstance(outcome, (SaveRoster, SaveSegment, Settle, Become)):
                        account = outcome.account
                    try:
                        answer = local.handle(outcome)
                    except PeerError as error:
                        outcome = steps.throw(error)
                    else:
                        outcome = steps.send(answer)
            except StopIteration as stop:
                outcome = _Done(stop.value)
        if account is not None:  # only now is it kept
            local.account = account
        return outcome

    async def _answer(self, action: Action) -> Any:
        match action:
            case ReadChanges():
                return await self._read_changes(action)
            case ReadBodies():
                return await self._read_bodies(action)
            case PutChunks():
                await put_chunks(self._relay, self._local.files.sealed, action.ids, in_flight=self._in_flight)
                return None
            case AppendEntry():  # before it is sent: it may be there, whatever the answer
                await self._thread.run(self._local.note_made, action.entry)
            case NewKit():
                if self._new_kit is None:
                    raise UsageError("this needs a new recovery kit, and nobody is there to take it")
                return self._new_kit(action.account)
            case Progress():
                if self._on_progress is not None:
                    self._on_progress(action)
                return None
        return await ask(self._relay, self._local.account.id, action)

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """With a worker for packing and decoding, where the vault may have one."""
        worker = Worker(enabled=self._may_have_worker)
        await self._thread.run(self._local.begin, worker)
        try:
            yield
        finally:
            worker.close()

    # Reading ahead, while the store takes the page before

    async def _read_changes(self, action: ReadChanges) -> Page:
        page = await self._take(action, partial(changes, self._relay, action))
        if page.more:
            following = replace(action, after=page.position)
            self._ahead[following] = asyncio.ensure_future(changes(self._relay, following))
        return page

    async def _read_bodies(self, action: ReadBodies) -> Page:
        for wanted in (action.wanted, *action.following):
            if wanted not in self._ahead:
                self._ahead[wanted] = asyncio.ensure_future(bodies(self._relay, wanted))
        return await self._take(action.wanted, partial(bodies, self._relay, action.wanted), action.following)

    async def _take(
        self, asked: _Asked, ask_now: Callable[[], Coroutine[Any, Any, Page]], following: Sequence[_Asked] = ()
    ) -> Page:
        """The answer to a question that was asked ahead, or is asked now. What was asked ahead in vain is given up."""
        under_way = self._ahead.pop(asked, None)
        try:
            await self._stop_reading_ahead(but=following)
            return await (ask_now() if under_way is None else under_way)
        finally:
            if under_way is not None:
                under_way.cancel()

    @contextlib.asynccontextmanager
    async def _reading_ahead(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._stop_reading_ahead()

    async def _stop_reading_ahead(self, *, but: Sequence[_Asked] = ()) -> None:
        vain = [self._ahead.pop(asked) for asked in list(self._ahead) if asked not in but]
        for task in vain:
            task.cancel()
        await asyncio.gather(*vain, return_exceptions=True)
