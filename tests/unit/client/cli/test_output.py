"""How output looks to a person: widths, sizes, times, and nothing that a terminal would obey."""

from __future__ import annotations

import datetime
import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealkeep_client.cli import _output as output


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (13_107_200, "13 MB"),
        (5_500_000_000, "5.5 GB"),
        (7 * 10**15, "7,000 TB"),
    ],
)
def test_sizes(number: int, said: str) -> None:
    assert output.size(number) == said


def test_counts() -> None:
    assert output.count(142_816) == "142,816"
    assert output.count(1, "message") == "1 message"
    assert output.count(2, "message") == "2 messages"
    assert output.count(0, "entry", "entries") == "0 entries"


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("中文", 4), ("ｗｉｄｅ", 8), ("café", 4), ("", 0), ("cafe\u0301", 4)]
)
def test_widths(text: str, columns: int) -> None:
    assert output.width(text) == columns
    assert output.width(output.pad(text, 10)) == 10
    assert output.pad(text, 10, right=True).endswith(text)


@given(st.text("ab 中文字é🎉", max_size=30), st.integers(4, 20))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    shown = output.cut(text, columns)
    assert output.width(shown) <= columns
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


@given(st.text("ab 中文字é\n", max_size=80), st.integers(4, 20))
@example("   中", 4)
def test_wrapping_loses_nothing_but_spaces(text: str, columns: int) -> None:
    lines = output.wrap(text, columns)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    longest = max((output.width(word) for word in re.findall("[ab é]+", text)), default=0)
    assert all(output.width(line) <= max(columns, longest) for line in lines)


@given(st.text(max_size=40))
def test_nothing_moves_the_cursor(text: str) -> None:
    shown = output.clean(text)
    assert all(letter == "\n" or (letter >= " " and not "\x7f" <= letter <= "\x9f") for letter in shown)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)
    assert "\n" not in output.clean_line(text)


def test_cleaning() -> None:
    assert output.clean("\x1b[31mred\x1b[0m\x07\tnext\r\nline\u202e") == "[31mred[0m    next\nline"
    assert output.clean_line("  a \n\n b\t c ") == "a b c"
    assert output.clean_line("a\n  b", keep=True) == "a   b"


def test_civil_times() -> None:
    assert output.civil(0, 480) == datetime.datetime(1970, 1, 1, 8)
    assert output.civil(-62_135_510_400_000) == datetime.datetime(1, 1, 2)
    assert output.civil(253_402_214_399_999, 1439).year == 9999


def test_how_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = 1_800_000_000.0
    for seconds, said in (
        (5, "just now"),
        (61, "1 minute ago"),
        (7_300, "2 hours ago"),
        (200_000, "2 days ago"),
        (-9, "just now"),
    ):
        assert output.ago(int((now - seconds) * 1000), now).endswith(f" ({said})")
    assert output.ago(1_800_000_000_000, now).startswith("2027-01-15 08:00")


def test_tables_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("Chat", "Messages", "Id"), [("阿张", "9", "aa"), ("Hiking\ngroup", "1,204", "bb")], right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Chat          Messages  Id", "阿张                 9  aa", "Hiking group     1,204  bb"]


def test_a_column_gives_way_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "columns_of_terminal", lambda: 24)
    output.print_table(("Chat", "Id"), [("a rather long name of a chat", "aabbccdd")])
    assert capsys.readouterr().out.splitlines()[1] == "a rather long…  aabbccdd"


def test_json_is_one_line_of_utf_8(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    output.print_json({"text": "早\n\x1b \ud800"})
    line = capsysbinary.readouterr().out
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"text": "早\n\x1b ?"}


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.bold("x") == "x"
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.highlight("x") != "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert output.dim("x") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert output.bold("x") == "x"
