"""Attacks that take more than one victim, or a device that helps the relay (spec §1.2 P5 and P6, §1.4).

Where two histories were signed that exclude each other, no relay can bring the devices together again: they know it, for
good. The others come to one view.
"""

from __future__ import annotations

import os

import pytest

from sealkeep_client import RecoveryKit
from sealkeep_conformance.attacks import Found, Harmless, Unseen, devices_of, texts_of
from sealkeep_conformance.relay.faults import Fork, Rollback, ServeRefused
from sealkeep_protocol import signed
from sealkeep_protocol.hybrid_kem import wrap
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import compose_change
from support.attack_table import AttackTable
from support.household import Homes, Household, converge, dump, outcome_of, sync_and_write, texts, write


async def check_found(homes: Homes, device: str, found: Found) -> int:
    """A device finds a fork, at every try, and keeps what it has. Returns the exit status of a command that meets it."""
    status = 0
    for _ in range(2):
        async with await homes.open(device) as vault:
            before = await dump(vault)
            assert await outcome_of(vault.sync()) == (found, 3)
            status = 3
            assert await dump(vault) == before
    return status


async def remove_tablet(homes: Homes) -> None:
    """The phone removes the tablet, at what the relay shows it."""
    kits: list[RecoveryKit] = []
    async with await homes.open("phone") as phone:
        await phone.remove(3, on_kit=kits.append)


async def test_a_fork_that_only_withholds(household: Household, table: AttackTable) -> None:
    """Each half is a true part of one history: nobody can tell, and nothing contradicts when they come together."""
    homes = await household.at("in-step")
    fork = homes.relay.inject(Fork(position=4), door="laptop")
    await sync_and_write(homes, "tablet", "t1", {})
    await sync_and_write(homes, "phone", "p4", {})
    await sync_and_write(homes, "laptop", "l2", {})
    async with await homes.open("laptop") as laptop:
        outcome, status = await outcome_of(laptop.sync())
        assert outcome == Harmless()
        assert await texts(laptop) == sorted([*texts_of("in-step"), "l2"])
    table.record("fork-segments", Unseen(), status)
    homes.relay.lift(fork)
    assert await converge(homes, devices_of("in-step"), {}) == sorted([*texts_of("in-step"), "t1", "p4", "l2"])


@pytest.fixture
async def forked(household: Household) -> tuple[Homes, int]:
    """The laptop has followed a roster in which the attic joined; all others one in which the desk did, at the same number.

    The phone has written since.
    """
    homes = await household.at("in-step")
    fork = Fork(position=4)
    number = homes.relay.inject(fork, door="laptop")
    homes.relay.inject(fork, door="attic")
    for device in ("attic", "desk"):
        await (await homes.recover(device)).close()
    for device in ("laptop", "attic", "tablet", "desk"):
        async with await homes.open(device) as vault:
            await vault.sync()
    await sync_and_write(homes, "phone", "p4", {})
    return homes, number


async def test_a_forked_roster(forked: tuple[Homes, int], table: AttackTable) -> None:
    """SEG-07, P5: the first segment from the other side tells."""
    homes, _ = forked
    homes.relay.lift()
    status = await check_found(homes, "laptop", Found("fork", 1, 4))
    table.record("fork-roster", Found("fork", 1, 4), status, lasting=True)
    assert await converge(homes, ["phone", "tablet", "desk"], {}) == sorted([*texts_of("in-step"), "p4"])


async def test_a_newcomer_whose_roster_is_dropped(forked: tuple[Homes, int], table: AttackTable) -> None:
    """REL-13, ROS-14: it cannot log in, since its number is another device's; and it finds out why."""
    homes, _ = forked
    homes.relay.lift()
    status = await check_found(homes, "attic", Found("fork"))
    table.record("fork-newcomer", Found("fork"), status, lasting=True)
    assert await converge(homes, ["phone", "tablet", "desk"], {}) == sorted([*texts_of("in-step"), "p4"])


