"""Lies about the entries that a repair brings back: the device has composed one of its own by then (spec §11.5)."""

from __future__ import annotations

import pytest

from sealkeep_client import Vault
from sealkeep_conformance.attacks import Broken, Found, Outcome, devices_of, texts_of
from sealkeep_conformance.relay.faults import Fault, Lose, Swallow
from support.attack_table import AttackTable
from support.household import Household, converge, outcome_of, sync_and_write, texts


async def repair_and_sync(vault: Vault) -> None:
    await vault.repair()
    await vault.sync()


@pytest.mark.parametrize(
    ("name", "faults", "found"),
    [
        ("repair-entries-swallowed", [Swallow()], Found("rollback")),
        ("repair-entries-lost-answer", [Lose()], Broken()),
        ("repair-entries-forgotten", [Swallow(), Lose()], Broken()),
    ],
)
async def test_entries_that_a_repair_brings_back(
    household: Household, table: AttackTable, name: str, faults: list[Fault], found: Outcome
) -> None:
    """VIE-09, VIE-10: it goes on missing what is not there, however often it was told that it is, and gives it again."""
    homes = await household.at("lost-entry")
    for fault in faults:
        homes.relay.inject(fault, door="laptop", routes=("copy", "copy-roster"))
    async with await homes.open("laptop") as laptop:
        outcome, status = await outcome_of(repair_and_sync(laptop))
        assert outcome == found
        assert await texts(laptop) == texts_of("lost-entry")
        table.record(name, found, status)
    async with await homes.open("laptop") as laptop:
        if name != "repair-entries-lost-answer":  # there the entries stand, and the segments come after them
            assert await outcome_of(repair_and_sync(laptop)) == (outcome, status)
        assert await texts(laptop) == texts_of("lost-entry")
        homes.relay.lift()
        assert (await laptop.repair()).missing == ()
        await sync_and_write(homes, "phone", "after", {"laptop": laptop})
        assert await converge(homes, devices_of("lost-entry"), {"laptop": laptop}) == sorted(
            [*texts_of("lost-entry"), "after"]
        )
