"""The judge of rosters: every rule of spec §5.3 with what it takes and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol import signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.keys import EpochKeys, KeyRecord
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.roster import Addition, Entry, Link, Removal, Roster, Rotation, Signer
from sealkeep_protocol.types import AccountId
from support.accounts import MadeAccount, altered, device, flipped, kit, made_keys, refused

ID = sha256(b"an id")


@pytest.fixture
def account() -> MadeAccount:
    """Three devices, epoch 3."""
    return MadeAccount(devices=3)


def refuse(account: MadeAccount, entry: Entry, by: Signer | SigningKey, **options: Any) -> None:
    """The roster refuses the entry as against §5.3, and is as it was."""
    before = account.roster
    with refused(HistoryError, "roster"):
        account.append(account.forge(entry, by, **options))
    assert account.roster is before


def change(account: MadeAccount, by: Signer = device(1), **options: Any) -> Entry:  # noqa: B008
    """A good change, as composed; to be spoilt and forged."""
    last = account.compose(by, **options).roster.last
    assert last is not None
    return last


def genesis(account: MadeAccount, **fields: Any) -> bytes:
    return account.forge(altered(account.entry(0), **fields), device(1), account=b"")


# --- the roster as a whole -------------------------------------------------------------------------------------------


def test_a_roster_is_read_entry_by_entry(account: MadeAccount) -> None:
    roster = Roster.read(account.entries, account=account.id)
    assert roster == account.roster
    assert (
        bytes(roster.account)
        == roster.entry_ids[0]
        == signed.object_id("roster", b"", signed.split(account.entries[0])[0])
    )
    assert (roster.number, roster.epoch, roster.head) == (2, 3, roster.entry_ids[2])
    assert [item.number for item in roster.active_devices] == [1, 2, 3]
    assert [item.added_at for item in roster.active_devices] == [0, 1, 2]
    assert [item.name_epoch for item in roster.active_devices] == [1, 2, 3]
    assert all(item.added_by == device(1) for item in roster.active_devices)
    assert roster.current_recovery_key.number == 0
    assert not roster.is_closed
    assert not roster.close_is_final
    assert roster.nonce == account.entry(0).nonce


def test_another_accounts_roster_is_refused(account: MadeAccount) -> None:
    """KEY-09"""
    other = MadeAccount(seed="another")
    with refused(HistoryError, "fork"):
        Roster.read(other.entries, account=account.id)
    with refused(HistoryError, "fork"):
        Roster.read(account.entries, account=AccountId(ID))
    with refused(HistoryError, "roster"):
        Roster.read([], account=account.id)
    with refused(HistoryError, "roster"):
        Roster.read(account.entries[1:], account=account.id)


def test_a_refused_entry_leaves_the_roster_as_it_was(account: MadeAccount) -> None:
    """ERR-02"""
    before = replace(account.roster)
    with refused(AuthenticationError, "signature"):
        account.append(flipped(account.compose(device(1), add=1).entry, -1))
    assert account.roster == before
    with pytest.raises(TypeError):
        account.roster.devices[9] = account.roster.devices[1]  # type: ignore[index]
    with pytest.raises(AttributeError):
        account.roster.closed_by = 0  # type: ignore[misc]


def test_who_was_active_when(account: MadeAccount) -> None:
    account.remove(3, by=device(1))
    removed = account.roster.devices[3]
    assert [removed.was_active_at(number) for number in range(5)] == [False, False, True, False, False]
    assert account.roster.devices[1].was_active_at(99)
    assert not removed.active
    assert removed.removal == Removal(3, 0, b"", False)


def test_commitments_and_epochs(account: MadeAccount) -> None:
    roster = account.roster
    for number, keys in account.epochs.items():
        assert roster.commitment(number) == keys.commitment
    for number in (0, 4, -1):
        with refused(HistoryError, "epoch"):
            roster.commitment(number)
    assert [roster.previous_of_epoch(number) for number in (1, 2, 3)] == [b"", *roster.entry_ids[:2]]
    assert roster.entry_epochs == (1, 2, 3)
    account.change(kit(0))
    account.close(by=0)
    assert [account.roster.signer_of_epoch(number) for number in (1, 2, 3, 4)] == [*[device(1)] * 3, kit(0)]
    assert account.roster.entry_signers[-1] == kit(0)


# --- ROS-01: place ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 2, 4, 99])
def test_an_entry_has_the_next_number(account: MadeAccount, number: int) -> None:
    """ROS-01"""
    entry = change(account)
    refuse(account, altered(entry, number=number), device(1))
    account.append(account.forge(entry, device(1)))
    assert account.roster.number == 3


def test_an_entry_names_the_one_before(account: MadeAccount) -> None:
    """ROS-01"""
    for previous in (ID, account.roster.entry_ids[0], account.roster.entry_ids[1]):
        refuse(account, altered(change(account), previous=previous), device(1))


def test_of_two_entries_at_one_number_the_second_is_refused(account: MadeAccount) -> None:
    """ROS-01: whoever comes second has to rebase."""
    first, second = account.compose(device(1), add=1), account.compose(device(2), add=1)
    account.append(first.entry)
    with refused(HistoryError, "roster"):
        account.append(second.entry)


def test_there_is_one_genesis_and_it_comes_first(account: MadeAccount) -> None:
    """ROS-01"""
    with refused(HistoryError, "roster"):
        account.append(account.entries[0])
    with refused(HistoryError, "roster"):
        Roster.genesis(account.entries[1])
    with refused(HistoryError, "roster"):
        Roster.genesis(genesis(account, number=1))


# --- ROS-02: signers -------------------------------------------------------------------------------------------------


def test_devices_and_recovery_keys_may_change(account: MadeAccount) -> None:
    """ROS-02"""
    for signer in (device(1), device(3), kit(0)):
        account.change(signer)
        last = account.roster.last
        assert last is not None
        assert last.signer == signer


def test_signers_that_are_not_there_may_not(account: MadeAccount) -> None:
    """ROS-02"""
    stranger = made_keys("a stranger").signing
    for signer in (device(4), device(65_535), kit(1), kit(99)):
        refuse(account, altered(change(account), signer=signer), stranger)


def test_removed_devices_may_not(account: MadeAccount) -> None:
    """ROS-02"""
    account.remove(2, by=device(1))
    refuse(account, altered(change(account), signer=device(2)), device(2))


def test_a_device_does_not_sign_in_the_entry_that_adds_it(account: MadeAccount) -> None:
    """ROS-02: active *before* it."""
    entry = altered(change(account, add=1), signer=device(4))
    refuse(account, entry, account.next_device()[1].signing)


def test_the_signature_is_the_signers(account: MadeAccount) -> None:
    """ROS-02, SIG-03"""
    entry = change(account)
    for wrong in (device(2), kit(0)):
        with refused(AuthenticationError, "signature"):
            account.append(account.forge(entry, wrong))
    with refused(AuthenticationError, "signature"):
        account.append(account.forge(entry, device(1), account=b""))
    with refused(AuthenticationError, "signature"):
        account.append(account.forge(entry, device(1), account=ID))
    core = entry.encode_core()
    digests = [ID] * len(entry.digests)
    with refused(AuthenticationError, "signature"):
        account.append(signed.sign("segment", account.id, core, account.devices[1].signing, digests=digests))


@pytest.mark.parametrize("number", [1, 2])
def test_only_recovery_keys_reclaim_and_close(account: MadeAccount, number: int) -> None:
    """ROS-02"""
    fork = account.fork()
    fork.reclaim(by=0)
    reclaim = fork.entry()
    refuse(account, altered(reclaim, signer=device(number)), device(number))
    fork = account.fork()
    fork.close(by=0)
    refuse(account, altered(fork.entry(), signer=device(number)), device(number))


def test_a_genesis_is_signed_by_its_first_device(account: MadeAccount) -> None:
    """ROS-02"""
    for signer in (device(2), kit(0)):
        with refused(HistoryError, "roster"):
            Roster.genesis(genesis(account, signer=signer))
    with refused(AuthenticationError, "signature"):
        Roster.genesis(account.forge(account.entry(0), device(2), account=b""))


# --- ROS-03: removals ------------------------------------------------------------------------------------------------


def test_devices_are_removed_and_pinned(account: MadeAccount) -> None:
    """ROS-03"""
    account.seal(3)
    account.remove(2, 3, by=device(1))
    assert [item.number for item in account.roster.active_devices] == [1]
    assert account.roster.devices[3].removal == Removal(3, 1, account.segments[3][0].header_id, False)
    assert account.roster.signing_key(device(3)) is None


def test_a_removal_names_an_active_device_that_is_not_the_signer(account: MadeAccount) -> None:
    """ROS-03"""
    good = change(account, remove=[2])
    for number in (4, 9):
        refuse(account, altered(good, removed=(Removal(number, 0, b"", False),)), device(1))
    refuse(account, altered(good, signer=device(2)), device(2))
    fork = account.fork()
    fork.append(fork.forge(altered(good, signer=device(3)), device(3)))
    account.remove(2, by=device(1))
    refuse(account, altered(change(account), removed=good.removed), device(1))


def test_a_removal_names_no_device_that_the_entry_adds(account: MadeAccount) -> None:
    """ROS-03"""
    refuse(account, altered(change(account, add=1), removed=(Removal(4, 0, b"", False),)), device(1))


def test_removals_ascend_and_name_each_device_once(account: MadeAccount) -> None:
    """ROS-03"""
    two, three = Removal(2, 0, b"", False), Removal(3, 0, b"", False)
    for removed in ((three, two), (two, two), (two, three, three)):
        refuse(account, altered(change(account, remove=[2, 3]), removed=removed), device(1))
    account.append(account.forge(altered(change(account, remove=[2, 3]), removed=(two, three)), device(1)))


# --- ROS-23: pins that are lowered -----------------------------------------------------------------------------------


@pytest.fixture
def pinned(account: MadeAccount) -> MadeAccount:
    """Device 2 has written three segments and is removed by device 1; the first kit ranks above another one."""
    for _ in range(3):
        account.seal(2)
    account.replace_kit(by=device(1))
    account.remove(2, by=device(1))
    return account


def lowered(account: MadeAccount, seq: int, *, discard_after: bool = True) -> Removal:
    """The removal of device 2 with this pin."""
    return Removal(2, seq, account.segments[2][seq - 1].header_id if seq else b"", discard_after)


@pytest.mark.parametrize("seq", [0, 1, 2])
def test_the_highest_kit_lowers_a_pin(pinned: MadeAccount, seq: int) -> None:
    """ROS-03, ROS-23: and nothing else changes; again and again, down to nothing."""
    before = pinned.roster
    pinned.change(kit(0), remove=[lowered(pinned, seq)])
    after = pinned.roster
    assert after.devices[2] == replace(before.devices[2], removal=lowered(pinned, seq))
    assert after.active_devices == before.active_devices
    assert after.recovery_keys == before.recovery_keys
    assert len(pinned.entry().digests) == 1 + len(before.active_devices)
    for lower in range(seq - 1, -1, -1):
        pinned.change(kit(0), remove=[lowered(pinned, lower)])
    assert pinned.roster.devices[2].removal == lowered(pinned, 0)
    assert [pinned.roster.devices[2].was_active_at(n) for n in range(5)] == [
        before.devices[2].was_active_at(n) for n in range(5)
    ]


@pytest.mark.parametrize(
    ("seq", "discard_after", "by"),
    [
        (2, True, device(1)),  # a device
        (2, True, kit(1)),  # a kit above which one ranks
        (2, False, kit(0)),  # not with discard-after
        (3, False, kit(0)),  # the pin that it has, as it is
    ],
)
def test_what_lowers_no_pin(pinned: MadeAccount, seq: int, discard_after: bool, by: Signer) -> None:
    """ROS-23"""
    good = pinned.compose(kit(0), remove=[lowered(pinned, 2)]).roster.last
    assert good is not None
    pin = lowered(pinned, seq, discard_after=discard_after)
    refuse(pinned, altered(good, signer=by, removed=(pin,)), by)


def test_the_same_pin_may_say_discard_after(pinned: MadeAccount) -> None:
    """ROS-23: it ends what a wrong pin holds up, and gives up nothing that the pin vouches for; once, and only this one."""
    same = lowered(pinned, 3)
    good = pinned.compose(kit(0), remove=[same]).roster.last
    assert good is not None
    refuse(pinned, altered(good, removed=(Removal(2, 3, bytes(32), True),)), kit(0))
    pinned.change(kit(0), remove=[same])
    assert pinned.roster.devices[2].removal == same
    again = pinned.compose(kit(0), remove=[lowered(pinned, 2)]).roster.last
    assert again is not None
    refuse(pinned, altered(again, removed=(same,)), kit(0))


def test_a_pin_never_rises(pinned: MadeAccount) -> None:
    """ROS-23: what was given up does not come back, whether the pin said discard-after or not; once an entry."""
    good = pinned.compose(kit(0), remove=[lowered(pinned, 1)]).roster.last
    assert good is not None
    two, one = lowered(pinned, 2), lowered(pinned, 1)
    for removed in ((Removal(2, 4, bytes(32), True),), (two, one), (two, two)):
        refuse(pinned, altered(good, removed=removed), kit(0))
    pinned.change(kit(0), remove=[one])
    good = pinned.compose(kit(0), remove=[lowered(pinned, 0)]).roster.last
    assert good is not None
    for again in (one, two, lowered(pinned, 3)):
        refuse(pinned, altered(good, removed=(again,)), kit(0))


def test_a_kit_that_was_ended_lowers_no_pin(pinned: MadeAccount) -> None:
    """ROS-02, ROS-23"""
    good = pinned.compose(kit(0), remove=[lowered(pinned, 1)]).roster.last
    assert good is not None
    pinned.reclaim(by=0)
    following = altered(good, number=pinned.roster.number + 1, previous=pinned.roster.head)
    refuse(pinned, following, kit(0))


def test_a_lowered_pin_settles_no_right_anew(account: MadeAccount) -> None:
    """§5.4, ROS-16: they were settled when the device was removed; a kit that stems from it keeps what it has."""
    account.replace_kit(by=device(2))
    account.change(kit(1), new_kit=True)  # stems from device 2, whose kit was outranked
    account.seal(2)
    account.seal(2)
    account.remove(2, by=device(1), new_kit=True)
    account.reclaim(by=2)  # disputed, and done once its time is over
    assert account.roster.current_recovery_key.device == 2
    before = account.roster.recovery_keys
    account.change(kit(0), remove=[lowered(account, 1)])
    assert account.roster.recovery_keys == before


def test_a_reclaim_lowers_pins_too(pinned: MadeAccount) -> None:
    """ROS-11, ROS-23: beyond every active device; under the same conditions."""
    pins = [pinned.pin(1), lowered(pinned, 1), pinned.pin(3)]
    good = pinned.compose(kit(0), add=1, remove=pins, new_kit=True, reclaim=True).roster.last
    assert good is not None
    for wrong in (lowered(pinned, 3, discard_after=False), lowered(pinned, 1, discard_after=False)):
        refuse(pinned, altered(good, removed=(pins[0], wrong, pins[2])), kit(0))
    refuse(pinned, altered(good, signer=kit(1)), kit(1))
    for left_out in (0, 2):
        refuse(pinned, altered(good, removed=tuple(pin for n, pin in enumerate(pins) if n != left_out)), kit(0))
    pinned.append(pinned.forge(good, kit(0)))
    assert pinned.roster.devices[2].removal == lowered(pinned, 1)
    assert [item.number for item in pinned.roster.active_devices] == [4]


def test_a_reclaim_where_nobody_is_left_may_lower_a_pin(pinned: MadeAccount) -> None:
    """ROS-23"""
    last = len(pinned.kits) - 1
    pinned.change(kit(last), remove=[1, 3], new_kit=True)
    pinned._take(pinned.compose(kit(0), add=1, remove=[lowered(pinned, 2)], new_kit=True, reclaim=True))
    assert pinned.entry().removed == (lowered(pinned, 2),)


# --- ROS-04: numbers and keys ----------------------------------------------------------------------------------------


def test_devices_take_the_next_numbers(account: MadeAccount) -> None:
    """ROS-04"""
    account.remove(3, by=device(1))
    composed = account.change(device(1), add=2)
    assert list(composed.roster.devices) == [1, 2, 3, 4, 5]
    good = change(account, add=2)
    six, seven = good.added
    for numbers in ((7, 6), (6, 6), (7, 8), (3, 6), (6, 8)):
        added = (six._replace(device=numbers[0]), seven._replace(device=numbers[1]))
        refuse(account, altered(good, added=added), device(1))
    with refused(HistoryError, "roster"):
        Roster.genesis(genesis(account, added=(account.entry(0).added[0]._replace(device=2),)))


def test_keys_never_enter_twice(account: MadeAccount) -> None:
    """ROS-04: not even half a KEM key; of a removed device, or as a recovery key, neither."""
    account.remove(2, by=device(1))
    fresh, root = made_keys("fresh"), (1, account.id)
    known = [account.devices[1], account.devices[2], account.recovery(0)]

    def record(signing: SigningKey, kem: bytes) -> KeyRecord:
        return KeyRecord(signing.public, kem, signed.proof(signing, kem, root))

    for keys in known:
        curve = fresh.kem.public[:1184] + keys.kem.public[1184:]
        lattice = keys.kem.public[:1184] + fresh.kem.public[1184:]
        for entered in (
            record(keys.signing, keys.kem.public),
            record(keys.signing, fresh.kem.public),
            record(fresh.signing, keys.kem.public),
            record(fresh.signing, curve),
            record(fresh.signing, lattice),
        ):
            added = change(account, add=1)
            refuse(account, altered(added, added=(added.added[0]._replace(keys=entered),)), device(1))
            refuse(account, altered(change(account, new_kit=True), recovery=entered), device(1))


def test_one_entry_does_not_bring_a_key_twice(account: MadeAccount) -> None:
    """ROS-04"""
    good = change(account, add=2, new_kit=True)
    first, second = good.added
    refuse(account, altered(good, added=(first, second._replace(keys=first.keys))), device(1))
    refuse(account, altered(good, recovery=first.keys), device(1))
    start = account.entry(0)
    with refused(HistoryError, "roster"):
        Roster.genesis(genesis(account, recovery=start.added[0].keys))


# --- ROS-05: key records ---------------------------------------------------------------------------------------------


def with_record(account: MadeAccount, record: KeyRecord, *, as_recovery: bool) -> bytes:
    if as_recovery:
        return account.forge(altered(change(account, new_kit=True), recovery=record), device(1))
    good = change(account, add=1)
    return account.forge(altered(good, added=(good.added[0]._replace(keys=record),)), device(1))


@pytest.mark.parametrize("as_recovery", [False, True])
def test_key_records_are_checked_before_they_enter(account: MadeAccount, as_recovery: bool) -> None:
    """ROS-05, KEY-02, KEY-03: one bad key would make everybody's next rotation fail."""
    keys = made_keys("new")
    good = keys.record((1, account.id))
    for wrong in (
        replace(good, signing=bytes(32)),
        replace(good, signing=bytes([1]) + bytes(31)),
        replace(good, kem=good.kem[:1184] + bytes(32)),
        replace(good, kem=b"\xff" * 3 + good.kem[3:]),
    ):
        with refused(AuthenticationError, "key"):
            account.append(with_record(account, wrong, as_recovery=as_recovery))
    account.append(with_record(account, good, as_recovery=as_recovery))


