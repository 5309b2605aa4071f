"""A process on a pseudo-terminal of its own, driven as a person would: read what it shows, type when it asks.

with Terminal([sys.executable, "-m", "sealkeep_client.cli", "link"], env) as link:
    code = link.wait_for(r"sealkeep accept (\\S+)")[1]
    link.type("y\\n")
    assert link.end() == 0
"""

from __future__ import annotations

import builtins
import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

DEADLINE = 60.0
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Starts the command; `screen` is all that it has shown, without colours and carriage returns."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._raw = b""
        self._seen = 0
        self._open = True
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(command[0], [*command], dict(environment))  # noqa: S606

    @property
    def screen(self) -> str:
        return _COLOURS.sub("", self._raw.decode(errors="replace")).replace("\r", "")

    @property
    def raw(self) -> bytes:
        return self._raw

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until the pattern stands beyond what was waited for before."""
        deadline = time.monotonic() + DEADLINE
        while True:
            match = re.compile(pattern).search(self.screen, self._seen)
            if match:
                self._seen = match.end()
                return match
            assert time.monotonic() < deadline, f"no {pattern!r} on the screen:\n{self.screen}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.screen}"

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Read until it ends, and return its exit status."""
        deadline = time.monotonic() + DEADLINE
        while self._read():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        self._open = False
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        """Take what it shows next, for a second at most; whether it still runs."""
        if not select.select([self._terminal], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # the other end was closed
            return False
        self._raw += data
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: builtins.type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._open:
            os.kill(self.pid, signal.SIGKILL)
            self.end()
