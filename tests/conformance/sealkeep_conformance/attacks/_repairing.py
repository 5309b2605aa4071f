"""Attacks on a device that repairs a relay which was restored from a backup, or says so (spec §11.4, §11.5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Attack, Broken, Facts, Found, Harmless, Outcome, Refused
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f

_COPYING: Final = ("copy", "copy-roster")
_READS: Final = ("roster", "heads", "changes", "feed")


def _repairing(
    name: str,
    says: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    stage: str = "lost",
    victim: str = "laptop",
    routes: Collection[Route] | None = None,
    confirms: Collection[Route] = (),
) -> Attack:
    return Attack(name, says, stage, faults, outcome, victim=victim, act="repair", routes=routes, confirms=confirms)


_COPIES: Final = (
    *(
        _repairing(
            f"repair-copies-{code}",
            f"refuses the copies with `{code}`",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            outcome,
            routes=("copy",),
            confirms=("roster",) if code == "revoked" else (),
        )
        for code, outcome in (
            ("invalid", Refused("invalid")),
            ("quota", Refused("quota")),
            ("pinned", Refused("pinned")),
            ("roster-conflict", Refused("roster-conflict")),
            ("busy", Refused("busy")),
            ("gap", Found("fork", 3, 1)),
            ("fork", Found("fork", 3, 1)),
            ("revoked", Found("rollback")),
        )
    ),
    *(
        _repairing(
            f"repair-receipt-{how}",
            says,
            lambda _, how=how: [f.Swallow(), f.WrongReceipt(how)],  # type: ignore[misc]
            outcome,
            routes=("copy",),
        )
        for how, says, outcome in (
            ("stranger", "signs for the copies with another key than the pinned one", Found("receipt")),
            ("header", "signs for other headers than were copied", Found("receipt")),
            ("account", "signs for another account's copies", Found("receipt")),
            ("kind", "refuses the copies by its signature, and calls that a receipt", Found("receipt")),
            ("none", "takes the copies and signs for none", Found("malformed")),
            ("surplus", "signs for more copies than came", Found("malformed")),
        )
    ),
    _repairing(
        "repair-copies-swallowed",
        "signs for the copies, and keeps none of them",
        lambda _: [f.Swallow()],
        Found("rollback", 1, 6),
        routes=("copy",),
        confirms=_READS,
    ),
    _repairing(
        "repair-copies-lost-request",
        "breaks the line before the copies",
        lambda _: [f.Lose(before=True)],
        Broken(),
        routes=("copy",),
    ),
    _repairing(
        "repair-copies-disguised",
        "answers copies with a 200 and an error's body",
        lambda _: [f.Swallow(), f.Instead("disguised")],
        Found("malformed"),
        routes=("copy",),
    ),
)

_HEADS: Final = (
    _repairing(
        "repair-other-segment",
        "has a segment of its own making in the place of one that it lost",
        lambda _: [f.Head(1, 4, made_up=True)],
        Found("fork", 1, 4),
        routes=("heads",),
    ),
    _repairing(
        "repair-head-false",
        "names another head of a feed, of which nothing was lost, than the device has verified",
        lambda _: [f.Head(1, 3, made_up=True)],
        Found("fork", 1, 3),
        routes=("heads",),
    ),
    _repairing(
        "repair-head-early",
        "names an earlier head of a feed than it has",
        lambda _: [f.Head(1, 1)],
        Found("rollback", 1, 6),
        routes=("heads",),
        confirms=("copy",),
    ),
    _repairing(
        "repair-head-late",
        "names a head beyond all that the device has verified, as if it had lost nothing of that feed",
        lambda _: [f.Head(1, 9, made_up=True)],
        Found("missing", 1, 9),
        routes=("heads",),
        confirms=("copy", *_READS),
    ),
    _repairing(
        "repair-withheld",
        "takes the copies, and withholds them afterwards",
        lambda _: [f.Withhold(device=1, after=3)],
        Found("rollback", 1, 6),
        confirms=("copy",),
    ),
)

_STORES: Final = (
    _repairing("repair-identity", "is another relay", lambda _: [f.AnotherIdentity()], Found("identity")),
    _repairing(
        "repair-words-silent",
        "says nothing of the backup, and has another incarnation all the same",
        lambda _: [f.Words("silent")],
        Harmless(),
    ),
    _repairing(
        "repair-words-other",
        "names another incarnation every time it is asked, and other words",
        lambda _: [f.Words("other")],
        Harmless(),
    ),
    _repairing(
        "repair-words-malformed",
        "says of the backup what makes no sense",
        lambda _: [f.Words("malformed")],
        Found("malformed"),
    ),
    _repairing(
        "repair-words-stale",
        "has rolled back, and says that it was restored once, long ago",
        lambda _: [f.Rollback(position=4), f.Words("stale")],
        Found("rollback", 1, 6),
        stage="told",
        confirms=("info",),
    ),
    _repairing(
        "repair-words-false",
        "has rolled back, and says that it was restored just now",
        lambda _: [f.Rollback(position=4), f.Words("new")],
        Harmless(),
        stage="told",
    ),
    _repairing(
        "repair-nothing-lost",
        "lost nothing, and says that it was restored just now",
        lambda _: [f.Words("new")],
        Harmless(),
        stage="told",
    ),
)

_ROSTERS: Final = (
    _repairing(
        "repair-another-roster",
        "shows another account's roster",
        lambda facts: [f.AnotherRoster(facts.neighbour)],
        Found("fork"),
        stage="lost-entry",
    ),
    _repairing(
        "repair-entry-flipped",
        "flips a bit of the roster that is left",
        lambda _: [f.FlipEntry()],
        Found("signature"),
        stage="lost-entry",
        routes=("roster",),
    ),
    _repairing(
        "repair-entry-missing",
        "leaves an entry out of the roster that is left",
        lambda _: [f.DropEntry(1)],
        Broken(),
        stage="lost-entry",
        routes=("roster",),
    ),
    *(
        _repairing(
            f"repair-entries-{code}",
            f"refuses the lost entries with `{code}`",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            outcome,
            stage="lost-entry",
            routes=("copy-roster",),
            confirms=("roster",) if code == "revoked" else (),
        )
        for code, outcome in (
            ("roster-conflict", Found("roster")),
            ("fork", Found("roster")),
            ("pinned", Refused("pinned")),
            ("busy", Refused("busy")),
            ("revoked", Found("rollback")),
        )
    ),
    _repairing(
        "repair-entries-lost-request",
        "breaks the line before the lost entries",
        lambda _: [f.Lose(before=True)],
        Broken(),
        stage="lost-entry",
        routes=("copy-roster",),
    ),
)

REPAIR: Final = (*_COPIES, *_HEADS, *_STORES, *_ROSTERS)
