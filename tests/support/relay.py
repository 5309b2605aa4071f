"""A real relay in a process of its own, on a free loopback port.

    with RelayProcess(data) as relay:
        connect(relay.url, pinned=relay.identity)
        relay.kill()        # as a power cut would, as far as a process can tell
        relay.restart()     # same data, same port

Every start waits for the line in which the relay says that it is listening.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sealkeep_conformance.relay import HostileRelay, Limits

START_DEADLINE = 30.0
STOP_DEADLINE = 20.0


class RelayProcess:
    """Starts `sealkeep relay` on `data`; `options` are further flags, `env` further environment variables.

    `url`, `identity` (32 bytes) and `incarnation` (16 bytes) are what it announced; `log_path` holds its standard error
    over all starts. The port stays the same over restarts, so that clients keep their URL.
    """

    def __init__(self, data: Path, *options: str, env: Mapping[str, str] | None = None, start: bool = True) -> None:
        self.data = data
        self.options = options
        self.log_path = data.with_name(data.name + ".log")
        self.url = ""
        self.identity = b""
        self.incarnation = b""
        self._env = {**os.environ, **(env or {})}
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def port(self) -> int:
        return self._port

    @property
    def log(self) -> str:
        """All that the relay wrote to its standard error so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> None:
        """Start and wait until it listens. Raises `RuntimeError` with its log where it does not."""
        if self._process is not None:
            raise RuntimeError("the relay is running already")
        listen = f"127.0.0.1:{self._port}"
        command = [sys.executable, "-m", "sealkeep_server", "--data", str(self.data), "--listen", listen, "--json"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self.options], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=self._env
            )
        line = self._first_line(self._process)
        if not line:
            self.kill()
            raise RuntimeError(f"the relay did not start:\n{self.log}")
        said = json.loads(line)
        self.url = said["url"]
        self.identity = bytes.fromhex(said["identity"])
        self.incarnation = bytes.fromhex(said["incarnation"])
        self._port = int(self.url.rsplit(":", 1)[1])

    @staticmethod
    def _first_line(process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        lines: queue.Queue[bytes] = queue.Queue()
        # The thread goes on reading, so that the relay never blocks on a full pipe; it ends with the process.
        stream = process.stdout

        def pump() -> None:
            for line in stream:
                lines.put(line)
            lines.put(b"")

        threading.Thread(target=pump, daemon=True).start()
        try:
            return lines.get(timeout=START_DEADLINE)
        except queue.Empty:
            return b""

    def stop(self) -> int:
        """Stop it as an operator does (SIGTERM) and return its exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return self._ended(process, STOP_DEADLINE)

    def kill(self) -> None:
        """`kill -9`: nothing is said, nothing is flushed."""
        process = self._running()
        process.kill()
        self._ended(process, STOP_DEADLINE)

    def restart(self, *, kill: bool = False) -> None:
        """Stop, or `kill -9`, and start again on the same data and port."""
        if self._process is not None:
            if kill:
                self.kill()
            else:
                self.stop()
        self.start()

    def wait(self, timeout: float = STOP_DEADLINE) -> int:
        """Wait until it ends by itself and return its exit status."""
        return self._ended(self._running(), timeout)

    def _ended(self, process: subprocess.Popen[bytes], timeout: float) -> int:
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            self._process = None
        return status

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the relay is not running")
        return self._process

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill() if kind else self.stop()


class ServedRelay(Protocol):
    """What a black-box test needs of a relay."""

    @property
    def url(self) -> str: ...

    @property
    def identity(self) -> bytes: ...

    @property
    def incarnation(self) -> bytes: ...


@contextmanager
def served(kind: str, data: Path, **limits: int) -> Iterator[ServedRelay]:
    """A relay by kind: `process`, or the `conformance` kit's own, which is honest unless it is told to lie."""
    if kind == "process":
        options = [part for name, limit in limits.items() for part in (f"--{name.replace('_', '-')}", str(limit))]
        with RelayProcess(data, *options) as relay:
            yield relay
    else:
        with HostileRelay(limits=Limits(**limits)) as hostile:
            yield hostile
