"""Segment headers (spec §6.2): what stands signed on every segment, and what a relay can see of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.fields import (
    MAX_DEVICE,
    MAX_NUMBER,
    array,
    check_keys,
    check_suite,
    decode_map,
    octets,
    unsigned,
)
from sealkeep_protocol.files import MAX_CHUNKS, chunks_hash
from sealkeep_protocol.padding import check_bucket
from sealkeep_protocol.primitives import SUITE, SigningKey, sha256
from sealkeep_protocol.types import AccountId, DeviceId, EpochNumber, ObjectId, Seq

MAX_HEADER = 65_536
LIVE_SUMMARY, SUMMARY = 96, 2048  # lengths of the ciphertext
_CHUNKS = 20


class SegmentKind(IntEnum):
    """Kinds of segments (§6.2). This version reads and writes `RECORDS`; the others have their numbers."""

    RECORDS = 1
    RETIRE = 2
    SKIP = 3


class Head(NamedTuple):
    """The last segment of a feed that somebody has seen: device, seq, header id."""

    device: DeviceId
    seq: Seq
    header_id: ObjectId


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The decoded core of a header with the two digests: the SHA-256 of summary and body."""

    device: DeviceId
    seq: Seq
    kind: SegmentKind
    epoch: EpochNumber
    previous: ObjectId
    roster: int
    heads: tuple[Head, ...]
    view: bytes
    salt: bytes
    commitment: bytes
    summary_length: int
    body_length: int
    digests: tuple[bytes, ...] = ()
    chunks: bytes | None = None  # hash of the ids of the chunks that the segment uses (§12.4)

    def encode_core(self) -> bytes:
        """The deterministic CBOR of all fields but the digests. Signed, hashed and bound by both ciphertexts."""
        core: dict[int, cbor.Item] = {
            0: SUITE,
            1: self.device,
            2: self.seq,
            3: int(self.kind),
            4: self.epoch,
            5: self.previous,
            6: self.roster,
            7: [list(head) for head in self.heads],
            8: self.view,
            9: self.salt,
            10: self.commitment,
            11: [self.summary_length, self.body_length],
        }
        if self.chunks is not None:
            core[_CHUNKS] = self.chunks
        return cbor.encode(core)


@dataclass(frozen=True, slots=True)
class VerifiedHeader:
    """A header whose signature holds: its fields, its id, and the bytes that were signed."""

    header: SegmentHeader
    id: ObjectId
    core: bytes
    data: bytes


def view_hash(roster_head: bytes, heads: Iterable[Head]) -> bytes:
    """What an author has seen of the account (§6.2, field 8). Signed: it must not change."""
    ordered = [list(head) for head in sorted(heads)]
    return sha256(cbor.encode(["sealkeep/v1/view", roster_head, ordered]))


def sign_header(header: SegmentHeader, account: AccountId, key: SigningKey) -> bytes:
    """Sign a header; its digests are those of the sealed summary and body."""
    return signed.sign("segment", account, header.encode_core(), key, digests=header.digests)


def verify_header(data: bytes, *, account: AccountId, device: int, seq: int | None, key: bytes) -> VerifiedHeader:
    """Verify and decode the header that is offered for a device and seq (None where only the device is known).

    Raises `MalformedError`, `AuthenticationError` or `HistoryError` (`replay`), placed at device and seq.
    """
    try:
        identifier, payload = signed.verify(data, "segment", account, key, limit=MAX_HEADER)
        header = decode_header(payload)
    except (MalformedError, AuthenticationError) as error:
        error.at(device=device, seq=seq)
        raise
    # SEG-01: "A reader and a relay MUST refuse a header whose device and seq are not those of the address where it is
    # offered."
    if header.device != device or (seq is not None and header.seq != seq):
        raise HistoryError("replay", "the header belongs to another place", device=device, seq=seq)
    return VerifiedHeader(header, identifier, payload.core, data)


