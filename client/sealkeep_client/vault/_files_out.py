"""Writing all files of a vault into a directory, each once, under names that lead nowhere else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sealkeep_client.exporting import STDOUT, attachment_name, safe_name
from sealkeep_client.vault._content_reader import ContentReader
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._saving import save
from sealkeep_client.vault._types import FileEntry, OnProgress, Progress
from sealkeep_protocol.errors import RefusedError, StoreError

_DIGITS: Final = 16  # of a root, before a file's name


@dataclass(slots=True)
class Written:
    """The files of an export: their names in its directory, by the roots of their contents."""

    names: dict[bytes, str] = field(default_factory=dict)
    bytes: int = 0
    missing: int = 0


async def write_all(
    core: Core, entries: AsyncIterator[FileEntry], folder: Path, progress: OnProgress | None
) -> Written:
    """Write the files that somebody stored. What is there already, of the right length, was written before."""
    written = Written()
    missing: set[bytes] = set()
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror or 'input/output error'}") from error
    async for entry in entries:
        root = entry.attachment.root
        if root is None or root in written.names or root in missing:
            continue
        name = f"{root.hex()[:_DIGITS]}-{safe_name(attachment_name(entry.attachment))}"
        reader = ContentReader(core, root)
        before = written.bytes

        def taken(done: int, before: int = before) -> None:
            if progress is not None:
                progress(Progress("fetching", before + done, None, len(written.names)))

        try:
            size = (await reader.content()).size
            if await asyncio.to_thread(_length, folder / name) != size:
                await save(reader, folder / name, taken=taken)
        except RefusedError as refused:
            if refused.code != "not-found":
                raise
            missing.add(root)
            continue
        written.names[root] = name
        written.bytes += size
    written.missing = len(missing)
    return written


def relative_paths(written: Written, folder: Path, out: Path) -> dict[bytes, str]:
    """The paths of files relative to what names them."""
    base = Path() if str(out) == STDOUT else out.parent
    prefix = Path(os.path.relpath(folder, base)).as_posix()
    return {root: f"{prefix}/{name}" for root, name in written.names.items()}


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() and not path.is_symlink() else None
    except OSError:
        return None
