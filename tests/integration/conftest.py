"""What the tests of the commands share: a relay, and a phone whose chats are imported and sent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from nacl.pwhash import argon2id

from sealkeep_client.cli import _passphrase, main
from sealkeep_client.store import Passphrase, Strength
from support.commands import Said, Sealkeep
from support.exports_telegram import write_telegram
from support.exports_wechat import write_wechat
from support.relay import RelayProcess

WEAKEST = Strength(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)


@pytest.fixture
def sealkeep(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sealkeep:
    """Runs `sealkeep` on a home in this process, with a passphrase from the environment that is quick to check."""
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "correct horse")
    monkeypatch.setattr(_passphrase, "Passphrase", partial(Passphrase, strength=WEAKEST))

    def run(home: Path, *arguments: object) -> Said:
        status = main(["--home", str(home), *map(str, arguments)])
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="package")
def relay(place: Path) -> Iterator[RelayProcess]:
    with RelayProcess(place / "relay") as process:
        yield process


@pytest.fixture(scope="package")
def exports(place: Path) -> list[Path]:
    return [write_telegram(place / "telegram").path, write_wechat(place / "wechat").path.parent]


@pytest.fixture
def phone(place: Path, relay: RelayProcess, exports: list[Path], sealkeep: Sealkeep) -> Path:
    """A home whose chats are imported and sent; made once."""
    home = place / "phone"
    if not home.exists():
        assert sealkeep(home, "init", "--relay", relay.url, "--kit", place / "kit.txt", "--name", "phone").status == 0
        assert sealkeep(home, "import", *exports).status == 0
        assert sealkeep(home, "sync").status == 0
    return home
