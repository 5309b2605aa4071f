"""Where the passphrase comes from, in which order, and that nothing is asked without a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import pytest

from sealkeep_client.cli import _passphrase
from sealkeep_client.store import INTERACTIVE, Keyring, Passphrase, Store, Unlock
from sealkeep_protocol.errors import StoreError, UsageError


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory; it may forget what it is given."""

    priority = 1

    def __init__(self, *, forgets: bool = False) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.forgets = forgets

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self.forgets:
            self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self.kept.pop((service, username), None)


class AskedError(Exception):
    """Somebody was asked where nobody is."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No passphrase, no keyring, no terminal."""
    monkeypatch.delenv(_passphrase.VARIABLE, raising=False)
    use_ring(monkeypatch, keyring.backends.fail.Keyring())
    use_terminal(monkeypatch, None)


def use_ring(monkeypatch: pytest.MonkeyPatch, ring: keyring.backend.KeyringBackend) -> None:
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)


def use_terminal(monkeypatch: pytest.MonkeyPatch, answers: list[str] | None) -> None:
    def answer(prompt: str, stream: object = None) -> str:
        if answers is None:
            raise AskedError(prompt)
        if not answers:
            raise EOFError
        return answers.pop(0)

    monkeypatch.setattr(_passphrase, "_is_terminal", lambda: answers is not None)
    monkeypatch.setattr(_passphrase.getpass, "getpass", answer)


def make(home: Path, unlock: Unlock) -> None:
    store = Store.create(home, unlock)
    store.publish()
    store.close()


def reveals(unlock: Unlock, passphrase: str) -> bool:
    """Whether it is this passphrase: what is kept under it opens with it."""
    fields = {1: 1, 2: "passphrase", **Passphrase(passphrase, strength=INTERACTIVE).protect(bytes(32))}
    try:
        return unlock.reveal(fields) == bytes(32)
    except StoreError:
        return False


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_passphrase.VARIABLE, "from outside")
    use_ring(monkeypatch, Ring())
    assert reveals(_passphrase.for_new_home(tmp_path), "from outside")
    make(tmp_path, Passphrase("from outside", strength=INTERACTIVE))
    assert reveals(_passphrase.for_home(tmp_path), "from outside")


def test_then_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    use_ring(monkeypatch, ring)
    use_terminal(monkeypatch, [])
    assert isinstance(_passphrase.for_new_home(tmp_path), Keyring)
    assert not ring.kept  # the probe is gone
    make(tmp_path, Keyring(ring))
    assert isinstance(_passphrase.for_home(tmp_path), Keyring)
    monkeypatch.setenv(_passphrase.VARIABLE, "not needed")
    assert isinstance(_passphrase.for_home(tmp_path), Keyring)


@pytest.mark.parametrize("ring", [Ring(forgets=True), keyring.backends.null.Keyring(), keyring.backends.fail.Keyring()])
def test_a_keyring_that_keeps_nothing_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: keyring.backend.KeyringBackend
) -> None:
    use_ring(monkeypatch, ring)
    with pytest.raises(UsageError, match="no passphrase: set SEALKEEP_PASSPHRASE"):
        _passphrase.for_new_home(tmp_path)


def test_then_a_person_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_terminal(monkeypatch, ["typed", "typed"])
    assert reveals(_passphrase.for_new_home(tmp_path), "typed")
    assert "Nobody can tell you a forgotten one" in capsys.readouterr().err
    make(tmp_path, Passphrase("typed", strength=INTERACTIVE))
    use_terminal(monkeypatch, ["typed"])
    assert reveals(_passphrase.for_home(tmp_path), "typed")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["one", "two"], "the two passphrases differ"),
        ([""], "the passphrase is empty"),
        ([], "no passphrase was given"),
    ],
)
def test_answers_that_do_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], said: str) -> None:
    use_terminal(monkeypatch, answers)
    with pytest.raises(UsageError, match=said):
        _passphrase.for_new_home(tmp_path)


def test_an_empty_variable_is_no_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_passphrase.VARIABLE, "")
    with pytest.raises(UsageError, match="the passphrase is empty"):
        _passphrase.for_new_home(tmp_path)


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    make(tmp_path, Passphrase("x", strength=INTERACTIVE))
    with pytest.raises(UsageError, match="this vault needs its passphrase: set SEALKEEP_PASSPHRASE"):
        _passphrase.for_home(tmp_path)


def test_a_home_that_is_missing_or_there_already(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no vault in"):
        _passphrase.for_home(tmp_path / "none")
    make(tmp_path, Passphrase("x", strength=INTERACTIVE))
    with pytest.raises(StoreError, match="there is a vault in"):
        _passphrase.for_new_home(tmp_path)


def test_the_passphrase_of_a_home_that_a_pairing_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.create(tmp_path, Passphrase("x", strength=INTERACTIVE)) as store:
        store.hold()
    with pytest.raises(StoreError, match="only then is there a vault"):
        _passphrase.for_home(tmp_path)
    with pytest.raises(UsageError, match="set SEALKEEP_PASSPHRASE"):
        _passphrase.for_home(tmp_path, held=True)
    monkeypatch.setenv(_passphrase.VARIABLE, "x")
    with Store.resume(tmp_path, _passphrase.for_home(tmp_path, held=True)):
        pass


def test_a_process_without_standard_input_has_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stdin", None)
    assert not _passphrase._is_terminal()
