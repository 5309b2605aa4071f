"""Accounts and their rosters: judging entries, and the judged states kept in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from sealkeep_protocol import signed
from sealkeep_protocol.errors import HistoryError, PeerError
from sealkeep_protocol.roster import MAX_ENTRY, Roster, Signer, decode_entry
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._entry_limit import EntryLimit, Logged
from sealkeep_server.stores import ConflictError, CopiedEntry, DamagedError, Entry, Pin, Store, Wrap

CLOSING_SECONDS = 30 * 24 * 3600  # §5.4
DISPUTE_SECONDS = 7 * 24 * 3600  # §5.4
_ENTRIES_AT_ONCE = 8  # up to 130 KiB each


@dataclass(frozen=True, slots=True)
class Copied:
    """An entry that comes through the copy route, with a wrap, or None, for each of its digests."""

    entry: bytes
    wraps: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its roster stands: the judged state, and of each entry who signed it and when it was taken."""

    roster: Roster
    log: tuple[Logged, ...]
    size: int  # bytes of the entries

    @classmethod
    def after(cls, before: Account | None, roster: Roster, entry: Entry) -> Account:
        """The account with one more entry, which led to this roster."""
        last = roster.last
        logged = Logged(roster.entry_signers[-1], entry.accepted, 0 if last is None else len(last.added))
        size = len(entry.entry)
        return (
            cls(roster, (logged,), size) if before is None else cls(roster, (*before.log, logged), before.size + size)
        )

    @property
    def accepted(self) -> int:
        """When the last entry was taken (ms since 1970)."""
        return self.log[-1].accepted


def _stored(entry: bytes, before: Account | None) -> Roster:
    """Judge an entry that was judged before it was stored. Raises `DamagedError`: nobody but the store is to blame."""
    try:
        return Roster.genesis(entry) if before is None else before.roster.append(entry)
    except PeerError as error:
        raise DamagedError("a stored roster entry is not what was stored") from error


