"""Reading everything again from the relay and proving it against what this device has (spec §6.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from sealkeep_client.answers import MAX_CLAIMED, Heads, Page, PageItem
from sealkeep_client.engine._actions import (
    CheckRecords,
    Claim,
    LoadStored,
    Progress,
    ReadChanges,
    ReadHeads,
    ReadRoster,
    Steps,
)
from sealkeep_client.engine._following import judged
from sealkeep_client.engine._pinned import check_pins_reached
from sealkeep_client.engine._proof import find_proof
from sealkeep_client.engine._reading import open_content, verify_item
from sealkeep_client.engine._session import Session, SignedHeaders, no_headers
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, PeerError
from sealkeep_protocol.evidence import Contradiction, EvidenceKind
from sealkeep_protocol.feeds import HeaderIds
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import VerifiedHeader, check_parts
from sealkeep_protocol.types import ObjectId

_AT_ONCE: Final = 64  # contents


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read again and holds: roster entries, segments, records, bytes; what its author made unreadable, and how
    many segments are of epochs that this device does not hold. `contents` are at the relay by its own word, but for those
    that stand in the segments `unavailable`, by device and seq."""

    entries: int
    segments: int
    records: int
    bytes: int
    unreadable: tuple[PeerError, ...]
    unopened: int
    contents: int = 0
    unavailable: tuple[tuple[int, int], ...] = ()


class Verification:
    """Reads roster and feeds from their beginning. `known` looks up the header ids that this device has verified, `signed`
    those headers that are kept as they were signed, `awaited` says of which segments the records are not here yet."""

    def __init__(
        self,
        account: Account,
        known: HeaderIds,
        signed: SignedHeaders = no_headers,
        *,
        awaited: Callable[[int, int], bool] = lambda _, __: False,
    ) -> None:
        self._account = account
        self._awaited = awaited
        self._known = known
        self._signed = signed
        self._seen: dict[tuple[int, int], ObjectId] = {}
        self._segments = self._records = self._bytes = self._unopened = 0
        self._unreadable: list[PeerError] = []
        self._contents = 0
        self._unavailable: list[tuple[int, int]] = []

    def run(self) -> Steps[Verified]:
        """Raises the first thing that does not hold; nothing on this device changes either way."""
        session = Session(self._account, self._known, lambda _: None, self._signed)
        return (yield from judged(session, self._run()))

    def _run(self) -> Steps[Verified]:
        # In this order: whoever wrote what these heads name stands in a roster that is read after them.
        heads: Heads = yield ReadHeads()
        entries, _ = yield ReadRoster(0)
        roster = Roster.read(entries, account=self._account.id)
        verified = self._account.roster
        if roster.number < verified.number:
            raise HistoryError(
                "rollback", f"the relay's roster ends at entry {roster.number}, before what was verified"
            )
        if roster.entry_ids[: verified.number + 1] != verified.entry_ids:
            ours, theirs = verified.entry_ids, roster.entry_ids
            parted = next(number for number, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other)
            proof = Contradiction(EvidenceKind.ROSTER, (), (entries[parted],))
            raise HistoryError("fork", "the relay's roster is another one than was verified").proved_by(proof)
        fresh = replace(self._account, roster=roster, feeds=MappingProxyType({}), incarnation=None, position=0)
        more = heads.position > 0
        while more:
            page: Page = yield ReadChanges(fresh.position, heads.incarnation)
            if page.more and not page.items:
                raise HistoryError("replay", "the relay's cursor stands still")
            more = page.more
            for item in page.items:
                if item.position > heads.position:  # written since, and so is all that comes after it
                    more = False
                    break
                fresh = yield from self._take(fresh, item)
            yield Progress("verifying", self._segments, self._records)
        self._check_complete(fresh)
        yield from self._check_contents()
        return Verified(
            roster.number + 1,
            self._segments,
            self._records,
            self._bytes,
            tuple(self._unreadable),
            self._unopened,
            self._contents,
            tuple(self._unavailable),
        )

    def _take(self, fresh: Account, item: PageItem) -> Steps[Account]:
        place = {"device": item.device, "seq": item.seq}
        if item.position <= fresh.position:
            raise HistoryError("replay", "the relay's positions do not ascend", **place)
        verified = verify_item(fresh, item)
        feed = fresh.feed(item.device).follow(verified, fresh.roster, lambda device, seq: self._seen.get((device, seq)))
        stored = self._known(item.device, item.seq)
        if stored is not None and stored != verified.id:
            raise HistoryError("fork", "another header was verified at this place", **place).proved_by(
                find_proof(verified, self._known, self._signed)
            )
        if item.summary is None or item.body is None:
            raise HistoryError("missing", "its content is withheld", **place)
        check_parts(verified.header, summary=item.summary, body=item.body)
        if not fresh.can_read(verified.header.epoch):
            self._unopened += stored is not None  # the key of a newer one comes with a sync
        else:
            yield from self._open(fresh, item, verified, is_stored=stored is not None)
        self._seen[item.device, item.seq] = verified.id
        self._segments += 1
        self._bytes += len(item.header) + len(item.summary) + len(item.body)
        return replace(fresh.with_feed(feed), position=item.position)

    def _open(self, fresh: Account, item: PageItem, verified: VerifiedHeader, *, is_stored: bool) -> Steps[None]:
        place = {"device": item.device, "seq": item.seq}
        try:
            body = open_content(fresh, verified, item.summary or b"", item.body or b"")
        except (AuthenticationError, MalformedError) as error:
            self._unreadable.append(error.at(**place))
            return
        is_here = is_stored and not self._awaited(item.device, item.seq)
        if is_here and (yield CheckRecords(body)):
            raise HistoryError("missing", "its records are not in this device's vault", **place)
        self._records += sum(body.counts.values())

    def _check_contents(self) -> Steps[None]:
        """Ask for the chunks of all contents that this device knows of, as a claim tells whether they are there."""
        after = b""
        while stored := (yield LoadStored(after, _AT_ONCE)):
            wanted = sorted({identifier for one in stored for identifier in one.ids})
            missing: set[bytes] = set()
            for start in range(0, len(wanted), MAX_CLAIMED):
                part = tuple(wanted[start : start + MAX_CLAIMED])
                missing.update(part[index] for index in (yield Claim(part)))
            for one in stored:
                if missing.isdisjoint(one.ids):
                    self._contents += 1
                    continue
                # FIL-16: "A client MUST report `missing` … where the relay does not have … a chunk that the client has
                # itself put, read or proved, …; of another one it shows that the content is not available, names device and
                # seq of the record, and accuses nobody."
                if one.served:
                    raise HistoryError("missing", "the relay lost a file that it had", device=one.device, seq=one.seq)
                self._unavailable.append((one.device, one.seq))
            after = stored[-1].root
            yield Progress("verifying", self._segments, self._records)

    def _check_complete(self, fresh: Account) -> None:
        check_pins_reached(fresh, self._account.roster)
        for feed in self._account.feeds.values():
            removal = fresh.roster.devices[feed.device].removal
            # What a removal discards is not served any more.
            wanted = feed.seq if removal is None else min(feed.seq, removal.seq)
            if fresh.feed(feed.device).seq < wanted:
                raise HistoryError(
                    "rollback", "the relay does not show all that was verified", device=feed.device, seq=feed.seq
                )
