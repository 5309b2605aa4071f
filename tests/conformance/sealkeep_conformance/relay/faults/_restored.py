"""Faults of a relay that says to be restored from a backup, and of one that is, and is repaired (spec §11.4, §11.5)."""

from __future__ import annotations

import secrets
from dataclasses import field, replace
from typing import Final

from sealkeep_conformance.relay._answers import Answer, Info
from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay.faults._fault import Fault, Scene, fault, flipped
from sealkeep_protocol import cbor
from sealkeep_protocol.types import AccountId

_LONG_AGO: Final = 1_700_000_000_000  # ms


@fault
class Swallow(Fault):
    """Takes what it is sent, answers and signs as if it stood there, and keeps none of it."""

    routes = ("append", "enter", "copy", "copy-roster")
    _kept: dict[AccountId, Ledger] = field(default_factory=dict, init=False, repr=False)

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        return self._kept.setdefault(ledger.account, ledger.copy())


@fault
class Words(Fault):
    """Says something else of its store than what is so: `stale` (that it was restored once, under the incarnation that it
    has had all along), `silent` (nothing, whatever its incarnation), `new` (that it was restored just now), `other` (that
    it was, from another incarnation every time it is asked), `malformed` (no incarnation and no time)."""

    how: str
    routes = ("info",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if not isinstance(answer, Info):
            return answer
        before = flipped(answer.incarnation, 0)
        restored: dict[str, cbor.Item | None] = {
            "stale": [before, _LONG_AGO],
            "silent": None,
            "new": [answer.incarnation, scene.relay.now()],
            "other": [secrets.token_bytes(16), _LONG_AGO],
            "malformed": ["yesterday", before],
        }
        incarnations = {"new": before, "other": secrets.token_bytes(16)}
        return replace(answer, incarnation=incarnations.get(self.how, answer.incarnation), restored=restored[self.how])
