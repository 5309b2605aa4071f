"""Faults of chunks: what is given of them, and what is said of those that are there (spec §12.4)."""

from __future__ import annotations

from dataclasses import replace

from sealkeep_conformance.relay._answers import Answer, ChunkAnswer, Claimed, Problem
from sealkeep_conformance.relay.faults._fault import Fault, Scene, fault, flipped
from sealkeep_protocol.primitives import sha256


@fault
class SpoilChunk(Fault):
    """Gives a chunk otherwise than it was put: one bit of it, cut short, longer, or nothing of it."""

    how: str
    routes = ("chunk-get",)

    def __post_init__(self) -> None:
        if self.how not in ("bit", "short", "long", "empty"):
            raise ValueError(f"a chunk is not spoilt so: {self.how!r}")

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if not isinstance(answer, ChunkAnswer):
            return answer
        data = answer.data
        spoilt = {"bit": flipped(data, 9), "short": data[:-1], "long": data + b"\0", "empty": b""}
        return replace(answer, data=spoilt[self.how])


@fault
class ClaimLie(Fault):
    """Says of claimed chunks that none is there, that all are, or what cannot be: one beyond the claim, or out of order."""

    how: str
    routes = ("claim",)

    def __post_init__(self) -> None:
        if self.how not in ("none", "all", "beyond", "order"):
            raise ValueError(f"nothing is said so of claims: {self.how!r}")

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if not isinstance(answer, Claimed):
            return answer
        missing = {"none": (0,), "all": (), "beyond": (1000,), "order": (0, 0)}
        return replace(answer, missing=missing[self.how])


@fault
class MissChunks(Fault):
    """Says of an append that it lacks chunks: all that were put, some that nobody named (`made_up`), or none (`none`)."""

    which: str = "put"
    routes = ("append",)

    def carries_out(self, scene: Scene) -> bool:
        return False

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        there = sorted(scene.ledger.chunks.stored) if scene.ledger is not None else []
        missing = {"put": tuple(there), "made_up": (sha256(b"a chunk that nobody put"),), "none": ()}
        return Problem("chunks-missing", missing=missing[self.which])
