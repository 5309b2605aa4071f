"""A relay and devices in memory: the engine's actions carried out without sockets, files or clocks.

    world = MadeAccount(devices=2)
    relay = MemoryRelay(world)
    phone, tablet = Device(1, world, relay), Device(2, world, relay)
    phone.write("hi"); phone.sync(); tablet.sync()
    relay.spoil(ReadHeads, rolled_back(1))          # a fault, until `relay.mend()`
    relay.before(Append, lambda action: world.change(device(1)))    # something that comes in between, once

The relay is honest: it judges and answers as spec §6.6 and §8 say. A fault changes what it answers. A device's store
keeps whole steps only: what the engine had it write since the last question to the relay is undone when the engine fails,
as one transaction would be.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from sealkeep_client.answers import (
    Appended,
    EpochStaleError,
    Heads,
    Page,
    PageItem,
    RelayInfo,
    Wrap,
)
from sealkeep_client.engine import (
    MAX_LIVE_RECORDS,
    Account,
    Action,
    AllowMissing,
    Append,
    AppendEntry,
    AppendItem,
    AwaitedBody,
    Change,
    Changed,
    Changing,
    CheckRecords,
    Claim,
    Decode,
    DropPending,
    LoadAwaited,
    LoadPending,
    LoadStored,
    LoadUnopened,
    NewKit,
    Offered,
    PackOutbox,
    PendingSegment,
    Progress,
    PutChunks,
    ReadBodies,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadInfo,
    ReadRoster,
    ReadSegment,
    ReadWraps,
    RemovedError,
    SaveBody,
    SaveOpened,
    SavePending,
    SaveRoster,
    SaveSegment,
    SealChunks,
    Session,
    Settle,
    SettleUploads,
    Steps,
    Sync,
    SyncReport,
    TakeDecoded,
    TakePacked,
    Verification,
    Verified,
    pack,
    stage_of,
)
from sealkeep_client.outgoing import Record
from sealkeep_protocol.errors import HistoryError, MalformedError, RefusedError, SealkeepError, TransportError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import MAX_RECORDS, ConversationKey, Message, NativeIdentity, RecordIds, decode_body
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.segments import Head, SealedSegment, SegmentClass, check_chunks, check_parts, verify_header
from sealkeep_protocol.statements import Receipt, Refusal
from sealkeep_protocol.types import DeviceId, ObjectId
from support.accounts import TIME, CountingRandom, MadeAccount, MadeRelay, recovery_keys
from support.memory_chunks import MemoryChunks, Target, refusal_of
from support.packing import DecodedBody, outgoing, weight_of

T = TypeVar("T")
CHAT = ConversationKey("telegram", "", "user:42")
ENDLESS = 10_000  # questions of one run

Spoil: TypeAlias = Callable[[Any, Any], Any]  # (action, the honest answer) → what is answered instead


@dataclass(frozen=True)
class Stored:
    """A segment as the relay stores it."""

    position: int
    device: int
    segment: SealedSegment
    roster: int  # the number its header names

    def item(self, *, bodies: bool, short: int | None = None) -> PageItem:
        segment = self.segment
        has_body = bodies and (short is None or len(segment.body) <= short)  # REL-15
        summary, body = segment.summary if bodies else None, segment.body if has_body else None
        return PageItem(self.position, self.device, segment.seq, segment.header, summary, body)


class MemoryRelay:
    """One account on one relay. The roster is the world's, at once; the segments are `log`, the chunks `chunks` by their
    ids; `asked` are all questions."""

    def __init__(self, world: MadeAccount, name: str = "relay", *, page_items: int = 3) -> None:
        self.world = world
        self.made = MadeRelay(name)
        self.page_items = page_items
        self.log: list[Stored] = []
        self.chunks = MemoryChunks()
        self.used = 1  # bytes, as it says itself; whoever reads does so by it
        self.restored: int | None = None  # when, as it says itself
        self.sealed: dict[bytes, bytes] = {}  # by the device that asks: what it may put
        self.asked: list[Action] = []
        self.full_of_entries = False  # whether it takes no roster entries for now
        self._spoils: list[tuple[type, Spoil]] = []
        self._befores: list[tuple[type, Callable[[Any], object]]] = []

    @property
    def incarnation(self) -> bytes:
        return self.made.incarnation

    # Faults

    def spoil(self, action: type, spoil: Spoil) -> None:
        """Let answers to such actions pass through `spoil`, after those that were set before."""
        self._spoils.append((action, spoil))

    def before(self, action: type, happens: Callable[[Any], object]) -> None:
        """Let something happen before the next such action is answered, once."""
        self._befores.append((action, happens))

    def mend(self) -> None:
        self._spoils.clear()
        self._befores.clear()

    def lose_answer(self, action: type = Append) -> None:
        """Carry the next such action out, and let the line break before its answer arrives."""
        done = False

        def lose(_: object, answer: object) -> object:
            nonlocal done
            if done:
                return answer
            done = True
            raise TransportError("the connection to the relay broke")

        self.spoil(action, lose)

    def restore(self, *, keep: int | None = None) -> None:
        """Become another store with the first `keep` segments (all by default), as a backup brings them back."""
        kept = self.log if keep is None else self.log[:keep]
        self.log = [replace(stored, position=place + 100) for place, stored in enumerate(kept)]
        self.made.incarnation = sha256(b"another" + self.incarnation)[:16]

    # Answers

    def answer(self, device: int, action: Action) -> Any:
        """Answer as the transport does. Raises what it raises."""
        self.asked.append(action)
        for place, (kind, happens) in enumerate(self._befores):
            if isinstance(action, kind):
                del self._befores[place]
                happens(action)
                break
        answer = self._honest(device, action)
        for kind, spoil in self._spoils:
            if isinstance(action, kind):
                answer = spoil(action, answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _honest(self, device: int, action: Action) -> Any:
        try:
            return self._answer(device, action)
        except SealkeepError as error:
            return error

    def _answer(self, device: int, action: Action) -> Any:
        world = self.world
        if isinstance(action, ReadInfo):
            return RelayInfo(self.made.identity, self.incarnation, {}, self.restored)
        if isinstance(action, ReadRoster):
            return world.entries[action.first :], world.roster.number
        if isinstance(action, AppendEntry):
            return self._append_entry(action)
        if not world.roster.devices[device].active:
            raise refusal_of("revoked")
        match action:
            case ReadWraps():
                return self._wraps(device)
            case ReadHeads():
                return Heads(self.incarnation, self._position, self._heads(), used=self.used, allowed=0)
            case ReadChanges():
                if action.incarnation not in (None, self.incarnation):
                    raise refusal_of("incarnation")
                found = [stored for stored in self.log if stored.position > action.after]
                return self._page(found, action.after, lambda stored: stored.position, bodies=True, short=action.short)
            case ReadBodies():
                wanted = action.wanted
                found = [s for s in self.log if s.device == wanted.device and s.segment.seq >= wanted.first]
                return self._page(found[: wanted.count], wanted.first, lambda s: s.segment.seq + 1, bodies=True)
            case ReadFeed():
                found = [s for s in self.log if s.device == action.device and s.segment.seq >= action.first]
                return self._page(found, action.first, lambda stored: stored.segment.seq + 1, bodies=action.bodies)
            case Append():
                return self._append(device, action.items)
            case Claim():
                assert list(action.ids) == sorted(set(action.ids))
                assert 0 < len(action.ids) <= 1_000
                return list(self.chunks.claim(action.ids))
            case PutChunks():
                for identifier in action.ids:
                    self.chunks.put(identifier, self.sealed[identifier])
                return None
        raise AssertionError(action)

    @property
    def _position(self) -> int:
        return self.log[-1].position if self.log else 0

    def _feed(self, device: int) -> list[Stored]:
        return [stored for stored in self.log if stored.device == device]

    def _heads(self) -> tuple[Head, ...]:
        last = {stored.device: stored for stored in self.log}
        return tuple(
            Head(DeviceId(device), stored.segment.seq, stored.segment.header_id) for device, stored in last.items()
        )

    def _page(
        self,
        found: Sequence[Stored],
        after: int,
        cursor: Callable[[Stored], int],
        *,
        bodies: bool,
        short: int | None = None,
    ) -> Page:
        shown = found[: self.page_items]
        return Page(
            tuple(stored.item(bodies=bodies, short=short) for stored in shown),
            cursor(shown[-1]) if shown else after,
            len(found) > len(shown),
            self.incarnation,
        )

    def _wraps(self, device: int) -> list[Wrap]:
        found = []
        for number, wraps in enumerate(self.world.wraps):
            if wraps:
                roster = Roster.read(self.world.entries[: number + 1], account=self.world.id)
                for (recipient, _), wrap in zip(roster.recipients(), wraps, strict=True):
                    if recipient == device:
                        found = [Wrap(number, recipient, wrap)]
        return found

    def _append_entry(self, action: AppendEntry) -> None:
        world = self.world
        if action.head < world.roster.number and world.entries[action.head + 1] == action.entry:
            return
        if action.head != world.roster.number:
            raise refusal_of("roster-conflict")
        if self.full_of_entries:
            raise refusal_of("busy")
        judged = world.roster.append(action.entry)
        judged.check_wraps(list(action.wraps))
        pins = judged.last.removed if judged.last is not None else ()
        for pin in pins:
            feed = self._feed(pin.device)
            head = feed[-1].segment if feed else None
            if not pin.discard_after and (pin.seq, pin.header_id) != ((head.seq, head.header_id) if head else (0, b"")):
                raise refusal_of("pinned")
            if pin.seq > len(feed) or (pin.seq and feed[pin.seq - 1].segment.header_id != pin.header_id):
                raise refusal_of("pinned")
        world.receive(action.entry, action.wraps)
        for pin in pins:
            self.log = [s for s in self.log if s.device != pin.device or s.segment.seq <= pin.seq]
        self.chunks.cut({pin.device: pin.seq for pin in pins})

    def prove(self, request: bytes, asked: Sequence[tuple[bytes, Target]]) -> list[bytes | None]:
        """Answer challenges over chunks and segments (§12.5), the signature last; `request` is the body asked with."""

        def parts(device: int, seq: int) -> tuple[bytes, ...] | None:
            found = [stored.segment for stored in self._feed(device) if stored.segment.seq == seq]
            return (found[0].summary, found[0].body) if found else None

        return self.chunks.prove(
            request, asked, parts, account=self.world.id, key=self.made.key, incarnation=self.incarnation
        )

    def _append(self, device: int, items: Iterable[AppendItem]) -> Appended:
        receipts: list[bytes] = []
        for item in items:
            try:
                receipts.append(self._take(device, item))
            except RefusedError:
                if not receipts:
                    raise
                break
        return Appended(self._feed(device)[-1].segment.seq, tuple(receipts))

    def _take(self, device: int, item: AppendItem) -> bytes:
        header, summary, body = item.header, item.summary, item.body
        world, roster = self.world, self.world.roster
        key = roster.devices[device].keys.signing
        verified = verify_header(header, account=world.id, device=device, seq=None, key=key)
        said = verified.header
        feed = self._feed(device)
        if said.seq <= len(feed):
            if feed[said.seq - 1].segment.header_id != verified.id:
                raise refusal_of("fork")
            return self._receipt(feed[said.seq - 1])
        # In the order of §6.6; SEG-14, as a relay does it.
        if said.roster > roster.number:
            raise refusal_of("roster-conflict")
        if said.epoch != roster.epoch and said.roster < roster.number:
            refusal = Refusal(verified.id, said.device, said.seq, roster.number, roster.head, self.incarnation)
            raise EpochStaleError(refusal.sign(world.id, self.made.key), status=409)
        last = feed[-1] if feed else None
        head = Feed(said.device)
        if last is not None:
            head = Feed(said.device, last.segment.seq, last.segment.header_id, last.roster)
        if said.seq != head.seq + 1 or said.previous != head.head:
            raise refusal_of("gap")
        head.check_link(said, roster)
        if summary is None or body is None:
            raise refusal_of("invalid")
        check_parts(said, summary=summary, body=body)
        check_chunks(said, item.chunks)
        self.chunks.stamp(device, said.seq, item.chunks, missing_ok=item.missing_ok)
        sealed = SealedSegment(said.seq, verified.id, header, summary, body)
        return self._receipt(self.put(device, sealed, roster=said.roster))

    def put(self, device: int, sealed: SealedSegment, *, roster: int | None = None) -> Stored:
        """Store a segment unseen, whatever it says."""
        number = self.world.roster.number if roster is None else roster
        self.log.append(Stored(self._position + 1, device, sealed, number))
        feed = self.world.segments.setdefault(device, [])
        if sealed.seq == len(feed) + 1:  # the world's own `seal` has it already
            feed.append(sealed)
        return self.log[-1]

    def _receipt(self, stored: Stored) -> bytes:
        receipt = Receipt(stored.segment.header_id, stored.position, self.incarnation)
        return receipt.sign(self.world.id, self.made.key)


# Devices


@dataclass
class Kept:
    """All that a device's store keeps."""

    account: Account
    headers: dict[tuple[int, int], ObjectId] = field(default_factory=dict)
    signed: dict[tuple[int, int], bytes] = field(default_factory=dict)  # the same as they were signed
    read: list[Record] = field(default_factory=list)  # what others wrote
    written: list[Record] = field(default_factory=list)  # what the relay has given receipts for
    outbox: dict[SegmentClass, list[Record]] = field(default_factory=dict)
    pending: list[tuple[SealedSegment, SegmentClass, list[Record]]] = field(default_factory=list)
    receipts: list[bytes] = field(default_factory=list)
    refusals: dict[ObjectId, bytes] = field(default_factory=dict)
    unreadable: list[tuple[int, int, str]] = field(default_factory=list)
    unopened: list[tuple[int, int, int]] = field(default_factory=list)
    awaited: list[tuple[int, int, int, int]] = field(default_factory=list)  # stage, -last, device, seq
    sent_to: bytes | None = None

    def copied(self) -> Kept:
        """A copy that stays as this is now."""
        copied = copy.copy(self)
        for name in (
            "headers",
            "signed",
            "read",
            "written",
            "receipts",
            "refusals",
            "unreadable",
            "unopened",
            "awaited",
            "pending",
        ):
            setattr(copied, name, copy.copy(getattr(self, name)))
        copied.outbox = {kind: list(records) for kind, records in self.outbox.items()}
        return copied


