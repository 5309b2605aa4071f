"""Composing entries; names, wraps and the chain of epochs (spec §3.6, §5.2, §5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol import cbor, sealing, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, UsageError
from sealkeep_protocol.hybrid_kem import wrap
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import (
    Entry,
    Link,
    Removal,
    Roster,
    Rotation,
    Signer,
    compose_change,
    compose_close,
    compose_genesis,
    follow_links,
    open_name,
    open_wrap,
    seal_name,
    unreached,
)
from support.accounts import CountingRandom, MadeAccount, device, flipped, kit, made_keys, recovery_keys, refused


@pytest.fixture
def account() -> MadeAccount:
    return MadeAccount(devices=3)


def change(account: MadeAccount, held: Sequence[EpochKeys], signer: Signer = device(1), **options: Any) -> Any:  # noqa: B008
    return compose_change(account.roster, signer, account.key(signer), held, random=account.random, **options)


def links(account: MadeAccount, held: Sequence[int]) -> list[int]:
    """The epochs that a rotation by somebody who holds these links to."""
    composed = change(account, [account.epochs[number] for number in held])
    return [link.epoch for link in composed.roster.rotations[-1].links]


# --- what composers refuse to say ------------------------------------------------------------------------------------


def test_what_is_composed_is_valid(account: MadeAccount) -> None:
    composed = account.change(device(2), add=2, remove=[1, 3], new_kit=True)
    assert Roster.read(account.entries, account=account.id) == composed.roster == account.roster
    composed.roster.check_wraps(list(composed.wraps))
    assert composed.keys.commitment == composed.roster.commitment(4)


def test_what_no_valid_entry_can_say_is_a_mistake_of_the_caller(account: MadeAccount) -> None:
    held = list(account.epochs.values())
    nobody = made_keys("nobody").signing
    for wrong in (
        lambda: change(account, []),
        lambda: change(account, held, removed=[Removal(1, 0, b"", False)]),  # its own signer
        lambda: change(account, held, removed=[Removal(2, 0, b"x" * 32, False)]),
        lambda: change(account, held, reclaim=True),
        lambda: compose_change(account.roster, device(9), nobody, held, random=account.random),
        lambda: change(account, held, added=[(made_keys("new").record((1, account.id)), "")]),
        lambda: change(account, held, added=[(made_keys("new").record((1, account.id)), "é" * 33)]),
        lambda: compose_close(account.roster, 1, account.recovery(0).signing),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert account.roster.number == 2


def test_a_record_that_somebody_sent_is_judged_as_theirs(account: MadeAccount) -> None:
    held = list(account.epochs.values())
    good = made_keys("new").record((1, account.id))
    with refused(AuthenticationError, "key"):
        change(account, held, added=[(replace(good, kem=good.kem[:-1]), "new")])
    with refused(AuthenticationError, "signature"):
        change(account, held, added=[(replace(good, proof=bytes(64)), "new")])


def test_a_signers_key_has_to_be_its_own(account: MadeAccount) -> None:
    key = account.devices[2].signing
    with refused(AuthenticationError, "signature"):
        compose_change(account.roster, device(1), key, list(account.epochs.values()), random=account.random)
    with refused(AuthenticationError, "signature"):
        compose_close(account.roster, 0, key)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "Ann's phone", "手机", "x" * 64, "é" * 32])
def test_names_are_sealed_at_one_length(account: MadeAccount, name: str) -> None:
    record = made_keys("new").record((1, account.id))
    account.append(change(account, list(account.epochs.values()), added=[(record, name)]).entry)
    added = account.roster.devices[4]
    assert len(added.sealed_name) == 160


def test_names_open_under_the_epoch_of_their_entry(account: MadeAccount) -> None:
    for number, item in account.roster.devices.items():
        assert open_name(account.epochs[item.name_epoch], item) == f"device {number}"
        for epoch, keys in account.epochs.items():
            if epoch != item.name_epoch:
                with refused(AuthenticationError, "commitment", device=number):
                    open_name(keys, item)


def test_names_belong_to_their_device_and_its_keys(account: MadeAccount) -> None:
    one, two = account.roster.devices[1], account.roster.devices[2]
    with refused(AuthenticationError, "commitment", device=2):
        open_name(account.epochs[1], replace(two, sealed_name=one.sealed_name))
    with refused(AuthenticationError, "ciphertext", device=1):
        open_name(account.epochs[1], replace(one, keys=two.keys))


@pytest.mark.parametrize(
    "plaintext",
    [
        cbor.encode("x" * 65).ljust(80, b"\0"),
        cbor.encode(b"bytes").ljust(80, b"\0"),
        cbor.encode("name").ljust(79, b"\0") + b"\x01",
        cbor.encode("name") + b"\x80".ljust(75, b"\0"),
        b"",
    ],
    ids=["too long", "no text", "padding", "two items", "empty"],
)
def test_names_of_another_shape_are_refused(account: MadeAccount, plaintext: bytes) -> None:
    """ENC-10"""
    item = account.roster.devices[1]
    binding = sha256(cbor.encode([item.keys.signing, item.keys.kem]))
    key = account.epochs[1].name_key
    sealed = sealing.seal_alone(key, "name", [1], plaintext, binding=binding, salt=sha256(b"salt"))
    with refused(MalformedError, "malformed", device=1):
        open_name(account.epochs[1], replace(item, sealed_name=sealed))
    good = seal_name(account.epochs[1], 1, item.keys, "name", salt=sha256(b"salt"))
    assert open_name(account.epochs[1], replace(item, sealed_name=good)) == "name"


# --- wraps -----------------------------------------------------------------------------------------------------------


def test_every_recipient_opens_its_wrap_and_no_other(account: MadeAccount) -> None:
    entry, wraps = account.entry(), account.wraps[-1]
    holders = {0: account.recovery(0)} | account.devices
    for place, recipient in enumerate((0, 1, 2, 3)):
        opened = open_wrap(account.roster, entry, wraps[place], recipient, holders[recipient])
        assert (opened.number, opened.secret) == (3, account.epoch.secret)
        other = (place + 1) % 4
        with refused(AuthenticationError, "ciphertext"):
            open_wrap(account.roster, entry, wraps[other], recipient, holders[recipient])
        with refused(AuthenticationError, "ciphertext"):
            open_wrap(account.roster, entry, wraps[place], recipient + 1, holders[recipient])


def test_a_wrap_of_another_entry_is_refused(account: MadeAccount) -> None:
    """KEY-07"""
    for wrong in (account.wraps[0][1], account.wraps[2][0][:-1], flipped(account.wraps[2][1], 9), b""):
        with refused(AuthenticationError, "digest"):
            open_wrap(account.roster, account.entry(), wrong, 1, account.devices[1])
    account.close(by=0)
    with refused(AuthenticationError, "digest"):
        open_wrap(account.roster, account.entry(), account.wraps[2][1], 1, account.devices[1])


def spoilt(account: MadeAccount, secret: bytes) -> tuple[Entry, bytes]:
    """The next entry, and in it a wrap for device 1 whose author sealed another secret than it committed to."""
    good = account.compose(device(2)).roster.last
    assert good is not None
    wrapped = wrap(secret, core=good.core, recipient=1, public=account.devices[1].kem.public)
    digests = [good.digests[0], sha256(wrapped), *good.digests[2:]]
    account.append(
        signed.sign("roster", account.id, good.core, account.devices[2].signing, digests=digests),
    )
    return account.entry(), wrapped


def test_a_wrap_of_another_secret_is_refused_by_the_commitment(account: MadeAccount) -> None:
    """KEY-04"""
    entry, wrapped = spoilt(account, sha256(b"another secret"))
    with refused(AuthenticationError, "commitment"):
        open_wrap(account.roster, entry, wrapped, 1, account.devices[1])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_wrap_of_another_length_is_refused_though_its_author_signed_it(account: MadeAccount, length: int) -> None:
    """KEY-07"""
    entry, wrapped = spoilt(account, bytes(length))
    assert sha256(wrapped) in entry.digests
    with refused(AuthenticationError, "digest"):
        open_wrap(account.roster, entry, wrapped, 1, account.devices[1])


# --- the chain of epochs ---------------------------------------------------------------------------------------------


def test_links_lead_down_to_the_first_epoch(account: MadeAccount) -> None:
    found = follow_links(account.roster, account.epoch)
    assert [keys.number for keys in found] == [2, 1]
    assert all(keys.secret == account.epochs[keys.number].secret for keys in found)
    assert follow_links(account.roster, account.epochs[1]) == []
    assert [keys.number for keys in follow_links(account.roster, account.epochs[2])] == [1]


def test_known_epochs_are_not_followed(account: MadeAccount) -> None:
    assert follow_links(account.roster, account.epoch, known=[2]) == []
    assert [keys.number for keys in follow_links(account.roster, account.epoch, known=[1])] == [2]


def test_the_kit_alone_reaches_every_epoch(account: MadeAccount) -> None:
    account.remove(1, by=device(2), new_kit=True)
    account.change(device(3))
    opened = open_wrap(account.roster, account.entry(), account.wraps[-1][0], 0, account.recovery(1))
    found = {keys.number: keys.secret for keys in [opened, *follow_links(account.roster, opened)]}
    assert found == {number: keys.secret for number, keys in account.epochs.items()}


def test_a_rotation_links_the_newest_epoch_and_what_that_does_not_reach(account: MadeAccount) -> None:
    """§5.6"""
    assert links(account, [1, 2, 3]) == [3]
    assert links(account, [2, 1]) == [2]
    account.append(change(account, [account.epochs[1]]).entry)  # epoch 4 links 1 alone, as if 2 and 3 were not held
    four = EpochKeys(account.random.drawn[-2], 4, account.roster.nonce)  # the secret, before the link's salt
    assert four.commitment == account.roster.commitment(4)
    account.epochs[4] = four
    assert links(account, [1, 2, 3, 4]) == [3, 4]
    assert links(account, [1, 2, 4]) == [2, 4]
    account.append(change(account, list(account.epochs.values())).entry)
    assert [link.epoch for link in account.roster.rotations[-1].links] == [3, 4]


def test_an_epoch_that_two_links_lead_to_is_opened_once(account: MadeAccount) -> None:
    account.append(change(account, [account.epochs[1]]).entry)
    account.epochs[4] = EpochKeys(account.random.drawn[-2], 4, account.roster.nonce)
    composed = change(account, list(account.epochs.values()))
    found = follow_links(composed.roster, composed.keys)
    assert [keys.number for keys in found] == [4, 3, 2, 1]


def with_link(roster: Roster, epoch: int, link: Link) -> Roster:
    """The roster as if that epoch's rotation had this link."""
    rotations = list(roster.rotations)
    rotations[epoch - 1] = Rotation(epoch, rotations[epoch - 1].commitment, (link,))
    return replace(roster, rotations=tuple(rotations))


