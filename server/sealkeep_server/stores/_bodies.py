"""Bodies and chunks as files: `bodies/<shard>/<number>`, named in a row by one integer, `shard << 20 | number`.

A body is written and synced under `incoming/` first. The writer moves it into place, and syncs the directory, just
before it commits the row that names it: a row never names a file that a power cut can take away. Every process starts
a shard of its own, so that whatever an earlier one left without a row can be swept while this one goes on writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sealkeep_server.stores._interface import DamagedError, StagedBody

SHARD_FILES = 1024
_SHARD_BITS = 20
_HEX = frozenset("0123456789abcdef")


class BodyFiles:
    """The two folders. `stage`, `read` and `discard` may be called from any thread, `adopt` and `sync` from one."""

    def __init__(self, data: Path) -> None:
        self._bodies = data / "bodies"
        self._incoming = data / "incoming"
        # Nothing under `incoming/` has a row.
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700)
        self._bodies.mkdir(mode=0o700, exist_ok=True)
        _sync_directory(data)
        self._first_shard = self._shard = max((shard for shard, _ in self._shards()), default=0) + 1
        self._used = 0
        self._directory: int | None = None
        self._unsynced = False
        self._names = itertools.count()

    def close(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def stage(self, body: bytes) -> StagedBody:
        """Write and sync a body that no row names yet. Raises `OSError`."""
        name = f"{next(self._names):x}"
        path = self._incoming / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(descriptor, body)
            os.fsync(descriptor)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        return StagedBody(name, len(body))

    def arrive(self) -> ArrivingFile:
        """Begin to write a body that comes slice by slice. Raises `OSError`."""
        name = f"{next(self._names):x}"
        return ArrivingFile(self._incoming / name, name)

    def discard(self, staged: Iterable[StagedBody]) -> None:
        for body in staged:
            with contextlib.suppress(OSError):  # what stays is swept at the next start
                os.unlink(self._incoming / body.key)

    def adopt(self, staged: StagedBody) -> int:
        """Move a staged body into place and return its number. Durable after `sync`. Raises `OSError`."""
        if self._directory is None or self._used == SHARD_FILES:
            self._next_shard()
        number = self._shard << _SHARD_BITS | self._used
        os.rename(self._incoming / staged.key, self._path(number))
        self._used += 1
        self._unsynced = True
        return number

    def give_back(self, number: int, staged: StagedBody) -> None:
        """Undo `adopt`: the write that it was for did not happen, and its caller still owns the staged body."""
        with contextlib.suppress(OSError):
            os.rename(self._path(number), self._incoming / staged.key)

    def sync(self) -> None:
        """Make the moves since the last call durable. Raises `OSError`."""
        if self._unsynced and self._directory is not None:
            os.fsync(self._directory)
            self._unsynced = False

    def read(self, number: int, size: int) -> bytes:
        """Read a body. Raises `DamagedError` where it is not there in its whole length."""
        file = self.open(number, size)
        try:
            return file.read(0, size)
        finally:
            file.close()

    def open(self, number: int, size: int) -> StoredFile:
        """Open a body to read parts of it. Raises `DamagedError` likewise."""
        try:
            descriptor = os.open(self._path(number), os.O_RDONLY)
        except FileNotFoundError as error:
            raise DamagedError("a stored body is missing") from error
        file = StoredFile(descriptor, size)
        if os.fstat(descriptor).st_size != size:
            file.close()
            raise DamagedError("a stored body has another length than its row says")
        return file

    def erase(self, numbers: Iterable[int]) -> None:
        """Unlink bodies whose rows are gone."""
        for number in numbers:
            with contextlib.suppress(OSError):  # what stays is swept at the next start
                os.unlink(self._path(number))

    def sweep(self, named: Callable[[int, int], set[int]]) -> int:
        """Unlink files of earlier processes that no row names; `named(low, high)` gives the numbers that rows name.

        Returns how many were unlinked. Empty folders go too.
        """
        swept = 0
        for shard, path in list(self._shards()):
            if shard >= self._first_shard:
                continue
            low, high = shard << _SHARD_BITS, (shard + 1) << _SHARD_BITS
            rows = named(low, high)
            for entry in list(os.scandir(path)):
                number = _number(entry.name, 3)
                if number is not None and low | number not in rows:
                    with contextlib.suppress(FileNotFoundError):  # erased meanwhile
                        os.unlink(entry.path)
                        swept += 1
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(path)
        return swept

    def _shards(self) -> Iterator[tuple[int, str]]:
        for entry in list(os.scandir(self._bodies)):
            shard = _number(entry.name, 8)
            if shard is not None:
                yield shard, entry.path

    def _next_shard(self) -> None:
        if self._directory is not None:
            self.sync()
            os.close(self._directory)
            self._directory = None
            self._shard += 1
        path = self._bodies / f"{self._shard:08x}"
        path.mkdir(exist_ok=True)
        _sync_directory(self._bodies)
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._used = 0

    def _path(self, number: int) -> Path:
        return self._bodies / f"{number >> _SHARD_BITS:08x}" / f"{number & (1 << _SHARD_BITS) - 1:03x}"


class ArrivingFile:
    """A staged body in the making, hashed on its way. Made by `BodyFiles.arrive`; methods raise `OSError`.

    Calls from several threads wait for each other: whoever gives up may come before what he began has ended.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self.size = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes so far."""
        return self._hash.digest()

    def write(self, data: bytes) -> None:
        with self._lock:
            if self._descriptor is None:
                raise OSError("the file is closed")
            _write_all(self._descriptor, data)
            self._hash.update(data)
            self.size += len(data)

    def finish(self) -> StagedBody:
        """Sync it. From here on it is as what `BodyFiles.stage` returns."""
        with self._lock:
            if self._descriptor is None:
                raise OSError("the file is closed")
            os.fsync(self._descriptor)
            self._close()
            return StagedBody(self._name, self.size)

    def discard(self) -> None:
        """Take it away, unless it was moved into place."""
        with self._lock:
            self._close()
            with contextlib.suppress(OSError):  # what stays is swept at the next start
                os.unlink(self._path)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class StoredFile:
    """A stored body that is open. Made by `BodyFiles.open`; may be called from any thread."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on, or up to the end. Raises `DamagedError` where they are not there."""
        wanted = min(size, self.size - offset)
        with self._lock:
            if self._descriptor is None:
                raise OSError("the file is closed")
            data = os.pread(self._descriptor, wanted, offset)
            while len(data) < wanted and (rest := os.pread(self._descriptor, wanted - len(data), offset + len(data))):
                data += rest
        if len(data) != wanted:
            raise DamagedError("a stored body has another length than its row says")
        return data

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def _number(name: str, digits: int) -> int | None:
    """The number that one of our own files or folders is named by; None for what somebody else has put there."""
    return int(name, 16) if len(name) == digits and set(name) <= _HEX else None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
