"""Attacks on files: on a device that reads back what it has put, and on one that is about to name it (spec §12.4)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Act, Attack, Found, Outcome
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f


def _stored(
    name: str, says: str, faults: Sequence[f.Fault], outcome: Outcome, routes: Collection[Route], act: Act = "prove"
) -> Attack:
    return Attack(name, says, "filed", lambda _: faults, outcome, victim="phone", act=act, routes=routes)


def _named(name: str, says: str, which: str, outcome: Outcome) -> Attack:
    return Attack(name, says, "filing", lambda _: [f.MissChunks(which)], outcome, routes=("append",))


FILES: Final = (
    *(
        _stored(f"chunk-{how}", says, [f.SpoilChunk(how)], Found("digest", 1, 5), ("chunk-get",))
        for how, says in (
            ("bit", "flips a bit of a chunk that the device has put"),
            ("short", "cuts a chunk short"),
            ("long", "adds a byte to a chunk"),
            ("empty", "gives nothing of a chunk"),
        )
    ),
    _stored(
        "chunk-lost",
        "has lost a chunk that the device has put",
        [f.Deny("not-found")],
        Found("missing", 1, 5),
        ("chunk-get",),
    ),
    _stored(
        "claim-none",
        "says that a chunk is not there which the device has put",
        [f.ClaimLie("none")],
        Found("missing", 1, 5),
        ("claim",),
        "verify",
    ),
    _stored(
        "claim-beyond",
        "says what is missing of more chunks than were asked for",
        [f.ClaimLie("beyond")],
        Found("malformed"),
        ("claim",),
        "verify",
    ),
    _stored(
        "claim-order",
        "names one missing chunk twice",
        [f.ClaimLie("order")],
        Found("malformed"),
        ("claim",),
        "verify",
    ),
    _named(
        "chunks-missing-again",
        "says again that it lacks a chunk which it has just said to have",
        "put",
        Found("missing", 2, 3),
    ),
    _named("chunks-missing-made-up", "lacks a chunk that the segment does not use", "made_up", Found("malformed")),
    _named("chunks-missing-none", "lacks chunks, and says not which", "none", Found("malformed")),
)
