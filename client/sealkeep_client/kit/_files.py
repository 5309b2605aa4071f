"""A kit's file: written once, durably, for its owner alone; read in whatever form it is, whatever its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from sealkeep_client.kit._lines import LIMIT
from sealkeep_client.kit._model import RecoveryKit
from sealkeep_client.kit._uri import PREFIX, find_uris
from sealkeep_protocol.kit import KitError

_FORMS: Final[dict[str, Callable[[RecoveryKit], bytes]]] = {
    ".txt": lambda kit: kit.to_text().encode("ascii"),
    ".svg": lambda kit: kit.to_svg().encode("utf-8"),
    ".pdf": lambda kit: kit.to_pdf(),
}
ENDINGS: Final = tuple(_FORMS)

_TYPE_IT: Final = "`sealkeep recover` without --kit lets you type the page"
_PICTURES: Final = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM")
_FILM: Final = (b"ftyphei", b"ftypmif1", b"ftypavif", b"WEBP")


def write_kit(path: Path, kit: RecoveryKit) -> None:
    """Write the kit in the form that the name's ending says, with mode 0600, synced to the disk.

    Raises `FileExistsError` where the name is taken, `OSError` where writing fails (no file is left then), and
    `ValueError` for another ending.
    """
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ValueError(f"a kit's file ends in {', '.join(ENDINGS)}")
    data = form(kit)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    _sync_directory(path.parent)


def read_kit(path: Path) -> RecoveryKit:
    """Read a kit that `write_kit` wrote, in any of its forms, that was typed, or whose QR code was scanned as text.

    Raises `KitError`, naming the line and the groups that are wrong, and `OSError`.
    """
    with path.open("rb") as file:
        return read_data(file.read(LIMIT + 1))


def read_written(path: Path) -> RecoveryKit:
    """Read a kit that `write_kit` wrote whole, and see that it is on the disk, as it may not have come to do itself.

    Raises `KitError` for any other file, also for one that breaks off behind all that is read of it, and `OSError`.
    """
    form = _FORMS.get(path.suffix.lower())
    with path.open("rb") as file:
        data = file.read(LIMIT + 1)
        kit = read_data(data)
        if form is None or form(kit) != data:
            raise KitError("this recovery kit is not whole, or was saved anew by something else")
        if sys.platform != "win32":  # which syncs only what is open for writing
            os.fsync(file.fileno())
    _sync_directory(path.parent)
    return kit


def read_data(data: bytes) -> RecoveryKit:
    """The same from the file's bytes."""
    if len(data) > LIMIT:
        raise KitError(f"this is not a recovery kit that sealkeep wrote: it is much too long; {_TYPE_IT}")
    if data.startswith(_PICTURES) or any(mark in data[:32] for mark in _FILM):
        raise KitError(f"this is a picture; save what its QR code says as a text file, or type it: {_TYPE_IT}")
    start = data[:1024].lower()
    if b"%pdf-" in start or b"<svg" in start or start.lstrip().startswith(b"<?xml"):
        return _read_drawing(data)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    # A kit of another program's encoding is prose with odd letters; its lines are ASCII.
    text = data.decode(encoding, "replace").removeprefix("\ufeff")
    if text.lstrip().upper().startswith(PREFIX):
        return RecoveryKit.from_uri(text)
    return RecoveryKit.from_text(text)


def _read_drawing(data: bytes) -> RecoveryKit:
    uris = find_uris(data)
    if not uris:
        raise KitError(f"no kit stands in this file as sealkeep writes it: is it a scan, or saved anew? {_TYPE_IT}")
    if len(uris) > 1:
        raise KitError(f"more than one kit stands in this file: {_TYPE_IT}")
    return RecoveryKit.from_uri(uris.pop())


def _sync_directory(directory: Path) -> None:
    # Not every system lets a directory be opened or synced; the file itself is on the disk by now.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
