"""Accounts, devices and segments made with the protocol package alone, and plain HTTP to put them to a relay.

It checks nothing that it is answered: tests of the relay look at every byte themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from sealkeep_protocol import cbor
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import (
    Composed,
    Removal,
    Roster,
    Signer,
    compose_change,
    compose_close,
    compose_genesis,
)
from sealkeep_protocol.segments import Position, SealedSegment, SegmentClass, Summary, seal_segment
from sealkeep_protocol.sequence import SequenceReader
from sealkeep_protocol.statements import sign_login, verify_challenge
from sealkeep_protocol.types import NO_ID, AccountId, DeviceId, ObjectId, Seq

CBOR = "application/cbor"
SEQUENCE = "application/cbor-seq"
OCTETS = "application/octet-stream"


@dataclass
class Owner:
    """One person's account: recovery keys, devices by number, epochs, and the roster as its devices last saw it."""

    recovery: PrivateKeys = field(default_factory=lambda: PrivateKeys.of_recovery(os.urandom(32)))
    devices: dict[int, Author] = field(default_factory=dict)
    epochs: list[EpochKeys] = field(default_factory=list)
    roster: Roster = field(init=False)
    genesis: Composed = field(init=False)

    def __post_init__(self) -> None:
        keys = new_keys()
        self.genesis = compose_genesis(keys, "phone", self.recovery, random=os.urandom, time=1)
        self._took(self.genesis)
        self.devices[1] = Author(self, 1, keys)

    @property
    def account(self) -> AccountId:
        return self.roster.account

    @property
    def device(self) -> Author:
        return self.devices[1]

    def change(
        self,
        *,
        by: Signer | None = None,
        added: Iterable[PrivateKeys] = (),
        removed: Iterable[Removal] = (),
        recovery: PrivateKeys | None = None,
        reclaim: bool = False,
        take: bool = True,
    ) -> Composed:
        """Compose an entry, by device 1 unless said otherwise. With `take` the owner goes on from it."""
        by = by or Signer.device(1)
        keys = self.recovery if by.is_recovery else self.devices[by.number].keys
        added = list(added)
        composed = compose_change(
            self.roster,
            by,
            keys.signing,
            self.epochs,
            random=os.urandom,
            added=[(record.record((1, self.account)), "tablet") for record in added],
            removed=list(removed),
            recovery=recovery.record((1, self.account)) if recovery else None,
            reclaim=reclaim,
        )
        if take:
            for number, record in enumerate(added, start=len(self.roster.devices) + 1):
                self.devices[number] = Author(self, number, record)
            self._took(composed)
            self.recovery = recovery or self.recovery
        return composed

    def close(self) -> bytes:
        return compose_close(self.roster, 0, self.recovery.signing)

    def _took(self, composed: Composed) -> None:
        self.roster = composed.roster
        self.epochs.append(composed.keys)


@dataclass
class Author:
    """A device that seals segments of its feed, one after the other."""

    owner: Owner
    number: int
    keys: PrivateKeys
    seq: int = 0
    head: ObjectId = NO_ID

    @property
    def signer(self) -> Signer:
        return Signer.device(self.number)

    def seal(
        self,
        size: int = 200,
        *,
        seq: int | None = None,
        previous: ObjectId | None = None,
        roster: int | None = None,
        epoch: EpochKeys | None = None,
        device: int | None = None,
        chunks: Iterable[bytes] = (),
        take: bool = True,
    ) -> SealedSegment:
        """Seal `size` bytes of noise as the next segment, which uses these chunks, or with what is said otherwise."""
        known = self.owner.roster
        number = known.number if roster is None else roster
        position = Position(
            account=self.owner.account,
            device=DeviceId(device or self.number),
            seq=Seq(self.seq + 1 if seq is None else seq),
            previous=self.head if previous is None else previous,
            roster_number=number,
            roster_head=known.entry_ids[min(number, known.number)],
            changed_heads=(),
            all_heads=(),
        )
        kind = SegmentClass.LIVE if size < 2000 else SegmentClass.HISTORY
        segment = seal_segment(
            position,
            epoch or self.owner.epochs[-1],
            self.keys.signing,
            Summary(kind, 0, 0, 1, (), False, size),
            os.urandom(size),
            compressed=False,
            salt=os.urandom(32),
            chunks=chunks,
        )
        if take:
            self.seq, self.head = segment.seq, segment.header_id
        return segment


def item(segment: SealedSegment, chunks: Iterable[bytes] = (), *, missing_ok: bool = False) -> bytes:
    """A segment as an item of a batch (§8.4)."""
    ids = sorted(chunks)
    return cbor.encode([segment.header, segment.summary, segment.body, ids, *([True] if missing_ok else [])])


def batch(segments: Iterable[SealedSegment]) -> bytes:
    return b"".join(map(item, segments))


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The problem's code; None for an answer that is no problem."""
        return self.problem["code"] if self.headers["Content-Type"] == "application/problem+json" else None

    @property
    def problem(self) -> dict[str, Any]:
        problem: dict[str, Any] = json.loads(self.body)
        return problem

    @property
    def value(self) -> cbor.Item:
        assert self.headers["Content-Type"] == CBOR, self
        return cbor.decode(self.body, limit=1 << 30)

    @property
    def items(self) -> list[cbor.Item]:
        """Of a sequence."""
        assert self.headers["Content-Type"] == SEQUENCE, self
        reader = SequenceReader(limit=1 << 24)
        items = reader.feed(self.body)
        reader.finish()
        return items


