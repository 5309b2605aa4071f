"""`sealkeep` as a process of its own: exit statuses, passphrases, terminals, Ctrl-C, and two at once."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from nacl.pwhash import argon2id

from sealkeep_client.cli import _passphrase, main
from sealkeep_client.kit import read_kit
from sealkeep_client.kit._rows import rows
from sealkeep_client.store import Passphrase, Strength
from sealkeep_protocol.kit import encode_seed
from support.relay import RelayProcess

pty = pytest.importorskip("pty")

COMMAND = [sys.executable, "-m", "sealkeep_client.cli"]
SECRET = "correct horse"
DEADLINE = 60.0


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """No passphrase unless given, no keyring, and nothing that changes how a terminal is written to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEALKEEP_", "COVERAGE_"))}
    kept.pop("NO_COLOR", None)
    return {**kept, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "TERM": "xterm", **(more or {})}


def run(*arguments: object, passphrase: str | None = SECRET, **more: str) -> subprocess.CompletedProcess[str]:
    if passphrase is not None:
        more["SEALKEEP_PASSPHRASE"] = passphrase
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


Answer = str | Callable[[str], str]


def on_terminal(*arguments: object, answers: Sequence[tuple[str, Answer]] = (), **more: str) -> tuple[int, str]:
    """Run on a pseudo-terminal; each answer is typed when its question stands there: it may depend on the screen.

    Returns status and screen.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.execve(COMMAND[0], [*COMMAND, *map(str, arguments)], environment(more))  # noqa: S606
    screen, waiting = b"", list(answers)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the other end was closed
            break
        if not data:
            break
        screen += data
        if waiting and screen.endswith(waiting[0][0].encode()):
            answer = waiting.pop(0)[1]
            os.write(terminal, (answer if isinstance(answer, str) else answer(screen.decode())).encode())
    else:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert not waiting, screen
    return os.waitstatus_to_exitcode(status), screen.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def relay(place: Path) -> Iterator[RelayProcess]:
    with RelayProcess(place / "relay") as process:
        yield process


@pytest.fixture(scope="module")
def home(place: Path, relay: RelayProcess) -> Path:
    """A vault under `SECRET` with one chat, which is sent."""
    vault, chat = place / "home", place / "chat.txt"
    chat.write_text("".join(f"13/02/24, 09:{minute:02} - Ann: message {minute} 早安\n" for minute in range(60)))
    weakest = Strength(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)  # or each process would take a second to unlock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_passphrase, "Passphrase", partial(Passphrase, strength=weakest))
        patch.setenv("SEALKEEP_PASSPHRASE", SECRET)
        for command in (["init", "--relay", relay.url, "--kit", place / "kit.txt"], ["import", chat], ["sync"]):
            assert main(["--home", str(vault), *map(str, command)]) == 0
    return vault


def one_line(done: subprocess.CompletedProcess[str], status: int, said: str) -> None:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("sealkeep: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_the_home_may_come_from_the_environment(home: Path) -> None:
    done = run("chats", SEALKEEP_HOME=str(home))
    assert done.returncode == 0
    assert "WhatsApp" in done.stdout


def test_exit_statuses(home: Path, tmp_path: Path) -> None:
    one_line(run("--home", home, "status", "--nonsense"), 2, "no such option '--nonsense'")
    one_line(run("--home", home, "status", passphrase=None), 2, "set SEALKEEP_PASSPHRASE")
    one_line(run("--home", home, "status", passphrase=""), 2, "the passphrase is empty")
    one_line(run("--home", home, "status", passphrase="wrong"), 1, "wrong passphrase")
    one_line(run("--home", tmp_path / "none", "status"), 1, "there is no vault in")
    one_line(
        run("--home", tmp_path / "new", "init", "--relay", "https://r.example", passphrase=None), 2, "no passphrase"
    )
    one_line(run("--home", tmp_path / "new", "init", "--relay", "nonsense"), 2, "https://")
    assert not (tmp_path / "new").exists()


def test_debug_shows_where(home: Path) -> None:
    done = run("--debug", "--home", home, "import", "/nowhere")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sealkeep: /nowhere: ")
    assert "Traceback" not in run("--home", home, "import", "/nowhere").stderr


def test_a_pipe_that_closes_early(home: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--home", str(home), "show", "Chat", "--limit", "60"],
        env=environment({"SEALKEEP_PASSPHRASE": SECRET}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=DEADLINE)
    assert stderr == b"" or b"Traceback" not in stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_channels_that_are_closed(home: Path, tmp_path: Path, closed: str) -> None:
    """What has nowhere to be said is not said; the rest is done. No file of the vault takes a channel's place."""
    out = tmp_path / "out.jsonl"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "--home", home, "export", out, "--format", "jsonl"],
        env=environment({"SEALKEEP_PASSPHRASE": SECRET}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (done.stdout == b"") is (">&-" in closed.split())
    assert out.read_bytes().count(b'"type":"record"') == 60


def test_output_of_another_character_set(home: Path) -> None:
    done = run("--home", home, "search", "早安", "--limit", "1", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "message 59 ??" in done.stdout
    done = run("--home", home, "search", "早安", "--limit", "1", "--json", PYTHONIOENCODING="latin-1")
    assert "message 59 早安" in done.stdout


def test_ctrl_c_ends_a_watch_and_frees_the_home(home: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--home", str(home), "sync", "--watch"],
        env=environment({"SEALKEEP_PASSPHRASE": SECRET}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "Everything is in step.\n"
    one_line(run("--home", home, "status"), 1, "another process has this home open")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (130, "")
    assert err == "sealkeep: stopped: nothing is lost; the same command again goes on from here\n"
    assert run("--home", home, "status").returncode == 0


def test_a_passphrase_is_asked_for_twice_when_a_vault_is_made(tmp_path: Path, relay: RelayProcess) -> None:
    vault, kit = tmp_path / "home", tmp_path / "kit.txt"
    command = ["--home", vault, "init", "--relay", relay.url, "--kit", kit]
    status, screen = on_terminal(
        *command, answers=[("New passphrase: ", "ångström\n"), ("The same again: ", "angstrom\n")]
    )
    assert status == 2
    assert "the two passphrases differ; nothing was made" in screen
    assert not vault.exists()
    assert not kit.exists()

    answers = [("New passphrase: ", "ångström\n"), ("The same again: ", "ångström\n")]
    status, screen = on_terminal(*command, "--no-confirm", answers=answers)
    assert status == 0
    assert "Your vault is in " in screen
    assert "ångström" not in screen
    # The same letters, composed otherwise by another keyboard.
    assert run("--home", vault, "status", passphrase="a\u030angstro\u0308m").returncode == 0


def asked_group(kit: Path) -> Callable[[str], str]:
    """Types the group of the kit's code that the screen asks for."""

    def answer(screen: str) -> str:
        groups = encode_seed(read_kit(kit).seed).split()
        return groups[int(screen.rsplit("Code, group ", 1)[1][0]) - 1] + "\n"

    return answer


def test_a_new_kit_is_asked_back_on_a_terminal(tmp_path: Path, relay: RelayProcess) -> None:
    kit = tmp_path / "kit.pdf"
    command = ["--home", tmp_path / "home", "init", "--relay", relay.url, "--kit", kit]
    answers = [(": ", asked_group(kit)), (": ", "wrong\n"), (": ", asked_group(kit))]
    status, screen = on_terminal(*command, answers=answers, SEALKEEP_PASSPHRASE=SECRET)
    assert status == 0
    assert screen.index("Its recovery kit is") < screen.index("Type two groups of its code")
    assert "look at the page again" in screen
    assert "The kit is right." in screen

    command[1], command[-1] = tmp_path / "second", tmp_path / "kit.txt"
    status, screen = on_terminal(*command, answers=[(": ", "\x04")], SEALKEEP_PASSPHRASE=SECRET)
    assert status == 0
    assert "the kit was not confirmed; the vault is made and nothing is lost" in screen
    assert run("--home", tmp_path / "second", "sync").returncode == 0


def test_a_kit_is_typed_on_a_terminal(place: Path, home: Path, tmp_path: Path) -> None:
    kit = read_kit(place / "kit.txt")
    lines = [" ".join(row.parts) for row in rows(kit)]
    code = rows(kit)[0].parts
    typed = [code[0], code[2], *code[1:], *lines[1:4], "", "", *lines[4:]]
    status, screen = on_terminal(
        "--home", tmp_path / "late", "recover", "--name", "late",
        answers=[(": ", f"{line}\n") for line in typed],
        SEALKEEP_PASSPHRASE=SECRET,
    )  # fmt: skip
    assert status == 0
    assert "group 2 of Code: it is mistyped" in screen
    assert "Restored 60 messages in 1 chat." in screen

    answers = [(": ", f"{code[0]}\n"), (": ", "\x04")]
    status, screen = on_terminal("--home", tmp_path / "new", "recover", answers=answers, SEALKEEP_PASSPHRASE=SECRET)
    assert status == 130
    assert "stopped: nothing is lost" in screen
    assert not (tmp_path / "new").exists()


def test_a_passphrase_is_asked_for_on_a_terminal(home: Path) -> None:
    status, screen = on_terminal("--home", home, "status", answers=[(": ", f"{SECRET}\n")])
    assert status == 0
    assert screen.startswith(f"Passphrase of {home}: ")
    assert SECRET not in screen
    assert "Last sync" in screen
    status, screen = on_terminal("--home", home, "status", answers=[(": ", "wrong\n")])
    assert status == 1
    assert "sealkeep: wrong passphrase" in screen
    status, screen = on_terminal("--home", home, "status", answers=[(": ", "\x04")])
    assert status == 2
    assert "no passphrase was given" in screen
    status, screen = on_terminal("--home", home, "status", answers=[(": ", "\x03")])
    assert status == 130
    assert "nothing is lost" in screen


def test_a_terminal_gets_colours_hits_and_a_progress_bar(home: Path) -> None:
    status, screen = on_terminal("--home", home, "search", "早安", "--limit", "2", SEALKEEP_PASSPHRASE=SECRET)
    assert status == 0
    assert "\x1b[33m\x1b[1m早安\x1b[0m" in screen
    assert "2 messages found" in screen
    status, screen = on_terminal("--home", home, "search", "nowhere", SEALKEEP_PASSPHRASE=SECRET)
    assert (status, "Nothing found." in screen) == (0, True)
    status, screen = on_terminal("--home", home, "verify", SEALKEEP_PASSPHRASE=SECRET)
    assert status == 0
    assert "Verifying" in screen
    assert "Verified: " in screen
    status, screen = on_terminal("--home", home, "verify", "--json", SEALKEEP_PASSPHRASE=SECRET)
    assert screen.startswith('{"type": "verify"')
    status, screen = on_terminal("--home", home, "chats", SEALKEEP_PASSPHRASE=SECRET, NO_COLOR="1")
    assert "\x1b[" not in screen
