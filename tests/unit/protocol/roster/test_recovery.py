"""Who owns an account: the rights of recovery keys (spec §5.4), and what a thief can and cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_protocol.errors import HistoryError, UsageError
from sealkeep_protocol.roster import Entry, Roster, Signer
from support.accounts import MadeAccount, altered, device, kit, refused

OWNER, STOLEN = device(1), device(2)


@pytest.fixture
def account() -> MadeAccount:
    """The owner's phone (1) and tablet (2); the kit 0 lies in a drawer. The tablet is about to be stolen."""
    account = MadeAccount(devices=2)
    account.seal(1)
    account.seal(2)
    return account


def rights(account: MadeAccount) -> list[int]:
    """The recovery keys that have their right."""
    return [key.number for key in account.roster.recovery_keys if key.has_right]


def active(account: MadeAccount) -> list[int]:
    return [item.number for item in account.roster.active_devices]


def refuse(account: MadeAccount, entry: Entry, by: Signer, **fields: Any) -> None:
    with refused(HistoryError, "roster"):
        account.append(account.forge(altered(entry, signer=by, **fields), by))


def test_a_device_that_replaces_the_kit_does_not_end_the_owners(account: MadeAccount) -> None:
    """§5.4: a key that devices replaced keeps its right and ranks above the newer ones."""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=OWNER)
    assert rights(account) == [0, 1, 2, 3]
    assert account.roster.current_recovery_key.number == 3
    assert [key.added_by for key in account.roster.recovery_keys] == [OWNER, STOLEN, STOLEN, OWNER]
    assert account.roster.signing_key(kit(0)) == account.recovery(0).signing.public


def test_the_owner_reclaims_from_a_thief_who_replaced_the_kit_twice(account: MadeAccount) -> None:
    """§5.4, ROS-11"""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=STOLEN)
    account.remove(1, by=STOLEN, new_kit=True)
    assert active(account) == [2]
    account.reclaim(by=0)
    assert active(account) == [3]
    assert rights(account) == [4]
    fork = account.fork()
    fork.change(kit(4))
    for number in range(4):
        assert account.roster.signing_key(kit(number)) is None
        refuse(account, fork.entry(), kit(number))
    assert account.roster.signing_key(STOLEN) is None


def test_a_thief_cannot_reclaim_back(account: MadeAccount) -> None:
    """§5.4: with no key that was younger than the owner's."""
    account.replace_kit(by=STOLEN)
    account.reclaim(by=0)
    fork = account.fork()
    fork.reclaim(by=2)
    refuse(account, fork.entry(), kit(1))
    refuse(account, fork.entry(), kit(0))
    refuse(account, fork.entry(), STOLEN)


def test_a_thiefs_kit_reclaims_where_the_owner_does_nothing(account: MadeAccount) -> None:
    """§5.4: a kit is a kit; the owner's still ranks above it."""
    account.replace_kit(by=STOLEN)
    account.reclaim(by=1)
    assert rights(account) == [0, 2]
    account.reclaim(by=0)
    assert rights(account) == [3]


def test_a_close_by_a_younger_key_is_undone_by_an_older_ones_reclaim(account: MadeAccount) -> None:
    """ROS-09"""
    account.replace_kit(by=STOLEN)
    account.close(by=1)
    closed = account.roster
    assert (closed.is_closed, closed.closed_by, closed.close_is_final) == (True, 1, False)
    account.reclaim(by=0)
    assert (account.roster.is_closed, account.roster.closed_by) == (False, None)
    assert rights(account) == [2]
    account.change(device(3))


def test_after_a_close_only_an_older_keys_reclaim_is_taken(account: MadeAccount) -> None:
    """ROS-09"""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=STOLEN)
    reclaimed = account.fork()
    reclaimed.reclaim(by=1)
    changed = account.fork()
    changed.change(kit(0))
    closed = account.fork()
    closed.close(by=0)
    account.close(by=1)
    place = {"number": account.roster.number + 1, "previous": account.roster.head}
    for number in (1, 2):
        refuse(account, reclaimed.entry(), kit(number), **place)
    refuse(account, reclaimed.entry(), OWNER, **place)
    refuse(account, changed.entry(), kit(0), **place)
    refuse(account, changed.entry(), OWNER, **place)
    refuse(account, closed.entry(), kit(0), **place)
    account.append(account.forge(altered(reclaimed.entry(), signer=kit(0), **place), kit(0)))


