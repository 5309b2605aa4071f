"""A loopback TCP proxy that counts bytes, and can cut a connection where a test wants it.

    with Proxy(relay.port) as proxy:
        vault = await Vault.create(..., relay=proxy.url)
        proxy.sent, proxy.received                  # bytes to and from the relay, HTTP and all
        proxy.lose_answer("POST", "/segments")      # the relay gets the next such request whole, the client no answer
        proxy.before("POST", "/segments", act)      # act() runs before the relay gets anything of the next such request

It looks for the first line of requests only: a client that keeps its connections sends them one after the other.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_BLOCK = 1 << 16
_LONGEST = 1 << 10  # of a request line


@dataclass
class _Rule:
    pattern: re.Pattern[bytes]
    skip: int
    act: Callable[[], object]
    loses_answer: bool


class Proxy:
    """Listens on a free loopback port while it is entered. `sent` and `received` may be set to 0."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._open: set[socket.socket] = set()
        self.sent = self.received = 0
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def both_ways(self) -> int:
        """Bytes sent and received."""
        with self._lock:
            return self.sent + self.received

    def lose_answer(
        self, method: str, path: str, *, skip: int = 0, act: Callable[[], object] | None = None
    ) -> threading.Event:
        """Of the next request whose path ends so (after `skip` others; `*` is any id) the answer is lost, and so is the
        connection.

        The relay has taken the request when `act` runs, and when the event is set.
        """
        lost = threading.Event()

        def lose() -> None:
            if act is not None:
                act()
            lost.set()

        self._add(method, path, skip, lose, loses_answer=True)
        return lost

    def before(self, method: str, path: str, act: Callable[[], object], *, skip: int = 0) -> None:
        """Run `act` on the proxy's thread before the relay gets the next request whose path ends so."""
        self._add(method, path, skip, act, loses_answer=False)

    def forget_rules(self) -> None:
        """Let everything pass from now on."""
        with self._lock:
            self._rules.clear()

    def _add(self, method: str, path: str, skip: int, act: Callable[[], object], *, loses_answer: bool) -> None:
        ending = re.escape(path).replace(r"\*", "[0-9a-f]+").encode()
        pattern = re.compile(rb"%s \S*%s(?:\?\S*)? HTTP/1\.1\r\n" % (method.encode(), ending))
        with self._lock:
            self._rules.append(_Rule(pattern, skip, act, loses_answer))

    def _match(self, line: bytes) -> _Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.pattern.fullmatch(line):
                    if rule.skip:
                        rule.skip -= 1
                        continue
                    self._rules.remove(rule)
                    return rule
        return None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                relay = socket.create_connection(self._target, timeout=10)
            except OSError:  # the relay is down: so is this
                _close(client)
                continue
            relay.settimeout(None)
            for one in (client, relay):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, relay}
            _Connection(self, client, relay).start()

    def count(self, sent: int, received: int) -> None:
        with self._lock:
            self.sent += sent
            self.received += received

    def forget(self, *sockets: socket.socket) -> None:
        for one in sockets:
            _close(one)
        with self._lock:
            self._open -= set(sockets)

    def meet(self, line: bytes) -> _Rule | None:
        """Note a request line; the rule that it meets."""
        with self._lock:
            self.requests.append(line.split(b" HTTP/")[0].decode())
        return self._match(line)


class _Connection:
    """One connection: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, relay: socket.socket) -> None:
        self._proxy, self._client, self._relay = proxy, client, relay
        self._losing: _Rule | None = None

    def start(self) -> None:
        for work in (self._up, self._down):
            threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        self._proxy.forget(self._client, self._relay)

    def _up(self) -> None:
        while data := self._client.recv(_BLOCK):
            line_end = data.find(b"\r\n", 0, _LONGEST)
            # A client without pipelining begins each request with a block of its own.
            if line_end > 0 and _REQUEST.match(data):
                rule = self._proxy.meet(data[: line_end + 2])
                if rule is not None and rule.loses_answer:
                    self._losing = rule
                elif rule is not None:
                    rule.act()
            self._relay.sendall(data)
            self._proxy.count(len(data), 0)

    def _down(self) -> None:
        while data := self._relay.recv(_BLOCK):
            if self._losing is not None:
                self._losing.act()
                return
            self._client.sendall(data)
            self._proxy.count(0, len(data))


_REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE|HEAD|PATCH) /")


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