@pytest.mark.parametrize("as_recovery", [False, True])
def test_key_records_prove_possession_for_this_account(account: MadeAccount, as_recovery: bool) -> None:
    """ROS-05: a proof for another account, for a genesis, for another pair, or of the other's key."""
    keys, other = made_keys("new"), made_keys("other")
    good = keys.record((1, account.id))
    for wrong in (
        keys.record((1, ID)),
        keys.record((0, account.id)),
        keys.record((0, account.roster.nonce)),
        replace(good, kem=other.kem.public),
        replace(good, signing=other.signing.public),
        replace(good, proof=other.record((1, account.id)).proof),
        replace(good, proof=flipped(good.proof, 100)),
    ):
        with refused(AuthenticationError, "signature"):
            account.append(with_record(account, wrong, as_recovery=as_recovery))


def test_proofs_of_a_genesis_bind_its_nonce(account: MadeAccount) -> None:
    """ROS-05"""
    with refused(AuthenticationError, "signature"):
        Roster.genesis(genesis(account, nonce=ID))


# --- ROS-06, ROS-07: rotations ---------------------------------------------------------------------------------------


def test_every_change_rotates_to_the_next_epoch(account: MadeAccount) -> None:
    """ROS-06"""
    good = change(account)
    assert good.rotation is not None
    assert good.rotation.epoch == 4
    for number in (3, 5, 1):
        refuse(account, altered(good, rotation=replace(good.rotation, epoch=number, links=())), device(1))
        refuse(account, altered(good, rotation=replace(good.rotation, epoch=number)), device(1))
    with refused(HistoryError, "roster"):
        start = account.entry(0).rotation
        assert start is not None
        Roster.genesis(genesis(account, rotation=replace(start, epoch=2)))