class Device:
    """A device of a world's account with a store in memory. `kept` is all that outlives a restart."""

    def __init__(self, number: int, world: MadeAccount, relay: MemoryRelay, *, seed: str = "") -> None:
        self.number = number
        self.world = world
        self.relay = relay
        self.random = CountingRandom(f"device {number} {seed}")
        self.ids = RecordIds(world.epochs[1].record_id_key)
        self.new_kits: list[bytes] = []  # seeds
        self.kept = Kept(
            Account(
                device=DeviceId(number),
                keys=world.devices[number],
                identity=relay.made.identity,
                roster=world.roster,
                epochs=MappingProxyType(dict(world.epochs)),
            )
        )
        self._offers: list[tuple[SegmentClass, list[Record]]] = []
        self._offered: tuple[SegmentClass, list[Record]] | None = None
        self._decoding: list[bytes] = []
        self._said = 0

    def clone(self) -> Device:
        """A copy of this home, as an old backup makes one."""
        cloned = Device(self.number, self.world, self.relay, seed="clone")
        cloned.kept = self.kept.copied()
        return cloned

    @property
    def account(self) -> Account:
        return self.kept.account

    @property
    def texts(self) -> list[str]:
        """The texts of all messages that this device knows, sorted."""
        waiting = [*self.kept.outbox.values(), *(records for _, _, records in self.kept.pending)]
        everything = [*self.kept.read, *self.kept.written, *(record for records in waiting for record in records)]
        return sorted(record.text or "" for record in everything if isinstance(record, Message))

    def write(self, *texts: str, segment_class: SegmentClass = SegmentClass.LIVE) -> None:
        """Put messages into the outbox."""
        for text in texts:
            self._said += 1
            native = NativeIdentity(self.number, TIME << 16 | self._said, self.random(16), 0)
            self.queue([Message(CHAT, TIME + self._said, 1, native=native, text=text)], segment_class)

    def queue(self, records: Sequence[Record], segment_class: SegmentClass = SegmentClass.HISTORY) -> None:
        self.kept.outbox.setdefault(segment_class, []).extend(records)

    def known(self, device: int, seq: int) -> ObjectId | None:
        return self.kept.headers.get((device, seq))

    def signed(self, device: int, seq: int) -> bytes | None:
        pending = [sealed.header for sealed, _, _ in self.kept.pending if (device, sealed.seq) == (self.number, seq)]
        return pending[0] if pending else self.kept.signed.get((device, seq))

    def sync(self) -> SyncReport:
        """Sync once, from what is stored, as after a restart; anew where the cursor is in doubt (REL-14)."""
        sync = self._make_sync()
        try:
            return self.run(sync.run())
        except HistoryError:
            if not sync.doubts_cursor:
                raise
        return self.run(self._make_sync(anew=True).run())

    def _make_sync(self, *, anew: bool = False) -> Sync:
        return Sync(
            self.account,
            self.ids,
            known=self.known,
            refused=self.kept.refusals.get,
            signed=self.signed,
            random=self.random,
            sent_to=self.kept.sent_to,
            time=TIME,
            anew=anew,
        )

    def change(self, change: Change, *, since: int | None = None) -> Changed:
        """Change the roster, from what is stored."""
        session = Session(self.account, self.known, self.kept.refusals.get)
        return self.run(Changing(session, change, random=self.random, time=TIME, since=since).run())

    def verify(self) -> Verified:
        def awaited(device: int, seq: int) -> bool:
            return any(one[2:] == (device, seq) for one in self.kept.awaited)

        return self.run(Verification(self.account, self.known, self.signed, awaited=awaited).run())

    def run(self, steps: Steps[T]) -> T:
        answer: Any = None
        failure: SealkeepError | None = None
        self._decoding = []
        for _ in range(ENDLESS):
            before = self.kept.copied()
            try:
                action = steps.throw(failure) if failure is not None else steps.send(answer)
                while isinstance(action, _LOCAL):
                    try:
                        done = self._store(action)
                    except MalformedError as error:  # of a content that is none
                        action = steps.throw(error)
                    else:
                        action = steps.send(done)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            except RemovedError as removed:
                self.kept = replace(before, account=removed.account)
                raise
            except BaseException:
                self.kept = before
                raise
            answer = failure = None
            if isinstance(action, NewKit):
                self.new_kits.append(self.random(32))
                answer = recovery_keys(self.new_kits[-1]).record((1, self.world.id))
            elif not isinstance(action, Progress):
                try:
                    answer = self.relay.answer(self.number, action)
                except SealkeepError as error:
                    failure = error
        raise AssertionError("the engine asks without end")

    def _store(self, action: Action) -> Any:
        kept = self.kept
        match action:
            case SaveRoster():
                assert action.first == kept.account.roster.number + 1
                kept.account = action.account
            case SaveSegment():
                if action.segment is not None:
                    self._save(action)
                kept.account = action.account
            case LoadUnopened():
                held = kept.account.epochs
                opened = [(device, seq) for device, seq, epoch in sorted(kept.unopened) if epoch in held and 1 in held]
                return opened[: action.limit]
            case SaveOpened():
                kept.unopened = [place for place in kept.unopened if place[:2] != (action.device, action.seq)]
                if action.segment is not None:
                    self._save_content(action.segment)
            case LoadAwaited():
                order = sorted(kept.awaited)[: action.limit]
                return [AwaitedBody(*place) for stage, _, *place in order if stage == order[0][0]]
            case SaveBody():
                kept.awaited = [one for one in kept.awaited if one[2:] != (action.device, action.seq)]
                if action.segment is not None:
                    self._save_body(action.segment)
            case LoadPending():
                found = [PendingSegment(sealed) for sealed, _, _ in kept.pending if sealed.seq > action.after]
                return found[: action.limit]
            case Decode():
                self._decoding.append(action.content)
            case TakeDecoded():
                return DecodedBody(decode_body(self._decoding.pop(0), limit=MAX_CONTENT))
            case PackOutbox():
                return self._pack_outbox(action)
            case TakePacked():
                self._offered = self._offers.pop(0)
                return pack(outgoing(self._offered[1]), self._offered[0])
            case SavePending():
                self._save_pending(action)
            case Settle():
                self._settle(action)
            case DropPending():
                for _, kind, records in reversed([p for p in kept.pending if p[0].seq >= action.seq]):
                    kept.outbox[kind] = [*records, *kept.outbox.get(kind, [])]
                kept.pending = [p for p in kept.pending if p[0].seq < action.seq]
                kept.refusals[action.header_id] = action.statement
            case LoadStored():
                return []
            case CheckRecords():
                texts = set(self.texts)
                return sum(message.text not in texts for message in action.body.messages)
        return None

    def _save(self, action: SaveSegment) -> None:
        segment, kept = action.segment, self.kept
        assert segment is not None
        place = (segment.feed.device, segment.feed.seq)
        assert place not in kept.headers, "a header is kept once"
        kept.headers[place] = segment.feed.head
        kept.signed[place] = segment.header.data
        if segment.is_awaited:
            last = segment.told.last if segment.told is not None else 0
            kept.awaited.append((stage_of(segment.told), -last, *place))
        else:
            self._save_body(segment)

    def _save_body(self, segment: ReadSegment) -> None:
        header = segment.header.header
        if segment.is_unopened:
            self.kept.unopened.append((header.device, header.seq, header.epoch))
        self._save_content(segment)

    def _save_content(self, segment: ReadSegment) -> None:
        header, kept = segment.header.header, self.kept
        if segment.unreadable is not None:
            kept.unreadable.append((header.device, header.seq, segment.unreadable.code))
        if isinstance(segment.content, DecodedBody):
            body = segment.content.body
            kept.read += [*body.contacts, *body.conversations, *body.messages, *body.marks]

    def _pack_outbox(self, action: PackOutbox) -> list[Offered]:
        self._offers = []
        offered: list[Offered] = []
        for kind in sorted(self.kept.outbox):
            left = list(self.kept.outbox[kind])
            while left and len(offered) < action.bodies:
                most = MAX_LIVE_RECORDS if kind is SegmentClass.LIVE else MAX_RECORDS
                weights = list(accumulate(map(weight_of, left[:most])))
                count = max(1, bisect_right(weights, action.weight))
                batch, left = left[:count], left[count:]
                self._offers.append((kind, batch))
                offered.append(Offered(kind, len(batch), weights[count - 1], more=bool(left)))
            if offered:
                break
        return offered

    def _save_pending(self, action: SavePending) -> None:
        assert self._offered is not None
        kind, batch = self._offered
        assert action.packed.count <= len(batch)
        taken = batch[: action.packed.count]
        self.kept.pending.append((action.sealed, kind, taken))
        left = {id(record) for record in taken}
        self.kept.outbox[kind] = [record for record in self.kept.outbox[kind] if id(record) not in left]
        self.kept.sent_to = action.incarnation
        self._offered = None

    def _settle(self, action: Settle) -> None:
        kept = self.kept
        for seq, receipt, statement in action.receipts:
            place = (self.number, int(seq))
            assert place not in kept.headers, "a header is kept once"
            kept.headers[place] = receipt.header_id
            kept.signed[place] = next(sealed.header for sealed, _, _ in kept.pending if sealed.seq == seq)
            kept.receipts.append(statement)
            kept.written += next(records for sealed, _, records in kept.pending if sealed.seq == seq)
            kept.pending = [pending for pending in kept.pending if pending[0].seq != seq]
        kept.account = action.account


