"""The relay's operations without a socket: what depends on time, and on what happens between judging and storing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.segments import SealedSegment
from sealkeep_protocol.statements import sign_login, verify_challenge
from sealkeep_protocol.types import ObjectId
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Appended, Batch, Relay
from sealkeep_server.settings import Settings
from sealkeep_server.stores import FeedHead, NewSegment, UnavailableError
from sealkeep_server.stores.sqlite import SqliteStore
from support.relay_client import Author, Owner, new_keys

DAY = 24 * 3600
START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

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
    return Relay(
        store,
        load_identity(data),
        TokenKeys(data, now=clock(), max_age=30 * DAY),
        settings or Settings(),
        now=clock,
    )


@pytest.fixture
def relay(store: SqliteStore, tmp_path: Path, clock: Clock) -> Relay:
    return relay_on(store, tmp_path, clock)


@pytest.fixture
async def owner(relay: Relay) -> Owner:
    owner = Owner()
    await relay.accounts.create(owner.genesis.entry, list(owner.genesis.wraps))
    return owner


async def login(relay: Relay, owner: Owner, signer: Signer, *, wait: float = 0, clock: Clock | None = None) -> str:
    keys = owner.recovery if signer.is_recovery else owner.devices[signer.number].keys
    challenge = await relay.challenge(owner.account, signer)
    challenge_id, _ = verify_challenge(challenge, owner.account, relay.identity.public)
    if clock is not None:
        clock.now += wait
    answer = sign_login(challenge_id, relay.identity.public, owner.account, keys.signing)
    return (await relay.login(owner.account, challenge, answer)).text


async def change(relay: Relay, owner: Owner, **what: object) -> None:
    composed = owner.change(**what)  # type: ignore[arg-type]
    await relay.accounts.append(owner.account, composed.roster.number - 1, composed.entry, list(composed.wraps))


def items(*segments: SealedSegment) -> list[cbor.Item]:
    return [[s.header, s.summary, s.body, []] for s in segments]


async def append(relay: Relay, author: Author, *segments: SealedSegment, between: object = None) -> Appended:
    batch: Batch = relay.batch(author.owner.account, author.signer)
    try:
        for number, item in enumerate(items(*segments), start=1):
            if not await batch.add(item):
                break
            if number == 1 and callable(between):
                await between()
        return await batch.finish()
    finally:
        await batch.abandon()


async def code(awaitable: object) -> str:
    with pytest.raises(ProblemError) as problem:
        await awaitable  # type: ignore[misc]
    return problem.value.code


# Time


async def test_a_challenge_expires(relay: Relay, owner: Owner, clock: Clock) -> None:
    """REL-07: after 120 s."""
    device = Signer.device(1)
    assert await login(relay, owner, device, wait=119, clock=clock)
    assert await code(login(relay, owner, device, wait=120, clock=clock)) == "unauthorized"


async def test_a_token_expires(relay: Relay, owner: Owner, clock: Clock) -> None:
    """REL-07"""
    text = await login(relay, owner, Signer.device(1))
    clock.now += 899
    assert await relay.tokens.check(owner.account, text) == Signer.device(1)
    clock.now += 1
    assert await code(relay.tokens.check(owner.account, text)) == "unauthorized"


async def test_token_keys_are_replaced_and_the_last_one_stays_good(
    store: SqliteStore, tmp_path: Path, clock: Clock
) -> None:
    """REL-07: a new key, made while the relay runs or at a start, shuts nobody out whose token has not expired."""
    relay = relay_on(store, tmp_path, clock)
    owner = Owner()
    await relay.accounts.create(owner.genesis.entry, list(owner.genesis.wraps))
    clock.now += 30 * DAY - 1
    text = await login(relay, owner, Signer.device(1))
    clock.now += 100
    fresh = await login(relay, owner, Signer.device(1))
    assert fresh[:5] != text[:5]  # made with another key
    restarted = relay_on(store, tmp_path, clock)
    for one in (relay, restarted):
        for token in (text, fresh):
            assert await one.tokens.check(owner.account, token) == Signer.device(1)
    clock.now += 31 * DAY
    twice = relay_on(store, tmp_path, clock)
    assert (await login(twice, owner, Signer.device(1)))[:5] != fresh[:5]
    assert await code(twice.tokens.check(owner.account, text)) == "unauthorized"


async def test_token_keys_that_cannot_be_replaced_go_on(
    relay: Relay, owner: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sealkeep_server import identity

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    clock.now += 31 * DAY
    with monkeypatch.context() as patch:
        patch.setattr(identity.os, "fsync", fail)
        text = await login(relay, owner, Signer.device(1))
    assert await relay.tokens.check(owner.account, text) == Signer.device(1)
    assert (await login(relay, owner, Signer.device(1)))[:5] != text[:5]


async def test_rosters_in_memory_are_bounded(store: SqliteStore, tmp_path: Path, clock: Clock) -> None:
    """By number and by size; what is let go of is read again."""
    owners = [Owner() for _ in range(6)]
    size = len(owners[0].genesis.entry)
    settings = Settings(cached_accounts=4, cached_roster_bytes=3 * size + 100)
    relay = relay_on(store, tmp_path, clock, settings)
    for owner in owners:
        await relay.accounts.create(owner.genesis.entry, list(owner.genesis.wraps))
        assert len(relay.accounts._states) <= 3
    for owner in (*owners, owners[5]):
        await change(relay, owner, added=[new_keys()])
        assert sum(state.size for state in relay.accounts._states.values()) <= settings.cached_roster_bytes
        assert len((await relay.accounts.get(owner.account)).roster.devices) == len(owner.devices)
    # One that is larger than all of it is kept as long as nobody else comes.
    for _ in range(4):
        await change(relay, owners[0], added=[new_keys()])
    assert list(relay.accounts._states) == [owners[0].account]
    assert (await relay.accounts.get(owners[1].account)).roster == owners[1].roster


async def test_a_younger_keys_close_takes_effect_after_30_days(relay: Relay, owner: Owner, clock: Clock) -> None:
    """§5.4: the owner of the older kit may undo it until then, and the account goes on meanwhile."""
    first = owner.recovery
    await change(relay, owner, recovery=new_keys())
    from sealkeep_protocol.roster import Removal, compose_close

    closing = compose_close(owner.roster, 1, owner.recovery.signing)
    await relay.accounts.append(owner.account, 1, closing, [])
    clock.now += 30 * DAY - 1
    segment = owner.device.seal()
    assert len((await append(relay, owner.device, segment)).receipts) == 1
    clock.now += 1
    assert await code(append(relay, owner.device, owner.device.seal(take=False))) == "closed"
    assert await code(relay.challenge(owner.account, Signer.device(1))) == "closed"
    # The older kit outranks the closing key, even then; the closing key itself, and one that has no right, do not.
    await relay.challenge(owner.account, Signer.recovery(0))
    for number in (1, 2):
        assert await code(relay.challenge(owner.account, Signer.recovery(number))) == "closed"
    owner.roster = owner.roster.append(closing)
    owner.recovery = first
    pin = Removal(1, segment.seq, segment.header_id, False)
    await change(
        relay, owner, by=Signer.recovery(0), added=[new_keys()], removed=[pin], recovery=new_keys(), reclaim=True
    )
    assert len((await append(relay, owner.devices[2], owner.devices[2].seal())).receipts) == 1


# Between judging and storing


async def test_what_was_judged_is_judged_again_when_the_roster_moves(relay: Relay, owner: Owner) -> None:
    """SEG-14: a rotation between the judgement and the append's transaction refuses what is pending."""
    device = owner.device
    segments = [device.seal(20_000) for _ in range(3)]
    with pytest.raises(ProblemError) as problem:
        await append(relay, device, *segments, between=lambda: change(relay, owner))
    assert problem.value.code == "epoch-stale"
    assert "refusal" in problem.value.members
    heads = await relay.store.heads(owner.account)
    assert heads is not None
    assert heads.feeds == []


