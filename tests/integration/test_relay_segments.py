"""Appending and reading segments, through a real relay (spec §8.4, §8.5, §6)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Signer, compose_close
from sealkeep_protocol.segments import SealedSegment, decode_header, sign_header
from sealkeep_protocol.statements import verify_receipt, verify_refusal
from support.relay import ServedRelay, served
from support.relay_client import Author, Owner, Page, RelayClient, batch, item, new_keys


@pytest.fixture(scope="module", params=["process", "conformance"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRelay]:
    data = tmp_path_factory.mktemp("relay") / "data"
    with served(request.param, data, page_items=50, page_bytes=1_000_000, batch_items=40) as relay:
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


@pytest.fixture
def device(owner: Owner) -> Author:
    return owner.device


def altered(device: Author, segment: SealedSegment, **fields: object) -> SealedSegment:
    """The same segment under a header with other fields, properly signed."""
    header = decode_header(signed.decode_payload(signed.split(segment.header)[0]))
    data = sign_header(replace(header, **fields), device.owner.account, device.keys.signing)  # type: ignore[arg-type]
    return replace(segment, header=data)


async def test_an_append_is_answered_with_receipts(client: RelayClient, relay: ServedRelay, device: Author) -> None:
    """SEG-16, SEG-18: the receipts are the relay's, one for each header of the batch in its order."""
    segments = [device.seal(size) for size in (100, 9_000, 60_000, 250_000)]
    answer = await client.append(device, *segments)
    assert answer.value[1] == 4
    for position, (segment, receipt) in enumerate(zip(segments, answer.value[2], strict=True), start=1):
        said = verify_receipt(receipt, device.owner.account, relay.identity, segment.header_id)
        assert (said.position, said.incarnation) == (position, relay.incarnation)


async def test_the_same_header_gets_the_same_receipt(client: RelayClient, device: Author) -> None:
    """SEG-17"""
    segments = [device.seal() for _ in range(3)]
    first = (await client.append(device, *segments)).value
    assert (await client.append(device, *segments)).value == first
    one = (await client.append(device, segments[1])).value
    assert (one[1], one[2]) == (3, [first[2][1]])
    more = device.seal()
    overlap = (await client.append(device, segments[2], more)).value
    assert overlap[1] == 4
    assert overlap[2][0] == first[2][2]
    alone = await client.as_device(device, "POST", "segments", cbor.encode([segments[0].header]))
    assert alone.value[2] == first[2][:1]


async def test_a_different_header_at_a_taken_seq_is_a_fork(client: RelayClient, device: Author) -> None:
    """SEG-17"""
    first, second = device.seal(), device.seal()
    await client.append(device, first, second)
    other = device.seal(seq=2, previous=first.header_id, take=False)
    answer = await client.append(device, other)
    assert (answer.status, answer.code) == (409, "fork")
    # Behind a known one it ends the prefix.
    answer = await client.append(device, first, other)
    assert (answer.status, len(answer.value[2])) == (200, 1)


async def test_a_batch_commits_a_prefix(client: RelayClient, device: Author) -> None:
    """REL-08, SEG-02: what can be taken before the first that cannot is taken."""
    good = [device.seal() for _ in range(3)]
    skipping = device.seal(seq=5, take=False)
    after = device.seal(seq=6, previous=skipping.header_id, take=False)
    answer = await client.append(device, *good, skipping, after)
    assert answer.value[1] == 3
    assert len(answer.value[2]) == 3
    answer = await client.append(device, skipping, after)
    assert (answer.status, answer.code) == (409, "gap")
    items = [item(segment) for segment in [device.seal() for _ in range(2)]]
    for rest in (b"\xff", b"\x84\x01", cbor.encode("no item"), items[0][:50], b"\x5b" + b"\xff" * 8):
        answer = await client.as_device(device, "POST", "segments", b"".join(items) + rest)
        assert (answer.status, len(answer.value[2])) == (200, 2)


def changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


