"""What a relay answers (spec §8), decoded strictly; a wrong answer is a broken line or a lie, never an empty result."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError, RefusedError, TransportError
from sealkeep_protocol.fields import array, octets, unsigned
from sealkeep_protocol.files import check_chunk_ids
from sealkeep_protocol.mailboxes import MAX_MESSAGE, MAX_NUMBER, MAX_SECONDS
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.problems import PROBLEMS, TYPE_PREFIX
from sealkeep_protocol.segments import Head
from sealkeep_protocol.statements import INCARNATION_SIZE
from sealkeep_protocol.types import DeviceId, ObjectId, Seq

SEGMENT_ITEM, TRAILER = 1, 0
MAX_ANSWER = 1 << 20
MAX_ITEM = 400_000  # a page item: header, summary and body
MAX_CLAIMED = 1_000
"""Ids in one claim, and in a problem."""
_SECONDS = re.compile(r"[0-9]{1,9}")
_CHUNK_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """What a relay says of itself (§8.1)."""

    identity: bytes
    incarnation: bytes
    limits: dict[str, int]
    restored: int | None = None  # when it was restored from a backup, ms since 1970, where it says so (§11.5)


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of an account's feeds as the relay has them (§8.5); `allowed` bytes 0: no limit."""

    incarnation: bytes
    position: int
    heads: tuple[Head, ...]
    used: int
    allowed: int


@dataclass(frozen=True, slots=True)
class PageItem:
    """One segment as it stands on a page; nothing is verified yet."""

    position: int
    device: int
    seq: int
    header: bytes
    summary: bytes | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Trailer:
    """The end of a page: where to go on, whether there is more, and the relay's incarnation."""

    position: int
    more: bool
    incarnation: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A page with its trailer: where to go on, whether there is more, and the relay's incarnation."""

    items: tuple[PageItem, ...]
    position: int
    more: bool
    incarnation: bytes


@dataclass(frozen=True, slots=True)
class Wrap:
    """A wrap with the number of its roster entry and its recipient."""

    entry: int
    recipient: int
    wrap: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """The committed prefix of a batch: the feed's last seq, and a receipt for each segment of the prefix."""

    last: int
    receipts: tuple[bytes, ...]


def _map(data: bytes, keys: Sequence[int]) -> dict[int, cbor.Item]:
    value = cbor.decode(data, limit=MAX_ANSWER)
    # ENC-11: "A client MUST ignore keys that it does not know in the maps that a relay answers with."
    if not isinstance(value, dict) or not all(key in value for key in keys):
        raise MalformedError("malformed", "the relay's answer lacks a field")
    return value


def decode_info(data: bytes) -> RelayInfo:
    """Raises `MalformedError`, `unsupported` where no common version is left."""
    value = _map(data, (1, 2, 3, 4, 5))
    if 1 not in array(value[1], "the versions") or 1 not in array(value[2], "the suites"):
        raise MalformedError("unsupported", "the relay speaks another version of the protocol")
    limits = value[5]
    if not isinstance(limits, dict):
        raise MalformedError("malformed", "the limits are a map")
    return RelayInfo(
        octets(value[3], "the identity", size=KEY_SIZE),
        octets(value[4], "the incarnation", size=INCARNATION_SIZE),
        {name: unsigned(limit, "a limit") for name, limit in limits.items() if isinstance(name, str)},
        None if 7 not in value else unsigned(array(value[7], "a restoring", size=2)[1], "the time of a restoring"),
    )


def decode_account(data: bytes) -> bytes:
    return octets(_map(data, (1,))[1], "the account id")


def decode_token(data: bytes) -> tuple[str, int]:
    """The token and the seconds until it expires."""
    value = _map(data, (1, 2))
    token = value[1]
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not 0 < len(token) <= 4096:
        raise MalformedError("malformed", "the token is not one")
    return token, unsigned(value[2], "the token's time")


