"""Bytes of exports: plain files and members of zips behind one face, with every failure turned into `SourceError`."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from sealkeep_protocol.errors import SourceError

CHUNK = 1 << 18
MAX_LINE = 4 << 20  # bytes; no app writes a longer one

# What zipfile raises for damaged, encrypted and oddly compressed members.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


class Stream:
    """An open source. `position` is the number of bytes read. Raises `SourceError` where reading fails."""

    def __init__(self, raw: IO[bytes], path: str) -> None:
        self._raw = raw
        self.path = path
        self.position = 0

    def read(self, size: int) -> bytes:
        try:
            data = self._raw.read(size)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except _ZIP_ERRORS as error:
            raise SourceError(
                f"{self.path}: this part of the zip is damaged or locked; download or export it again", path=self.path
            ) from error
        self.position += len(data)
        return data

    def lines(self) -> Iterator[bytes]:
        """The lines without their `\\n`. Only `\\n` ends a line: chat texts hold the other separators."""
        rest = b""
        while chunk := self.read(CHUNK):
            parts = (rest + chunk).split(b"\n")
            rest = parts.pop()
            yield from parts
            if len(rest) > MAX_LINE:
                raise SourceError(f"{self.path}: a line of more than 4 MiB: this is not a chat export", path=self.path)
        if rest:
            yield rest

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()


class Source(ABC):
    """Something that can be opened again and again. `path` is for people, `parents` the names of what it lies in.

    `is_named` says whether every process finds it, in every working directory: `/dev/stdin` is another file in each.
    """

    path: str
    is_named: bool
    name: str
    parents: tuple[str, ...]
    size: int

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @abstractmethod
    def open(self) -> Stream:
        """Open for reading from the beginning. Raises `SourceError`."""

    def head(self, size: int = 1 << 16) -> bytes:
        with self.open() as stream:
            return stream.read(size)


class FileSource(Source):
    """A file on disk."""

    def __init__(self, file: Path) -> None:
        self.file, self.is_named = _named(file)
        self.path = str(file)
        self.name = file.name
        self.parents = (file.absolute().parent.name,)
        try:
            self.size = file.stat().st_size
        except OSError as error:
            raise unreadable(self.path, error) from error

    def open(self) -> Stream:
        try:
            return Stream(self.file.open("rb"), self.path)
        except OSError as error:
            raise unreadable(self.path, error) from error


class ZipSource(Source):
    """A member of a zip. The zip's own name is its outermost parent."""

    def __init__(self, archive: Path, member: zipfile.ZipInfo) -> None:
        self.archive, self.is_named = _named(archive)
        self.member = member
        self.path = f"{archive}/{member.filename}"
        *folders, self.name = member.filename.split("/")
        self.parents = (folders[-1] if folders else archive.name, archive.name)
        self.size = member.file_size

    def open(self) -> Stream:
        try:
            # ZipFile closes with its last open member: nothing is left open behind the stream.
            with zipfile.ZipFile(self.archive) as archive:
                return Stream(archive.open(self.member), self.path)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except _ZIP_ERRORS as error:
            raise SourceError(
                f"{self.path}: this part of the zip is damaged or locked; download or export it again", path=self.path
            ) from error


def members(archive: Path) -> list[ZipSource]:
    """The files inside a zip, by name. Raises `SourceError` where it is not a whole zip."""
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
    except OSError as error:
        raise unreadable(str(archive), error) from error
    except _ZIP_ERRORS as error:
        raise SourceError(
            f"{archive}: this zip is damaged or cut short; download or export it again", path=str(archive)
        ) from error
    return [ZipSource(archive, info) for info in sorted(infos, key=lambda info: info.filename)]


def _named(path: Path) -> tuple[Path, bool]:
    """A path by which every process finds this file, and whether there is one: a deleted file still open has none."""
    named = path.resolve()
    try:
        return (named, True) if named.samefile(path) else (path, False)
    except OSError:
        return path, False


def unreadable(path: str, error: OSError) -> SourceError:
    """The one line for a file that the system does not give."""
    return SourceError(f"{path}: cannot be read: {error.strerror or 'input/output error'}", path=path)
