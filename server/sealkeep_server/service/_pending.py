"""Segments that are judged and not stored yet, and their bodies on the way to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from sealkeep_protocol.segments import VerifiedHeader
from sealkeep_server.stores import NewSegment, StagedBody, Store

_STAGING = 2  # bodies on their way to disk while another item is read


@dataclass(slots=True)
class Pending:
    """A judged segment. A large body is staged; `chunks` as in `NewSegment`."""

    verified: VerifiedHeader
    summary: bytes
    body: bytes | asyncio.Task[StagedBody]
    chunks: bytes
    missing_ok: bool

    async def segment(self) -> NewSegment:
        body = self.body if isinstance(self.body, bytes) else await self.body
        header = self.verified.header
        return NewSegment(
            header.seq,
            self.verified.id,
            header.roster,
            self.verified.data,
            self.summary,
            body,
            self.chunks,
            self.missing_ok,
        )

    @property
    def size(self) -> int:
        """What it weighs in a commit, in bytes."""
        header = self.verified.header
        return len(self.verified.data) + header.summary_length + header.body_length + len(self.chunks)


class Staging:
    """Makes bodies durable while further items arrive, a few at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._under_way: list[asyncio.Task[StagedBody]] = []

    async def stage(self, body: bytes) -> asyncio.Task[StagedBody]:
        """Begin to stage a body, once there is room for one more."""
        self._under_way = [task for task in self._under_way if not task.done()]
        while len(self._under_way) >= _STAGING:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self._under_way = [task for task in self._under_way if not task.done()]
        task = asyncio.ensure_future(self._store.stage(body))
        self._under_way.append(task)
        return task

    async def discard(self, segments: Iterable[Pending]) -> None:
        """Let go of the bodies of segments that will not be stored."""
        tasks = [segment.body for segment in segments if isinstance(segment.body, asyncio.Task)]
        staged = await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.discard([body for body in staged if isinstance(body, StagedBody)])