def decode_challenge(data: bytes) -> bytes:
    challenge = cbor.decode(data, limit=MAX_ANSWER)
    if not isinstance(challenge, bytes):
        raise MalformedError("malformed", "a challenge is a byte string")
    return challenge


def decode_mailbox(data: bytes) -> tuple[int, int]:
    """A new mailbox's number, and the seconds that it lives."""
    value = _map(data, (1, 2))
    return (
        unsigned(value[1], "a mailbox's number", minimum=1, maximum=MAX_NUMBER),
        unsigned(value[2], "a mailbox's time", minimum=1, maximum=MAX_SECONDS),
    )


def decode_message(data: bytes) -> bytes | None:
    """A message of a mailbox; None where it is not there yet."""
    message = cbor.decode(data, limit=MAX_ANSWER)
    if message is not None and (not isinstance(message, bytes) or len(message) > MAX_MESSAGE):
        raise MalformedError("malformed", "a mailbox message is a byte string")
    return message


def decode_heads(data: bytes) -> Heads:
    value = _map(data, (1, 2, 3, 4, 5))
    heads = []
    for item in array(value[3], "the heads"):
        device, seq, header_id = array(item, "a head", size=3)
        heads.append(
            Head(
                DeviceId(unsigned(device, "a head's device", minimum=1)),
                Seq(unsigned(seq, "a head's seq", minimum=1)),
                ObjectId(octets(header_id, "a head's id")),
            )
        )
    if len({head.device for head in heads}) < len(heads):
        raise MalformedError("malformed", "the heads name a device twice")
    return Heads(
        octets(value[1], "the incarnation", size=INCARNATION_SIZE),
        unsigned(value[2], "the position"),
        tuple(heads),
        unsigned(value[4], "the used bytes"),
        unsigned(value[5], "the allowed bytes"),
    )


def decode_appended(data: bytes) -> Appended:
    value = _map(data, (1, 2))
    receipts = array(value[2], "the receipts")
    if not all(isinstance(receipt, bytes) for receipt in receipts):
        raise MalformedError("malformed", "a receipt is a byte string")
    return Appended(unsigned(value[1], "the last seq"), tuple(receipts))


def decode_wrap(item: cbor.Item) -> Wrap:
    entry, recipient, wrap = array(item, "a wrap", size=3)
    if not isinstance(wrap, bytes):
        raise MalformedError("malformed", "a wrap is a byte string")
    return Wrap(unsigned(entry, "a wrap's entry"), unsigned(recipient, "a wrap's recipient"), wrap)


def decode_page_item(item: cbor.Item) -> PageItem | Trailer:
    """One item of a page, or what ends it. Raises `MalformedError`."""
    kind = unsigned(array(item, "a page item", empty=False)[0], "the kind of a page item")
    if kind == TRAILER:
        _, position, more, incarnation = array(item, "a trailer", size=4)
        if not isinstance(more, bool):
            raise MalformedError("malformed", "a trailer says whether there is more")
        return Trailer(
            unsigned(position, "a position"), more, octets(incarnation, "the incarnation", size=INCARNATION_SIZE)
        )
    if kind != SEGMENT_ITEM:
        raise MalformedError("unsupported", "a page holds an item of a kind that this version does not know")
    _, position, device, seq, header, summary, body = array(item, "a page item", size=7)
    for part in (header, summary, body):
        if part is not None and not isinstance(part, bytes):
            raise MalformedError("malformed", "the parts of a page item are byte strings")
    if header is None:
        raise MalformedError("malformed", "a page item without a header")
    return PageItem(
        unsigned(position, "a position"),
        unsigned(device, "a device number", minimum=1),
        unsigned(seq, "a seq", minimum=1),
        header,
        summary,
        body,
    )


def make_page(parts: Sequence[PageItem | Trailer]) -> Page:
    """The page that ends with its trailer. Raises `TransportError` where it is cut short, or `MalformedError`."""
    # REL-10: "A client MUST treat a page without its trailer as cut short, and use a cursor only as a hint: what it has
    # verified decides."
    items = tuple(part for part in parts if isinstance(part, PageItem))
    if not parts or not isinstance(trailer := parts[-1], Trailer):
        raise TransportError("the relay's answer was cut short")
    if len(items) != len(parts) - 1:
        raise MalformedError("malformed", "a page goes on behind its trailer")
    return Page(items, trailer.position, trailer.more, trailer.incarnation)


