"""The copy route, through a real relay (spec §11.4)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.roster import Composed, Removal, Signer
from sealkeep_protocol.segments import SealedSegment
from sealkeep_protocol.statements import verify_receipt
from support.accounts import flipped
from support.relay import RelayProcess, ServedRelay, served
from support.relay_client import Author, Owner, RelayClient, new_keys


@pytest.fixture(scope="module", params=["process", "conformance"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRelay]:
    with served(request.param, tmp_path_factory.mktemp("relay") / "data", batch_items=8) as relay:
        yield relay


@pytest.fixture
async def client(relay: ServedRelay) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


def lost(composed: Composed) -> tuple[bytes, list[bytes | None]]:
    """An entry as a client holds it: its wraps are gone."""
    return composed.entry, [None] * len(composed.wraps)


def whole(composed: Composed) -> tuple[bytes, tuple[bytes, ...]]:
    return composed.entry, composed.wraps


class Moving:
    """An account that the relay does not know: two devices with segments of three epochs, and a fresh rotation."""

    def __init__(self) -> None:
        self.owner = Owner()
        phone = self.owner.device
        first = phone.seal()
        added = self.owner.change(added=[new_keys()])
        laptop = self.owner.devices[2]
        self.segments: list[tuple[Author, SealedSegment]] = [
            (phone, first),
            (laptop, laptop.seal()),
            (laptop, laptop.seal(20_000)),
        ]
        changed = self.owner.change()
        self.segments += [(phone, phone.seal()), (laptop, laptop.seal())]
        self.entries = [self.owner.genesis, added, changed]
        self.fresh = self.owner.change()

    @property
    def roster(self) -> list[tuple[bytes, list[bytes | None]] | tuple[bytes, tuple[bytes, ...]]]:
        return [*map(lost, self.entries), whole(self.fresh)]


@pytest.fixture
def moving() -> Moving:
    return Moving()


@pytest.fixture
async def moved(client: RelayClient, moving: Moving) -> Moving:
    """The same with its roster at the relay."""
    answer = await client.copy_roster(moving.owner, *moving.roster)
    assert answer.value == {1: 3}
    return moving


async def test_an_account_moves(client: RelayClient, relay: ServedRelay, moved: Moving) -> None:
    """VIE-07: each header by its own roster head; the receipts are in the order of the copies."""
    phone = moved.owner.device
    answer = await client.copy(phone, *moved.segments)
    assert (answer.status, answer.value[1]) == (200, 5)
    for position, ((_, segment), receipt) in enumerate(zip(moved.segments, answer.value[2], strict=True), start=1):
        said = verify_receipt(receipt, moved.owner.account, relay.identity, segment.header_id)
        assert said.position == position
    page = await client.page(phone)
    assert [(s.device, s.header, s.body) for s in page.segments] == [
        (author.number, segment.header, segment.body) for author, segment in moved.segments
    ]
    assert (await client.copy(phone, *moved.segments)).value == answer.value  # SEG-17
    assert (await client.append(phone, phone.seal())).value[1] == 3  # and the feeds go on
    wraps = (await client.as_device(moved.owner.devices[2], "GET", "wraps")).items
    assert wraps == [[3, 2, moved.fresh.wraps[2]]]


async def test_a_copied_roster_is_whole_or_nothing(client: RelayClient, moving: Moving) -> None:
    """VIE-09: judged from the genesis on, in one transaction, with all wraps of the last one."""
    owner, good = moving.owner, moving.roster
    other = Owner()
    broken = [
        (good[:-1], "malformed"),
        ([*good[:-1], lost(moving.fresh)], "malformed"),
        ([*good[:-1], (moving.fresh.entry, [*moving.fresh.wraps[:-1], None])], "malformed"),
        ([*good[:-1], (moving.fresh.entry, moving.fresh.wraps[:-1])], "malformed"),
        ([*good[:-1], (moving.fresh.entry, moving.fresh.wraps[::-1])], "invalid"),
        ([good[0], good[2], good[3]], "invalid"),
        (good[1:], "roster-conflict"),
        ([whole(other.genesis)], "invalid"),
        ([], "malformed"),
        ([(b"", ())] * 1000, "malformed"),
        ([(moving.fresh.entry, [None] * 129)], "malformed"),
        ([(moving.fresh.entry[:-1] + bytes([moving.fresh.entry[-1] ^ 1]), ())], "roster-conflict"),
    ]
    for items, code in broken:
        assert (await client.copy_roster(owner, *items)).code == code, items
        assert (await client.request("GET", client.path(owner, "roster"))).code == "not-found"
    answer = await client.request("POST", client.path(owner, "copies/roster"), cbor.encode([1, 2, 3]))
    assert answer.code == "malformed"
    assert (await client.copy_roster(owner, *good)).value == {1: 3}
    assert (await client.copy_roster(owner, *good)).value == {1: 3}  # it is there already
    assert (await client.copy_roster(owner, *good[1:2])).value == {1: 3}


async def test_what_is_there_is_compared(client: RelayClient, moved: Moving) -> None:
    """VIE-09: another entry at the same place is a fork, whatever comes behind it."""
    owner = moved.owner
    other = replace(moved.entries[1], entry=owner.genesis.entry)
    answer = await client.copy_roster(owner, lost(owner.genesis), lost(other))
    assert (answer.status, answer.code) == (409, "fork")
    more, last = owner.change(), owner.change()
    assert (await client.copy_roster(owner, lost(moved.fresh), lost(more), whole(last))).value == {1: 5}


async def test_a_pin_may_lie_beyond_what_is_left_of_a_feed(client: RelayClient) -> None:
    """VIE-07, VIE-09, ROS-12: the removed device's feed is completed up to its pin, with the pinned header."""
    owner = Owner()
    phone = owner.device
    added = owner.change(added=[new_keys()])
    thief = owner.devices[2]
    segments = [thief.seal() for _ in range(3)]
    other = thief.seal(seq=3, previous=segments[1].header_id, take=False)
    removed = owner.change(removed=[Removal(2, 3, thief.head, False)])
    roster = [lost(owner.genesis), lost(added)]
    assert (await client.copy_roster(owner, *roster, whole(removed))).code == "pinned"
    assert (await client.copy_roster(owner, *roster, lost(removed), whole(owner.change()))).value == {1: 3}
    beyond = thief.seal(roster=1, epoch=owner.epochs[1], take=False)
    copies = [(thief, segment) for segment in segments]
    assert (await client.copy(phone, *copies[:2], (thief, other))).value[1] == 2
    assert (await client.copy(phone, (thief, other))).code == "pinned"
    assert (await client.copy(phone, *copies)).value[1] == 3
    assert (await client.copy(phone, (thief, beyond))).code == "pinned"