def decode_header(payload: signed.Payload) -> SegmentHeader:
    """Decode a header's core and digests. Raises `MalformedError`."""
    core = decode_map(payload.core, limit=signed.MAX_CORE, what="segment header")
    check_suite(core, what="segment header")
    kind = unsigned(core.get(3), "the segment's kind")
    if kind != SegmentKind.RECORDS:
        raise MalformedError("unsupported", "a segment of a kind that this version does not know")
    check_keys(core, range(12), (_CHUNKS,), what="segment header")
    signed.expect_digests(payload, 2)
    seq = unsigned(core[2], "a seq", minimum=1, maximum=MAX_NUMBER)
    summary_length, body_length = array(core[11], "the lengths", size=2)
    header = SegmentHeader(
        device=DeviceId(unsigned(core[1], "a device number", minimum=1, maximum=MAX_DEVICE)),
        seq=Seq(seq),
        kind=SegmentKind.RECORDS,
        epoch=EpochNumber(unsigned(core[4], "an epoch number", minimum=1, maximum=MAX_NUMBER)),
        previous=ObjectId(octets(core[5], "the id of the previous header", size=32 if seq > 1 else 0)),
        roster=unsigned(core[6], "a roster entry's number", maximum=MAX_NUMBER),
        heads=_decode_heads(core[7], core[1]),
        view=octets(core[8], "the view"),
        salt=octets(core[9], "the salt"),
        commitment=octets(core[10], "the commitment"),
        summary_length=unsigned(summary_length, "the summary's length"),
        body_length=unsigned(body_length, "the body's length"),
        digests=payload.digests,
        chunks=octets(core[_CHUNKS], "the hash of the chunks") if _CHUNKS in core else None,
    )
    if header.summary_length not in (LIVE_SUMMARY, SUMMARY):
        raise MalformedError("malformed", "a summary is 96 or 2,048 bytes long")
    check_bucket(header.body_length)
    return header


def _decode_heads(value: cbor.Item, author: int) -> tuple[Head, ...]:
    heads = []
    last = 0
    for item in array(value, "the heads"):
        device, seq, header_id = array(item, "a head", size=3)
        number = unsigned(device, "a head's device", minimum=last + 1, maximum=MAX_DEVICE)
        if number == author:
            raise MalformedError("malformed", "a header names its own feed among the others")
        heads.append(
            Head(
                DeviceId(number),
                Seq(unsigned(seq, "a head's seq", minimum=1, maximum=MAX_NUMBER)),
                ObjectId(octets(header_id, "a head's id")),
            )
        )
        last = number
    return tuple(heads)


def check_parts(header: SegmentHeader, *, summary: bytes | None, body: bytes | None) -> None:
    """Check ciphertexts, where given, against the header. Raises `AuthenticationError` (`digest`)."""
    # SEG-08: "A reader and a relay MUST refuse a summary or body whose length or hash is not the one in the header."
    for name, part, length, digest in (
        ("summary", summary, header.summary_length, header.digests[0]),
        ("body", body, header.body_length, header.digests[1]),
    ):
        if part is not None and (len(part) != length or sha256(part) != digest):
            raise AuthenticationError(
                "digest", f"the {name} is not the one that was signed", device=header.device, seq=header.seq
            )


def check_chunks(header: SegmentHeader, ids: Iterable[bytes]) -> None:
    """Whether a segment uses the chunks that its header says. Raises `AuthenticationError` (`digest`), placed."""
    # FIL-15: "A relay MUST refuse (`invalid`) an item, also of the copy route, whose ids are not those of field 20; a
    # reader that knows all ids of a body MUST report one whose header says other ones, as unreadable (SEG-22)."
    used = set(ids)
    if len(used) > MAX_CHUNKS or chunks_hash(used) != header.chunks:
        raise AuthenticationError(
            "digest", "the chunks are not the ones that were signed", device=header.device, seq=header.seq
        )
