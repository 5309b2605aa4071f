"""Chunks, claims and storage proofs, through a real relay and the kit's (spec §12.4, §12.5)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.files import MAX_CHUNK, MAX_CHUNKS, chunks_hash
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Removal, Signer
from sealkeep_protocol.statements import verify_proof
from support.cddl import Cddl
from support.relay import ServedRelay, served
from support.relay_client import Answer, Author, Owner, RelayClient, item, new_keys

CDDL = Path(__file__).parents[2] / "spec" / "sealkeep.cddl"
PROVED_BYTES = 64 * MAX_CHUNK


@pytest.fixture(scope="module", params=["process", "conformance"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRelay]:
    with served(request.param, tmp_path_factory.mktemp("relay") / "data", batch_items=40) as relay:
        yield relay


@pytest.fixture(scope="module")
def cddl() -> Cddl:
    return Cddl(CDDL.read_text(encoding="utf-8"))


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


async def put_some(client: RelayClient, device: Author, *sizes: int) -> list[bytes]:
    """Put chunks of noise; their ids."""
    chunks = [os.urandom(size) for size in sizes]
    for chunk in chunks:
        assert (await client.put(device, chunk)).status == 201
    return [sha256(chunk) for chunk in chunks]


async def as_recovery(client: RelayClient, owner: Owner, method: str, rest: str, body: Any = None) -> Answer:
    token = (await client.login(owner, Signer.recovery(0), owner.recovery)).value[1]
    return await client.request(method, client.path(owner, rest), body, authorization=f"Bearer {token}")


# Claims and puts


async def test_what_is_put_is_there(client: RelayClient, device: Author, cddl: Cddl) -> None:
    """FIL-12, FIL-13"""
    data = [os.urandom(size) for size in (256, MAX_CHUNK)]
    ids = sorted(map(sha256, data))
    claimed = await client.claim(device, *ids)
    assert claimed.value == {1: [0, 1], 2: 3600}
    for chunk in data:
        put = await client.put(device, chunk)
        assert (put.status, put.value) == (201, {})
        again = await client.put(device, chunk)
        assert (again.status, again.value) == (200, {})
        read = await client.chunk(device, sha256(chunk))
        assert (read.status, read.body) == (200, chunk)
        assert read.headers["Content-Type"] == "application/octet-stream"
        assert read.headers["ETag"] == f'"{sha256(chunk).hex()}"'
        assert read.headers["Accept-Ranges"] == "bytes"
    assert (await client.claim(device, *ids, bytes(32))).value[1] == [0]
    heads = (await client.as_device(device, "GET", "heads")).value
    assert heads[4] == sum(map(len, data))
    cddl.accept("claims-post", cbor.encode(ids))
    cddl.accept("claims-answer", claimed.body)


@pytest.mark.parametrize(
    ("size", "code"),
    [(0, "invalid"), (16, "invalid"), (255, "invalid"), (258, "invalid"), (MAX_CHUNK - 1, "invalid"),
     (MAX_CHUNK + 1, "too-large"), (3 * MAX_CHUNK, "too-large")],
)  # fmt: skip
@pytest.mark.parametrize("said", [True, False])
async def test_only_the_lengths_of_chunks_are_taken(
    client: RelayClient, device: Author, size: int, code: str, said: bool
) -> None:
    """FIL-01, REL-03: whether the length is said beforehand or not."""

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 100_000):
            yield data[at : at + 100_000]

    data = bytes(size)
    answer = await client.put(device, data if said else pieces(data), sha256(data))
    assert answer.code == code
    assert (await client.claim(device, sha256(data))).value[1] == [0]


async def test_another_hash_is_refused(client: RelayClient, device: Author) -> None:
    """FIL-12"""
    data = os.urandom(272)
    assert (await client.put(device, data, sha256(b"other"))).code == "invalid"
    assert (await client.claim(device, sha256(data), sha256(b"other"))).value[1] == [0, 1]
    assert (await client.chunk(device, sha256(b"other"))).code == "not-found"


@pytest.mark.parametrize(
    ("chunks", "code"),
    [([], "malformed"), ([bytes(31)], "malformed"), ([bytes(32), bytes(32)], "malformed"), ({}, "malformed"),
     ([b"b" * 32, b"a" * 32], "malformed"), (["a" * 32], "malformed"), ([7], "malformed"), (b"x", "malformed"),
     ([number.to_bytes(32, "big") for number in range(1001)], "too-large"), ([[]], "malformed")],
)  # fmt: skip
async def test_a_claim_is_an_array_of_ids(client: RelayClient, device: Author, chunks: Any, code: str) -> None:
    assert (await client.as_device(device, "POST", "claims", cbor.encode(chunks))).code == code


async def test_a_thousand_chunks_are_claimed_at_once(client: RelayClient, device: Author) -> None:
    [there] = await put_some(client, device, 256)
    ids = sorted([there, *(number.to_bytes(32, "big") for number in range(999))])
    missing = (await client.claim(device, *ids)).value[1]
    assert missing == [index for index, chunk in enumerate(ids) if chunk != there]


async def test_media_types_and_codings(client: RelayClient, device: Author) -> None:
    """REL-02"""
    data = os.urandom(256)
    for headers in ({"content_type": "application/cbor"}, {"content_encoding": "gzip"}):
        assert (await client.put(device, data, **headers)).code == "media-type"
    ids = cbor.encode([sha256(data)])
    for route in ("claims", "proofs"):
        assert (await client.as_device(device, "POST", route, ids, content_type="text/plain")).code == "media-type"
    assert (await client.as_device(device, "DELETE", f"chunks/{sha256(data).hex()}")).code == "method"
    assert (await client.as_device(device, "GET", "chunks/00")).code == "not-found"


# Reading


@pytest.mark.parametrize(
    ("asked", "span"),
    [("bytes=0-0", (0, 1)), ("bytes=0-", (0, 1296)), ("bytes=5-9", (5, 10)), ("bytes=1286-5000", (1286, 1296)),
     ("bytes=-7", (1289, 1296)), ("bytes=-9999", (0, 1296))],
)  # fmt: skip
async def test_a_span_of_a_chunk(client: RelayClient, device: Author, asked: str, span: tuple[int, int]) -> None:
    data = os.urandom(1296)
    await client.put(device, data)
    read = await client.chunk(device, sha256(data), range=asked)
    start, stop = span
    assert (read.status, read.body) == (206, data[start:stop])
    assert read.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1296"
    assert read.headers["ETag"] == f'"{sha256(data).hex()}"'
    same = await client.chunk(device, sha256(data), range=asked, if_range=read.headers["ETag"])
    assert same.status == 206
    other = await client.chunk(device, sha256(data), range=asked, if_range='"another"')
    assert (other.status, other.body) == (200, data)


@pytest.mark.parametrize("asked", ["bytes=1296-", "bytes=5000-6000", "bytes=-0"])
async def test_a_span_that_is_not_there(client: RelayClient, device: Author, asked: str) -> None:
    data = os.urandom(1296)
    await client.put(device, data)
    read = await client.chunk(device, sha256(data), range=asked)
    assert (read.status, read.code) == (416, "range")
    assert read.headers["Content-Range"] == "bytes */1296"


@pytest.mark.parametrize("asked", ["bytes=", "bytes=-", "bytes=9-5", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b"])
async def test_what_is_not_one_span_of_bytes_is_passed_over(client: RelayClient, device: Author, asked: str) -> None:
    data = os.urandom(1296)
    await client.put(device, data)
    read = await client.chunk(device, sha256(data), range=asked)
    assert (read.status, read.body) == (200, data)


# Who may


async def test_recovery_keys_read_and_devices_write(client: RelayClient, owner: Owner, device: Author) -> None:
    chunks = await put_some(client, device, 256)
    await client.append_using(device, device.seal(chunks=chunks), chunks)
    path = f"chunks/{chunks[0].hex()}"
    assert (await as_recovery(client, owner, "GET", path)).status == 200
    assert (await as_recovery(client, owner, "GET", "feeds/1/1/chunks")).value == chunks
    assert (await as_recovery(client, owner, "POST", "proofs", cbor.encode([[bytes(32), chunks[0]]]))).status == 200
    assert (await as_recovery(client, owner, "PUT", path, bytes(256))).code == "forbidden"
    assert (await as_recovery(client, owner, "POST", "claims", cbor.encode(chunks))).code == "forbidden"


async def test_nobody_else_gets_anything(client: RelayClient, owner: Owner, device: Author) -> None:
    """REL-06: no token, another account's, a removed device's."""
    [chunk] = await put_some(client, device, 256)
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    tablet = owner.devices[2]
    await client.token(tablet)
    removal = owner.change(removed=[Removal(2, 0, b"", False)])
    await client.change(owner, removal.entry, removal.wraps, 1)
    stranger = Owner()
    await client.create(stranger)
    asked = [
        ("POST", "claims", cbor.encode([chunk])),
        ("PUT", f"chunks/{chunk.hex()}", bytes(256)),
        ("GET", f"chunks/{chunk.hex()}", None),
        ("GET", "feeds/1/1/chunks", None),
        ("POST", "proofs", cbor.encode([[bytes(32), chunk]])),
    ]
    for method, rest, body in asked:
        assert (await client.as_device(tablet, method, rest, body)).code == "revoked"
        path = client.path(owner, rest)
        assert (await client.request(method, path, body)).code == "unauthorized"
        other = await client.token(stranger.device)
        assert (await client.request(method, path, body, authorization=f"Bearer {other}")).code == "unauthorized"
    assert (await client.chunk(stranger.device, chunk)).code == "not-found"
    assert (await client.claim(stranger.device, chunk)).value[1] == [0]
    [proof, _] = (await client.prove(stranger.device, (bytes(32), chunk))).items
    assert proof is None


# Appends


async def test_an_append_says_which_chunks_it_uses(client: RelayClient, device: Author, cddl: Cddl) -> None:
    """FIL-14: what is not there is named, and nothing is stored."""
    chunks = await put_some(client, device, 256, 272)
    data = os.urandom(288)
    using = sorted([*chunks, sha256(data)])
    segment = device.seal(chunks=using)
    refused = await client.append_using(device, segment, using)
    assert (refused.status, refused.code) == (409, "chunks-missing")
    assert refused.problem["missing"] == [sha256(data).hex()]
    assert (await client.page(device)).segments == []
    assert (await client.as_device(device, "GET", "feeds/1/1/chunks")).code == "not-found"
    await client.put(device, data)
    first = await client.append_using(device, segment, using)
    assert first.value[1] == 1
    # SEG-17: the same receipt, however the item comes.
    assert (await client.append_using(device, segment, using, missing_ok=True)).value == first.value
    assert (await client.as_device(device, "POST", "segments", cbor.encode([segment.header]))).value == first.value
    named = await client.as_device(device, "GET", "feeds/1/1/chunks")
    assert named.value == using
    cddl.accept("append-item", item(segment, using))
    cddl.accept("append-item", item(segment, using, missing_ok=True))
    cddl.accept("segment-chunks", named.body)
    used = (await client.as_device(device, "GET", "heads")).value[4]
    assert used == 256 + 272 + 288 + 3 * 64 + len(segment.header + segment.summary + segment.body)


async def test_what_is_gone_may_be_missing(client: RelayClient, device: Author) -> None:
    gone = sorted(sha256(bytes([n])) for n in range(3))
    segment = device.seal(chunks=gone)
    assert (await client.append_using(device, segment, gone)).problem["missing"] == [chunk.hex() for chunk in gone]
    assert (await client.append_using(device, segment, gone, missing_ok=True)).status == 200
    assert (await client.as_device(device, "GET", "feeds/1/1/chunks")).value == gone
    plain = device.seal()
    await client.append(device, plain)
    assert (await client.as_device(device, "GET", "feeds/1/2/chunks")).value == []


async def test_a_missing_chunk_ends_the_prefix(client: RelayClient, device: Author) -> None:
    there, gone = await put_some(client, device, 256), [sha256(b"gone")]
    segments = [device.seal(20_000, chunks=using) for using in (there, [], gone, there)]
    uses = (there, [], gone, there)
    body = b"".join(item(segment, using) for segment, using in zip(segments, uses, strict=True))
    answer = await client.as_device(device, "POST", "segments", body)
    assert (answer.value[1], len(answer.value[2])) == (2, 2)
    rest = b"".join(item(segment, using) for segment, using in zip(segments[2:], uses[2:], strict=True))
    assert (await client.as_device(device, "POST", "segments", rest)).code == "chunks-missing"
    assert len((await client.page(device)).segments) == 2


async def test_the_ids_are_those_that_were_signed(client: RelayClient, device: Author) -> None:
    """FIL-15: none left out, none added, on the copy route too."""
    chunks = sorted(await put_some(client, device, 256, 272))
    segment = device.seal(chunks=chunks)
    for others in ([], chunks[:1], [*chunks, sha256(b"more")]):
        for missing_ok in (False, True):
            assert (await client.append_using(device, segment, others, missing_ok=missing_ok)).code == "invalid"
    plain = device.seal(take=False)
    assert (await client.append_using(device, segment, chunks)).status == 200
    assert plain.seq == 2
    other = device.seal()
    assert (await client.append_using(device, other, chunks)).code == "invalid"


async def test_the_copy_route_takes_chunks_likewise(client: RelayClient, owner: Owner, device: Author) -> None:
    """FIL-14, FIL-15: whoever copies another's segment names exactly its chunks, and has put them."""
    change = owner.change(added=[new_keys()])
    await client.change(owner, change.entry, change.wraps, 0)
    laptop = owner.devices[2]
    data = os.urandom(256)
    chunk, gone = sha256(data), sha256(b"gone")
    both = sorted([chunk, gone])
    segments = [(device.seal(chunks=[chunk]), [chunk]), (device.seal(chunks=both), both)]

    def copied(number: int, *, missing_ok: bool = False, ids: list[bytes] | None = None, tail: Any = ()) -> bytes:
        segment, used = segments[number]
        parts = cbor.decode(item(segment, used if ids is None else ids, missing_ok=missing_ok), limit=1 << 20)
        return cbor.encode([1, *parts, *tail])

    async def copy(*items: bytes) -> object:
        answer = await client.as_device(laptop, "POST", "copies", b"".join(items))
        return answer.value[1] if answer.status == 200 else (answer.code, answer.problem.get("missing"))

    assert await copy(copied(0)) == ("chunks-missing", [chunk.hex()])
    for ids in ([], both):
        assert await copy(copied(0, ids=ids, missing_ok=True)) == ("invalid", None)
    await client.put(laptop, data)
    for tail in ([False], [1], [True, True]):
        assert await copy(copied(0, tail=tail)) == ("malformed", None)
    assert await copy(cbor.encode([1, segments[0][0].header])) == ("malformed", None)
    assert await copy(copied(0), copied(1)) == 1
    assert await copy(copied(0), copied(1, missing_ok=True)) == 2
    named = await client.as_device(laptop, "GET", "feeds/1/2/chunks")
    assert named.value == both


