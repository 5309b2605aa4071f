"""Faults of the line: what becomes of an answer's bytes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sealkeep_conformance.relay._answers import CBOR, PROBLEM, SEQUENCE, Problem, Reply
from sealkeep_conformance.relay.faults._fault import Fault, Scene, fault, flipped
from sealkeep_protocol import cbor

_BLOCK: Final = 1 << 16


@fault
class Lose(Fault):
    """Breaks the connection instead of answering; the request was carried out, or not (`before`)."""

    before: bool = False

    def carries_out(self, scene: Scene) -> bool:
        return not self.before

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        return replace(reply, lost=True)


@fault
class Truncate(Fault):
    """Sends only the first bytes of an answer: well-framed, or broken off in the middle of what was announced."""

    keep: int = -1  # negative: all but so many
    broken: bool = False

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        body = reply.body[: self.keep]
        headers = {**reply.headers, "Content-Length": str(len(reply.body))} if self.broken else reply.headers
        return replace(reply, body=body, headers=MappingProxyType(dict(headers)), cut=self.broken)


@fault
class FlipByte(Fault):
    """Flips one bit of an answer as it is sent; negative bits count from the end."""

    bit: int

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        return replace(reply, body=flipped(reply.body, self.bit)) if reply.body else reply


@fault
class Trailing(Fault):
    """Sends an answer twice in one, one behind the other."""

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        return replace(reply, body=reply.body * 2)


@fault
class Instead(Fault):
    """Answers 200 with something else: `problem` (an error's body and type), `disguised` (an error's body as if it were the
    answer), `html`, `empty`, `text` (the answer's bytes under another type), `number` (another CBOR item)."""

    how: str

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        problem = Problem("internal").reply()
        expected = SEQUENCE if scene.question.route in ("roster", "wraps", "changes", "feed") else CBOR
        made = {
            "problem": Reply(200, PROBLEM, problem.body),
            "disguised": Reply(200, expected, problem.body),
            "html": Reply(200, "text/html", b"<html>Please log in to the network</html>"),
            "empty": Reply(200, expected, b"", reply.headers),
            "text": replace(reply, media="text/plain"),
            "number": Reply(200, expected, cbor.encode(7), reply.headers),
        }
        return made[self.how]


@fault
class Status(Fault):
    """Answers with a bare status and no problem; a status of 3xx points elsewhere."""

    status: int

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        headers = {"Location": "http://127.0.0.1:9/"} if 300 <= self.status < 400 else {}
        return Reply(self.status, "text/plain", b"no", MappingProxyType(headers))


@fault
class Inflate(Fault):
    """Sends an answer deflated, which nobody asked for."""

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        headers = {**reply.headers, "Content-Encoding": "deflate"}
        return replace(reply, body=zlib.compress(reply.body), headers=MappingProxyType(headers))


@fault
class Drip(Fault):
    """Sends an answer a byte at a time, with pauses."""

    seconds: float = 0.05

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            for place in range(len(reply.body)):
                yield reply.body[place : place + 1]
                await asyncio.sleep(self.seconds)

        return replace(reply, pieces=pieces)


@fault
class Silence(Fault):
    """Never answers, and does not hang up."""

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            await asyncio.sleep(3600)
            yield b""

        return replace(reply, pieces=pieces)


@fault
class Endless(Fault):
    """Sends without end: `item` (one item that never ends), `items` (the same item over and over), `bytes` (zeros)."""

    how: str

    def reply(self, scene: Scene, reply: Reply) -> Reply:
        block = {
            "item": bytes(_BLOCK),
            "items": cbor.encode([1, 1, 1, 1, bytes(512), None, None]) * 64,
            "bytes": bytes(_BLOCK),
        }[self.how]

        async def pieces() -> AsyncIterator[bytes]:
            if self.how == "item":
                yield b"\x5a\x7f\xff\xff\xff"  # a byte string of 2 GiB
            while True:
                yield block

        return replace(reply, pieces=pieces)
