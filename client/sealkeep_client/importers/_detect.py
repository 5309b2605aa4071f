"""Finds the exports under paths, by what files hold and not by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

from sealkeep_protocol.errors import SourceError

from ._model import Export, Exports, ImportOptions, Problem
from ._source import FileSource, Source, ZipSource, members, unreadable
from ._telegram import TelegramExport
from ._wechat import WeChatExport, columns
from ._whatsapp import WhatsAppExport, ambiguous
from ._whatsapp_dates import read_header

_ZIP = b"PK\x03\x04"
_TELEGRAM_KEY = re.compile(
    r'"(?:messages|chats|left_chats|personal_information|contacts|frequent_contacts|sessions|profile_pictures|stories)"\s*:'
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# In a folder, files of these kinds are expected to be exports; others are the chats' pictures and the like.
_SUFFIXES = frozenset({".json", ".csv", ".txt", ".zip"})
_HEAD = 1 << 16
_FIRST_LINES = 20


def open_exports(paths: Iterable[str | PathLike[str]], *, options: ImportOptions | None = None) -> Exports:
    """Recognise the exports at `paths`: files, folders with files at any depth, and zips.

    A path that is itself a file must be an export; in a folder or zip, other files are passed over, and those that only
    their name makes an export are problems. Day and month of WhatsApp exports are settled over all of them, at last by the
    options. Raises `SourceError`, one line for a person, where a path is unreadable, empty, not a chat or of a wrong
    encoding, and where dates stay ambiguous. What is wrong further inside shows in `Export.batches`.
    """
    problems: list[Problem] = []
    found: list[Export] = []
    seen: set[Path] = set()
    for path in map(Path, paths):
        found += _at(path, problems, seen)
    _settle([export for export in found if isinstance(export, WhatsAppExport)], options or ImportOptions())
    return Exports(tuple(found), tuple(problems))


def _at(path: Path, problems: list[Problem], seen: set[Path]) -> Iterator[Export]:
    try:
        is_folder = path.is_dir()
        path.stat()
    except OSError as error:
        raise unreadable(str(path), error) from error
    if not is_folder:
        yield from _file(path, seen)
        return
    count, before = 0, frozenset(seen)
    for file in _files(path, problems):
        try:
            for export in _file(file, seen):
                count += 1
                yield export
        except SourceError as error:
            if file.suffix.lower() in _SUFFIXES:
                problems.append(_as_problem(error, str(file)))
    if not count and not any(file.resolve() in before for file in _files(path, [])):
        first = f" ({problems[0]})" if problems else ""
        raise SourceError(f"{path}: no chat export in this folder{first}", path=str(path))


def _files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """All files below, in the order of their names; what cannot be listed is a problem."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        problems.append(_as_problem(unreadable(str(folder), error), str(folder)))
        return
    for entry in entries:
        if entry.is_dir():
            if not entry.is_symlink():  # a link may lead back up
                yield from _files(entry, problems)
        elif entry.is_file():
            yield entry


def _file(path: Path, seen: set[Path]) -> Iterator[Export]:
    """The exports in one file. Raises `SourceError` where there is none."""
    if path.exists() and not path.is_file():
        raise SourceError(f"{path}: not a file or folder", path=str(path))
    resolved = path.resolve()
    if resolved in seen:
        return
    source = FileSource(path)
    head = source.head(_HEAD)
    if head.startswith(_ZIP):
        seen.add(resolved)
        yield from _zip(path, members(path))
        return
    export = _recognise(source, head)
    seen.add(resolved)
    yield export


def _zip(path: Path, inside: Sequence[ZipSource]) -> Iterator[Export]:
    failures: list[SourceError] = []
    count = 0
    for member in inside:
        try:
            export = _recognise(member, member.head(_HEAD))
        except SourceError as error:
            if Path(member.name).suffix.lower() in _SUFFIXES:
                failures.append(error)
            continue
        count += 1
        yield export
    if failures:
        # Whoever exported the zip meant every chat in it.
        raise failures[0]
    if not count:
        raise SourceError(f"{path}: no chat export in this zip", path=str(path))


def _recognise(source: Source, head: bytes) -> Export:
    """The export that a file is, by its first bytes. Raises `SourceError` where it is none."""
    if not head.strip(b" \t\r\n\0"):
        raise SourceError(f"{source.path}: empty; export the chat again", path=source.path)
    if head.startswith(_UTF_16) or head.count(0) > len(head) // 8:
        raise SourceError(f"{source.path}: not UTF-8 text; give the export as the app wrote it", path=source.path)
    # The head may end inside a character.
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    start = text.lstrip()
    if start.startswith("{"):
        if _TELEGRAM_KEY.search(start):
            _check_end(source)
            return TelegramExport(source)
        raise SourceError(f"{source.path}: JSON, but not a Telegram export", path=source.path)
    first = start.partition("\n")[0].strip()
    if columns([name.strip('"') for name in first.split(",")]) is not None:
        return WeChatExport(source)
    if any(read_header(line) for line in start.split("\n")[:_FIRST_LINES]):
        return WhatsAppExport(source)
    raise SourceError(
        f"{source.path}: not a chat export that sealkeep knows (Telegram JSON, WeChat CSV, WhatsApp text or zip)",
        path=source.path,
    )


def _check_end(source: Source) -> None:
    """Most cut files show it in their last bytes: better before the import than at its end."""
    if not isinstance(source, FileSource):
        return
    try:
        with source.file.open("rb") as file:
            file.seek(max(0, source.size - 256))
            tail = file.read()
    except OSError as error:
        raise unreadable(source.path, error) from error
    if not tail.rstrip(b" \t\r\n").endswith(b"}"):
        raise SourceError(f"{source.path}: cut short; export the chats again, or copy the whole file", path=source.path)


def _settle(exports: list[WhatsAppExport], options: ImportOptions) -> None:
    """Settle day and month where a file alone does not: by files of its kind that agree, then by the option."""
    known = {
        family: {export.date_order for export in exports if export.family == family and export.date_order}
        for family in {export.family for export in exports}
    }
    open_ = [export for export in exports if export.date_order is None]
    for export in open_:
        orders = known[export.family]
        if len(orders) == 1:
            export.settle(next(iter(orders)))
        elif options.date_order is not None:
            export.settle(options.date_order)
    left = [export for export in open_ if export.date_order is None]
    if left:
        raise ambiguous(left)


def _as_problem(error: SourceError, path: str) -> Problem:
    where = error.path or path
    return Problem(where, error.line, str(error).removeprefix(f"{where}: "))