@pytest.mark.parametrize(
    "tail",
    [
        [[bytes(31)]], [[b"b" * 32, b"a" * 32]], [[bytes(32), bytes(32)]], [[7]], [b""], [[], False], [[], 1],
        [[], True, True], [None],
    ],
)  # fmt: skip
async def test_items_of_another_shape(client: RelayClient, device: Author, tail: list[Any]) -> None:
    segment = device.seal()
    body = cbor.encode([segment.header, segment.summary, segment.body, *tail])
    assert (await client.as_device(device, "POST", "segments", body)).code == "malformed"


async def test_a_segment_uses_so_many_chunks_and_no_more(client: RelayClient, device: Author) -> None:
    ids = [number.to_bytes(32, "big") for number in range(MAX_CHUNKS + 1)]
    segment = device.seal(200_000, chunks=ids[:-1])
    assert (await client.append_using(device, segment, ids)).code == "too-large"
    refused = await client.append_using(device, segment, ids[:-1])
    assert refused.problem["missing"] == [chunk.hex() for chunk in ids[:1000]]
    assert (await client.append_using(device, segment, ids[:-1], missing_ok=True)).status == 200
    assert (await client.as_device(device, "GET", "feeds/1/1/chunks")).value == ids[:-1]


# Proofs


async def proved(client: RelayClient, relay: ServedRelay, device: Author, *asked: Any) -> list[bytes | None]:
    """The answers, after the signature over them was verified."""
    body = cbor.encode([list(one) for one in asked])
    answer = await client.as_device(device, "POST", "proofs", body)
    assert answer.status == 200, answer
    *answers, signature = answer.items
    hashed = sha256(b"".join(map(cbor.encode, answers)))
    proof = verify_proof(signature, device.owner.account, relay.identity, request=sha256(body), answers=hashed)
    assert proof.incarnation == relay.incarnation
    return answers