def test_a_close_by_the_oldest_key_is_final(account: MadeAccount) -> None:
    """ROS-09"""
    account.replace_kit(by=STOLEN)
    reclaimed = account.fork()
    reclaimed.reclaim(by=1)
    account.close(by=0)
    assert account.roster.close_is_final
    place = {"number": account.roster.number + 1, "previous": account.roster.head}
    for number in (0, 1):
        refuse(account, reclaimed.entry(), kit(number), **place)


def test_a_close_is_final_where_no_older_key_has_its_right(account: MadeAccount) -> None:
    """ROS-09, §5.4"""
    account.change(kit(0), new_kit=True)
    account.close(by=1)
    assert account.roster.close_is_final


def test_the_owners_change_with_the_kit_ends_younger_keys(account: MadeAccount) -> None:
    """§5.4: a removal that a recovery key signs, also of the device that set the one before the current one."""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=OWNER)
    account.change(kit(0), remove=[2])
    assert rights(account) == [0, 2]
    assert active(account) == [1]
    fork = account.fork()
    fork.change(OWNER)
    refuse(account, fork.entry(), kit(1))
    account.change(kit(2))


def test_the_current_key_that_sets_a_new_one_ends_itself(account: MadeAccount) -> None:
    """§5.4: "an entry of any type that is signed by a recovery key and sets a new one"."""
    account.replace_kit(by=OWNER)
    account.change(kit(1), remove=[2], new_kit=True)
    assert rights(account) == [0, 2]
    fork = account.fork()
    fork.change(OWNER)
    refuse(account, fork.entry(), kit(1))


def test_a_bare_rotation_by_a_kit_ends_nothing_of_devices_that_are_there(account: MadeAccount) -> None:
    """§5.4"""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=STOLEN)
    assert not account.roster.may_end_keys(kit(0))
    account.change(kit(0))
    account.change(kit(1))
    assert rights(account) == [0, 1, 2]


def test_a_bare_rotation_by_a_kit_ends_the_keys_of_removed_devices(account: MadeAccount) -> None:
    """§5.4: by the owner's kit, after another device of his has removed the stolen one; no younger key's can."""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=STOLEN)
    account.remove(2, by=OWNER, new_kit=True)
    assert rights(account) == [0, 1, 2, 3]
    younger, other, device_only = account.fork(), account.fork(), account.fork()
    younger.change(kit(1))
    assert rights(younger) == [0, 1, 3]  # those that rank above it stay
    younger.change(kit(3))
    assert rights(younger) == [0, 1, 3]
    other.add(by=OWNER)
    other.remove(3, by=kit(0))  # no bare rotation
    assert rights(other) == [0, 1, 2, 3]
    device_only.change(OWNER)
    assert rights(device_only) == [0, 1, 2, 3]
    assert not account.roster.may_end_keys(OWNER)
    assert account.roster.may_end_keys(kit(0))
    account.change(kit(0))
    assert rights(account) == [0, 3]
    assert account.roster.current_recovery_key.number == 3
    assert not account.roster.may_end_keys(kit(0))


def test_a_bare_rotation_does_not_end_the_current_key(account: MadeAccount) -> None:
    """§5.4, ROS-25: a key that was replaced would be current again, and let in whom it likes."""
    account.replace_kit(by=STOLEN)
    account.remove(2, by=OWNER, new_kit=True)
    account.reclaim(by=1)  # its new key stems from the device that was removed
    assert account.roster.current_recovery_key.device == 2
    assert not account.roster.may_end_keys(kit(0))
    account.change(kit(0))
    assert rights(account) == [0, 3]
    assert account.roster.current_recovery_key.number == 3