def test_a_commitment_is_new(account: MadeAccount) -> None:
    """ROS-06"""
    good = change(account)
    assert good.rotation is not None
    for keys in account.epochs.values():
        again = replace(good.rotation, commitment=keys.commitment)
        refuse(account, altered(good, rotation=again), device(1))


def test_a_change_without_a_rotation_is_refused(account: MadeAccount) -> None:
    """ROS-06"""
    for entry in (change(account), account.entry(0)):
        with refused(MalformedError, "malformed"):
            account.append(account.forge(altered(entry, rotation=None), device(1)))


def test_links_lead_to_earlier_epochs_in_ascending_order(account: MadeAccount) -> None:
    """ROS-07"""
    sealed = bytes(112)
    good = change(account)
    assert good.rotation is not None

    def linking(*epochs: int) -> Entry:
        assert good.rotation is not None
        return altered(good, rotation=replace(good.rotation, links=tuple(Link(m, sealed) for m in epochs)))

    for wrong in ((), (4,), (5,), (2, 1), (3, 3), (1, 4), (1, 2, 3, 4), (1, 3, 2)):
        refuse(account, linking(*wrong), device(1))
    for right in ((1,), (3,), (1, 3), (1, 2, 3)):
        account.fork().append(account.forge(linking(*right), device(1)))


