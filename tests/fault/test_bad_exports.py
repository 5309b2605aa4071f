"""Bad exports: one clear line, exit status 1, and the vault is as it was; a bad line in a good one is counted and shown."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sealkeep_client.cli import _passphrase, main
from sealkeep_client.store import Passphrase, Strength
from support.clients import Device
from support.exports_telegram import write_telegram
from support.exports_wechat import WECHAT_COLUMNS
from support.large_exports import write_noise
from support.relay import RelayProcess

WEAKEST = Strength(1, 8 << 20)
GOOD = '{"id": %d, "type": "message", "date_unixtime": "1600000000", "from": "A", "from_id": "user1", "text": "ok"}'
HEAD = '{"name": "Plans", "type": "private_supergroup", "id": 7, "messages": ['


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with something in it, part of it still to be sent."""
    base = tmp_path_factory.mktemp("bad")
    with RelayProcess(base / "relay") as relay, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_passphrase, "Passphrase", partial(Passphrase, strength=WEAKEST))
        patch.setenv("SEALKEEP_PASSPHRASE", "test")
        first, second = write_telegram(base / "one").path, write_noise
        second(base / "two.json", 50)
        for command in (
            ["init", "--relay", relay.url, "--kit", base / "kit.txt"],
            ["import", first],
            ["sync"],
            ["import", base / "two.json"],
        ):
            assert main(["--home", str(base / "home"), *map(str, command)]) == 0
        yield base / "home"


def telegram_cut(path: Path) -> None:
    write_noise(path, 400)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def telegram_cut_but_for_its_end(path: Path) -> None:
    """As a download that lost its middle."""
    write_noise(path, 400)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b'"}}')


def telegram_in_latin_1(path: Path) -> None:
    entries = ", ".join(GOOD % number for number in range(2_000))
    path.write_bytes((HEAD + entries + ", " + (GOOD % 9_999).replace("ok", "grüße") + "]}").encode("latin-1"))


def zip_of_nothing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.jpg", b"\xff\xd8\xff")


