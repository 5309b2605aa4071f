"""An attachment as a file that is read from anywhere in it, whether its bytes are on this device or not."""

from __future__ import annotations

import asyncio
import os
from typing import Final, Self

from sealkeep_client.vault._content_reader import ContentReader
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.files import PIECE_SIZE, spans
from sealkeep_protocol.records import Attachment

AHEAD: Final = 4  # pieces that are fetched before they are asked for, while somebody reads on


class AttachmentFile:
    """The bytes of an attachment, for reading. Close it, or use it as a context manager; one call at a time.

    What is not on this device is fetched as it is read, each piece of 1 MiB verified before a byte of it is given; some are
    fetched ahead, and stay on the disk for a while. Memory does not grow with the size.
    """

    def __init__(self, reader: ContentReader, attachment: Attachment, size: int) -> None:
        self.reader = reader
        self.attachment = attachment
        self.size = size
        self._position = 0
        self._last = -1  # piece that was read last
        self._pieces: dict[int, asyncio.Task[memoryview]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<AttachmentFile {self.size} bytes>"

    def tell(self) -> int:
        """Where the next `read` begins."""
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Have the next `read` begin elsewhere, as with any file; returns where. Raises `UsageError` before the
        beginning."""
        self._check_open()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence)
        if base is None or base + offset < 0:
            raise UsageError("there is no such place in a file")
        self._position = base + offset
        return self._position

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left by default; none at the end.

        Raises `TransportError` where they are not on this device and the relay cannot be reached, `HistoryError` or
        `AuthenticationError` where it lost or changed them, `RefusedError` (`not-found`) where it does not have them, and
        `StoreError` for this device's own disk.
        """
        self._check_open()
        stop = self.size if size < 0 else min(self.size, self._position + size)
        parts = []
        for index, start, end in spans(self.size, self._position, stop):
            parts.append((await self._piece(index))[start:end])
        data = b"".join(parts)
        self._position += len(data)
        return data

    async def close(self) -> None:
        """Stop what is being fetched ahead. May be called again."""
        self._closed = True
        pieces, self._pieces = self._pieces, {}
        for task in pieces.values():
            task.cancel()
        await asyncio.gather(*pieces.values(), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the file is closed")

    async def _piece(self, index: int) -> memoryview:
        goes_on = index == self._last + 1
        self._last = index
        last = -(-self.size // PIECE_SIZE) - 1
        for wanted in range(index, min(index + AHEAD, last) + 1 if goes_on else index + 1):
            known = self._pieces.get(wanted)
            if known is None or (known.done() and (known.cancelled() or known.exception() is not None)):
                self._pieces[wanted] = asyncio.ensure_future(self.reader.piece(wanted))
        try:
            return await asyncio.shield(self._pieces[index])
        finally:
            self._forget(index)

    def _forget(self, index: int) -> None:
        """Let go of pieces that lie behind, or elsewhere."""
        for old in [one for one in self._pieces if not index <= one <= index + AHEAD]:
            task = self._pieces.pop(old)
            task.cancel()
            task.add_done_callback(_look_at)


def _look_at(task: asyncio.Task[memoryview]) -> None:
    """Nobody waits for it any more: what it met is nobody's concern."""
    if not task.cancelled():
        task.exception()