def test_a_genesis_has_no_links(account: MadeAccount) -> None:
    """ROS-07"""
    start = account.entry(0).rotation
    assert start is not None
    with refused(HistoryError, "roster"):
        Roster.genesis(genesis(account, rotation=replace(start, links=(Link(1, bytes(112)),))))


def test_a_rotation_holds_at_most_512_links() -> None:
    account = MadeAccount()
    rotations = tuple(Rotation(number, sha256(number.to_bytes(2, "big")), ()) for number in range(1, 515))
    roster = replace(account.roster, rotations=rotations)
    keys = EpochKeys(ID, 515, roster.nonce)

    def linking(count: int) -> bytes:
        links = tuple(Link(number, bytes(112)) for number in range(1, count + 1))
        return account.forge(altered(change(account), rotation=Rotation(515, keys.commitment, links)), device(1))

    assert roster.append(linking(512)).epoch == 515
    with refused(HistoryError, "roster"):
        roster.append(linking(513))


# --- ROS-08: digests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_there_is_one_digest_for_each_recipient(account: MadeAccount, count: int) -> None:
    """ROS-08: the recovery key's, and one for each device that is active after the entry."""
    with refused(MalformedError, "malformed"):
        account.append(account.forge(change(account), device(1), digests=count))
    account.append(account.forge(change(account), device(1), digests=4))


