"""The bytes of contents on this device's disk: one file for each piece (spec §12.1), sealed under a key of the home's
own.

The key stands in the encrypted database, and belongs to no epoch: a file is taken in offline, and a rotation touches
nothing. A file's name is derived from the piece's hash too, so that nothing outside the database tells what is held:
only how many pieces there are, and how long.

A piece is written aside, brought to the disk and renamed before the row that names it is committed (`sync`): a crash
leaves files without a row, which are swept when the home is opened, and never a row without its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sealkeep_client.store._errors import storing
from sealkeep_client.store._home import sync_directory
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, StoreError
from sealkeep_protocol.files import Piece, piece_of
from sealkeep_protocol.primitives import KEY_SIZE, Buffer, aead_open, aead_seal, derive, equal

MEDIA: Final = "media"
_SCRATCH: Final = ".tmp"
_NAME_SIZE: Final = 20  # bytes
_UNSYNCED: Final = 256  # files that may wait to be synced together
_ASSOCIATED: Final = cbor.encode(["sealkeep/v1/home-piece"])
"""Associated data of a piece on the disk. It must never change."""

DAMAGED: Final = "a file of this device's media is damaged or missing: it is fetched anew where the relay has it"


class PieceFiles:
    """The pieces under `folder`, sealed under keys that are derived from `key`, 32 bytes. Use it from one thread."""

    __slots__ = ("_folder", "_key", "_unsynced")

    def __init__(self, folder: Path, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("the media key is 32 bytes long")
        self._folder = folder
        self._key = key
        self._unsynced: list[Path] = []

    def __repr__(self) -> str:
        return "PieceFiles(…)"

    def write(self, digest: bytes, piece: Buffer) -> None:
        """Write a piece under its hash. It is durable, and its row may be committed, once `sync` returns."""
        path = self._path(digest)
        # The key is made of the piece's own hash, so that it seals this one piece only.
        data = aead_seal(self._piece_key(digest), piece, _ASSOCIATED)
        scratch = path.with_name(path.name + _SCRATCH)
        with storing():
            self._make(path.parent)
            with suppress(FileNotFoundError):
                scratch.unlink()
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        self._unsynced.append(path)
        if len(self._unsynced) >= _UNSYNCED:
            self.sync()

    def sync(self) -> None:
        """Bring to the disk, and under their names, what was written."""
        unsynced, self._unsynced = dict.fromkeys(self._unsynced), []
        with storing():
            for path in unsynced:
                scratch = path.with_name(path.name + _SCRATCH)
                descriptor = os.open(scratch, os.O_RDWR)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                scratch.replace(path)
            for parent in dict.fromkeys(path.parent for path in unsynced):
                sync_directory(parent)

    def forget_unsynced(self) -> None:
        """Remove what was written and not brought under its name: the transaction that wrote it was rolled back."""
        unsynced, self._unsynced = self._unsynced, []
        for path in unsynced:
            with suppress(OSError):
                path.with_name(path.name + _SCRATCH).unlink()

    def read(self, digest: bytes) -> Piece:
        """A piece by its hash. Raises `DamagedPieceError` where it is not there or not what was written."""
        path = self._path(digest)
        if path in self._unsynced:
            path = path.with_name(path.name + _SCRATCH)
        with storing():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise DamagedPieceError(DAMAGED) from None
        try:
            piece = piece_of(aead_open(self._piece_key(digest), data, _ASSOCIATED))
        except AuthenticationError:
            raise DamagedPieceError(DAMAGED) from None
        # FIL-02: "… and MUST NOT hand on a byte of a piece that differs (`digest`)."
        if not equal(piece.hash, digest):
            raise DamagedPieceError(DAMAGED)
        return piece

    def remove(self, digest: bytes) -> None:
        """Remove a piece whose row is gone durably."""
        with storing():
            self._path(digest).unlink(missing_ok=True)

    def sweep(self, is_known: Callable[[set[bytes]], set[bytes]]) -> int:
        """Remove all files that belong to no row; returns how many. `is_known` gives those of some names that do."""
        removed = 0
        for folder, names in self._listed():
            known = is_known({bytes.fromhex(name) for name in names if _is_name(name)})
            for name in names:
                if not _is_name(name) or bytes.fromhex(name) not in known:
                    with storing():
                        (folder / name).unlink(missing_ok=True)
                    removed += 1
        return removed

    def name(self, digest: bytes) -> bytes:
        """What the file of a piece is called: nothing tells the hash from it."""
        return derive(self._key, ["sealkeep/v1/home-piece-name", digest], _NAME_SIZE)

    def size(self) -> int:
        """Bytes of all files."""
        with storing():
            return sum((folder / name).stat().st_size for folder, names in self._listed() for name in names)

    def _listed(self) -> Iterator[tuple[Path, list[str]]]:
        with storing():
            folders = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        for folder in folders:
            if folder.is_dir():
                with storing():
                    names = os.listdir(folder)
                yield folder, names

    def _path(self, digest: bytes) -> Path:
        name = self.name(digest).hex()
        return self._folder / name[:2] / name

    def _piece_key(self, digest: bytes) -> bytes:
        return derive(self._key, ["sealkeep/v1/home-piece", digest], KEY_SIZE)

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._folder)
            sync_directory(self._folder.parent)


class DamagedPieceError(StoreError):
    """A piece on this device's disk is not what was written there, or gone."""


def _is_name(name: str) -> bool:
    return len(name) == 2 * _NAME_SIZE and all(letter in "0123456789abcdef" for letter in name)
