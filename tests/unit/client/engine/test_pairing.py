"""Pairing as the engine decides it: what is said when, what is appended, and which roster a new device believes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sealkeep_client.answers import Wrap
from sealkeep_client.engine import Account, Action, AppendEntry, ReadRoster, ReadWraps, decode
from sealkeep_client.engine._roster import RemovedError
from sealkeep_client.engine.pairing import (
    Ask,
    Declined,
    GetMessage,
    PutMessage,
    SaveEnrolment,
    SaveOffer,
    ShowWords,
    SpentError,
    add_device,
    ask_to_join,
    join,
    meet,
)
from sealkeep_protocol.errors import HistoryError, MalformedError, PairingError, RefusedError, SealkeepError
from sealkeep_protocol.keys import KeyRecord
from sealkeep_protocol.pairing import Candidate, Enrolment
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Roster, open_name
from sealkeep_protocol.types import DeviceId, ObjectId
from support.accounts import TIME, MadeAccount, device, flipped, kit, made_keys, refused
from support.pairing import ENROLMENT, Pair
from support.roster_relay import Follower, RosterRelay, drive

LAPTOP = made_keys("laptop")


@pytest.fixture
def world() -> MadeAccount:
    return MadeAccount(devices=2)


@pytest.fixture
def relay(world: MadeAccount) -> RosterRelay:
    return RosterRelay(world)


@pytest.fixture
def phone(world: MadeAccount) -> Follower:
    return Follower(1, world)


def candidate(world: MadeAccount, keys: KeyRecord | None = None) -> Candidate:
    return Candidate(keys or LAPTOP.record((1, world.id)), "laptop", sha256(b"nonce"))


def let_in(relay: RosterRelay, phone: Follower, who: Candidate | None = None) -> Enrolment:
    who = who or candidate(relay.world)
    steps = add_device(phone.account, who, known=relay.world.known, random=phone.random, now=lambda: TIME)
    return phone.run(relay, steps)


# Letting it in


def test_a_device_is_added_with_its_keys_and_name(world: MadeAccount, relay: RosterRelay, phone: Follower) -> None:
    enrolment = let_in(relay, phone)
    assert enrolment == Enrolment(DeviceId(3), world.roster.number, world.roster.head)
    added = world.roster.devices[3]
    assert (added.keys, added.added_by) == (LAPTOP.record((1, world.id)), device(1))
    assert open_name(phone.account.epoch(added.name_epoch), added) == "laptop"
    assert phone.account.roster.head == world.roster.head
    assert len(world.wraps[-1]) == 4  # recovery key and three devices


def test_a_lost_answer_adds_nothing_twice(world: MadeAccount, relay: RosterRelay, phone: Follower) -> None:
    """ROS-13: it looks for its own entry first."""
    relay.lose_answer(AppendEntry)
    assert let_in(relay, phone).number == world.roster.number
    assert (relay.appended, len(world.roster.devices)) == (1, 3)


def test_another_devices_entry_comes_first(world: MadeAccount, relay: RosterRelay, phone: Follower) -> None:
    """ROS-13: rebased on the new head, with a fresh epoch secret."""
    relay.before(AppendEntry, lambda: world.add(by=device(2)))
    assert let_in(relay, phone).device == 4
    tried = [action for action in relay.asked if isinstance(action, AppendEntry)]
    assert len(tried) == 2
    rotations = [decode(action.entry).rotation for action in tried]
    assert None not in rotations
    assert rotations[0].commitment != rotations[1].commitment  # type: ignore[union-attr]
    assert relay.appended == 1


def test_a_device_that_is_there_already_is_not_added_again(
    world: MadeAccount, relay: RosterRelay, phone: Follower
) -> None:
    """PAI-12: an active one; it is told the entry that added it."""
    first = let_in(relay, phone)
    world.add(by=device(2))
    assert let_in(relay, phone) == first
    assert relay.appended == 1


@pytest.mark.parametrize("which", ["removed", "half a device", "recovery key"])
def test_keys_that_the_roster_has_seen_otherwise(
    world: MadeAccount, relay: RosterRelay, phone: Follower, which: str
) -> None:
    """PAI-12"""
    keys = LAPTOP.record((1, world.id))
    if which == "removed":
        let_in(relay, phone)
        world.remove(3, by=kit(0))
    elif which == "half a device":
        keys = replace(keys, kem=world.devices[2].kem.public)
    else:
        keys = replace(keys, signing=world.recovery(0).signing.public)
    before = world.roster.number
    with pytest.raises(PairingError, match="seen before"):
        let_in(relay, phone, candidate(world, keys))
    assert world.roster.number == before


def test_a_relay_that_takes_entries_and_shows_none(relay: RosterRelay, phone: Follower) -> None:
    relay.takes = False
    with refused(HistoryError, "missing"):
        let_in(relay, phone)


def test_conflicts_without_end(relay: RosterRelay, phone: Follower) -> None:
    relay.takes = False
    relay.refuse(AppendEntry, "roster-conflict")
    with pytest.raises(RefusedError) as caught:
        let_in(relay, phone)
    assert caught.value.code == "roster-conflict"


def test_a_refusal_is_final(relay: RosterRelay, phone: Follower) -> None:
    relay.refuse(AppendEntry, "quota")
    with pytest.raises(RefusedError) as caught:
        let_in(relay, phone)
    assert caught.value.code == "quota"
    assert sum(isinstance(action, AppendEntry) for action in relay.asked) == 1


def test_a_device_that_is_removed_meanwhile_lets_nobody_in(
    world: MadeAccount, relay: RosterRelay, phone: Follower
) -> None:
    relay.before(AppendEntry, lambda: world.remove(1, by=kit(0), new_kit=True))
    with pytest.raises(RemovedError):
        let_in(relay, phone)
    assert 3 not in world.roster.devices


def test_a_denial_without_a_removal_is_a_rollback(relay: RosterRelay, phone: Follower) -> None:
    """REL-13"""
    relay.refuse(AppendEntry, "revoked")
    with refused(HistoryError, "rollback"):
        let_in(relay, phone)


# Joining


@pytest.fixture
def enrolment(relay: RosterRelay, phone: Follower) -> Enrolment:
    return let_in(relay, phone)


def joined(relay: RosterRelay, enrolment: Enrolment, **options: Any) -> tuple[Account, list[bytes]]:
    account, keys = options.get("account", relay.world.id), options.get("keys", LAPTOP)
    steps = join(account, relay.made.identity, keys, enrolment)
    result: tuple[Account, list[bytes]] = drive(steps, lambda action: relay.answer(enrolment.device, action))
    return result


def test_a_new_device_joins_and_reaches_every_epoch(
    world: MadeAccount, relay: RosterRelay, enrolment: Enrolment
) -> None:
    account, entries = joined(relay, enrolment)
    assert entries == world.entries
    assert (account.device, account.roster.head) == (3, world.roster.head)
    assert sorted(account.epochs) == list(range(1, world.roster.epoch + 1))


def test_it_joins_while_others_rotate(
    world: MadeAccount, relay: RosterRelay, phone: Follower, enrolment: Enrolment
) -> None:
    world.epochs.update(phone.account.epochs)
    relay.before(ReadWraps, lambda: world.add(by=device(1)))
    account, entries = joined(relay, enrolment)
    assert entries == world.entries
    assert world.roster.epoch in account.epochs
    world.change(device(1), add=1)
    assert joined(relay, enrolment)[0].roster.number == world.roster.number


def test_a_rotation_in_every_answer(
    world: MadeAccount, relay: RosterRelay, phone: Follower, enrolment: Enrolment
) -> None:
    world.epochs.update(phone.account.epochs)
    real = relay._answer

    def racing(number: int, action: Action) -> Any:
        if isinstance(action, ReadWraps):
            world.change(device(1))
        return real(number, action)

    relay._answer = racing  # type: ignore[method-assign]
    with refused(HistoryError, "missing"):
        joined(relay, enrolment)


def test_a_roster_without_the_entry_is_refused(
    world: MadeAccount, relay: RosterRelay, phone: Follower, enrolment: Enrolment
) -> None:
    """PAI-13: shorter, and another one at its number."""
    relay.asked.clear()
    relay.spoil(ReadRoster, lambda answer: (answer[0][:-1], answer[1] - 1))
    with refused(HistoryError, "rollback"):
        joined(relay, enrolment)
    relay.mend()
    forked = world.fork()
    forked.entries, forked.wraps = world.entries[:-1], world.wraps[:-1]
    forked.roster = Roster.read(forked.entries, account=world.id)
    forked.change(device(2), add=1)
    relay.world = forked
    with refused(HistoryError, "fork"):
        joined(relay, enrolment)
    assert not any(isinstance(action, ReadWraps) for action in relay.asked), "nothing more is asked of it"


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, device=DeviceId(2)),
        lambda e: replace(e, device=DeviceId(9)),
        lambda e: replace(e, number=1, device=DeviceId(2)),
        lambda e: replace(e, number=1),
    ],
    ids=["another device", "no device", "another entry's device", "another entry"],
)
def test_an_entry_that_does_not_add_this_device_is_refused(
    world: MadeAccount, relay: RosterRelay, enrolment: Enrolment, change: Callable[[Enrolment], Enrolment]
) -> None:
    """PAI-13"""
    said = change(enrolment)
    said = replace(said, entry_id=world.roster.entry_ids[said.number])
    with refused(HistoryError, "roster"):
        joined(relay, said)


def test_an_entry_that_adds_other_keys_is_refused(relay: RosterRelay, enrolment: Enrolment) -> None:
    """PAI-13: the relay, or a device of the account, put its own in."""
    with refused(HistoryError, "roster"):
        joined(relay, enrolment, keys=made_keys("thief"))


def test_another_accounts_roster_is_refused(relay: RosterRelay, enrolment: Enrolment) -> None:
    relay.world = MadeAccount(devices=3, seed="another")
    with refused(HistoryError, "fork"):
        joined(relay, enrolment, account=MadeAccount(devices=2).id)


def test_an_id_of_another_entry_is_a_fork(relay: RosterRelay, enrolment: Enrolment) -> None:
    """PAI-13"""
    with refused(HistoryError, "fork"):
        joined(relay, replace(enrolment, entry_id=ObjectId(flipped(enrolment.entry_id, 5))))


def wraps(change: Callable[[list[Wrap]], Sequence[Wrap]]) -> Callable[[Any], Any]:
    return lambda answer: list(change(answer))


def test_wraps_that_are_withheld_old_or_anothers(
    world: MadeAccount, relay: RosterRelay, phone: Follower, enrolment: Enrolment
) -> None:
    relay.spoil(ReadWraps, wraps(lambda found: []))
    with refused(HistoryError, "missing"):
        joined(relay, enrolment)
    relay.mend()
    relay.spoil(ReadWraps, wraps(lambda found: [replace(found[0], recipient=2)]))
    with refused(HistoryError, "missing"):
        joined(relay, enrolment)
    relay.mend()
    relay.spoil(ReadWraps, wraps(lambda found: [replace(found[0], wrap=flipped(found[0].wrap, 9))]))
    with pytest.raises(SealkeepError) as caught:
        joined(relay, enrolment)
    assert getattr(caught.value, "code", None) == "digest"
    relay.mend()
    old = relay.wraps(3)
    world.epochs.update(phone.account.epochs)
    world.change(device(1))
    relay.spoil(ReadWraps, wraps(lambda found: old))
    with refused(HistoryError, "missing"):
        joined(relay, enrolment)


def test_a_device_that_was_removed_before_it_joined(
    world: MadeAccount, relay: RosterRelay, enrolment: Enrolment
) -> None:
    world.remove(3, by=kit(0))
    with pytest.raises(SpentError):
        joined(relay, enrolment)


def test_a_removal_while_it_joins(world: MadeAccount, relay: RosterRelay, enrolment: Enrolment) -> None:
    """REL-13: believed with the removal in the roster."""
    relay.before(ReadWraps, lambda: world.remove(3, by=kit(0)))
    with pytest.raises(SpentError):
        joined(relay, enrolment)


def test_a_denial_without_a_removal_while_it_joins(relay: RosterRelay, enrolment: Enrolment) -> None:
    """REL-13"""
    relay.refuse(ReadWraps, "revoked")
    with refused(HistoryError, "rollback"):
        joined(relay, enrolment)
    relay.mend()
    relay.refuse(ReadWraps, "closed")
    with refused(HistoryError, "rollback"):
        joined(relay, enrolment)
    relay.world.close(by=0)
    with pytest.raises(RefusedError) as caught:
        joined(relay, enrolment)
    assert caught.value.code == "closed"
    relay.mend()
    relay.refuse(ReadWraps, "quota")
    with pytest.raises(RefusedError) as caught:
        joined(relay, enrolment)
    assert caught.value.code == "quota"


# What is said when


class Talk:
    """Both sides' steps against each other, through a mailbox that both can see; `done` is what each did, in order."""

    def __init__(self, pair: Pair, *, agree: bool = True) -> None:
        self.pair = pair
        self.agree = agree
        self.messages: dict[int, bytes] = {}
        self.old: list[Any] = []
        self.new: list[Any] = []

    def run(self) -> tuple[Any, Any]:
        """What `meet` returned, and what `ask_to_join` returned or raised."""
        sides: list[tuple[Generator[Any, Any, Any], list[Any]]] = [
            (meet(self.pair.old), self.old),
            (ask_to_join(self.pair.new), self.new),
        ]
        results: list[Any] = [None, None]
        answers: list[Any] = [None, None]
        waiting = {0, 1}
        while waiting:
            for side in sorted(waiting):
                steps, done = sides[side]
                if done and isinstance(done[-1], GetMessage):
                    if done[-1].place not in self.messages:
                        if waiting == {1} and done[-1].place == 5:
                            self.messages[5] = self.pair.old.conclude(ENROLMENT)
                        continue
                    answers[side] = self.messages[done[-1].place]
                try:
                    action = steps.send(answers[side])
                except StopIteration as stop:
                    results[side] = stop.value
                    waiting.discard(side)
                    continue
                except SealkeepError as error:
                    results[side] = error
                    waiting.discard(side)
                    continue
                done.append(action)
                answers[side] = None
                if isinstance(action, PutMessage):
                    self.messages[action.place] = action.message
                elif isinstance(action, Ask):
                    answers[side] = self.agree
        return results[0], results[1]


