"""`import`: what it takes in, what it says, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import MESSAGES, Sealkeep
from support.relay import RelayProcess


def test_import_counts(tmp_path: Path, relay: RelayProcess, exports: list[Path], sealkeep: Sealkeep) -> None:
    home = tmp_path / "home"
    sealkeep(home, "init", "--relay", relay.url, "--kit", tmp_path / "kit.txt")
    first = sealkeep(home, "import", *exports)
    assert first.status == 0
    assert all(line.startswith("sealkeep: left out: ") for line in first.err.splitlines())
    assert "new messages from 2 exports." in first.out
    assert "`sealkeep sync` sends them, sealed, to the relay." in first.out
    again = sealkeep(home, "import", *exports)
    assert again.out.startswith("0 new messages from 2 exports; ")
    assert "known already" in again.out
    assert "sealkeep sync" not in again.out
    [counted] = sealkeep(home, "import", *exports, "--json").objects
    assert (counted["type"], counted["exports"], counted["added"], counted["changed"]) == ("import", 2, 0, 0)
    assert len(counted["problems"]) == len(first.err.splitlines())


def test_import_says_what_it_left_out(tmp_path: Path, phone: Path, sealkeep: Sealkeep) -> None:
    source = tmp_path / "chat.txt"
    good = "03/01/24, 09:00 - Ann: good\n31/01/24, 09:01 - Bob: morning\n"
    source.write_text("a line before the first\n" * 30 + good)
    said = sealkeep(phone, "import", source)
    if said.status == 0:
        assert "left out: " in said.err
        assert "more places (--json lists all)" in said.err or said.err.count("left out") <= 20
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "good.txt").write_text(good)
    (tmp_path / "folder" / "bad.json").write_text("{")
    said = sealkeep(phone, "import", tmp_path / "folder")
    assert said.status == 0
    assert "sealkeep: left out: " in said.err
    assert "bad.json" in said.err
    assert "Left out: 1 place, listed one by one." in said.out
    [counted] = sealkeep(phone, "import", tmp_path / "folder", "--json").objects
    assert counted["problems"][0]["path"].endswith("bad.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.json", b""),
        ("cut.json", b'{"name": "x", "messages": [{"id": 1,'),
        ("utf16.txt", "01/02/24, 09:00 - Ann: hi\n".encode("utf-16")),
        ("prose.txt", b"Dear diary"),
        ("missing.json", None),
    ],
)
def test_a_bad_export_gives_one_line_and_changes_nothing(
    tmp_path: Path, phone: Path, sealkeep: Sealkeep, name: str, content: bytes | None
) -> None:
    before = sealkeep(phone, "status", "--json").objects
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = sealkeep(phone, "import", tmp_path / name)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("sealkeep: ")
    assert said.err.count("\n") == 1
    assert name in said.err
    assert said.err.endswith("nothing was imported\n")
    after = sealkeep(phone, "status", "--json").objects
    assert (before[0][MESSAGES], before[0]["waiting"]) == (after[0][MESSAGES], after[0]["waiting"])


def test_dates_that_are_open_are_asked_for(tmp_path: Path, phone: Path, sealkeep: Sealkeep) -> None:
    source = tmp_path / "WhatsApp Chat with Bo.txt"
    source.write_text("03/02/24, 09:00 - Ann: open\n")
    said = sealkeep(phone, "import", source)
    assert said.status == 1
    assert "--date-order" in said.err
    assert sealkeep(phone, "import", source, "--date-order", "dmy").status == 0
    [line] = sealkeep(phone, "show", "Bo", "--json").objects
    assert line["time"] == "2024-02-03T09:00"
