"""The files beside an export: a message names one, and it is opened only where it lies inside the export.

Whoever made an export, or wrote into a chat, may have named any path: nothing outside the export's own folder or zip is
ever opened, and no link is followed to get there.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from sealkeep_protocol.errors import SourceError

from ._source import FileSource, Source, Stream, ZipSource, unreadable

_MOST_PARTS: Final = 16
_MOST_PATH: Final = 1_024  # characters
# A picture or film is compressed already: a member that grows so much fills the disk, and shows nothing.
_MOST_GROWTH: Final = 1_000
_HARMLESS: Final = 1 << 24  # bytes, however much it grows
_FOLDER_FLAGS: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE_FLAGS: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe must not be waited for
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_FILE: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EMLINK,
        errno.EISDIR,
        errno.ENXIO,
        errno.ENAMETOOLONG,
        errno.EINVAL,
    }
)


class OutsideError(SourceError):
    """A path that leads out of its export, or through a link: it is not looked at."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: names a file outside the export: left out", path=path)


class ExportFiles(ABC):
    """The files of one export, by paths relative to where it lies."""

    def open(self, paths: Iterable[str]) -> tuple[Stream, int] | None:
        """The first that is there, opened, and its size in bytes; None where none is.

        Raises `OutsideError` where a path leads elsewhere, and `SourceError` for a file that cannot be read.
        """
        for path in paths:
            if leads_outside(path):
                raise OutsideError(self.path)
            parts = _parts(path)
            if parts and (found := self._open(parts)) is not None:
                return found
        return None

    @property
    @abstractmethod
    def path(self) -> str:
        """The folder or zip, for people."""

    @abstractmethod
    def _open(self, parts: tuple[str, ...]) -> tuple[Stream, int] | None:
        """The file at a path of plain names."""


class FolderFiles(ExportFiles):
    """The files in a folder and those below."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def path(self) -> str:
        return str(self._folder)

    def _open(self, parts: tuple[str, ...]) -> tuple[Stream, int] | None:
        path = str(self._folder.joinpath(*parts))
        try:
            descriptor = _descend(self._folder, parts)
        except OSError as error:
            if error.errno == errno.ELOOP or (
                error.errno in (errno.EMLINK, errno.ENOTDIR) and _has_link(self._folder, parts)
            ):
                raise OutsideError(self.path) from error
            if error.errno in _NO_FILE:
                return None
            raise unreadable(path, error) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                os.close(descriptor)
                return None
            return Stream(os.fdopen(descriptor, "rb", buffering=0), path), found.st_size
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise


class ZipFiles(ExportFiles):
    """The members of a zip in a folder of it, and those below."""

    def __init__(self, archive: Path, folder: tuple[str, ...]) -> None:
        self._archive = archive
        self._folder = folder
        self._members: dict[str, zipfile.ZipInfo] | None = None

    @property
    def path(self) -> str:
        return str(self._archive)

    def _open(self, parts: tuple[str, ...]) -> tuple[Stream, int] | None:
        name = "/".join((*self._folder, *parts))
        if self._members is None:
            try:
                with zipfile.ZipFile(self._archive) as opened:
                    self._members = {info.filename: info for info in opened.infolist() if not info.is_dir()}
            except (OSError, zipfile.BadZipFile) as error:
                raise SourceError(
                    f"{self._archive}: this zip cannot be read any more", path=str(self._archive)
                ) from error
        info = self._members.get(name)
        if info is None:
            return None
        if stat.S_ISLNK(info.external_attr >> 16):
            raise OutsideError(self.path)
        if info.file_size > max(_HARMLESS, _MOST_GROWTH * info.compress_size):
            raise SourceError(
                f"{self._archive}/{name}: grows to {info.file_size >> 20} MiB, as no file of a chat does: left out",
                path=f"{self._archive}/{name}",
            )
        return ZipSource(self._archive, info).open(), info.file_size


def files_beside(source: Source) -> ExportFiles:
    """The files that lie where an export lies."""
    if isinstance(source, ZipSource):
        return ZipFiles(source.archive, tuple(source.member.filename.split("/")[:-1]))
    if isinstance(source, FileSource):
        return FolderFiles(source.file.parent)
    raise TypeError(f"no source of files: {type(source).__name__}")


def leads_outside(path: str) -> bool:
    """Whether a path is absolute or goes up, on any system."""
    parts = _split(path)
    return bool(path) and (parts[0] == "" or (parts[0][1:2] == ":" and parts[0][0].isalpha()) or ".." in parts)


def _split(path: str) -> list[str]:
    return path.replace("\\", "/").split("/")  # exports of Windows have its separators


def _parts(path: str) -> tuple[str, ...]:
    """The names that a relative path is made of, none for what can be no file's."""
    if not path or len(path) > _MOST_PATH or "\0" in path:
        return ()
    parts = _split(path)
    named = tuple(part for part in parts if part not in ("", "."))
    return named if len(named) <= _MOST_PARTS else ()


def _descend(folder: Path, parts: tuple[str, ...]) -> int:
    """Open a file below a folder, name by name, so that no link is followed, whatever changes meanwhile."""
    if os.open not in os.supports_dir_fd:  # pragma: no cover (Windows: looked at first, as well as can be)
        if _has_link(folder, parts):
            raise OSError(errno.ELOOP, "a link")
        return os.open(folder.joinpath(*parts), os.O_RDONLY | _FILE_FLAGS)
    here = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | _FOLDER_FLAGS, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(parts[-1], os.O_RDONLY | _FILE_FLAGS, dir_fd=here)
    finally:
        os.close(here)


def _has_link(folder: Path, parts: tuple[str, ...]) -> bool:
    for part in parts:
        folder = folder / part
        with suppress(OSError):
            if folder.is_symlink():
                return True
    return False
