"""Bringing the chunks of contents to the relay (spec §12.4): claimed in batches, and put where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sealkeep_client.engine._actions import (
    AllowMissing,
    Claim,
    PendingSegment,
    Progress,
    PutChunks,
    SaveChunks,
    SealAgain,
    SealChunks,
    SealedChunks,
    SettleUploads,
    Steps,
)
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, MalformedError
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.types import Seq

_AT_ONCE: Final = 16  # chunks, each of at most 1 MiB, that are made again


def sharing_floor(roster: Roster) -> int:
    """The first epoch since which no device was removed: records of it may serve a new attachment (FIL-04)."""
    removals = [device.removed_at for device in roster.devices.values() if device.removed_at is not None]
    return roster.entry_epochs[max(removals)] if removals else 1


class Uploader:
    """Uploads what waits, a batch at a time, and counts it: bytes that are `done`, and of these those that were `put`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.done = self.contents = self.put = 0

    def settle(self) -> Steps[None]:
        """Have wait for an upload what has no record that serves under the present epoch, and in the outbox what
        has."""
        # FIL-04: "A device MUST NOT seal a chunk under an epoch older than the newest that it has seen, nor write a
        # content record of such an epoch, except …"
        account = self._session.account
        if account.may_seal:
            yield SettleUploads(account, sharing_floor(account.roster))

    def upload(self) -> Steps[bool]:
        """Bring the next chunks to the relay; returns whether there were any."""
        account = self._session.account
        if not account.may_seal:
            return False
        floor = sharing_floor(account.roster)
        sealed: SealedChunks | None = yield SealChunks(account, floor)
        if sealed is None:
            return False
        self.put += yield from put_missing(sealed)
        yield SaveChunks(account, floor)
        self.done += sum(sealed.sizes.values())
        self.contents += sealed.contents
        yield Progress("uploading", self.done, self.contents)
        return True

    def put_again(self, pending: PendingSegment, missing: Sequence[bytes], known: set[bytes]) -> Steps[None]:
        """Put those chunks of a pending segment again that the relay lacks, or give them up where they are gone here.

        `known` are those that were put so before, for the same segment. Raises `HistoryError` (`missing`) where the
        relay lacks one of these.
        """
        wanted = tuple(missing)
        if not wanted or not set(wanted) <= set(pending.chunks):
            raise MalformedError("malformed", "the relay names chunks as missing that the segment does not use")
        # FIL-16: "A client MUST report `missing` or `digest` where the relay does not have, …, a chunk that …, or one
        # named as missing again while its claim lives; …"
        if not known.isdisjoint(wanted):
            raise HistoryError(
                "missing",
                "the relay lacks a chunk of a file that it has just confirmed",
                device=self._session.device,
                seq=pending.sealed.seq,
            )
        made = yield from put_again(self._session.account, pending.sealed.seq, wanted)
        known.update(made.sizes)
        if len(made.sizes) < len(wanted):
            yield AllowMissing(pending.sealed.seq)


def put_again(account: Account, of: Seq | bytes, ids: Sequence[bytes]) -> Steps[SealedChunks]:
    """Make chunks of a pending segment or a content again, and put them; returns those that could be made."""
    made: dict[bytes, int] = {}
    for start in range(0, len(ids), _AT_ONCE):
        sealed: SealedChunks = yield SealAgain(account, of, tuple(ids[start : start + _AT_ONCE]))
        yield from put_missing(sealed)
        made.update(sealed.sizes)
    return SealedChunks(made, 0)


def put_missing(sealed: SealedChunks) -> Steps[int]:
    """Put those chunks that the relay does not have; returns their bytes."""
    ids = tuple(sealed.sizes)
    if not ids:
        return 0
    missing: list[int] = yield Claim(ids)
    wanted = tuple(ids[index] for index in missing)
    if wanted:
        yield PutChunks(wanted)
    return sum(sealed.sizes[identifier] for identifier in wanted)
