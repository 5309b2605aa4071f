"""The directory of a device's state: one process at a time, made whole or not at all.

home/             0700
  lock            held while a process has the home open
  evidence/       0700; what proves that somebody lied (spec §11.2), until a person deletes it
  vault/          0700; `vault.new` until the home is complete
    key           the key file
    store.db      the database
    held          only in `vault.new`: the device that is being made may be in a roster already, so nothing removes it
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from sealkeep_client.store._errors import storing
from sealkeep_protocol.errors import StoreError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

KEY_FILE = "key"
DATABASE = "store.db"
EVIDENCE = "evidence"
_COMPLETE, _NEW, _HELD = "vault", "vault.new", "held"


class Home:
    """A locked home directory. Close it, or let the process end: the lock dies with it.

    Raises `StoreError` where another process has it open, or it cannot be made or written.
    """

    __slots__ = ("_lock", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        with storing():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not inherited by children, so that a child that outlives us does not hold the home.
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                _take(lock)
            except OSError:
                os.close(lock)
                raise StoreError(
                    "another process has this home open: close it first, or give another directory with --home"
                ) from None
            self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def complete(self) -> Path:
        """The directory of a home that is complete."""
        return self.path / _COMPLETE

    @property
    def new(self) -> Path:
        """The directory of a home that is being made."""
        return self.path / _NEW

    @property
    def exists(self) -> bool:
        """Whether a complete home is here."""
        return self.complete.is_dir()

    @property
    def held(self) -> bool:
        """Whether a new home is here that must not be lost: see `hold`."""
        return _is_held(self.path)

    def start(self) -> Path:
        """An empty directory for a new home; what an earlier attempt left behind goes. Raises `StoreError`."""
        if self.exists:
            raise StoreError("this home exists already: give another directory, or go on with the one that is here")
        if self.held:
            raise StoreError(
                "this device has begun to join an account here: go on with the command that began it, or give another"
                " directory"
            )
        with storing():
            if self.new.exists():
                shutil.rmtree(self.new)
            self.new.mkdir(mode=0o700)
        return self.new

    def hold(self) -> None:
        """Keep the new home from now on, whatever happens, until it is published. Durable when this returns."""
        with storing():
            sync_directory(self.path)
        write_file(self.new / _HELD, b"")

    def release(self) -> None:
        """Undo `hold`: the device that was begun is of no use any more."""
        with storing():
            (self.new / _HELD).unlink(missing_ok=True)

    def publish(self) -> None:
        """Make the new home the complete one: a single rename, durable when this returns. Raises `StoreError`."""
        with storing():
            sync_directory(self.new)
            self.new.rename(self.complete)
            sync_directory(self.path)
            (self.complete / _HELD).unlink(missing_ok=True)  # means nothing any more

    def close(self) -> None:
        """Let go of the lock. May be called again."""
        if self._lock >= 0:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = -1


def is_held(path: Path) -> bool:
    """Whether a device was begun at `path` that `Store.resume` goes on with; takes no lock."""
    return not is_home(path) and _is_held(path)


def _is_held(path: Path) -> bool:
    return (path / _NEW / _HELD).is_file()


def is_unmade(path: Path) -> bool:
    """Whether no home is at `path` and nobody is making one there, as far as one can tell by its lock."""
    if not path.is_dir():
        return True
    try:
        with Home(path) as home:
            return not (home.exists or home.held)
    except StoreError:
        return False


def is_home(path: Path) -> bool:
    """Whether a complete home is at `path`; takes no lock."""
    return (path / _COMPLETE).is_dir()


def write_file(path: Path, data: bytes) -> None:
    """Write a small file whole: mode 0600, synced, renamed into place. Raises `StoreError`."""
    scratch = path.with_name(path.name + ".tmp")
    with storing():
        with suppress(FileNotFoundError):
            scratch.unlink()
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable, where the system can."""
    if sys.platform == "win32":  # pragma: no cover
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    if sys.platform == "win32":  # pragma: no cover
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