_LOCAL = (
    SaveRoster,
    SaveSegment,
    Decode,
    TakeDecoded,
    LoadAwaited,
    SaveBody,
    LoadUnopened,
    SaveOpened,
    LoadPending,
    PackOutbox,
    TakePacked,
    SavePending,
    Settle,
    SettleUploads,
    SealChunks,
    AllowMissing,
    DropPending,
    LoadStored,
    CheckRecords,
)


# Faults for `MemoryRelay.spoil`


def items(change: Callable[[list[PageItem]], list[PageItem]]) -> Spoil:
    """Change the items of a page."""

    def spoil(_: object, page: Page) -> Page:
        return replace(page, items=tuple(change(list(page.items))))

    return spoil


def item_at(device: int, seq: int, /, **parts: Any) -> Spoil:
    """Replace parts of one item; a callable is given the part as it is."""

    def change(found: list[PageItem]) -> list[PageItem]:
        return [
            replace(
                item, **{name: part(getattr(item, name)) if callable(part) else part for name, part in parts.items()}
            )
            if (item.device, item.seq) == (device, seq)
            else item
            for item in found
        ]

    return items(change)


def heads(change: Callable[[dict[int, Head]], dict[int, Head]]) -> Spoil:
    """Change the heads that the relay names."""

    def spoil(_: object, answer: Heads) -> Heads:
        changed = change({head.device: head for head in answer.heads})
        return replace(answer, heads=tuple(changed.values()))

    return spoil


def refuse(code: str) -> Spoil:
    """Answer with a problem."""
    return lambda action, answer: refusal_of(code)


def instead(answer: Any) -> Spoil:
    """Answer with something else altogether."""
    return lambda action, honest: answer


World: TypeAlias = tuple[MadeAccount, MemoryRelay, Device, Device]


def written_by_two() -> World:
    """An account, its relay, a phone (1) and a laptop (2) that have written; the tablet (3) has not."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop = Device(1, made, relay), Device(2, made, relay)
    phone.write("one")
    phone.sync()
    laptop.write("two")
    laptop.sync()
    return made, relay, phone, laptop