async def test_a_twin_that_was_faster_gives_the_same_receipts(relay: Relay, owner: Owner, tmp_path: Path) -> None:
    """SEG-17"""
    device = owner.device
    segments = [device.seal(20_000) for _ in range(3)]
    twin: list[Appended] = []

    async def between() -> None:
        twin.append(await append(relay, device, *segments[:2]))

    appended = await append(relay, device, *segments, between=between)
    assert appended.receipts[:2] == twin[0].receipts
    assert (appended.last_seq, len(appended.receipts)) == (3, 3)
    assert len(list((tmp_path / "bodies").rglob("0*[0-9a-f]"))) >= 3
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_another_header_that_was_faster_is_a_fork(relay: Relay, owner: Owner, tmp_path: Path) -> None:
    """SEG-17"""
    device = owner.device
    clone = Author(owner, 1, device.keys)
    segments = [device.seal(20_000) for _ in range(2)]

    async def between() -> None:
        await append(relay, clone, clone.seal())

    assert await code(append(relay, device, *segments, between=between)) == "fork"
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_a_header_stored_in_the_last_moment_is_not_refused(
    relay: Relay, owner: Owner, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEG-14: the refusal looks once more, after the rotation that makes the header stale."""
    device = owner.device
    segment = device.seal()
    stored = await append(relay, device, segment)
    await change(relay, owner)

    async def old_head(*_: object) -> FeedHead:
        return FeedHead(device.seal(take=False).seq and 1, 0, ObjectId(b""), 0)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(store, "feed_head", old_head)
        batch = relay.batch(owner.account, device.signer)
        for item in items(segment):
            await batch.add(item)
    assert (await batch.finish()).receipts == stored.receipts
    await batch.abandon()


async def test_a_device_removed_during_a_batch_is_revoked(relay: Relay, owner: Owner) -> None:
    """REL-06"""
    from sealkeep_protocol.roster import Removal

    await change(relay, owner, added=[new_keys()])
    tablet = owner.devices[2]
    segments = [tablet.seal(20_000) for _ in range(2)]

    async def between() -> None:
        await change(relay, owner, removed=[Removal(2, 0, b"", False)])

    with pytest.raises(ProblemError) as problem:
        await append(relay, tablet, *segments, between=between)
    assert problem.value.code == "revoked"
    heads = await relay.store.heads(owner.account)
    assert heads is not None
    assert heads.feeds == []


# A store that fails


@pytest.mark.parametrize("method", ["stage", "append"])
async def test_a_failing_store_is_unavailable_and_the_prefix_counts(
    relay: Relay, owner: Owner, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """SEG-18: nothing is answered for that is not durable."""
    device = owner.device
    await append(relay, device, device.seal())

    async def failing(*_: object, **__: object) -> None:
        raise UnavailableError("full")

    segments = [device.seal(20_000) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(store, method, failing)
        assert await code(append(relay, device, *segments)) == "unavailable"
    assert (await append(relay, device, *segments)).last_seq == 3


async def test_a_long_batch_keeps_what_was_stored_before_the_store_failed(
    relay: Relay, owner: Owner, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = owner.device
    segments = [device.seal(250_000) for _ in range(12)]
    real = store.append
    calls = 0

    async def second_fails(
        account: object, roster: int, after: FeedHead, new: list[NewSegment], *, allowed: int | None
    ) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise UnavailableError("full")
        return await real(account, roster, after, new, allowed=allowed)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", second_fails)
        appended = await append(relay, device, *segments)
    assert 0 < len(appended.receipts) < 12
    assert appended.last_seq == len(appended.receipts)
    rest = await append(relay, device, *segments[len(appended.receipts) :])
    assert rest.last_seq == 12


# What is kept in memory


async def test_rosters_in_memory_are_bounded_and_read_back(store: SqliteStore, tmp_path: Path, clock: Clock) -> None:
    relay = relay_on(store, tmp_path, clock, Settings(cached_accounts=2))
    owners = [Owner() for _ in range(4)]
    for owner in owners:
        await relay.accounts.create(owner.genesis.entry, list(owner.genesis.wraps))
        for _ in range(10):
            await change(relay, owner)
    assert len(relay.accounts._states) == 2
    for owner in owners:
        assert (await relay.accounts.get(owner.account)).roster.head == owner.roster.head
    another = relay_on(store, tmp_path, clock)
    assert (await another.accounts.get(owners[0].account)).roster.head == owners[0].roster.head
    await change(relay, owners[0])
    assert (await another.accounts.get(owners[0].account)).roster.number == 11
    assert await code(another.accounts.get(os.urandom(32))) == "not-found"  # type: ignore[arg-type]