class Accounts:
    """Takes and gives rosters. `now` gives seconds since 1970; the states kept in memory are at most `cached`, of entries
    of `cached_bytes` in all."""

    def __init__(
        self, store: Store, *, now: Callable[[], float], cached: int, cached_bytes: int, limit: EntryLimit
    ) -> None:
        self._store = store
        self._now = now
        self._cached = cached
        self._cached_bytes = cached_bytes
        self._size = 0  # of all states
        self._limit = limit
        self._states: OrderedDict[AccountId, Account] = OrderedDict()

    async def create(self, genesis: bytes, wraps: list[bytes]) -> tuple[AccountId, bool]:
        """Make an account; returns its id, and False where exactly this genesis was there already.

        Raises `PeerError`, or `ProblemError` (`fork`).
        """
        # REL-04: "A relay MUST judge every entry by §5 before it stores it."
        roster = Roster.genesis(genesis)
        roster.check_wraps(wraps)
        entry = Entry(0, genesis, self._now_ms())
        try:
            await self._store.create_account(roster.account, roster.head, entry, _wraps(roster, wraps))
        except ConflictError:
            stored = await self._store.entries(roster.account, 0, 1)
            if stored[0].entry != genesis:  # the same content under another signature
                raise ProblemError("fork", "This account was made with another signature.") from None
            return roster.account, False
        self._keep(Account.after(None, roster, entry))
        return roster.account, True

    async def get(self, account: AccountId) -> Account:
        """The account as its roster stands in the store at this moment. Raises `ProblemError` (`not-found`)."""
        head = await self._store.roster_head(account)
        if head is None:
            raise ProblemError("not-found", "There is no such account.")
        state = self._states.get(account)
        if state is not None and state.roster.number == head.number:
            self._states.move_to_end(account)
            return state
        return await self._load(account, state)

    async def _load(self, account: AccountId, state: Account | None) -> Account:
        while True:
            first = 0 if state is None else state.roster.number + 1
            entries = await self._store.entries(account, first, _ENTRIES_AT_ONCE)
            for entry in entries:
                state = Account.after(state, _stored(entry.entry, state), entry)
            if len(entries) < _ENTRIES_AT_ONCE:
                break
        if state is None:
            raise ProblemError("not-found", "There is no such account.")
        self._keep(state)
        return state

    def _keep(self, state: Account) -> None:
        before = self._states.pop(state.roster.account, None)
        self._size += state.size - (before.size if before is not None else 0)
        self._states[state.roster.account] = state
        while len(self._states) > self._cached or (self._size > self._cached_bytes and len(self._states) > 1):
            _, gone = self._states.popitem(last=False)
            self._size -= gone.size

    async def open(self, account: AccountId) -> Account:
        """As `get`, for an account that is in use. Raises `ProblemError` (`not-found`, `closed`)."""
        state = await self.get(account)
        if self._is_over(state):
            raise ProblemError("closed")
        return state

    def _is_over(self, state: Account) -> bool:
        """Whether the account was closed and that has taken effect."""
        # §5.4: "A `close` by a key while an older one has its right takes effect on the relay after 30 days, unless that
        # one reclaims; …"
        return state.roster.is_closed and (
            state.roster.close_is_final or self._now_ms() - state.accepted >= CLOSING_SECONDS * 1000
        )

    async def signer_key(self, account: AccountId, signer: Signer) -> bytes:
        """The public key of one who may sign for this account now. Raises `ProblemError` (`not-found`, `closed`,
        `revoked`, `disputed`)."""
        state = await self.get(account)
        # §5.4: "… from then on it answers `closed` to all but such an older key, whose reclaim it takes at any time."
        if self._is_over(state) and not state.roster.may_reopen(signer):
            raise ProblemError("closed")
        key = state.roster.signing_key(signer)
        if key is None:
            raise ProblemError("revoked", "The account's roster, which needs no token, shows why.")
        self._check_dispute(state, signer)
        return key

    def _check_dispute(self, state: Account, signer: Signer, *, up_to: int | None = None) -> None:
        """Raises `ProblemError` (`disputed`). Disputes by entries beyond number `up_to` do not count."""
        # ROS-19: "A relay MUST refuse entries, challenges and tokens of a disputed recovery key, with the code `disputed`,
        # for 7 days after it took the entry that disputed it."
        disputed_at = state.roster.dispute(signer.number) if signer.is_recovery else None
        if disputed_at is None or (up_to is not None and disputed_at > up_to):
            return
        since = self._now_ms() - state.log[disputed_at].accepted
        # The clock may have been put back: an entry of the far future must not count until then.
        if abs(since) < DISPUTE_SECONDS * 1000:
            seconds = DISPUTE_SECONDS - since // 1000
            raise ProblemError(
                "disputed",
                "The device that set this recovery key was removed. An older recovery key need not wait.",
                headers={"Retry-After": str(seconds)},
            )

    async def append(self, account: AccountId, expected: int, data: bytes, wraps: list[bytes]) -> tuple[int, bool]:
        """Take the entry that follows number `expected`; returns its number, and False where it was there already.

        Raises `PeerError`, or `ProblemError` (`not-found`, `roster-conflict`, `revoked`, `disputed`, `closed`, `pinned`,
        `busy`).
        """
        state = await self.get(account)
        if state.roster.number > expected:
            [stored] = await self._store.entries(account, expected + 1, 1)
            if stored.entry == data:  # its first answer was lost
                return stored.number, False
        if state.roster.number != expected:
            raise ProblemError("roster-conflict", "Read the roster, and rebase with a fresh epoch.")
        # REL-04: "A relay MUST judge every entry by §5 before it stores it."
        roster = _judge(state.roster, data)
        # KEY-07: "A relay and a device MUST refuse a wrap that is not 1,168 bytes long or does not have the digest that
        # its entry gives it."
        # ROS-15: "A relay MUST accept a rotating entry only together with all its wraps."
        roster.check_wraps(wraps)
        entry = Entry(roster.number, data, self._now_ms())
        after = Account.after(state, roster, entry)
        self._check_dispute(state, after.log[-1].signer)
        self._check_limit(state, after.log[-1])
        try:
            await self._store.append_entry(account, roster.head, entry, _wraps(roster, wraps), _pins(roster))
        except ConflictError as conflict:
            if conflict.moved == "feed":
                # ROS-12: "A pin MUST name seq 0 with an empty id, or a seq from 1 with a header id; the relay MUST refuse
                # a removal whose pin is not that feed's head, unless it says discard-after, whose seq MUST NOT be beyond
                # it."
                raise ProblemError("pinned", "Read the removed device's feed to its head, and pin that.") from None
            return await self.append(account, expected, data, wraps)  # judged against what the other one left
        self._keep(after)
        return roster.number, True

    def _check_limit(self, state: Account, next_one: Logged) -> None:
        # §5.5: "A relay SHOULD limit how many entries a device and those it added may append in a time"
        wait = self._limit.wait(state.roster, state.log, next_one)
        if wait > 0:
            seconds = -(-wait // 1000)
            raise ProblemError(
                "busy",
                "This device, or what it descends from or brought in, changed the roster too often; the recovery kit may.",
                headers={"Retry-After": str(seconds)},
            )

    async def copy(self, account: AccountId, items: Sequence[Copied]) -> int:
        """Take consecutive entries that were signed before, behind those of them that are here; returns the number of the
        roster's head. Raises `PeerError`, or `ProblemError` as `append` does, and `fork` where another entry is here."""
        while True:
            head = await self._store.roster_head(account)
            state = None if head is None else await self.get(account)
            first = _number(items[0].entry)
            if first > (0 if state is None else state.roster.number + 1):
                raise ProblemError("roster-conflict", "Entries before these are not here.")
            here = await self._store.entries(account, first, len(items)) if state is not None else []
            if any(stored.entry != item.entry for stored, item in zip(here, items, strict=False)):
                raise ProblemError("fork", "Another entry stands there already.")
            if state is not None and len(here) == len(items):
                return state.roster.number
            copied, after = await self._judge_copies(account, state, items[len(here) :])
            try:
                await self._store.copy_entries(
                    account,
                    None if state is None else state.roster.number,
                    copied,
                    # Segments can be lost only where there are none yet, and where a backup was put back.
                    may_lack=state is None or self._store.restored is not None,
                )
            except ConflictError as conflict:
                if conflict.moved == "feed":
                    raise ProblemError("pinned", "The feeds here do not end where these entries say.") from None
                continue  # judged against what the other one left
            self._keep(after)
            return after.roster.number

    async def _judge_copies(
        self, account: AccountId, state: Account | None, items: Sequence[Copied]
    ) -> tuple[list[CopiedEntry], Account]:
        after, copied = state, []
        is_lost = self._may_have_lost(state)
        for item in items:
            # VIE-09: "A relay MUST take copied entries in one transaction or not at all, judge each by §5, …"
            roster = Roster.genesis(item.entry) if after is None else _judge(after.roster, item.entry)
            if roster.account != account:
                raise ProblemError("invalid", "The genesis is another account's.")
            # VIE-09: "… and require that the last one is new, comes with all its wraps …"
            roster.check_wraps(item.wraps, all_of_them=item is items[-1])
            if state is not None and after is not None:
                # A dispute that the copies bring along was over when its key signed behind it, as far as one can tell here.
                self._check_dispute(after, roster.entry_signers[-1], up_to=state.roster.number)
            entry = Entry(roster.number, item.entry, self._now_ms())
            copied.append(CopiedEntry(roster.head, entry, _wraps(roster, item.wraps), _pins(roster)))
            before, after = after, Account.after(after, roster, entry)
            if before is not None and not is_lost:
                self._check_limit(before, after.log[-1])
            await asyncio.sleep(0)  # many entries must not keep others waiting
        if after is None:
            raise ProblemError("malformed", "There is no entry.")
        if state is not None and is_lost:
            self._check_limit(state, _known_ancestor(state.roster, after))
        return copied, after

    def _may_have_lost(self, state: Account | None) -> bool:
        """Whether entries of this account that come as copies may have been here once: there is none, or the store was
        restored and has taken none since."""
        restored = self._store.restored
        return state is None or (restored is not None and state.accepted < restored[1])

    async def entries(self, account: AccountId, first: int) -> tuple[int, AsyncIterator[list[bytes]]]:
        """The number of the roster's head, and the entries from number `first` up to it, some at a time."""
        head = await self._store.roster_head(account)
        if head is None:
            raise ProblemError("not-found", "There is no such account.")
        return head.number, self._entries(account, first, head.number)

    async def _entries(self, account: AccountId, first: int, last: int) -> AsyncIterator[list[bytes]]:
        while first <= last:
            # Anybody may read, and slowly: nobody holds more than one at a time.
            entries = await self._store.entries(account, first, 1)
            yield [entry.entry for entry in entries]
            first += len(entries)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _known_ancestor(roster: Roster, after: Account) -> Logged:
    """Who signed the last entry; where that one has just been copied itself, who of this roster it descends from."""
    last = after.log[-1]
    signer = last.signer
    while True:
        members = after.roster.recovery_keys if signer.is_recovery else after.roster.devices
        member = members[signer.number]
        if member.added_at <= roster.number:
            return Logged(signer, last.accepted)
        signer = member.added_by


def _number(data: bytes) -> int:
    """The number that an entry gives itself. Raises `MalformedError`."""
    return decode_entry(signed.decode_payload(signed.split(data, limit=MAX_ENTRY)[0])).number


def _judge(roster: Roster, data: bytes) -> Roster:
    try:
        return roster.append(data)
    except HistoryError:
        payload, _ = signed.split(data)
        signer = decode_entry(signed.decode_payload(payload)).signer
        if roster.is_closed:
            raise ProblemError("closed") from None
        if roster.signing_key(signer) is None:
            raise ProblemError("revoked", "The account's roster, which needs no token, shows why.") from None
        raise


def _wraps(roster: Roster, wraps: Sequence[bytes | None]) -> list[Wrap]:
    if not wraps:
        return []
    # ROS-08 gives their order.
    recipients = [recipient for recipient, _ in roster.recipients()]
    return [Wrap(roster.number, to, wrap) for to, wrap in zip(recipients, wraps, strict=True) if wrap is not None]


def _pins(roster: Roster) -> list[Pin]:
    removed = roster.last.removed if roster.last is not None else ()
    return [Pin(DeviceId(r.device), Seq(r.seq), ObjectId(r.header_id), r.discard_after) for r in removed]
