"""The tests that every storage engine of the relay passes.

An engine's own test module makes a class of it, with a fixture that says how its stores are opened:

    class TestSqlite(StoreSuite):
        @pytest.fixture
        def engine(self, tmp_path): return SqliteEngine(tmp_path / "data")
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from sealkeep_protocol.types import NO_ID, AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.stores import (
    ConflictError,
    CopiedEntry,
    Entry,
    FeedHead,
    NewSegment,
    Parts,
    Pin,
    RefusedError,
    RosterHead,
    Run,
    StagedBody,
    Store,
    UnavailableError,
    Wrap,
)
from support.store_writer import ACCOUNT, DEVICES, body_of

SMALL, LARGE = 300, 50_000
ALL = {"limit": 10_000, "size": 1 << 30}


class Engine(Protocol):
    """How a test gets at an engine's store. `words` make another process open the same one (`support.store_writer`)."""

    words: list[str]

    async def open(self) -> Store: ...

    def stored_objects(self) -> int:
        """How many bodies stand outside the database, whether a row names them or not."""


def account(n: int = 1) -> AccountId:
    return AccountId(bytes([n]) * 32)


def identifier(n: int) -> ObjectId:
    return ObjectId(n.to_bytes(32, "big"))


def entry(number: int, content: bytes = b"entry") -> Entry:
    return Entry(number, content + bytes([number]), 1_700_000_000_000 + number)


def segment(seq: int, body: bytes | StagedBody = b"b" * SMALL, *, roster: int = 0, tag: int = 0) -> NewSegment:
    return NewSegment(Seq(seq), identifier(1000 * tag + seq), roster, b"header %d" % seq, b"summary %d" % seq, body)


def start(device: int = 1) -> FeedHead:
    return FeedHead(DeviceId(device), Seq(0), NO_ID, 0)


def after(last: NewSegment, device: int = 1) -> FeedHead:
    return FeedHead(DeviceId(device), last.seq, last.header_id, last.roster)


async def made(store: Store, n: int = 1) -> AccountId:
    await store.create_account(account(n), identifier(0), entry(0), [Wrap(0, 0, b"w0"), Wrap(0, 1, b"w1")])
    return account(n)


async def everything(store: Store, of: AccountId, parts: Parts = Parts.BODIES) -> Run:
    return await store.changes(of, 0, parts, **ALL)