async def test_every_header_is_checked(client: RelayClient, device: Author) -> None:
    """REL-08, SEG-01, SEG-02, SEG-03, SEG-04, SEG-08, ENC-07: frame, signature, address, chain, roster head, epoch,
    lengths, hashes, buckets."""
    first = device.seal()
    assert (await client.append(device, first)).status == 200
    good = device.seal(5_000, take=False)
    stranger = Author(device.owner, 1, new_keys(), device.seq, device.head)
    cases = [
        (replace(good, header=changed(good.header)), "signature"),
        (stranger.seal(take=False), "signature"),
        (device.seal(device=2, take=False), "invalid"),
        (device.seal(seq=3, take=False), "gap"),
        (device.seal(previous=first.header_id[::-1], take=False), "gap"),
        (device.seal(roster=1, take=False), "roster-conflict"),
        (altered(device, good, epoch=2), "invalid"),
        (replace(good, summary=changed(good.summary)), "invalid"),
        (replace(good, body=changed(good.body)), "invalid"),
        (replace(good, body=good.body + b"!"), "invalid"),
        (replace(good, summary=b""), "invalid"),
        (altered(device, good, body_length=len(good.body) - 1), "invalid"),
        (altered(device, good, body_length=300_000), "invalid"),
        (altered(device, good, summary_length=97), "malformed"),
        (replace(good, header=good.header[:-10]), "malformed"),
        (replace(good, header=b"\x00" + good.header), "malformed"),
        (replace(good, header=b""), "malformed"),
        (altered(device, good, digests=(sha256(good.summary),)), "malformed"),
    ]
    for segment, code in cases:
        assert (await client.append(device, segment)).code == code, code
    assert (await client.append(device, good)).status == 200


async def test_a_body_without_a_bucket_is_refused_though_it_is_signed(client: RelayClient, device: Author) -> None:
    """ENC-07"""
    good = device.seal(5_000, take=False)
    body = good.body + b"x"
    odd = altered(device, good, body_length=len(body), digests=(sha256(good.summary), sha256(body)))
    assert (await client.append(device, replace(odd, body=body))).code == "invalid"


async def test_later_suites_and_kinds_are_unsupported(client: RelayClient, device: Author) -> None:
    good = device.seal(take=False)
    payload = signed.decode_payload(signed.split(good.header)[0])
    for field, value in ((0, 2), (3, 2), (3, 9), (21, 1)):
        core = {**cbor.decode(payload.core, limit=1 << 16), field: value}
        header = signed.sign(
            "segment", device.owner.account, cbor.encode(core), device.keys.signing, digests=payload.digests
        )
        assert (await client.append(device, replace(good, header=header))).code == "unsupported"


async def test_items_have_one_shape(client: RelayClient, device: Author) -> None:
    good = device.seal(take=False)
    for value in (
        [],
        {},
        [good.header, good.summary],
        [good.header, good.summary, good.body],
        [good.header, good.summary, good.body, [], 1],
        [good.header, None, good.body, []],
        [good.header, good.summary, None, []],
        [good.header, None, None, []],
        [1],
        [good.header, "text", good.body, []],
        [good.header, good.summary, good.body, {}],
        good.header,
    ):
        answer = await client.as_device(device, "POST", "segments", cbor.encode(value))
        assert (answer.status, answer.code) == (400, "malformed")
    assert (await client.as_device(device, "POST", "segments", b"")).code == "malformed"
    alone = await client.as_device(device, "POST", "segments", cbor.encode([good.header]))
    assert (alone.status, alone.code) == (422, "invalid")


async def test_a_batch_ascends_and_is_bounded(client: RelayClient, device: Author) -> None:
    """REL-03"""
    first, second = device.seal(), device.seal()
    answer = await client.append(device, first, first, second)
    assert answer.value[1] == 1
    await client.append(device, second)
    many = [device.seal() for _ in range(45)]
    answer = await client.append(device, *many)
    assert len(answer.value[2]) == 40
    assert (await client.append(device, *many[40:])).value[1] == 47


