"""Reading a content piece by piece: from this device where it has them, otherwise from the relay, verified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from sealkeep_client.store import KnownRecord
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._local_bodies import learn_chunks
from sealkeep_client.vault._transfers import in_parallel
from sealkeep_protocol.errors import (
    AuthenticationError,
    HistoryError,
    MalformedError,
    PeerError,
    RefusedError,
    SealkeepError,
    StoreError,
    TransportError,
)
from sealkeep_protocol.files import (
    Content,
    Location,
    Piece,
    check_chunk,
    check_piece,
    locate,
    locate_list,
    open_chunk,
    piece_of,
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Candidate:
    """A content record that may serve, and what was found out about it."""

    known: KnownRecord
    location: Location | None = None
    opened: int = 0  # chunks that were opened


class ContentReader:
    """One content, by its root. `tried` are the records that did not serve, and `passed_over` says of which of them their
    authors are at fault, with device and seq."""

    def __init__(self, core: Core, root: bytes) -> None:
        self._core = core
        self.root = root
        self.in_flight = core.in_flight
        self._content: Content | None = None
        self._candidates: list[_Candidate] | None = None
        self._locating = asyncio.Lock()
        self._failure: SealkeepError | None = None  # why the first candidate did not serve
        self.passed_over: list[PeerError] = []
        self.tried: list[KnownRecord] = []  # records that did not serve

    async def content(self) -> Content:
        """Its size and the hashes of its pieces, compared with its root. Raises as `piece`."""
        if self._content is None:
            self._content = await self._core.in_store(partial(self._core.store.media.content, self.root))
        if self._content is None:
            await self._each(None)
        if self._content is None:
            raise AssertionError("a record that serves says what its content is")
        return self._content

    async def local(self, index: int) -> memoryview | None:
        """The content's bytes in a piece, where it is on this device."""
        content = await self.content()
        piece = await self._core.in_store(partial(self._local, content.hashes[index]))
        return None if piece is None else memoryview(piece.data)[: content.held(index)]

    def _local(self, digest: bytes) -> Piece | None:
        media = self._core.store.media
        piece = media.piece(digest)
        if piece is None and media.has(digest):
            with self._core.store.transaction():
                media.lost(digest)
        return piece

    async def piece(self, index: int, *, keep: bool = True) -> memoryview:
        """The content's bytes in the piece `index` (from 0). With `keep` what is fetched stays in the cache for a while.

        Raises `TransportError` offline, `HistoryError` (`missing`) or `AuthenticationError` (`digest`) where the relay lost
        or changed what this device knew to be there, `RefusedError` (`not-found`) where it does not have it, and
        `StoreError` where nobody has said yet where it is stored.
        """
        found = await self.local(index)
        if found is not None:
            return found
        content = await self.content()
        piece = await self._each(index)
        shown = check_piece(content, index, piece)
        if keep:
            await self._core.in_store(partial(self._put, piece_of(piece)))
        return shown

    async def prove(self) -> int:
        """Read all chunks from the relay, whatever is on this device; returns the content's size. Raises as `piece`."""
        content = await self.content()
        if self._candidates is None:
            await self._each(None)
        waiting = iter(range(len(content.hashes)))

        async def read() -> None:
            for index in waiting:
                piece = await self._each(index)
                if index <= content.whole:
                    check_piece(content, index, piece)

        await in_parallel(read, self.in_flight)
        candidates = await self._left()
        first = candidates[0] if candidates else None
        if first is not None and first.location is not None and first.opened >= len(content.hashes):
            listed = () if first.known.record.pieces is None else first.known.record.chunks
            await self._core.in_store(partial(self._note, first, (*first.location.chunks, *listed), served=True))
        return content.size

    def _put(self, piece: Piece) -> None:
        with self._core.store.transaction():
            self._core.store.media.put_fetched(piece)

    # --- from the relay -----------------------------------------------------------------------------------------------

    async def _each(self, index: int | None) -> bytes:
        """A piece (None: only the content's hashes) by the first record that serves."""
        # FIL-07: "… and reads by the first that serves: …"
        while candidates := await self._left():
            candidate = candidates[0]
            try:
                async with self._locating:
                    location = await self._locate(candidate)
                return b"" if index is None else await self._fetch(candidate, location, index)
            except PeerError as error:
                self._pass_over(candidate, error)
            except RefusedError as refused:
                if refused.code != "not-found":
                    raise
                self._pass_over(candidate, refused)
            except TransportError as error:
                raise TransportError(f"this file is not on this device, and {error}") from error
        raise self._failure or StoreError("where this file is stored is not known here yet: sync, and try again")

    async def _left(self) -> list[_Candidate]:
        if self._candidates is None:
            local, root = self._core.local, self.root
            known = await self._core.in_store(lambda: local.files.order(local.account, root))
            self._candidates = [_Candidate(one) for one in known]
        return self._candidates

    def _pass_over(self, candidate: _Candidate, error: SealkeepError) -> None:
        """Use a record no more, and remember why."""
        known = candidate.known
        self.tried.append(known)
        if self._candidates is not None:
            self._candidates = [one for one in self._candidates if one is not candidate]
        # FIL-16: "A client MUST report `missing` or `digest` where the relay does not have, or gives with other bytes, a
        # chunk that the client has itself put, read or proved, …; of another one it shows that the content is not
        # available, names device and seq of the record, and accuses nobody."
        told: SealkeepError
        if isinstance(error, _AuthorError):
            told = self._unavailable(known)
            self.passed_over.append(error.at(device=known.device, seq=known.seq))
        elif not known.served:
            told = self._unavailable(known)
        elif isinstance(error, RefusedError):
            told = HistoryError("missing", "the relay lost a file that it had", device=known.device, seq=known.seq)
        else:
            told = error.at(device=known.device, seq=known.seq) if isinstance(error, PeerError) else error
        if self._failure is None or isinstance(told, PeerError):
            self._failure = told

    def _unavailable(self, known: KnownRecord) -> RefusedError:
        return RefusedError(
            "not-found",
            f"this file is not available: the relay does not have what device {known.device}, seq {known.seq} says",
            status=404,
        )

    async def _locate(self, candidate: _Candidate) -> Location:
        """Where the chunks of a record are; its list is fetched where it has one."""
        if candidate.location is not None:
            return candidate.location
        record = candidate.known.record
        listing = locate_list(record)
        parts: list[bytes] = []
        if listing is not None:
            for index in range(len(listing.chunks)):
                piece = await self._fetch(candidate, listing, index)
                parts.append(_authored(check_piece, listing.content, index, piece).tobytes())
        location = _authored(locate, record, b"".join(parts))
        if self._content is not None and self._content != location.content:
            raise _AuthorError("a content record gives other hashes than its root")
        self._content = location.content
        candidate.location = location
        ids = (*location.chunks, *(() if listing is None else record.chunks))
        await self._core.in_store(partial(self._note, candidate, ids, served=False))
        return location

    def _note(self, candidate: _Candidate, ids: Sequence[bytes], *, served: bool) -> None:
        store = self._core.store
        with store.transaction():
            if candidate.location is not None:
                store.media.know(candidate.location.content)
            store.records.note_ids(candidate.known.record, ids, served=served)
            if candidate.known.record.pieces is not None:
                learn_chunks(store, candidate.known.record)

    async def _fetch(self, candidate: _Candidate, location: Location, index: int) -> bytes:
        """The piece in a chunk, filling included."""
        epoch = self._core.local.account.epochs.get(location.epoch)
        if epoch is None:
            raise _AuthorError(f"a content record of epoch {location.epoch}, whose key this device does not have")
        identifier = location.chunks[index]
        data = await self._core.relay.chunk(identifier)
        check_chunk(identifier, data)
        piece = _authored(open_chunk, epoch.chunk_key, identifier, location.content.hashes[index], data)
        candidate.opened += 1
        return piece


class _AuthorError(MalformedError):
    """What a content record's author said is not so: the relay is not at fault."""

    def __init__(self, message: str) -> None:
        super().__init__("malformed", message)


def _authored(check: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Make a check whose failure is the fault of the record's author. Raises `_AuthorError`."""
    try:
        return check(*arguments, **named)
    except (MalformedError, AuthenticationError) as error:
        raise _AuthorError(str(error.args[0])) from error
