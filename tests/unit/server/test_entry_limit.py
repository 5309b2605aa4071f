"""The limit of roster entries (spec §5.5): per device with all that descends from it, and never against its removal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.roster import Composed, Removal, Signer, compose_change
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.problems import ProblemError
from sealkeep_server.service import Relay
from sealkeep_server.service._entry_limit import lineage
from sealkeep_server.settings import Settings
from sealkeep_server.stores.sqlite import SqliteStore
from support.relay_client import Owner, new_keys

HOUR = 3600
SETTINGS = Settings(roster_entries=5, roster_reserve=2, roster_seconds=HOUR)
D1, D2, D3 = Signer.device(1), Signer.device(2), Signer.device(3)


class World:
    """One account on a relay whose clock is ours."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.now = 1_800_000_000.0
        self.owner = Owner()
        self.keys: dict[Signer, PrivateKeys] = {D1: self.owner.device.keys, Signer.recovery(0): self.owner.recovery}

    async def open(self) -> None:
        self.store = SqliteStore.open(self.data)
        self.relay = Relay(
            self.store,
            load_identity(self.data),
            TokenKeys(self.data, now=self.now, max_age=30 * 24 * HOUR),
            SETTINGS,
            now=lambda: self.now,
        )

    async def restart(self) -> None:
        await self.store.close()
        await self.open()

    def compose(
        self, by: Signer, *, add: int = 0, remove: tuple[int, ...] = (), kit: bool = False, reclaim: bool = False
    ) -> Composed:
        roster, account = self.owner.roster, self.owner.account
        added = [new_keys() for _ in range(add)]
        recovery = PrivateKeys.of_recovery(os.urandom(32)) if kit else None
        composed = compose_change(
            roster,
            by,
            self.keys[by].signing,
            self.owner.epochs,
            random=os.urandom,
            added=[(keys.record((1, account)), "x") for keys in added],
            removed=[Removal(device, 0, b"", False) for device in remove],
            recovery=recovery.record((1, account)) if recovery else None,
            reclaim=reclaim,
        )
        for number, keys in enumerate(added, start=len(roster.devices) + 1):
            self.keys[Signer.device(number)] = keys
        if recovery:
            self.keys[Signer.recovery(len(roster.recovery_keys))] = recovery
        return composed

    async def append(self, by: Signer, **what: object) -> None:
        composed = self.compose(by, **what)  # type: ignore[arg-type]
        expected = self.owner.roster.number
        await self.relay.accounts.append(self.owner.account, expected, composed.entry, list(composed.wraps))
        self.owner._took(composed)

    async def is_taken(self, by: Signer, **what: object) -> bool:
        """Append; False where it is one too many."""
        try:
            await self.append(by, **what)
        except ProblemError as problem:
            if problem.code != "busy":
                raise
            return False
        return True

    async def until_busy(self, by: Signer, **what: object) -> int:
        """Append until the relay refuses; how many it took."""
        for count in range(50):
            if not await self.is_taken(by, **what):
                return count
        raise AssertionError("it is never refused")

    async def flood(self, signers: list[Signer]) -> int:
        """Append with these, and all that they bring in, until the relay refuses every one of them; how many it took."""
        waiting, taken = list(signers), 0
        while waiting:
            signer, roster = waiting.pop(0), self.owner.roster
            if roster.signing_key(signer) is None:
                continue
            if roster.is_replaced(signer):  # it brings nobody in (ROS-25)
                if await self.is_taken(signer):
                    taken += 1
                    waiting.append(signer)
                continue
            if not await self.is_taken(signer, add=1, kit=taken % 2 == 0):
                continue
            taken += 1
            signers.append(Signer.device(len(roster.devices) + 1))
            waiting += [signer, signers[-1]]
            if len(self.owner.roster.recovery_keys) > len(roster.recovery_keys):
                signers.append(Signer.recovery(len(roster.recovery_keys)))
                waiting.append(signers[-1])
        return taken

    async def refused(self, by: Signer, **what: object) -> int:
        """The `Retry-After` of a refusal, in seconds."""
        with pytest.raises(ProblemError) as caught:
            await self.append(by, **what)
        assert caught.value.code == "busy"
        return int(caught.value.headers["Retry-After"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.open()
    await world.relay.accounts.create(world.owner.genesis.entry, list(world.owner.genesis.wraps))
    yield world
    await world.store.close()


async def test_a_device_appends_so_many_in_a_time(world: World) -> None:
    assert await world.until_busy(D1) == SETTINGS.roster_entries
    assert await world.refused(D1) == HOUR
    world.now += 1000
    assert await world.refused(D1) == HOUR - 1000
    world.now += HOUR - 1000 - 0.5
    assert await world.refused(D1) == 1
    world.now += 0.5
    assert await world.until_busy(D1) == SETTINGS.roster_entries


async def test_a_refused_entry_leaves_all_as_it_was(world: World) -> None:
    await world.until_busy(D1)
    before = await world.store.entries(world.owner.account, 0, 100)
    await world.refused(D1, add=1)
    assert await world.store.entries(world.owner.account, 0, 100) == before
    # What is stored already is answered as it was, whatever the limit says.
    last = before[-1]
    assert await world.relay.accounts.append(world.owner.account, last.number - 1, last.entry, []) == (
        last.number,
        False,
    )


async def test_the_count_survives_a_restart(world: World) -> None:
    await world.until_busy(D1)
    await world.restart()
    world.now += 100
    assert await world.refused(D1) == HOUR - 100
    world.now += HOUR
    await world.restart()
    await world.append(D1)


async def test_what_a_device_adds_counts_with_it(world: World) -> None:
    """Devices, devices of devices, recovery keys, their devices: removed or not."""
    await world.append(D1, add=1)
    await world.append(D2, add=1)
    await world.append(D3, kit=True)
    await world.append(Signer.recovery(1), add=1)
    await world.append(Signer.device(4), remove=(2, 3), kit=True)
    for signer in (D1, Signer.device(4)):
        assert await world.refused(signer) == HOUR


async def test_many_devices_in_one_entry_count_as_many(world: World) -> None:
    """Their numbers run out: 65,535 of them must last for longer than a thief has."""
    await world.append(D1, add=SETTINGS.roster_entries - 1)
    assert await world.refused(D1, add=2) == HOUR
    await world.append(D1)
    world.now += HOUR
    await world.append(D1, add=SETTINGS.roster_entries + 3)  # more than the limit at once: nothing beside it
    assert await world.refused(D1) == HOUR


async def test_adding_brings_no_more_entries(world: World) -> None:
    """Over many hours: all together never more than the limit, and the reserves of those that have been there longer."""
    signers = [D1]
    assert await world.flood(signers) == SETTINGS.roster_entries
    world.now += HOUR
    older = len(signers)
    assert older > SETTINGS.roster_entries
    taken = await world.flood(signers)
    assert SETTINGS.roster_entries <= taken <= SETTINGS.roster_entries + older * SETTINGS.roster_reserve
    for signer in signers:
        if world.owner.roster.signing_key(signer) is not None:
            await world.refused(signer)


async def test_a_key_that_no_device_set_is_exempt(world: World) -> None:
    """The recovery kit always works: also one that the first one set."""
    await world.until_busy(D1)
    for _ in range(SETTINGS.roster_entries + 2):
        await world.append(Signer.recovery(0))
    await world.append(Signer.recovery(0), kit=True)
    for _ in range(SETTINGS.roster_entries + 2):
        await world.append(Signer.recovery(1), add=1)
    # What it adds is new, and counts by itself.
    assert await world.until_busy(Signer.device(2)) == SETTINGS.roster_entries
    assert await world.until_busy(Signer.device(3)) == SETTINGS.roster_entries
    assert await world.refused(D1) == HOUR


@pytest.mark.parametrize(("thief", "owner"), [(D2, D1), (D1, D2)])
async def test_a_flood_does_not_keep_its_author_from_being_removed(world: World, thief: Signer, owner: Signer) -> None:
    """Also where the stolen device is the one that all others descend from, and however it floods."""
    await world.append(D1, add=1)
    world.now += HOUR
    assert await world.flood([thief]) <= SETTINGS.roster_entries + SETTINGS.roster_reserve
    # Whatever comes from there now is refused; what the owner has tried all along comes through, in one entry.
    roster = world.owner.roster
    gone = tuple(d.number for d in roster.active_devices if Signer.device(d.number) != owner)
    await world.append(owner, remove=gone, kit=True)
    assert [Signer.device(device.number) for device in world.owner.roster.active_devices] == [owner]


async def test_a_clock_that_was_put_back_blocks_nobody(world: World) -> None:
    await world.until_busy(D1)
    world.now -= 10 * 365 * 24 * HOUR
    await world.append(D1)


async def test_who_descends_from_whom(world: World) -> None:
    await world.append(D1, add=1)  # 2
    await world.append(D2, kit=True)  # key 1
    await world.append(Signer.recovery(1), add=1, kit=True)  # 3, key 2
    await world.append(D1, add=1)  # 4
    await world.append(Signer.device(4), kit=True)  # key 3
    await world.append(Signer.recovery(0), add=1, remove=(1, 2, 3, 4), kit=True, reclaim=True)  # 5, key 4
    await world.append(Signer.recovery(4), add=1)  # 6
    key1 = Signer.recovery(1)
    lines = {
        D1: [D1],
        D2: [D2, D1],
        key1: [key1, D2, D1],
        Signer.recovery(2): [Signer.recovery(2), key1, D2, D1],
        D3: [D3, key1, D2, D1],
        Signer.device(4): [Signer.device(4), D1],
        Signer.recovery(3): [Signer.recovery(3), Signer.device(4), D1],
        Signer.recovery(0): [],
        Signer.recovery(4): [],
        Signer.device(6): [Signer.device(6)],
    }
    for signer, line in lines.items():
        assert lineage(world.owner.roster, signer) == line