async def test_a_stale_epoch_is_answered_with_a_refusal(client: RelayClient, relay: ServedRelay, owner: Owner) -> None:
    """SEG-14, SEG-15: signed for a header that is not stored, and naming a roster head beyond its own."""
    device = owner.device
    stored, pending = device.seal(), device.seal(take=False)
    first = (await client.append(device, stored)).value
    change = owner.change()
    await client.change(owner, change.entry, change.wraps, 0)
    for body in (item(pending), cbor.encode([pending.header])):
        answer = await client.as_device(device, "POST", "segments", body)
        assert (answer.status, answer.code) == (409, "epoch-stale")
        refusal = base64.urlsafe_b64decode(answer.problem["refusal"] + "==")
        said = verify_refusal(
            refusal,
            owner.account,
            relay.identity,
            header_id=pending.header_id,
            header_roster=0,
            roster=owner.roster,
            incarnation=relay.incarnation,
        )
        assert (said.device, said.seq, said.roster_number, said.incarnation) == (1, 2, 1, relay.incarnation)
    # What is stored is never refused, whatever its epoch, and the seq is free for a header of the new one.
    assert (await client.append(device, stored)).value == first
    assert (await client.append(device, stored, pending)).value == first
    assert (await client.append(device, device.seal())).status == 200
    assert (await client.append(device, pending)).code == "fork"
    # An older roster head does not excuse a newer epoch.
    both = device.seal(roster=0, take=False)
    assert (await client.append(device, both)).code == "invalid"


async def test_a_header_chained_on_a_refused_one_is_refused_like_it(
    client: RelayClient, relay: ServedRelay, owner: Owner
) -> None:
    """SEG-14, SEG-15: in whatever order a device asks about what it had pending, it learns that nothing of it counts."""
    device = owner.device
    before = (device.seq, device.head)
    pending = [device.seal() for _ in range(3)]
    change = owner.change()
    await client.change(owner, change.entry, change.wraps, 0)
    for segment in (*reversed(pending), pending[1]):
        answer = await client.as_device(device, "POST", "segments", cbor.encode([segment.header]))
        assert (answer.status, answer.code) == (409, "epoch-stale")
        refusal = base64.urlsafe_b64decode(answer.problem["refusal"] + "==")
        said = verify_refusal(
            refusal,
            owner.account,
            relay.identity,
            header_id=segment.header_id,
            header_roster=0,
            roster=owner.roster,
            incarnation=relay.incarnation,
        )
        assert said.seq == segment.seq
    # A refused header never comes to be stored, also once the feed has come to where it was chained.
    device.seq, device.head = before
    fresh = [device.seal() for _ in range(2)]
    assert (await client.append(device, *fresh)).status == 200
    assert (await client.append(device, pending[0])).code == "fork"
    assert (await client.append(device, pending[2])).code == "epoch-stale"
    # Under the current epoch it is what it looks like.
    assert (await client.append(device, device.seal(seq=4, take=False))).code == "gap"


async def test_roster_heads_never_go_back_along_a_feed(client: RelayClient, owner: Owner) -> None:
    """SEG-03: a `close` that has not taken effect keeps the epoch, so that only the number tells."""
    device, kit = owner.device, PrivateKeys.of_recovery(os.urandom(32))
    change = owner.change(recovery=kit)  # the first key keeps its right, and ranks above this one
    await client.change(owner, change.entry, change.wraps, 0)
    await client.append(device, device.seal())
    close = compose_close(owner.roster, 1, kit.signing)
    assert (await client.change(owner, close, [], 1)).status == 201
    owner.roster = owner.roster.append(close)
    assert (await client.append(device, device.seal())).status == 200
    assert (await client.append(device, device.seal(roster=1, take=False))).code == "invalid"
    assert (await client.append(device, device.seal())).status == 200


async def test_a_roster_head_that_the_relay_does_not_have(client: RelayClient, owner: Owner) -> None:
    """§6.6: before epoch and chain, of which the relay cannot judge then. The device's roster may be the longer one."""
    device = owner.device
    change = owner.change()  # kept from the relay
    for segment in (device.seal(take=False), device.seal(seq=3, previous=change.roster.head, take=False)):
        answer = await client.append(device, segment)
        assert (answer.status, answer.code) == (412, "roster-conflict")
        assert "refusal" not in answer.problem
    assert (await client.change(owner, change.entry, change.wraps, 0)).status == 201
    assert (await client.append(device, device.seal(take=False))).status == 200


