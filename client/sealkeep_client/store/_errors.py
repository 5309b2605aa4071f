"""The one boundary where errors of the database and of the file system become `StoreError`, a clear line each."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from sealkeep_protocol.errors import StoreError

FULL = "the disk is full: free some space and try again; nothing was half done"


def translate(error: apsw.Error | OSError) -> StoreError:
    """The `StoreError` for an error of apsw or of the operating system. It repeats nothing of theirs but a cause."""
    if isinstance(error, apsw.FullError) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        return StoreError(FULL)
    if isinstance(error, apsw.NotADBError):
        return StoreError(
            "the key does not open this database: it belongs to another home, or one of the two is damaged"
        )
    if isinstance(error, apsw.CorruptError):
        return StoreError("the database is damaged: restore this device from the relay with the recovery kit")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreError("another program has the database open: close it and try again")
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError)) or (
        isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    ):
        return StoreError("the home cannot be written: check the owner and the permissions of its directory")
    if isinstance(error, (apsw.IOError, apsw.CantOpenError, OSError)):
        return StoreError(f"the disk does not read or write: {_reason(error)}")
    return StoreError(f"the database reports {type(error).__name__}")


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


@contextmanager
def storing() -> Iterator[None]:
    """Turn errors of the database and of the file system into `StoreError`."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise translate(error) from error
