"""The home directory: one process at a time, whole or not there, and its key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.errors
import pytest

from sealkeep_client.store import Keyring, Passphrase, Store, Strength, is_held, is_home, unlock_method
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import StoreError, UsageError

CHEAP = Strength(1, 8192)


class Memory(keyring.backend.KeyringBackend):
    """A keyring that works."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))


class Forgetful(Memory):
    """A keyring that swallows what it is given."""

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Locked(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("locked")


def make(path: Path, unlock: Passphrase | Keyring) -> None:
    with Store.create(path, unlock) as store:
        store.sync.put("mine", b"1")
        store.publish()
        assert store.sync.get("mine") == b"1"  # the store goes on after it was published


# --- passphrase -----------------------------------------------------------------------------------------------------


def test_passphrase_opens_what_it_made(tmp_path: Path) -> None:
    make(tmp_path, Passphrase("caf\u00e9", strength=CHEAP))
    assert is_home(tmp_path)
    assert unlock_method(tmp_path) == "passphrase"
    asked = []

    def ask() -> str:
        asked.append(1)
        return "cafe\u0301"  # the same text, as another keyboard types it

    with Store.open(tmp_path, Passphrase(ask)) as store:
        assert store.sync.get("mine") == b"1"
    assert asked == [1]


def test_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path, Passphrase("right", strength=CHEAP))
    before = {path.name: path.read_bytes() for path in (tmp_path / "vault").iterdir()}
    with pytest.raises(StoreError, match="wrong passphrase"):
        Store.open(tmp_path, Passphrase("wrong"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "vault").iterdir()} == before
    with Store.open(tmp_path, Passphrase("right")) as store:
        assert store.sync.get("mine") == b"1"


def test_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        Store.create(tmp_path, Passphrase(""))
    assert not is_home(tmp_path)
    make(tmp_path, Passphrase("better", strength=CHEAP))


def test_no_secret_in_a_repr() -> None:
    assert "secret" not in repr(Passphrase("secret"))
    assert repr(Keyring()) == "Keyring()"


@pytest.mark.parametrize("change", [{6: b""}, {4: 1 << 20}, {5: 1 << 40}, {3: b"short"}, {1: 2}, {7: 0}])
def test_damaged_key_file(tmp_path: Path, change: dict[int, object]) -> None:
    make(tmp_path, Passphrase("right", strength=CHEAP))
    key_file = tmp_path / "vault" / "key"
    fields = cbor.decode(key_file.read_bytes(), limit=1024)
    key_file.write_bytes(cbor.encode(fields | change))
    with pytest.raises(StoreError):
        Store.open(tmp_path, Passphrase("right"))


def test_every_changed_byte_of_a_key_file_is_a_store_error(tmp_path: Path) -> None:
    make(tmp_path, Passphrase("right", strength=CHEAP))
    key_file = tmp_path / "vault" / "key"
    whole = key_file.read_bytes()
    for place in range(len(whole)):
        key_file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError):
            Store.open(tmp_path, Passphrase("right"))


# --- keyring --------------------------------------------------------------------------------------------------------


def test_keyring_opens_what_it_made(tmp_path: Path) -> None:
    backend = Memory()
    make(tmp_path, Keyring(backend))
    assert unlock_method(tmp_path) == "keyring"
    with Store.open(tmp_path, Keyring(backend)) as store:
        assert store.sync.get("mine") == b"1"


@pytest.mark.parametrize(
    "backend", [keyring.backends.fail.Keyring(), keyring.backends.null.Keyring(), Forgetful(), Locked()]
)
def test_keyring_that_does_not_keep_is_noticed(tmp_path: Path, backend: keyring.backend.KeyringBackend) -> None:
    with pytest.raises(StoreError, match="keyring"):
        Store.create(tmp_path, Keyring(backend))
    assert not is_home(tmp_path)
    make(tmp_path, Passphrase("instead", strength=CHEAP))


def test_keyring_without_the_key(tmp_path: Path) -> None:
    backend = Memory()
    make(tmp_path, Keyring(backend))
    with pytest.raises(StoreError, match="no key for this home"):
        Store.open(tmp_path, Keyring(Memory()))
    for name in backend.kept:
        backend.kept[name] = "something else"
    with pytest.raises(StoreError, match="something else"):
        Store.open(tmp_path, Keyring(backend))
    with pytest.raises(StoreError, match="locked"):
        Store.open(tmp_path, Keyring(Locked()))


def test_the_other_way_to_unlock_is_named(tmp_path: Path) -> None:
    make(tmp_path, Passphrase("right", strength=CHEAP))
    with pytest.raises(StoreError, match="kept under a passphrase"):
        Store.open(tmp_path, Keyring(Memory()))


# --- the directory --------------------------------------------------------------------------------------------------


def test_second_opener_gets_one_clear_line(tmp_path: Path, unlock: Passphrase, store: Store) -> None:
    with pytest.raises(StoreError, match=r"another process has this home open: close it first"):
        Store.open(tmp_path / "home", unlock)
    with pytest.raises(StoreError, match="another process"):
        Store.create(tmp_path / "home", unlock)


