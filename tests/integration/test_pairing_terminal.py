"""Two processes pair over a real relay, each on a terminal of its own; what goes wrong is one clear line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealkeep_client import Text
from sealkeep_conformance.relay import HostileRelay
from sealkeep_conformance.relay.faults import StaleRoster
from support.proxy import Proxy
from support.relay import RelayProcess
from support.terminal import Terminal
from support.vaults import created

COMMAND = [sys.executable, "-m", "sealkeep_client.cli"]
DEADLINE = 60.0
STOPPED = "nothing is lost; the same command again goes on from here"


def environment(**more: str) -> dict[str, str]:
    """No keyring; a passphrase that both devices have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEALKEEP_", "COVERAGE_"))}
    kept.pop("NO_COLOR", None)
    silent = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "TERM": "xterm", "COLUMNS": "120"}
    return {**kept, **silent, "SEALKEEP_PASSPHRASE": "test", **more}


def on_terminal(home: Path, *arguments: str) -> Terminal:
    return Terminal([*COMMAND, "--home", str(home), *arguments], environment())


def shown_code(link: Terminal) -> str:
    return link.wait_for(r"sealkeep accept (\d+-[a-z]+-[a-z]+-[a-z]+)")[1]


def one_line(done: subprocess.CompletedProcess[str], status: int, said: str) -> None:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("sealkeep: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--home", str(home), *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairing")


@pytest.fixture(scope="module")
def relay(place: Path) -> Iterator[RelayProcess]:
    with RelayProcess(place / "relay") as process:
        yield process


@pytest.fixture(scope="module")
def phone(place: Path, relay: RelayProcess) -> Path:
    """A device with one message, which is sent."""

    async def make() -> None:
        async with created(place / "phone", relay.url) as (vault, _):
            await vault.append(await vault.conversation("telegram:user:42"), Text("good morning 早安"))
            await vault.sync()

    asyncio.run(make())
    return place / "phone"


def test_two_devices_pair_through_their_terminals(place: Path, relay: RelayProcess, phone: Path) -> None:
    with on_terminal(place / "laptop", "link", "--relay", relay.url, "--name", "my laptop") as link:
        code = shown_code(link)
        link.wait_for("within 10 minutes")
        with on_terminal(phone, "accept", code) as accept:
            accept.wait_for("calls itself “my laptop”")
            words = accept.wait_for(r"Both devices show now:  (\w+ \w+ \w+)\n")[1]
            assert link.wait_for(r"Both devices show now:  (\w+ \w+ \w+)\n")[1] == words
            accept.wait_for(r"Are the words the same, and shall it join\? \[y/N\] ")
            accept.type("y\n")
            accept.wait_for("“my laptop” is device 2 of the account")
            assert accept.end() == 0
        link.wait_for("Joined, and fetched 1 message in 1 chat")
        assert link.end() == 0
        assert "█" in link.screen
        assert "Traceback" not in link.screen + accept.screen
    done = run(place / "laptop", "search", "早安")
    assert (done.returncode, done.stderr) == (0, "")
    assert "good morning 早安" in done.stdout


def test_a_wrong_code_fails_with_one_line_and_cannot_be_tried_again(
    place: Path, relay: RelayProcess, phone: Path
) -> None:
    """PAI-02, PAI-04"""
    with on_terminal(place / "tablet", "link", "--relay", relay.url, "--name", "tablet") as link:
        code = shown_code(link)
        first, last = code.rsplit("-", 1)
        wrong = f"{first}-{'zoo' if last != 'zoo' else 'zone'}"
        # A word that no code has is named, and costs nothing.
        one_line(
            run(phone, "accept", f"{first}-zebraa", "--yes"), 2, "no code has the word `zebraa`; did you mean `zebra`"
        )
        one_line(run(phone, "accept", wrong, "--yes"), 1, "the code is wrong, or somebody else has tried it")
        one_line(run(phone, "accept", code, "--yes"), 1, "this code has been used or given up: a code serves once")
        link.wait_for("the other device ended the pairing, or somebody else tried the code")
        assert link.end() == 1
    assert not (place / "tablet" / "vault").exists()


def test_a_device_that_is_killed_comes_back_as_the_same_one(place: Path, relay: RelayProcess, phone: Path) -> None:
    """PAI-11: after the other device was told of it, before it was told that it has joined."""
    home = place / "desktop"
    with on_terminal(home, "link", "--relay", relay.url, "--name", "desktop", "--no-qr") as link:
        code = shown_code(link)
        assert "█" not in link.screen
        with on_terminal(phone, "accept") as accept:
            accept.wait_for("The code that the new device shows: ")
            accept.type(f"{code}\n")
            accept.wait_for(r"\[y/N\] ")
            assert code not in accept.screen
            link.kill()
            accept.type("Yes\n")
            accept.wait_for("“desktop” is device 3 of the account")
            assert accept.end() == 0
    with on_terminal(home, "link", "--name", "other") as link:
        accepted = run(phone, "accept", *shown_code(link).split("-"), "--yes")
        assert (accepted.returncode, accepted.stderr) == (0, "")
        assert "is device 3 of the account" in accepted.stdout
        link.wait_for("Joined, and fetched 1 message in 1 chat")
        assert link.end() == 0


def test_a_no_and_ctrl_c_let_nobody_in(place: Path, relay: RelayProcess, phone: Path) -> None:
    """PAI-10"""
    home = place / "watch"
    with on_terminal(home, "link", "--relay", relay.url) as link:
        with on_terminal(phone, "accept", shown_code(link)) as accept:
            accept.wait_for(r"\[y/N\] ")
            accept.type("\n")
            accept.wait_for("the new device was not let in; its code is used up, and nothing was changed")
            assert accept.end() == 1
        link.wait_for("the other device answered no")
        assert link.end() == 1
    with on_terminal(home, "link", "--relay", relay.url) as link:
        with on_terminal(phone, "accept", shown_code(link)) as accept:
            accept.wait_for(r"\[y/N\] ")
            accept.type("\x03")
            accept.wait_for("stopped: the code is used up")
            assert accept.end() == 130
        link.wait_for("`sealkeep link` goes on from here")
        link.wait_for("the other device ended the pairing")
        assert link.end() == 1


@pytest.mark.parametrize(("by", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_link_that_is_stopped_gives_its_code_up(
    place: Path, relay: RelayProcess, phone: Path, by: int, status: int
) -> None:
    """So that nobody waits for it who is given the code."""
    command = [*COMMAND, "--home", str(place / f"stopped {by}"), "link", "--relay", relay.url, "--json"]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as link:
        assert link.stdout is not None
        code = json.loads(link.stdout.readline())["code"]
        link.send_signal(by)
        _, said = link.communicate(timeout=DEADLINE)
    assert (link.returncode, said) == (status, f"sealkeep: stopped: {STOPPED}\n")
    assert not (place / f"stopped {by}" / "vault").exists()
    one_line(run(phone, "accept", code, "--yes"), 1, "this code has been used or given up: a code serves once")


def test_a_link_that_is_dead_is_waited_for_and_that_is_said(place: Path, relay: RelayProcess, phone: Path) -> None:
    with on_terminal(place / "dead", "link", "--relay", relay.url, "--no-qr") as link:
        code = shown_code(link)
        link.kill()
    command = [*COMMAND, "--home", str(phone), "accept", code, "--yes"]
    with subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as accept:
        assert accept.stderr is not None
        assert accept.stderr.readline() == (
            "sealkeep: the new device has not answered yet: waiting 57 seconds more at most;"
            " is `sealkeep link` running there?\n"
        )
        accept.send_signal(signal.SIGTERM)
        _, said = accept.communicate(timeout=DEADLINE)
    assert accept.returncode == 143
    assert "the code is used up; `sealkeep link` on the new device makes another" in said


def test_a_link_that_is_stopped_while_the_relay_does_not_answer(tmp_path: Path) -> None:
    """As well as may be: it does not wait for long."""
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        command = [*COMMAND, "--home", str(tmp_path / "new"), "link", "--relay", proxy.url, "--json"]
        with subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as link:
            assert link.stdout is not None
            number = json.loads(link.stdout.readline())["code"].split("-")[0]
            asked, goes_on = threading.Event(), threading.Event()
            proxy.before("DELETE", f"/mailboxes/{number}", lambda: (asked.set(), goes_on.wait(DEADLINE)))
            began = time.monotonic()
            link.send_signal(signal.SIGTERM)
            assert link.wait(DEADLINE) == 143
            assert time.monotonic() - began < 10
            assert asked.is_set()
            goes_on.set()


def test_the_words_stand_beside_the_question(place: Path, relay: RelayProcess, phone: Path) -> None:
    """PAI-10: whatever becomes of standard output; and no name moves the cursor."""
    name = "evil\x1b[2J\u202e” wants"
    with on_terminal(place / "evil", "link", "--relay", relay.url, "--name", name, "--no-qr") as link:
        inner = f"{' '.join(COMMAND)} --home {phone} accept {shown_code(link)} --json > {place / 'out'}"
        with Terminal(["/bin/sh", "-c", inner], environment()) as accept:
            accept.wait_for(r"calls itself “evil\[2J' wants”")
            words = accept.wait_for(r"Both devices show now:  (\w+ \w+ \w+)\n")[1]
            assert link.wait_for(r"Both devices show now:  (\w+ \w+ \w+)\n")[1] == words
            accept.wait_for(r"\[y/N\] ")
            accept.type("y\n")
            assert accept.end() == 0
        link.wait_for("Joined")
        assert link.end() == 0
    number = json.loads((place / "out").read_text().splitlines()[1])["device"]
    with on_terminal(phone, "remove", str(number)) as remove:
        remove.wait_for(r"“evil\[2J' wants” \(device")
        remove.wait_for(r"\[y/N\] ")
        remove.type("y\n")
        remove.wait_for(r"Removed “evil\[2J' wants” \(device")
        assert remove.end() == 0
        assert "\x1b[2J" not in remove.screen
        assert "\u202e" not in remove.screen


def test_without_a_terminal(place: Path, relay: RelayProcess, phone: Path) -> None:
    """Nothing is asked, and a program reads one JSON object a line."""
    one_line(run(phone, "accept", "7-guitar-lemon-zebra"), 2, "give --yes")
    one_line(run(phone, "accept", "--yes"), 2, "give the code that `sealkeep link` shows")
    command = [*COMMAND, "--home", str(place / "server"), "link", "--relay", relay.url, "--name", "srv", "--json"]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as link:
        assert link.stdout is not None
        code = json.loads(link.stdout.readline())
        assert (code["type"], code["seconds"]) == ("code", 600)
        accepted = run(phone, "accept", code["full"], "--yes", "--json")
        said = [json.loads(line) for line in accepted.stdout.splitlines()]
        assert [line["type"] for line in said] == ["newcomer", "accept"]
        assert said[1]["name"] == "srv"
        words, joined = (json.loads(link.stdout.readline()) for _ in range(2))
        assert (words["type"], words["words"]) == ("words", said[0]["words"])
        assert (joined["type"], joined["device"], joined["messages"]) == ("link", said[1]["device"], 1)
        assert link.wait(DEADLINE) == 0


def test_an_entry_that_never_appears_ends_the_joining(tmp_path: Path) -> None:
    """PAI-13: at once, with what is safe and both ways on; and the same command joins when the relay shows it."""

    async def make(url: str) -> None:
        async with created(tmp_path / "phone", url):
            pass

    with HostileRelay() as relay:
        asyncio.run(make(relay.door("phone")))
        home = tmp_path / "laptop"
        relay.inject(StaleRoster(entry=0), door="laptop")
        with on_terminal(home, "link", "--relay", relay.door("laptop"), "--no-qr") as link:
            assert run(tmp_path / "phone", "sync").returncode == 0
            assert run(tmp_path / "phone", "accept", shown_code(link), "--yes").returncode == 0
            link.wait_for("`sealkeep link` goes on from here; where it cannot, your other devices have everything")
            link.wait_for("the other device wrote roster entry 1; the relay shows fewer")
            assert link.end() == 3
        again = run(home, "link")
        assert again.returncode == 3
        assert "begins anew in another directory" in again.stderr
        relay.lift()
        assert run(home, "link").returncode == 0
