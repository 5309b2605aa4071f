"""A device that was enrolled once and turns on the others: what it writes, also after its removal (P3, P5, P6).

Each through real vaults, and a real relay or one that helps the device. More of what no honest device signs:
tests/unit/client/engine/test_hostile_authors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit
from sealkeep_client.engine import Account, Change
from sealkeep_conformance.attacks import Found, Harmless, texts_of
from sealkeep_conformance.relay import Ledger
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import Message, encode_body
from sealkeep_protocol.segments import Head, SealedSegment, header_identifier, sign_header, verify_header
from sealkeep_protocol.types import NO_ID, DeviceId, ObjectId, Seq
from support.accounts import TIME, MadeAccount, flipped, refused
from support.attack_table import AttackTable
from support.hostile_devices import false_view, own_segment, signed_change
from support.hostile_scene import HOSTILE, Deeds, HostileScene, found_by
from support.household import CHAT, Homes, Household
from support.memory_relay import CHAT as KEY
from support.memory_relay import Device, MemoryRelay, Stored

OTHER = ObjectId(sha256(b"other"))


async def test_a_clock_years_ahead(scene: HostileScene) -> None:
    """§7.7: what it writes stands where it says; no other device's clock follows, and nobody's order is lost."""
    far = 4_000_000_000_000
    await scene.write(scene.laptop, "from 2096", time=far)
    scene.laptop._core.local.clock.observe(far << 16, far)
    await scene.write(scene.laptop, "a native one")
    await scene.laptop.sync()
    entry = signed_change(scene.account, time=(1 << 63) - 1)
    said = await scene.answered(scene.append(entry.entry, list(entry.wraps)))
    found = await scene.found(scene.phone, scene.tablet)
    assert scene.phone._core.local.clock.last >> 16 < far
    await scene.write(scene.phone, "now")
    assert await scene.texts(scene.phone) == ["a native one", "from 2096", "now", "one"]
    assert ((await scene.phone.devices())[2].last_seen or 0) < far
    assert (await scene.phone.device_log())[-1].time == (1 << 63) - 1
    await scene.record("clock-ahead", said, found)


async def test_back_dated_segments_are_refused_by_the_relay(scene: HostileScene) -> None:
    """REL-06, P6: whatever seq and roster head they name."""
    before = scene.account
    await scene.write(scene.laptop, "true")
    await scene.laptop.sync()
    await scene.remove(3)
    said = {await scene.answered(scene.send(own_segment(before, seq=seq))) for seq in (1, 2)}
    assert len(said) == 1
    await scene.record("back-dated", said.pop(), await scene.found(scene.phone, scene.tablet))


def test_back_dated_segments_are_refused_by_clients_though_a_relay_helps() -> None:
    """SEG-24, P6: a seq before its removal, a roster head before its removal, a relay that shows it to a new device."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop, fresh = (Device(number, made, relay) for number in (1, 2, 3))
    laptop.write("true")
    laptop.sync()
    then = made.fork()
    phone.change(Change(removed=frozenset({2})))
    then.segments.clear()
    relay.log = [Stored(9, 2, then.seal(2, b"back-dated"), then.roster.number)]
    with refused(HistoryError, "pinned", device=2, seq=1):
        fresh.sync()
    assert fresh.texts == []


# With a relay that helps. The tablet (3) turns on the phone (1) and the laptop (2).


async def account_of(homes: Homes, device: str) -> Account:
    async with await homes.open(device) as vault:
        return vault._core.local.account


def shown(homes: Homes, segment: SealedSegment, seq: int) -> None:
    """The relay shows this as the tablet's segment at that seq, in the place of what stood there, or behind all others."""

    def change(accounts: dict[bytes, Ledger]) -> None:
        ledger = accounts[homes.kit.account]
        key = ledger.roster.devices[HOSTILE].keys.signing
        verified = verify_header(segment.header, account=ledger.account, device=HOSTILE, seq=seq, key=key)
        there = ledger.at(HOSTILE, seq)
        if there is None:
            ledger.store(verified, segment.summary, segment.body)
            return
        place = ledger.log.index(there)
        ledger.log[place] = replace(
            there, header_id=verified.id, header=segment.header, summary=segment.summary, body=segment.body
        )

    homes.relay.edit(change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "seq"), [("back-dated-served", 1), ("beyond-pin-served", 2)])