def test_recipients_are_those_after_the_entry(account: MadeAccount) -> None:
    """ROS-08"""
    composed = account.change(device(1), add=1, remove=[2], new_kit=True)
    expected = [
        (0, account.recovery(1).kem.public),
        *((number, account.devices[number].kem.public) for number in (1, 3, 4)),
    ]
    assert composed.roster.recipients() == expected
    assert len(composed.wraps) == 4


def test_a_close_has_no_digests(account: MadeAccount) -> None:
    """ROS-08"""
    fork = account.fork()
    fork.close(by=0)
    assert not fork.entry().digests
    with refused(MalformedError, "malformed"):
        account.append(account.forge(fork.entry(), kit(0), digests=4))


def test_a_genesis_has_two_digests(account: MadeAccount) -> None:
    """ROS-08"""
    for count in (0, 1, 3):
        with refused(MalformedError, "malformed"):
            Roster.genesis(account.forge(account.entry(0), device(1), account=b"", digests=count))


# --- ROS-09: after a close -------------------------------------------------------------------------------------------


def test_nothing_follows_a_close(account: MadeAccount) -> None:
    """ROS-09: not its own signer's reclaim either."""
    entries = [change(account), change(account, kit(0), new_kit=True)]
    fork = account.fork()
    fork.reclaim(by=0)
    entries.append(fork.entry())
    account.close(by=0)
    assert account.roster.is_closed
    assert account.roster.close_is_final
    assert account.roster.entry_epochs == (1, 2, 3, 3)
    for entry in entries:
        refuse(account, altered(entry, number=3, previous=account.roster.head), entry.signer)
    closing = altered(account.entry(), number=4, previous=account.roster.head)
    refuse(account, altered(closing, number=4), kit(0))


