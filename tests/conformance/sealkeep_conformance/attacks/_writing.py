"""Attacks on a device that writes: receipts and refusals (spec §6.6, §8.4), and on one that verifies again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Attack, Broken, Facts, Found, Harmless, Outcome, Refused
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f


def _writing(
    name: str,
    says: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    stage: str = "waiting",
    victim: str = "laptop",
    routes: Collection[Route] | None = ("append",),
    confirms: Collection[Route] = (),
) -> Attack:
    return Attack(name, says, stage, faults, outcome, victim=victim, routes=routes, confirms=confirms)


_ANSWERS: Final = ("heads", "feed", "roster")

RECEIPTS: Final = (
    *(
        _writing(f"receipt-{how}", says, lambda _, how=how: [f.WrongReceipt(how)], Found("receipt", 2, 2))  # type: ignore[misc]
        for how, says in (
            ("stranger", "signs a receipt with another key than the pinned one"),
            ("header", "gives a receipt for another header"),
            ("account", "gives a receipt for another account"),
            ("kind", "gives a refusal as a receipt"),
            ("spoilt", "spoils a receipt"),
        )
    ),
    _writing("receipt-none", "gives no receipt", lambda _: [f.WrongReceipt("none")], Found("malformed")),
    _writing(
        "receipt-surplus",
        "gives more receipts than segments",
        lambda _: [f.WrongReceipt("surplus")],
        Found("malformed"),
    ),
    _writing("append-lost", "breaks the line instead of a receipt", lambda _: [f.Lose()], Broken()),
    *(
        _writing(
            f"append-{code}",
            f"refuses the next segment with `{code}`, and shows no reason",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            Found("missing", 2, 2),
            confirms=_ANSWERS,
        )
        for code in ("gap", "fork", "roster-conflict")
    ),
    *(
        _writing(
            f"append-{code}",
            f"refuses the next segment with `{code}`",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            Refused(code),
        )
        for code in ("invalid", "pinned", "quota")
    ),
)

REFUSALS: Final = (
    *(
        _writing(
            f"refusal-{how}",
            says,
            lambda _, how=how: [f.ForgeRefusal(how)],  # type: ignore[misc]
            Found("refusal", 2, 2),
            stage="stale",
            confirms=("roster",),
        )
        for how, says in (
            ("stranger", "signs a refusal with another key than the pinned one"),
            ("header", "refuses another header"),
            ("account", "refuses another account's header"),
            ("own-roster", "refuses for a roster head that is not beyond the header's"),
            ("unknown-roster", "refuses for a roster head that it does not show"),
            ("incarnation", "refuses as another store than the one it was sent to"),
            ("none", "says `epoch-stale` without a refusal"),
        )
    ),
    _writing(
        "refusal-early",
        "refuses though no newer roster entry is there",
        lambda _: [f.ForgeRefusal("own-roster")],
        Found("refusal", 2, 2),
        confirms=("roster",),
    ),
    _writing(
        "refused-served",
        "serves a header that it has refused to its author, who has put another one there",
        lambda _: [f.ServeRefused(2, 2)],
        Found("refusal", 2, 2),
        stage="dropped",
        routes=None,
    ),
    _writing(
        "refused-served-author",
        "serves a header that it has refused instead of the one it has taken since, to their author",
        lambda _: [f.ServeRefused(2, 2)],
        Found("fork", 2, 2),
        stage="replaced",
        routes=None,
    ),
    _writing(
        "refused-served-reader",
        "serves a header that it has refused to a device that has read the one which replaced it",
        lambda _: [f.ServeRefused(2, 2)],
        Found("fork", 2, 2),
        stage="replaced",
        victim="phone",
        routes=None,
    ),
    _writing(
        "own-body",
        "spoils the body of the device's own segment, which it has no need to read again",
        lambda _: [f.Flip(2, 2, "body", 9)],
        Harmless(),
        stage="replaced",
        routes=None,
    ),
)


def _verified(name: str, says: str, faults: Callable[[Facts], Sequence[f.Fault]], outcome: Outcome) -> Attack:
    return Attack(name, says, "in-step", faults, outcome, act="verify")


VERIFYING: Final = (
    _verified(
        "verify-flip",
        "flips a bit of a body that the device has read",
        lambda _: [f.Flip(1, 2, "body", 9)],
        Found("digest", 1, 2),
    ),
    _verified(
        "verify-drop", "has lost a segment that the device has read", lambda _: [f.Drop(1, 2)], Found("missing", 2, 1)
    ),
    _verified(
        "verify-strip",
        "has lost a body that the device has read",
        lambda _: [f.Strip(1, 2, "body")],
        Found("missing", 1, 2),
    ),
    _verified(
        "verify-rollback",
        "has lost the newest segments that the device has read",
        lambda _: [f.Rollback(position=3)],
        Found("rollback", 1, 3),
    ),
    _verified("verify-roster", "has lost the newest roster entry", lambda _: [f.StaleRoster(1)], Found("rollback")),
    _verified(
        "verify-another", "shows another account", lambda facts: [f.AnotherRoster(facts.neighbour)], Found("fork")
    ),
    _verified(
        "verify-endless",
        "shows nothing that was there before, and promises more for ever",
        lambda _: [f.Renumber(after=0, by=100), f.HeadsPosition(4), f.Cursor(more=True)],
        Found("rollback", 1, 3),
    ),
    _verified(
        "verify-positions",
        "gives two segments one position",
        lambda _: [f.DuplicatePosition(1, 3)],
        Found("replay", 1, 3),
    ),
)
