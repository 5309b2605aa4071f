"""The parent's side of a worker process.

Not `multiprocessing`: that imports the program's main module a second time, which an app that embeds the SDK need not be
written for.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final, Generic, Self, TypeVar

if sys.platform == "linux":
    import fcntl

T = TypeVar("T")

IN_FLIGHT: Final = 2
"""Calls that a worker has at most: one that runs, and one that is there when it ends. The others can be taken back."""

_PIPE: Final = 1 << 20  # bytes
_AHEAD: Final = 3  # items of a stream that are asked for before they are needed


class WorkerLostError(Exception):
    """The worker process ended before it had answered: it was killed, say, or could not be started."""


class Task(Generic[T]):
    """A call of a pure function, made by a worker, or by whoever needs its result before the worker has begun it."""

    __slots__ = ("_arguments", "_function", "_future")

    def __init__(self, function: Callable[..., T], arguments: tuple[Any, ...], future: Future[T] | None = None) -> None:
        self._function = function
        self._arguments = arguments
        self._future = future

    @property
    def is_done(self) -> bool:
        """Whether `result` has not to wait."""
        return self._future is not None and self._future.done() and not self._future.cancelled()

    def take_back(self) -> bool:
        """Make the call here and now, if the worker has not begun it; returns whether."""
        if self._future is None or not self._future.cancel():
            return False
        made: Future[T] = Future()
        try:
            made.set_result(self._function(*self._arguments))
        except Exception as error:
            made.set_exception(error)
        self._future = made
        return True

    def result(self) -> T:
        """The function's result. Raises what the function raises."""
        if self._future is not None and not self._future.cancel():
            with contextlib.suppress(WorkerLostError):
                return self._future.result()
        return self._function(*self._arguments)


class Worker:
    """One worker process; it starts with the first call. Functions are named by their modules, arguments are pickled.

    Where there is no second core for it, or `enabled` is false, every call is made in this process.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled and _can_have_one()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: deque[tuple[Future[Any], tuple[Any, ...]]] = deque()
        self._sent: deque[Future[Any]] = deque()
        self._change = threading.Condition()  # of the above, and of whether the worker is lost
        self._lost = False

    @property
    def enabled(self) -> bool:
        """Whether calls run beside this process."""
        return self._enabled and not self._lost

    def submit(self, function: Callable[..., T], *arguments: Any) -> Task[T]:
        """Have a pure function called."""
        return Task(function, arguments, self._call("call", function, arguments) if self.enabled else None)

    def stream(self, function: Callable[..., Iterator[T]], *arguments: Any) -> Iterator[T]:
        """The items of an iterator, made by the worker, some of them ahead; one stream at a time.

        Raises what the iterator raises, and `WorkerLostError`.
        """
        if not self.enabled:
            yield from function(*arguments)
            return
        self._call("stream", function, arguments).result()
        ahead = deque(self._call("next") for _ in range(_AHEAD))
        while (item := ahead.popleft().result()) is not None:
            ahead.append(self._call("next"))
            yield item[0]

    def close(self) -> None:
        """End the process, whatever it does: its functions change nothing."""
        self._lose()  # nothing is started any more
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, *call: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._change:
            if self._process is None and not self._lost:
                self._start()
            if self._lost:
                future.set_exception(WorkerLostError())
            else:
                self._waiting.append((future, call))
                self._change.notify_all()
        return future

    def _start(self) -> None:
        # -P: the working directory is no place to load code from.
        command = [sys.executable, "-P", "-m", "sealkeep_client.workers"]
        try:
            # A group of its own: Ctrl-C on the terminal is for the parent, which decides what becomes of its worker. What
            # the worker would say of a failure is not shown: the parent makes the call itself, and meets the same.
            process = self._process = subprocess.Popen(  # noqa: S603 - this very program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                process_group=0,
            )
            for side, pipe in ((self._send, process.stdin), (self._receive, process.stdout)):
                if pipe is not None:
                    _widen(pipe)
                threading.Thread(target=side, args=(pipe,), name="sealkeep-worker", daemon=True).start()
        except (OSError, RuntimeError):  # no process, or no thread, is to be had
            self._lost = True
            if self._process is not None:
                self._process.kill()

    def _send(self, pipe: IO[bytes]) -> None:
        while call := self._take():
            future, message = call
            try:
                data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                # Nothing of it was sent; its place in the order of answers is not needed any more.
                with self._change:
                    if self._lost:
                        break
                    self._sent.remove(future)
                future.set_exception(error)
                continue
            try:
                pipe.write(data)
                pipe.flush()
            except OSError:
                break
        with contextlib.suppress(OSError):
            pipe.close()

    def _take(self) -> tuple[Future[Any], tuple[Any, ...]] | None:
        """The next call to send, which can not be taken back any more; None once the worker is lost."""
        with self._change:
            while True:
                self._change.wait_for(lambda: self._lost or (self._waiting and len(self._sent) < IN_FLIGHT))
                if self._lost:
                    return None
                future, message = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    self._sent.append(future)
                    return future, message

    def _receive(self, pipe: IO[bytes]) -> None:
        while True:
            try:
                is_good, outcome = pickle.load(pipe)  # noqa: S301 - from this very program
            except Exception:
                # The end of the worker, or of its words: whatever it was, nothing that follows can be trusted.
                break
            with self._change:
                if self._lost:
                    break  # whoever waited has been told
                future = self._sent.popleft()
                self._change.notify_all()
            if is_good:
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        self._lose()
        pipe.close()

    def _lose(self) -> None:
        with self._change:
            self._lost = True
            left = [*self._sent, *(future for future, _ in self._waiting if future.set_running_or_notify_cancel())]
            self._sent.clear()
            self._waiting.clear()
            self._change.notify_all()
        for future in left:
            future.set_exception(WorkerLostError())


def _environment() -> dict[str, str]:
    """What the worker starts with: this process's environment without what is sealkeep's own (a passphrase, say), and its
    places to load code from."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith("SEALKEEP_")}
    entries: list[Any] = list(sys.path)  # whatever an app put there; imports pass over what is no text, too
    return {**own, "PYTHONPATH": os.pathsep.join(entry for entry in entries if entry and isinstance(entry, str))}


def _widen(pipe: IO[bytes]) -> None:
    """Let a result leave the worker although nobody takes it yet, where the system allows it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def _can_have_one() -> bool:
    """Whether there is a second core, and an interpreter that can be started.

    A frozen app has none, and where Python is embedded the executable is the whole program: it would start once more.
    """
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1
