"""Any single flipped bit in anything stored is refused, with the right family and code, and placed where it has a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol import sealing, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, PeerError
from sealkeep_protocol.hybrid_kem import check_wrap, unwrap
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Link, Roster, Rotation, follow_links, open_name, open_wrap
from sealkeep_protocol.segments import SealedSegment, SegmentClass, open_segment, sign_header
from sealkeep_protocol.statements import (
    Challenge,
    sign_login,
    verify_challenge,
    verify_login,
    verify_receipt,
    verify_refusal,
)
from support.accounts import TIME, MadeAccount, MadeRelay, device, flipped, kit, refused

RELAY = MadeRelay()


def made() -> MadeAccount:
    """An account with every kind of entry; device 2 has written with one other head in its header."""
    account = MadeAccount(devices=2)
    account.seal(1)
    account.seal(2)
    account.change(kit(0), add=1, remove=[1], new_kit=True)
    account.reclaim(by=1)
    account.close(by=2)
    return account


ACCOUNT = made()
SEGMENT = ACCOUNT.segments[2][0]
BITS = st.integers(0, (1 << 31) - 1)


def places(data: bytes) -> tuple[int, int]:
    """Where in a signed object the payload begins and ends."""
    end = len(data) - 66
    return end - len(signed.split(data)[0]), end


def in_frame(data: bytes, byte: int) -> bool:
    """Whether the byte belongs to the frame of a signed object, neither to its payload nor to its signature."""
    begin, end = places(data)
    return byte < begin or end <= byte < end + 2


@pytest.mark.parametrize("number", range(5), ids=["genesis", "change", "change by a kit", "reclaim", "close"])
@given(bit=BITS)
def test_roster_entries(number: int, bit: int) -> None:
    """SIG-01, ROS-01 to ROS-11: an entry's payload is decoded before its signature is verified, so it can be refused for
    what it then says; but it is always refused."""
    data = ACCOUNT.entries[number]
    bit %= 8 * len(data)
    judge = Roster.read(ACCOUNT.entries[:number], account=ACCOUNT.id).append if number else Roster.genesis
    with pytest.raises(PeerError) as caught:
        judge(flipped(data, bit))
    error = caught.value
    if in_frame(data, bit // 8):
        assert (type(error), error.code) == (MalformedError, "malformed")
    elif bit // 8 >= len(data) - 64:
        assert (type(error), error.code) == (AuthenticationError, "signature")
    else:
        assert (type(error), error.code) in {
            (MalformedError, "malformed"),
            (MalformedError, "unsupported"),
            (AuthenticationError, "signature"),
            (AuthenticationError, "key"),  # of a genesis, whose first device's key verifies it
            (HistoryError, "roster"),
        }
        assert error.code != "key" or number == 0


@given(number=st.integers(0, 4), bit=BITS)
def test_entries_inside_a_roster(number: int, bit: int) -> None:
    """ROS-01, KEY-09: whoever reads the whole roster finds out too."""
    entries = ACCOUNT.entries.copy()
    entries[number] = flipped(entries[number], bit % (8 * len(entries[number])))
    with pytest.raises(PeerError):
        Roster.read(entries, account=ACCOUNT.id)


@given(bit=BITS)
def test_wraps(bit: int) -> None:
    """KEY-07; and without the digest, the wrap itself does not open."""
    wrapped = ACCOUNT.wraps[1][1]
    changed = flipped(wrapped, bit % (8 * len(wrapped)))
    with refused(AuthenticationError, "digest"):
        check_wrap(changed, sha256(wrapped))
    entry = ACCOUNT.entry(1)
    with refused(AuthenticationError, "digest"):
        open_wrap(ACCOUNT.roster, entry, changed, 1, ACCOUNT.devices[1])
    with refused(AuthenticationError, "ciphertext"):
        unwrap(changed, core=entry.core, recipient=1, key=ACCOUNT.devices[1].kem)


@given(epoch=st.integers(2, 4), bit=BITS)
def test_links(epoch: int, bit: int) -> None:
    """KEY-05"""
    link = ACCOUNT.roster.rotations[epoch - 1].links[0]
    bit %= 8 * len(link.sealed)
    rotations = list(ACCOUNT.roster.rotations)
    spoilt = Link(link.epoch, flipped(link.sealed, bit))
    rotations[epoch - 1] = Rotation(epoch, rotations[epoch - 1].commitment, (spoilt,))
    keys, older = ACCOUNT.epochs[epoch], spoilt.epoch
    with refused(AuthenticationError, "commitment" if bit < 512 else "ciphertext"):
        sealing.open_alone(
            keys.link_key, "link", [epoch, older], spoilt.sealed, binding=ACCOUNT.roster.previous_of_epoch(epoch)
        )
    # It leads nowhere, and takes nothing away from other ways.
    led = follow_links(replace(ACCOUNT.roster, rotations=tuple(rotations)), keys)
    assert older not in {one.number for one in led}


@given(number=st.integers(1, 4), bit=BITS)
def test_sealed_names(number: int, bit: int) -> None:
    """KEY-05"""
    item = ACCOUNT.roster.devices[number]
    bit %= 8 * len(item.sealed_name)
    changed = replace(item, sealed_name=flipped(item.sealed_name, bit))
    with refused(AuthenticationError, "commitment" if bit < 512 else "ciphertext", device=number):
        open_name(ACCOUNT.epochs[item.name_epoch], changed)


def test_headers() -> None:
    """SIG-01, SIG-02: every bit."""
    for bit in range(8 * len(SEGMENT.header)):
        framed = in_frame(SEGMENT.header, bit // 8)
        family, code = (MalformedError, "malformed") if framed else (AuthenticationError, "signature")
        with refused(family, code, device=2, seq=1):
            ACCOUNT.verified(2, replace(SEGMENT, header=flipped(SEGMENT.header, bit)))


def opened(segment: SealedSegment) -> None:
    verified = ACCOUNT.verified(2, segment)
    epoch = ACCOUNT.epochs[verified.header.epoch]
    open_segment(verified, ACCOUNT.id, epoch, summary=segment.summary, body=segment.body)


def test_summaries_and_bodies() -> None:
    """SEG-08: every bit."""
    opened(SEGMENT)
    for bit in range(8 * len(SEGMENT.summary)):
        with refused(AuthenticationError, "digest", device=2, seq=1):
            opened(replace(SEGMENT, summary=flipped(SEGMENT.summary, bit)))
    for bit in range(8 * len(SEGMENT.body)):
        with refused(AuthenticationError, "digest", device=2, seq=1):
            opened(replace(SEGMENT, body=flipped(SEGMENT.body, bit)))


@given(bit=BITS, part=st.sampled_from(["summary", "body"]))
def test_ciphertexts_that_their_author_signed(bit: int, part: str) -> None:
    """SEG-22: not what was sealed, though it is what was signed."""
    value: bytes = getattr(SEGMENT, part)
    wrong = flipped(value, bit % (8 * len(value)))
    changed = replace(SEGMENT, summary=wrong) if part == "summary" else replace(SEGMENT, body=wrong)
    header = ACCOUNT.verified(2, SEGMENT).header
    digests = sha256(changed.summary), sha256(changed.body)
    data = sign_header(replace(header, digests=digests), ACCOUNT.id, ACCOUNT.devices[2].signing)
    with refused(AuthenticationError, "ciphertext", device=2, seq=1):
        opened(replace(changed, header=data))


@given(bit=st.integers(0, 511))
def test_salts_and_commitments_that_their_author_signed(bit: int) -> None:
    """KEY-05"""
    header = ACCOUNT.verified(2, SEGMENT).header
    both = flipped(header.salt + header.commitment, bit)
    data = sign_header(replace(header, salt=both[:32], commitment=both[32:]), ACCOUNT.id, ACCOUNT.devices[2].signing)
    with refused(AuthenticationError, "commitment", device=2, seq=1):
        opened(replace(SEGMENT, header=data))


@given(bit=BITS)
def test_bodies_that_are_compressed(bit: int) -> None:
    """SEG-08"""
    account = MadeAccount()
    segment = account.seal(1, b"content " * 500, segment_class=SegmentClass.HISTORY, compressed=True)
    changed = flipped(segment.body, bit % (8 * len(segment.body)))
    with refused(AuthenticationError, "digest", device=1, seq=1):
        open_segment(account.verified(1, segment), account.id, account.epoch, summary=segment.summary, body=changed)


def every_bit(data: bytes, check: Callable[[bytes], object], framed: tuple[type[PeerError], str], code: str) -> None:
    """Every bit of a signed object: the frame's are refused as `framed`, all others with this code of the same tree."""
    check(data)
    for bit in range(8 * len(data)):
        with pytest.raises(PeerError) as caught:
            check(flipped(data, bit))
        error = caught.value
        if in_frame(data, bit // 8):
            assert (type(error), error.code) == framed
        else:
            assert error.code == code
            assert type(error) is (HistoryError if code in HistoryError.codes else AuthenticationError)


def test_receipts() -> None:
    """SEG-16"""
    every_bit(
        RELAY.receipt(ACCOUNT, SEGMENT, 7),
        lambda data: verify_receipt(data, ACCOUNT.id, RELAY.identity, SEGMENT.header_id),
        (HistoryError, "receipt"),
        "receipt",
    )


def test_refusals() -> None:
    """SEG-15"""
    every_bit(
        RELAY.refusal(ACCOUNT, 2, SEGMENT),
        lambda data: verify_refusal(
            data,
            ACCOUNT.id,
            RELAY.identity,
            header_id=SEGMENT.header_id,
            header_roster=1,
            incarnation=RELAY.incarnation,
            roster=ACCOUNT.roster,
        ),
        (HistoryError, "refusal"),
        "refusal",
    )


def test_challenges() -> None:
    """REL-05"""
    every_bit(
        Challenge(device(2), TIME, bytes(16)).sign(ACCOUNT.id, RELAY.key),
        lambda data: verify_challenge(data, ACCOUNT.id, RELAY.identity, signer=device(2)),
        (MalformedError, "malformed"),
        "identity",
    )


def test_logins() -> None:
    """REL-07"""
    key = ACCOUNT.devices[2].signing
    every_bit(
        sign_login(SEGMENT.header_id, RELAY.identity, ACCOUNT.id, key),
        lambda data: verify_login(
            data, ACCOUNT.id, key.public, challenge_id=SEGMENT.header_id, identity=RELAY.identity
        ),
        (MalformedError, "malformed"),
        "signature",
    )
