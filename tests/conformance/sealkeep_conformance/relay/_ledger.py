"""One account as a relay keeps it: roster, wraps and segments, judged by the rules of spec §5 and §6.

A ledger knows nothing of faults, requests or sockets. `copy` is what makes lying easy: a copy lives on by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sealkeep_conformance.relay._chunks import Chunks
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol import signed
from sealkeep_protocol.errors import HistoryError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.hybrid_kem import RECOVERY_RECIPIENT
from sealkeep_protocol.roster import Roster, Signer, decode_entry
from sealkeep_protocol.segments import VerifiedHeader, check_chunks, check_parts, verify_header
from sealkeep_protocol.types import NO_ID, NO_SEQ, AccountId, DeviceId, ObjectId, Seq

DAY_MS = 24 * 3600 * 1000
CLOSING_MS, DISPUTE_MS = 30 * DAY_MS, 7 * DAY_MS  # §5.4


@dataclass(frozen=True, slots=True)
class Stored:
    """A segment and where it stands. `roster` is the entry number that its header names."""

    position: int
    device: int
    seq: int
    header_id: ObjectId
    roster: int
    header: bytes
    summary: bytes
    body: bytes

    @property
    def size(self) -> int:
        return len(self.header) + len(self.summary) + len(self.body)


@dataclass(frozen=True, slots=True)
class Wrap:
    """A wrap with the number of its entry and its recipient (0: a recovery key)."""

    entry: int
    recipient: int
    wrap: bytes


@dataclass
class Ledger:
    """All that is kept of one account. `accepted` are the times of the entries in ms.

    `sent` holds all that came and was not stored, as it came, and `refused` says of which of it a refusal was due: an
    honest relay forgets both. `refused_up_to` are the greatest roster numbers that refusals have named, by feed (VIE-08).
    """

    roster: Roster
    entries: list[bytes]
    wraps: list[Wrap]
    accepted: list[int]
    log: list[Stored] = field(default_factory=list)
    position: int = 0
    sent: dict[ObjectId, Stored] = field(default_factory=dict)
    refused: set[ObjectId] = field(default_factory=set)
    chunks: Chunks = field(default_factory=Chunks)
    refused_up_to: dict[int, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, genesis: bytes, wraps: Sequence[bytes | None], now: int, *, all_wraps: bool = True) -> Ledger:
        """A new account. Raises `PeerError`."""
        # REL-04: "A relay MUST judge every entry by §5 before it stores it."
        roster = Roster.genesis(genesis)
        roster.check_wraps(list(wraps), all_of_them=all_wraps)
        return cls(roster, [genesis], _wraps(roster, wraps), [now])

    def copy(self) -> Ledger:
        """The same account; what happens to either from now on, the other does not know of."""
        twin = copy.copy(self)
        twin.entries, twin.wraps, twin.accepted = self.entries.copy(), self.wraps.copy(), self.accepted.copy()
        twin.log, twin.sent, twin.refused = self.log.copy(), self.sent.copy(), self.refused.copy()
        twin.refused_up_to = self.refused_up_to.copy()
        twin.chunks = self.chunks.copy()
        return twin

    def become(self, other: Ledger) -> None:
        """Be what another state of this account is."""
        vars(self).update(vars(other.copy()))

    def until(self, *, position: int | None = None, entry: int | None = None) -> Ledger:
        """The account as it was up to a position and a roster entry (all, where None)."""
        then = self.copy()
        if entry is not None and entry < self.roster.number:
            then.roster = Roster.read(self.entries[: entry + 1], account=self.account)
            then.entries, then.accepted = self.entries[: entry + 1], self.accepted[: entry + 1]
            then.wraps = [wrap for wrap in self.wraps if wrap.entry <= entry]
        if position is not None:
            then.log = [stored for stored in self.log if stored.position <= position]
            then.position = min(position, self.position)
        return then

    @property
    def account(self) -> AccountId:
        return self.roster.account

    # The roster

    def append_entry(
        self,
        expected: int,
        data: bytes,
        wraps: Sequence[bytes],
        now: int,
        check: Callable[[Ledger, bytes, int], None] | None = None,
    ) -> bool:
        """Take the entry that follows number `expected`; False where exactly it stands there already. `check` is what else
        an entry has to satisfy.

        Raises `PeerError` or `ProblemError` (`roster-conflict`, `revoked`, `closed`, `pinned`, `busy`).
        """
        if self.roster.number > expected and self.entries[expected + 1] == data:
            return False
        # ROS-13: "The relay MUST accept an entry only if its number is the next one at the moment of its commit; …"
        if self.roster.number != expected:
            raise ProblemError("roster-conflict")
        roster = self._judge_entry(data)
        if roster.last is not None:
            self._check_dispute(roster.last.signer, now)
        # ROS-15: "A relay MUST accept a rotating entry only together with all its wraps."
        roster.check_wraps(list(wraps))
        if check is not None:
            check(self, data, now)
        self._pin(roster, now)
        self._add(roster, data, wraps, now)
        return True

    def copy_entry(
        self, data: bytes, wraps: Sequence[bytes | None], now: int, *, is_last: bool, may_lack: bool, up_to: int | None
    ) -> None:
        """Take the next entry from a copy (§11.4). Of those before the last, wraps may be lost, and with `may_lack` the end
        of a pinned feed, or that it ended there; disputes by entries beyond number `up_to` do not count. Raises as
        `append_entry` does."""
        roster = self._judge_entry(data)
        roster.check_wraps(list(wraps), all_of_them=is_last)
        if up_to is not None:
            # A dispute that the copies bring along was over when its key signed behind it, as far as one can tell here.
            self._check_dispute(roster.entry_signers[-1], now, up_to=up_to)
        if may_lack and not is_last:
            self._pin_copied(roster, now)
        else:
            self._pin(roster, now)
        self._add(roster, data, wraps, now)

    def _add(self, roster: Roster, data: bytes, wraps: Sequence[bytes | None], now: int) -> None:
        self.roster = roster
        self.entries.append(data)
        self.accepted.append(now)
        self.wraps += _wraps(roster, wraps)

    def _judge_entry(self, data: bytes) -> Roster:
        try:
            return self.roster.append(data)
        except HistoryError:
            signer = decode_entry(signed.decode_payload(signed.split(data)[0])).signer
            if self.roster.is_closed:
                raise ProblemError("closed") from None
            if self.roster.signing_key(signer) is None:
                raise ProblemError("revoked") from None
            raise

    def _pin_copied(self, roster: Roster, now: int) -> None:
        """Discard what the feeds have beyond the last entry's pins, where something was lost."""
        for removal in roster.last.removed if roster.last is not None else ():
            feed = self.feed_of(removal.device)
            if removal.seq > len(feed):
                continue
            # VIE-09: "… and the relay erases what the feed has beyond such a pin, and another header at its seq."
            same = removal.seq == 0 or feed[removal.seq - 1].header_id == removal.header_id
            end = removal.seq if same else removal.seq - 1
            self.log = [stored for stored in self.log if stored.device != removal.device or stored.seq <= end]
            self.chunks.cut({removal.device: end}, now)

    def _pin(self, roster: Roster, now: int) -> None:
        """Hold the last entry's pins against the feeds, and discard what it says to discard."""
        removed = roster.last.removed if roster.last is not None else ()
        for removal in removed:
            feed = self.feed_of(removal.device)
            at_pin = feed[removal.seq - 1].header_id if 0 < removal.seq <= len(feed) else NO_ID
            # ROS-12: "A pin MUST name seq 0 with an empty id, or a seq from 1 with a header id; the relay MUST refuse a
            # removal whose pin is not that feed's head, unless it says discard-after, whose seq MUST NOT be beyond it."
            beyond = removal.seq > len(feed) or (removal.seq < len(feed) and not removal.discard_after)
            if beyond or at_pin != removal.header_id:
                raise ProblemError("pinned")
        pins = {removal.device: removal.seq for removal in removed}
        self.log = [stored for stored in self.log if stored.seq <= pins.get(stored.device, stored.seq)]
        self.chunks.cut(pins, now)

    def signer_key(self, signer: Signer, now: int) -> bytes:
        """The public key of one who may sign now. Raises `ProblemError` (`closed`, `revoked`)."""
        # §5.4: "A `close` by a key while an older one has its right takes effect on the relay after 30 days, unless that
        # one reclaims; from then on it answers `closed` to all but such an older key, whose reclaim it takes at any time."
        is_over = self.roster.is_closed and (self.roster.close_is_final or now - self.accepted[-1] >= CLOSING_MS)
        if is_over and not self.roster.may_reopen(signer):
            raise ProblemError("closed")
        key = self.roster.signing_key(signer)
        if key is None:
            raise ProblemError("revoked")
        self._check_dispute(signer, now)
        return key

    def _check_dispute(self, signer: Signer, now: int, *, up_to: int | None = None) -> None:
        # ROS-19: "A relay MUST refuse entries, challenges and tokens of a disputed recovery key, with the code `disputed`,
        # for 7 days after it took the entry that disputed it."
        disputed_at = self.roster.dispute(signer.number) if signer.is_recovery else None
        if disputed_at is None or (up_to is not None and disputed_at > up_to):
            return
        if now - self.accepted[disputed_at] < DISPUTE_MS:
            raise ProblemError("disputed")

    def wraps_for(self, signer: Signer) -> list[Wrap]:
        """A device's newest wrap, or all that were made for recovery keys."""
        if signer.is_recovery:
            return [wrap for wrap in self.wraps if wrap.recipient == RECOVERY_RECIPIENT]
        return [wrap for wrap in self.wraps if wrap.recipient == signer.number][-1:]

    # Segments

    def feed_of(self, device: int) -> list[Stored]:
        return [stored for stored in self.log if stored.device == device]

    def feed_head(self, device: int) -> Feed:
        """A feed as far as it is stored, as the next header is judged against it."""
        feed = self.feed_of(device)
        if not feed:
            return Feed(DeviceId(device), NO_SEQ, NO_ID)
        last = feed[-1]
        return Feed(DeviceId(device), Seq(last.seq), last.header_id, last.roster)

    def at(self, device: int, seq: int) -> Stored | None:
        return next((stored for stored in self.log if (stored.device, stored.seq) == (device, seq)), None)

    def heads(self) -> list[Stored]:
        """The last segment of each feed, ascending by device."""
        last = {stored.device: stored for stored in self.log}
        return [last[device] for device in sorted(last)]

    @property
    def used(self) -> int:
        return sum(stored.size for stored in self.log) + self.chunks.used

    def take(
        self,
        device: int,
        header: bytes,
        summary: bytes | None = None,
        body: bytes | None = None,
        chunks: Sequence[bytes] = (),
        *,
        missing_ok: bool = False,
        now: int = 0,
    ) -> tuple[Stored, bool]:
        """Take the next segment of a device's feed; False where exactly it is stored already.

        Raises `PeerError`, or `ProblemError` in the order of §6.6: `StaleError` where a refusal is due, and last of all
        `MissingChunksError`.
        """
        key = self.signer_key(Signer.device(device), now)
        # SEG-01: "A reader and a relay MUST refuse a header whose device and seq are not those of the address where it is
        # offered."
        verified = verify_header(header, account=self.account, device=device, seq=None, key=key)
        said = verified.header
        known = self.at(device, said.seq)
        # SEG-17: "A relay MUST answer the same header at the same place with the same receipt (within one incarnation),
        # and a different one as `fork`."
        if known is not None:
            if known.header_id != verified.id:
                raise ProblemError("fork")
            return known, False
        try:
            self._judge_segment(verified, summary, body)
        except StaleError:
            self._keep(verified, summary, body)
            self.refused.add(verified.id)
            self.refused_up_to[device] = self.roster.number
            raise
        return self.store(verified, summary or b"", body or b"", chunks, missing_ok=missing_ok), True

    def store(
        self,
        verified: VerifiedHeader,
        summary: bytes,
        body: bytes,
        chunks: Sequence[bytes] = (),
        *,
        missing_ok: bool = False,
    ) -> Stored:
        """Put a segment that was judged behind all others. Raises `PeerError` for ids of chunks that its header does not
        bind, and `MissingChunksError`."""
        said = verified.header
        check_chunks(said, chunks)
        self.chunks.stamp(int(said.device), int(said.seq), chunks, missing_ok=missing_ok)
        place = (self.position + 1, int(said.device), int(said.seq), verified.id, said.roster)
        stored = Stored(*place, verified.data, summary, body)
        self.log.append(stored)
        self.position = stored.position
        return stored

    def keep(self, device: int, header: bytes, summary: bytes | None, body: bytes | None) -> None:
        """Keep what was sent without storing it. Raises `PeerError` for what its device did not sign."""
        key = self.roster.devices[device].keys.signing
        self._keep(verify_header(header, account=self.account, device=device, seq=None, key=key), summary, body)

    def _keep(self, verified: VerifiedHeader, summary: bytes | None, body: bytes | None) -> None:
        said = verified.header
        stored = Stored(0, said.device, said.seq, verified.id, said.roster, verified.data, summary or b"", body or b"")
        if verified.id not in self.sent or body is not None:
            self.sent[verified.id] = stored

    def _judge_segment(self, verified: VerifiedHeader, summary: bytes | None, body: bytes | None) -> None:
        said, roster = verified.header, self.roster
        if said.roster > roster.number:
            raise ProblemError("roster-conflict")
        # SEG-14: "A relay MUST refuse a header of another epoch than the current one, in the transaction of the append
        # itself, and MUST sign a refusal only for a header that is not stored and whose roster head is below the roster's
        # head at that moment."
        if said.epoch != roster.epoch and said.roster < roster.number:
            raise StaleError(verified)
        head = self.feed_head(said.device)
        if said.seq != head.seq + 1 or said.previous != head.head:
            raise ProblemError("gap")
        head.check_link(said, roster)
        if summary is None or body is None:
            raise ProblemError("invalid")
        check_parts(said, summary=summary, body=body)


class StaleError(ProblemError):
    """`epoch-stale`: a header that a refusal is due to."""

    def __init__(self, verified: VerifiedHeader) -> None:
        super().__init__("epoch-stale")
        self.verified = verified


def _wraps(roster: Roster, wraps: Sequence[bytes | None]) -> list[Wrap]:
    if not wraps:
        return []
    recipients = [recipient for recipient, _ in roster.recipients()]
    return [Wrap(roster.number, to, wrap) for to, wrap in zip(recipients, wraps, strict=True) if wrap is not None]
