"""Chunks, claims and proofs without a socket: what depends on time, on room, and on what happens in between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from sealkeep_protocol import cbor
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Removal, Signer
from sealkeep_protocol.types import AccountId
from sealkeep_server import app
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Relay
from sealkeep_server.settings import Settings
from sealkeep_server.stores import ChunkId, DamagedError
from sealkeep_server.stores.sqlite import SqliteStore
from support.relay_client import Author, Owner, new_keys

HOUR, DAY = 3600, 24 * 3600
DEVICE = Signer.device(1)


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


def relay_on(store: SqliteStore, data: Path, clock: Clock, settings: Settings | None = None) -> Relay:
    keys = TokenKeys(data, now=clock(), max_age=30 * DAY)
    return Relay(store, load_identity(data), keys, settings or Settings(), now=clock)


@pytest.fixture
def relay(store: SqliteStore, tmp_path: Path, clock: Clock) -> Relay:
    return relay_on(store, tmp_path, clock)


@pytest.fixture
async def owner(relay: Relay) -> Owner:
    owner = Owner()
    await relay.accounts.create(owner.genesis.entry, list(owner.genesis.wraps))
    return owner


def id_of(data: bytes) -> ChunkId:
    return ChunkId(sha256(data))


async def in_slices(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100):
        yield data[at : at + 100]


async def put(relay: Relay, owner: Owner, data: bytes, signer: Signer = DEVICE) -> bool:
    return await relay.files.put(owner.account, signer, id_of(data), in_slices(data), len(data))


async def claim(relay: Relay, owner: Owner, *chunks: bytes) -> list[int]:
    ids = sorted(map(id_of, chunks))
    missing: list[int] = cbor.decode(await relay.files.claim(owner.account, DEVICE, ids), limit=1 << 16)[1]
    return missing


async def append(relay: Relay, author: Author, *chunks: bytes) -> None:
    ids = sorted(map(id_of, chunks))
    segment = author.seal(chunks=ids)
    batch = relay.batch(author.owner.account, author.signer)
    try:
        await batch.add([segment.header, segment.summary, segment.body, ids])
        assert len((await batch.finish()).receipts) == 1
    finally:
        await batch.abandon()


async def code(awaitable: object) -> str:
    with pytest.raises(ProblemError) as problem:
        await awaitable  # type: ignore[misc]
    return problem.value.code


# Time


async def test_a_chunk_that_nobody_names_goes_a_day_after_its_last_claim(
    relay: Relay, owner: Owner, clock: Clock
) -> None:
    """FIL-13"""
    named, claimed, left = (os.urandom(256) for _ in range(3))
    for data in (named, claimed, left):
        await put(relay, owner, data)
    await append(relay, owner.device, named)
    clock.now += DAY - 1
    assert await relay.files.sweep() == 0
    assert await claim(relay, owner, claimed) == []
    clock.now += 1
    assert await relay.files.sweep() == 1
    clock.now += DAY
    assert await relay.files.sweep() == 1
    clock.now += 1000 * DAY
    assert await relay.files.sweep() == 0
    assert len(await claim(relay, owner, named, claimed, left)) == 2


async def test_a_claim_outlives_an_impatient_operator(
    store: SqliteStore, tmp_path: Path, owner: Owner, clock: Clock
) -> None:
    """FIL-13: a relay whose settings changed keeps what was claimed while the claim lives."""
    data = os.urandom(256)
    await put(relay_on(store, tmp_path, clock), owner, data)
    impatient = relay_on(store, tmp_path, clock, Settings(claim_seconds=10, idle_chunk_seconds=10))
    clock.now += HOUR - 1
    assert await impatient.files.sweep() == 0
    clock.now += 1
    assert await impatient.files.sweep() == 1


async def test_a_sweep_of_many_goes_on_in_steps(
    relay: Relay, owner: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealkeep_server.service._files._SWEPT_AT_ONCE", 4)
    for _ in range(11):
        await put(relay, owner, os.urandom(256))
    clock.now += DAY
    assert await relay.files.sweep() == 11


async def test_housekeeping_goes_on_after_a_fault(
    relay: Relay, owner: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay looks at its start, and then again and again."""
    await put(relay, owner, os.urandom(256))
    clock.now += 5 * DAY
    sweep = relay.files.sweep
    calls: list[object] = []
    done = asyncio.Event()

    async def failing_once() -> int:
        calls.append(None)
        if len(calls) == 1:
            raise DamagedError("a fault")
        swept = await sweep()
        calls.append(swept)
        done.set()
        return swept

    monkeypatch.setattr(relay.files, "sweep", failing_once)
    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(app._keep_house(relay, 0.01))
        async with asyncio.timeout(10):
            await done.wait()
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert calls[:3] == [None, None, 1]
    assert [line["event"] for line in logs[:2]] == ["housekeeping-fault", "erased"]


# In between


async def test_a_device_that_is_removed_while_it_puts_has_put_nothing(relay: Relay, owner: Owner) -> None:
    """REL-06"""
    change = owner.change(added=[new_keys()])
    await relay.accounts.append(owner.account, 0, change.entry, list(change.wraps))
    data = os.urandom(272)

    async def removed_in_between() -> AsyncIterator[bytes]:
        yield data[:100]
        removal = owner.change(removed=[Removal(2, 0, b"", False)])
        await relay.accounts.append(owner.account, 1, removal.entry, list(removal.wraps))
        yield data[100:]

    refused = relay.files.put(owner.account, Signer.device(2), id_of(data), removed_in_between(), None)
    assert await code(refused) == "revoked"
    assert await claim(relay, owner, data) == [0]


