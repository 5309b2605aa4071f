"""What one sync works on: the account, and the own feed with all that still waits for an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from sealkeep_client.engine._actions import LoadPending, Steps
from sealkeep_client.engine._state import Account
from sealkeep_protocol.feeds import Feed, HeaderIds
from sealkeep_protocol.segments import SealedSegment, VerifiedHeader, verify_header
from sealkeep_protocol.types import ObjectId

SignedHeaders: TypeAlias = Callable[[int, int], "bytes | None"]
"""Looks up a verified header by device and seq, as it was signed; None where only its id is kept."""


def no_headers(_: int, __: int) -> bytes | None:
    """None is kept."""
    return None


BATCH: Final = 8  # segments in one append
RACES: Final = 8  # in a row that others may win against this device while it reads


class Session:
    """`account` is what was verified so far, `tail` the own feed followed over the segments that wait for an answer.

    `known` looks up verified header ids, `refused` the refusal that is kept of an own header, `signed` the headers that
    are kept as they were signed.
    """

    def __init__(
        self,
        account: Account,
        known: HeaderIds,
        refused: Callable[[ObjectId], bytes | None],
        signed: SignedHeaders = no_headers,
    ) -> None:
        self.account = account
        self.refused = refused
        self.tail: Feed = account.feed(account.device)
        self._known = known
        self._signed = signed
        self._pending: dict[int, ObjectId] = {}
        self._unkept: dict[tuple[int, int], VerifiedHeader] = {}  # in this sync, and not kept yet

    @property
    def device(self) -> int:
        return self.account.device

    def lookup(self, device: int, seq: int) -> ObjectId | None:
        """The id of a verified header, or of an own one that waits for its answer: others may have seen that already."""
        pending = self._pending.get(seq) if device == self.device else None
        unkept = self._unkept.get((device, seq))
        return pending or (self._known(device, seq) if unkept is None else unkept.id)

    def signed(self, device: int, seq: int) -> bytes | None:
        """A verified header as it was signed; None where only its id is kept."""
        unkept = self._unkept.get((device, seq))
        return self._signed(device, seq) if unkept is None else unkept.data

    def note_verified(self, verified: VerifiedHeader) -> None:
        """A header of another device was verified, and will be kept later."""
        self._unkept[verified.header.device, verified.header.seq] = verified

    def note_kept(self, verified: VerifiedHeader) -> None:
        """It is kept now."""
        del self._unkept[verified.header.device, verified.header.seq]

    def pending(self, seq: int) -> ObjectId | None:
        """The id of an own header that waits for its answer."""
        return self._pending.get(seq)

    def load_tail(self) -> Steps[None]:
        """Follow the own feed over the segments that wait for an answer."""
        self.tail, self._pending = self.account.feed(self.device), {}
        while batch := (yield LoadPending(self.tail.seq, BATCH)):
            for pending in batch:
                self.extend_tail(pending.sealed)

    def extend_tail(self, sealed: SealedSegment) -> None:
        """Follow the own feed over one more segment."""
        verified = self.verify_own(sealed)
        self.tail = self.tail.follow(verified, self.account.roster, self.lookup)
        self._pending[verified.header.seq] = verified.id

    def verify_own(self, sealed: SealedSegment) -> VerifiedHeader:
        key = self.account.roster.devices[self.device].keys.signing
        return verify_header(sealed.header, account=self.account.id, device=self.device, seq=sealed.seq, key=key)

    def settle(self, seq: int) -> None:
        """An own segment has its receipt."""
        self._pending.pop(seq, None)

    def is_beyond_pin(self, device: int, seq: int) -> bool:
        """Whether a place in a feed lies after where the removal of its device ends it."""
        known = self.account.roster.devices.get(device)
        return known is not None and known.removal is not None and seq > known.removal.seq