async def test_only_the_next_header_is_copied(client: RelayClient, moved: Moving) -> None:
    """VIE-07: chain, author, signature, roster head, ciphertexts; what came before it counts."""
    phone, laptop = moved.owner.device, moved.owner.devices[2]
    (_, first), (_, second), *_ = moved.segments
    unknown = Author(moved.owner, 9, new_keys())
    old = moved.owner.epochs[0]
    for (author, segment), code in [
        ((laptop, moved.segments[2][1]), "gap"),
        ((phone, second), "signature"),
        ((laptop, first), "signature"),
        ((unknown, first), "invalid"),
        ((phone, replace(first, body=second.body)), "invalid"),
        ((phone, replace(first, summary=second.summary)), "invalid"),
        ((phone, replace(first, header=flipped(first.header, 8 * len(first.header) - 8))), "signature"),
        ((phone, phone.seal(seq=1, previous=b"", roster=9, take=False)), "roster-conflict"),  # type: ignore[arg-type]
        ((laptop, laptop.seal(seq=1, previous=b"", roster=0, epoch=old, take=False)), "invalid"),  # type: ignore[arg-type]
        ((phone, phone.seal(seq=1, previous=b"", roster=0, take=False)), "invalid"),  # type: ignore[arg-type]
    ]:
        assert (await client.copy(phone, (author, segment))).code == code, code
    answer = await client.copy(phone, moved.segments[0], moved.segments[2], *moved.segments[1:2])
    assert (answer.status, answer.value[1]) == (200, 1)
    other = phone.seal(seq=1, previous=b"", roster=0, epoch=old, take=False)  # type: ignore[arg-type]
    assert (await client.copy(phone, (phone, other))).code == "fork"
    for item in (cbor.encode([1, first.header]), cbor.encode([0, b"", b"", b"", []]), b"\xff", b""):
        answer = await client.as_device(phone, "POST", "copies", item)
        assert answer.code == "malformed"
    again = [moved.segments[0]] * 2
    assert (await client.copy(phone, *again)).value[1] == 1
    assert (await client.copy(phone, *moved.segments, *moved.segments[:1] * 9)).value[1] == 6  # batch_items is 8