async def test_a_removed_device_that_goes_on(household: Household, table: AttackTable) -> None:
    """ROS-17, P6: whoever was shown the removal takes nothing more of it; whoever was not finds out when it is shown."""
    homes = await household.at("in-step")
    fork = Fork()
    for device in ("laptop", "tablet"):
        homes.relay.inject(fork, door=device)
    async with await homes.open("laptop") as laptop:
        await laptop.sync()  # the fork begins
    await remove_tablet(homes)
    await sync_and_write(homes, "tablet", "t1", {})
    async with await homes.open("laptop") as laptop:
        outcome, _ = await outcome_of(laptop.sync())
        assert outcome == Harmless()
        assert "t1" in await texts(laptop)  # §1.4: to it, the tablet is a member
    await sync_and_write(homes, "phone", "p4", {})
    homes.relay.lift()
    await check_found(homes, "tablet", Found("rollback", 3, 1))  # a receipt was given for what its removal leaves out
    status = await check_found(homes, "laptop", Found("rollback", 3, 1))
    table.record("fork-removed", Found("rollback", 3, 1), status, lasting=True)
    assert await converge(homes, ["phone"], {}) == sorted([*texts_of("in-step"), "p4"])


async def test_a_refused_header_for_a_third_device(household: Household, table: AttackTable) -> None:
    """SEG-06, SEG-09: it is a valid header to whoever knows no other; the one that replaced it contradicts it."""
    homes = await household.at("replaced")
    homes.relay.inject(ServeRefused(2, 2), door="tablet")
    async with await homes.open("tablet") as tablet:
        outcome, _ = await outcome_of(tablet.sync())
        assert outcome == Harmless()
        assert await texts(tablet) == texts_of("replaced")  # the same message, under another header
    homes.relay.lift()
    status = await check_found(homes, "tablet", Found("fork", 2, 2))
    table.record("refused-served-third", Found("fork", 2, 2), status, lasting=True)
    await sync_and_write(homes, "phone", "p4", {})
    assert await converge(homes, ["phone", "laptop", "desk"], {}) == sorted([*texts_of("replaced"), "p4"])


async def test_an_entry_that_is_acknowledged_and_forgotten(household: Household, table: AttackTable) -> None:
    """ROS-14: the new device holds its own entry. The kit works again, for another home."""
    homes = await household.at("in-step")
    with homes.relay.fault(Rollback(), door="desk"):
        await (await homes.recover("desk")).close()
    status = await check_found(homes, "desk", Found("rollback"))
    table.record("entry-forgotten", Found("rollback"), status, lasting=True)
    await (await homes.recover("attic")).close()
    assert await converge(homes, [*devices_of("in-step"), "attic"], {}) == texts_of("in-step")


async def test_a_wrap_of_another_secret(household: Household, table: AttackTable) -> None:
    """KEY-04, ROS-21, ROS-22: the relay cannot make one, as it would not have the digest that the entry names; a device
    can. Whoever it cuts off renews the keys, and goes on."""
    homes = await household.at("in-step")
    async with await homes.open("phone") as phone:
        account = phone._core.local.account
    composed = compose_change(
        account.roster, account.signer, account.keys.signing, list(account.epochs.values()), random=os.urandom
    )
    payload = signed.decode_payload(signed.split(composed.entry)[0])
    place = [recipient for recipient, _ in composed.roster.recipients()].index(2)
    wraps = list(composed.wraps)
    wraps[place] = wrap(bytes(32), core=payload.core, recipient=2, public=account.roster.devices[2].keys.kem)
    digests = list(map(sha256, wraps))
    entry = signed.sign("roster", account.id, payload.core, account.keys.signing, digests=digests)
    homes.relay.edit(lambda accounts: accounts[account.id].append_entry(account.roster.number, entry, wraps, now=0))
    async with await homes.open("laptop") as laptop:
        outcome, status = await outcome_of(laptop.sync())
        assert outcome == Harmless()
        await write(laptop, "l2")
        await laptop.sync()
    table.record("false-wrap", Harmless(), status)
    assert await converge(homes, devices_of("in-step"), {}) == sorted([*texts_of("in-step"), "l2"])
