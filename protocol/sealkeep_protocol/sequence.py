"""CBOR sequences (spec §2.2), read incrementally with bounded memory: bytes in, items out."""

from __future__ import annotations

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError


class SequenceReader:
    """Cuts a stream of bytes into the deterministic items of a sequence.

    `limit` bounds one item in bytes, `items` the number of items in it; at most one item and one chunk are held. Call
    `feed` for each chunk, take the items it gives, and `finish` at the end of the stream.
    """

    def __init__(self, *, limit: int, items: int = cbor.NO_LIMIT) -> None:
        self._limit = limit
        self._items = items
        self._buffer = bytearray()
        self._walk = cbor.Walk(limit=limit, items=items)
        self._refused: MalformedError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held that do not make a whole item yet. Raises `MalformedError` where they never will."""
        self._check()
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[cbor.Item]:
        """Take a chunk and return the items that it completes.

        Raises `MalformedError`, and again at every later call: the reader is spent then. Where whole items come before
        the one that is refused they are returned first, and the next call raises: what a sequence gives does not depend
        on how its stream was cut.
        """
        self._check()
        self._buffer += chunk
        items: list[cbor.Item] = []
        # ENC-06: "A reader of a sequence MUST refuse an item from its head alone when it announces more than the limit,
        # and MUST treat a sequence that ends inside an item as cut short."
        try:
            while self._buffer and self._walk.advance(self._buffer):
                items.append(cbor.decode(bytes(self._buffer[: self._walk.position]), limit=self._limit))
                del self._buffer[: self._walk.position]
                self._walk = cbor.Walk(limit=self._limit, items=self._items)
        except MalformedError as error:
            self._refused = error
        if not items:
            self._check()
        return items

    def finish(self) -> None:
        """The stream has ended. Raises `MalformedError` when it ends inside an item (ENC-06)."""
        if self.buffered:
            raise MalformedError("malformed", "the sequence is cut short")

    def _check(self) -> None:
        if self._refused is not None:
            raise self._refused