async def test_back_dated_segments_that_a_relay_shows(
    household: Household, table: AttackTable, tmp_path: Path, name: str, seq: int
) -> None:
    """SEG-05, SEG-24, P6: to a device that has read nothing of the removed one."""
    homes = await household.at("news")
    account, ledger = await account_of(homes, "tablet"), homes.relay.accounts[homes.kit.account]
    first = ledger.at(HOSTILE, 1)
    assert first is not None
    deeds = Deeds(table, written=texts_of("news"))
    kits: list[RecoveryKit] = []
    async with await homes.open("phone") as phone, await homes.open("laptop") as laptop:
        deeds.commands.append("sealkeep remove 3")
        await phone.remove(HOSTILE, on_kit=kits.append)
        honest = homes.relay.snapshot()
        shown(homes, own_segment(account, seq=seq, previous=NO_ID if seq == 1 else first.header_id), seq)
        found = await found_by(laptop)
        assert await found_by(laptop) == found
        homes.relay.edit(lambda accounts: accounts[homes.kit.account].become(honest.accounts[homes.kit.account]))
        await deeds.record(name, None, found, [phone, laptop], tmp_path, CHAT)


async def test_two_headers_at_one_place(household: Household, table: AttackTable, tmp_path: Path) -> None:
    """SEG-06, SEG-09, P5: each is valid to whoever knows no other. The phone is shown the one, the laptop the other; who
    is shown both finds the fork, and so does who reads what the other wrote since. The person removes the device."""
    homes = await household.at("in-step")
    account = await account_of(homes, "tablet")
    one, other = (message(account, text) for text in ("for the phone", "for the laptop"))
    deeds = Deeds(table, written=texts_of("in-step"))
    kits: list[RecoveryKit] = []
    async with await homes.open("phone") as phone, await homes.open("laptop") as laptop:
        shown(homes, one, 1)
        assert await found_by(phone) == (Harmless(), 0)
        shown(homes, other, 1)
        assert await found_by(laptop) == (Harmless(), 0)
        found = await found_by(phone)
        shown(homes, one, 1)
        assert await found_by(laptop) == found
        deeds.commands.append("sealkeep remove 3 --discard-after 0")
        await phone.remove(HOSTILE, discard={HOSTILE: 0}, on_kit=kits.append)
        await deeds.record("two-headers", None, found, [phone, laptop], tmp_path, CHAT)


def message(account: Account, text: str) -> SealedSegment:
    content = encode_body(messages=[Message(KEY, TIME, 1, source=7, text=text)])
    return own_segment(account, content=content, times=[TIME])


# What the relay takes, as it cannot judge it


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("false-view", false_view),
        ("named-false-head", lambda account: own_segment(account, heads=[Head(DeviceId(1), Seq(1), OTHER)])),
        ("named-too-early", lambda account: own_segment(account, heads=[Head(DeviceId(1), Seq(9), OTHER)])),
    ],
)
async def test_a_header_that_contradicts_what_everybody_was_shown(
    scene: HostileScene, name: str, make: Callable[[Account], SealedSegment]
) -> None:
    """SEG-06, SEG-07: nobody can tell its author from a lying relay, so that it is reported. The author can be removed all
    the same, on a person's word that what it wrote from there is given up (ROS-12)."""
    said = await scene.answered(scene.send(make(scene.account)))
    found = await scene.found(scene.phone, scene.tablet)
    assert isinstance(found[0], Found)
    with refused(HistoryError, found[0].code, device=3, seq=1):
        await scene.phone.remove(3)
    change = await scene.remove(3, discard=True)
    assert change.removed == ((3, "laptop"),)
    await scene.write(scene.phone, "goes on")
    await scene.record(name, said, found)
    assert await scene.texts(scene.tablet) == ["at the end", "goes on", "one"]


def _other_key(account: Account) -> SealedSegment:
    return own_segment(account, epoch=EpochKeys(sha256(b"my own"), account.roster.epoch, account.roster.nonce))


def _spoilt(account: Account) -> SealedSegment:
    """The ciphertext is another one than was sealed, and its hash is signed."""
    good = own_segment(account)
    body = flipped(good.body, 9)
    key = account.keys.signing.public
    header = verify_header(good.header, account=account.id, device=account.device, seq=1, key=key).header
    data = sign_header(replace(header, digests=(sha256(good.summary), sha256(body))), account.id, account.keys.signing)
    return SealedSegment(good.seq, header_identifier(data, account.id), data, good.summary, body)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("content-garbage", lambda account: own_segment(account, content=b"\xff garbage")),
        ("content-unknown", lambda account: own_segment(account, content=cbor.encode({9: [1, {}]}))),
        ("content-miscounted", lambda account: own_segment(account, times=[TIME, TIME])),
        ("content-other-key", _other_key),
        ("content-spoilt", _spoilt),
    ],
)
async def test_what_nobody_can_read(scene: HostileScene, name: str, make: Callable[[Account], SealedSegment]) -> None:
    """SEG-22: it is marked and reported with device and seq, nothing is taken from it, and all go on."""
    said = await scene.answered(scene.send(make(scene.account)))
    found = await scene.found(scene.phone, scene.tablet)
    assert (await scene.phone.sync()).unreadable == ()  # told once
    assert len((await scene.phone.status()).unreadable) == 1
    await scene.record(name, said, found)