class EpochStaleError(RefusedError):
    """The roster has moved on (`epoch-stale`); `refusal` is the signed statement, still to be verified."""

    def __init__(self, refusal: bytes, *, status: int) -> None:
        super().__init__("epoch-stale", "the account's keys were renewed meanwhile", status=status)
        self.refusal = refusal


class ChunksMissingError(RefusedError):
    """Chunks of the first segment of an append are not at the relay (`chunks-missing`): `missing` are ids of some."""

    def __init__(self, missing: Sequence[bytes], *, status: int) -> None:
        super().__init__("chunks-missing", "the relay lacks chunks of a file that is to be sent", status=status)
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    """A problem that the relay answered with (§9.1), with the members that the protocol gives a meaning."""

    error: RefusedError
    refusal: str | None
    missing: tuple[bytes, ...] = ()


def decode_problem(status: int, data: bytes, retry_after: str = "") -> ProblemAnswer:
    """Decode `application/problem+json`, with the header `Retry-After` in seconds, where there is one.

    Raises `TransportError` for anything else than a problem of §9.1.
    """
    # ERR-01: "A client MUST take an answer that is not one of these problems, not the expected media type, or cut short,
    # as a broken line (retryable), never as an empty result. A well-formed problem with a code that it does not know is
    # final with a status below 500."
    try:
        problem = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TransportError(f"the relay answered with status {status} and no readable problem") from error
    code = problem.get("code") if isinstance(problem, dict) else None
    if not isinstance(code, str) or problem.get("type") != TYPE_PREFIX + code:
        raise TransportError(f"the relay answered with status {status} and no readable problem")
    if code not in PROBLEMS:
        unknown = RefusedError(
            "unknown", f"the relay refused (status {status})", status=status, retryable=status >= 500
        )
        return ProblemAnswer(unknown, None)
    # The relay's own words are not shown: they are a peer's input.
    known = PROBLEMS[code]
    title = known.title[0].lower() + known.title[1:].rstrip(".")
    wait = float(retry_after) if _SECONDS.fullmatch(retry_after) else None  # a date is nothing that this relay sends
    refused = RefusedError(
        code, f"the relay refused: {title}", status=status, retryable=known.retryable, retry_after=wait
    )
    refusal = problem.get("refusal")
    return ProblemAnswer(
        refused,
        refusal if isinstance(refusal, str) and len(refusal) <= 4096 else None,
        _missing(problem.get("missing")),
    )


def _missing(value: object) -> tuple[bytes, ...]:
    """The chunks that a problem names. Raises `MalformedError` for more than it may, or what is no id."""
    names = value if isinstance(value, list) else []
    if len(names) > MAX_CLAIMED or not all(isinstance(name, str) and _CHUNK_ID.fullmatch(name) for name in names):
        raise MalformedError("malformed", "the relay names missing chunks that are none")
    return tuple(dict.fromkeys(map(bytes.fromhex, names)))


def decode_claims(data: bytes, claimed: int) -> list[int]:
    """The indexes, among so many ids that were claimed, of the chunks that the relay does not have (§12.4)."""
    indexes = [
        unsigned(index, "an index of a chunk", maximum=claimed - 1)
        for index in array(_map(data, (1, 2))[1], "the missing chunks")
    ]
    if any(a >= b for a, b in pairwise(indexes)):
        raise MalformedError("malformed", "the relay names missing chunks out of order")
    return indexes


def decode_chunk_ids(data: bytes) -> tuple[bytes, ...]:
    """The ids that came with a segment, ascending (§12.4)."""
    ids = cbor.decode(data, limit=MAX_ANSWER)
    return check_chunk_ids(array(ids, "the ids of chunks"))
