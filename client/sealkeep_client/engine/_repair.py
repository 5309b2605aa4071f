"""Bringing back to a restored relay what this device still holds (spec §11.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NoReturn

from sealkeep_client.answers import MAX_CLAIMED, Appended, Heads, RelayInfo
from sealkeep_client.engine._actions import (
    Claim,
    Copy,
    CopyItem,
    CopyRoster,
    LoadKept,
    LoadPending,
    LoadStored,
    PendingSegment,
    Progress,
    ReadHeads,
    ReadInfo,
    ReadRoster,
    SaveRoster,
    Steps,
)
from sealkeep_client.engine._following import became_another, follow_roster, judged
from sealkeep_client.engine._heads import compare_heads
from sealkeep_client.engine._proof import ask_for_proof
from sealkeep_client.engine._roster import RemovedError, decode
from sealkeep_client.engine._session import BATCH, RACES, Session
from sealkeep_client.engine._uploader import put_again
from sealkeep_protocol import signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, RefusedError
from sealkeep_protocol.evidence import Contradiction, EvidenceKind
from sealkeep_protocol.roster import Composed, Roster, compose_change
from sealkeep_protocol.segments import Head, SealedSegment, SegmentHeader, decode_header
from sealkeep_protocol.statements import verify_receipt

_CONTENTS: Final = 64  # that are looked at in one go


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a feed that the relay lacks, and that is not here whole. `removed` says whether its device was removed:
    then the highest recovery kit can end the feed before it (ROS-23)."""

    device: int
    first: int
    last: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair brought back, what is still missing at the relay, and whether this device's own feed cannot go on: a
    segment of it waits for an answer that no store can give any more."""

    entries: int
    segments: int
    missing: tuple[Gap, ...]
    stranded: bool


@dataclass(slots=True)
class _Feeds:
    """How far each feed is at the relay, and how far this device has verified it."""

    there: dict[int, int]
    wanted: dict[int, int]
    missing: set[int] = field(default_factory=set)


class Repair:
    """The steps of one repair.

    `entries` are this device's verified roster entries, `recovery_wraps` the wraps that it kept of them, by number;
    `sent_to` is the incarnation under which its pending segments were sealed.
    """

    def __init__(
        self,
        session: Session,
        entries: Sequence[bytes],
        recovery_wraps: Mapping[int, bytes],
        *,
        random: Callable[[int], bytes],
        now: int,
        sent_to: bytes | None,
    ) -> None:
        self._session = session
        self._entries = entries
        self._recovery_wraps = recovery_wraps
        self._random = random
        self._now = now
        self._sent_to = sent_to
        self._segments = 0

    def run(self) -> Steps[Repaired]:
        """Raises `HistoryError`: `fork` for another history than this device's, `rollback` where the relay lost something
        and does not even say to be another store; and whatever a sync raises, for a denial as well (REL-13)."""
        return (yield from judged(self._session, self._run()))

    def _run(self) -> Steps[Repaired]:
        session = self._session
        info: RelayInfo = yield ReadInfo()
        if info.identity != session.account.identity:
            raise AuthenticationError("identity", "this is not the relay that this device knows")
        entries = 0
        missing: tuple[Gap, ...] = ()
        # VIE-10: "… and MUST copy to it only when the person asks for a **repair**, and only under another incarnation than
        # the one under which it verified what is lost."
        if not became_another(session.account, info):
            yield from follow_roster(session)
            compare_heads(session, (yield ReadHeads()))
        else:
            entries = yield from self._repair_roster()
            if session.account.roster.close_is_final:  # there the relay takes and shows no segments any more
                return Repaired(entries, 0, (), False)
            yield from self._repair_contents()
            missing = yield from self._repair_feeds()
        return Repaired(entries, self._segments, missing, (yield from self._is_stranded(info.incarnation)))

    def _is_stranded(self, incarnation: bytes) -> Steps[bool]:
        """Whether a pending segment can neither be sent (SEG-13) nor be replaced (SEG-15)."""
        session = self._session
        pending: list[PendingSegment] = yield LoadPending(session.account.feed(session.device).seq, 1)
        if not pending or self._sent_to == incarnation:
            return False
        first = session.verify_own(pending[0].sealed).header
        heads: Heads = yield ReadHeads()
        if any(head.device == session.device and head.seq >= first.seq for head in heads.heads):
            return False  # whoever has read it brought it back
        return first.epoch != session.account.roster.epoch

    # The roster

    def _repair_roster(self) -> Steps[int]:
        """Bring lost entries back, with a fresh rotation behind them; returns how many."""
        session = self._session
        for _ in range(RACES):
            there = yield from self._read_roster()
            lost = len(self._entries) - there
            if lost <= 0:
                yield from follow_roster(session)
                return 0
            account = session.account
            if not account.roster.devices[account.device].active:
                raise RemovedError(account, account.roster.number + 1, [])
            items: list[tuple[bytes, Sequence[bytes | None]]] = [
                (self._entries[number], self._wraps(number)) for number in range(there, len(self._entries))
            ]
            composed: Composed | None = None
            if not account.roster.is_closed:  # ROS-09: behind a close there is nothing that a device could sign
                composed = compose_change(
                    account.roster,
                    account.signer,
                    account.keys.signing,
                    list(account.epochs.values()),
                    random=self._random,
                    time=self._now,
                )
                items.append((composed.entry, composed.wraps))
            try:
                yield CopyRoster(items)
            except RefusedError as refused:
                # Another device brought them back first; whether the same ones is seen above.
                if refused.code not in ("roster-conflict", "fork"):
                    raise
                continue
            if composed is None:
                return lost
            epochs = {**account.epochs, composed.keys.number: composed.keys}
            session.account = replace(account, roster=composed.roster, epochs=MappingProxyType(epochs))
            yield SaveRoster(composed.roster.number, [composed.entry], session.account, recovery_wrap=composed.wraps[0])
            return lost
        raise HistoryError("roster", "the relay's roster moves on whenever this device brings its entries back")

    def _read_roster(self) -> Steps[int]:
        """How many of this device's entries the relay has. Raises `HistoryError` (`fork`)."""
        session = self._session
        try:
            entries, _ = yield ReadRoster(0)
        except RefusedError as refused:
            if refused.code != "not-found":
                raise
            return 0
        # VIE-11: "A client that repairs MUST first hold the relay's roster and heads against its own, and refuse another
        # history as `fork`."
        theirs = Roster.read(entries, account=session.account.id).entry_ids
        for number, (one, other) in enumerate(zip(session.account.roster.entry_ids, theirs, strict=False)):
            if one != other:
                proof = Contradiction(EvidenceKind.ROSTER, (), (entries[number],))
                raise HistoryError("fork", "the relay's roster is another one than was verified").proved_by(proof)
        return len(entries)

    def _wraps(self, number: int) -> list[bytes | None]:
        """The wraps of an entry as far as they are here: the recovery key's of what this device composed."""
        count = len(decode(self._entries[number]).digests)
        return [self._recovery_wraps.get(number), *[None] * (count - 1)] if count else []

    # The contents

    def _repair_contents(self) -> Steps[None]:
        """Bring the chunks back of contents whose bytes are here."""
        # §12.4: "In a repair (§11.5) a device claims the chunks of all contents whose bytes it has, and puts those that are
        # missing, before it copies."
        after = b""
        while stored := (yield LoadStored(after, _CONTENTS)):
            for one in stored:
                ids = sorted(set(one.ids))
                for start in range(0, len(ids), MAX_CLAIMED):
                    part = tuple(ids[start : start + MAX_CLAIMED])
                    missing: list[int] = yield Claim(part)
                    yield from put_again(self._session.account, one.root, [part[index] for index in missing])
            after = stored[-1].root

    # The feeds

    def _repair_feeds(self) -> Steps[tuple[Gap, ...]]:
        heads: Heads = yield ReadHeads()
        feeds = yield from self._compare(heads)
        batch: list[PendingSegment] = []
        moved = True
        while moved:  # a feed goes on when those that it names have come so far
            moved = False
            for device in sorted(feeds.wanted):
                while (kept := (yield from self._next_of(feeds, device))) is not None:
                    batch.append(kept)
                    feeds.there[device] += 1
                    moved = True
                    if len(batch) == BATCH:
                        yield from self._send(batch)
                        batch = []
        if batch:
            yield from self._send(batch)
        return tuple(
            Gap(device, feeds.there[device] + 1, last, not self._session.account.roster.devices[device].active)
            for device, last in sorted(feeds.wanted.items())
            if feeds.there[device] < last
        )

    def _compare(self, heads: Heads) -> Steps[_Feeds]:
        """Hold the relay's heads against this device's. Raises `HistoryError` (`fork`)."""
        session = self._session
        shown = {head.device: head for head in heads.heads}
        feeds = _Feeds({device: int(head.seq) for device, head in shown.items()}, {})
        for feed in session.account.feeds.values():
            head = shown.get(feed.device)
            if head is not None and session.lookup(head.device, head.seq) not in (None, head.header_id):
                fork = HistoryError("fork", "the relay has another header there", device=head.device, seq=head.seq)
                yield from ask_for_proof(session, fork)
                raise fork
            removal = session.account.roster.devices[feed.device].removal
            feeds.there.setdefault(feed.device, 0)
            feeds.wanted[feed.device] = feed.seq if removal is None else min(feed.seq, removal.seq)
        return feeds

    def _next_of(self, feeds: _Feeds, device: int) -> Steps[PendingSegment | None]:
        """The next segment that a feed lacks, where it is here and may come now."""
        seq = feeds.there[device] + 1
        if seq > feeds.wanted[device] or device in feeds.missing:
            return None
        kept: PendingSegment | None = yield LoadKept(device, seq)
        if kept is None:
            feeds.missing.add(device)
            return None
        # VIE-12: "A client MUST copy a header only after all heads that it names are at the relay."
        if all(self._is_there(feeds, head) for head in _decoded(kept.sealed).heads):
            return kept
        return None

    def _is_there(self, feeds: _Feeds, head: Head) -> bool:
        return feeds.there.get(head.device, 0) >= head.seq or self._session.is_beyond_pin(head.device, head.seq)

    def _send(self, batch: Sequence[PendingSegment]) -> Steps[None]:
        account = self._session.account
        while batch:
            # What is here of its contents was put before; what is not is missing there.
            items = [
                CopyItem(_decoded(one.sealed).device, replace(one, missing_ok=bool(one.chunks)).item()) for one in batch
            ]
            try:
                answer: Appended = yield Copy(items)
            except RefusedError as refused:
                self._explain(refused, batch[0].sealed)
            if not 0 < len(answer.receipts) <= len(batch):
                raise MalformedError("malformed", "the relay answers copies without receipts")
            for one, statement in zip(batch, answer.receipts, strict=False):
                verify_receipt(statement, account.id, account.identity, one.sealed.header_id)
            self._segments += len(answer.receipts)
            batch = batch[len(answer.receipts) :]
            yield Progress("repairing", self._segments, 0)

    def _explain(self, refused: RefusedError, first: SealedSegment) -> NoReturn:
        """A relay that refuses a copy for what it holds contradicts the heads that it has named."""
        if refused.code not in ("gap", "fork"):
            raise refused
        place = {"device": _decoded(first).device, "seq": int(first.seq)}
        raise HistoryError("fork", "the relay has another header there", **place) from refused


def _decoded(sealed: SealedSegment) -> SegmentHeader:
    """The header of a segment that was verified before it was kept."""
    return decode_header(signed.decode_payload(signed.split(sealed.header)[0]))
