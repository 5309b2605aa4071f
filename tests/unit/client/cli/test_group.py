"""Finding commands: its own, plug-ins, and those that are none."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import click
import pytest

from sealkeep_client.cli import _group, main

OWN = ["init", "recover", "link", "accept", "import", "sync", "status", "verify", "chats", "show", "search", "export"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    said = capsys.readouterr()
    return status, said.out, said.err


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = metadata.EntryPoint(name, value, _group.ENTRY_POINTS)
    monkeypatch.setattr(_group.metadata, "entry_points", lambda *, group: [point] if group == point.group else [])


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--help")
    assert (status, err) == (0, "")
    for name in [*OWN, "relay"]:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", OWN)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, out, err = run(capsys, name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: sealkeep {name} ")
    assert "\nOptions:\n" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"sealkeep {metadata.version('sealkeep')}\n", "")


def test_without_arguments_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: sealkeep ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["relya"], "there is no command `relya`; did you mean `relay`? (see `sealkeep --help`)"),
        (["zzz"], "there is no command `zzz` (see `sealkeep --help`)"),
        (["--zzz"], "no such option '--zzz' (see `sealkeep --help`)"),
        (["import"], "missing argument 'PATH...' (see `sealkeep import --help`)"),
        (["status", "--home", "x"], "no such option '--home'"),
        (["search"], "missing argument 'WORDS...'"),
        (["show", "x", "--limit", "0"], "invalid value for '--limit'"),
        (["show", "x", "--before", "soon"], "give a date such as 2024-03-05"),
        (["export", "x"], "missing option '--format'"),
        (["export", "x", "--format", "pdf"], "'pdf' is not one of 'jsonl', 'html'"),
        (["sync", "--watch", "--interval", "0"], "invalid value for '--interval'"),
        (["init"], "missing option '--relay'"),
        (
            ["init", "--relay", "https://r", "--kit", "kit.png"],
            "its name says what is written, by ending in .txt, .svg, .pdf",
        ),
        (["init", "--relay", "https://r", "--name", " "], "a name of at most 64 bytes"),
        (["init", "--relay", "https://r", "--name", "é" * 33], "a name of at most 64 bytes"),
        (["import", "x", "--date-order", "dym"], "invalid value for '--date-order'"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("sealkeep: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_plug_in_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def hello() -> int:
        """Greets."""
        click.echo("hello")
        return 7

    monkeypatch.setattr(_group, "hello", hello, raising=False)
    plug_in(monkeypatch, "hello", "sealkeep_client.cli._group:hello")
    assert run(capsys, "hello") == (7, "hello\n", "")
    assert "hello  From an unknown package." in run(capsys, "--help")[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:command", "does not load: ModuleNotFoundError"),
        ("sealkeep_client.cli._group:no_such_name", "does not load: AttributeError"),
        ("sealkeep_client.cli._group:ENTRY_POINTS", "is not a command"),
    ],
)
def test_a_broken_plug_in_gives_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    plug_in(monkeypatch, "broken", value)
    status, out, err = run(capsys, "broken")
    assert (status, out) == (1, "")
    assert err.startswith("sealkeep: the command `broken` of an unknown package ")
    assert said in err
    assert err.count("\n") == 1
    assert run(capsys, "--help")[0] == 0


def test_a_plug_in_takes_no_command_over(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "status", "no_such_module:command")
    context = click.Context(_group.sealkeep)
    found = _group.sealkeep.get_command(context, "status")
    assert found is not None
    assert found.name == "status"
    assert _group.sealkeep.list_commands(context).count("status") == 1


def test_help_loads_neither_server_nor_heavy_libraries() -> None:
    code = (
        "import sys; from sealkeep_client.cli import main; main(['--help'])\n"
        "heavy = {'sealkeep_server', 'aiohttp', 'apsw', 'nacl', 'cryptography', 'rich', 'keyring', 'uvloop'}\n"
        "sys.exit(str(heavy & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
