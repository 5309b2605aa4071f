"""The chunks of a relay in memory (spec §12.4, §12.5): what the actions of a client ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sealkeep_client.answers import ChunksMissingError
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import RefusedError
from sealkeep_protocol.files import is_chunk_length, prove
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_protocol.statements import Proof
from sealkeep_protocol.types import AccountId

Target: TypeAlias = bytes | tuple[int, int]  # a chunk's id, or device and seq


def refusal_of(code: str) -> RefusedError:
    """A problem as the transport raises it."""
    problem = PROBLEMS[code]
    return RefusedError(code, problem.title, status=problem.status, retryable=problem.retryable)


@dataclass
class MemoryChunks:
    """`stored` are the chunks by id, `stamps` the ids that each segment came with, by device and seq.

    Methods raise what the transport does.
    """

    stored: dict[bytes, bytes] = field(default_factory=dict)
    stamps: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict)

    def claim(self, chunks: Sequence[bytes]) -> tuple[int, ...]:
        """The indexes of those that are not there."""
        return tuple(index for index, chunk in enumerate(chunks) if chunk not in self.stored)

    def put(self, chunk: bytes, data: bytes) -> bool:
        """Take a chunk; False where it is there already."""
        if not is_chunk_length(len(data)) or sha256(data) != chunk:
            raise refusal_of("invalid")
        new = chunk not in self.stored
        self.stored[chunk] = data
        return new

    def read(self, chunk: bytes) -> bytes:
        if chunk not in self.stored:
            raise refusal_of("not-found")
        return self.stored[chunk]

    def of(self, device: int, seq: int) -> tuple[bytes, ...]:
        """The ids that came with a segment."""
        if (device, seq) not in self.stamps:
            raise refusal_of("not-found")
        return self.stamps[device, seq]

    def stamp(self, device: int, seq: int, chunks: Sequence[bytes], *, missing_ok: bool) -> None:
        missing = [chunks[index] for index in self.claim(chunks)]
        if missing and not missing_ok:
            raise ChunksMissingError(missing, status=409)
        self.stamps[device, seq] = tuple(chunks)

    def cut(self, pins: Mapping[int, int]) -> None:
        """Forget the stamps of segments beyond these seqs of these devices' feeds."""
        self.stamps = {place: ids for place, ids in self.stamps.items() if place[1] <= pins.get(place[0], place[1])}

    def prove(
        self,
        request: bytes,
        asked: Sequence[tuple[bytes, Target]],
        parts: Callable[[int, int], tuple[bytes, ...] | None],
        *,
        account: AccountId,
        key: SigningKey,
        incarnation: bytes,
    ) -> list[bytes | None]:
        """The answers to challenges, and the signature over them. `request` is the body by which they are asked, `parts`
        gives summary and body of a segment."""
        answers: list[bytes | None] = []
        for challenge, target in asked:
            chunk = (self.stored[target],) if isinstance(target, bytes) and target in self.stored else None
            found = parts(*target) if isinstance(target, tuple) else chunk
            answers.append(None if found is None else prove(challenge, *found))
        proof = Proof(sha256(request), sha256(b"".join(map(cbor.encode, answers))), incarnation)
        return [*answers, proof.sign(account, key)]
