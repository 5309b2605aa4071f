"""The device's own side of uploads: sealing chunks of what is here, and noting what is at the relay.

Everything here runs on the vault's one thread for the store. Sealed chunks stay in memory until the next ones are
sealed: `BATCH` bytes of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sealkeep_client.engine import Account, LoadStored, SealAgain, SealChunks, SealedChunks, StoredChunks
from sealkeep_client.outgoing import StoredContent
from sealkeep_client.store import KnownRecord, Store
from sealkeep_client.store import Upload as Begun
from sealkeep_protocol.files import (
    MAX_CHUNK,
    MAX_NAMED,
    Chunk,
    Content,
    ContentRecord,
    Piece,
    make_list,
    make_record,
    piece_count,
    seal_piece,
)
from sealkeep_protocol.primitives import HASH_SIZE
from sealkeep_protocol.records import content_order

BATCH: Final = 16 << 20
"""Bytes of chunks that are sealed at once."""

_PROVED: Final = 1 << 28  # bytes that are looked at in one go, to find that the relay has them
_MOST_IDS: Final = 1_000  # of one claim (spec §12.4)
_ALONG: Final = 8  # records of one root that are written together with one that is not proved (FIL-08)


class LocalFiles:
    """Uploads of one open store. `sealed` holds the chunks that were sealed last, by their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sealed: dict[bytes, bytes] = {}
        self._steps: list[tuple[Begun, ContentRecord | None]] = []  # what is known once those are at the relay

    def forget(self) -> None:
        """Begin with steps of the engine; what others left undone is forgotten."""
        self.sealed, self._steps = {}, []

    # --- the next chunks ----------------------------------------------------------------------------------------------

    def seal(self, action: SealChunks) -> SealedChunks | None:
        """Seal the next chunks of contents that wait, several contents at once where they are small."""
        account, epoch = action.account, action.account.roster.epoch
        self.forget()
        size = contents = proved = 0
        for root in self._store.uploads.wanted(epoch, action.floor):
            content = self._store.media.content(root)
            if content is None:
                continue
            if self._prove(account, content, action.floor):
                self._store.uploads.release(root, epoch, action.floor)
                proved += 1 + content.size
                if proved > _PROVED:
                    break
                continue
            begun = self._store.uploads.begun(root, epoch)
            ids, record = list(begun.ids), None
            try:
                for chunk in self._chunks(account, content, ids):
                    self.sealed[chunk.id] = chunk.data
                    ids.append(chunk.id)
                    size += len(chunk.data)
                    if self._is_full(size):
                        break
                if len(ids) == _count(content):
                    record = _record(content, epoch, ids)
            except LookupError:
                continue  # a piece of it is damaged: it waits, and the store knows
            self._steps.append((begun._replace(ids=tuple(ids)), record))
            contents += record is not None
            if self._is_full(size):
                break
        if not self._steps and not proved:
            return None
        return self._sizes(contents)

    def _sizes(self, contents: int) -> SealedChunks:
        return SealedChunks({identifier: len(self.sealed[identifier]) for identifier in sorted(self.sealed)}, contents)

    def _is_full(self, size: int) -> bool:
        return size > BATCH - MAX_CHUNK or len(self.sealed) >= _MOST_IDS

    def save(self, account: Account, floor: int) -> None:
        """Note that the chunks are at the relay."""
        steps, self._steps = self._steps, []
        self.sealed = {}
        for begun, record in steps:
            self._store.uploads.advance(begun, record)
            if record is not None:
                self._store.uploads.release(begun.root, account.roster.epoch, floor)

    def _chunks(self, account: Account, content: Content, done: Sequence[bytes]) -> Iterator[Chunk]:
        """The chunks of a content and of its list behind those that are done: `done` grows as they are taken."""
        key = account.epoch(account.roster.epoch).chunk_key
        pieces = len(content.hashes)
        while len(done) < pieces:
            yield seal_piece(key, self._piece(content.hashes[len(done)]))
        if pieces > MAX_NAMED:
            _, listed = make_list(content, done[:pieces])
            while len(done) - pieces < len(listed):
                yield seal_piece(key, listed[len(done) - pieces])

    def _piece(self, digest: bytes) -> Piece:
        """A piece that is here. Raises `LookupError` where it is damaged, and notes that."""
        piece = self._store.media.piece(digest)
        if piece is None:
            self._store.media.lost(digest)
            raise LookupError
        return piece

    def _prove(self, account: Account, content: Content, floor: int) -> bool:
        """Whether some record that is known is one of just these pieces: then the content is at the relay already."""
        for known in self.order(account, content.root):
            record = known.record
            if known.served or record.pieces is not None or not floor <= record.epoch <= account.roster.epoch:
                continue  # what stands in a list is found out by claims
            if record.epoch not in account.epochs:
                continue
            key = account.epoch(record.epoch).chunk_key
            try:
                ids = tuple(seal_piece(key, self._piece(digest)).id for digest in content.hashes)
            except LookupError:
                return False
            if ids == record.chunks:
                self._store.records.note_ids(record, ids, served=True)
                return True
        return False

    # --- chunks of pending segments -----------------------------------------------------------------------------------

    def seal_again(self, action: SealAgain) -> SealedChunks:
        """Those of some chunks of a pending segment, or of a content, that can be made again."""
        self.forget()
        wanted = set(action.ids)
        for record in self._records(action):
            content = self._store.media.content(record.root)
            ids = self._store.uploads.in_order(record)
            if content is None or ids is None or record.epoch not in action.account.epochs:
                continue
            # FIL-04: "… (a) to put again a chunk of a record that a receipted segment holds, …" or of the present epoch
            key = action.account.epoch(record.epoch).chunk_key
            for index, identifier in enumerate(ids):
                if identifier not in wanted:
                    continue
                try:
                    if index < len(content.hashes):
                        piece = self._piece(content.hashes[index])
                    else:
                        piece = make_list(content, ids[: len(content.hashes)])[1][index - len(content.hashes)]
                except LookupError:
                    continue
                chunk = seal_piece(key, piece)
                if chunk.id == identifier:
                    self.sealed[chunk.id] = chunk.data
        return self._sizes(0)

    def _records(self, action: SealAgain) -> Sequence[ContentRecord]:
        if isinstance(action.of, bytes):
            return [known.record for known in self.order(action.account, action.of)]
        pending = self._store.outbox.pending(action.of)
        return () if pending is None else pending.contents

    def load_stored(self, account: Account, action: LoadStored) -> list[StoredChunks]:
        """The chunks by which each content would be read."""
        found = []
        for root in self._store.records.roots(action.after, action.limit):
            one = self.order(account, root)[0]
            found.append(StoredChunks(root, one.device, one.seq, one.served, one.ids or one.record.chunks))
        return found

    # --- records for a body -------------------------------------------------------------------------------------------

    def stored(self, account: Account, roots: Sequence[bytes], floor: int) -> Mapping[bytes, Sequence[StoredContent]]:
        """The content records that a body of the present epoch holds for the roots that it names."""
        return {root: self._stored(account, root, floor) for root in roots}

    def _stored(self, account: Account, root: bytes, floor: int) -> list[StoredContent]:
        own = self._store.uploads.record(root, account.roster.epoch)
        if own is not None:
            return [StoredContent(own[0], own[1], True)]
        known = self.order(account, root)
        for one in known:
            if one.served and one.ids is not None and one.record.epoch >= floor:
                return [StoredContent(one.record, one.ids, True)]
        # FIL-08: "A writer that has not itself sealed, opened or proved every chunk of a content record, its list's
        # included, MUST write together with it the others that it keeps of that root, at most 8, active devices'
        # first."
        return [
            StoredContent(one.record, one.ids or one.record.chunks, one.ids is not None) for one in known[: 1 + _ALONG]
        ]

    def order(self, account: Account, root: bytes) -> list[KnownRecord]:
        """What is known of a root, each record once, in the order in which a reader tries them (FIL-07)."""

        def order(one: KnownRecord) -> tuple[bool, bool, int, bytes]:
            return content_order(one.record, verified=one.served, active=account.roster.devices[one.device].active)

        found: dict[bytes, KnownRecord] = {}
        known = [_without_what_was_erased(account, one) for one in self._store.records.of(root)]
        for one in sorted(known, key=order):
            found.setdefault(one.digest, one)
        return list(found.values())


def _without_what_was_erased(account: Account, known: KnownRecord) -> KnownRecord:
    """A record that a removal's pin cut off is proved no more: with its segment the relay let go of its stamps."""
    # FIL-16: "A client MUST report `missing` or `digest` where the relay does not have, …, a chunk that the client has
    # itself put, read or proved, that a stored segment named …"
    removal = account.roster.devices[known.device].removal
    return known if removal is None or known.seq <= removal.seq else replace(known, served=False)


def _count(content: Content) -> int:
    """How many chunks a content has, its list's included."""
    pieces = len(content.hashes)
    return pieces + (piece_count(2 * HASH_SIZE * pieces) if pieces > MAX_NAMED else 0)


def _record(content: Content, epoch: int, ids: Sequence[bytes]) -> ContentRecord:
    pieces = len(content.hashes)
    if pieces <= MAX_NAMED:
        return make_record(content, epoch, ids)
    listed, _ = make_list(content, ids[:pieces])
    return make_record(content, epoch, ids[pieces:], listed)
