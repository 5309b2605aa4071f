"""Attacks on two devices that pair: the phone lets the desk in (spec §10). The victim is who is lied to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealkeep_conformance.attacks._model import Attack, Facts, Found, Harmless, NotPaired, Outcome, Refused
from sealkeep_conformance.relay import Route
from sealkeep_conformance.relay import faults as f

NEW, OLD = "desk", "phone"


def _paired(
    name: str,
    says: str,
    victim: str,
    faults: Callable[[Facts], Sequence[f.Fault]],
    outcome: Outcome,
    *,
    routes: Collection[Route] | None = None,
) -> Attack:
    return Attack(name, says, "in-step", faults, outcome, victim=victim, act="pair", routes=routes)


PAIRING: Final = (
    _paired(
        "pair-1",
        "spoils message 1, with the old device's half of the key",
        NEW,
        lambda _: [f.FlipMessage(1)],
        NotPaired(),
    ),
    _paired(
        "pair-2",
        "spoils message 2, with the new device's half of the key",
        OLD,
        lambda _: [f.FlipMessage(2, 200)],
        NotPaired(),
    ),
    _paired(
        "pair-2-confirmation",
        "spoils the new device's confirmation",
        OLD,
        lambda _: [f.FlipMessage(2, -1)],
        NotPaired(),
    ),
    _paired(
        "pair-reflected", "gives the old device its own message back", OLD, lambda _: [f.PutMessage(2, 1)], NotPaired()
    ),
    _paired(
        "pair-forged", "says what is no message of a pairing", NEW, lambda _: [f.ForgeMessage(1, b"\xa0")], NotPaired()
    ),
    _paired(
        "pair-middle", "stands between the two with another identity", NEW, lambda _: [f.AnotherIdentity()], NotPaired()
    ),
    _paired(
        "pair-account",
        "spoils what the old device says of the account",
        NEW,
        lambda _: [f.FlipMessage(3, -1)],
        Found("ciphertext"),
    ),
    _paired(
        "pair-key",
        "puts another key in the place of the new device's",
        OLD,
        lambda _: [f.FlipMessage(4, 4000)],
        Found("ciphertext"),
    ),
    _paired(
        "pair-replayed",
        "says the old device's words again, as its last ones",
        NEW,
        lambda _: [f.PutMessage(5, 3)],
        Found("unsupported"),
    ),
    _paired(
        "pair-entry",
        "spoils what the old device says of the new one's entry",
        NEW,
        lambda _: [f.FlipMessage(5, -1)],
        Found("ciphertext"),
    ),
    _paired(
        "pair-used",
        "says that the code was used",
        NEW,
        lambda _: [f.Deny("mailbox-used")],
        NotPaired(),
        routes=("mailbox-get",),
    ),
    _paired(
        "pair-lost-answer",
        "breaks the line after the old device's entry",
        OLD,
        lambda _: [f.Lose()],
        Harmless(),
        routes=("enter",),
    ),
    _paired(
        "pair-conflict",
        "says for ever that another entry came first",
        OLD,
        lambda _: [f.Deny("roster-conflict")],
        Refused("roster-conflict"),
        routes=("enter",),
    ),
    _paired(
        "pair-rollback",
        "shows the new device a roster without its entry",
        NEW,
        lambda _: [f.StaleRoster(2)],
        Found("rollback"),
    ),
    _paired(
        "pair-another-roster",
        "shows the new device another account's roster",
        NEW,
        lambda facts: [f.AnotherRoster(facts.neighbour)],
        Found("fork"),
    ),
    _paired(
        "pair-flip-entry",
        "flips a bit of the roster that it shows the new device",
        NEW,
        lambda _: [f.FlipEntry(-1)],
        Found("signature"),
    ),
    _paired("pair-wrap", "spoils the new device's wrap", NEW, lambda _: [f.WrongWrap("spoilt")], Found("digest")),
    _paired("pair-no-wrap", "withholds the new device's wrap", NEW, lambda _: [f.WrongWrap("none")], Found("missing")),
    _paired(
        "pair-denied",
        "denies the new device, as if it were not in the roster",
        NEW,
        lambda _: [f.Deny("revoked")],
        Found("rollback"),
        routes=("wraps",),
    ),
)