async def test_a_roster_that_grows_within_a_batch_is_read_again(client: RelayClient, owner: Owner) -> None:
    """Segments of the newer roster head may follow older ones in a batch: they are judged by what stands by then."""
    device, kit = owner.device, PrivateKeys.of_recovery(os.urandom(32))
    change = owner.change(recovery=kit)
    await client.change(owner, change.entry, change.wraps, 0)
    older = [device.seal(60_000) for _ in range(2)]
    close = compose_close(owner.roster, 1, kit.signing)
    owner.roster = owner.roster.append(close)
    newer = [device.seal(60_000) for _ in range(2)]

    async def growing() -> AsyncIterator[bytes]:
        yield batch(older)
        assert (await client.change(owner, close, [], 1)).status == 201
        yield batch(newer)

    answer = await client.as_device(device, "POST", "segments", growing())
    assert (answer.status, len(answer.value[2])) == (200, 4)


async def test_only_devices_append(client: RelayClient, owner: Owner) -> None:
    token = (await client.login(owner, Signer.recovery(0), owner.recovery)).value[1]
    path = client.path(owner, "segments")
    answer = await client.request("POST", path, item(owner.device.seal(take=False)), authorization=f"Bearer {token}")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await client.request("GET", client.path(owner, "changes"), authorization=f"Bearer {token}")).status == 200


