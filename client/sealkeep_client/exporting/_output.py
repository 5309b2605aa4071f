"""Where an export goes: a file that appears whole or not at all, or the standard output."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from sealkeep_protocol.errors import StoreError, UsageError

STDOUT = "-"


class ByteWriter(Protocol):
    """What an export is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


@contextmanager
def output(out: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `out` for one export; `-` is the standard output.

    A file is written beside `out`, brought to the disk and renamed when the block ends; whatever goes wrong before leaves
    what was at `out` as it was, and nothing else. Only its owner can read it, unless the file that it replaces was open to
    others. A pipe or a device is written as it stands.

    Raises `UsageError` where `out` is a directory or its directory does not exist, and `StoreError` for an error of the
    disk. Of the standard output, `BrokenPipeError` passes: the reader has seen enough.
    """
    name = os.fspath(out)
    if name == STDOUT:
        with _writing(name):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with _writing(name):
        path = Path(os.path.realpath(name))
        mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise UsageError(f"{name}: is a directory; name a file for the export")
    if mode is None and not path.parent.is_dir():
        raise UsageError(f"{name}: its directory does not exist")
    if mode is not None and not stat.S_ISREG(mode):
        with _writing(name), path.open("wb") as file:
            yield file
        return
    with _writing(name), _replacing(path, mode) as file:
        yield file


@contextmanager
def _replacing(path: Path, mode: int | None) -> Iterator[BinaryIO]:
    descriptor, temporary = tempfile.mkstemp(prefix=".sealkeep-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    # Not every system lets a directory be opened or synced; the file itself is on the disk by now.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextmanager
def _writing(name: str) -> Iterator[None]:
    """Turn errors of the operating system into one clear line. Errors of the store that is read pass as they are."""
    try:
        yield
    except BrokenPipeError:
        if name == STDOUT:
            raise
        raise StoreError(f"{name}: its reader went away; nothing was exported") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"{name}: the disk is full; nothing was exported") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"{name}: may not be written; nothing was exported") from error
        raise StoreError(f"{name}: {error.strerror or type(error).__name__}; nothing was exported") from error