def answer_to(challenge: bytes, data: bytes) -> bytes:
    return hmac.new(challenge, data, hashlib.sha256).digest()


async def test_a_proof_answers_for_chunks_and_segments(
    client: RelayClient, relay: ServedRelay, device: Author, cddl: Cddl
) -> None:
    """§12.5"""
    data = os.urandom(MAX_CHUNK)
    await client.put(device, data)
    segment = device.seal(100_000)
    await client.append(device, segment)
    challenges = [os.urandom(32) for _ in range(6)]
    targets = [sha256(data), sha256(b"none"), [1, 1], [1, 2], [2, 1], sha256(data)]
    asked = list(zip(challenges, targets, strict=True))
    answers = await proved(client, relay, device, *asked)
    assert answers == [
        answer_to(challenges[0], data), None, answer_to(challenges[2], segment.summary + segment.body), None, None,
        answer_to(challenges[5], data),
    ]  # fmt: skip
    cddl.accept("proofs-post", cbor.encode([list(one) for one in asked]))
    sequence = (await client.prove(device, *((c, tuple(t) if isinstance(t, list) else t) for c, t in asked))).items
    for one in sequence:
        cddl.accept("proof-item", cbor.encode(one))
    cddl.accept("signed-object", sequence[-1])
    cddl.accept("proof-core", signed.decode_payload(signed.split(sequence[-1])[0]).core)