class StoreSuite:
    """See the module."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, engine: Engine) -> AsyncIterator[Store]:
        store = await engine.open()
        yield store
        await store.close()

    # Rosters

    async def test_an_account_is_made_once(self, store: Store) -> None:
        assert await store.roster_head(account()) is None
        await made(store)
        assert await store.roster_head(account()) == RosterHead(0, identifier(0))
        with pytest.raises(ConflictError) as conflict:
            await store.create_account(account(), identifier(9), entry(0, b"other"), [])
        assert conflict.value.moved == "account"
        assert await store.entries(account(), 0, 10) == [entry(0)]

    async def test_entries_follow_each_other(self, store: Store) -> None:
        """ROS-13: only the next entry is taken, and the loser changes nothing."""
        one = await made(store)
        await store.append_entry(one, identifier(1), entry(1), [], [])
        for number in (1, 3):
            with pytest.raises(ConflictError) as conflict:
                await store.append_entry(one, identifier(7), entry(number, b"late"), [Wrap(number, 0, b"x")], [])
            assert conflict.value.moved == "roster"
        assert await store.roster_head(one) == RosterHead(1, identifier(1))
        assert await store.entries(one, 0, 10) == [entry(0), entry(1)]
        assert await store.entries(one, 1, 10) == [entry(1)]
        assert await store.entries(one, 0, 1) == [entry(0)]
        assert [wrap.wrap for wrap in await store.wraps(one, 0)] == [b"w0"]

    # The copy route

    async def test_copied_entries_come_together_or_not_at_all(self, store: Store) -> None:
        """VIE-09"""
        one = await made(store)
        copies = [
            CopiedEntry(
                identifier(n), entry(n), [Wrap(n, 0, b"w%d" % n)], [Pin(DeviceId(2), Seq(5), identifier(5), False)]
            )
            for n in (1, 2)
        ]
        with pytest.raises(ConflictError) as conflict:  # the last one keeps ROS-12
            await store.copy_entries(one, 0, copies, may_lack=True)
        assert conflict.value.moved == "feed"
        assert await store.roster_head(one) == RosterHead(0, identifier(0))
        last = CopiedEntry(identifier(2), entry(2), [Wrap(2, 0, b"w2"), Wrap(2, 1, b"for 1")], [])
        with pytest.raises(ConflictError) as conflict:  # and so does every one where nothing was lost
            await store.copy_entries(one, 0, [copies[0], last], may_lack=False)
        assert conflict.value.moved == "feed"
        await store.copy_entries(one, 0, [copies[0], last], may_lack=True)
        assert await store.roster_head(one) == RosterHead(2, identifier(2))
        assert await store.entries(one, 0, 9) == [entry(0), entry(1), entry(2)]
        assert [wrap.wrap for wrap in await store.wraps(one, 0)] == [b"w0", b"w1", b"w2"]
        assert [wrap.wrap for wrap in await store.wraps(one, 1)] == [b"for 1"]
        for expected in (None, 0, 1):
            with pytest.raises(ConflictError):
                await store.copy_entries(one, expected, [last], may_lack=True)

    async def test_copied_entries_make_an_account(self, store: Store) -> None:
        """VIE-09"""
        copies = [CopiedEntry(identifier(n), entry(n), [Wrap(n, 0, b"w")], []) for n in (0, 1)]
        await store.copy_entries(account(), None, copies, may_lack=True)
        assert await store.roster_head(account()) == RosterHead(1, identifier(1))

    @pytest.mark.parametrize("cut", [False, True])
    async def test_a_pin_in_copied_entries_cuts_what_lies_beyond(self, engine: Engine, store: Store, cut: bool) -> None:
        """VIE-09: where something was lost, whether it says so or not; the removed device wrote on without its removal."""
        one = await made(store)
        staged = await store.stage(b"x" * LARGE)
        await store.append(one, 0, start(), [segment(1), segment(2), segment(3, staged)])
        removal = CopiedEntry(identifier(1), entry(1), [], [Pin(DeviceId(1), Seq(1), identifier(1), cut)])
        last = CopiedEntry(identifier(2), entry(2), [Wrap(2, 0, b"w2")], [])
        if not cut:
            with pytest.raises(ConflictError):
                await store.copy_entries(one, 0, [removal, last], may_lack=False)
            assert (await store.feed_head(one, DeviceId(1))).seq == 3
        await store.copy_entries(one, 0, [removal, last], may_lack=True)
        assert await store.feed_head(one, DeviceId(1)) == after(segment(1))
        heads = await store.heads(one)
        assert heads is not None
        assert (heads.feeds, heads.used) == ([after(segment(1))], segment(1).size)
        assert engine.stored_objects() == 0

    async def test_a_pin_in_copied_entries_cuts_another_header_at_its_place(self, store: Store) -> None:
        """VIE-09: so that the pinned one can come back; ROS-23: the pins of one device one after the other."""
        one = await made(store)
        await store.append(one, 0, start(), [segment(1), segment(2), segment(3)])
        await store.append(one, 0, start(2), [segment(1, tag=2)])
        pins = [(Seq(3), identifier(33)), (Seq(2), identifier(2)), (Seq(1), identifier(11)), (Seq(0), NO_ID)]
        heads = [segment(2), segment(2), None, None]
        for number, ((seq, header_id), head) in enumerate(zip(pins, heads, strict=True)):
            first = 2 * number + 1
            removal = CopiedEntry(identifier(first), entry(first), [], [Pin(DeviceId(1), seq, header_id, cut=True)])
            last = CopiedEntry(identifier(first + 1), entry(first + 1), [], [])
            await store.copy_entries(one, first - 1, [removal, last], may_lack=True)
            assert await store.feed_head(one, DeviceId(1)) == (start() if head is None else after(head))
        assert (await store.feed_head(one, DeviceId(2))).seq == 1

    async def test_what_was_refused_is_not_copied(self, store: Store) -> None:
        """VIE-08: nor anything else of that feed with an older roster head."""
        one = await made(store)
        for n in (1, 2):
            await store.append_entry(one, identifier(n), entry(n), [], [])
        place = await store.refuse(one, DeviceId(1), Seq(1), 1)
        assert place is not None
        assert (place.stored, place.roster.number) == (None, 2)
        for older in (0, 1):
            with pytest.raises(RefusedError):
                await store.append(one, 2, start(), [segment(1, roster=older), segment(2, roster=2)], copied=True)
        await store.append(one, 2, start(2), [segment(1, roster=0)], copied=True)  # another feed
        await store.append(one, 2, start(), [segment(1, roster=2)], copied=True)

    async def test_only_what_is_refused_is_remembered(self, store: Store) -> None:
        """VIE-08: neither a header that is stored, nor one that knows the roster's head."""
        one = await made(store)
        await store.append(one, 0, start(), [segment(1)])
        await store.append_entry(one, identifier(1), entry(1), [], [])
        place = await store.refuse(one, DeviceId(1), Seq(1), 0)
        assert place is not None
        assert place.stored is not None
        assert await store.refuse(one, DeviceId(1), Seq(2), 1) is not None
        await store.append(one, 1, after(segment(1)), [segment(2)], copied=True)
        assert await store.refuse(account(9), DeviceId(1), Seq(1), 0) is None

    async def test_of_many_entries_at_once_one_wins(self, store: Store) -> None:
        one = await made(store)
        results = await asyncio.gather(
            *(store.append_entry(one, identifier(n), entry(1, b"%d" % n), [], []) for n in range(10)),
            return_exceptions=True,
        )
        assert [type(result) for result in results].count(ConflictError) == 9
        head = await store.roster_head(one)
        assert head is not None
        assert head.number == 1
        assert results[int.from_bytes(head.entry_id, "big")] is None

    async def test_the_newest_wraps_of_devices_and_all_recovery_wraps_are_kept(self, store: Store) -> None:
        one = await made(store)
        await store.append_entry(one, identifier(1), entry(1), [Wrap(1, 0, b"r1"), Wrap(1, 2, b"d2")], [])
        await store.append_entry(one, identifier(2), entry(2), [], [])
        assert await store.wraps(one, 0) == [Wrap(0, 0, b"w0"), Wrap(1, 0, b"r1")]
        assert await store.wraps(one, 1) == []
        assert await store.wraps(one, 2) == [Wrap(1, 2, b"d2")]

    # Appends

    async def test_segments_come_back_as_they_were_put(self, store: Store) -> None:
        one = await made(store)
        large = os.urandom(LARGE)
        put = [segment(1), segment(2, await store.stage(large)), segment(3, b"")]
        assert await store.append(one, 0, start(), put) == 1
        found = await everything(store, one)
        assert not found.more
        assert [(s.position, s.seq, s.header, s.summary, s.body) for s in found.segments] == [
            (1, 1, b"header 1", b"summary 1", b"b" * SMALL),
            (2, 2, b"header 2", b"summary 2", large),
            (3, 3, b"header 3", b"summary 3", b""),
        ]
        summaries = await everything(store, one, Parts.SUMMARIES)
        assert [(s.header, s.summary, s.body) for s in summaries.segments][1] == (b"header 2", b"summary 2", None)
        headers = await everything(store, one, Parts.HEADERS)
        assert [(s.header, s.summary, s.body) for s in headers.segments][1] == (b"header 2", None, None)

    async def test_an_append_names_the_state_it_was_judged_against(self, store: Store) -> None:
        """SEG-14: the roster is compared in the transaction of the append itself."""
        one = await made(store)
        await store.append(one, 0, start(), [segment(1)])
        staged = await store.stage(b"s" * LARGE)
        for roster, head, moved in (
            (1, after(segment(1)), "roster"),
            (0, start(), "feed"),
            (0, after(segment(2)), "feed"),
            (0, after(segment(1, tag=5)), "feed"),
        ):
            with pytest.raises(ConflictError) as conflict:
                await store.append(one, roster, head, [segment(head.seq + 1, staged)])
            assert conflict.value.moved == moved
        with pytest.raises(ConflictError):
            await store.append(account(9), 0, start(), [segment(1)])
        assert len((await everything(store, one)).segments) == 1
        # A refused append used nothing up: the staged body is still good.
        assert await store.append(one, 0, after(segment(1)), [segment(2, staged)]) == 2
        assert (await everything(store, one)).segments[1].body == b"s" * LARGE

    async def test_one_refusal_undoes_nothing_of_its_neighbours(self, store: Store) -> None:
        one, two = await made(store, 1), await made(store, 2)
        staged = [await store.stage(bytes([n]) * LARGE) for n in range(20)]
        jobs = []
        for n in range(10):
            jobs.append(store.append(one, 0, start(n + 1), [segment(1, staged[2 * n], tag=n)]))
            jobs.append(store.append(two, 5, start(n + 1), [segment(1, staged[2 * n + 1], tag=n)]))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert sorted(result for result in results if isinstance(result, int)) == list(range(1, 11))
        assert sum(isinstance(result, ConflictError) for result in results) == 10
        assert len((await everything(store, one)).segments) == 10
        assert (await everything(store, two)).segments == []

    async def test_positions_ascend_without_a_hole_for_a_reader(self, store: Store) -> None:
        """REL-09: a reader that reads while others write misses nothing before the position it has read up to."""
        one = await made(store)
        seen: list[int] = []
        done = asyncio.Event()

        async def write(device: int) -> None:
            head = start(device)
            for seq in range(1, 21):
                new = segment(seq, tag=device)
                await store.append(one, 0, head, [new])
                head = after(new, device)

        async def read() -> None:
            while True:
                last = done.is_set()
                run = await store.changes(one, seen[-1] if seen else 0, Parts.HEADERS, limit=7, size=1 << 20)
                seen.extend(s.position for s in run.segments)
                if last and not run.segments:
                    return

        reading = asyncio.ensure_future(read())
        await asyncio.gather(*(write(device) for device in range(1, 9)))
        done.set()
        await reading
        assert seen == list(range(1, 161))

    async def test_accounts_do_not_meet(self, store: Store) -> None:
        one, two = await made(store, 1), await made(store, 2)
        await store.append(one, 0, start(), [segment(1)])
        await store.append(two, 0, start(), [segment(1, b"two")])
        assert (await everything(store, two)).segments[0].body == b"two"
        heads = await store.heads(two)
        assert heads is not None
        assert (heads.position, len(heads.feeds)) == (1, 1)

    async def test_short_bodies_come_with_summaries(self, store: Store) -> None:
        """REL-15: wherever the engine keeps them."""
        one = await made(store)
        sizes = [300, 4096, 4097, 300, 200_000]
        await store.append(one, 0, start(), [segment(seq, b"b" * size) for seq, size in enumerate(sizes, 1)])

        async def read(parts: Parts, short: int) -> list[int | None]:
            run = await store.changes(one, 0, parts, limit=10, size=1 << 20, short=short)
            return [None if s.body is None else len(s.body) for s in run.segments]

        assert await read(Parts.SUMMARIES, 4096) == [300, 4096, None, 300, None]
        assert await read(Parts.SUMMARIES, 0) == [None] * 5
        assert await read(Parts.SUMMARIES, 1 << 40) == sizes
        assert await read(Parts.HEADERS, 4096) == [None] * 5
        assert await read(Parts.BODIES, 4096) == sizes
        run = await store.changes(one, 0, Parts.SUMMARIES, limit=10, size=1 << 20, short=300)
        assert [s.summary for s in run.segments] == [b"summary %d" % seq for seq in range(1, 6)]

    async def test_runs_are_bounded(self, store: Store) -> None:
        one = await made(store)
        await store.append(one, 0, start(), [segment(seq) for seq in range(1, 11)])
        run = await store.changes(one, 2, Parts.BODIES, limit=3, size=1 << 20)
        assert ([s.position for s in run.segments], run.more) == ([3, 4, 5], True)
        run = await store.changes(one, 0, Parts.BODIES, limit=10, size=SMALL + 1)
        assert ([s.position for s in run.segments], run.more) == ([1], True)
        run = await store.changes(one, 7, Parts.BODIES, limit=3, size=1 << 20)
        assert ([s.position for s in run.segments], run.more) == ([8, 9, 10], False)
        run = await store.changes(one, 99, Parts.BODIES, limit=3, size=1 << 20)
        assert run == Run([], more=False)
        run = await store.feed(one, DeviceId(1), 9, Parts.HEADERS, limit=1, size=1)
        assert ([s.seq for s in run.segments], run.more) == ([9], True)
        run = await store.feed(one, DeviceId(2), 1, Parts.HEADERS, limit=1, size=1)
        assert run == Run([], more=False)

    async def test_a_place_is_one_look(self, store: Store) -> None:
        assert await store.place(account(), DeviceId(1), Seq(1)) is None
        one = await made(store)
        await store.append(one, 0, start(), [segment(1), segment(2)])
        place = await store.place(one, DeviceId(1), Seq(1))
        assert place is not None
        assert place.roster == RosterHead(0, identifier(0))
        assert place.feed == after(segment(2))
        assert place.stored is not None
        assert (place.stored.header_id, place.stored.position) == (identifier(1), 1)
        for device, seq in ((1, 3), (2, 1)):
            place = await store.place(one, DeviceId(device), Seq(seq))
            assert place is not None
            assert place.stored is None

    async def test_heads_count_what_is_used(self, store: Store) -> None:
        assert await store.heads(account()) is None
        one = await made(store)
        put = [segment(1), segment(2, await store.stage(b"x" * LARGE))]
        await store.append(one, 0, start(2), put)
        await store.append(one, 0, start(1), [segment(1, tag=4)])
        heads = await store.heads(one)
        assert heads is not None
        assert heads.position == 3
        assert heads.feeds == [after(segment(1, tag=4), 1), after(segment(2), 2)]
        assert heads.used == sum(s.size for s in [*put, segment(1)])

    # Pins

    async def test_a_pin_is_the_head_of_its_feed(self, store: Store) -> None:
        """ROS-12: a removal commits only if its pin is the feed's head."""
        one = await made(store)
        await store.append(one, 0, start(), [segment(1), segment(2)])
        for seq, header_id in ((1, identifier(1)), (2, identifier(1)), (3, identifier(3)), (0, NO_ID)):
            pin = Pin(DeviceId(1), Seq(seq), header_id, cut=False)
            with pytest.raises(ConflictError) as conflict:
                await store.append_entry(one, identifier(1), entry(1), [Wrap(1, 0, b"x")], [pin])
            assert conflict.value.moved == "feed"
        head = await store.roster_head(one)
        assert head is not None
        assert head.number == 0
        assert len(await store.wraps(one, 0)) == 1
        pins = [Pin(DeviceId(1), Seq(2), identifier(2), cut=False), Pin(DeviceId(2), Seq(0), NO_ID, cut=False)]
        await store.append_entry(one, identifier(1), entry(1), [], pins)

    async def test_discard_after_cuts_the_feed(self, engine: Engine, store: Store) -> None:
        one = await made(store)
        staged = await store.stage(b"x" * LARGE)
        await store.append(one, 0, start(), [segment(1), segment(2), segment(3, staged)])
        await store.append(one, 0, start(2), [segment(1, tag=2)])
        assert engine.stored_objects() == 1
        for seq, header_id in ((1, identifier(2)), (4, identifier(4)), (0, identifier(0))):
            pin = Pin(DeviceId(1), Seq(seq), header_id, cut=True)
            with pytest.raises(ConflictError):
                await store.append_entry(one, identifier(1), entry(1), [], [pin])
        pins = [Pin(DeviceId(1), Seq(1), identifier(1), cut=True), Pin(DeviceId(2), Seq(0), NO_ID, cut=True)]
        await store.append_entry(one, identifier(1), entry(1), [], pins)
        assert [s.position for s in (await everything(store, one)).segments] == [1]
        heads = await store.heads(one)
        assert heads is not None
        assert (heads.position, heads.feeds, heads.used) == (4, [after(segment(1))], segment(1).size)
        assert engine.stored_objects() == 0

    # Durability

    async def test_everything_is_there_after_opening_again(self, engine: Engine) -> None:
        store = await engine.open()
        incarnation = store.incarnation
        assert len(incarnation) == 16
        one = await made(store)
        await store.append(one, 0, start(), [segment(1), segment(2, await store.stage(b"x" * LARGE))])
        before = await everything(store, one)
        await store.close()
        store = await engine.open()
        try:
            assert store.incarnation == incarnation
            assert await everything(store, one) == before
            assert await store.append(one, 0, after(segment(2)), [segment(3)]) == 3
        finally:
            await store.close()

    async def test_a_closed_store_takes_nothing(self, engine: Engine) -> None:
        store = await engine.open()
        one = await made(store)
        await store.close()
        await store.close()
        with pytest.raises(UnavailableError):
            await store.append(one, 0, start(), [segment(1)])
        with pytest.raises(UnavailableError):
            await store.heads(one)

    async def test_bodies_that_no_segment_names_are_swept_at_the_next_start(self, engine: Engine) -> None:
        store = await engine.open()
        one = await made(store)
        await store.append(one, 0, start(), [segment(1, await store.stage(b"k" * LARGE))])
        await store.stage(b"o" * LARGE)
        await store.discard([await store.stage(b"d" * LARGE)])
        await store.close()
        store = await engine.open()
        try:
            await store.sweep()
            assert engine.stored_objects() == 1
            assert (await everything(store, one)).segments[0].body == b"k" * LARGE
        finally:
            await store.close()

    @pytest.mark.parametrize("seed", range(3))
    async def test_kill_9_loses_nothing_that_was_acknowledged(self, engine: Engine, seed: int) -> None:
        """SEG-18, REL-09: whatever the moment, each acknowledged segment is there once, in its place, whole."""
        await self.kill_and_check(engine, random.Random(seed))

    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(3, 20))
    async def test_kill_9_many_times(self, engine: Engine, seed: int) -> None:
        """SEG-18"""
        await self.kill_and_check(engine, random.Random(seed))

    async def kill_and_check(self, engine: Engine, chance: random.Random) -> None:
        acknowledged: dict[tuple[int, int], int] = {}
        for _ in range(3):  # each time on what the times before left
            for device, seq, position in self.run_and_kill(engine, chance.randint(20, 400)):
                acknowledged[device, seq] = position
        store = await engine.open()
        try:
            await store.sweep()
            run = await everything(store, ACCOUNT, Parts.BODIES)
            large = sum(len(s.body or b"") > store.inline_bytes for s in run.segments)
            feeds = defaultdict(list)
            for device in range(1, DEVICES + 1):
                for s in (await store.feed(ACCOUNT, DeviceId(device), 1, Parts.BODIES, **ALL)).segments:
                    assert s.body == body_of(device, s.seq)
                    assert acknowledged.pop((device, s.seq), s.position) == s.position
                    feeds[device].append(s.seq)
        finally:
            await store.close()
        assert not acknowledged, "acknowledged, but not stored"
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in feeds.values())
        positions = [s.position for s in run.segments]
        assert positions == list(range(1, sum(map(len, feeds.values())) + 1))
        assert engine.stored_objects() == large

    @staticmethod
    def run_and_kill(engine: Engine, after_lines: int) -> list[tuple[int, int, int]]:
        """Start a process that appends until it is killed; what it said was acknowledged: (device, seq, position)."""
        support = Path(__file__).parent
        process = subprocess.Popen(
            [sys.executable, str(support / "store_writer.py"), *engine.words],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(support.parent), *sys.path)))},
            text=True,
        )
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if len(lines) == after_lines:
                    break
        finally:
            process.kill()
            lines += process.stdout.readlines()
            process.wait()
            process.stdout.close()
        assert len(lines) >= after_lines
        whole = [line for line in lines if line.endswith("\n")]
        with contextlib.suppress(ValueError):
            return [(int(a), int(b), int(c)) for a, b, c in (line.split() for line in whole)]
        raise AssertionError(f"the writer failed: {whole}")
