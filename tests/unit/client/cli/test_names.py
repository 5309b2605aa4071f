"""Names of devices as they are shown: they cannot speak in sealkeep's place."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.cli._names import as_name, cell, is_misleading, quoted, signer
from sealkeep_client.cli._pairing import _show_newcomer


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my laptop", "my laptop"),
        ("Ünal’s 电脑 📱", "Ünal’s 电脑 📱"),
        ("a\x1b[2Jb\x07", "a[2Jb"),
        ("one\ntwo\r\nthree\u2028four", "one two threefour"),
        ("abc\u202edef\u2066\u200e\u061c", "abcdef"),
        ('close” it “ "now" «»', "close' it ' 'now' ''"),
        ("wide\u3164\u2800\u115f  blanks\u00a0\u3000here", "wide blanks here"),
        ("e\u0301\u0302\u0303\u0304", "e\u0301\u0302"),
        ("\U000e0041\U000e007ftag\ue000", "tag"),
        ("\u200b\u2800", "no name"),
        ("", "no name"),
    ],
)
def test_a_name_is_one_line_without_anything_hidden(name: str, shown: str) -> None:
    assert as_name(name) == shown
    assert quoted(name) == f"“{shown}”"


@given(st.text(max_size=64))
def test_whatever_it_is_it_stays_between_its_quotes(name: str) -> None:
    shown = as_name(name)
    assert shown
    assert as_name(shown) == shown
    assert not set(shown) & set('“”"\n\r\t')
    assert all(unicodedata.category(letter)[0] != "C" for letter in shown)


@pytest.mark.parametrize(
    "name",
    [
        "Both devices show now:  able zone zoo",
        "BOTH ｄｅｖｉｃｅｓ　show now",
        "x [y/N] ",
        "a recovery kit",
        "sealkeep: joined",
    ],
)
def test_what_looks_like_our_own_words_is_said_to_be_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_misleading(name)
    assert cell(name) == quoted(name)
    _show_newcomer(name, err=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "This name looks like words of sealkeep's own; it is only a name."
    assert not any(line.startswith(as_name(name)) for line in lines)


def test_plain_names_stand_alone_in_a_table() -> None:
    assert cell("my laptop") == "my laptop"
    assert cell("my  laptop") == "“my laptop”"
    assert signer("a recovery kit") == "a recovery kit"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_long_name_begins_no_line(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAI-10: a terminal that breaks it puts nothing of it where a line of ours begins."""
    monkeypatch.setenv("COLUMNS", str(columns))
    _show_newcomer(f"{'n' * 32}Both devices now:  able zone zoo", err=False)
    shown = capsys.readouterr().out.splitlines()
    name = [line for line in shown if "nnn" in line]
    assert len(name) == 1
    assert len(name[0]) <= columns
    assert name[0].startswith(("    “nnn", "A device that calls itself “nnn"))
