"""What a relay answers (spec §8), as values that a fault can change before they are encoded, and the bytes they become."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from sealkeep_conformance.relay._ledger import Stored, Wrap
from sealkeep_protocol import cbor
from sealkeep_protocol.problems import PROBLEMS, TYPE_PREFIX

CBOR: Final = "application/cbor"
SEQUENCE: Final = "application/cbor-seq"
OCTETS: Final = "application/octet-stream"
PROBLEM: Final = "application/problem+json"

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes over the line. `pieces`, where given, are sent instead of `body`, at their own pace; with `cut`
    the connection breaks behind what was sent, and with `lost` before anything is."""

    status: int
    media: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    pieces: Callable[[], AsyncIterator[bytes]] | None = None
    cut: bool = False
    lost: bool = False


class Answer(Protocol):
    """One of the values below."""

    def reply(self) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem (§9.1); `refusal` is the signed statement that `epoch-stale` carries, `missing` are the ids of
    `chunks-missing`."""

    code: str
    refusal: bytes | None = None
    missing: tuple[bytes, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)

    def reply(self) -> Reply:
        # REL-01: "An error MUST be `application/problem+json` (RFC 9457) with a member `code` from §9.1, whoever raised
        # it."
        known = PROBLEMS[self.code]
        members: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": known.title,
            "status": known.status,
            "code": self.code,
        }
        if self.refusal is not None:
            members["refusal"] = base64.urlsafe_b64encode(self.refusal).rstrip(b"=").decode()
        if self.missing:
            members["missing"] = [chunk.hex() for chunk in self.missing]
        headers = {"WWW-Authenticate": "Bearer"} if known.status == 401 else {}
        return Reply(known.status, PROBLEM, json.dumps(members).encode(), {**headers, **self.headers})


@dataclass(frozen=True, slots=True)
class Info:
    """§8.1."""

    identity: bytes
    incarnation: bytes
    limits: Mapping[str, int]
    restored: cbor.Item | None = None  # key 7: the incarnation before, and when that was in ms (§11.5)

    def reply(self) -> Reply:
        value: dict[int, cbor.Item] = {
            1: [1],
            2: [1],
            3: self.identity,
            4: self.incarnation,
            5: dict(self.limits),
            6: [],
        }
        if self.restored is not None:
            value[7] = self.restored
        return Reply(200, CBOR, cbor.encode(value))


@dataclass(frozen=True, slots=True)
class Created:
    """§8.2: an account, and whether it was new."""

    account: bytes
    new: bool

    def reply(self) -> Reply:
        return Reply(201 if self.new else 200, CBOR, cbor.encode({1: self.account}))


@dataclass(frozen=True, slots=True)
class RosterPage:
    """§8.2: entries, and the number of the head."""

    entries: tuple[bytes, ...]
    head: int

    def reply(self) -> Reply:
        body = b"".join(map(cbor.encode, self.entries))
        return Reply(200, SEQUENCE, body, {"ETag": f'"{self.head}"'})


@dataclass(frozen=True, slots=True)
class Entered:
    """§8.2: a roster entry stands at its number, and whether it is new there."""

    number: int
    new: bool

    def reply(self) -> Reply:
        return Reply(201 if self.new else 200, CBOR, cbor.encode({1: self.number}))


@dataclass(frozen=True, slots=True)
class Wraps:
    """§8.2."""

    wraps: tuple[Wrap, ...]

    def reply(self) -> Reply:
        body = b"".join(cbor.encode([wrap.entry, wrap.recipient, wrap.wrap]) for wrap in self.wraps)
        return Reply(200, SEQUENCE, body)


@dataclass(frozen=True, slots=True)
class ChallengeAnswer:
    """§8.3: a signed challenge."""

    challenge: bytes

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode(self.challenge))


@dataclass(frozen=True, slots=True)
class Token:
    """§8.3."""

    text: str
    seconds: int

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode({1: self.text, 2: self.seconds}))


@dataclass(frozen=True, slots=True)
class MailboxMade:
    """§8.8: a mailbox's number, and the seconds that it lives."""

    number: int
    seconds: int

    def reply(self) -> Reply:
        return Reply(201, CBOR, cbor.encode({1: self.number, 2: self.seconds}))


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """§8.8: a message, or None where it is not there yet."""

    message: bytes | None

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode(self.message))


