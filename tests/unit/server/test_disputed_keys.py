"""Recovery keys whose device was removed (spec §5.4): whose they are the roster cannot tell, so that they wait."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.roster import Composed, Removal, Signer, compose_change, compose_close
from sealkeep_protocol.signed import sign
from sealkeep_protocol.statements import sign_login, verify_challenge
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Relay
from sealkeep_server.service._accounts import Copied
from sealkeep_server.settings import Settings
from sealkeep_server.stores.sqlite import SqliteStore
from support.relay_client import Owner, new_keys

DAY = 24 * 3600
PHONE, LAPTOP = Signer.device(1), Signer.device(2)
DRAWER, THIEFS, NEWER = Signer.recovery(0), Signer.recovery(1), Signer.recovery(2)


class World:
    """The phone and the laptop; the laptop was stolen and has set a kit. The relay's clock is ours."""

    def __init__(self, data: Path) -> None:
        self.now = 1_800_000_000.0
        self.owner = Owner()
        self.keys: dict[Signer, PrivateKeys] = {PHONE: self.owner.device.keys, DRAWER: self.owner.recovery}
        self.data = data

    async def open(self) -> None:
        self.store = SqliteStore.open(self.data)
        self.identity = load_identity(self.data)
        keys = TokenKeys(self.data, now=self.now, max_age=30 * DAY)
        self.relay = Relay(self.store, self.identity, keys, Settings(token_seconds=30 * DAY), now=lambda: self.now)

    async def restart(self) -> None:
        await self.store.close()
        await self.open()

    def compose(
        self, by: Signer, *, add: bool = False, remove: tuple[int, ...] = (), kit: bool = False, reclaim: bool = False
    ) -> tuple[Composed, dict[Signer, PrivateKeys]]:
        roster, account = self.owner.roster, self.owner.account
        new: dict[Signer, PrivateKeys] = {}
        if add:
            new[Signer.device(len(roster.devices) + 1)] = new_keys()
        if kit:
            new[Signer.recovery(len(roster.recovery_keys))] = PrivateKeys.of_recovery(os.urandom(32))
        composed = compose_change(
            roster,
            by,
            self.keys[by].signing,
            self.owner.epochs,
            random=os.urandom,
            added=[(keys.record((1, account)), "x") for signer, keys in new.items() if not signer.is_recovery],
            removed=[Removal(device, 0, b"", False) for device in remove],
            recovery=next((k.record((1, account)) for s, k in new.items() if s.is_recovery), None),
            reclaim=reclaim,
        )
        return composed, new

    async def append(self, by: Signer, **what: object) -> None:
        composed, new = self.compose(by, **what)  # type: ignore[arg-type]
        number = self.owner.roster.number
        await self.relay.accounts.append(self.owner.account, number, composed.entry, list(composed.wraps))
        self.owner._took(composed)
        self.keys |= new

    async def token(self, signer: Signer) -> str:
        account = self.owner.account
        challenge = await self.relay.tokens.challenge(account, signer)
        challenge_id, _ = verify_challenge(challenge, account, self.identity.public)
        login = sign_login(challenge_id, self.identity.public, account, self.keys[signer].signing)
        return (await self.relay.tokens.login(account, challenge, login)).text

    def wait(self, days: float) -> None:
        self.now += days * DAY


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "relay")
    await world.open()
    await world.relay.accounts.create(world.owner.genesis.entry, list(world.owner.genesis.wraps))
    await world.append(PHONE, add=True)
    await world.append(LAPTOP, kit=True)
    yield world
    await world.store.close()


async def refused(world: World, by: Signer, **what: object) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        await world.append(by, **what)
    assert caught.value.code == "disputed"
    return caught.value


async def test_a_kit_of_a_removed_device_waits(world: World) -> None:
    """ROS-19: entries, tokens that it has, and new ones; and says for how long."""
    account = world.owner.account
    token = await world.token(THIEFS)
    assert await world.relay.tokens.check(account, token) == THIEFS
    await world.append(PHONE, remove=(2,), kit=True)
    assert (await refused(world, THIEFS)).headers == {"Retry-After": str(7 * DAY)}
    await refused(world, THIEFS, add=True, remove=(1,), kit=True, reclaim=True)
    close = compose_close(world.owner.roster, 1, world.keys[THIEFS].signing)
    with pytest.raises(ProblemError, match="disputed"):
        await world.relay.accounts.append(account, world.owner.roster.number, close, [])
    with pytest.raises(ProblemError, match="disputed"):
        await world.token(THIEFS)
    with pytest.raises(ProblemError, match="disputed"):
        await world.relay.tokens.check(account, token)
    for signer in (PHONE, DRAWER, NEWER):
        await world.token(signer)