def kinds(actions: list[Any]) -> list[object]:
    return [
        (type(action), action.place) if isinstance(action, PutMessage | GetMessage) else type(action)
        for action in actions
    ]


def test_what_is_said_when() -> None:
    """PAI-10: asked before anything is appended; PAI-11: durable before message 4; PAI-14: joined with message 5 only."""
    talk = Talk(Pair())
    who, told = talk.run()
    assert isinstance(who, Candidate)
    assert told == (talk.pair.old._account, ENROLMENT)
    assert kinds(talk.old) == [(PutMessage, 1), (GetMessage, 2), (PutMessage, 3), (GetMessage, 4), Ask]
    assert kinds(talk.new) == [
        (GetMessage, 1),
        (PutMessage, 2),
        (GetMessage, 3),
        SaveOffer,
        (PutMessage, 4),
        ShowWords,
        (GetMessage, 5),
        SaveEnrolment,
    ]
    asked, shown = talk.old[-1], talk.new[5]
    assert (asked.name, asked.words) == ("laptop", shown.words)
    assert " ".join(shown.words) not in repr(shown)


def test_a_no_is_said_and_nothing_else() -> None:
    """PAI-10"""
    talk = Talk(Pair(), agree=False)
    who, told = talk.run()
    assert who is None
    assert isinstance(told, PairingError)
    assert "answered no" in str(told)
    assert kinds(talk.old)[-2:] == [Ask, (PutMessage, 5)]
    assert kinds(talk.new)[-1] is Declined
    assert SaveEnrolment not in kinds(talk.new)


def test_nothing_is_saved_for_a_message_3_that_is_refused() -> None:
    """PAI-11"""
    pair = Pair()
    pair.up_to(2)
    steps = ask_to_join(Pair().new)
    next(steps)
    steps.send(pair.said[0])
    steps.send(None)
    with pytest.raises((PairingError, MalformedError)):
        steps.send(b"\xa0")