async def test_pages_are_bounded_and_end_with_a_trailer(client: RelayClient, relay: ServedRelay, owner: Owner) -> None:
    """REL-09, REL-10, REL-11: pages follow each other without a hole; each says where to go on."""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    put = []
    for _ in range(4):
        for device in owner.devices.values():
            batched = [device.seal(size) for size in (100, 100, 200_000, 5_000) * 4]
            assert len((await client.append(device, *batched)).value[2]) == 16
            put += batched
    for parts in ("headers", "summaries", "bodies"):
        got, after, more, pages = [], 0, True, 0
        while more:
            page = await client.page(owner.device, after, parts)
            assert [s.position for s in page.segments] == list(range(after + 1, after + 1 + len(page.segments)))
            assert page.incarnation == relay.incarnation
            assert len(page.segments) <= 50
            after, more = page.position, page.more
            got += page.segments
            pages += 1
        assert pages >= 3
        for segment, read in zip(put, got, strict=True):
            assert (read.header, read.seq) == (segment.header, segment.seq)
            assert read.summary == (None if parts == "headers" else segment.summary)
            assert read.body == (segment.body if parts == "bodies" else None)
        assert [read.device for read in got] == ([1] * 16 + [2] * 16) * 4
    # REL-15: short bodies come with the summaries.
    lengths = [len(segment.body) for segment in put]
    short = sorted(lengths)[len(lengths) // 2]
    some = await client.page(owner.device, 0, "summaries", f"&short={short}")
    assert [read.body for read in some.segments] == [
        segment.body if len(segment.body) <= short else None for segment in put[: len(some.segments)]
    ]
    assert {read.body is None for read in some.segments} == {True, False}
    size = len((await client.changes(owner.device)).body)
    assert 1_000_000 <= size <= 1_000_000 + 300_000
    page = Page.of(await client.as_device(owner.device, "GET", "feeds/2?from=3&parts=headers&limit=5"))
    assert [s.header for s in page.segments] == [s.header for s in put[16:32]][2:7]
    assert (page.position, page.more) == (8, True)
    assert await client.page(owner.device, 128) == Page([], 128, False, relay.incarnation)
    assert await client.page(owner.device, 5000) == Page([], 5000, False, relay.incarnation)
    beyond = await client.as_device(owner.device, "GET", "feeds/2?from=99")
    assert Page.of(beyond) == Page([], 99, False, relay.incarnation)


async def test_heads(client: RelayClient, relay: ServedRelay, device: Author) -> None:
    empty = (await client.as_device(device, "GET", "heads")).value
    assert empty == {1: relay.incarnation, 2: 0, 3: [], 4: 0, 5: 0}
    segments = [device.seal(), device.seal(50_000)]
    await client.append(device, *segments)
    heads = (await client.as_device(device, "GET", "heads")).value
    used = sum(len(s.header) + len(s.summary) + len(s.body) for s in segments)
    assert heads == {1: relay.incarnation, 2: 2, 3: [[1, 2, device.head]], 4: used, 5: 0}


async def test_readers_ask_properly(client: RelayClient, relay: ServedRelay, device: Author) -> None:
    for query, code in (
        ("changes?after=x", "malformed"),
        ("changes?parts=summaries&short=x", "malformed"),
        ("changes?parts=all", "malformed"),
        ("changes?limit=0", "malformed"),
        ("changes?limit=-1", "malformed"),
        ("changes?incarnation=xyz", "malformed"),
        (f"changes?incarnation={os.urandom(16).hex()}", "incarnation"),
        ("feeds/7", "not-found"),
        ("feeds/0", "not-found"),
        ("feeds/x", "not-found"),
        ("feeds/1/x", "not-found"),
    ):
        assert (await client.as_device(device, "GET", query)).code == code
    good = await client.as_device(device, "GET", f"changes?incarnation={relay.incarnation.hex()}")
    assert Page.of(good) == Page([], 0, False, relay.incarnation)


async def test_devices_append_at_the_same_time(client: RelayClient, owner: Owner) -> None:
    """REL-09: positions are handed out once, in order."""
    change = owner.change(added=[new_keys() for _ in range(5)])
    await client.change(owner, change.entry, change.wraps, 0)

    async def write(device: Author) -> list[int]:
        positions = []
        for _ in range(10):
            segment = device.seal(100)
            [receipt] = (await client.append(device, segment)).value[2]
            said = verify_receipt(receipt, owner.account, client.identity, segment.header_id)
            positions.append(said.position)
        return positions

    positions = await asyncio.gather(*map(write, owner.devices.values()))
    assert all(p == sorted(p) for p in positions)
    assert sorted(itertools.chain.from_iterable(positions)) == list(range(1, 61))


async def test_one_segment_sent_twice_at_once_is_stored_once(client: RelayClient, device: Author) -> None:
    """SEG-17: a client that lost its line sends again while the relay still works on the first."""
    for _ in range(5):
        segments = [device.seal(70_000) for _ in range(3)]
        answers = await asyncio.gather(*(client.append(device, *segments) for _ in range(4)))
        assert len({answer.body for answer in answers}) == 1
        assert len(answers[0].value[2]) == 3
    assert len((await client.page(device, parts="headers")).segments) == 15


async def test_a_rotation_during_a_batch_ends_the_prefix(client: RelayClient, relay: ServedRelay, owner: Owner) -> None:
    """SEG-14: whatever the moment, a header is stored or refused, never both."""
    device = owner.device
    for _ in range(4):
        segments = [device.seal(100_000) for _ in range(30)]
        before = owner.roster.number
        change = owner.change(take=False)

        async def rotate(change=change, before=before) -> int:  # type: ignore[no-untyped-def]
            return (await client.change(owner, change.entry, change.wraps, before)).status

        answer, status = await asyncio.gather(client.append(device, *segments), rotate())
        assert status == 201
        owner._took(change)
        if answer.status == 200:
            taken = len(answer.value[2])
        else:
            assert answer.code == "epoch-stale"
            assert "refusal" in answer.problem
            taken = 0
        heads = (await client.as_device(device, "GET", "heads")).value
        stored = heads[3][0][1] if heads[3] else 0
        assert stored == segments[0].seq + taken - 1
        if taken < len(segments):
            refused = await client.append(device, segments[taken])
            assert refused.code == "epoch-stale"
            device.seq = stored
            device.head = heads[3][0][2] if heads[3] else b""  # type: ignore[assignment]


async def test_a_long_batch_is_stored_while_it_arrives(client: RelayClient, device: Author) -> None:
    segments = [device.seal(250_000) for _ in range(12)]

    async def slowly() -> AsyncIterator[bytes]:
        for segment in segments[:8]:
            yield item(segment)
        async with asyncio.timeout(10):
            while not (await client.as_device(device, "GET", "heads")).value[3]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield batch(segments[8:])

    answer = await client.as_device(device, "POST", "segments", slowly())
    assert len(answer.value[2]) == 12
