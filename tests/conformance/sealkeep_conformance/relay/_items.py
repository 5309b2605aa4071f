"""What comes in the bodies of requests, taken apart by its shape alone (spec §8.4, §11.4, §12.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol import cbor
from sealkeep_protocol.fields import MAX_DEVICE
from sealkeep_protocol.files import CHALLENGE_SIZE, check_chunk_ids

MAX_PARTS: Final = 128  # of what is one object: an entry and a wrap for each of 65 recipients
MAX_CLAIMED: Final = 1000
MAX_PROVED: Final = 256
Target: TypeAlias = bytes | tuple[int, int]  # a chunk's id, or device and seq


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A segment on its way in; a header may come alone."""

    header: bytes
    summary: bytes | None = None
    body: bytes | None = None
    chunks: tuple[bytes, ...] = ()
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class Copied:
    """A roster entry, with a wrap or None for each of its digests."""

    entry: bytes
    wraps: tuple[bytes | None, ...]


def segment(item: cbor.Item) -> BatchItem:
    """An item of an append. Raises `ProblemError` (`malformed`), or `PeerError`."""
    if isinstance(item, list) and len(item) == 1 and isinstance(item[0], bytes):
        return BatchItem(item[0])
    if not isinstance(item, list) or len(item) not in (4, 5):
        raise ProblemError("malformed")
    header, summary, body, chunks, *missing_ok = item
    are_bytes = isinstance(header, bytes) and isinstance(summary, bytes) and isinstance(body, bytes)
    if not are_bytes or not isinstance(chunks, list) or any(said is not True for said in missing_ok):
        raise ProblemError("malformed")
    return BatchItem(header, summary, body, check_chunk_ids(chunks), missing_ok=bool(missing_ok))


def copied_segment(item: cbor.Item) -> tuple[int, BatchItem]:
    """A copied segment with the device whose it is. Raises `ProblemError` (`malformed`), or `PeerError`."""
    if not isinstance(item, list) or len(item) not in (5, 6):
        raise ProblemError("malformed")
    if type(item[0]) is not int or not 1 <= item[0] <= MAX_DEVICE:
        raise ProblemError("malformed")
    return item[0], segment(item[1:])


def copied_entry(item: cbor.Item) -> Copied:
    """A copied entry with its wraps, as far as they are there. Raises `ProblemError` (`malformed`)."""
    if isinstance(item, list) and len(item) == 2:
        entry, wraps = item
        are_wraps = isinstance(wraps, list) and all(wrap is None or isinstance(wrap, bytes) for wrap in wraps)
        if isinstance(entry, bytes) and are_wraps and len(wraps) <= MAX_PARTS:
            return Copied(entry, tuple(wraps))
    raise ProblemError("malformed")


@dataclass(frozen=True, slots=True)
class ProofsAsked:
    """Challenges and what they are over; `body` is the request as it came."""

    body: bytes
    wanted: tuple[tuple[bytes, Target], ...]

    @classmethod
    def of(cls, body: bytes) -> ProofsAsked:
        """Raises `ProblemError` (`malformed`, `too-large`), or `PeerError`."""
        asked = cbor.decode(body, limit=len(body), items=5 * MAX_PROVED + 1)
        if not isinstance(asked, list) or not asked:
            raise ProblemError("malformed")
        if len(asked) > MAX_PROVED:
            raise ProblemError("too-large")
        return cls(body, tuple(map(_asked, asked)))


def _asked(item: cbor.Item) -> tuple[bytes, Target]:
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], bytes) and len(item[0]) == CHALLENGE_SIZE:
        challenge, target = item
        if isinstance(target, bytes):
            return challenge, check_chunk_ids([target])[0]
        if isinstance(target, list) and len(target) == 2 and all(type(number) is int for number in target):
            return challenge, (target[0], target[1])
    raise ProblemError("malformed")


def claimed(body: bytes) -> tuple[bytes, ...]:
    """The ids of a claim. Raises `ProblemError` (`malformed`), or `PeerError`."""
    chunks = cbor.decode(body, limit=len(body), items=MAX_CLAIMED)
    if not isinstance(chunks, list) or not chunks:
        raise ProblemError("malformed")
    return check_chunk_ids(chunks, most=MAX_CLAIMED)
