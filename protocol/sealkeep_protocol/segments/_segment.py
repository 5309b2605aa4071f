"""Sealing and opening whole segments (spec §6.3–§6.4, §6.8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from sealkeep_protocol import sealing, signed
from sealkeep_protocol.errors import MalformedError, PeerError
from sealkeep_protocol.files import chunks_hash
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.padding import MAX_BODY, OVERHEAD, PLAIN, ZSTD, bucket, pad, unpad
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.segments._header import (
    Head,
    SegmentHeader,
    SegmentKind,
    VerifiedHeader,
    check_parts,
    sign_header,
    view_hash,
)
from sealkeep_protocol.segments._summary import SegmentClass, Summary, decode_summary
from sealkeep_protocol.types import AccountId, DeviceId, EpochNumber, ObjectId, Seq

MAX_PACKED = MAX_BODY - OVERHEAD  # bytes of (compressed) content that fit one body
_RECORDS, _PREVIEWS = frozenset(range(1, 6)), frozenset({6})  # tables (§7.1, §12.2, §12.3)


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """What goes to the relay: a signed header with its id, and the two ciphertexts."""

    seq: Seq
    header_id: ObjectId
    header: bytes
    summary: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Where an author stands: everything about a new header that does not come from its content."""

    account: AccountId
    device: DeviceId
    seq: Seq
    previous: ObjectId
    roster_number: int
    roster_head: ObjectId
    changed_heads: tuple[Head, ...]
    all_heads: tuple[Head, ...]


def body_length(packed: int, segment_class: SegmentClass, *, last: bool) -> int:
    """The ciphertext length for so much packed content (§6.3). `last`: the last history or preview segment of a run."""
    if segment_class in (SegmentClass.HISTORY, SegmentClass.PREVIEW) and not last:
        return MAX_BODY
    return bucket(packed)


def seal_segment(
    position: Position,
    epoch: EpochKeys,
    key: SigningKey,
    summary: Summary,
    packed: bytes,
    *,
    compressed: bool,
    salt: bytes,
    last: bool = True,
    chunks: Iterable[bytes] = (),
) -> SealedSegment:
    """Seal and sign one segment.

    `packed` is the body's content, compressed or not (at most `MAX_PACKED` bytes); `salt` is 32 fresh random bytes;
    `chunks` are the ids of those that the body's content records, and their lists, name (FIL-05). Raises `ValueError` for
    a compressed live segment, content that does not fit, or too many chunks.
    """
    if compressed and summary.segment_class is SegmentClass.LIVE:
        raise ValueError("a live segment is never compressed")
    length = body_length(len(packed), summary.segment_class, last=last)
    keys = sealing.sealing_keys(
        epoch.segment_key, "segment", [position.account, position.device, position.seq], salt, parts=2
    )
    header = SegmentHeader(
        device=position.device,
        seq=position.seq,
        kind=SegmentKind.RECORDS,
        epoch=EpochNumber(epoch.number),
        previous=position.previous,
        roster=position.roster_number,
        heads=position.changed_heads,
        view=view_hash(position.roster_head, position.all_heads),
        salt=salt,
        commitment=keys.commitment,
        summary_length=summary.ciphertext_length,
        body_length=length,
        chunks=chunks_hash(chunks),
    )
    binding = sha256(header.encode_core())
    sealed_summary = keys.seal(0, summary.encode(), binding)
    sealed_body = keys.seal(1, pad(packed, length, form=ZSTD if compressed else PLAIN), binding)
    header = replace(header, digests=(sha256(sealed_summary), sha256(sealed_body)))
    data = sign_header(header, position.account, key)
    return SealedSegment(position.seq, header_identifier(data, position.account), data, sealed_summary, sealed_body)


def header_identifier(data: bytes, account: AccountId) -> ObjectId:
    """The id of a header that this device signed itself."""
    return signed.object_id("segment", account, signed.split(data)[0])


@dataclass(frozen=True, slots=True)
class OpenedSegment:
    """A segment's summary and, where the body was there, its content: the CBOR of §7.1, still to be decoded."""

    summary: Summary
    content: bytes | None


def open_segment(
    verified: VerifiedHeader, account: AccountId, epoch: EpochKeys, *, summary: bytes, body: bytes | None
) -> OpenedSegment:
    """Open the ciphertexts of a verified header in the order of §6.8.

    Raises `AuthenticationError` (`digest`, `commitment`, `ciphertext`) or `MalformedError`, placed at device and seq.
    """
    header = verified.header
    try:
        check_parts(header, summary=summary, body=body)
        keys = sealing.opening_keys(
            epoch.segment_key,
            "segment",
            [account, header.device, header.seq],
            header.salt,
            header.commitment,
            parts=2,
        )
        binding = sha256(verified.core)
        opened = decode_summary(keys.open(0, summary, binding))
        if opened.ciphertext_length != header.summary_length:
            raise MalformedError("malformed", "the summary's length is not that of its class")
        if body is None:
            return OpenedSegment(opened, None)
        is_live = opened.segment_class is SegmentClass.LIVE
        content = unpad(keys.open(1, body, binding), compressed_allowed=not is_live)
        # SEG-11: "A reader MUST refuse a segment whose summary disagrees with its body in the number of records, the time
        # span or the length of the content."
        if len(content) != opened.content_length:
            raise MalformedError("malformed", "the summary disagrees with the body")
    except PeerError as error:
        error.at(device=header.device, seq=header.seq)
        raise
    return OpenedSegment(opened, content)


def check_content(
    opened: OpenedSegment,
    records: int,
    times: Iterable[int],
    *,
    header: SegmentHeader,
    tables: Collection[int],
    newest_epoch: int,
) -> None:
    """What a segment's content must be by its header and summary, once it is decoded.

    `records` counts those of all tables, `times` are those of its messages, `tables` the numbers of its tables, and
    `newest_epoch` is the greatest that a content record of it names, 0 where it has none. Raises `MalformedError`, placed.
    """
    spread = list(times) or [0]
    span = (opened.summary.first, opened.summary.last)
    wrong = ""
    # SEG-11: "A reader MUST refuse a segment whose summary disagrees with its body in the number of records, the time span
    # or the length of the content."
    if opened.summary.records != records or span != (min(spread), max(spread)):
        wrong = "the summary disagrees with the body"
    # FIL-06: "A reader MUST take a body as unreadable (SEG-22) that holds a content record … whose epoch is … above that of
    # the header, …"
    if newest_epoch > header.epoch:
        wrong = "a content record of a later epoch than its segment's"
    # FIL-09: "A reader MUST take as unreadable (SEG-22) a `preview` segment … that holds any of the tables 1 to 5, and a
    # segment of another class that holds table 6."
    is_preview = opened.summary.segment_class is SegmentClass.PREVIEW
    if not (_RECORDS if is_preview else _PREVIEWS).isdisjoint(tables):
        wrong = "previews stand in segments of their own"
    if wrong:
        raise MalformedError("malformed", wrong, device=header.device, seq=header.seq)
