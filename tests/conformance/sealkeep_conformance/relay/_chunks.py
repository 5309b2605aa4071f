"""The chunks of one account, with claims and stamps, as a relay keeps them (spec §12.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol.files import MAX_CHUNK, is_chunk_length
from sealkeep_protocol.primitives import sha256

CLAIM_SECONDS = 3600
STAMP_BYTES = 64
MISSING_NAMED = 1000
_IDLE_MS = 24 * 3600 * 1000


class MissingChunksError(ProblemError):
    """`chunks-missing`: which ones."""

    def __init__(self, missing: Sequence[bytes]) -> None:
        super().__init__("chunks-missing")
        self.missing = tuple(missing[:MISSING_NAMED])


@dataclass
class Chunks:
    """`stored` are the chunks by id, `stamps` the ids that each segment, by device and seq, came with; `claims` are the
    ends of claims, and `idle` the last claim or loss of a stamp of each chunk, in ms."""

    stored: dict[bytes, bytes] = field(default_factory=dict)
    stamps: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict)
    claims: dict[bytes, int] = field(default_factory=dict)
    idle: dict[bytes, int] = field(default_factory=dict)

    def copy(self) -> Chunks:
        return Chunks(self.stored.copy(), self.stamps.copy(), self.claims.copy(), self.idle.copy())

    @property
    def used(self) -> int:
        return sum(map(len, self.stored.values())) + STAMP_BYTES * sum(map(len, self.stamps.values()))

    def claim(self, chunks: Sequence[bytes], now: int) -> tuple[int, ...]:
        """Claim what is there; the indexes of what is not."""
        self.sweep(now)
        for chunk in chunks:
            if chunk in self.stored:
                self.claims[chunk] = max(self.claims.get(chunk, 0), now + CLAIM_SECONDS * 1000)
                self.idle[chunk] = max(self.idle.get(chunk, 0), now)
        return tuple(index for index, chunk in enumerate(chunks) if chunk not in self.stored)

    def put(self, chunk: bytes, data: bytes, now: int) -> bool:
        """Take a chunk; False where it is there already. Raises `ProblemError` (`too-large`, `invalid`)."""
        if len(data) > MAX_CHUNK:
            raise ProblemError("too-large")
        # FIL-01: "The length of a chunk MUST be 16 more than a bucket P of §2.3 with 240 ≤ P ≤ 1,048,576; …"
        # FIL-12: "A relay MUST answer a put only after it has compared the hash of all that came with the id, …"
        if not is_chunk_length(len(data)) or sha256(data) != chunk:
            raise ProblemError("invalid")
        new = self.stored.get(chunk) != data
        self.stored[chunk], self.idle[chunk] = data, now
        self.claim([chunk], now)
        return new

    def stamp(self, device: int, seq: int, chunks: Sequence[bytes], *, missing_ok: bool) -> None:
        """Check and stamp the chunks of a segment. Raises `MissingChunksError`."""
        missing = [chunk for chunk in chunks if chunk not in self.stored]
        if missing and not missing_ok:
            raise MissingChunksError(missing)
        self.stamps[device, seq] = tuple(chunks)

    def cut(self, pins: Mapping[int, int], now: int) -> None:
        """Take the stamps of the segments beyond these seqs of these devices' feeds."""
        for device, seq in [place for place in self.stamps if place[1] > pins.get(place[0], place[1])]:
            for chunk in self.stamps.pop((device, seq)):
                self.idle[chunk] = max(self.idle.get(chunk, 0), now)

    def sweep(self, now: int) -> None:
        """Erase what has had neither stamp nor claim for a day."""
        stamped = set(_flat(self.stamps.values()))
        for chunk in self.stored.keys() - stamped:
            if self.claims.get(chunk, 0) <= now and self.idle.get(chunk, 0) + _IDLE_MS <= now:
                del self.stored[chunk]


def _flat(stamps: Iterable[tuple[bytes, ...]]) -> Iterable[bytes]:
    return (chunk for chunks in stamps for chunk in chunks)
