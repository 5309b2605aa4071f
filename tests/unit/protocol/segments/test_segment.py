"""Sealing and opening whole segments (spec §6.3, §6.4, §6.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sealkeep_protocol import sealing
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.padding import MAX_BODY, PLAIN, ZSTD, compress, pad
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.segments import (
    MAX_PACKED,
    OpenedSegment,
    SealedSegment,
    SegmentClass,
    Summary,
    body_length,
    check_content,
    header_identifier,
    open_segment,
    sign_header,
    summarize,
)
from sealkeep_protocol.types import NO_ID, DeviceId, EpochNumber, Seq
from support.accounts import TIME, MadeAccount, device, flipped, refused

CONTENT = b"the content of a body " * 20


@pytest.fixture(scope="module")
def account() -> MadeAccount:
    return MadeAccount(devices=2)


def opened(account: MadeAccount, segment: SealedSegment, *, author: int = 1, body: bool = True) -> OpenedSegment:
    verified = account.verified(author, segment)
    epoch = account.epochs[verified.header.epoch]
    return open_segment(verified, account.id, epoch, summary=segment.summary, body=segment.body if body else None)


def crafted(
    account: MadeAccount,
    summary: Summary,
    plaintext: bytes,
    *,
    summary_plaintext: bytes | None = None,
) -> SealedSegment:
    """A segment that its author sealed and signed as no honest one does: any plaintext, under any summary."""
    shape = account.seal(1, take=False)
    epoch, author = account.epoch, account.devices[1].signing
    keys = sealing.sealing_keys(epoch.segment_key, "segment", [account.id, 1, 1], account.random(32), parts=2)
    inner = summary.encode() if summary_plaintext is None else summary_plaintext
    header = replace(
        account.verified(1, shape).header,
        salt=account.random.drawn[-1],
        commitment=keys.commitment,
        summary_length=len(inner) + 16,
        body_length=len(plaintext) + 16,
    )
    binding = sha256(header.encode_core())
    parts = keys.seal(0, inner, binding), keys.seal(1, plaintext, binding)
    data = sign_header(replace(header, digests=(sha256(parts[0]), sha256(parts[1]))), account.id, author)
    return SealedSegment(header.seq, header_identifier(data, account.id), data, *parts)


@pytest.mark.parametrize(
    ("segment_class", "compressed"),
    [
        (SegmentClass.LIVE, False),
        (SegmentClass.FRONT, True),
        (SegmentClass.HISTORY, True),
        (SegmentClass.HISTORY, False),
        (SegmentClass.PREVIEW, False),
    ],
)
def test_what_is_sealed_opens(account: MadeAccount, segment_class: SegmentClass, compressed: bool) -> None:
    preview = segment_class is SegmentClass.PREVIEW
    times, conversations = ([], []) if preview else ([TIME], [sha256(b"conversation")[:16]])
    summary = summarize(segment_class, times, 1, conversations, len(CONTENT))
    segment = account.seal(1, CONTENT, segment_class=segment_class, compressed=compressed, summary=summary, take=False)
    assert opened(account, segment) == OpenedSegment(summary, CONTENT)
    assert opened(account, segment, body=False) == OpenedSegment(summary, None)
    assert segment.header_id == account.verified(1, segment).id == header_identifier(segment.header, account.id)
    assert b"content" not in segment.header + segment.summary + segment.body


def test_body_lengths() -> None:
    assert body_length(1, SegmentClass.LIVE, last=True) == 256
    assert body_length(1, SegmentClass.FRONT, last=True) == 256
    assert body_length(65_536, SegmentClass.FRONT, last=False) == 67_584
    assert body_length(1, SegmentClass.HISTORY, last=False) == MAX_BODY
    assert body_length(1, SegmentClass.HISTORY, last=True) == 256
    assert body_length(1, SegmentClass.PREVIEW, last=False) == MAX_BODY
    assert body_length(1, SegmentClass.PREVIEW, last=True) == 256
    assert body_length(MAX_PACKED, SegmentClass.LIVE, last=True) == MAX_BODY


def test_a_writer_never_compresses_a_live_body(account: MadeAccount) -> None:
    """SEG-10"""
    with pytest.raises(ValueError, match="never compressed"):
        account.seal(1, CONTENT, compressed=True, take=False)


def test_a_reader_refuses_a_live_body_that_is_compressed(account: MadeAccount) -> None:
    """SEG-10"""
    summary = summarize(SegmentClass.LIVE, [TIME], 1, [], len(CONTENT))
    assert opened(account, crafted(account, summary, pad(CONTENT, 512, form=PLAIN))).content == CONTENT
    with refused(MalformedError, "malformed", device=1, seq=1):
        opened(account, crafted(account, summary, pad(compress(CONTENT), 512, form=ZSTD)))


def test_content_that_does_not_fit_is_a_mistake_of_the_caller(account: MadeAccount) -> None:
    assert len(account.seal(1, bytes(MAX_PACKED), take=False).body) == MAX_BODY
    with pytest.raises(ValueError, match="does not fit"):
        account.seal(1, bytes(MAX_PACKED + 1), take=False)


def test_ciphertexts_that_are_not_the_signed_ones_are_refused(account: MadeAccount) -> None:
    """SEG-08, named with device and seq."""
    segment = account.seal(1, take=False)
    for wrong in (
        replace(segment, summary=flipped(segment.summary, 5)),
        replace(segment, body=flipped(segment.body, 5)),
        replace(segment, body=segment.body[:-1]),
        replace(segment, summary=b""),
    ):
        with refused(AuthenticationError, "digest", device=1, seq=1):
            opened(account, wrong)


def test_another_epochs_key_is_refused_by_the_commitment(account: MadeAccount) -> None:
    """KEY-05"""
    segment = account.seal(1, take=False)
    with refused(AuthenticationError, "commitment", device=1, seq=1):
        open_segment(
            account.verified(1, segment),
            account.id,
            account.epochs[1],
            summary=segment.summary,
            body=segment.body,
        )


def test_signed_ciphertexts_that_do_not_open_are_placed_at_their_author(account: MadeAccount) -> None:
    """SEG-22: so that a reader can mark exactly this segment as unreadable, and go on."""
    segment = account.seal(1, take=False)
    header = account.verified(1, segment).header
    for summary, body in (
        (flipped(segment.summary, 5), segment.body),
        (segment.summary, flipped(segment.body, 5)),
        (segment.summary, bytes(256)),
    ):
        data = sign_header(
            replace(header, digests=(sha256(summary), sha256(body))), account.id, account.devices[1].signing
        )
        with refused(AuthenticationError, "ciphertext", device=1, seq=1):
            opened(account, replace(segment, header=data, summary=summary, body=body))


def test_a_part_sealed_for_another_header_does_not_open(account: MadeAccount) -> None:
    """The parts bind the core: a header that says something else cannot carry them."""
    segment = account.seal(1, take=False)
    header = replace(account.verified(1, segment).header, view=bytes(32))
    data = sign_header(header, account.id, account.devices[1].signing)
    with refused(AuthenticationError, "ciphertext", device=1, seq=1):
        opened(account, replace(segment, header=data))


def test_a_summary_that_disagrees_with_its_body_is_refused(account: MadeAccount) -> None:
    """SEG-11"""
    for length in (len(CONTENT) - 1, len(CONTENT) + 1, 0):
        summary = summarize(SegmentClass.LIVE, [TIME], 1, [], length)
        with refused(MalformedError, "malformed", device=1, seq=1):
            opened(account, account.seal(1, CONTENT, summary=summary, take=False))


def content_is(
    account: MadeAccount, summary: Summary, records: int, times: Sequence[int], tables: Sequence[int], epoch: int = 0
) -> None:
    header = account.verified(1, account.seal(1, take=False)).header
    check_content(OpenedSegment(summary, b""), records, times, header=header, tables=tables, newest_epoch=epoch)


@pytest.mark.parametrize(
    ("records", "times"),
    [(2, [10, 20]), (3, [10, 21]), (3, [9, 20]), (3, [10]), (3, [])],
)
def test_counts_and_times_that_disagree_are_refused(account: MadeAccount, records: int, times: list[int]) -> None:
    """SEG-11"""
    summary = summarize(SegmentClass.LIVE, [20, 10, 15], 3, [], 1)
    content_is(account, summary, 3, [15, 20, 10], [3])
    with refused(MalformedError, "malformed", device=1, seq=1):
        content_is(account, summary, records, times, [3])


def test_a_segment_without_messages_has_the_span_0_0(account: MadeAccount) -> None:
    """SEG-11"""
    for segment_class, table in ((SegmentClass.LIVE, 4), (SegmentClass.PREVIEW, 6)):
        summary = summarize(segment_class, [], 1, [], 1)
        content_is(account, summary, 1, [], [table])
        content_is(account, summary, 1, [0], [table])
        for records, times in ((1, [1]), (2, [])):
            with refused(MalformedError, "malformed", device=1, seq=1):
                content_is(account, summary, records, times, [table])


def test_previews_and_other_records_stand_in_different_segments(account: MadeAccount) -> None:
    """FIL-09"""
    for segment_class in SegmentClass:
        summary = summarize(segment_class, [], 2, [], 1)
        is_preview = segment_class is SegmentClass.PREVIEW
        content_is(account, summary, 2, [], [6, 64] if is_preview else [1, 2, 3, 4, 5, 64])
        for table in range(1, 6) if is_preview else [6]:
            with refused(MalformedError, "malformed", device=1, seq=1):
                content_is(account, summary, 2, [], [6, table] if is_preview else [1, table])


def test_a_content_record_of_a_later_epoch_than_its_segment_is_refused(account: MadeAccount) -> None:
    """FIL-06"""
    summary = summarize(SegmentClass.LIVE, [], 1, [], 1)
    content_is(account, summary, 1, [], [5], account.epoch.number)
    with refused(MalformedError, "malformed", device=1, seq=1):
        content_is(account, summary, 1, [], [5], account.epoch.number + 1)


def test_a_summary_of_another_classs_length_is_refused(account: MadeAccount) -> None:
    summary = summarize(SegmentClass.LIVE, [TIME], 1, [], len(CONTENT))
    long = summary.encode().ljust(2032, b"\0")
    with refused(MalformedError, "malformed", device=1, seq=1):
        opened(account, crafted(account, summary, pad(CONTENT, 512, form=PLAIN), summary_plaintext=long))


def test_padding_and_summaries_of_a_hostile_author_are_refused(account: MadeAccount) -> None:
    """ENC-08, ENC-10"""
    summary = summarize(SegmentClass.LIVE, [TIME], 1, [], len(CONTENT))
    plaintext = pad(CONTENT, 512, form=PLAIN)
    with refused(MalformedError, "malformed", device=1, seq=1):
        opened(account, crafted(account, summary, plaintext[:-1] + b"\x01"))
    with refused(MalformedError, "malformed", device=1, seq=1):
        opened(account, crafted(account, summary, plaintext, summary_plaintext=summary.encode()[:-1] + b"\x01"))


@pytest.mark.parametrize("field", ["account", "device", "seq"])
def test_a_segment_moved_to_another_account_device_or_seq_is_refused(field: str) -> None:
    """SEG-01, SIG-03, KEY-05: transplanted as it is, and signed again by an author who has the same epoch."""
    account, other = MadeAccount(devices=2), MadeAccount(devices=2, seed="another")
    segment = account.seal(1)
    target = other if field == "account" else account
    author = 2 if field == "device" else 1
    seq = 2 if field == "seq" else 1
    moved = replace(segment, seq=Seq(seq))
    family = HistoryError if field == "seq" else AuthenticationError
    with refused(family, "replay" if field == "seq" else "signature", device=author, seq=seq):
        target.verified(author, moved)
    header = replace(
        account.verified(1, segment).header,
        device=DeviceId(author),
        seq=Seq(seq),
        previous=segment.header_id if seq == 2 else NO_ID,
    )
    resigned = replace(moved, header=sign_header(header, target.id, target.devices[author].signing))
    with refused(AuthenticationError, "commitment", device=author, seq=seq):
        verified = target.verified(author, resigned)
        open_segment(verified, target.id, account.epoch, summary=segment.summary, body=segment.body)


def test_a_segment_moved_to_another_epoch_is_refused() -> None:
    """KEY-05: its author cannot have it read under the next epoch's key either."""
    account = MadeAccount()
    segment = account.seal(1, take=False)
    account.change(device(1))
    header = replace(account.verified(1, segment).header, epoch=EpochNumber(2), roster=1)
    moved = replace(segment, header=sign_header(header, account.id, account.devices[1].signing))
    with refused(AuthenticationError, "commitment", device=1, seq=1):
        opened(account, moved)
