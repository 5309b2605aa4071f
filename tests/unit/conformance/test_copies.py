"""The copy route, the limit of entries and restored stores, at the hostile relay while it is honest (spec §5.5, §11.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from sealkeep_conformance.relay import HostileRelay, Limits, Snapshot
from sealkeep_protocol import cbor
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Composed, Removal, Signer
from sealkeep_protocol.statements import verify_receipt
from support.relay_client import Owner, RelayClient, new_keys


@pytest.fixture(scope="module")
def relay() -> Iterator[HostileRelay]:
    with HostileRelay(now=lambda: 5_000_000, limits=Limits(roster_entries=4, roster_reserve=1, batch_items=8)) as relay:
        yield relay


@pytest.fixture
async def client(relay: HostileRelay) -> AsyncIterator[RelayClient]:
    relay.restore(Snapshot())
    async with RelayClient(relay.door("one"), relay.identity) as client:
        yield client


def lost(composed: Composed) -> tuple[bytes, list[bytes | None]]:
    return composed.entry, [None] * len(composed.wraps)


def whole(composed: Composed) -> tuple[bytes, tuple[bytes, ...]]:
    return composed.entry, composed.wraps


async def test_an_account_is_copied(relay: HostileRelay, client: RelayClient) -> None:
    """VIE-07, VIE-09, SEG-17"""
    owner = Owner()
    first = owner.device.seal()
    added = owner.change(added=[new_keys()])
    laptop = owner.devices[2]
    second = laptop.seal()
    fresh = owner.change()
    roster = [lost(owner.genesis), lost(added), whole(fresh)]
    for items, code in (
        ([], "malformed"),
        (roster[1:], "roster-conflict"),
        (roster[:-1], "malformed"),
        ([whole(Owner().genesis)], "invalid"),
    ):
        assert (await client.copy_roster(owner, *items)).code == code
        assert owner.account not in relay.accounts
    assert (await client.copy_roster(owner, *roster)).value == {1: 2}
    assert (await client.copy_roster(owner, *roster)).value == {1: 2}
    other = owner.genesis.entry, [None] * len(added.wraps)
    assert (await client.copy_roster(owner, lost(owner.genesis), other)).code == "fork"
    copies = [(owner.device, first), (laptop, second)]
    assert (await client.copy(owner.device, *copies[::-1])).value[1] == 2
    answer = await client.copy(owner.device, *copies)
    receipts = zip(copies, answer.value[2], strict=True)
    said = [verify_receipt(r, owner.account, relay.identity, c.header_id).position for (_, c), r in receipts]
    assert said == [2, 1]
    again = laptop.seal(seq=1, previous=b"", roster=1, epoch=owner.epochs[1], take=False)  # type: ignore[arg-type]
    spoilt = replace(first, body=second.body)
    for copy, code in (((laptop, again), "fork"), ((laptop, first), "signature"), ((owner.device, spoilt), None)):
        assert (await client.copy(owner.device, copy)).code == code
    assert (await client.as_device(laptop, "POST", "copies", cbor.encode([1, b""]))).code == "malformed"
    assert (await client.request("POST", client.path(owner, "copies"), b"")).code == "unauthorized"


async def test_what_was_refused_is_not_copied(client: RelayClient) -> None:
    """VIE-08"""
    owner = Owner()
    await client.create(owner)
    old = owner.device.seal()
    change = owner.change()
    await client.change(owner, change.entry, change.wraps, 0)
    assert (await client.append(owner.device, old)).code == "epoch-stale"
    assert (await client.copy(owner.device, (owner.device, old))).code == "invalid"


async def test_a_pin_beyond_the_feed(relay: HostileRelay, client: RelayClient) -> None:
    """VIE-09, ROS-12: only where the store was restored, or the account is made."""
    owner = Owner()
    added = owner.change(added=[new_keys()])
    thief = owner.devices[2]
    thief.seal()
    removed = owner.change(removed=[Removal(2, 1, thief.head, False)])
    await client.create(owner)
    await client.change(owner, added.entry, added.wraps, 0)
    backup = relay.snapshot()
    copies = [lost(removed), whole(owner.change())]
    assert (await client.copy_roster(owner, *copies)).code == "pinned"
    before = relay.incarnation
    relay.put_back(backup)
    assert relay.incarnation != before
    info = (await client.request("GET", "/v1/info")).value
    assert (info[4], info[7]) == (relay.incarnation, [before, 5_000_000])
    assert (await client.copy_roster(owner, *copies)).value == {1: 3}
    relay.restore(backup)
    assert relay.incarnation == before
    assert 7 not in (await client.request("GET", "/v1/info")).value


async def test_a_pin_that_the_feed_has_passed(relay: HostileRelay, client: RelayClient) -> None:
    """VIE-09: where the store was restored, what lies beyond goes, with its stamps (§12.4), and another header at the pin's
    place."""
    owner = Owner()
    added = owner.change(added=[new_keys()])
    thief = owner.devices[2]
    await client.create(owner)
    await client.change(owner, added.entry, added.wraps, 0)
    data = b"chunk".ljust(256)
    assert (await client.put(thief, data)).status == 201
    segments = [thief.seal(chunks=[sha256(data)]) for _ in range(3)]
    for segment in segments:
        assert (await client.append_using(thief, segment, [sha256(data)])).status == 200
    backup = relay.snapshot()
    for pin, left in ((Removal(2, 2, segments[1].header_id, False), 2), (Removal(2, 2, bytes(32), False), 1)):
        removed = owner.change(removed=[pin], take=False)
        relay.put_back(backup)
        held, epochs = owner.roster, list(owner.epochs)
        owner._took(removed)
        assert (await client.copy_roster(owner, lost(removed), whole(owner.change()))).value == {1: 3}
        owner.roster, owner.epochs = held, epochs
        heads = (await client.as_device(owner.device, "GET", "heads")).value
        assert heads[3] == [[2, left, segments[left - 1].header_id]]
        assert len(relay.accounts[owner.account].chunks.stamps) == left


async def test_copied_entries_count(client: RelayClient) -> None:
    """§5.5, §11.4: one by one, where nothing can have been lost."""
    owner = Owner()
    await client.create(owner)
    entries = [owner.change() for _ in range(5)]
    assert (await client.copy_roster(owner, *map(lost, entries[:4]), whole(entries[4]))).code == "busy"
    assert (await client.copy_roster(owner, *map(lost, entries[:3]), whole(entries[3]))).value == {1: 4}


async def test_too_many_entries(client: RelayClient) -> None:
    """§5.5: a device's and its descendants' together; the reserve is of standing; the kit may."""
    owner = Owner()
    await client.create(owner)
    added = owner.change(added=[new_keys()])
    assert (await client.change(owner, added.entry, added.wraps, 0)).status == 201
    for number in range(1, 4):
        one = owner.change(by=Signer.device(2))
        assert (await client.change(owner, one.entry, one.wraps, number)).status == 201
    more = owner.change(take=False)
    answer = await client.change(owner, more.entry, more.wraps, 4)
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "busy", "3600")
    assert (await client.copy_roster(owner, whole(more))).code == "busy"
    by_kit = owner.change(by=Signer.recovery(0))
    assert (await client.change(owner, by_kit.entry, by_kit.wraps, 4)).status == 201