class Segment(NamedTuple):
    """An item of a page (§8.5)."""

    position: int
    device: int
    seq: int
    header: bytes
    summary: bytes | None
    body: bytes | None


class Page(NamedTuple):
    """A page, and its trailer."""

    segments: list[Segment]
    position: int
    more: bool
    incarnation: bytes

    @classmethod
    def of(cls, answer: Answer) -> Page:
        *items, trailer = answer.items
        assert all(item[0] == 1 for item in items)
        assert trailer[0] == 0
        return cls([Segment(*item[1:]) for item in items], *trailer[1:])


class RelayClient:
    """Requests to one relay. Use as an async context manager."""

    def __init__(self, url: str, identity: bytes) -> None:
        self.url = url
        self.identity = identity
        self._http: aiohttp.ClientSession | None = None
        self.tokens: dict[tuple[AccountId, Signer], str] = {}

    async def __aenter__(self) -> RelayClient:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.close()

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Any request; the media type is CBOR where there is a body and nothing else is said (`content_type=`)."""
        assert self._http is not None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            is_sequence = path.endswith(("/segments", "/copies", "/copies/roster"))
            media = OCTETS if "/chunks/" in path else SEQUENCE if is_sequence else CBOR
            named.setdefault("content-type", media)
        async with self._http.request(method, self.url + path, data=body, headers=named) as response:
            return Answer(response.status, response.headers, await response.read())

    def path(self, owner: Owner, rest: str) -> str:
        return f"/v1/accounts/{owner.account.hex()}/{rest}"

    async def create(self, owner: Owner) -> Answer:
        return await self.post_entry("/v1/accounts", owner.genesis.entry, owner.genesis.wraps)

    async def post_entry(self, path: str, entry: bytes, wraps: Iterable[bytes] = (), **headers: str) -> Answer:
        return await self.request("POST", path, cbor.encode([entry, list(wraps)]), **headers)

    async def change(self, owner: Owner, entry: bytes, wraps: Iterable[bytes], after: int) -> Answer:
        return await self.post_entry(self.path(owner, "roster"), entry, wraps, if_match=f'"{after}"')

    async def challenge(self, owner: Owner, signer: Signer) -> Answer:
        return await self.request("POST", self.path(owner, "challenge"), cbor.encode(list(signer)))

    async def login(self, owner: Owner, signer: Signer, keys: PrivateKeys) -> Answer:
        challenge = (await self.challenge(owner, signer)).value
        challenge_id, _ = verify_challenge(challenge, owner.account, self.identity)
        login = sign_login(challenge_id, self.identity, owner.account, keys.signing)
        return await self.request("POST", self.path(owner, "token"), cbor.encode([challenge, login]))

    async def token(self, author: Author) -> str:
        """The device's token; asked for once."""
        key = (author.owner.account, author.signer)
        if key not in self.tokens:
            self.tokens[key] = (await self.login(author.owner, author.signer, author.keys)).value[1]
        return self.tokens[key]

    async def as_device(self, author: Author, method: str, rest: str, body: Any = None, **headers: str) -> Answer:
        authorization = f"Bearer {await self.token(author)}"
        path = self.path(author.owner, rest)
        return await self.request(method, path, body, authorization=authorization, **headers)

    async def append(self, author: Author, *segments: SealedSegment) -> Answer:
        return await self.as_device(author, "POST", "segments", batch(segments))

    async def append_using(
        self, author: Author, segment: SealedSegment, chunks: Iterable[bytes], *, missing_ok: bool = False
    ) -> Answer:
        """Append one segment with the ids of its chunks."""
        return await self.as_device(author, "POST", "segments", item(segment, chunks, missing_ok=missing_ok))

    async def claim(self, author: Author, *chunks: bytes) -> Answer:
        return await self.as_device(author, "POST", "claims", cbor.encode(sorted(chunks)))

    async def put(self, author: Author, data: Any, chunk: bytes | None = None, **headers: str) -> Answer:
        """Put a chunk, under its own id where none is given."""
        chunk = sha256(data) if chunk is None else chunk
        return await self.as_device(author, "PUT", f"chunks/{chunk.hex()}", data, **headers)

    async def chunk(self, author: Author, chunk: bytes, **headers: str) -> Answer:
        return await self.as_device(author, "GET", f"chunks/{chunk.hex()}", **headers)

    async def prove(self, author: Author, *asked: tuple[bytes, bytes | tuple[int, int]]) -> Answer:
        body = cbor.encode([[challenge, target] for challenge, target in asked])
        return await self.as_device(author, "POST", "proofs", body)

    async def copy(self, sender: Author, *copies: tuple[Author, SealedSegment]) -> Answer:
        """Copy segments of any authors."""
        items = (cbor.encode([a.number, s.header, s.summary, s.body, []]) for a, s in copies)
        return await self.as_device(sender, "POST", "copies", b"".join(items))

    async def copy_roster(self, owner: Owner, *items: tuple[bytes, Iterable[bytes | None]]) -> Answer:
        body = b"".join(cbor.encode([entry, list(wraps)]) for entry, wraps in items)
        return await self.request("POST", self.path(owner, "copies/roster"), body)

    async def page(self, author: Author, after: int = 0, parts: str = "bodies", more: str = "") -> Page:
        return Page.of(await self.changes(author, after, parts, more))

    async def changes(self, author: Author, after: int = 0, parts: str = "bodies", more: str = "") -> Answer:
        return await self.as_device(author, "GET", f"changes?after={after}&parts={parts}{more}")


def new_keys() -> PrivateKeys:
    return PrivateKeys(os.urandom(32), os.urandom(32))