@pytest.mark.parametrize(
    ("asked", "code"),
    [([], "malformed"), ([[bytes(31), bytes(32)]], "malformed"), ([[bytes(32), bytes(31)]], "malformed"),
     ([[bytes(32)]], "malformed"), ([[bytes(32), [1]]], "malformed"), ([[bytes(32), [1, "a"]]], "malformed"),
     ([[bytes(32), bytes(32)]] * 257, "too-large"), ({1: 2}, "malformed"), ([[bytes(32), [1, True]]], "malformed")],
)  # fmt: skip
async def test_what_asks_for_no_proof(client: RelayClient, device: Author, asked: Any, code: str) -> None:
    assert (await client.as_device(device, "POST", "proofs", cbor.encode(asked))).code == code


async def test_proofs_are_over_so_many_bytes(client: RelayClient, relay: ServedRelay, device: Author) -> None:
    """A target that is named again counts again."""
    data = os.urandom(MAX_CHUNK)
    await client.put(device, data)
    asked = [(os.urandom(32), sha256(data)) for _ in range(64)]
    answers = await proved(client, relay, device, *asked)
    assert answers == [answer_to(challenge, data) for challenge, _ in asked]
    await client.append(device, device.seal(take=False))
    too_many = await client.as_device(
        device, "POST", "proofs", cbor.encode([*map(list, asked), [os.urandom(32), [1, 1]]])
    )
    assert too_many.code == "too-large"
    # What is not there weighs nothing.
    missing = [(os.urandom(32), sha256(bytes([n]))) for n in range(192)]
    assert (await proved(client, relay, device, *asked, *missing))[64:] == [None] * 192


async def test_what_a_header_says_of_chunks_is_their_hash() -> None:
    """§12.4: field 20."""
    ids = sorted(sha256(bytes([n])) for n in range(3))
    assert chunks_hash(ids) == sha256(cbor.encode(ids))
    await asyncio.sleep(0)
