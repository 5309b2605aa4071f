"""CBOR sequences (spec §2.2), read incrementally with bounded memory: bytes in, items out."""

from __future__ import annotations

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError


class SequenceReader:
    """Cuts a stream of bytes into the deterministic items of a sequence.

    `limit` bounds one item in bytes; at most that and one chunk are held. Call `feed` for each chunk, take the items it
    returns, and `finish` at the end of the stream.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes held that do not make a whole item yet."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[cbor.Item]:
        """Take a chunk and return the items that it completes. Raises `MalformedError`; the reader is spent then."""
        self._buffer += chunk
        items: list[cbor.Item] = []
        start = 0
        while start < len(self._buffer):
            end = self._end(start)
            if end is None:
                break
            items.append(cbor.decode(bytes(self._buffer[start:end]), limit=self._limit))
            start = end
        if start:
            del self._buffer[:start]
        return items

    def finish(self) -> None:
        """The stream has ended. Raises `MalformedError` when it ends inside an item."""
        # ENC-06: "A reader of a sequence MUST refuse an item from its head alone when it announces more than the limit,
        # and MUST treat a sequence that ends inside an item as cut short."
        if self._buffer:
            raise MalformedError("malformed", "the sequence is cut short")

    def _end(self, start: int) -> int | None:
        needed = cbor.measure(self._buffer, start, limit=self._limit)
        return None if needed > len(self._buffer) else needed
