"""The tests of mailboxes that every storage engine of the relay passes (spec §10.1); see `store_suite` for how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sealkeep_server.stores import ConflictError, FullError, Mailbox, Store
from support.store_suite import Engine

MAKER, GUEST = b"m" * 32, b"g" * 32
NOW = 1_800_000_000_000


def box(number: int = 7, *, maker: bytes = MAKER, expires: int = NOW + 1000) -> Mailbox:
    return Mailbox(number, maker, None, expires, 0, False)


class MailboxSuite:
    """See the module."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, engine: Engine) -> AsyncIterator[Store]:
        store = await engine.open()
        yield store
        await store.close()

    async def test_a_mailbox_is_made_once(self, store: Store) -> None:
        assert await store.mailbox(7, now=NOW) is None
        await store.make_mailbox(box(), now=NOW, most=10)
        assert await store.mailbox(7, now=NOW) == box()
        with pytest.raises(ConflictError) as conflict:
            await store.make_mailbox(box(maker=b"x" * 32), now=NOW, most=10)
        assert conflict.value.moved == "mailbox"
        assert await store.mailbox(7, now=NOW) == box()

    async def test_messages_come_one_after_the_other(self, store: Store) -> None:
        await store.make_mailbox(box(), now=NOW, most=10)
        await store.put_message(box(), GUEST, b"one")
        entered = replace(box(), guest=GUEST, messages=1)
        assert await store.mailbox(7, now=NOW) == entered
        await store.put_message(entered, GUEST, b"two")
        assert [await store.message(7, number) for number in (1, 2, 3)] == [b"one", b"two", None]

    @pytest.mark.parametrize(
        "before",
        [
            box(),
            box(maker=b"x" * 32),
            replace(box(), guest=b"x" * 32, messages=1),
            replace(box(), guest=GUEST, messages=2),
            replace(box(8), guest=GUEST, messages=1),
        ],
        ids=["nobody entered", "another maker", "another guest", "another message", "another mailbox"],
    )
    async def test_a_message_for_another_state_is_a_conflict(self, store: Store, before: Mailbox) -> None:
        await store.make_mailbox(box(), now=NOW, most=10)
        await store.put_message(box(), GUEST, b"one")
        with pytest.raises(ConflictError) as conflict:
            await store.put_message(before, GUEST, b"two")
        assert conflict.value.moved == "mailbox"
        assert await store.message(7, 2) is None

    async def test_one_of_many_guests_gets_in(self, store: Store) -> None:
        await store.make_mailbox(box(), now=NOW, most=10)
        guests = [bytes([number]) * 32 for number in range(8)]
        tries = [store.put_message(box(), guest, guest) for guest in guests]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConflictError"] * 7 + ["NoneType"]
        inside = await store.mailbox(7, now=NOW)
        assert inside is not None
        assert await store.message(7, 1) == inside.guest

    async def test_an_ended_mailbox_keeps_its_number_and_nothing_else(self, store: Store) -> None:
        await store.make_mailbox(box(), now=NOW, most=10)
        await store.put_message(box(), GUEST, b"one")
        for _ in range(2):
            await store.end_mailbox(box())
            ended = await store.mailbox(7, now=NOW)
            assert ended == replace(box(), guest=GUEST, messages=1, ended=True)
            assert await store.message(7, 1) is None
        with pytest.raises(ConflictError):
            await store.put_message(replace(box(), guest=GUEST, messages=1), GUEST, b"two")
        with pytest.raises(ConflictError):
            await store.make_mailbox(box(), now=NOW, most=10)

    async def test_the_end_of_a_mailbox_that_is_another_by_now(self, store: Store) -> None:
        await store.make_mailbox(box(maker=b"x" * 32), now=NOW, most=10)
        await store.end_mailbox(box())
        assert await store.mailbox(7, now=NOW) == box(maker=b"x" * 32)

    async def test_what_is_over_is_gone_and_makes_room(self, store: Store) -> None:
        await store.make_mailbox(box(), now=NOW, most=1)
        await store.put_message(box(), GUEST, b"one")
        with pytest.raises(FullError):
            await store.make_mailbox(box(8), now=NOW + 999, most=1)
        assert await store.mailbox(7, now=NOW + 999) is not None
        assert await store.mailbox(7, now=NOW + 1000) is None
        await store.make_mailbox(box(expires=NOW + 5000), now=NOW + 1000, most=1)
        assert await store.message(7, 1) is None
        assert await store.mailbox(7, now=NOW + 1000) == box(expires=NOW + 5000)

    async def test_mailboxes_survive_a_restart(self, engine: Engine) -> None:
        store = await engine.open()
        await store.make_mailbox(box(), now=NOW, most=10)
        await store.put_message(box(), GUEST, b"one")
        await store.close()
        store = await engine.open()
        assert await store.message(7, 1) == b"one"
        assert await store.mailbox(7, now=NOW) == replace(box(), guest=GUEST, messages=1)
        await store.close()
