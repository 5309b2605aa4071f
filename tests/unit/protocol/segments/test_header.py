"""Segment headers (spec §6.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.segments import (
    Head,
    SealedSegment,
    SegmentHeader,
    check_chunks,
    check_parts,
    decode_header,
    sign_header,
    verify_header,
    view_hash,
)
from sealkeep_protocol.types import AccountId, DeviceId, EpochNumber, ObjectId, Seq
from support.accounts import MadeAccount, flipped, refused

ID = ObjectId(sha256(b"a header"))


@pytest.fixture(scope="module")
def account() -> MadeAccount:
    account = MadeAccount(devices=2)
    account.seal(2)
    account.seal(1)
    account.seal(1)
    return account


@pytest.fixture
def segment(account: MadeAccount) -> SealedSegment:
    return account.segments[1][0]


@pytest.fixture
def core(account: MadeAccount, segment: SealedSegment) -> dict[int, cbor.Item]:
    value = cbor.decode(account.verified(1, segment).core, limit=1000)
    assert isinstance(value, dict)
    return value


def decode(core: cbor.Item, *, digests: int = 2) -> SegmentHeader:
    return decode_header(signed.Payload(cbor.encode(core), (ID,) * digests))


def test_a_header_is_what_the_spec_lists(account: MadeAccount, segment: SealedSegment, core: dict[int, Any]) -> None:
    header = account.verified(1, segment).header
    head = account.segments[2][0]
    assert core == {
        0: 1,
        1: 1,
        2: 1,
        3: 1,
        4: 2,
        5: b"",
        6: 1,
        7: [[2, 1, head.header_id]],
        8: sha256(cbor.encode(["sealkeep/v1/view", account.roster.head, [[2, 1, head.header_id]]])),
        9: header.salt,
        10: header.commitment,
        11: [96, 256],
    }
    assert header.digests == (sha256(segment.summary), sha256(segment.body))
    assert header.encode_core() == account.verified(1, segment).core
    assert account.verified(1, segment).data == segment.header
    assert sign_header(header, account.id, account.devices[1].signing) == segment.header


def test_a_header_signs_which_chunks_its_segment_uses(account: MadeAccount) -> None:
    """FIL-15"""
    ids = [sha256(bytes([number])) for number in range(3)]
    plain = account.verified(1, account.seal(1, take=False)).header
    segment = account.seal(1, chunks=[*ids, ids[0]], take=False)
    header = account.verified(1, segment).header
    core = cbor.decode(account.verified(1, segment).core, limit=1000)
    assert core[20] == header.chunks == sha256(cbor.encode(sorted(ids)))
    assert plain.chunks is None
    check_chunks(header, reversed(ids))
    check_chunks(plain, [])
    many = [number.to_bytes(32, "big") for number in range(8257)]
    for said, given in ((header, ids[:2]), (header, [*ids, ID]), (header, []), (plain, ids), (plain, many)):
        with refused(AuthenticationError, "digest", device=1, seq=said.seq):
            check_chunks(said, given)


def test_the_view_does_not_depend_on_the_order_of_heads() -> None:
    heads = [Head(DeviceId(number), Seq(1), ID) for number in (3, 1, 2)]
    assert view_hash(ID, heads) == view_hash(ID, reversed(heads)) == view_hash(ID, sorted(heads))
    assert view_hash(ID, heads) != view_hash(ID, heads[:2])


@pytest.mark.parametrize(("number", "seq"), [(2, 1), (1, 2), (1, 3)])
def test_a_header_offered_at_another_address_is_refused(
    account: MadeAccount, segment: SealedSegment, number: int, seq: int
) -> None:
    """SEG-01: even where the key is the right one."""
    key = account.devices[1].signing.public
    with refused(HistoryError, "replay", device=number, seq=seq):
        verify_header(segment.header, account=account.id, device=number, seq=seq, key=key)


def test_a_header_that_comes_without_a_seq(account: MadeAccount, segment: SealedSegment) -> None:
    """SEG-01"""
    key = account.devices[1].signing.public
    assert verify_header(segment.header, account=account.id, device=1, seq=None, key=key).header.seq == 1
    with refused(HistoryError, "replay", device=2):
        verify_header(segment.header, account=account.id, device=2, seq=None, key=key)


def test_a_header_of_another_account_or_author_is_refused(account: MadeAccount, segment: SealedSegment) -> None:
    """SIG-03"""
    for identifier, author in ((AccountId(ID), 1), (account.id, 2)):
        with refused(AuthenticationError, "signature", device=1, seq=1):
            verify_header(
                segment.header, account=identifier, device=1, seq=1, key=account.devices[author].signing.public
            )
    with refused(MalformedError, "malformed", device=1, seq=1):
        verify_header(segment.header[:-1], account=account.id, device=1, seq=1, key=account.devices[1].signing.public)


@pytest.mark.parametrize("key", range(12))
def test_missing_fields_are_refused(core: dict[int, Any], key: int) -> None:
    """ENC-05, KEY-01"""
    assert decode(core).seq == 1
    code = "unsupported" if key == 0 else "malformed"
    with refused(MalformedError, code):
        decode({k: v for k, v in core.items() if k != key})


@pytest.mark.parametrize("key", [*range(12, 20), *range(21, 24), 64])
def test_unknown_fields_are_refused(core: dict[int, Any], key: int) -> None:
    """ENC-05"""
    with refused(MalformedError, "unsupported"):
        decode(core | {key: 0})


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        (0, 2, "unsupported"),
        (3, 2, "unsupported"),  # retire
        (3, 3, "unsupported"),  # skip
        (3, 4, "unsupported"),
        (3, "1", "malformed"),
        (1, 0, "malformed"),
        (1, 65_536, "malformed"),
        (2, 0, "malformed"),
        (2, 1 << 32, "malformed"),
        (2, 2, "malformed"),  # with an empty `previous`
        (4, 0, "malformed"),
        (4, 1 << 32, "malformed"),
        (5, ID, "malformed"),  # in seq 1
        (6, -1, "malformed"),
        (6, 1 << 32, "malformed"),
        (7, {}, "malformed"),
        (7, [[2, 1]], "malformed"),
        (7, [[2, 0, ID]], "malformed"),
        (7, [[0, 1, ID]], "malformed"),
        (7, [[65_536, 1, ID]], "malformed"),
        (7, [[2, 1 << 32, ID]], "malformed"),
        (7, [[2, 1, b""]], "malformed"),
        (7, [[1, 1, ID]], "malformed"),  # its own feed
        (7, [[3, 1, ID], [2, 1, ID]], "malformed"),
        (7, [[2, 1, ID], [2, 2, ID]], "malformed"),
        (8, b"", "malformed"),
        (9, ID[:31], "malformed"),
        (10, None, "malformed"),
        (11, [96], "malformed"),
        (11, [97, 256], "malformed"),
        (11, [0, 256], "malformed"),
        (11, [96, -1], "malformed"),
        (11, [96, "256"], "malformed"),
        (20, None, "malformed"),
        (20, ID[:31], "malformed"),
        (20, [ID], "malformed"),
    ],
)
def test_fields_of_another_shape_are_refused(core: dict[int, Any], field: int, value: Any, code: str) -> None:
    """KEY-01, ENC-05"""
    with refused(MalformedError, code):
        decode(core | {field: value})


@pytest.mark.parametrize("length", [0, 255, 257, 262_145, 270_336])
def test_a_body_length_that_is_no_bucket_is_refused(core: dict[int, Any], length: int) -> None:
    """ENC-07"""
    assert decode(core | {11: [2048, 262_144]}).body_length == 262_144
    with refused(AuthenticationError, "digest"):
        decode(core | {11: [96, length]})


@pytest.mark.parametrize("digests", [0, 1, 3])
def test_a_header_has_two_digests(core: dict[int, Any], digests: int) -> None:
    """SIG-04"""
    with refused(MalformedError, "malformed"):
        decode(core, digests=digests)


def test_a_header_is_limited_in_size(account: MadeAccount, segment: SealedSegment) -> None:
    """ENC-04"""
    heads = tuple(Head(DeviceId(number), Seq(1), ID) for number in range(2, 2000))
    large = replace(account.verified(1, segment).header, heads=heads)
    data = sign_header(large, account.id, account.devices[1].signing)
    assert len(data) > 65_536
    with refused(MalformedError, "too-large", device=1, seq=1):
        verify_header(data, account=account.id, device=1, seq=1, key=account.devices[1].signing.public)


def test_parts_have_the_length_and_hash_of_the_header(account: MadeAccount, segment: SealedSegment) -> None:
    """SEG-08"""
    header = account.verified(1, segment).header
    check_parts(header, summary=segment.summary, body=segment.body)
    check_parts(header, summary=None, body=None)
    for summary, body in (
        (segment.summary[:-1], segment.body),
        (segment.summary, segment.body + b"\0"),
        (flipped(segment.summary, 0), None),
        (None, flipped(segment.body, 2047)),
        (segment.body, segment.summary),
    ):
        with refused(AuthenticationError, "digest", device=1, seq=1):
            check_parts(header, summary=summary, body=body)
    for other in (replace(header, summary_length=2048), replace(header, body_length=272)):
        with refused(AuthenticationError, "digest", device=1, seq=1):
            check_parts(other, summary=segment.summary, body=segment.body)


@pytest.mark.parametrize("seq", [1, 255, 65_535, (1 << 32) - 1])
def test_a_live_header_with_three_changed_heads_is_small(account: MadeAccount, seq: int) -> None:
    """With a device up to 255 and a roster up to 65,535 entries: less than 450 bytes."""
    header = replace(
        account.verified(1, account.segments[1][1]).header,
        device=DeviceId(255),
        seq=Seq(seq),
        epoch=EpochNumber(65_535),
        roster=65_535,
        previous=ID,
        heads=tuple(Head(DeviceId(number), Seq(seq), ID) for number in (252, 253, 254)),
    )
    assert len(sign_header(header, account.id, account.devices[1].signing)) < 450