def test_a_link_that_does_not_open_leads_nowhere(account: MadeAccount) -> None:
    """KEY-04, KEY-05"""
    link = account.roster.rotations[2].links[0]
    for bit in range(8 * len(link.sealed)):
        roster = with_link(account.roster, 3, link._replace(sealed=flipped(link.sealed, bit)))
        assert follow_links(roster, account.epoch) == []
    assert follow_links(with_link(account.roster, 3, link._replace(epoch=1)), account.epoch) == []


def test_a_link_belongs_to_its_place_in_the_roster(account: MadeAccount) -> None:
    fork = replace(account.roster, entry_ids=(*account.roster.entry_ids[:1], account.roster.head, account.roster.head))
    assert follow_links(fork, account.epoch) == []


def another_secret(account: MadeAccount) -> Roster:
    """The roster as if epoch 3's link to epoch 2 sealed another secret."""
    sealed = sealing.seal_alone(
        account.epoch.link_key,
        "link",
        [3, 2],
        sha256(b"another secret"),
        binding=account.roster.entry_ids[1],
        salt=sha256(b"salt"),
    )
    return with_link(account.roster, 3, Link(2, sealed))


def test_a_link_to_another_secret_leads_nowhere(account: MadeAccount) -> None:
    """KEY-04: by the commitment."""
    assert follow_links(another_secret(account), account.epoch) == []


