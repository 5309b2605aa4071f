"""The one writer of the embedded store: a thread that lets concurrent writes share a transaction and its fsync.

While one group commits, the next one gathers. Within a group each job runs in a savepoint of its own, so that one that
is refused undoes nothing of its neighbours. A job's future is resolved only after COMMIT has returned, which is after
the log is synced.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sealkeep_server.stores._bodies import BodyFiles
from sealkeep_server.stores._interface import StagedBody, StoreError, UnavailableError

Result = TypeVar("Result")

# After these the file may hold less than SQLite believes: only a restart, which reads it anew, makes sense of it.
_LASTING = frozenset({"SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC", "SQLITE_CORRUPT", "SQLITE_NOTADB"})


@dataclass(slots=True)
class Transaction:
    """What a job works with: the connection, and the bodies that move with its rows."""

    connection: sqlite3.Connection
    bodies: BodyFiles
    adopted: list[tuple[int, StagedBody]] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)

    def adopt(self, staged: StagedBody) -> int:
        """Move a staged body into place for a row of this job; goes back when the job fails."""
        number = self.bodies.adopt(staged)
        self.adopted.append((number, staged))
        return number

    def erase(self, number: int) -> None:
        """Unlink a body once the erasure of its row is durable."""
        self.erased.append(number)

    def undo(self) -> None:
        for number, staged in self.adopted:
            self.bodies.give_back(number, staged)
        self.adopted.clear()
        self.erased.clear()


@dataclass(slots=True)
class _Job:
    run: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    done: Callable[[], None] | None
    result: Any = None
    error: Exception | None = None
    transaction: Transaction | None = None


class GroupWriter:
    """Runs jobs on `connection` in groups of up to `group_jobs`. Owns the connection; `close` closes it."""

    def __init__(
        self, connection: sqlite3.Connection, bodies: BodyFiles, *, group_jobs: int, checkpoint_idle_seconds: float
    ) -> None:
        self._connection = connection
        self.bodies = bodies
        self._group_jobs = group_jobs
        self._idle_seconds = checkpoint_idle_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lasting: UnavailableError | None = None
        self._closed = False
        self._log_is_empty = False
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, run: Callable[[Transaction], Result], *, done: Callable[[], None] | None = None) -> Result:
        """Run a job in the next group and return its result once that is durable. Raises what the job raises, or
        `UnavailableError`.

        `done` is called on the event loop once the job is durable, before anybody hears of it, in the order of the jobs,
        and even when the caller has gone away.
        """
        if self._closed:
            raise UnavailableError("the store is closing")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(run, loop, future, done))
        # Shielded: a caller that goes away cannot undo what may be committed already.
        return await asyncio.shield(future)

    def close(self) -> None:
        """Finish all jobs submitted so far, empty the log and close the connection. Blocks."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _loop(self) -> None:
        running = True
        while running:
            group, running = self._gather()
            if group:
                self._commit(group)
                self._deliver(group)
        self._empty_log()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        group: list[_Job] = []
        try:
            job = self._jobs.get(timeout=None if self._log_is_empty else self._idle_seconds)
            while job is not None:
                group.append(job)
                if len(group) == self._group_jobs:
                    return group, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            if not group:
                self._empty_log()
            return group, True
        return group, False

    def _empty_log(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._log_is_empty = not busy

    def _commit(self, group: list[_Job]) -> None:
        self._log_is_empty = False
        try:
            if self._lasting is not None:
                raise self._lasting
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run(job)
            self.bodies.sync()
        except (sqlite3.Error, OSError, UnavailableError) as error:
            # Before COMMIT nothing can have become durable: what was moved goes back.
            self._fail(group, error)
            for job in group:
                if job.transaction is not None:
                    job.transaction.undo()
            return
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # Whether the rows survive is not known here; files that no row names are swept at the next start.
            self._fail(group, error)
            return
        for job in group:
            if job.transaction is not None and job.transaction.erased:
                self.bodies.erase(job.transaction.erased)

    def _run(self, job: _Job) -> None:
        execute = self._connection.execute
        job.transaction = transaction = Transaction(self._connection, self.bodies)
        execute("SAVEPOINT job")
        try:
            job.result = job.run(transaction)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite gave the whole group up, as it does for a full disk
            execute("ROLLBACK TO job")
            transaction.undo()
            job.error = error if isinstance(error, StoreError) else self._translate(error)
        execute("RELEASE job")

    def _fail(self, group: list[_Job], error: Exception) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        translated = self._translate(error)
        for job in group:
            job.error = job.error or translated

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, UnavailableError):
            return error
        if not isinstance(error, (sqlite3.Error, OSError)):
            return error
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        unavailable = UnavailableError(f"the store cannot write: {name}")
        unavailable.__cause__ = error
        if name in _LASTING:
            self._lasting = unavailable
        return unavailable

    @staticmethod
    def _deliver(group: list[_Job]) -> None:
        def resolve(jobs: list[_Job]) -> None:
            for job in jobs:
                if job.error is None and job.done is not None:
                    job.done()
                if job.future.cancelled():
                    continue
                if job.error is not None:
                    job.future.set_exception(job.error)
                else:
                    job.future.set_result(job.result)

        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in group:
            by_loop.setdefault(job.loop, []).append(job)
        for loop, jobs in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(resolve, jobs)
