"""How faults are made, whom they are for, and how they add up (`sealkeep_conformance.relay`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sealkeep_conformance.relay import HostileRelay, Snapshot
from sealkeep_conformance.relay import faults as f
from sealkeep_conformance.relay.faults import FAULTS, describe, make_fault, parameters
from support.relay_client import Author, Owner, RelayClient, new_keys


@pytest.fixture(scope="module")
def relay() -> Iterator[HostileRelay]:
    with HostileRelay() as relay:
        yield relay


@pytest.fixture
async def client(relay: HostileRelay) -> AsyncIterator[RelayClient]:
    relay.restore(Snapshot())
    async with RelayClient(relay.door("one"), relay.identity) as client:
        yield client


@pytest.fixture
async def owner(client: RelayClient) -> Owner:
    owner = Owner()
    assert (await client.create(owner)).status == 201
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    for device in owner.devices.values():
        await client.append(device, device.seal(), device.seal())
    return owner


async def seqs(client: RelayClient, author: Author) -> list[tuple[int, int]]:
    return [(segment.device, segment.seq) for segment in (await client.page(author)).segments]


ALL = [(1, 1), (1, 2), (2, 1), (2, 2)]


async def test_faults_add_up_in_their_order_and_are_lifted_one_by_one(
    relay: HostileRelay, client: RelayClient, owner: Owner
) -> None:
    assert await seqs(client, owner.device) == ALL
    first = relay.inject(f.Drop(1, 2))
    second = relay.inject(f.Replay(1, 2))
    assert await seqs(client, owner.device) == [(1, 1), (2, 1), (2, 2), (1, 2)]
    assert relay.log[-1].faults == (first, second)
    relay.lift(first)
    assert await seqs(client, owner.device) == [*ALL, (1, 2)]
    relay.lift()
    assert await seqs(client, owner.device) == ALL
    assert relay.log[-1].faults == ()
    with pytest.raises(KeyError):
        relay.lift(first)


async def test_a_fault_is_for_whom_its_scope_says(relay: HostileRelay, client: RelayClient, owner: Owner) -> None:
    phone, tablet = owner.devices[1], owner.devices[2]
    other = Owner()
    await client.create(other)
    await client.append(other.device, other.device.seal(), other.device.seal())
    drop = f.Drop(1, 2)
    with relay.fault(drop, device=2):
        assert (await seqs(client, phone), await seqs(client, tablet)) == (ALL, [(1, 1), (2, 1), (2, 2)])
    with relay.fault(drop, account=other.account):
        assert (await seqs(client, phone), await seqs(client, other.device)) == (ALL, [(1, 1)])
    async with RelayClient(relay.door("two"), relay.identity) as second:
        with relay.fault(drop, door="two"):
            assert (await seqs(client, phone), await seqs(second, phone)) == (ALL, [(1, 1), (2, 1), (2, 2)])
    with relay.fault(drop, routes=["feed"]):
        assert await seqs(client, phone) == ALL


async def test_a_request_without_a_token_is_told_by_its_door(
    relay: HostileRelay, client: RelayClient, owner: Owner
) -> None:
    """The roster is anybody's: whoever logged in by this door last is taken for who asks."""
    await client.page(owner.devices[2])
    with relay.fault(f.StaleRoster(0), device=2):
        assert len((await client.request("GET", client.path(owner, "roster"))).items) == 1
        async with RelayClient(relay.door("two"), relay.identity) as second:
            assert len((await second.request("GET", second.path(owner, "roster"))).items) == 2


async def test_a_fault_may_wait_and_end_by_itself(relay: HostileRelay, client: RelayClient, owner: Owner) -> None:
    with relay.fault(f.Drop(1, 1), skip=1, times=2):
        found = [await seqs(client, owner.device) for _ in range(4)]
    assert [pages == ALL for pages in found] == [True, False, False, True]


async def test_what_is_written_to_a_lie_is_not_kept(relay: HostileRelay, client: RelayClient, owner: Owner) -> None:
    phone = owner.device
    with relay.fault(f.Rollback(position=4)):
        assert (await client.append(phone, phone.seal())).status == 200
        assert await seqs(client, phone) == [*ALL, (1, 3)]
    assert await seqs(client, phone) == ALL
    phone.seq, phone.head = 2, relay.accounts[owner.account].feed_of(1)[-1].header_id
    with relay.fault(f.Fork(position=4)):
        assert (await client.append(phone, phone.seal())).status == 200
    assert await seqs(client, phone) == [*ALL, (1, 3)]  # it fits, so it is brought over


async def test_a_snapshot_is_come_back_to(relay: HostileRelay, client: RelayClient, owner: Owner) -> None:
    before = relay.snapshot()
    await client.append(owner.device, owner.device.seal())
    relay.inject(f.Deny("busy"))
    relay.restore(before)
    assert relay.log == []
    assert await seqs(client, owner.device) == ALL


def test_every_fault_says_what_it_does_and_can_be_named() -> None:
    for name, kind in FAULTS.items():
        assert name == kind.name
        assert len(describe(kind)) > 20, name
        assert describe(kind).endswith((".", ":", ",")) or describe(kind)[-1].isalpha(), name
        for field in parameters(kind):
            assert str(field.type).removesuffix(" | None") in ("int", "str", "bool", "float", "bytes"), (
                name,
                field.name,
            )


def test_a_fault_is_made_from_plain_values() -> None:
    assert make_fault("drop", {"device": 1, "seq": 5}) == f.Drop(1, 5)
    assert make_fault("rollback", {"position": 3, "entry": None}) == f.Rollback(position=3)
    assert make_fault("another-roster", {"account": "00ff"}) == f.AnotherRoster(b"\x00\xff")
    for name, values, said in (
        ("nothing", {}, "there is no fault"),
        ("drop", {"device": 1}, "seq"),
        ("drop", {"device": 1, "seq": "five"}, "seq is a value of type int"),
        ("drop", {"device": True, "seq": 5}, "device is a value of type int"),
        ("drop", {"device": 1, "seq": 5, "when": 1}, "no parameter when"),
        ("deny", {"code": "whatever"}, "not a problem code"),
        ("another-roster", {"account": "xyz"}, "non-hexadecimal"),
    ):
        with pytest.raises(ValueError, match=said):
            make_fault(name, values)
