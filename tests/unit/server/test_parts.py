"""Settings, secrets on disk, problems, and the log."""

from __future__ import annotations

import json
import stat
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_server import log
from sealkeep_server.http._problems import problem_body, problem_response
from sealkeep_server.identity import TokenKeys, load_identity
from sealkeep_server.problems import _OF_PEER, ProblemError, is_fault, problem_of
from sealkeep_server.settings import Settings
from sealkeep_server.stores import DamagedError, OpenError, StoreError, UnavailableError

# Settings


@pytest.mark.parametrize("name", [setting.name for setting in fields(Settings) if not isinstance(setting.default, str)])
def test_every_setting_has_a_least_value_and_says_what_it_is(name: str) -> None:
    [setting] = [setting for setting in fields(Settings) if setting.name == name]
    assert setting.metadata["about"]
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        Settings(**{name: setting.metadata["least"] - 1})


def test_trusted_proxies_are_networks() -> None:
    """PAI-15: nobody, unless the operator names somebody; a network with bits beyond its length is a mistake."""
    assert Settings().proxies() == ()
    assert [str(n) for n in Settings(trusted_proxies=" 127.0.0.1, ::1,10.0.0.0/8 ,").proxies()] == [
        *("127.0.0.1/32", "::1/128", "10.0.0.0/8"),
    ]
    for text in ("proxy.example", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1;::1"):
        with pytest.raises(ValueError, match="trusted_proxies: "):
            Settings(trusted_proxies=text)


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().body_bytes = 1  # type: ignore[misc]


def test_an_item_of_the_protocol_fits_the_default_limits() -> None:
    """REL-03: the limit of an item holds the largest header, summary, body and chunk list there can be."""
    from sealkeep_protocol.files import MAX_CHUNKS
    from sealkeep_protocol.padding import MAX_BODY
    from sealkeep_protocol.segments import MAX_HEADER, SUMMARY

    assert Settings().item_bytes >= MAX_HEADER + SUMMARY + MAX_BODY + 34 * MAX_CHUNKS + 32


def test_a_roster_entry_of_the_protocol_fits_the_default_limits() -> None:
    """REL-03: with a wrap for each of the most recipients there can be."""
    from sealkeep_protocol.hybrid_kem import WRAP_SIZE
    from sealkeep_protocol.roster import MAX_ENTRY

    assert Settings().object_bytes >= MAX_ENTRY + 65 * (WRAP_SIZE + 3) + 16


# Secrets


def test_the_identity_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, again = load_identity(tmp_path), load_identity(tmp_path)
    assert first.public == again.public
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]
    (tmp_path / "identity").write_bytes(b"x" * 31)
    with pytest.raises(OpenError, match="does not hold an identity"):
        load_identity(tmp_path)


def test_token_keys_are_kept_and_rotated(tmp_path: Path) -> None:
    first = TokenKeys(tmp_path, now=1000, max_age=100)
    assert TokenKeys(tmp_path, now=1100, max_age=100).newest == first.newest
    second = TokenKeys(tmp_path, now=1101, max_age=100)
    assert second.newest != first.newest
    assert second[first.newest] == first[first.newest]
    third = TokenKeys(tmp_path, now=1300, max_age=100)
    with pytest.raises(KeyError):
        third[first.newest]
    assert stat.S_IMODE((tmp_path / "token-keys").stat().st_mode) == 0o600


def test_keys_that_cannot_be_written_or_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match="No such file"):
        load_identity(tmp_path / "nothing")
    (tmp_path / "identity").mkdir()
    with pytest.raises(OpenError, match="Is a directory"):
        load_identity(tmp_path)


# Problems


def test_every_code_of_the_protocol_has_its_problem() -> None:
    """REL-01: whatever the protocol refuses about a request becomes a code of §9.1."""
    assert set(_OF_PEER.values()) <= set(PROBLEMS)
    for family in (MalformedError, AuthenticationError, HistoryError):
        for code in family.codes:
            problem = problem_of(family(code, "why", device=1, seq=2))
            assert 400 <= problem.status < 500
    assert problem_of(MalformedError("unsupported", "x")).code == "unsupported"
    assert problem_of(AuthenticationError("digest", "x")).code == "invalid"
    assert problem_of(HistoryError("pinned", "x")).code == "pinned"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnavailableError("x"), "unavailable"),
        (DamagedError("x"), "internal"),
        (StoreError("x"), "unavailable"),
        (ZeroDivisionError("secret"), "internal"),
        (ProblemError("busy"), "busy"),
    ],
)
def test_other_errors_are_the_relays_own(error: Exception, code: str) -> None:
    problem = problem_of(error)
    assert problem.code == code
    assert "secret" not in problem_body(problem).decode()
    assert is_fault(error) == (code != "busy")


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_problems_on_the_wire(code: str) -> None:
    """REL-01"""
    response = problem_response(ProblemError(code, "do this", members={"refusal": "abc"}, close=True))
    assert response.content_type == "application/problem+json"
    assert response.status == PROBLEMS[code].status
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": f"urn:sealkeep:problem:{code}",
        "title": PROBLEMS[code].title,
        "status": PROBLEMS[code].status,
        "code": code,
        "detail": "do this",
        "refusal": "abc",
    }


def test_a_problem_has_a_code_of_the_list() -> None:
    with pytest.raises(ValueError, match="not a problem code"):
        ProblemError("teapot")


# The log


def test_a_field_that_is_not_ours_does_not_reach_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """REL-12"""
    import structlog

    try:
        log.configure(debug=False)
        log.info("something", count=3, account="ACCOUNT", path="/PATH")
        log.warning("odd", peer="PEER")
        log.fault("broken", ValueError("SECRET"))
        log.fault("broken", None)
        log.loop_exception(None, {"message": "SECRET", "exception": KeyError("SECRET")})
        quiet = capsys.readouterr().err
        log.configure(debug=True)
        log.info("something", account="ACCOUNT")
        loud = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
        log._debug = False
    assert [json.loads(line)["event"] for line in quiet.splitlines()] == [
        "something", "odd", "broken", "broken", "loop-fault",
    ]  # fmt: skip
    assert json.loads(quiet.splitlines()[0])["count"] == 3
    for secret in ("ACCOUNT", "PATH", "PEER", "SECRET"):
        assert secret not in quiet
    assert "ACCOUNT" in loud
