"""Who belongs to the account, through the vault on a real relay: telling, removing, renewing, replacing the kit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealkeep_client.kit import RecoveryKit
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault import Closing, RosterChange, SyncVault, Text, Vault
from sealkeep_protocol.errors import AuthenticationError, HistoryError, RefusedError, UsageError
from sealkeep_protocol.kit import KitError
from sealkeep_protocol.types import ObjectId, Seq

Person = Any  # of this folder's conftest

CHAT = "telegram:user:42"
THEN = 1_700_000_000_000
MINUTE = 60_000
DAY = 1440 * MINUTE


async def write(vault: Vault, text: str) -> None:
    await vault.append(await vault.conversation(CHAT), Text(text))


async def texts(vault: Vault) -> list[str | None]:
    found = [r.text async for page in vault.history(await vault.conversation(CHAT)) for r in page]
    return sorted(found, key=str)


def stays(kit: RecoveryKit) -> None:
    raise AssertionError("no kit is asked for here")


@pytest.fixture
async def three(person: Person) -> tuple[Vault, Vault, Vault]:
    """Phone, laptop and tablet, in step, each with something written."""
    phone = await person.create(now=lambda: THEN)
    await write(phone, "of the phone")
    await phone.sync()
    laptop, tablet = await person.recover(now=lambda: THEN + MINUTE), await person.recover("tablet")
    for vault, text in ((laptop, "of the laptop"), (tablet, "of the tablet")):
        await vault.sync()
        await write(vault, text)
        await vault.sync()
    for vault in (laptop, phone):
        await vault.sync()
    return phone, laptop, tablet


# Telling


async def test_devices(three: tuple[Vault, Vault, Vault]) -> None:
    _, laptop, _ = three
    phone, own, tablet = await laptop.devices()
    assert (phone.number, phone.name, phone.added_by, phone.added_at) == (1, "phone", "phone", THEN)
    assert (own.number, own.name, own.added_by, own.added_at) == (2, "laptop", "a recovery kit", THEN + MINUTE)
    assert [device.this for device in (phone, own, tablet)] == [False, True, False]
    assert all(device.active and device.segments == 1 for device in (phone, own, tablet))
    assert (phone.last_seen, phone.seen_from) == (THEN, "written")  # read when this one was restored
    assert (own.last_seen, own.seen_from) == (THEN + MINUTE, "read")
    assert (tablet.last_seen, tablet.seen_from) == (THEN + MINUTE, "read")


async def test_when_a_device_was_last_seen_that_imports(person: Person) -> None:
    """The times of its messages say nothing of when it wrote them; this one's clock does, while it is in step."""
    long_ago, moment = THEN - 1000 * DAY, THEN
    phone, tablet = await person.create(now=lambda: THEN), await person.recover("tablet", now=lambda: moment)
    for device in (phone, tablet):
        await device.sync()

    async def imported(text: str) -> None:
        await phone.append(await phone.conversation(CHAT), replace(Text(text), time=long_ago), source=text)
        await phone.sync()

    await imported("one")
    moment += DAY // 2
    await tablet.sync()
    [first, _] = await tablet.devices()
    assert (first.last_seen, first.seen_from) == (moment, "read")
    moment += 2 * DAY
    await imported("two")
    await tablet.sync()  # it may have been there for two days, or for a minute
    assert (await tablet.devices())[0].last_seen == moment - 2 * DAY
    new = await person.recover("new", now=lambda: moment)
    await new.sync()
    [first, *_] = await new.devices()
    assert (first.last_seen, first.seen_from) == (long_ago, "messages")
    await imported("three")
    await new.sync()
    [first, *_] = await new.devices()
    assert (first.last_seen, first.seen_from) == (moment, "read")


