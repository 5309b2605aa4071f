"""Mailboxes without a socket (spec §10.1): who gets in, what is taken, what is waited for, and every limit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Mailboxes
from sealkeep_server.service._tries import Tries
from sealkeep_server.settings import Settings
from sealkeep_server.stores import Store
from sealkeep_server.stores.sqlite import SqliteStore

MAKER, GUEST, STRANGER = (bytes([number]) * 32 for number in (1, 2, 3))
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path)
    yield store
    await store.close()


Make = Callable[..., Mailboxes]


@pytest.fixture
def make(store: Store, clock: Clock) -> Make:
    def make(*draws: int, **settings: float) -> Mailboxes:
        """With these numbers drawn, one below the mailbox's, then 6, 7, …"""
        drawn = itertools.chain(draws, itertools.count(6))
        return Mailboxes(store, Settings(**settings), now=clock, draw=lambda most: next(drawn))  # type: ignore[arg-type]

    return make


@pytest.fixture
def boxes(make: Make) -> Mailboxes:
    return make()


async def code(awaitable: Awaitable[object]) -> str:
    with pytest.raises(ProblemError) as problem:
        await awaitable
    return problem.value.code


async def put(boxes: Mailboxes, place: int, secret: bytes, message: bytes = b"m", number: int = 7) -> bool:
    return await boxes.put(number, place, secret, message, HERE)


async def get(boxes: Mailboxes, place: int, secret: bytes, *, wait: float = 0) -> bytes | None:
    return await boxes.get(7, place, secret, wait=wait)


# One exchange


async def test_two_peers_leave_each_other_messages(boxes: Mailboxes) -> None:
    made = await boxes.make(MAKER, HERE)
    assert (made.number, made.seconds) == (7, 600)
    assert await get(boxes, 1, MAKER) is None
    assert await put(boxes, 1, GUEST, b"one") is True
    assert await get(boxes, 1, MAKER) == b"one"
    assert await put(boxes, 2, MAKER, b"two") is True
    assert await get(boxes, 2, GUEST) == b"two"
    assert await get(boxes, 1, GUEST) == b"one"
    await boxes.end(7, GUEST)
    assert boxes.counts == {"made": 1, "entered": 1, "ended": 1}


async def test_every_request_may_be_repeated(boxes: Mailboxes) -> None:
    await boxes.make(MAKER, HERE)
    for new in (True, False):
        assert await put(boxes, 1, GUEST, b"one") is new
    for new in (True, False):
        assert await put(boxes, 2, MAKER, b"two") is new
    assert await put(boxes, 1, GUEST, b"one") is False
    for _ in range(2):
        await boxes.end(7, MAKER)


async def test_messages_are_taken_in_order_and_once(boxes: Mailboxes) -> None:
    """PAI-01"""
    await boxes.make(MAKER, HERE)
    assert await code(put(boxes, 2, MAKER)) == "gap"
    await put(boxes, 1, GUEST, b"one")
    assert await code(put(boxes, 1, GUEST, b"other")) == "fork"
    assert await code(put(boxes, 3, GUEST)) == "gap"
    assert await code(put(boxes, 4, MAKER)) == "gap"
    assert await code(put(boxes, 2, GUEST)) == "forbidden"
    assert await code(put(boxes, 1, MAKER, b"one")) == "forbidden"
    await put(boxes, 2, MAKER, b"two")
    assert await code(put(boxes, 2, GUEST, b"two")) == "forbidden"
    assert await code(put(boxes, 3, MAKER)) == "forbidden"
    assert [await get(boxes, place, GUEST) for place in (1, 2, 3)] == [b"one", b"two", None]


async def test_one_guest_and_no_more(boxes: Mailboxes) -> None:
    """PAI-02: whoever comes second learns that the mailbox is used, and reads nothing."""
    await boxes.make(MAKER, HERE)
    assert await code(get(boxes, 1, STRANGER)) == "forbidden"
    assert await code(put(boxes, 3, STRANGER)) == "forbidden"
    assert await code(boxes.end(7, STRANGER)) == "forbidden"
    await put(boxes, 1, GUEST, b"one")
    for attempt in (put(boxes, 1, STRANGER), put(boxes, 1, STRANGER, b"one"), put(boxes, 3, STRANGER)):
        assert await code(attempt) == "mailbox-used"
    assert await code(get(boxes, 1, STRANGER)) == "mailbox-used"
    assert await code(boxes.end(7, STRANGER)) == "mailbox-used"
    assert await get(boxes, 1, MAKER) == b"one"
    assert boxes.counts["refused"] == 5


