"""A device that was enrolled once and turns on the others: whom it removes, and how it resists (P6, P7)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sealkeep_client import RecoveryKit, Vault
from sealkeep_client.cli._failures import explain
from sealkeep_client.transport import HttpRelay
from sealkeep_conformance.attacks import Found, Harmless
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError, UsageError
from sealkeep_protocol.roster import Removal, Roster, compose_change
from support.accounts import refused
from support.hostile_devices import false_view, lowering, signed_change
from support.hostile_scene import HostileScene


async def test_an_entry_flood_that_races_its_removal(scene: HostileScene) -> None:
    """ROS-20, §5.5: twelve entries, each a moment before the removal gets there; it comes through all the same."""

    def flood() -> None:
        async def rotate() -> None:
            # A line of its own: the laptop's vault belongs to this test's loop.
            line = HttpRelay(str(scene.laptop._core.relay.url), now=asyncio.get_running_loop().time)
            try:
                entries, head = await line.roster(scene.account.id, 0)
                roster = Roster.read(entries, account=scene.account.id)
                composed = signed_change(scene.account, roster=roster)
                await line.append_roster(scene.account.id, head, composed.entry, composed.wraps)
            finally:
                await line.close()

        asyncio.run(rotate())

    for _ in range(12):
        scene.proxy.before("POST", "/roster", flood)
    change = await scene.remove(3)
    assert change.removed == ((3, "laptop"),)
    assert change.entry == 3 + 12  # so the relay took all of them
    with pytest.raises(RefusedError, match="removed from the account"):
        await scene.laptop.sync()
    await scene.write(scene.phone, "two")
    found = await scene.found(scene.phone, scene.tablet)
    assert await scene.texts(scene.tablet) == ["one", "two"]
    await scene.record("entry-flood", Harmless(), found)


async def test_a_pin_that_nobody_can_reach(scene: HostileScene) -> None:
    """ROS-12, VIE-09: the copy route takes no removal of an honest device that pins what was never written: every device
    would miss that for ever, and so would whoever comes with the kit."""
    account = scene.account
    first = signed_change(account, removed=[Removal(2, 100, os.urandom(32), False)])
    held = [*account.epochs.values(), first.keys]
    second = compose_change(first.roster, account.signer, account.keys.signing, held, random=os.urandom)
    copies = [(first.entry, [None] * len(first.wraps)), (second.entry, second.wraps)]
    said = await scene.answered(scene.laptop._core.relay.copy_roster(account.id, copies))
    async with await scene.recover() as new:
        found = await scene.found(scene.phone, scene.tablet, new)
        assert await scene.texts(new) == ["one"]
        await scene.record("wrong-pin", said, found, scene.phone, scene.tablet, new)


async def test_a_pin_that_a_device_lowers(scene: HostileScene) -> None:
    """ROS-23: so that what the tablet wrote would be erased. Only the highest kit may: the relay refuses it, and so does
    every device."""
    await scene.write(scene.tablet, "of the tablet")
    await scene.tablet.sync()
    await scene.remove(2)
    await scene.laptop.sync()
    entry, wraps = lowering(scene.account, Removal(2, 0, b"", True))
    said = await scene.answered(scene.append(entry, wraps))
    with pytest.raises(PeerError) as refusal:  # a relay that helps would show it
        scene.phone._core.local.account.roster.append(entry)
    assert await scene.texts(scene.phone) == ["of the tablet", "one"]
    found = Found(refusal.value.code), explain(refusal.value).status
    async with await scene.recover() as new:
        await scene.record("lowers-pin", said, found, scene.phone, new)


@asynccontextmanager
async def taken_back(scene: HostileScene) -> AsyncIterator[Vault]:
    """The device with which the kit takes the account back; without the person's word it gives up nothing."""
    kits: list[RecoveryKit] = []
    with refused(HistoryError, "fork", device=3, seq=1):
        await scene.reclaim(kits, discard=False)
    assert kits == []
    async with await scene.reclaim(kits, discard=True) as new:
        await new.sync()
        assert await scene.texts(new) == ["one"]
        yield new


async def test_an_account_is_taken_back_from_one_who_contradicts(scene: HostileScene) -> None:
    """ROS-11, ROS-12: by the kit, likewise on a person's word."""
    await scene.send(false_view(scene.account))
    async with taken_back(scene) as new:
        assert (await new.device_log())[-1].pins == ((1, False), (0, False), (0, True))


async def pinned_by_an_accomplice(scene: HostileScene) -> None:
    """The laptop contradicts what it was shown; the tablet is in league with it, removes it, and pins just that."""
    false = false_view(scene.account)
    await scene.send(false)
    account = scene.tablet._core.local.account
    composed = signed_change(account, removed=[Removal(3, 1, false.header_id, False)])
    await scene.tablet._core.relay.append_roster(account.id, account.roster.number, composed.entry, composed.wraps)


async def test_a_contradiction_that_an_accomplice_pins(scene: HostileScene) -> None:
    """P7, ROS-23: every reader stops there, and says with which command the kit ends that; no device can, and then all
    go on."""
    said = await scene.answered(pinned_by_an_accomplice(scene))
    found = await scene.found(scene.phone)
    for step in (scene.phone.sync, lambda: scene.phone.remove(2), scene.phone.verify):
        with refused(HistoryError, "fork", device=3, seq=1) as caught:
            await step()
        assert "`sealkeep remove 3 --discard --with KIT`" in explain(caught.value).lines[-1]
    for discard in (None, 0):
        with pytest.raises(UsageError, match=r"device 3 was removed before: .* only with the recovery kit"):
            await scene.phone.remove(3, discard={3: discard})
    change = await scene.remove(2, 3, discard=True, kit=scene.kit)
    assert (change.removed, change.lowered) == (((2, "tablet"),), ((3, "laptop"),))
    await scene.write(scene.phone, "goes on")
    await scene.phone.sync()
    lowering, removal = (await scene.phone.device_log())[-2:]
    assert (lowering.signed_by, lowering.pins, lowering.lowered) == ("recovery kit 0", ((0, True),), (3,))
    assert (removal.removed, removal.lowered) == (((2, "tablet"),), ())
    assert [(d.number, d.removed_by) for d in await scene.phone.devices()][1:] == [(2, "a recovery kit"), (3, "tablet")]
    async with await scene.recover() as new:
        await new.sync()
        assert await scene.texts(new) == ["goes on", "one"]
        await scene.record("false-view-pinned", said, found, scene.phone, new)


async def test_an_account_is_taken_back_from_accomplices(scene: HostileScene) -> None:
    """P7, ROS-11, ROS-23: by one entry; without the person's word it gives up nothing."""
    await pinned_by_an_accomplice(scene)
    async with taken_back(scene) as new:
        last = (await new.device_log())[-1]
        assert (last.what, last.pins, last.lowered) == ("reclaim", ((1, False), (0, False), (0, True)), (3,))
