"""Every attack of the catalogue against real vaults over a real socket (spec §1.2, §1.4, §9.2).

An honest phase comes first; the attack is found as the catalogue says, or not at all where the threat model says so; the
vault is as it was, also after a restart; nothing more is asked for; and when the relay is honest again, all devices come to
one view.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from sealkeep_client import Vault
from sealkeep_client.store import is_home
from sealkeep_conformance.attacks import ATTACKS, Attack, Found, Harmless, NotPaired, Unseen, devices_of, texts_of
from support import attack_table
from support.attack_table import AttackTable
from support.household import (
    Homes,
    Household,
    converge,
    dump,
    hurry,
    newer_kit,
    outcome_of,
    sync_and_write,
    texts,
)

JOINED = [name for name, attack in ATTACKS.items() if attack.act == "recover"]
PAIRED = [name for name, attack in ATTACKS.items() if attack.act == "pair"]
STOOD = [name for name in ATTACKS if name not in (*JOINED, *PAIRED)]


def begin(household: Household, homes: Homes, attack: Attack) -> None:
    for fault in attack.faults(household.facts(homes)):
        homes.relay.inject(fault, door=attack.victim, routes=attack.routes)


def check_requests(homes: Homes, attack: Attack) -> None:
    """What was asked ends with the lie, and with what the victim has to ask once more to be sure of it; nothing is sent
    after a lie that was told before."""
    sent = {"append", "enter", "copy", "copy-roster"} - attack.asked_again
    log = homes.relay.log
    lies = [place for place, asked in enumerate(log) if asked.faults]
    assert lies, "the attack was never carried out"
    assert log[-1].faults or log[-1].route in attack.asked_again, log[-1]
    assert not any(asked.route in sent and not asked.faults for asked in log[lies[0] :])


async def repair_and_sync(vault: Vault) -> None:
    """What the command does."""
    assert (await vault.repair()).missing == ()
    await vault.sync()


def known_texts(attack: Attack) -> list[str]:
    """What the victim shows after an attack that it cannot find."""
    lacks = attack.outcome.lacks if isinstance(attack.outcome, Unseen) else ()
    return [text for text in texts_of(attack.stage) if text not in lacks]


def without_notes(dumped: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """All but where the device has come to, and when."""
    return {**dumped, "meta": [row for row in dumped["meta"] if not row.startswith(("('cursor',", "('last-sync',"))]}


@pytest.mark.parametrize("name", STOOD)
async def test_attack(household: Household, table: AttackTable, name: str) -> None:
    """ERR-02, SEG-20, REL-10, REL-11, REL-13, REL-14"""
    attack = ATTACKS[name]
    homes = await household.at(attack.stage)
    begin(household, homes, attack)

    def act(vault: Vault) -> Any:
        hurry(vault)
        acts: dict[str, Any] = {
            "sync": vault.sync,
            "verify": vault.verify,
            "prove": partial(vault.verify, files=True),
            "repair": partial(repair_and_sync, vault),
        }
        return acts[attack.act]()

    async with await homes.open(attack.victim) as vault:
        before = await dump(vault)
        outcome, status = await outcome_of(act(vault))
        if isinstance(attack.outcome, Unseen | Harmless):
            assert outcome == Harmless()
            assert await texts(vault) == known_texts(attack)
        else:
            assert outcome == attack.outcome
            assert status == (3 if isinstance(outcome, Found) else 1)
            assert await dump(vault) == before
            check_requests(homes, attack)
        asked = len(homes.relay.log)
    table.record(name, attack.outcome, status)
    async with await homes.open(attack.victim) as vault:
        late = homes.relay.log[asked:]  # a page that was asked for ahead, while the one before was looked at
        assert [one.route for one in late] in ([], ["changes"])
        after = await dump(vault)
        assert isinstance(attack.outcome, Unseen | Harmless) or after == before
        assert await outcome_of(act(vault)) == (outcome, status)
        # A receipt that was refused is of a segment which the relay shows by now: it moves the cursor, and no more.
        assert without_notes(await dump(vault)) == without_notes(after)
        homes.relay.lift()
        if attack.act == "repair":
            assert (await vault.repair()).missing == ()
        await sync_and_write(homes, "phone", "after", {attack.victim: vault})
        assert await converge(homes, devices_of(attack.stage), {attack.victim: vault}) == sorted(
            [*texts_of(attack.stage), "after"]
        )


@pytest.mark.parametrize("name", JOINED)
async def test_attack_on_joining(household: Household, table: AttackTable, name: str) -> None:
    """KEY-09, REL-05: what fails leaves neither a home nor an entry in the roster, and the kit works afterwards."""
    attack = ATTACKS[name]
    homes = await household.at(attack.stage)
    ledger = homes.relay.accounts[homes.kit.account]
    kit = newer_kit(homes.kit, ledger.until(position=4, entry=2))
    begin(household, homes, attack)
    entries = list(ledger.entries)
    for _ in range(2):
        outcome, status = await outcome_of(homes.recover(attack.victim, kit))
        if isinstance(attack.outcome, Unseen | Harmless):
            assert outcome == Harmless()
            break
        assert outcome == attack.outcome
        assert status == (3 if isinstance(outcome, Found) else 1)
        assert ledger.entries == entries
        assert not is_home(homes.home(attack.victim))
        check_requests(homes, attack)
    table.record(name, attack.outcome, status)
    if isinstance(attack.outcome, Unseen | Harmless):
        async with await homes.open(attack.victim) as vault:
            await vault.sync()
            assert await texts(vault) == known_texts(attack)
        homes.relay.lift()
    else:
        homes.relay.lift()
        await (await homes.recover(attack.victim, kit)).close()
    await sync_and_write(homes, "phone", "after", {})
    devices = [*devices_of(attack.stage), attack.victim]
    assert await converge(homes, devices, {}) == sorted([*texts_of(attack.stage), "after"])


@pytest.mark.parametrize("name", PAIRED)
async def test_attack_on_pairing(household: Household, table: AttackTable, name: str) -> None:
    """PAI-04, PAI-07, PAI-08, PAI-09, PAI-13, P7: a failed pairing lets nobody in; and one that was let in is so once, with
    the keys that it has, however often the line or the relay came between."""
    attack = ATTACKS[name]
    homes = await household.at(attack.stage)
    ledger = homes.relay.accounts[homes.kit.account]
    begin(household, homes, attack)
    async with await homes.open("phone") as phone:
        before = await dump(phone)
        at_new, at_old, _ = await homes.pair(phone, "desk")
        outcome, status = at_new if attack.victim == "desk" else at_old
        assert outcome == attack.outcome, (at_new, at_old)
        assert status == (3 if isinstance(outcome, Found) else 0 if isinstance(outcome, Harmless) else 1)
        if isinstance(attack.outcome, NotPaired):
            assert at_new[0] == at_old[0] == NotPaired()
        if at_old[0] != Harmless():
            assert ledger.roster.number == 2
            assert await dump(phone) == before
        assert any(asked.faults for asked in homes.relay.log)
        table.record(name, attack.outcome, status)
        homes.relay.lift()
        if not is_home(homes.home("desk")):
            at_new, at_old, words = await homes.pair(phone, "desk")
            assert (at_new[0], at_old[0]) == (Harmless(), Harmless())
            assert len(set(words)) <= 1
        assert len(ledger.roster.devices) == 4
        await sync_and_write(homes, "desk", "d1", {})
        assert await converge(homes, [*devices_of(attack.stage), "desk"], {"phone": phone}) == sorted(
            [*texts_of(attack.stage), "d1"]
        )


def test_the_table_holds_every_attack_and_no_other(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--write-docs"):
        pytest.skip("the table is being written")
    said = attack_table.PATH.read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in said.splitlines() if line.startswith("| `")}
    assert list(rows) == attack_table.ALL_NAMES, "run `make attacks`"
    assert attack_table.render(rows) == said, "run `make attacks`"
