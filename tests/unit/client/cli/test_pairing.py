"""`link` and `accept` where they need no other device."""

from __future__ import annotations

import asyncio
import os
import pty
import select
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sealkeep_client.cli import _asking, _pairing, main
from sealkeep_client.cli._app import App
from sealkeep_client.cli._failures import Stopped
from sealkeep_client.vault import Newcomer
from sealkeep_protocol.errors import TransportError


def test_a_new_device_is_told_its_relay_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "new"), "link"]) == 2
    assert "a new device must be told its relay: give --relay URL" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_without_a_terminal_nobody_is_let_in_by_accident(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAI-10: before the code is used."""
    monkeypatch.setattr(_pairing, "can_ask", lambda: False)
    assert main(["--home", str(tmp_path), "accept", "7-guitar-lemon-zebra"]) == 2
    assert "run it on a terminal, or give --yes" in capsys.readouterr().err


def test_a_qr_code_is_dark_on_light_where_there_are_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "sealkeep:1:7:" + "A" * 22 + ":" + "A" * 43 + ":https://relay.example.org:8440"
    plain = _pairing._qr(text)
    assert "\x1b" not in plain
    lines = plain.splitlines()
    assert len(lines) <= 24, "it fits a terminal of 80 columns and 24 lines"
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) < 60
    monkeypatch.setattr(_pairing, "is_terminal", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert _pairing._qr(text).splitlines()[0].startswith("    \x1b[97m\x1b[40m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert _pairing._qr(text) == plain


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("yep\n", False), ("\x04", False)],
)
async def test_anything_but_a_yes_is_a_no(
    typed: str, answer: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(_asking.sys, "stdin", stdin)
        assert _asking.can_ask()
        asking = asyncio.create_task(_asking.ask("Shall it join?"))
        await asyncio.sleep(0)
        os.write(person, typed.encode())
        async with asyncio.timeout(10):
            assert await asking is answer
    os.close(person)
    assert capsys.readouterr().err == "Shall it join? [y/N] "


async def test_what_was_typed_before_the_question_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PAI-10: nobody had seen the words when he typed it."""
    person, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(_asking.sys, "stdin", stdin)
        os.write(person, b"y\n")
        assert select.select([terminal], [], [], 10)[0]
        asking = asyncio.create_task(_asking.ask("Shall it join?"))
        await asyncio.sleep(0)
        os.write(person, b"\n")
        async with asyncio.timeout(10):
            assert await asking is False
    os.close(person)


def test_nobody_is_asked_where_he_does_not_see_the_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAI-10"""
    monkeypatch.setattr(_pairing, "can_ask", lambda: True)
    assert main(["--home", str(tmp_path), "accept", "7-guitar-lemon-zebra"]) == 2
    assert "run it on a terminal, or give --yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("agreed", "failure", "status", "said"),
    [
        (False, Stopped(), 130, "stopped: the code is used up"),
        (True, Stopped(), 130, "stopped: “laptop” may be in the account already"),
        (False, Stopped(status=143), 143, "stopped: the code is used up"),
        (False, TransportError("the line broke"), 1, "the line broke"),
        (True, TransportError("the line broke"), 1, "“laptop” may be in the account already"),
    ],
)
def test_what_breaks_off_after_a_yes_says_that_it_may_be_in(
    agreed: bool,
    failure: Exception,
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Cut:
        async def accept(self, code: str, *, confirm: Callable[[Newcomer], Awaitable[bool]], **more: object) -> None:
            if agreed:
                assert await confirm(Newcomer("laptop", ("abandon", "ability", "able")))
            raise failure

    monkeypatch.setattr(App, "with_vault", lambda _, work: asyncio.run(work(Cut())))
    assert main(["--home", str(tmp_path), "accept", "7-guitar-lemon-zebra", "--yes"]) == status
    told = capsys.readouterr().err
    assert said in told
    assert ("may be in" in told) is agreed
