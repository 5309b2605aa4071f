"""What failures say: an exit status, and lines in which a person finds what is safe and what to do."""

from __future__ import annotations

import errno

import click
import pytest

from sealkeep_client.cli._failures import FAILED, MISBEHAVED, STOPPED, USAGE, Stopped, explain
from sealkeep_protocol.errors import (
    AuthenticationError,
    HistoryError,
    MalformedError,
    PairingError,
    PeerError,
    RefusedError,
    SealkeepError,
    SourceError,
    StoreError,
    TransportError,
    UsageError,
)
from sealkeep_protocol.kit import KitError
from sealkeep_protocol.problems import PROBLEMS

PEER_ERRORS = [
    (kind, code) for kind in (MalformedError, AuthenticationError, HistoryError) for code in sorted(kind.codes)
]


@pytest.mark.parametrize(("kind", "code"), PEER_ERRORS)
def test_a_broken_promise(kind: type[PeerError], code: str) -> None:
    explanation = explain(kind(code, "what happened", device=2, seq=7))
    assert explanation.status == MISBEHAVED
    text = "\n".join(explanation.lines)
    assert "device 2, seq 7: what happened" in explanation.lines[0]
    assert f"({code})" in explanation.lines[0]
    assert "\n  safe " in text
    assert "\n  do " in text
    assert code == "clone" or "\n  promise " in text


@pytest.mark.parametrize(
    ("code", "promise"),
    [("ciphertext", "P3"), ("gap", "P4"), ("fork", "P5"), ("pinned", "P6"), ("receipt", "P9"), ("commitment", "P11")],
)
def test_which_promise(code: str, promise: str) -> None:
    kind = AuthenticationError if code in AuthenticationError.codes else HistoryError
    assert f"promise  {promise}: " in explain(kind(code, "x")).lines[1]


def test_when_a_busy_relay_is_to_be_tried_again() -> None:
    for seconds, when in (
        (None, "in a minute"),
        (5.0, "in a minute"),
        (61.0, "in 2 minutes"),
        (3600.0, "in 60 minutes"),
    ):
        busy = RefusedError("busy", "too many", status=429, retryable=True, retry_after=seconds)
        assert explain(busy).lines[0].endswith(f"everything is safe on this device; try again {when}")


def test_a_copied_home_does_not_blame_the_relay() -> None:
    assert not any("the relay seems" in line for line in explain(HistoryError("clone", "continued elsewhere")).lines)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("no"), USAGE, "no"),
        (StoreError("the disk is full"), FAILED, "the disk is full"),
        (KitError("it is much too long"), FAILED, "it is much too long; nothing was changed"),
        (KitError("group 3 is mistyped", groups=(3,)), FAILED, "; compare it with the page, and try again; nothing"),
        (SealkeepError("odd"), FAILED, "odd"),
        (TransportError("no route"), FAILED, "no route: everything is safe on this device"),
        (SourceError("a.json: empty"), FAILED, "a.json: empty; nothing was imported"),
        (PairingError("the code is wrong"), FAILED, "the code is wrong"),  # PAI-08: nobody is accused
        (RefusedError("quota", "full", status=507), FAILED, "more room"),
        (RefusedError("revoked", "removed", status=403), FAILED, "removed (revoked); everything is safe"),
        (RefusedError("odd", "odd", status=400), FAILED, "safe on this device"),
        (click.UsageError("Missing argument 'X'."), USAGE, "missing argument 'X'"),
        (click.ClickException("no\nsuch chat"), FAILED, "no such chat"),
        (FileNotFoundError(errno.ENOENT, "No such file", "kit.txt"), FAILED, "kit.txt: No such file"),
        (OSError("odd"), FAILED, "odd"),
        (MemoryError(), FAILED, "not enough memory"),
        (ZeroDivisionError("secret"), FAILED, "a fault in sealkeep itself (ZeroDivisionError)"),
        (ImportError("no module x"), FAILED, "no module x"),
        (Stopped(), STOPPED, "nothing is lost"),
        (KeyboardInterrupt(), STOPPED, "nothing is lost"),
        (click.Abort(), STOPPED, "nothing is lost"),
    ],
)  # fmt: skip
def test_one_line(error: BaseException, status: int, said: str) -> None:
    explanation = explain(error)
    assert explanation.status == status
    [line] = explanation.lines
    assert said in line
    assert "\n" not in line
    assert "secret" not in line


def test_usage_names_the_help() -> None:
    context = click.Context(click.Command("sealkeep"), info_name="sealkeep")
    assert explain(click.UsageError("No such option.", context)).lines == ("no such option (see `sealkeep --help`)",)


def test_an_exit_says_nothing() -> None:
    assert explain(click.exceptions.Exit(5)).status == 5
    assert explain(click.exceptions.Exit(5)).lines == ()


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_refusal_says_that_things_are_safe_or_what_to_do(code: str) -> None:
    [line] = explain(RefusedError(code, PROBLEMS[code].title, status=PROBLEMS[code].status)).lines
    assert f"({code}); " in line
