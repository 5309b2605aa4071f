"""Accounts, rosters, wraps, challenges and tokens, through a real relay (spec §8.1 to §8.3)."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Removal, Roster, Signer, decode_entry
from sealkeep_protocol.segments import SealedSegment
from sealkeep_protocol.statements import Challenge, sign_login, verify_challenge
from support.relay import RelayProcess, ServedRelay, served
from support.relay_client import Owner, Page, RelayClient, new_keys


@pytest.fixture(scope="module", params=["process", "conformance"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRelay]:
    with served(request.param, tmp_path_factory.mktemp("relay") / "data") as relay:
        yield relay


@pytest.fixture
async def client(relay: ServedRelay) -> AsyncIterator[RelayClient]:
    async with RelayClient(relay.url, relay.identity) as client:
        yield client


@pytest.fixture
async def owner(client: RelayClient) -> Owner:
    owner = Owner()
    assert (await client.create(owner)).status == 201
    return owner


async def test_info_and_health(client: RelayClient, relay: ServedRelay) -> None:
    info = (await client.request("GET", "/v1/info")).value
    assert (info[1], info[2], info[3], info[4], info[6]) == ([1], [1], relay.identity, relay.incarnation, [])
    assert info[5]["batch_items"] == 1024
    assert all(isinstance(name, str) and isinstance(limit, int) for name, limit in info[5].items())
    assert (await client.request("GET", "/health")).status == 200


async def test_an_account_is_made_once_and_named_by_its_genesis(client: RelayClient) -> None:
    """REL-04: the relay computes the account id from the genesis that it judged."""
    owner = Owner()
    first, again = await client.create(owner), await client.create(owner)
    assert (first.status, again.status) == (201, 200)
    assert first.value == again.value == {1: owner.account}


async def test_the_same_genesis_under_another_signature_is_a_fork(client: RelayClient, owner: Owner) -> None:
    from sealkeep_protocol import signed

    # Ed25519 allows its signer many signatures of one message; this library makes only one, so the nonce is ours.
    payload, _ = signed.split(owner.genesis.entry)
    other = signed.frame(payload, sign_otherwise(owner, signed.signature_structure("roster", b"", payload)))
    assert Roster.genesis(other).account == owner.account
    answer = await client.post_entry("/v1/accounts", other, owner.genesis.wraps)
    assert (answer.status, answer.code) == (409, "fork")


def sign_otherwise(owner: Owner, message: bytes) -> bytes:
    import hashlib

    import nacl.bindings as sodium

    order = (1 << 252) + 27742317777372353535851937790883648493
    secret = owner.device.keys.signing._secret
    digest = hashlib.sha512(secret[:32]).digest()
    scalar = int.from_bytes(bytes([digest[0] & 248, *digest[1:31], digest[31] & 63 | 64]), "little")
    nonce = int.from_bytes(os.urandom(64), "little") % order
    r = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    k = int.from_bytes(hashlib.sha512(r + secret[32:] + message).digest(), "little")
    return r + ((nonce + k * scalar) % order).to_bytes(32, "little")


async def test_a_genesis_that_breaks_a_rule_makes_no_account(client: RelayClient) -> None:
    """REL-04, KEY-07, ROS-15: entries are judged, and taken only with all their wraps, each as its digest says."""
    owner = Owner()
    entry, wraps = owner.genesis.entry, list(owner.genesis.wraps)
    flipped = entry[:-1] + bytes([entry[-1] ^ 1])
    for body, code in (
        ([flipped, wraps], "signature"),
        ([entry, wraps[:1]], "malformed"),
        ([entry, [*wraps, wraps[0]]], "malformed"),
        ([entry, [wraps[0], wraps[1][:-1] + bytes([wraps[1][-1] ^ 1])]], "invalid"),
        ([entry, [wraps[0], wraps[1][:-1]]], "invalid"),
        ([entry, wraps[::-1]], "invalid"),
        ([owner.change(take=False).entry, wraps], "invalid"),
        ([entry], "malformed"),
        ([entry, wraps, 1], "malformed"),
        ([entry, b""], "malformed"),
        ([7, wraps], "malformed"),
        ([entry, [1, 2]], "malformed"),
        ([b"", []], "malformed"),
        ({1: entry}, "malformed"),
    ):
        answer = await client.request("POST", "/v1/accounts", cbor.encode(body))
        assert answer.code == code, body
    assert (await client.request("GET", client.path(owner, "roster"))).code == "not-found"


async def test_a_roster_is_readable_without_a_token(client: RelayClient, owner: Owner) -> None:
    entries = [owner.genesis.entry]
    for number in range(20):
        change = owner.change(added=[new_keys()])
        assert (await client.change(owner, change.entry, change.wraps, number)).value == {1: number + 1}
        entries.append(change.entry)
    answer = await client.request("GET", client.path(owner, "roster"))
    assert answer.items == entries
    assert answer.headers["ETag"] == '"20"'
    assert (await client.request("GET", client.path(owner, "roster?from=19"))).items == entries[19:]
    assert (await client.request("GET", client.path(owner, "roster?from=21"))).items == []
    for wrong in ("-1", "1.5", "x", "", "9999999999999999999", "01"):
        assert (await client.request("GET", client.path(owner, f"roster?from={wrong}"))).code == "malformed"


async def test_of_two_changes_at_once_the_first_wins(client: RelayClient, owner: Owner) -> None:
    """ROS-13"""
    one, other = owner.change(take=False), owner.change(take=False)
    assert (await client.change(owner, one.entry, one.wraps, 0)).status == 201
    answer = await client.change(owner, other.entry, other.wraps, 0)
    assert (answer.status, answer.code) == (412, "roster-conflict")
    # The winner may ask again, whose answer was lost.
    again = await client.change(owner, one.entry, one.wraps, 0)
    assert (again.status, again.value) == (200, {1: 1})
    for wrong in ("0", "*", '"x"', '"0", "1"', 'W/"0"', '"-1"'):
        assert (
            await client.post_entry(client.path(owner, "roster"), other.entry, other.wraps, if_match=wrong)
        ).code == "malformed"
    assert (await client.post_entry(client.path(owner, "roster"), other.entry, other.wraps)).code == "malformed"
    assert (await client.change(owner, other.entry, other.wraps, 7)).code == "roster-conflict"
    owner._took(one)
    later = owner.change()
    await client.change(owner, later.entry, later.wraps, 1)
    again = await client.change(owner, one.entry, one.wraps, 0)
    assert (again.status, again.value) == (200, {1: 1})


async def test_an_entry_that_breaks_a_rule_is_not_taken(client: RelayClient, owner: Owner) -> None:
    """REL-04, ROS-15, KEY-07"""
    change = owner.change(take=False)
    wraps = list(change.wraps)
    entry = change.entry
    for data, given, code in (
        (entry[:-1] + bytes([entry[-1] ^ 1]), wraps, "signature"),
        (entry, wraps[:-1], "malformed"),
        (entry, [wraps[0], os.urandom(1168)], "invalid"),
        (owner.genesis.entry, list(owner.genesis.wraps), "invalid"),
    ):
        assert (await client.change(owner, data, given, 0)).code == code
    assert len((await client.request("GET", client.path(owner, "roster"))).items) == 1
    assert (await client.change(owner, entry, wraps, 0)).status == 201


async def test_wraps_go_to_those_they_are_for(client: RelayClient, owner: Owner) -> None:
    first = owner.change(added=[new_keys()])
    await client.change(owner, first.entry, first.wraps, 0)
    second = owner.change()
    await client.change(owner, second.entry, second.wraps, 1)
    phone, tablet = owner.devices[1], owner.devices[2]
    assert (await client.as_device(phone, "GET", "wraps")).items == [[2, 1, second.wraps[1]]]
    assert (await client.as_device(tablet, "GET", "wraps")).items == [[2, 2, second.wraps[2]]]
    token = (await client.login(owner, Signer.recovery(0), owner.recovery)).value[1]
    answer = await client.request("GET", client.path(owner, "wraps"), authorization=f"Bearer {token}")
    made = (owner.genesis, first, second)
    assert answer.items == [[number, 0, composed.wraps[0]] for number, composed in enumerate(made)]
    assert all(sha256(wrap) for _, _, wrap in answer.items)
    assert (await client.request("GET", client.path(owner, "wraps"))).code == "unauthorized"


async def test_a_removed_device_is_shut_out_at_once(client: RelayClient, owner: Owner) -> None:
    """REL-06: the token of a removed device is worth nothing from the moment of its removal."""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    tablet = owner.devices[2]
    segment = tablet.seal()
    assert (await client.append(tablet, segment)).status == 200
    late = owner.change(by=Signer.device(2), take=False)
    removal = owner.change(removed=[Removal(2, 1, segment.header_id, False)])
    assert (await client.change(owner, removal.entry, removal.wraps, 1)).status == 201
    for answer in (
        await client.append(tablet, tablet.seal()),
        await client.changes(tablet),
        await client.as_device(tablet, "GET", "heads"),
        await client.as_device(tablet, "GET", "wraps"),
        await client.challenge(owner, Signer.device(2)),
    ):
        assert (answer.status, answer.code) == (403, "revoked")
    assert (await client.change(owner, late.entry, late.wraps, 2)).code == "revoked"


async def test_a_removal_pins_the_feeds_head(client: RelayClient, owner: Owner) -> None:
    """ROS-12"""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    tablet = owner.devices[2]
    segments = [tablet.seal() for _ in range(3)]
    await client.append(tablet, *segments)
    for seq, header_id, discard in (
        (0, b"", False),
        (2, segments[1].header_id, False),
        (3, segments[1].header_id, False),
        (4, segments[2].header_id, False),
        (4, segments[2].header_id, True),
        (1, segments[1].header_id, True),
    ):
        wrong = owner.change(removed=[Removal(2, seq, header_id, discard)], take=False)
        answer = await client.change(owner, wrong.entry, wrong.wraps, 1)
        assert (answer.status, answer.code) == (422, "pinned")
    good = owner.change(removed=[Removal(2, 1, segments[0].header_id, True)])
    assert (await client.change(owner, good.entry, good.wraps, 1)).status == 201
    page = Page.of(await client.as_device(owner.device, "GET", "feeds/2"))
    assert [s.header for s in page.segments] == [segments[0].header]
    heads = (await client.as_device(owner.device, "GET", "heads")).value
    assert heads[3] == [[2, 1, segments[0].header_id]]


async def pinned_tablet(client: RelayClient, owner: Owner) -> list[SealedSegment]:
    """Device 2 has written three segments and is removed, in entry 2; the segments."""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    segments = [owner.devices[2].seal() for _ in range(3)]
    await client.append(owner.devices[2], *segments)
    removal = owner.change(removed=[Removal(2, 3, segments[2].header_id, False)])
    assert (await client.change(owner, removal.entry, removal.wraps, 1)).status == 201
    return segments


async def test_the_kit_lowers_a_pin(client: RelayClient, owner: Owner) -> None:
    """ROS-12, ROS-23: what lies beyond is gone with the answer; the device stays shut out."""
    segments = await pinned_tablet(client, owner)
    used = (await client.as_device(owner.device, "GET", "heads")).value[4]
    wrong = owner.change(by=Signer.recovery(0), removed=[Removal(2, 2, bytes(32), True)], take=False)
    assert (await client.change(owner, wrong.entry, wrong.wraps, 2)).code == "pinned"
    for number, seq in ((2, 2), (3, 1), (4, 0)):
        header_id = segments[seq - 1].header_id if seq else b""
        lower = owner.change(by=Signer.recovery(0), removed=[Removal(2, seq, header_id, True)])
        assert (await client.change(owner, lower.entry, lower.wraps, number)).status == 201
        page = Page.of(await client.as_device(owner.device, "GET", "feeds/2"))
        assert [s.header for s in page.segments] == [segment.header for segment in segments[:seq]]
        heads = (await client.as_device(owner.device, "GET", "heads")).value
        assert heads[3] == ([[2, seq, header_id]] if seq else [])
        assert heads[4] < used
        used = heads[4]
    assert used == 0
    assert (await client.challenge(owner, Signer.device(2))).code == "revoked"


async def test_what_lowers_no_pin(client: RelayClient, owner: Owner) -> None:
    """ROS-23: a device, a lower kit, without discard-after, not below, twice: refused, and nothing is erased."""
    segments = await pinned_tablet(client, owner)
    newer = new_keys()
    replaced = owner.change(recovery=newer, take=False)
    assert (await client.change(owner, replaced.entry, replaced.wraps, 2)).status == 201
    owner._took(replaced)
    pin = Removal(2, 2, segments[1].header_id, True)
    good = owner.change(by=Signer.recovery(0), removed=[pin], take=False)
    entry = decode_entry(signed.decode_payload(signed.split(good.entry)[0]))
    first, phone = owner.recovery.signing, owner.device.keys.signing
    for by, key, removed in (
        (Signer.device(1), phone, (pin,)),
        (Signer.recovery(1), newer.signing, (pin,)),
        (Signer.recovery(0), first, (pin._replace(discard_after=False),)),
        (Signer.recovery(0), first, (Removal(2, 3, segments[1].header_id, True),)),
        (Signer.recovery(0), first, (Removal(2, 4, bytes(32), True),)),
        (Signer.recovery(0), first, (pin, pin)),
    ):
        core = replace(entry, signer=by, removed=removed).encode_core()
        forged = signed.sign("roster", owner.account, core, key, digests=entry.digests)
        answer = await client.change(owner, forged, good.wraps, 3)
        assert (answer.status, answer.code) == (422, "invalid"), (by, removed)
    heads = (await client.as_device(owner.device, "GET", "heads")).value
    assert heads[3] == [[2, 3, segments[2].header_id]]
    assert (await client.change(owner, good.entry, good.wraps, 3)).status == 201


async def test_a_reclaim_removes_every_device(client: RelayClient, owner: Owner) -> None:
    old = owner.device
    await client.token(old)
    reclaim = owner.change(
        by=Signer.recovery(0),
        added=[new_keys()],
        removed=[Removal(1, 0, b"", False)],
        recovery=new_keys(),
        reclaim=True,
    )
    assert (await client.change(owner, reclaim.entry, reclaim.wraps, 0)).status == 201
    assert (await client.changes(old)).code == "revoked"
    assert (await client.challenge(owner, Signer.recovery(0))).code == "revoked"
    assert (await client.append(owner.devices[2], owner.devices[2].seal())).status == 200


async def test_a_closed_account_answers_closed(client: RelayClient, owner: Owner) -> None:
    await client.token(owner.device)
    assert (await client.change(owner, owner.close(), [], 0)).status == 201
    for answer in (
        await client.changes(owner.device),
        await client.append(owner.device, owner.device.seal()),
        await client.challenge(owner, Signer.device(1)),
    ):
        assert (answer.status, answer.code) == (410, "closed")
    change = owner.change(take=False)
    assert (await client.change(owner, change.entry, change.wraps, 1)).code == "closed"
    assert len((await client.request("GET", client.path(owner, "roster"))).items) == 2


async def test_tokens_are_bound_to_account_and_signer(client: RelayClient, owner: Owner) -> None:
    """REL-07"""
    other = Owner()
    await client.create(other)
    token = await client.token(owner.device)
    theirs = client.path(other, "heads")
    assert (await client.request("GET", theirs, authorization=f"Bearer {token}")).code == "unauthorized"
    own = client.path(owner, "heads")
    flipped = ("A" if token[0] != "A" else "B") + token[1:]
    for wrong in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {flipped}", f"Bearer {token}x", "Bearer ünï",
                  f"Bearer {token[:-4]}", "Bearer AAAA", "Bearer ===="):  # fmt: skip
        answer = await client.request("GET", own, authorization=wrong)
        assert (answer.status, answer.code) == (401, "unauthorized"), wrong
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await client.request("GET", own)).code == "unauthorized"
    assert (await client.request("GET", own, authorization=f"bearer {token}")).status == 200


async def test_a_login_answers_a_challenge_of_this_relay(client: RelayClient, owner: Owner) -> None:
    """REL-05, REL-07: the challenge is the relay's own, and the login is for it, by the signer it names."""
    signing = owner.device.keys.signing
    good = (await client.challenge(owner, Signer.device(1))).value
    challenge_id, challenge = verify_challenge(good, owner.account, client.identity)
    assert challenge.signer == Signer.device(1)
    foreign = Challenge(Signer.device(1), challenge.expires, os.urandom(16)).sign(owner.account, new_keys().signing)
    login = sign_login(challenge_id, client.identity, owner.account, signing)
    for given, answer, code in (
        (foreign, login, "signature"),
        (good, sign_login(challenge_id, os.urandom(32), owner.account, signing), "signature"),
        (good, sign_login(sha256(b"another"), client.identity, owner.account, signing), "signature"),
        (good, sign_login(challenge_id, client.identity, owner.account, new_keys().signing), "signature"),
        (good, sign_login(challenge_id, client.identity, os.urandom(32), signing), "signature"),
        (good, b"", "malformed"),
        (b"", login, "malformed"),
        (good, 1, "malformed"),
    ):
        path = client.path(owner, "token")
        assert (await client.request("POST", path, cbor.encode([given, answer]))).code == code
    for signer, code in (([0, 2], "revoked"), ([1, 1], "revoked"), ([2, 0], "malformed"), ([0], "malformed")):
        answer = await client.request("POST", client.path(owner, "challenge"), cbor.encode(signer))
        assert answer.code == code
    stranger = Owner()
    assert (await client.challenge(stranger, Signer.device(1))).code == "not-found"