async def test_a_clock_that_is_years_ahead_says_nothing(person: Person) -> None:
    """§7.7: neither when that device was, nor what time it is."""
    phone = await person.create(now=lambda: THEN + 10**12)
    await write(phone, "from the future")
    await phone.sync()
    laptop = await person.recover(now=lambda: THEN)
    await laptop.sync()
    assert [device.last_seen for device in await laptop.devices()] == [None, None]
    await write(laptop, "now")
    assert laptop._core.local.clock.last >> 16 == THEN
    assert await texts(laptop) == ["from the future", "now"]


async def test_the_history_of_an_account(three: tuple[Vault, Vault, Vault]) -> None:
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.remove(3, on_kit=stays)
    await phone.replace_kit(on_kit=kits.append)
    await phone.rotate()
    genesis, second, third, removed, replaced, renewed = await phone.device_log()
    assert (genesis.what, genesis.signed_by, genesis.kit, genesis.added) == ("genesis", "phone", 0, ((1, "phone"),))
    assert (second.what, second.signed_by, second.kit, second.added) == (
        "change",
        "recovery kit 0",
        None,
        ((2, "laptop"),),
    )
    assert third.added == ((3, "tablet"),)
    assert (removed.signed_by, removed.removed, removed.pins) == ("phone", ((3, "tablet"),), ((1, False),))
    assert (replaced.kit, replaced.epoch) == (1, 5)
    assert renewed == RosterChange(5, renewed.id, "change", THEN, "phone", genesis.key, 6, device=1, this=True)
    assert [change.number for change in await phone.device_log()] == list(range(6))
    assert phone._core.local.account.roster.entry_ids == tuple(change.id for change in await phone.device_log())


async def test_kits_as_they_are_told(three: tuple[Vault, Vault, Vault]) -> None:
    phone, laptop, _ = three
    kits: list[RecoveryKit] = []
    await laptop.replace_kit(on_kit=kits.append)
    await phone.remove(2, on_kit=kits.append)
    first, of_laptop, new = await phone.kits()
    assert [(kit.set_by, kit.device, kit.current, kit.in_force) for kit in (first, of_laptop, new)] == [
        ("phone", 1, False, True),
        ("laptop", 2, False, True),
        ("phone", 1, True, True),
    ]
    assert [kit.removed_device for kit in (first, of_laptop, new)] == [False, True, False]


# Removing