@dataclass(frozen=True, slots=True)
class Done:
    """An empty map: the store answers, a message was taken (201 where it is new), a mailbox is ended."""

    new: bool = False

    def reply(self) -> Reply:
        return Reply(201 if self.new else 200, CBOR, cbor.encode({}))


@dataclass(frozen=True, slots=True)
class Appended:
    """§8.4, §11.4: the feed's last seq (of copies: how many), and the receipts of the prefix that was taken.

    `taken` is that prefix, which is not sent.
    """

    last: int
    receipts: tuple[bytes, ...]
    taken: tuple[Stored, ...] = ()

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode({1: self.last, 2: list(self.receipts)}))


@dataclass(frozen=True, slots=True)
class Heads:
    """§8.5: the heads of the feeds as (device, seq, header id)."""

    incarnation: bytes
    position: int
    heads: tuple[tuple[int, int, bytes], ...]
    used: int
    allowed: int = 0

    def reply(self) -> Reply:
        heads = [list(head) for head in self.heads]
        value = {1: self.incarnation, 2: self.position, 3: heads, 4: self.used, 5: self.allowed}
        return Reply(200, CBOR, cbor.encode(value))


@dataclass(frozen=True, slots=True)
class Item:
    """§8.5: one segment on a page."""

    position: int
    device: int
    seq: int
    header: bytes
    summary: bytes | None
    body: bytes | None

    def with_part(self, part: str, data: bytes | None) -> Item:
        """The item with another `header`, `summary` or `body`."""
        changed: dict[str, Any] = {part: data}
        return replace(self, **changed)

    def encode(self) -> bytes:
        parts = [self.header, self.summary, self.body]
        return cbor.encode([1, self.position, self.device, self.seq, *parts])


@dataclass(frozen=True, slots=True)
class Page:
    """§8.5: a page and its trailer; an honest page has one."""

    items: tuple[Item, ...]
    position: int
    more: bool
    incarnation: bytes
    has_trailer: bool = True

    def reply(self) -> Reply:
        trailer = cbor.encode([0, self.position, self.more, self.incarnation])
        encoded = [item.encode() for item in self.items]
        return Reply(200, SEQUENCE, b"".join([*encoded, trailer] if self.has_trailer else encoded))


@dataclass(frozen=True, slots=True)
class Claimed:
    """§12.4: the indexes of chunks that are not there, and the seconds that the claim of the others lives."""

    missing: tuple[int, ...]
    seconds: int

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode({1: list(self.missing), 2: self.seconds}))


Span: TypeAlias = tuple[int, int] | None  # a slice of a chunk; None: all of it


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """§12.4: a chunk, or the span of it that was asked for, and its ETag."""

    data: bytes
    tag: str
    span: Span = None

    def reply(self) -> Reply:
        headers = {"ETag": self.tag, "Accept-Ranges": "bytes"}
        if self.span is None:
            return Reply(200, OCTETS, self.data, headers)
        start, stop = self.span
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(self.data)}"
        return Reply(206, OCTETS, self.data[start:stop], headers)


@dataclass(frozen=True, slots=True)
class ChunkIds:
    """§12.4: the ids that came with a segment."""

    ids: tuple[bytes, ...]

    def reply(self) -> Reply:
        return Reply(200, CBOR, cbor.encode(list(self.ids)))


@dataclass(frozen=True, slots=True)
class Proofs:
    """§12.5: answers to challenges, None where the bytes are not there, and the relay's signature over them."""

    answers: tuple[bytes | None, ...]
    signature: bytes

    def reply(self) -> Reply:
        return Reply(200, SEQUENCE, b"".join(map(cbor.encode, [*self.answers, self.signature])))