# --- ROS-11: reclaims ------------------------------------------------------------------------------------------------


def test_a_reclaim_leaves_one_device_and_a_new_kit(account: MadeAccount) -> None:
    """ROS-11"""
    account.seal(2)
    account.reclaim(by=0)
    assert [item.number for item in account.roster.active_devices] == [4]
    assert account.roster.current_recovery_key.number == 1
    assert account.roster.devices[2].removal == account.pin(2)
    assert account.roster.signing_key(kit(0)) is None
    assert account.roster.signing_key(kit(1)) == account.recovery(1).signing.public


def test_a_reclaim_removes_every_device(account: MadeAccount) -> None:
    """ROS-11"""
    fork = account.fork()
    fork.reclaim(by=0)
    good = fork.entry()
    for kept in range(3):
        removed = good.removed[:kept] + good.removed[kept + 1 :]
        refuse(account, altered(good, removed=removed), kit(0))
    refuse(account, altered(good, removed=()), kit(0))


def test_a_reclaim_adds_one_device_and_sets_a_recovery_key(account: MadeAccount) -> None:
    """ROS-11"""
    fork = account.fork()
    fork.reclaim(by=0)
    good = fork.entry()
    keys = made_keys(f"{account.seed}/5").record((1, account.id))
    two = (*good.added, Addition(5, keys, bytes(160)))
    refuse(account, altered(good, added=two), kit(0), digests=3)
    for fields in ({"added": ()}, {"recovery": None}):
        with refused(MalformedError, "malformed"):
            account.append(account.forge(altered(good, **fields), kit(0)))