async def test_only_active_devices_copy(client: RelayClient, moved: Moving) -> None:
    """VIE-07, REL-06"""
    owner, phone, laptop = moved.owner, moved.owner.device, moved.owner.devices[2]
    answer = await client.login(owner, Signer.recovery(0), owner.recovery)
    headers = {"authorization": f"Bearer {answer.value[1]}"}
    assert (await client.request("POST", client.path(owner, "copies"), b"", **headers)).code == "forbidden"
    assert (await client.request("POST", client.path(owner, "copies"), b"")).code == "unauthorized"
    await client.token(laptop)
    removed = owner.change(removed=[Removal(2, 0, b"", False)])
    assert (await client.change(owner, removed.entry, removed.wraps, 3)).status == 201
    assert (await client.copy(laptop, *moved.segments[:1])).code == "revoked"
    assert (await client.copy(phone, *moved.segments[:1])).value[1] == 1


async def test_what_was_refused_is_not_copied(client: RelayClient, moved: Moving) -> None:
    """VIE-08: a refusal stays true."""
    phone, (_, first) = moved.owner.device, moved.segments[0]
    answer = await client.as_device(phone, "POST", "segments", cbor.encode([first.header]))
    assert answer.code == "epoch-stale"
    assert "refusal" in answer.problem
    assert (await client.copy(phone, (phone, first))).code == "invalid"
    laptops = [copy for copy in moved.segments if copy[0].number == 2]
    assert (await client.copy(phone, *laptops)).value[1] == 3


def test_a_restored_relay_says_so(tmp_path: Path) -> None:
    """§11.5: a new incarnation, the one before, and when that was."""
    data = tmp_path / "data"
    command = [sys.executable, "-m", "sealkeep_server", "--data", str(data)]
    with RelayProcess(data) as relay:
        before = relay.incarnation
        refused = subprocess.run([*command, "restored"], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1
        assert "in use by another relay" in refused.stderr
        relay.stop()
        said = subprocess.run([*command, "restored"], capture_output=True, text=True, timeout=60, check=True)
        relay.start()
        assert relay.incarnation != before
        assert relay.incarnation.hex() in said.stdout


async def test_info_names_the_incarnation_before(tmp_path: Path) -> None:
    """ENC-11: in a key that older clients pass over."""
    data = tmp_path / "data"
    with RelayProcess(data) as relay:
        before = relay.incarnation
        relay.stop()
        subprocess.run([sys.executable, "-m", "sealkeep_server", "--data", str(data), "restored"], check=True)
        relay.start()
        async with RelayClient(relay.url, relay.identity) as client:
            info = (await client.request("GET", "/v1/info")).value
        assert info[4] == relay.incarnation
        assert info[7][0] == before
        assert info[7][1] > 1_700_000_000_000


async def test_copied_entries_count(tmp_path: Path) -> None:
    """§5.5, D94: one by one; only the first batch after a restore is one entry when it comes, also where its last signer
    was not known here, and then all of them count."""
    data = tmp_path / "data"
    with RelayProcess(data, "--roster-entries", "3", "--roster-reserve", "1") as relay:
        owner = Owner()
        lost_ones = [owner.change(added=[new_keys()]), owner.change(), owner.change()]
        last = owner.change(by=Signer.device(2))
        more = owner.change()
        async with RelayClient(relay.url, relay.identity) as client:
            assert (await client.create(owner)).status == 201
            assert (await client.copy_roster(owner, *map(lost, lost_ones), whole(last))).code == "busy"
            assert (await client.copy_roster(owner, lost(lost_ones[0]), whole(lost_ones[1]))).value == {1: 2}
        relay.stop()
        subprocess.run([sys.executable, "-m", "sealkeep_server", "--data", str(data), "restored"], check=True)
        relay.start()
        async with RelayClient(relay.url, relay.identity) as client:
            assert (await client.copy_roster(owner, lost(lost_ones[2]), whole(last))).value == {1: 4}
            assert (await client.copy_roster(owner, whole(more))).code == "busy"
            assert (await client.change(owner, more.entry, more.wraps, 4)).code == "busy"