async def test_the_wait_outlives_a_restart_and_ends(world: World) -> None:
    """ROS-19: it may be the owner's kit."""
    await world.append(PHONE, remove=(2,), kit=True)
    world.wait(6.9)
    await world.restart()
    await refused(world, THIEFS)
    world.wait(0.1)
    await world.token(THIEFS)
    await world.append(THIEFS, add=True, remove=(1,), kit=True, reclaim=True)


async def test_a_clock_that_was_put_back_is_not_waited_for(world: World) -> None:
    """ROS-19"""
    world.wait(1000)
    await world.append(PHONE, remove=(2,), kit=True)
    world.wait(-1000)
    await world.token(THIEFS)


async def test_an_older_kit_need_not_wait_and_ends_it(world: World) -> None:
    """§5.4: after a theft the owner wins."""
    await world.append(PHONE, remove=(2,), kit=True)
    await world.append(DRAWER)  # a rotation, no more
    assert [key.has_right for key in world.owner.roster.recovery_keys] == [True, False, True]
    world.wait(8)
    with pytest.raises(ProblemError, match="revoked"):
        await world.token(THIEFS)
    for signer in (DRAWER, NEWER):
        await world.token(signer)


async def test_a_kit_that_was_replaced_lets_nobody_in(world: World) -> None:
    """ROS-25: on neither route, and nothing of it is kept."""
    account, number = world.owner.account, world.owner.roster.number
    for what in ({"add": True}, {"kit": True}):
        composed, _ = world.compose(THIEFS, **what)
        last = composed.roster.last
        assert last is not None
        core = replace(last, signer=DRAWER).encode_core()
        entry = sign("roster", account, core, world.keys[DRAWER].signing, digests=last.digests)
        for send in (
            world.relay.accounts.append(account, number, entry, list(composed.wraps)),
            world.relay.accounts.copy(account, [Copied(entry, composed.wraps)]),
        ):
            with pytest.raises(HistoryError, match="replaced adds no device") as caught:
                await send
            assert caught.value.code == "roster"
    assert (await world.relay.accounts.get(account)).roster.number == number
    await world.append(DRAWER, remove=(1,))


async def test_the_oldest_kit_is_never_disputed(world: World) -> None:
    """§5.4, P7: a thief who removes the device that showed it gains nothing."""
    await world.append(LAPTOP, remove=(1,))
    await world.append(DRAWER, add=True, remove=(2,), kit=True, reclaim=True)


async def test_a_kit_that_the_thiefs_kit_set_waits_too(world: World) -> None:
    """§5.4: it stems from the same device."""
    await world.append(THIEFS, kit=True)
    await world.append(PHONE, remove=(2,), kit=True)
    await refused(world, NEWER)
    world.wait(8)
    await world.append(NEWER, add=True, remove=(1,), kit=True, reclaim=True)
    await world.token(Signer.recovery(4))


@pytest.mark.parametrize("behind", [False, True])
async def test_the_copy_route_is_no_way_around(world: World, behind: bool) -> None:
    """ROS-19: copied entries are entries; neither alone, nor behind one that may come."""
    account = world.owner.account
    await world.append(PHONE, remove=(2,), kit=True)
    number = world.owner.roster.number
    before = []
    if behind:
        composed, _ = world.compose(PHONE)
        world.owner._took(composed)
        before = [Copied(composed.entry, composed.wraps)]
    reclaim, _ = world.compose(THIEFS, add=True, remove=(1,), kit=True, reclaim=True)
    with pytest.raises(ProblemError, match="disputed"):
        await world.relay.accounts.copy(account, [*before, Copied(reclaim.entry, reclaim.wraps)])
    assert (await world.relay.accounts.get(account)).roster.number == number
    world.wait(7)
    await world.relay.accounts.copy(account, [*before, Copied(reclaim.entry, reclaim.wraps)])


async def test_what_a_key_signed_after_its_wait_can_be_copied(world: World, tmp_path: Path) -> None:
    """ROS-19, VIE-09: a relay that lost the dispute takes it together with what came after it."""
    account, genesis = world.owner.account, world.owner.genesis
    first = [entry.entry for entry in await world.store.entries(account, 0, 9)]
    await world.append(PHONE, remove=(2,), kit=True)
    removed = (await world.store.entries(account, len(first), 1))[0].entry
    reclaim, _ = world.compose(THIEFS, add=True, remove=(1,), kit=True, reclaim=True)
    other = World(tmp_path / "restored")
    await other.open()
    try:
        await other.relay.accounts.create(genesis.entry, list(genesis.wraps))
        lost = [Copied(entry, (None,) * count) for entry, count in zip([*first[1:], removed], (3, 3, 2), strict=True)]
        await other.relay.accounts.copy(account, [*lost, Copied(reclaim.entry, reclaim.wraps)])
    finally:
        await other.store.close()


async def test_nobody_waits_without_a_dispute(world: World) -> None:
    """ROS-19"""
    await world.append(THIEFS, add=True)
    await world.token(THIEFS)
