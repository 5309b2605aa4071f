"""Writing a content out to a file: several pieces on their way at once, and going on where an earlier attempt ended."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import IO

from sealkeep_client.vault._content_reader import ContentReader
from sealkeep_protocol.errors import StoreError, UsageError
from sealkeep_protocol.files import PIECE_SIZE, Content
from sealkeep_protocol.primitives import equal, sha256

_PART = ".sealkeep-part"


async def save(reader: ContentReader, out: Path, *, taken: Callable[[int], None]) -> int:
    """Write a content to `out`, which appears whole or not at all; returns its bytes. `taken` is called with how many are
    there so far.

    What was interrupted is gone on with: the pieces that are in the part file beside `out` are verified, not fetched
    again. Raises `UsageError` where `out` cannot be a file, `StoreError` for its disk, and as `ContentReader.piece`.
    """
    content = await reader.content()
    part = out.with_name(f".{out.name}{_PART}")
    await asyncio.to_thread(_check, out)
    with _writing(out):
        file = await asyncio.to_thread(_open, part)
        try:
            done = await asyncio.to_thread(_verified, file, content)
            taken(_bytes(content, done))
            async with aclosing(_pieces(reader, done)) as pieces:
                async for index, piece in pieces:
                    await asyncio.to_thread(_write, file, piece)
                    taken(_bytes(content, index + 1))
            await asyncio.to_thread(_finish, file, part, out)
        finally:
            file.close()
    return content.size


async def _pieces(reader: ContentReader, first: int) -> AsyncGenerator[tuple[int, memoryview]]:
    """The pieces from `first` on that hold bytes of the content, in order, some fetched ahead."""
    last = -(-(await reader.content()).size // PIECE_SIZE)
    ahead: deque[asyncio.Task[memoryview]] = deque()
    try:
        for index in range(first, last):
            while index + len(ahead) < last and len(ahead) < reader.in_flight:
                ahead.append(asyncio.ensure_future(reader.piece(index + len(ahead), keep=False)))
            yield index, await ahead[0]
            ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


def _check(out: Path) -> None:
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out}: is a directory, or its directory does not exist")


def _bytes(content: Content, pieces: int) -> int:
    return min(content.size, pieces * PIECE_SIZE)


def _open(part: Path) -> IO[bytes]:
    # Never through a link that somebody put there; only its owner reads it.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.fdopen(os.open(part, flags | getattr(os, "O_BINARY", 0), 0o600), "r+b", buffering=0)


def _verified(file: IO[bytes], content: Content) -> int:
    """How many pieces of the part file are those of the content; what is behind them is cut off."""
    done = 0
    while done < content.whole and equal(sha256(file.read(PIECE_SIZE)), content.hashes[done]):
        done += 1
    file.seek(done * PIECE_SIZE)
    file.truncate()
    return done


def _write(file: IO[bytes], piece: memoryview) -> None:
    while piece:
        piece = piece[file.write(piece) :]


def _finish(file: IO[bytes], part: Path, out: Path) -> None:
    os.fsync(file.fileno())
    file.close()
    part.replace(out)
    with suppress(OSError):  # not every system lets a directory be synced; the file itself is on the disk
        descriptor = os.open(out.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror or 'input/output error'}") from error
