"""One sync, as pure decisions: catch up with the roster, read what others wrote, write what waits (spec §5–§6, §8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sealkeep_client.engine._actions import Steps
from sealkeep_client.engine._awaited import AwaitedBodies
from sealkeep_client.engine._following import follow_roster, judged
from sealkeep_client.engine._reader import Reader
from sealkeep_client.engine._relinking import relink
from sealkeep_client.engine._session import Session, SignedHeaders, no_headers
from sealkeep_client.engine._state import Account
from sealkeep_client.engine._unopened import open_unopened
from sealkeep_client.engine._writer import Writer
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.feeds import HeaderIds
from sealkeep_protocol.records import RecordIds
from sealkeep_protocol.types import ObjectId


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did: segments and records read and written, contents that were uploaded, segments that could not be
    read (SEG-22), and how many were kept without their content, because this device does not hold their epoch (SEG-23)."""

    account: Account
    segments_read: int
    records_read: int
    segments_written: int
    records_written: int
    contents_written: int
    unreadable: tuple[PeerError, ...]
    unopened: int
    used: int
    allowed: int


class Sync:
    """The steps of one sync.

    `known` looks up verified header ids, `refused` the refusal that is kept of an own header, `signed` the headers that
    are kept as they were signed; `random` gives fresh bytes; `sent_to` is the relay's incarnation when the segments that
    still wait for an answer were sealed; `time` is this device's clock in ms. `ids` is None while the first epoch is not
    held. With `anew` it reads all changes from the beginning: where `doubts_cursor` says so after an error, whoever
    drives begins once more so.
    """

    def __init__(
        self,
        account: Account,
        ids: RecordIds | None,
        *,
        known: HeaderIds,
        refused: Callable[[ObjectId], bytes | None],
        signed: SignedHeaders = no_headers,
        random: Callable[[int], bytes],
        sent_to: bytes | None = None,
        floor: Sequence[Sequence[Any]] = (),
        time: int | None = None,
        anew: bool = False,
    ) -> None:
        self._random = random
        self._time = time
        self._session = Session(account, known, refused, signed)
        self._reader = Reader(self._session, floor, anew=anew)
        self._writer = Writer(self._session, ids, random, sent_to)

    @property
    def doubts_cursor(self) -> bool:
        """Whether an error may come from a position that the relay gave earlier (REL-14)."""
        return self._reader.doubts_cursor

    def run(self, *, writes: bool = True) -> Steps[SyncReport]:
        """Sync once, or only read. Raises what the relay or its peers did wrong; nothing that fails a check is kept."""
        return (yield from judged(self._session, self._run(writes)))

    def _run(self, writes: bool) -> Steps[SyncReport]:
        yield from follow_roster(self._session)
        yield from self._session.load_tail()
        heads = yield from self._reader.read()
        for _ in range(2):  # a second time where another device's entry took the epoch away meanwhile
            yield from relink(self._session, random=self._random, time=self._time)
            yield from open_unopened(self._session, self._reader.count_opened)
            if writes:
                yield from self._writer.write(heads.incarnation)
            if self._session.account.may_seal:
                break
        # Last: neither what is new nor what waits to be sent should wait for all that is old.
        yield from AwaitedBodies(self._session, self._reader.count, self._reader.progress).fetch()
        return SyncReport(
            self._session.account,
            segments_read=self._reader.segments,
            records_read=self._reader.records,
            segments_written=self._writer.segments,
            records_written=self._writer.records,
            contents_written=self._writer.uploader.contents,
            unreadable=tuple(self._reader.unreadable),
            unopened=self._reader.unopened,
            used=heads.used + self._writer.bytes + self._writer.uploader.put,
            allowed=heads.allowed,
        )
