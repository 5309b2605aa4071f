"""Attacks on what a device is told of its account: roster, keys, login (spec §5, §8.2, §8.3), and on joining by the kit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Attack, Broken, Facts, Found, Harmless, Outcome, Refused, Unseen
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f


def _at_entry(
    name: str,
    says: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    stage: str = "entry",
    routes: Collection[Route] | None = None,
    confirms: Collection[Route] = (),
) -> Attack:
    return Attack(name, says, stage, faults, outcome, routes=routes, confirms=confirms)


ROSTER: Final = (
    _at_entry(
        "stale-roster",
        "shows an older roster than the device has read",
        lambda _: [f.StaleRoster(1)],
        Found("rollback"),
    ),
    _at_entry(
        "stale-roster-new",
        "withholds a new roster entry, and shows a segment that knows of it",
        lambda _: [f.StaleRoster(2)],
        Found("missing", 1, 7),
    ),
    _at_entry(
        "roster-head-behind", "says that the roster ends earlier", lambda _: [f.RosterHead(1)], Found("rollback")
    ),
    _at_entry("roster-head-ahead", "says that the roster ends later", lambda _: [f.RosterHead(9)], Broken()),
    _at_entry("flip-entry", "flips a bit of an entry's signature", lambda _: [f.FlipEntry(-1)], Found("signature")),
    _at_entry("flip-entry-frame", "flips a bit of an entry's frame", lambda _: [f.FlipEntry(0)], Found("malformed")),
    _at_entry(
        "drop-entry",
        "leaves out an entry between two others",
        lambda _: [f.DropEntry(3), f.RosterHead(3)],
        Found("roster"),
        stage="entries",
    ),
    _at_entry(
        "another-roster",
        "shows another account's roster",
        lambda facts: [f.AnotherRoster(facts.neighbour)],
        Found("fork"),
    ),
)

KEYS: Final = (
    _at_entry("spoilt-wrap", "spoils the wrap of the new epoch", lambda _: [f.WrongWrap("spoilt")], Found("digest")),
    _at_entry(
        "older-secret",
        "hands out an older epoch's wrap as the new one's",
        lambda _: [f.WrongWrap("older")],
        Found("digest"),
    ),
    _at_entry(
        "older-wrap",
        "hands out an older epoch's wrap for what it is",
        lambda _: [f.WrongWrap("stale")],
        Found("missing"),
    ),
    _at_entry(
        "older-new-wrap",
        "hands out a wrap of the one new epoch instead of the other's",
        lambda _: [f.WrongWrap("stale", entry=3)],
        Found("missing"),
        stage="entries",
    ),
    _at_entry(
        "another-wrap",
        "hands out another device's wrap of the new epoch",
        lambda _: [f.WrongWrap("another")],
        Found("digest"),
    ),
    _at_entry("no-wrap", "withholds the wrap of the new epoch", lambda _: [f.WrongWrap("none")], Found("missing")),
)

LOGIN: Final = (
    _at_entry(
        "false-challenge",
        "signs its challenge with another key than the pinned one",
        lambda _: [f.WrongChallenge("stranger")],
        Found("identity"),
        stage="news",
    ),
    _at_entry(
        "another-challenge",
        "hands out another device's challenge",
        lambda _: [f.WrongChallenge("signer")],
        Found("identity"),
        stage="news",
    ),
    _at_entry(
        "foreign-challenge",
        "hands out another account's challenge",
        lambda _: [f.WrongChallenge("account")],
        Found("identity"),
        stage="news",
    ),
    *(
        _at_entry(
            f"deny-{code}",
            f"denies the device with `{code}`",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            Found("rollback"),
            stage="news",
            routes=("heads", "changes"),
            confirms=("roster",),
        )
        for code in ("revoked", "closed", "not-found")
    ),
    _at_entry(
        "deny-signature",
        "denies the device with `signature`, as if its key were another one's",
        lambda _: [f.Deny("signature")],
        Refused("signature"),
        stage="news",
        routes=("challenge", "token", "heads", "changes"),
        confirms=("roster",),
    ),
    _at_entry(
        "deny-roster",
        "denies to know the account",
        lambda _: [f.Deny("not-found")],
        Found("rollback"),
        stage="news",
        routes=("roster",),
    ),
    *(
        _at_entry(
            f"deny-{code}",
            f"answers all that needs a token with `{code}`",
            lambda _, code=code: [f.Deny(code)],  # type: ignore[misc]
            Refused(code),
            stage="news",
            routes=("heads", "changes"),
            confirms=("challenge", "token"),
        )
        for code in ("unauthorized", "forbidden", "busy", "internal", "unavailable")
    ),
)


def _by_kit(
    name: str,
    says: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    routes: Collection[Route] | None = None,
) -> Attack:
    return Attack(name, says, "news", faults, outcome, victim="desk", act="recover", routes=routes)


RECOVERY: Final = (
    _by_kit("kit-identity", "is another relay than the kit's", lambda _: [f.AnotherIdentity()], Found("identity")),
    _by_kit(
        "kit-another-genesis",
        "shows another account's genesis",
        lambda facts: [f.AnotherRoster(facts.neighbour)],
        Found("fork"),
    ),
    _by_kit(
        "kit-rollback", "shows less than the kit has seen", lambda _: [f.Rollback(position=3)], Found("rollback", 1, 3)
    ),
    _by_kit(
        "kit-rollback-roster",
        "shows an older roster than the kit has seen",
        lambda _: [f.StaleRoster(1)],
        Found("rollback"),
    ),
    _by_kit(
        "kit-false-head",
        "names another head than the kit has seen",
        lambda _: [f.Head(1, 3, made_up=True)],
        Found("fork", 1, 3),
    ),
    _by_kit(
        "kit-old-state",
        "shows a state that is newer than the kit and older than the truth",
        lambda _: [f.Withhold(device=1, after=5)],
        Unseen(("p6",)),
    ),
    _by_kit("kit-flip-entry", "flips a bit of the roster", lambda _: [f.FlipEntry(-1)], Found("signature")),
    _by_kit("kit-spoilt-wraps", "spoils the kit's wraps", lambda _: [f.WrongWrap("spoilt")], Found("digest")),
    _by_kit("kit-no-wraps", "withholds the kit's wraps", lambda _: [f.WrongWrap("none")], Found("missing")),
    _by_kit(
        "kit-older-wraps", "withholds the newest of the kit's wraps", lambda _: [f.WrongWrap("stale")], Found("missing")
    ),
    _by_kit(
        "kit-false-challenge",
        "signs its challenge with another key than the kit's",
        lambda _: [f.WrongChallenge("stranger")],
        Found("identity"),
    ),
    _by_kit(
        "kit-denied",
        "denies to know the account",
        lambda _: [f.Deny("not-found")],
        Found("rollback"),
        routes=("roster",),
    ),
    _by_kit(
        "kit-conflict",
        "says for ever that another entry came first",
        lambda _: [f.Deny("roster-conflict")],
        Refused("roster-conflict"),
        routes=("enter",),
    ),
    _by_kit(
        "kit-lost-request",
        "breaks the line before the new device's entry",
        lambda _: [f.Lose(before=True)],
        Broken(),
        routes=("enter",),
    ),
    _by_kit(
        "kit-lost-answer",
        "breaks the line after the new device's entry",
        lambda _: [f.Lose()],
        Harmless(),
        routes=("enter",),
    ),
)
