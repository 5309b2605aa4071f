"""Who owns an account, whatever devices and younger kits do to it in whatever order (spec §5.4, P6, P7)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.roster import Removal, Roster, Signer
from support.accounts import MadeAccount, device, kit

FIRST = 0

deeds = st.tuples(
    st.booleans(),  # a recovery key signs, if a younger one has its right
    st.integers(0, 63),  # who
    st.sampled_from(["add", "remove", "kit", "remove and kit", "reclaim", "close", "rotate"]),
    st.integers(0, 63),  # whom
)


def signer(roster: Roster, by_kit: bool, pick: int) -> Signer | None:
    """An active device, or a recovery key that is not the first and has its right; None where neither is left."""
    younger = [kit(key.number) for key in roster.recovery_keys if key.number != FIRST and key.has_right]
    active = [device(item.number) for item in roster.active_devices]
    choice = younger if (by_kit and younger) or not active else active
    return choice[pick % len(choice)] if choice else None


def do(account: MadeAccount, by: Signer, deed: str, pick: int) -> None:
    """One entry; nothing where no such entry can be."""
    others = [item.number for item in account.roster.active_devices if by != device(item.number)]
    removed = others[pick % len(others) :][:2] if others and "remove" in deed else []
    try:
        if deed == "close":
            account.close(by=by.number) if by.is_recovery else account.change(by)
        elif deed == "reclaim" and by.is_recovery:
            account.reclaim(by=by.number)
        else:
            account.change(by, add=int(deed == "add"), remove=removed, new_kit="kit" in deed)
    except UsageError:
        return


@given(st.lists(deeds, max_size=8))
def test_the_first_kit_always_takes_the_account_back(history: list[tuple[bool, int, str, int]]) -> None:
    """P7: no device and no younger key ends its right, disputes it, or keeps it from reclaiming; after that nobody else
    has any."""
    account = MadeAccount(devices=2)
    for by_kit, who, deed, whom in history:
        before = account.roster
        by = signer(before, by_kit, who)
        if by is None:
            break
        do(account, by, deed, whom)
        after = account.roster
        check(after)
        if not by.is_recovery:  # a device's word ends no right
            assert all(after.recovery_keys[key.number].has_right for key in before.recovery_keys if key.has_right)
    account.reclaim(by=FIRST)
    check(account.roster, first=len(account.roster.recovery_keys) - 1)
    assert [key.number for key in account.roster.recovery_keys if key.has_right] == [len(account.kits) - 1]
    assert [item.number for item in account.roster.active_devices] == [len(account.roster.devices)]
    assert not account.roster.is_closed


def check(roster: Roster, *, first: int = FIRST) -> None:
    """What holds in every roster."""
    keys = roster.recovery_keys
    assert keys[first].has_right
    assert roster.dispute(first) is None
    assert not roster.is_outranked(first)
    # The newest key is always the current one, and stems from no device that was removed without it.
    assert roster.current_recovery_key is keys[-1]
    stem = keys[-1].device
    assert stem is None or roster.devices[stem].active or keys[-1].added_at >= (roster.devices[stem].removed_at or 0)
    for key in keys:
        if key.disputed_at is not None:
            assert key.device is not None
            assert not roster.devices[key.device].active


lowerings = st.lists(
    st.tuples(
        st.integers(0, 2),  # whose pin
        st.sampled_from(["highest", "kit", "device"]),
        st.integers(0, 63),
        st.integers(0, 3),  # the seq
        st.integers(0, 3).map(bool),  # discard-after
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(deeds, max_size=5), lowerings)
def test_pins_only_shrink_and_only_by_the_highest_kit(
    history: list[tuple[bool, int, str, int]], tries: list[tuple[int, str, int, int, bool]]
) -> None:
    """ROS-23: whatever else was done before, and whoever tries; a removal stays where it was, and settles no right anew."""
    account = MadeAccount(devices=3)
    for author in (1, 2, 3, 2, 3, 3):
        account.seal(author)
    for by_kit, who, deed, whom in history:
        by = signer(account.roster, by_kit, who)
        if by is not None:
            do(account, by, deed, whom)
    if account.roster.is_closed:
        account.reclaim(by=FIRST)
    elif account.roster.devices[3].active:  # so that there is a pin to lower
        newest = kit(account.roster.current_recovery_key.number)
        account.change(newest, remove=[3], new_kit=account.roster.needs_new_kit([3]))
    for offset, kind, who, seq, discard_after in tries:
        before = account.roster
        gone = [item for item in before.devices.values() if not item.active and item.removal is not None]
        keys = [kit(key.number) for key in before.recovery_keys if key.has_right]
        signers = keys if kind != "device" else [device(item.number) for item in before.active_devices]
        if not signers:
            continue
        target, by = gone[-1 - offset % len(gone)], signers[0 if kind == "highest" else who % len(signers)]
        header_id = account.known(target.number, seq) or bytes(32)
        pin = Removal(target.number, seq, header_id if seq else b"", discard_after)
        assert target.removal is not None
        is_same = pin != target.removal and pin == target.removal._replace(discard_after=True)
        allowed = by == keys[0] and discard_after and (seq < target.removal.seq or is_same)
        try:
            account.change(by, remove=[pin])
        except UsageError:
            assert not allowed
            assert account.roster is before
        else:
            assert allowed
            after = account.roster
            assert after.devices == {**before.devices, target.number: replace(target, removal=pin)}
            assert after.recovery_keys == before.recovery_keys
