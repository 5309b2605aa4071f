"""What a store keeps of chunks, held against a model that fits on a page: puts, claims, stamps, cuts, damage, sweeps and
restarts in any order (spec §12.4)."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sealkeep_protocol.types import NO_ID, DeviceId, Seq
from sealkeep_server.stores import ConflictError, DamagedError, Entry, FeedHead, MissingChunksError, NewSegment, Pin
from sealkeep_server.stores.sqlite import SqliteStore
from support.chunk_suite import DAY, HOUR, NOW, claim, id_of, made_chunk, naming, put, read, sweep, used
from support.store_suite import after, identifier, made, start

Result = TypeVar("Result")

CHUNKS = [made_chunk(n, 256 + 16 * n) for n in range(5)]
DEVICES = (1, 2)
some = st.sets(st.sampled_from(range(len(CHUNKS))), max_size=3)
one_of_them = st.sampled_from(range(len(CHUNKS)))


@dataclass
class Model:
    """What has to be there. `idle` and `until` are those of stored chunks, damaged ones included."""

    idle: dict[int, int] = field(default_factory=dict)
    until: dict[int, int] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    feeds: dict[int, list[tuple[NewSegment, frozenset[int]]]] = field(default_factory=lambda: {d: [] for d in DEVICES})

    @property
    def there(self) -> set[int]:
        return self.idle.keys() - self.damaged

    def stamped(self, chunk: int) -> bool:
        return any(chunk in chunks for feed in self.feeds.values() for _, chunks in feed)

    @property
    def used(self) -> int:
        segments = [segment for feed in self.feeds.values() for segment, _ in feed]
        return sum(len(CHUNKS[chunk]) for chunk in self.idle) + sum(segment.size for segment in segments)


class ChunkMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.ExitStack()
        self.data = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.model = Model()
        self.now = NOW
        self.roster = 0
        self.made = 0

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(coroutine)

    async def _open(self) -> None:
        self.store = SqliteStore.open(self.data)

    @initialize()
    def begin(self) -> None:
        self.run(self._open())
        self.account = self.run(made(self.store))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.stack.close()

    @rule(chunk=one_of_them)
    def put(self, chunk: int) -> None:
        assert self.run(put(self.store, self.account, CHUNKS[chunk], now=self.now)) == (chunk not in self.model.there)
        self.model.damaged.discard(chunk)
        self._claimed(chunk)

    def _claimed(self, chunk: int) -> None:
        self.model.idle[chunk] = max(self.now, self.model.idle.get(chunk, 0))
        self.model.until[chunk] = max(self.now + HOUR, self.model.until.get(chunk, 0))

    @rule(chunks=some)
    def claim(self, chunks: set[int]) -> None:
        asked = sorted(chunks)
        missing = self.run(claim(self.store, self.account, *(CHUNKS[n] for n in asked), now=self.now))
        assert [asked[index] for index in missing] == [n for n in asked if n not in self.model.there]
        for chunk in chunks & self.model.there:
            self._claimed(chunk)

    @rule(device=st.sampled_from(DEVICES), uses=st.lists(some, min_size=1, max_size=2), missing_ok=st.booleans())
    def append(self, device: int, uses: list[set[int]], missing_ok: bool) -> None:
        feed = self.model.feeds[device]
        head = after(feed[-1][0], device) if feed else start(device)
        self.made += 1
        segments = [
            naming(head.seq + 1 + index, *(CHUNKS[n] for n in chunks), missing_ok=missing_ok, tag=self.made)
            for index, chunks in enumerate(uses)
        ]
        lacking = [index for index, chunks in enumerate(uses) if chunks - self.model.there]
        append = self.store.append(self.account, self.roster, head, segments)
        if lacking and not missing_ok:
            with pytest.raises(MissingChunksError) as refused:
                self.run(append)
            assert refused.value.index == lacking[0]
            away = sorted(id_of(CHUNKS[n]) for n in uses[lacking[0]] - self.model.there)
            assert list(refused.value.missing) == away
        else:
            self.run(append)
            feed += [(segment, frozenset(chunks)) for segment, chunks in zip(segments, uses, strict=True)]

    @rule(device=st.sampled_from(DEVICES), keep=st.integers(0, 4))
    def cut(self, device: int, keep: int) -> None:
        feed = self.model.feeds[device]
        head = (
            after(feed[keep - 1][0], device) if 0 < keep <= len(feed) else FeedHead(DeviceId(device), Seq(0), NO_ID, 0)
        )
        pin = Pin(DeviceId(device), Seq(keep), head.header_id, cut=True)
        number = self.roster + 1
        entry = Entry(number, b"removal", self.now)
        removal = self.store.append_entry(self.account, identifier(number), entry, [], [pin])
        if keep > len(feed):
            with pytest.raises(ConflictError):
                self.run(removal)
            return
        self.run(removal)
        self.roster = number
        lost = {chunk for _, chunks in feed[keep:] for chunk in chunks}
        del feed[keep:]
        for chunk in lost & self.model.idle.keys():
            if not self.model.stamped(chunk):
                self.model.idle[chunk] = max(self.now, self.model.idle[chunk])

    @rule(chunk=one_of_them)
    def damage(self, chunk: int) -> None:
        """A bit flips, and somebody reads."""
        if chunk not in self.model.there:
            assert self.run(read(self.store, self.account, id_of(CHUNKS[chunk]))) is None
            return
        for path in (self.data / "bodies").rglob("*"):
            if path.is_file() and path.read_bytes() == CHUNKS[chunk]:
                path.write_bytes(CHUNKS[chunk][:-1] + bytes([CHUNKS[chunk][-1] ^ 1]))
        with pytest.raises(DamagedError):
            self.run(read(self.store, self.account, id_of(CHUNKS[chunk])))
        self.model.damaged.add(chunk)

    @rule(wait=st.sampled_from([1, HOUR, DAY // 2, DAY, 3 * DAY]))
    def sweep(self, wait: int) -> None:
        self.now += wait
        gone = {
            chunk
            for chunk in self.model.idle
            if not self.model.stamped(chunk)
            and self.model.idle[chunk] + DAY <= self.now
            and self.model.until[chunk] <= self.now
        }
        assert self.run(sweep(self.store, self.now)) == len(gone)
        for chunk in gone:
            del self.model.idle[chunk], self.model.until[chunk]
            self.model.damaged.discard(chunk)

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.run(self._open())
        assert self.run(self.store.sweep()) == 0

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        store, model = self.store, self.model
        assert self.run(used(store, self.account)) == model.used
        stored = [path for path in (self.data / "bodies").rglob("*") if path.is_file()]
        assert len(stored) == len(model.idle)
        for chunk in model.there:
            assert self.run(read(store, self.account, id_of(CHUNKS[chunk]))) == CHUNKS[chunk]
        for device, feed in model.feeds.items():
            for segment, chunks in feed:
                named = self.run(store.chunks.named(self.account, DeviceId(device), segment.seq))
                assert named == sorted(id_of(CHUNKS[n]) for n in chunks)


class TestChunkModel(ChunkMachine.TestCase):  # type: ignore[name-defined, misc]
    """FIL-13, FIL-14"""

    settings = settings(stateful_step_count=20)