def test_a_reclaim_where_nobody_is_left_removes_nobody(account: MadeAccount) -> None:
    """ROS-11, and field 8 is left out then (§5.2)."""
    account.change(kit(0), remove=[1, 2, 3], new_kit=True)
    assert account.roster.active_devices == []
    account.reclaim(by=1)
    assert account.entry().removed == ()
    assert [item.number for item in account.roster.active_devices] == [4]


def test_a_genesis_adds_one_device(account: MadeAccount) -> None:
    start = account.entry(0)
    other = made_keys("other").record((0, account.roster.nonce))
    two = (*start.added, Addition(2, other, bytes(160)))
    with refused(HistoryError, "roster"):
        Roster.genesis(account.forge(altered(start, added=two), device(1), account=b"", digests=3))


# --- ROS-15, KEY-07: wraps -------------------------------------------------------------------------------------------


def test_an_entry_comes_with_all_its_wraps(account: MadeAccount) -> None:
    """ROS-15, KEY-07"""
    wraps = list(account.change(device(1)).wraps)
    account.roster.check_wraps(wraps)
    for wrong in (wraps[:-1], [*wraps, wraps[0]], []):
        with refused(MalformedError, "malformed"):
            account.roster.check_wraps(wrong)
    for number in range(4):
        spoilt = wraps.copy()
        spoilt[number] = flipped(spoilt[number], 1000)
        with refused(AuthenticationError, "digest"):
            account.roster.check_wraps(spoilt)
    with refused(AuthenticationError, "digest"):
        account.roster.check_wraps([wraps[1], wraps[0], *wraps[2:]])
    account.close(by=0)
    account.roster.check_wraps([])
    replace(account.roster, last=None).check_wraps([])


# --- ROS-10 and sizes ------------------------------------------------------------------------------------------------


def test_an_unknown_entry_stops_the_roster(account: MadeAccount) -> None:
    """ROS-10"""
    core = {0: 1, 1: 5, 2: 3, 3: account.roster.head, 4: [0, 1]}
    with refused(MalformedError, "unsupported"):
        account.append(account.forge(core, device(1)))


def test_at_most_64_devices_are_active() -> None:
    account = MadeAccount()
    account.change(device(1), add=40)
    account.change(device(1), add=23)
    assert len(account.roster.active_devices) == 64
    one_more = change(account, remove=[2], add=1)
    refuse(account, altered(one_more, removed=()), device(1), digests=66)
    account.change(device(1), remove=[2], add=1)


def test_device_numbers_go_up_to_65535(account: MadeAccount) -> None:
    gone = replace(account.roster.devices[2], removed_at=1)
    full = {1: account.roster.devices[1]} | dict.fromkeys(range(2, 65_536), gone)
    roster = replace(account.roster, devices=full)
    good = change(account, add=1)
    with refused(MalformedError, "malformed"):
        data = account.forge(altered(good, added=(good.added[0]._replace(device=65_536),)), device(1))
        roster.append(data)