async def test_a_flood_of_entries_does_not_outrun_its_author_s_removal(tmp_path: Path) -> None:
    """§5.5: the stolen device wins every race while it may append at all; then its owner's next try comes through."""
    with RelayProcess(tmp_path / "data", "--roster-entries", "10") as relay:
        async with RelayClient(relay.url, relay.identity) as client:
            owner = Owner()
            await client.create(owner)
            change = owner.change(by=Signer.recovery(0), added=[new_keys()])
            assert (await client.change(owner, change.entry, change.wraps, 0)).status == 201
            moved, ended = asyncio.Event(), asyncio.Event()

            async def flood() -> int:
                for count in itertools.count():
                    change = owner.change(take=False)
                    answer = await client.change(owner, change.entry, change.wraps, owner.roster.number)
                    if answer.status != 201:
                        assert (answer.status, answer.code) == (429, "busy")
                        assert 3500 < int(answer.headers["Retry-After"]) <= 3600
                        ended.set()
                        moved.set()
                        return count
                    owner._took(change)
                    moved.set()
                raise AssertionError

            async def remove() -> int:
                for count in itertools.count():
                    # Made before the thief's next entry, and sent after it.
                    pin, kit, before = Removal(1, 0, b"", False), new_keys(), owner.roster
                    change = owner.change(by=Signer.device(2), removed=[pin], recovery=kit, take=False)
                    if not ended.is_set():
                        moved.clear()
                        await moved.wait()
                    answer = await client.change(owner, change.entry, change.wraps, before.number)
                    if answer.status == 201:
                        return count
                    assert (answer.status, answer.code) == (412, "roster-conflict")
                raise AssertionError

            taken, lost = await asyncio.gather(flood(), remove())
            assert taken == 10
            assert 0 < lost <= taken
            assert (await client.page(owner.devices[2])).segments == []
            assert (await client.challenge(owner, Signer.device(1))).code == "revoked"
