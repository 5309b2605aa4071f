"""The kit on a terminal: what is asked, what is said to a wrong answer, and that nothing is asked where nobody is."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click
import pytest

from sealkeep_client.cli import _kit_terminal
from sealkeep_client.cli._asking import read_line, unseen
from sealkeep_client.cli._kit_terminal import choose_two, confirm_kit, type_kit
from sealkeep_client.cli._new_kit import read_kit_file
from sealkeep_client.kit import write_kit
from sealkeep_client.kit._rows import rows
from sealkeep_protocol.errors import UsageError
from support.kits import FIRST_KIT, KIT
from support.terminal import Terminal

GROUPS = rows(FIRST_KIT)[0].parts


class Person:
    """Answers questions in turn, or presses a key that ends them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str | None) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        monkeypatch.setattr(_kit_terminal, "_is_asked", lambda: True)
        monkeypatch.setattr(_kit_terminal, "read_line", self._answer)
        monkeypatch.setattr(_kit_terminal, "unseen", nullcontext)

    def _answer(self, question: str, *, hidden: bool) -> str:
        self.asked.append(question)
        assert hidden == question.startswith("Code")
        answer = self._answers.pop(0)
        if answer is None:
            raise click.Abort
        return answer


def third_and_eighth(numbers: Sequence[int]) -> Sequence[int]:
    assert list(numbers) == [1, 2, 3, 4, 5, 6, 7, 8]
    return [3, 8]


def test_two_groups_are_asked_back(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    person = Person(monkeypatch, GROUPS[2].lower(), f"{GROUPS[7][:4]} {GROUPS[7][4:]}")
    assert confirm_kit(FIRST_KIT, third_and_eighth)
    assert person.asked == ["Code, group 3", "Code, group 8"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "The kit is right."


def test_a_wrong_answer_may_be_mended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    person = Person(monkeypatch, GROUPS[3], GROUPS[2], "what?", GROUPS[7])
    assert confirm_kit(FIRST_KIT, third_and_eighth)
    assert person.asked == ["Code, group 3"] * 2 + ["Code, group 8"] * 2
    err = capsys.readouterr().err
    assert "sealkeep: that is not group 3 of this kit's code; look at the page again" in err
    assert not any(group in err for group in GROUPS)


@pytest.mark.parametrize("answers", [["x", "", GROUPS[7]], [GROUPS[2], "x", "x", "x"], [None], [GROUPS[2], None]])
def test_a_kit_that_is_not_confirmed_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: list[str | None]
) -> None:
    person = Person(monkeypatch, *answers)
    assert not confirm_kit(FIRST_KIT, third_and_eighth)
    assert len(person.asked) == len(answers)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "sealkeep: the kit was not confirmed; the vault is made and nothing is lost: `sealkeep kit verify`"
    )


def test_which_groups_are_asked_is_chance() -> None:
    chosen = [tuple(choose_two(range(1, 9))) for _ in range(200)]
    assert all(len(set(two)) == 2 and set(two) <= set(range(1, 9)) and two[0] < two[1] for two in chosen)
    assert len(set(chosen)) > 10


def test_a_kit_is_typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(row.parts) for row in rows(FIRST_KIT)]
    wrong = GROUPS[2][:-1] + ("A" if GROUPS[2][-1] != "A" else "B")
    person = Person(monkeypatch, *GROUPS[:2], wrong, " ".join(GROUPS[2:]), *lines[1:4], "", "", *lines[4:])
    assert type_kit() == FIRST_KIT
    assert person.asked[:4] == [f"Code, group {number} of 8" for number in (1, 2, 3, 3)]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Type the recovery kit as it stands on the page")
    assert err.splitlines()[-1] == "sealkeep: group 3 of Code: it is mistyped"


def test_what_the_qr_code_says_may_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    Person(monkeypatch, KIT.to_uri())
    assert type_kit() == KIT


def test_nothing_is_asked_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stdin in (io.StringIO("7K2M9QXT\n" * 9), None):
        monkeypatch.setattr("sys.stdin", stdin)
        assert not confirm_kit(FIRST_KIT)
        with pytest.raises(UsageError, match="no kit: give its file with --kit FILE, or run this on a terminal"):
            type_kit()
    assert capsys.readouterr() == ("", "")


_TYPE = """
from sealkeep_client.cli._kit_terminal import type_kit
print("account", type_kit().account.hex())
input()
"""


def test_the_code_does_not_stay_on_the_terminal() -> None:
    """Typed, or pasted in several lines at once; what is no secret is shown as ever, and so is all that comes after."""
    lines = [" ".join(row.parts) for row in rows(FIRST_KIT)]
    with Terminal([sys.executable, "-c", _TYPE], dict(os.environ)) as person:
        person.wait_for("Code, group 1 of 8: ")
        person.type(f"{GROUPS[0]}\n{GROUPS[1]}\n{'8' * 8}\n")
        person.wait_for("group 3 of Code: it is mistyped")
        person.type(f"{' '.join(GROUPS[2:])}\n")
        person.wait_for("Relay.*: ")
        for line in [*lines[1:4], "", "", *lines[4:]]:
            person.type(f"{line}\n")
        person.wait_for(f"account {FIRST_KIT.account.hex()}")
        person.type("seen\n")
        assert person.end() == 0
        assert not any(group in person.screen for group in GROUPS)
        assert FIRST_KIT.relay in person.screen
        assert "seen" in person.screen


def test_a_terminal_that_cannot_hide_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "typed").write_text("one\ntwo\n")
    with (tmp_path / "typed").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with unseen():
            assert read_line("Code", hidden=True) == "one"
        assert read_line("Code") == "two"
        with pytest.raises(click.Abort):
            read_line("Code")
    assert "this terminal shows what you type: clear it afterwards" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o666])
def test_a_kit_that_others_can_read_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int) -> None:
    path = tmp_path / "my kit.txt"
    write_kit(path, KIT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(mode)
    assert read_kit_file(path) == KIT
    said = capsys.readouterr().err
    assert ("can be read by others" in said) == bool(mode & 0o077)
    assert mode & 0o077 == 0 or f"chmod 600 '{path}'" in said