async def test_two_guests_at_once(boxes: Mailboxes) -> None:
    """PAI-02"""
    await boxes.make(MAKER, HERE)
    guests = [bytes([number]) * 32 for number in range(10, 15)]
    outcomes = await asyncio.gather(*(put(boxes, 1, guest, guest) for guest in guests), return_exceptions=True)
    assert outcomes.count(True) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, ProblemError)} == {"mailbox-used"}
    assert await get(boxes, 1, MAKER) == guests[outcomes.index(True)]


async def test_an_ended_mailbox_is_used_until_its_time_is_over(boxes: Mailboxes, clock: Clock) -> None:
    """PAI-02"""
    await boxes.make(MAKER, HERE)
    await put(boxes, 1, GUEST)
    await boxes.end(7, MAKER)
    for secret in (MAKER, GUEST, STRANGER):
        assert await code(get(boxes, 1, secret)) == "mailbox-used"
        assert await code(put(boxes, 1, secret)) == "mailbox-used"
    clock.now += 599
    assert await code(put(boxes, 1, STRANGER)) == "mailbox-used"
    clock.now += 1
    for secret in (MAKER, GUEST, STRANGER):
        assert await code(get(boxes, 1, secret)) == "not-found"
    assert await code(boxes.end(7, MAKER)) == "not-found"
    assert await code(put(boxes, 1, GUEST, number=8)) == "not-found"


# Waiting


async def test_a_message_is_waited_for(boxes: Mailboxes) -> None:
    await boxes.make(MAKER, HERE)
    waiting = [asyncio.create_task(get(boxes, 1, MAKER, wait=20)) for _ in range(2)]
    await asyncio.sleep(0)
    await put(boxes, 1, GUEST, b"one")
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [b"one", b"one"]
        answer = asyncio.create_task(get(boxes, 2, GUEST, wait=20))
        await asyncio.sleep(0)
        await put(boxes, 2, MAKER, b"two")
        assert await answer == b"two"


async def test_whoever_waits_hears_of_the_end(boxes: Mailboxes) -> None:
    await boxes.make(MAKER, HERE)
    await put(boxes, 1, GUEST)
    waiting = asyncio.create_task(get(boxes, 2, GUEST, wait=20))
    await asyncio.sleep(0)
    await boxes.end(7, MAKER)
    async with asyncio.timeout(10):
        assert await code(waiting) == "mailbox-used"


async def test_a_wait_ends_at_its_time_and_at_the_relays(make: Make) -> None:
    boxes = make(mailbox_wait_seconds=0.01)
    await boxes.make(MAKER, HERE)
    async with asyncio.timeout(10):
        assert await get(boxes, 1, MAKER, wait=9999) is None


async def test_a_relay_that_stops_lets_nobody_wait(boxes: Mailboxes) -> None:
    await boxes.make(MAKER, HERE)
    waiting = asyncio.create_task(get(boxes, 1, MAKER, wait=20))
    while not boxes._changed:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    boxes.close()
    async with asyncio.timeout(10):
        assert await waiting is None
        assert await get(boxes, 1, MAKER, wait=20) is None


async def test_waits_are_bounded(make: Make) -> None:
    """PAI-03, REL-03"""
    boxes = make(mailbox_waits=1)
    await boxes.make(MAKER, HERE)
    waiting = asyncio.create_task(get(boxes, 1, MAKER, wait=20))
    while not boxes._waits:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert await code(get(boxes, 1, MAKER, wait=20)) == "busy"
    assert await get(boxes, 1, MAKER) is None
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not boxes._waits


async def test_one_mailbox_does_not_keep_the_others_from_waiting(make: Make) -> None:
    """PAI-03: whoever has made one may ask for it as often as he likes."""
    boxes = make(mailbox_waits=256)
    await boxes.make(MAKER, HERE)
    waiting = [asyncio.create_task(get(boxes, 1, MAKER, wait=20)) for _ in range(4)]
    while boxes._waits.total() < 4:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert await code(get(boxes, 1, MAKER, wait=20)) == "busy"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not boxes._waits


# Limits


async def test_sizes_and_numbers_of_messages(boxes: Mailboxes) -> None:
    """PAI-03"""
    await boxes.make(MAKER, HERE)
    assert await code(put(boxes, 1, GUEST, bytes(4097))) == "too-large"
    await put(boxes, 1, GUEST, bytes(4096))
    for place in range(2, 9):
        await put(boxes, place, GUEST if place % 2 else MAKER)
    assert await code(put(boxes, 9, GUEST)) == "too-large"


