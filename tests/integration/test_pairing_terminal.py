"""Two processes pair over a real relay, each on a terminal of its own; what goes wrong is one clear line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealkeep_client import Text
from support.relay import RelayProcess
from support.terminal import Terminal
from support.vaults import created

COMMAND = [sys.executable, "-m", "sealkeep_client.cli"]
DEADLINE = 60.0


def environment(**more: str) -> dict[str, str]:
    """No keyring; a passphrase that both devices have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEALKEEP_", "COVERAGE_"))}
    kept.pop("NO_COLOR", None)
    silent = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "TERM": "xterm", "COLUMNS": "120"}
    return {**kept, **silent, "SEALKEEP_PASSPHRASE": "test", **more}


def on_terminal(home: Path, *arguments: str) -> Terminal:
    return Terminal([*COMMAND, "--home", str(home), *arguments], environment())


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
        code = link.wait_for(r"sealkeep accept (\d+-[a-z]+-[a-z]+-[a-z]+)")[1]
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