def test_lock_dies_with_its_process(tmp_path: Path, unlock: Passphrase) -> None:
    make(tmp_path / "home", unlock)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom sealkeep_client.store import Passphrase, Store\n"
        "store = Store.open(Path(sys.argv[1]), Passphrase('correct horse'))\nprint('open', flush=True)\ntime.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "home")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match="another process"):
        Store.open(tmp_path / "home", unlock)
    child.kill()
    child.wait()
    Store.open(tmp_path / "home", unlock).close()


def test_only_the_owner_may_look(tmp_path: Path, store: Store) -> None:
    store.sync.put("mine", b"1")
    home = tmp_path / "home"
    assert {path.stat().st_mode & 0o777 for path in (home, home / "vault")} == {0o700}
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"lock", "key", "store.db", "store.db-wal"}
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_an_attempt_cut_short_blocks_nothing(tmp_path: Path) -> None:
    """A home counts from `publish` on; what came before, with another passphrase, is forgotten."""
    first = Store.create(tmp_path, Passphrase("first", strength=CHEAP))
    first.sync.put("mine", b"half")
    first.close()
    assert not is_home(tmp_path)
    with pytest.raises(StoreError, match="no home here"):
        Store.open(tmp_path, Passphrase("first"))
    with Store.create(tmp_path, Passphrase("second", strength=CHEAP)) as second:
        assert second.sync.get("mine") is None
        second.publish()
    Store.open(tmp_path, Passphrase("second")).close()
    with pytest.raises(StoreError, match="exists already"):
        Store.create(tmp_path, Passphrase("third", strength=CHEAP))


def test_a_held_home_is_gone_on_with(tmp_path: Path) -> None:
    """PAI-11: what it holds may be in a roster already: no later attempt removes it, until it is published or released."""
    unlock = Passphrase("right", strength=CHEAP)
    with Store.create(tmp_path, unlock) as store:
        store.sync.put("mine", b"1")
        assert not is_held(tmp_path)
        store.hold()
        store.hold()
    assert is_held(tmp_path)
    assert not is_home(tmp_path)
    assert unlock_method(tmp_path) is None
    assert unlock_method(tmp_path, held=True) == "passphrase"
    with pytest.raises(StoreError, match="go on with the command that began it"):
        Store.create(tmp_path, unlock)
    with pytest.raises(StoreError, match="wrong passphrase"):
        Store.resume(tmp_path, Passphrase("wrong"))
    with pytest.raises(StoreError, match="no home here"):
        Store.open(tmp_path, unlock)
    with Store.resume(tmp_path, unlock) as store:
        assert store.sync.get("mine") == b"1"
        with pytest.raises(StoreError, match="another process has this home open"):
            Store.resume(tmp_path, unlock)
        store.publish()
        assert not is_held(tmp_path)
        assert sorted(path.name for path in (tmp_path / "vault").iterdir() if path.suffix != ".db-wal")[:1] == ["key"]
    assert unlock_method(tmp_path, held=True) is None
    with pytest.raises(StoreError, match="nothing was begun here"):
        Store.resume(tmp_path, unlock)
    with Store.open(tmp_path, unlock) as store:
        assert store.sync.get("mine") == b"1"


def test_a_home_that_is_released_is_removed_by_the_next_one(tmp_path: Path) -> None:
    unlock = Passphrase("right", strength=CHEAP)
    with Store.create(tmp_path, unlock) as store:
        store.sync.put("mine", b"1")
        store.hold()
        store.release()
        store.release()
    with pytest.raises(StoreError, match="nothing was begun here"):
        Store.resume(tmp_path, unlock)
    with Store.create(tmp_path, unlock) as store:
        assert store.sync.get("mine") is None


def test_publish_twice(store: Store) -> None:
    with pytest.raises(UsageError):
        store.publish()


def test_no_home(tmp_path: Path, unlock: Passphrase) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(StoreError, match="sealkeep init"):
            Store.open(path, unlock)
    assert list(tmp_path.iterdir()) == []
    assert unlock_method(tmp_path) is None


@pytest.mark.parametrize("name", ["key", "store.db"])
def test_missing_file(tmp_path: Path, unlock: Passphrase, name: str) -> None:
    make(tmp_path, unlock)
    (tmp_path / "vault" / name).unlink()
    with pytest.raises(StoreError, match="missing"):
        Store.open(tmp_path, unlock)


def test_key_of_another_home(tmp_path: Path, unlock: Passphrase) -> None:
    make(tmp_path / "a", unlock)
    make(tmp_path / "b", unlock)
    (tmp_path / "a/vault/key").replace(tmp_path / "b/vault/key")
    with pytest.raises(StoreError, match="the key does not open this database"):
        Store.open(tmp_path / "b", unlock)


def test_closing_twice(store: Store) -> None:
    store.close()
    store.close()