async def test_a_removed_device_is_out_and_its_vault_stays(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """P6, REL-06: from its next request on, whatever token it holds."""
    phone, laptop, tablet = three
    await write(laptop, "just before")
    await laptop.sync()
    change = await phone.remove(2, on_kit=stays)
    assert (change.removed, change.new_kit) == (((2, "laptop"),), False)
    assert "just before" in await texts(phone)
    await write(phone, "after it")
    await phone.sync()
    await write(laptop, "never sent")
    for _ in range(2):
        with pytest.raises(RefusedError, match="removed from the account by “phone”") as caught:
            await laptop.sync()
        assert (caught.value.code, caught.value.retryable) == ("revoked", False)
    assert await texts(laptop) == ["just before", "never sent", "of the laptop", "of the phone", "of the tablet"]
    await tablet.sync()
    assert await texts(tablet) == ["after it", "just before", "of the laptop", "of the phone", "of the tablet"]
    # It knows by itself by now, and says so; also after a restart.
    await laptop.close()
    laptop = await person.open("laptop")
    [_, own, _] = await laptop.devices()
    assert (own.active, own.removed_by, own.removed_at) == (False, "phone", THEN)
    assert (await laptop.status()).removed_by == "phone"
    with pytest.raises(RefusedError, match="removed from the account"):
        await laptop.remove(3)


async def test_the_token_of_a_removed_device_is_worth_nothing(three: tuple[Vault, Vault, Vault]) -> None:
    """REL-06: neither reading nor writing, from the next request on."""
    phone, laptop, _ = three
    relay = laptop._core.relay
    await relay.heads()
    await phone.remove(2, on_kit=stays)
    for request in (
        relay.heads(),
        relay.wraps(),
        relay.changes(0, incarnation=None),
        relay.feed(1, 1),
        relay.append([(b"",)]),
    ):
        with pytest.raises(RefusedError) as caught:
            await request
        assert caught.value.code == "revoked"


async def test_a_device_that_has_seen_the_kit_takes_it_along(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """ROS-16: the new kit is there before anything is changed."""
    phone, laptop, _ = three
    before = (await laptop.device_log())[-1].number
    with pytest.raises(UsageError, match="nobody is there to take the new one"):
        await laptop.remove(1)

    def give_up(kit: RecoveryKit) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await laptop.remove(1, on_kit=give_up)
    await laptop.sync()
    assert (await laptop.device_log())[-1].number == before
    kits: list[RecoveryKit] = []
    change = await laptop.remove(1, on_kit=kits.append)
    assert (change.removed, change.new_kit) == (((1, "phone"),), True)
    [kit] = kits
    assert (kit.roster[0], kit.relay, kit.identity) == (before, person.relay.url, person.relay.identity)
    assert [feed[0] for feed in kit.feeds] == [1, 2, 3]
    assert (await Vault.verify_kit(kit)).restores_all
    assert not (await Vault.verify_kit(person.kit)).restores_all
    with pytest.raises(RefusedError, match="removed from the account"):
        await phone.sync()


async def test_a_kit_that_was_handed_out_before_is_used(three: tuple[Vault, Vault, Vault]) -> None:
    """A crash after the kit was written, and before the entry was sent, leaves the old kit in force, and this one good."""
    phone, laptop, _ = three
    kits: list[RecoveryKit] = []

    def cut(kit: RecoveryKit) -> None:
        kits.append(kit)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await phone.replace_kit(on_kit=cut)
    with pytest.raises(KitError, match=r"not \(yet\) in force"):
        await Vault.verify_kit(kits[0])
    change = await phone.replace_kit(on_kit=stays, prepared=kits[0])
    assert change.new_kit
    assert (await Vault.verify_kit(kits[0])).restores_all
    assert (await phone.replace_kit(on_kit=stays, prepared=kits[0])).entry is None  # done before
    await phone.replace_kit(on_kit=kits.append)
    with pytest.raises(UsageError, match="an older one of the account"):
        await phone.replace_kit(on_kit=stays, prepared=kits[0])
    with pytest.raises(UsageError, match="one of the account already"):
        await laptop.remove(1, on_kit=stays, prepared=kits[0])


async def test_a_kit_that_somebody_else_laid_there_is_not_used(
    person: Person, three: tuple[Vault, Vault, Vault]
) -> None:
    """KEY-12, P7: whoever wrote a kit's file reads what it opens; all but the seed of a kit is known to the relay."""
    phone, laptop, _ = three
    planted = replace(person.kit, seed=bytes(range(32)))
    with pytest.raises(UsageError, match="not the one that this device made last"):
        await phone.replace_kit(on_kit=stays, prepared=planted)
    kits: list[RecoveryKit] = []

    def cut(kit: RecoveryKit) -> None:
        kits.append(kit)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await phone.replace_kit(on_kit=cut)
    for vault, prepared in ((phone, planted), (laptop, kits[0])):
        with pytest.raises(UsageError, match="not the one that this device made last"):
            await vault.replace_kit(on_kit=stays, prepared=prepared)
    with pytest.raises(UsageError, match="not the one that this device made last"):
        await laptop.remove(1, on_kit=stays, prepared=planted)
    assert len(await phone.kits()) == 1
    assert (await phone.replace_kit(on_kit=stays, prepared=kits[0])).new_kit


async def test_what_no_removal_can_say(three: tuple[Vault, Vault, Vault]) -> None:
    phone, _, _ = three
    with pytest.raises(UsageError, match="name the devices"):
        await phone.remove()
    with pytest.raises(UsageError, match="name the devices"):
        await phone.remove(2, discard={3: None})
    with pytest.raises(UsageError, match="does not remove itself"):
        await phone.remove(1, on_kit=stays)
    with pytest.raises(UsageError, match="no device 9"):
        await phone.remove(9)


async def test_removing_twice(three: tuple[Vault, Vault, Vault]) -> None:
    phone, _, tablet = three
    await phone.remove(2, on_kit=stays)
    assert (await phone.remove(2, on_kit=stays)).entry is None
    assert (await tablet.remove(2, on_kit=stays)).entry is None  # which the tablet had not heard of


# The kit


@pytest.mark.parametrize("remove_others", [False, True])
async def test_a_kit_has_seen_what_was_given_up_since(
    person: Person, three: tuple[Vault, Vault, Vault], remove_others: bool
) -> None:
    """P7, ROS-12: no device takes a kit's power by discarding what the kit has seen; that is no rollback."""
    phone, laptop, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    assert [device for device, _, _ in kits[0].feeds] == [1, 2, 3]
    await laptop.remove(3, on_kit=stays, discard={3: 0})
    new = await Vault.recover(
        person.home("new"),
        kit=kits[0],
        unlock=person.unlock,
        name="new",
        remove_others=remove_others,
        on_kit=kits.append,
    )
    person.keep(new)
    await new.sync()
    assert await texts(new) == ["of the laptop", "of the phone"]


async def test_a_replaced_kit_reads_nothing_new(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """§5.4, P7: it keeps what it could open, and its right, unless it signed itself."""
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    old, new = await Vault.verify_kit(person.kit), await Vault.verify_kit(kits[0])
    assert (old.epochs, old.missing, old.in_force, old.current, old.replaced_by) == (4, (4,), True, False, "phone")
    assert (old.lost, old.restores_all, new.lost, new.restores_all) == (0, False, 0, True)
    await write(phone, "for the new kit")
    await phone.sync()
    assert (await Vault.verify_kit(person.kit)).lost == 1
    assert (new.epochs, new.missing, new.in_force, new.current, new.replaced_by) == (4, (), True, True, None)
    with pytest.raises(
        UsageError, match=r"replaced on \d{4}-\d\d-\d\d by a newer one, made by “phone”; that one alone"
    ):
        await phone.replace_kit(on_kit=stays, kit=person.kit)
    with pytest.raises(UsageError, match=r"replaced on .* use that one; if you have only this one, .*--remove-others"):
        await person.recover("late")
    await phone.replace_kit(on_kit=kits.append, kit=kits[0])
    report = await Vault.verify_kit(kits[0])
    assert (report.in_force, report.restores_all) == (False, False)
    with pytest.raises(RefusedError, match="replaced by a newer one"):
        await phone.replace_kit(on_kit=stays, kit=kits[0])
    assert (await Vault.verify_kit(kits[1])).restores_all


@pytest.mark.parametrize("last", [0, 1])
async def test_a_kit_that_has_seen_what_was_given_up_later(
    person: Person, three: tuple[Vault, Vault, Vault], last: int
) -> None:
    """KEY-13, P7: otherwise a thief would make it useless, by removing a device and giving up what that wrote."""
    phone, laptop, _ = three
    await write(laptop, "given up")
    await laptop.sync()
    await phone.sync()
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    assert [(device, seq) for device, seq, _ in kits[0].feeds] == [(1, 1), (2, 2), (3, 1)]
    await phone.remove(2, on_kit=stays, discard={2: last})
    assert (await Vault.verify_kit(kits[0])).restores_all
    person.kits[0] = kits[0]
    new = await person.recover("new")
    await new.sync()
    left = [*(["of the laptop"] if last else []), "of the phone", "of the tablet"]
    assert await texts(new) == left
    home, unlock = person.home("back"), person.unlock
    back = person.keep(
        await Vault.recover(home, kit=kits[0], unlock=unlock, name="back", remove_others=True, on_kit=kits.append)
    )
    await back.sync()
    assert await texts(back) == left


@pytest.mark.parametrize(
    ("more", "other", "code"),
    [
        pytest.param(1, False, "rollback", id="shorter"),
        pytest.param(0, True, "fork", id="another header"),
    ],
)
async def test_trying_a_kit_holds_its_heads_against_the_relay(
    three: tuple[Vault, Vault, Vault], more: int, other: bool, code: str
) -> None:
    """KEY-13: before it says that the kit restores everything."""
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    (device, seq, head), *others = kits[0].feeds
    seen = (device, Seq(seq + more), ObjectId(bytes(32)) if other else head)
    with pytest.raises(HistoryError, match="the recovery kit has seen") as caught:
        await Vault.verify_kit(replace(kits[0], feeds=(seen, *others)))
    assert (caught.value.code, caught.value.device, caught.value.seq) == (code, device, seq + more)


async def test_a_removal_without_discard_after_excuses_no_feed_that_is_shorter(
    three: tuple[Vault, Vault, Vault],
) -> None:
    """KEY-13: such a pin is the feed's end, so that a kit which has seen more is shown an older state."""
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    await phone.remove(2, on_kit=kits.append)
    feeds = [(number, Seq(seq + (number == 2)), head) for number, seq, head in kits[0].feeds]
    with pytest.raises(HistoryError, match="the recovery kit has seen more") as caught:
        await Vault.verify_kit(replace(kits[0], feeds=tuple(feeds)))
    assert (caught.value.code, caught.value.device, caught.value.seq) == ("rollback", 2, 2)


async def test_a_kit_in_force_does_not_end_the_old_one(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """What was asked for is that the old one can do nothing any more; to say that this is done would be false."""
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    with pytest.raises(UsageError, match="the old one did not sign that"):
        await phone.replace_kit(on_kit=stays, prepared=kits[0], kit=person.kit)
    assert [kit.in_force for kit in await phone.kits()] == [True, True]
    await phone.replace_kit(on_kit=kits.append, kit=kits[0])
    assert [kit.in_force for kit in await phone.kits()] == [True, False, True]
    again = await phone.replace_kit(on_kit=stays, prepared=kits[1], kit=kits[0])  # the answer was lost, say
    assert again.entry is None


async def test_a_kit_of_another_account(tmp_path: Path, person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    phone, _, _ = three
    stranger = type(person)(tmp_path / "stranger", person.relay)
    await (await stranger.create()).close()
    with pytest.raises(UsageError, match="belongs to another account"):
        await phone.replace_kit(on_kit=stays, kit=stranger.kit)
    with pytest.raises(UsageError, match="belongs to another account"):
        await phone.replace_kit(on_kit=stays, prepared=stranger.kit)
    with pytest.raises(KitError, match=r"not \(yet\) in force"):
        await Vault.verify_kit(replace(stranger.kit, account=person.kit.account, roster=person.kit.roster))
    with pytest.raises(AuthenticationError, match="not the relay"):
        await Vault.verify_kit(replace(person.kit, identity=bytes(32)))


async def test_closing(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """§5.4: at once with the first kit; a younger one's can be undone for 30 days."""
    phone, _, _ = three
    kits: list[RecoveryKit] = []
    await phone.replace_kit(on_kit=kits.append)
    assert await Vault.close_account(kits[0], now=lambda: THEN) == Closing(30)
    assert await Vault.close_account(kits[0]) == Closing(30, before=True, at=THEN)
    await write(phone, "still taken")
    await phone.sync()
    with pytest.raises(UsageError, match="account is closed"):
        await phone.rotate()
    with pytest.raises(RefusedError, match="--remove-others"):
        await person.recover("late")
    fresh = await Vault.recover(
        person.home("fresh"),
        kit=person.kit,
        unlock=person.unlock,
        name="fresh",
        remove_others=True,
        on_kit=kits.append,
    )
    person.keep(fresh)
    await fresh.sync()
    assert await texts(fresh) == ["of the laptop", "of the phone", "of the tablet"]
    assert await Vault.close_account(kits[1]) == Closing(0)
    with pytest.raises(RefusedError) as caught:
        await fresh.sync()
    assert caught.value.code == "closed"
    assert "of the phone" in await texts(fresh)


@pytest.mark.parametrize("code", ["revoked", "closed", "not-found"])
async def test_a_relay_that_denies_a_kit(
    person: Person, three: tuple[Vault, Vault, Vault], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """REL-13: its roster, which it shows beside, does not bear that out; the person is not told to throw the kit away."""

    async def denies(*_: Any, **__: Any) -> Any:
        raise RefusedError(code, "no", status=403)

    for route in ("wraps", "append_roster"):
        with monkeypatch.context() as patch:
            patch.setattr(HttpRelay, route, denies)
            with pytest.raises(HistoryError, match="does not bear out"):
                await person.recover("new")
            with pytest.raises(HistoryError, match="does not bear out"):
                await (Vault.verify_kit if route == "wraps" else Vault.close_account)(person.kit)
    assert (await Vault.verify_kit(person.kit)).restores_all


async def test_a_relay_that_lost_a_kits_account(
    person: Person, three: tuple[Vault, Vault, Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """REL-13, KEY-09: the kit has seen more than the genesis there; of the first kit that nobody can say."""

    async def denies(*_: Any, **__: Any) -> Any:
        raise RefusedError("not-found", "no such account", status=404)

    kits: list[RecoveryKit] = []
    await three[0].replace_kit(on_kit=kits.append)
    monkeypatch.setattr(HttpRelay, "roster", denies)
    with pytest.raises(HistoryError) as caught:
        await Vault.verify_kit(kits[0])
    assert caught.value.code == "rollback"
    with pytest.raises(RefusedError, match="no such account"):
        await Vault.verify_kit(person.kit)


async def test_for_programs_with_threads(person: Person) -> None:
    def use() -> None:
        kits: list[RecoveryKit] = []
        with SyncVault.create(
            person.home("desktop"),
            relay=person.relay.url,
            unlock=person.unlock,
            name="desktop",
            on_kit=kits.append,
        ) as vault:
            assert [device.name for device in vault.devices()] == ["desktop"]
            assert vault.rotate().entry == 1
            assert vault.replace_kit(on_kit=kits.append).new_kit
            assert [kit.number for kit in vault.kits()] == [0, 1]
            assert len(vault.device_log()) == 3
            with pytest.raises(UsageError):
                vault.remove(1)

    await asyncio.to_thread(use)


async def test_a_sync_tells_who_came_and_went(person: Person, three: tuple[Vault, Vault, Vault]) -> None:
    """Of what others did, once, to who asks for it: not of what was done here, by this device or by a kit in hand."""
    phone, laptop, _ = three
    for vault in (phone, laptop):
        await vault.sync()
    kits: list[RecoveryKit] = []
    await laptop.replace_kit(on_kit=kits.append)
    await laptop.remove(3, on_kit=stays)
    record = await phone.append(await phone.conversation(CHAT), Text("waits"))
    await phone.uploaded(record)  # which nobody is told of
    made, gone = (await phone.sync()).changes
    assert (made.kit, made.signed_by, made.device, made.this) == (1, "laptop", 2, False)
    assert (gone.removed, gone.kit) == (((3, "tablet"),), None)
    assert (await phone.sync()).changes == ()
    assert (await laptop.sync()).changes == ()
    await phone.remove(2, on_kit=kits.append, kit=person.kit)
    assert (await phone.sync()).changes == ()
    person.kits[0] = kits[-1]
    new = await person.recover("new")
    assert (await new.sync()).changes == ()
    [came] = (await phone.sync()).changes
    assert (came.added, came.signed_by, came.device) == (((4, "new"),), "recovery kit 2", None)
