"""The hostile relay: a real HTTP server over memory that keeps spec §8 to the letter, and breaks it where it is told to.

`HostileRelay` runs one in this process; `python -m sealkeep_conformance.relay` runs one by itself, prints a JSON line with
its addresses, and is told what to do over its control interface (see `_control`).
"""

from sealkeep_conformance.relay import faults
from sealkeep_conformance.relay._honest import Limits
from sealkeep_conformance.relay._hostile import Snapshot
from sealkeep_conformance.relay._ledger import Ledger, Stored, Wrap
from sealkeep_conformance.relay._question import ROUTES, Question, Route
from sealkeep_conformance.relay._scope import Asked, Scope
from sealkeep_conformance.relay._server import HostileRelay

__all__ = [
    "ROUTES",
    "Asked",
    "HostileRelay",
    "Ledger",
    "Limits",
    "Question",
    "Route",
    "Scope",
    "Snapshot",
    "Stored",
    "Wrap",
    "faults",
]