async def test_there_are_so_many_at_a_time(make: Make, clock: Clock) -> None:
    """PAI-03: in all, whoever makes them; time makes room."""
    boxes = make(mailboxes=2)
    for address in (HERE, THERE):
        await boxes.make(MAKER, address)
    assert await code(boxes.make(MAKER, "192.0.2.3")) == "busy"
    clock.now += 600
    assert (await boxes.make(MAKER, "192.0.2.3")).number == 10
    assert boxes.counts == {"made": 3, "refused": 1}


async def test_an_address_makes_and_enters_so_many_in_a_time(make: Make, clock: Clock) -> None:
    """PAI-03: so that nobody tries through all numbers."""
    boxes = make(mailbox_tries=3)
    for _ in range(3):
        await boxes.make(MAKER, HERE)
    assert await code(boxes.make(MAKER, HERE)) == "busy"
    assert await code(put(boxes, 1, GUEST)) == "busy"
    assert await boxes.put(7, 1, GUEST, b"one", THERE) is True
    await put(boxes, 2, MAKER)  # who is inside goes on
    clock.now += 599
    assert await code(put(boxes, 1, GUEST, number=8)) == "busy"
    clock.now += 1
    await boxes.make(MAKER, HERE)


async def test_who_comes_again_does_not_take_the_last_ones(make: Make) -> None:
    """PAI-03, §10.1: half of all mailboxes are for addresses that had none in that time."""
    boxes = make(mailboxes=4)
    for _ in range(2):
        await boxes.make(MAKER, HERE)
    assert await code(boxes.make(MAKER, HERE)) == "busy"
    for address in (THERE, "198.51.100.1"):
        await boxes.make(MAKER, address)
    assert await code(boxes.make(MAKER, "198.51.100.2")) == "busy"


async def test_a_taken_number_is_drawn_anew(make: Make) -> None:
    boxes = make(6, 6, 6, 41)
    assert [(await boxes.make(MAKER, HERE)).number for _ in range(2)] == [7, 42]


async def test_where_no_number_is_free_the_relay_is_busy(make: Make) -> None:
    boxes = make(*[6] * 9)
    await boxes.make(MAKER, HERE)
    assert await code(boxes.make(MAKER, HERE)) == "busy"


async def test_a_number_is_drawn_from_a_range_that_grows(store: Store, clock: Clock) -> None:
    ranges: list[int] = []

    def draw(most: int) -> int:
        ranges.append(most)
        return 0

    boxes = Mailboxes(store, Settings(), now=clock, draw=draw)
    await boxes.make(MAKER, HERE)
    assert await code(boxes.make(MAKER, HERE)) == "busy"
    assert ranges == [999, 999, 999, 9999, 9999, 99_999, 99_999, 99_999, 99_999]


def test_a_life_beyond_an_hour_is_no_setting() -> None:
    """PAI-03"""
    with pytest.raises(ValueError, match="mailbox_seconds must not be above 3600"):
        Settings(mailbox_seconds=3601)


# Tries


def tries_of(*, now: Callable[[], float] = lambda: 0.0, most: int = 1, around: int = 1000) -> Tries:
    return Tries(most=most, most_around=around, seconds=10, now=now)


def test_a_household_is_one_address() -> None:
    """PAI-03, §10.1"""
    tries = tries_of()
    assert tries.take("2001:db8::1") == 0
    assert tries.take("2001:db8::ffff:2") is None
    assert tries.take("2001:db8:0:1::1") == 0
    assert tries.take("192.0.2.1") == 0
    assert tries.take("::ffff:192.0.2.1") is None
    assert tries.take("fe80::1%eth0") == 0
    assert tries.take("fe80::2") is None
    assert tries.take(None) == 0
    assert tries.take("") is None


def test_a_neighbourhood_has_a_bound_of_its_own() -> None:
    """§10.1: who has a whole network has no more for that."""
    tries = tries_of(around=3)
    assert [tries.take(f"2001:db8:0:{n:x}::1") for n in range(5)] == [0, 0, 0, None, None]
    assert tries.take("2001:db8:1::1") == 0
    assert [tries.take(f"192.0.2.{n}") for n in range(5)] == [0, 0, 0, None, None]
    assert tries.take("192.0.3.1") == 0
    assert len(tries._own._counts) == 8  # what was refused pushes nobody out


def test_tries_begin_anew_after_a_time_and_are_bounded() -> None:
    now = [0.0]
    tries = tries_of(most=2, now=lambda: now[0])
    assert [tries.take(HERE) for _ in range(3)] == [0, 1, None]
    now[0] = 10
    assert tries.take(HERE) == 0
    for number in range(10_050):
        tries.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(tries._own._counts) == 10_000