@pytest.mark.parametrize("by", [STOLEN, OWNER])
def test_a_replaced_kit_lets_nobody_in(account: MadeAccount, by: Signer) -> None:
    """ROS-25: by itself it reads nothing later, and neither does a device or a kit that it would bring in."""
    account.replace_kit(by=by)
    for what in ({"add": 1}, {"new_kit": True}, {"add": 1, "new_kit": True}):
        fork = account.fork()
        fork.change(kit(1), **what)
        refuse(account, fork.entry(), kit(0))
        with pytest.raises(UsageError, match="replaced adds no device"):
            account.compose(kit(0), **what)
    # Nor with the removal of the device that set the current one, which takes a new one (ROS-16).
    good = account.compose(kit(1), remove=[by.number], new_kit=True).roster.last
    assert good is not None
    refuse(account, good, kit(0))
    refuse(account, altered(good, recovery=None), kit(0))
    # What it may: remove another one, which leaves the current key current; rotate; close; reclaim.
    other = 3 - by.number
    account.remove(other, by=kit(0))
    account.change(kit(0))
    assert account.roster.current_recovery_key.number == 1
    closed = account.fork()
    closed.close(by=0)
    account.reclaim(by=0)
    assert (active(account), rights(account)) == ([3], [2])
    account.add(by=kit(2))


def test_an_entry_of_a_kit_is_judged_at_its_place(account: MadeAccount) -> None:
    """ROS-25: what it signed while it was current stays valid."""
    account.add(by=kit(0))
    account.replace_kit(by=OWNER)
    assert Roster.read(account.entries, account=account.id).head == account.roster.head
    assert account.roster.is_replaced(kit(0))
    assert not account.roster.is_replaced(kit(1))
    assert not account.roster.is_replaced(OWNER)


def test_a_younger_keys_replacement_does_not_touch_older_ones(account: MadeAccount) -> None:
    """§5.4: "… ends the right of the signing key and of every key with a greater number"."""
    for _ in range(3):
        account.replace_kit(by=STOLEN)
    account.reclaim(by=1)
    assert rights(account) == [0, 4]
    account.change(kit(4), new_kit=True)
    assert rights(account) == [0, 5]
    assert account.roster.current_recovery_key.number == 5


def test_a_key_that_lost_its_right_signs_nothing(account: MadeAccount) -> None:
    """ROS-02"""
    account.change(kit(0), new_kit=True)
    changed, reclaimed, closed = account.fork(), account.fork(), account.fork()
    changed.change(kit(1))
    reclaimed.reclaim(by=1)
    closed.close(by=1)
    for fork in (changed, reclaimed, closed):
        refuse(account, fork.entry(), kit(0))


def test_removing_the_device_that_set_the_kit_takes_a_new_kit(account: MadeAccount) -> None:
    """ROS-16: the thief knows the one it set."""
    account.replace_kit(by=STOLEN)
    good = account.compose(OWNER, remove=[2], new_kit=True).roster.last
    assert good is not None
    for signer in (OWNER, kit(0)):
        refuse(account, altered(good, recovery=None), signer)
    account.append(account.forge(good, OWNER))
    assert account.roster.current_recovery_key.number == 2
    assert account.roster.current_recovery_key.added_by == OWNER


def test_the_first_device_set_the_first_kit(account: MadeAccount) -> None:
    """ROS-16"""
    good = account.compose(STOLEN, remove=[1], new_kit=True).roster.last
    assert good is not None
    refuse(account, altered(good, recovery=None), STOLEN)


def test_removing_another_device_takes_none(account: MadeAccount) -> None:
    """ROS-16: nor where the kit that the removed one had set is no longer the current one, or a kit set it."""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=OWNER)
    account.remove(2, by=OWNER)
    assert account.roster.current_recovery_key.number == 2
    account.add(by=OWNER)
    account.change(kit(2), new_kit=True)
    account.remove(3, by=OWNER)
    assert active(account) == [1]


def test_a_removed_thief_writes_nothing_more(account: MadeAccount) -> None:
    """ROS-02, and it gets no wrap of the new epoch."""
    composed = account.remove(2, by=OWNER)
    assert [recipient for recipient, _ in composed.roster.recipients()] == [0, 1]
    fork = account.fork()
    fork.change(OWNER)
    refuse(account, fork.entry(), STOLEN)


# --- where keys stem from, and disputes -------------------------------------------------------------------------------


def stems(account: MadeAccount) -> list[int | None]:
    return [key.device for key in account.roster.recovery_keys]


def disputed(account: MadeAccount) -> list[int | None]:
    """By key: the number of the entry that disputed it."""
    return [account.roster.dispute(key.number) for key in account.roster.recovery_keys]