def test_a_spoilt_link_is_made_up_for(account: MadeAccount) -> None:
    """ROS-22: a promise does not count; what was not reached by opening links is linked again."""
    held = list(account.epochs.values())
    assert [keys.number for keys in unreached(account.roster, held)] == [3]
    spoilt = another_secret(account)
    assert [keys.number for keys in unreached(spoilt, held)] == [2, 3]
    assert [keys.number for keys in unreached(spoilt, [account.epochs[3], account.epochs[1]])] == [1, 3]
    composed = compose_change(spoilt, device(1), account.devices[1].signing, held, random=account.random)
    assert [keys.number for keys in follow_links(composed.roster, composed.keys)] == [3, 2, 1]


def test_a_rotation_has_room_for_the_newest_only(account: MadeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROS-07, §5.1: the next one links what is left."""
    monkeypatch.setattr("sealkeep_protocol.roster._compose.MAX_LINKS", 1)
    assert [keys.number for keys in unreached(another_secret(account), list(account.epochs.values()))] == [3]


def test_an_epoch_that_is_not_in_the_roster_is_refused(account: MadeAccount) -> None:
    later = account.fork()
    later.change(device(1))
    with refused(HistoryError, "epoch"):
        open_wrap(account.roster, later.entry(), later.wraps[-1][1], 1, account.devices[1])


# --- genesis and close -----------------------------------------------------------------------------------------------


def test_a_genesis_draws_nonce_and_secret(account: MadeAccount) -> None:
    random = CountingRandom("own")
    recovery = recovery_keys(sha256(b"seed"))
    composed = compose_genesis(made_keys("first"), "first", recovery, random=random)
    assert [len(drawn) for drawn in random.drawn] == [32, 32, 32]
    assert composed.roster.nonce == random.drawn[0]
    assert composed.keys.secret == random.drawn[1]
    assert composed.roster.devices[1].sealed_name[:32] == random.drawn[2]
    assert composed.roster.last is not None
    assert open_wrap(composed.roster, composed.roster.last, composed.wraps[0], 0, recovery).number == 1


def test_a_close_rotates_nothing(account: MadeAccount) -> None:
    account.close(by=0)
    assert account.roster.epoch == 3
    assert account.entry().signer == kit(0)
    assert account.roster.last == account.entry()