async def test_a_put_that_breaks_off_leaves_nothing(relay: Relay, owner: Owner, tmp_path: Path) -> None:
    data = os.urandom(272)

    async def broken() -> AsyncIterator[bytes]:
        yield data[:100]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await relay.files.put(owner.account, DEVICE, id_of(data), broken(), None)
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await claim(relay, owner, data) == [0]


async def test_a_peer_that_says_too_much_is_stopped_in_the_middle(relay: Relay, owner: Owner) -> None:
    """REL-03: as soon as that is known."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 100_000
            yield bytes(100_000)

    assert await code(relay.files.put(owner.account, DEVICE, ChunkId(bytes(32)), endless(), None)) == "too-large"
    assert taken == 1_100_000

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("its length alone decides")
        yield b""

    assert await code(relay.files.put(owner.account, DEVICE, ChunkId(bytes(32)), never(), 4111)) == "invalid"


# Room


async def test_a_full_account_still_takes_a_segment(
    store: SqliteStore, tmp_path: Path, owner: Owner, clock: Clock
) -> None:
    """A put leaves the room that an append's largest item needs; an append fills it, and no more."""
    settings = Settings()
    relay = relay_on(store, tmp_path, clock, Settings(account_bytes=settings.item_bytes + 700))
    chunks = [os.urandom(256) for _ in range(3)]
    assert await put(relay, owner, chunks[0])
    assert await put(relay, owner, chunks[1])
    assert await code(put(relay, owner, chunks[2])) == "quota"
    assert not await put(relay, owner, chunks[0])  # needs no room
    await append(relay, owner.device, chunks[0])
    assert await code(put(relay, owner, chunks[2])) == "quota"
    heads = cbor.decode(await relay.heads(owner.account), limit=1 << 16)
    assert heads[5] == settings.item_bytes + 700
    segments = [owner.device.seal(250_000) for _ in range(4)]
    batch = relay.batch(owner.account, DEVICE)
    for segment in segments:
        await batch.add([segment.header, segment.summary, segment.body, []])
    appended = await batch.finish()
    await batch.abandon()
    assert batch.problem is not None
    assert (len(appended.receipts), batch.problem.code) == (2, "quota")
    used = cbor.decode(await relay.heads(owner.account), limit=1 << 16)[4]
    assert used <= heads[5]
    assert len(list((tmp_path / "incoming").iterdir())) == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"idle_chunk_seconds": 3599}, "idle_chunk_seconds must not be below claim_seconds"),
        ({"account_bytes": 1}, "account_bytes must be above item_bytes"),
    ],
)
def test_settings_that_do_not_fit_together(values: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**values)  # type: ignore[arg-type]


# Proofs


async def answers(relay: Relay, account: AccountId, *asked: list[object]) -> list[bytes | None]:
    body = cbor.encode(list(asked))
    sequence = [piece async for pieces in await relay.files.prove(account, body, list(asked)) for piece in pieces]
    return [cbor.decode(piece, limit=1024) for piece in sequence[:-1]]


async def test_one_account_asks_for_few_proofs_at_a_time(
    store: SqliteStore, tmp_path: Path, owner: Owner, clock: Clock
) -> None:
    relay = relay_on(store, tmp_path, clock, Settings(account_proofs=1))
    with relay.files.proving(owner.account):
        with pytest.raises(ProblemError) as busy, relay.files.proving(owner.account):
            raise AssertionError("a second one is let in")
        assert (busy.value.code, busy.value.headers) == ("busy", {"Retry-After": "1"})
        with relay.files.proving(AccountId(bytes(32))):
            pass
    with relay.files.proving(owner.account):
        pass


async def test_so_many_are_read_for_proofs_at_a_time(
    store: SqliteStore, tmp_path: Path, owner: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask: all get their turn, and none holds another up by reading slowly."""
    relay = relay_on(store, tmp_path, clock, Settings(proofs=2))
    data = os.urandom(256)
    await put(relay, owner, data)
    parts, reading, most = relay.files._parts, 0, 0

    async def counted(account: AccountId, target: object) -> object:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            await asyncio.sleep(0)
            return await parts(account, target)  # type: ignore[arg-type]
        finally:
            reading -= 1

    monkeypatch.setattr(relay.files, "_parts", counted)
    asked = [[os.urandom(32), id_of(data)] for _ in range(5)]
    slow = await relay.files.prove(owner.account, b"", asked * 10)
    await anext(slow)  # and reads no further for now
    given = await asyncio.gather(*(answers(relay, owner.account, *asked) for _ in range(6)))
    assert all(one == given[0] and None not in one for one in given)
    assert most == 2


async def test_a_proof_over_what_is_damaged_is_none_and_an_alarm(relay: Relay, owner: Owner, tmp_path: Path) -> None:
    """FIL-13: and a read of it is `internal` once, then `not-found`."""
    chunks = [os.urandom(256) for _ in range(2)]
    for data in chunks:
        await put(relay, owner, data)
    await append(relay, owner.device, *chunks)
    for path in (tmp_path / "bodies").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(256))
    asked = [bytes(32), id_of(chunks[0])]
    with structlog.testing.capture_logs() as logs:
        assert await answers(relay, owner.account, asked) == [None]
        assert await answers(relay, owner.account, asked) == [None]
    assert [(line["event"], line["error"]) for line in logs] == [("proof-fault", "DamagedError")]
    assert await code(relay.files.open(owner.account, id_of(chunks[0]))) == "not-found"
    with pytest.raises(DamagedError):
        await relay.files.open(owner.account, id_of(chunks[1]))
    assert await code(relay.files.open(owner.account, id_of(chunks[1]))) == "not-found"
    assert await claim(relay, owner, *chunks) == [0, 1]
