"""A repair against a relay that lies (spec §11.5); tests/fault has the honest one, which gets everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from sealkeep_client.answers import Appended
from sealkeep_client.engine import (
    Copy,
    LoadKept,
    LoadPending,
    LoadStored,
    PendingSegment,
    Progress,
    ReadHeads,
    Repair,
    Repaired,
    Session,
)
from sealkeep_protocol.errors import HistoryError, MalformedError, RefusedError
from sealkeep_protocol.segments import Head, SealedSegment
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import TIME, MadeAccount, MadeRelay, flipped, refused
from support.memory_relay import Device, MemoryRelay, heads

OTHER = ObjectId(bytes(32))

Answer = Callable[[Copy], Appended | RefusedError]  # an error: the relay refuses so


class World(NamedTuple):
    """The phone has verified 1:1, 2:1 and 2:2; the relay was restored, and has 1:1 alone."""

    made: MadeAccount
    relay: MemoryRelay
    phone: Device
    lost: list[SealedSegment]

    def copied(self, action: Copy) -> list[bytes]:
        """The receipts of an honest relay."""
        by_header = {segment.header: segment for segment in self.lost}
        return [
            self.relay.made.receipt(self.made, by_header[item.segment.header], 200 + place)
            for place, item in enumerate(action.items)
        ]

    def repair(self, answer: Answer) -> Repaired:
        phone = self.phone
        repair = Repair(
            Session(phone.account, phone.known, lambda _: None, phone.signed),
            self.made.entries,
            {},
            random=phone.random,
            now=TIME,
            sent_to=None,
        )
        steps = repair.run()
        said: object = None
        try:
            while True:
                action = steps.throw(said) if isinstance(said, RefusedError) else steps.send(said)
                match action:
                    case LoadKept():
                        said = PendingSegment(self.made.segments[action.device][action.seq - 1])
                    case Copy():
                        said = answer(action)
                    case LoadPending() | LoadStored():
                        said = []
                    case Progress():
                        said = None
                    case _:
                        said = self.relay.answer(1, action)
        except StopIteration as stop:
            done: Repaired = stop.value
            return done


@pytest.fixture
def world() -> World:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.write("one")
    phone.sync()
    for text in ("two", "three"):
        tablet.write(text)
        tablet.sync()
    phone.sync()
    lost = [stored.segment for stored in relay.log if stored.device == 2]
    relay.restore(keep=1)
    return World(made, relay, phone, lost)


def test_what_was_lost_is_copied(world: World) -> None:
    done = world.repair(lambda action: Appended(0, tuple(world.copied(action))))
    assert (done.entries, done.segments, done.missing, done.stranded) == (0, 2, (), False)


@pytest.mark.parametrize(("number", "seq"), [(1, 1), (2, 1), (2, 2)])
def test_another_header_at_a_verified_place_is_a_fork(world: World, number: int, seq: int) -> None:
    """VIE-11: nothing is copied over another history, wherever it parts from this device's."""
    there = Head(DeviceId(number), Seq(seq), OTHER)
    world.relay.spoil(ReadHeads, heads(lambda known: known | {number: there}))
    copied: list[Copy] = []

    def answer(action: Copy) -> Appended:
        copied.append(action)
        return Appended(0, tuple(world.copied(action)))

    with refused(HistoryError, "fork", device=number, seq=seq):
        world.repair(answer)
    assert not copied


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("fault", ["flipped", "of another segment", "of another relay"])
def test_every_receipt_of_a_copy_is_verified(world: World, wrong: int, fault: str) -> None:
    """SEG-16: only what has its receipt was brought back."""

    def answer(action: Copy) -> Appended:
        receipts = world.copied(action)
        receipts[wrong] = {
            "flipped": flipped(receipts[wrong], 300),
            "of another segment": receipts[wrong - 1],
            "of another relay": MadeRelay("other").receipt(world.made, world.lost[wrong], 200 + wrong),
        }[fault]
        return Appended(0, tuple(receipts))

    with refused(HistoryError, "receipt"):
        world.repair(answer)


def test_a_copy_is_answered_with_receipts(world: World) -> None:
    with refused(MalformedError, "malformed"):
        world.repair(lambda action: Appended(0, ()))
    with refused(MalformedError, "malformed"):
        world.repair(lambda action: Appended(0, tuple(world.copied(action) * 2)))


@pytest.mark.parametrize("code", ["revoked", "closed", "not-found"])
def test_a_relay_that_denies_the_account_in_a_repair_is_not_believed(world: World, code: str) -> None:
    """REL-13: nor is one that refuses for the account's own reasons taken for one that lost something."""
    with refused(HistoryError, "rollback"):
        world.repair(lambda action: RefusedError(code, "so it says", status=403))
    with pytest.raises(RefusedError, match="too many"):
        world.repair(lambda action: RefusedError("busy", "too many", status=429))