def zip_that_is_cut(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_chat.txt", "[31.12.23, 10:00:00] Ann: hi\n" * 5_000)
    path.write_bytes(path.read_bytes()[:400])


def zip_with_a_flipped_bit(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", "[31.12.23, 10:00:00] Ann: hi\n" * 5_000)
    data = bytearray(path.read_bytes())
    data[70_000] ^= 1
    path.write_bytes(data)


def folder_without_exports(path: Path) -> None:
    (path / "deep" / "deeper").mkdir(parents=True)
    (path / "deep" / "photo.jpg").write_bytes(b"\xff\xd8\xff")


def folder_of_bad_ones(path: Path) -> None:
    path.mkdir()
    (path / "empty.json").write_bytes(b"")
    (path / "prose.txt").write_text("Dear diary")


def bytes_of(data: bytes | str) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(data if isinstance(data, bytes) else data.encode()), None)[1]


BAD: dict[str, Callable[[Path], object]] = {
    "empty.json": bytes_of(b""),
    "blank.txt": bytes_of(b" \n\n\t \n"),
    "cut.json": telegram_cut,
    "cut-inside.json": telegram_cut_but_for_its_end,
    "cut-early.json": bytes_of(HEAD),
    "latin-1.json": telegram_in_latin_1,
    "utf-16.json": bytes_of((HEAD + GOOD % 1 + "]}").encode("utf-16")),
    "utf-16.csv": bytes_of((",".join(WECHAT_COLUMNS) + "\n").encode("utf-16")),
    "gb18030.csv": bytes_of(
        (",".join(WECHAT_COLUMNS) + "\n" + "1,3,1,0,0,1600000000,2,你好，世界,,安,安,wxid_a\n" * 9).encode("gb18030")
    ),
    "latin-1.txt": bytes_of(("31/12/2023, 10:00 - Jürgen: schöne Grüße\n" * 9).encode("latin-1")),
    "settings.json": bytes_of('{"theme": "dark", "volume": 3}'),
    "array.json": bytes_of('[{"id": 1}]'),
    "other.csv": bytes_of("date,amount,currency\n2024-01-01,3,EUR\n"),
    "columns.csv": bytes_of(",".join(WECHAT_COLUMNS[:5]) + "\n1,3,1,0,0\n"),
    "prose.txt": bytes_of("Dear diary,\nnothing happened.\n"),
    "picture.jpg": bytes_of(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(2_000)),
    "noise.bin": bytes_of(bytes(range(256)) * 40),
    "nothing.zip": zip_of_nothing,
    "cut.zip": zip_that_is_cut,
    "flipped.zip": zip_with_a_flipped_bit,
    "folder": folder_without_exports,
    "empty-folder": lambda path: path.mkdir(),
    "bad-folder": folder_of_bad_ones,
    "missing.json": lambda path: None,
    "loop.json": lambda path: path.symlink_to(path),
    "dangling.json": lambda path: path.symlink_to(path.with_name("nowhere")),
    "pipe.json": os.mkfifo,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_export(
    vault: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "test")
    BAD[name](tmp_path / name)
    check_refused(vault, tmp_path, [tmp_path / name], name, capfd)


def check_refused(vault: Path, base: Path, paths: list[Path], name: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = state(vault, base, capfd)
    status = main(["--home", str(vault), "import", *map(str, paths)])
    said = capfd.readouterr()
    assert (status, said.out) == (1, ""), said
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("sealkeep: ")
    assert name in said.err
    assert said.err.endswith("nothing was imported\n")
    assert len(said.err) < 400 + 2 * len(str(base))
    assert "Error" not in said.err
    assert "Traceback" not in said.err
    assert state(vault, base, capfd) == before


def state(vault: Path, base: Path, capfd: pytest.CaptureFixture[str]) -> tuple[bytes, str]:
    """What it shows, and what it still has to send."""
    assert main(["--home", str(vault), "export", str(base / "state.jsonl"), "--format", "jsonl"]) == 0
    capfd.readouterr()
    assert main(["--home", str(vault), "status", "--json"]) == 0
    status = json.loads(capfd.readouterr().out)
    return (base / "state.jsonl").read_bytes(), str(status["waiting"])


def test_a_bad_one_beside_a_good_one(
    vault: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is named in one call is taken in, or nothing, and the good one first changes nothing either."""
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "test")
    (tmp_path / "good.json").write_text(HEAD + GOOD % 77 + "]}")
    telegram_cut_but_for_its_end(tmp_path / "late.json")
    check_refused(vault, tmp_path, [tmp_path / "good.json", tmp_path / "late.json"], "late.json", capfd)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(
    vault: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "test")
    (tmp_path / "secret.json").write_text(HEAD + GOOD % 1 + "]}")
    (tmp_path / "secret.json").chmod(0)
    check_refused(vault, tmp_path, [tmp_path / "secret.json"], "secret.json", capfd)


def test_a_bad_one_met_by_the_command_itself(vault: Path, tmp_path: Path) -> None:
    """The same in a process of its own, without a terminal."""
    device = Device(vault)
    before = device.export(tmp_path / "before.jsonl")
    telegram_cut(tmp_path / "cut.json")
    process = device.start("import", str(tmp_path / "cut.json"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err == f"sealkeep: {tmp_path}/cut.json: cut short; export the chats again, or copy the whole file; " + (
        "nothing was imported\n"
    )
    assert device.export(tmp_path / "after.jsonl") == before


# A bad line inside a good export.


def telegram_with_bad_entries(path: Path) -> None:
    bad = ["5", '{"type": "message"}', '{"id": "x", "type": "message", "text": "no"}', "null"]
    entries = [GOOD % (90_000 + number) if number % 5 else bad[number // 5 % 4] for number in range(20)]
    path.write_text(HEAD + ",\n".join(entries) + "]}")


def wechat_with_bad_rows(path: Path) -> None:
    rows = [f"{n},3,1,0,0,{1_600_000_000 + n},2,ok {n},,安,安,wxid_a" for n in range(20)]
    rows[3] = "3,3,1"
    rows[7] = rows[7].replace("1600000007", "yesterday")
    rows[11] = ""  # says nothing, so that nothing is left out
    path.write_text("\n".join([",".join(WECHAT_COLUMNS), *rows]) + "\n", encoding="utf-8-sig")


def whatsapp_with_bad_lines(path: Path) -> None:
    lines = [f"[31.12.23, 10:{n:02}:00] Ann: ok {n}" for n in range(20)]
    lines.insert(0, "what stands before the first message belongs to none")
    lines[4] = "[31.13.23, 10:03:00] Ann: a month too many"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write", "added", "bad"),
    [
        ("result.json", telegram_with_bad_entries, 16, 4),
        ("安.csv", wechat_with_bad_rows, 17, 2),
        ("WhatsApp Chat with Ann.txt", whatsapp_with_bad_lines, 19, 2),
    ],
)
def test_a_bad_line_inside_a_good_export(
    tmp_path: Path,
    vault: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path], None],
    added: int,
    bad: int,
) -> None:
    """The rest is taken in; what is not is counted, and shown with its place."""
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "test")
    write(tmp_path / name)
    assert main(["--home", str(vault), "import", str(tmp_path / name), "--json"]) == 0
    counted = json.loads(capfd.readouterr().out)
    assert counted["added"] == added
    assert main(["--home", str(vault), "import", str(tmp_path / name)]) == 0
    said = capfd.readouterr()
    problems = counted["problems"]
    assert len(problems) == bad, problems
    assert all(problem["path"].endswith(name) and problem["reason"] for problem in problems)
    shown = said.err.splitlines()
    assert len(shown) == bad
    assert all(line.startswith(f"sealkeep: left out: {tmp_path}/{name}") for line in shown)
    assert f"Left out: {bad} places, listed one by one.\n" in said.out