def test_where_keys_stem_from(account: MadeAccount) -> None:
    """§5.4"""
    account.replace_kit(by=STOLEN)
    account.change(kit(1), new_kit=True)  # set by a key that stems from the stolen device: so does it
    account.change(kit(2), add=1, new_kit=True)
    account.replace_kit(by=device(3))
    assert stems(account) == [1, 2, 2, 2, 3]
    account.reclaim(by=0)  # nobody ranks above the first
    account.change(kit(5), new_kit=True)
    account.change(kit(6), add=1, new_kit=True)
    account.reclaim(by=7)
    assert stems(account)[5:] == [4, None, 5, 6]


def test_a_kit_that_the_thiefs_kit_set_is_replaced_as_well(account: MadeAccount) -> None:
    """ROS-16: otherwise the removal's epoch would be wrapped for the thief."""
    account.replace_kit(by=STOLEN)
    account.change(kit(1), new_kit=True)
    good = account.compose(OWNER, remove=[2], new_kit=True).roster.last
    assert good is not None
    refuse(account, altered(good, recovery=None), OWNER)
    account.append(account.forge(good, OWNER))


def test_a_kit_that_the_first_kit_set_stems_from_whom_it_added(account: MadeAccount) -> None:
    """ROS-16: it was shown on that one's screen; removing the first device does not touch it."""
    account.change(kit(0), add=1, new_kit=True)
    account.remove(1, by=STOLEN)
    good = account.compose(STOLEN, remove=[3], new_kit=True).roster.last
    assert good is not None
    refuse(account, altered(good, recovery=None), STOLEN)


def test_a_devices_removal_disputes_what_stems_from_the_removed_one(account: MadeAccount) -> None:
    """§5.4: the right stays; a younger one that it sets is disputed with it, and the owner's own is not."""
    account.replace_kit(by=STOLEN)
    account.replace_kit(by=OWNER)
    account.remove(2, by=OWNER)
    assert disputed(account) == [None, 4, None]
    assert rights(account) == [0, 1, 2]
    account.reclaim(by=1)
    assert rights(account) == [0, 3]
    assert disputed(account)[3] == 4
    account.reclaim(by=0)
    assert rights(account) == [4]
    assert disputed(account)[4] is None


def test_the_highest_key_is_not_disputed(account: MadeAccount) -> None:
    """§5.4, P7: a thief who removes the device that showed the owner's kit gains nothing."""
    account.change(STOLEN, remove=[1], new_kit=True)
    assert disputed(account) == [None, None]
    account.reclaim(by=0)
    account.change(device(3), add=1)
    account.change(device(4), remove=[3], new_kit=True)
    assert disputed(account)[2] is None


def test_a_removal_that_a_kit_signs_disputes_nothing(account: MadeAccount) -> None:
    """§5.4: it ends the younger keys, also those that a thief's kit set."""
    account.replace_kit(by=STOLEN)
    account.change(kit(1), new_kit=True)
    account.replace_kit(by=OWNER)
    account.remove(2, by=kit(0))
    assert rights(account) == [0, 3]
    assert disputed(account) == [None, None, None, None]


def test_the_same_dispute_is_not_renewed(account: MadeAccount) -> None:
    """§5.4: the owner of a disputed kit waits once."""
    account.replace_kit(by=STOLEN)
    account.remove(2, by=OWNER, new_kit=True)
    at = disputed(account)[1]
    account.add(by=OWNER)
    account.remove(3, by=OWNER)
    assert disputed(account)[1] == at == 3


def test_the_last_device_numbers_are_the_highest_keys(account: MadeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROS-18: whoever used them all up could keep the owner from ever reclaiming."""
    monkeypatch.setattr("sealkeep_protocol.roster._state.LAST_NUMBERS", 3)
    account.replace_kit(by=STOLEN)
    account.add(by=STOLEN)
    changed, reclaimed = account.fork(), account.fork()
    with pytest.raises(UsageError, match="last device numbers"):
        changed.add(by=OWNER)
    with pytest.raises(UsageError, match="last device numbers"):
        reclaimed.reclaim(by=1)
    account.reclaim(by=0)
    assert active(account) == [4]
