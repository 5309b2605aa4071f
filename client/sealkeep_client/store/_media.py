"""Contents on this device (spec §12.1): which are here whole, to stay, and which pieces of others are here for a while.

The bytes are in files beside the database (`_piece_files`), the rows say which. A content that was taken in is
**whole**; pieces that were fetched to be looked at are in a bounded cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

from sealkeep_client.store._database import Database
from sealkeep_client.store._piece_files import DamagedPieceError, PieceFiles
from sealkeep_protocol.files import PIECE_SIZE, Content, ContentBuilder, Piece
from sealkeep_protocol.primitives import HASH_SIZE

CACHE: Final = 256 << 20
"""Bytes of pieces that are kept for a while."""

Read = Callable[[int], bytes]
"""At most so many bytes of a file, none at its end."""


class Media:
    """The contents of one home. Writes belong to a transaction."""

    __slots__ = ("_cache", "_cached", "_database", "_files", "_removed", "_taking")

    def __init__(self, database: Database, files: PieceFiles, *, cache: int = CACHE) -> None:
        self._database = database
        self._files = files
        self._cache = cache
        self._cached: int | None = None  # bytes in the cache, once somebody asked
        self._removed: list[bytes] = []  # hashes of pieces whose files go with the commit
        self._taking: set[TakingIn] = set()

    def forget(self) -> None:
        """Drop what is remembered, and what was written: the transaction that made it was rolled back."""
        self._cached = None
        self._removed = []
        self._files.forget_unsynced()

    def before_commit(self) -> None:
        """Make the files durable before the rows that name them."""
        self._files.sync()

    def committed(self) -> None:
        """Let go of the files whose rows are gone."""
        removed, self._removed = self._removed, []
        for digest in removed:
            self._files.remove(digest)

    def sweep(self) -> int:
        """Remove the files that belong to no row, as a crash leaves them; returns how many."""

        def known(names: set[bytes]) -> set[bytes]:
            found = self._database.among("SELECT name FROM pieces WHERE name IN carray(?)", list(names))
            return {name for (name,) in found}

        return self._files.sweep(known)

    def size(self) -> int:
        """Bytes of all files."""
        return self._files.size()

    # --- taking in ----------------------------------------------------------------------------------------------------

    def taking_in(self) -> TakingIn:
        """Begin to take a content in, whose bytes come bit by bit, in as many transactions as it likes."""
        return TakingIn(self)

    def take_in(self, read: Read, *, taken: Callable[[int], None] = lambda _: None) -> Content:
        """Keep what `read` gives, to its end, as a whole content; `taken` is called with bytes as they are taken.

        Memory: a few pieces. What `read` raises passes through, and leaves nothing but pieces in the cache.
        """
        with self.taking_in() as taking:
            while data := read(PIECE_SIZE):
                taking.add(data)
                taken(len(data))
            return taking.finish()

    def make_whole(self, content: Content) -> bool:
        """Note that a content is here to stay, whose pieces are all here; returns whether that is new. Raises `ValueError`
        where one is not."""
        database = self._database
        if database.value("SELECT whole FROM media WHERE root = ?", (content.root,)):
            return False
        hashes = list(dict.fromkeys(content.hashes))
        moved = database.among("SELECT size FROM pieces WHERE uses = 0 AND hash IN carray(?)", hashes)
        if database.write_among("UPDATE pieces SET uses = uses + 1 WHERE hash IN carray(?)", hashes) != len(hashes):
            raise ValueError("a content is not whole without all of its pieces")
        if self._cached is not None:
            self._cached -= sum(size for (size,) in moved)
        database.write(
            "INSERT INTO media (root, size, hashes, whole) VALUES (?, ?, ?, 1)"
            " ON CONFLICT (root) DO UPDATE SET whole = 1",
            (content.root, content.size, b"".join(content.hashes)),
        )
        return True

    def keep(self, piece: Piece) -> None:
        """Keep a piece that is not here yet, as one of the cache until a content claims it."""
        database = self._database
        if self.has(piece.hash):
            return
        self._files.write(piece.hash, piece.data)
        damaged = self._with_piece(piece.hash, 2)
        database.write(
            "INSERT INTO pieces VALUES (?, ?, ?, ?, ?)",
            (piece.hash, self._files.name(piece.hash), len(piece.data), len(damaged), self._next_place()),
        )
        for root in damaged:
            content = self.content(root)
            if content is not None and not self.missing(content):
                database.write("UPDATE media SET whole = 1 WHERE root = ?", (root,))
        if self._cached is not None and not damaged:
            self._cached += len(piece.data)

    # --- what was fetched ---------------------------------------------------------------------------------------------

    def know(self, content: Content) -> None:
        """Keep the hashes of a content that was located: its record, or its list, was compared with the root."""
        self._database.write(
            "INSERT OR IGNORE INTO media (root, size, hashes, whole) VALUES (?, ?, ?, 0)",
            (content.root, content.size, b"".join(content.hashes)),
        )

    def put_fetched(self, piece: Piece) -> None:
        """Keep a piece that was fetched and verified, and let go of those that came first."""
        self.keep(piece)
        if self._bytes_cached() <= self._cache:
            return
        rows = self._database.rows("SELECT hash, size FROM pieces WHERE uses = 0 ORDER BY place")
        wanted = {piece.hash}.union(*(taking.hashes for taking in self._taking))
        self._drop((digest, size) for digest, size in rows if digest not in wanted)

    def _drop(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        for digest, size in pieces:
            if self._bytes_cached() <= self._cache:
                return
            self._database.write("DELETE FROM pieces WHERE hash = ? AND uses = 0", (digest,))
            self._removed.append(digest)
            self._cached = self._bytes_cached() - size

    def _bytes_cached(self) -> int:
        if self._cached is None:
            self._cached = int(self._database.value("SELECT ifnull(sum(size), 0) FROM pieces WHERE uses = 0"))
        return self._cached

    def _next_place(self) -> int:
        return 1 + int(self._database.value("SELECT max(place) FROM pieces WHERE uses = 0") or 0)

    # --- reading ------------------------------------------------------------------------------------------------------

    def content(self, root: bytes) -> Content | None:
        """A content by its root, where the hashes of its pieces are known."""
        row = self._database.row("SELECT size, hashes FROM media WHERE root = ?", (root,))
        if row is None:
            return None
        return Content(root, row[0], _split(row[1]))

    def count_damaged(self) -> int:
        """How many contents are here that lost a piece: taken in again, or fetched, they are whole once more."""
        return int(self._database.value("SELECT count(*) FROM media WHERE whole = 2"))

    def is_whole(self, root: bytes) -> bool:
        """Whether all of a content is here to stay."""
        return self._database.value("SELECT 1 FROM media WHERE root = ? AND whole = 1", (root,)) is not None

    def whole(self, roots: Sequence[bytes]) -> set[bytes]:
        """Those of some roots that are here whole."""
        found = self._database.among("SELECT root FROM media WHERE whole = 1 AND root IN carray(?)", list(roots))
        return {root for (root,) in found}

    def missing(self, content: Content) -> list[int]:
        """The indexes of the pieces of a content that are not here."""
        found = self._database.among("SELECT hash FROM pieces WHERE hash IN carray(?)", list(set(content.hashes)))
        here = {digest for (digest,) in found}
        return [index for index, digest in enumerate(content.hashes) if digest not in here]

    def piece(self, digest: bytes) -> Piece | None:
        """A piece by its hash, filling included; None where it is not here, or not as it was written (`lost`)."""
        row = self._database.row("SELECT uses FROM pieces WHERE hash = ?", (digest,))
        if row is None:
            return None
        try:
            return self._files.read(digest)
        except DamagedPieceError:
            return None

    def has(self, digest: bytes) -> bool:
        """Whether a piece should be here."""
        return self._database.value("SELECT 1 FROM pieces WHERE hash = ?", (digest,)) is not None

    def lost(self, digest: bytes) -> None:
        """Give up a piece that is damaged or gone. What else is here of its contents stays, and waits for it."""
        if self._database.write("DELETE FROM pieces WHERE hash = ?", (digest,)):
            for root in self._with_piece(digest, 1):
                self._database.write("UPDATE media SET whole = 2 WHERE root = ?", (root,))
            self._removed.append(digest)
            self._cached = None

    def _with_piece(self, digest: bytes, whole: int) -> list[bytes]:
        """The contents of a state that have a piece."""
        # The state is part of the statement: only so can the few damaged ones be found by their index.
        found = self._database.rows(
            f"SELECT root, hashes FROM media WHERE whole = {whole:d} AND instr(hashes, ?)",  # noqa: S608
            (digest,),
        )
        return [root for root, hashes in found if digest in _split(hashes)]


def _split(hashes: bytes) -> tuple[bytes, ...]:
    return tuple(hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE))


class TakingIn:
    """A content that is being taken in: its pieces stay in the cache meanwhile. Close it, or let it be finished.

    `is_new` says of a finished one whether it was not here before.
    """

    __slots__ = ("_builder", "_media", "hashes", "is_new")

    def __init__(self, media: Media) -> None:
        self._media = media
        self._builder = ContentBuilder()
        self.hashes: set[bytes] = set()
        self.is_new = False
        media._taking.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, data: bytes) -> None:
        """Take the next bytes. Raises `UsageError` beyond what a content may have."""
        for piece in self._builder.add(data):
            self._keep(piece)

    def finish(self) -> Content:
        """Note that this was all: the content is here to stay once the transaction is committed."""
        for piece in self._builder.finish():
            self._keep(piece)
        content = self._builder.content
        self.is_new = self._media.make_whole(content)
        return content

    def close(self) -> None:
        """Let go of what was not finished. May be called again."""
        self._media._taking.discard(self)

    def _keep(self, piece: Piece) -> None:
        self.hashes.add(piece.hash)
        self._media.keep(piece)
