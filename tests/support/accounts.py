"""Accounts for tests: devices and kits, their roster, their epochs, and signed segments in their feeds.

    account = MadeAccount(devices=2)                    # the first device made it, each next one was added by it
    account.remove(2, by=1)                             # an entry at a time; `account.roster` is the judged roster
    kit = account.replace_kit(by=device(1))             # a new recovery key; its number
    segment = account.seal(1, b"content")               # continues the feed of device 1; `account.heads` follows

All randomness but that of HPKE comes from a counter under `seed`, so that keys are the same in every run; wraps, and with
them the account's id, are not. `forge` signs what no honest composer would, `fork` is the account as it might have gone on.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.keys import EpochKeys, KeyRecord, PrivateKeys
from sealkeep_protocol.padding import compress
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.roster import (
    Composed,
    Entry,
    Removal,
    Signer,
    compose_change,
    compose_close,
    compose_genesis,
    decode_entry,
    open_wrap,
)
from sealkeep_protocol.segments import (
    Head,
    Position,
    SealedSegment,
    SegmentClass,
    Summary,
    VerifiedHeader,
    seal_segment,
    summarize,
    verify_header,
)
from sealkeep_protocol.statements import Receipt, Refusal
from sealkeep_protocol.types import NO_ID, AccountId, DeviceId, ObjectId, Seq

TIME = 1_700_000_000_000  # ms


class CountingRandom:
    """Deterministic "random" bytes: the hash of a seed and a counter. `drawn` remembers them all."""

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed).encode()
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        counter = len(self.drawn).to_bytes(8, "big")
        self.drawn.append(hashlib.shake_256(self._seed + b"/" + counter).digest(size))
        return self.drawn[-1]


@functools.lru_cache(maxsize=1024)
def made_keys(name: str) -> PrivateKeys:
    """A pair of private keys, always the same for the same name."""
    return PrivateKeys(sha256(b"signing " + name.encode()), sha256(b"KEM " + name.encode()))


@functools.lru_cache(maxsize=256)
def recovery_keys(seed: bytes) -> PrivateKeys:
    return PrivateKeys.of_recovery(seed)


def device(number: int) -> Signer:
    return Signer.device(number)


def kit(number: int) -> Signer:
    return Signer.recovery(number)


@contextmanager
def refused(
    family: type[PeerError], code: str, *, device: int | None = None, seq: int | None = None
) -> Iterator[pytest.ExceptionInfo[PeerError]]:
    """The block raises an error of exactly this family and code, placed at exactly this device and seq."""
    with pytest.raises(PeerError) as caught:
        yield caught
    error = caught.value
    assert (type(error), error.code, error.device, error.seq) == (family, code, device, seq), repr(error)


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class MadeRelay:
    """A relay's long-term key and incarnation, for receipts and refusals."""

    def __init__(self, name: str = "relay") -> None:
        self.key = SigningKey(sha256(b"identity " + name.encode()))
        self.incarnation = sha256(b"incarnation " + name.encode())[:16]

    @property
    def identity(self) -> bytes:
        return self.key.public

    def receipt(self, account: MadeAccount, segment: SealedSegment, position: int) -> bytes:
        return Receipt(segment.header_id, position, self.incarnation).sign(account.id, self.key)

    def refusal(self, account: MadeAccount, author: int, segment: SealedSegment) -> bytes:
        """Refuse a segment, showing the account's roster as it stands."""
        roster = account.roster
        refusal = Refusal(
            segment.header_id, DeviceId(author), segment.seq, roster.number, roster.head, self.incarnation
        )
        return refusal.sign(account.id, self.key)


class MadeAccount:
    """An account as its owner's devices hold it together: every private key and every epoch, entry, wrap and segment."""

    def __init__(self, *, devices: int = 1, seed: int | str = 0) -> None:
        self.seed = str(seed)
        self.random = CountingRandom(seed)
        self.devices: dict[int, PrivateKeys] = {1: made_keys(f"{seed}/1")}
        self.kits: list[bytes] = [self.random(32)]  # recovery seeds
        self.entries: list[bytes] = []
        self.wraps: list[tuple[bytes, ...]] = []  # of each entry
        self.epochs: dict[int, EpochKeys] = {}
        self.segments: dict[int, list[SealedSegment]] = {}
        self._named: dict[int, dict[int, Head]] = {}  # by author: the heads that it has named
        genesis = compose_genesis(
            self.devices[1], "device 1", recovery_keys(self.kits[0]), random=self.random, time=TIME
        )
        self.roster = genesis.roster
        self._keep(genesis)
        for _ in range(1, devices):
            self.add(by=device(1))

    def fork(self) -> MadeAccount:
        """The same account up to here; what either does from now on the other knows nothing of."""
        twin = copy.copy(self)
        twin.random = CountingRandom(f"{self.seed}/fork of {len(self.random.drawn)}")
        twin.devices, twin.epochs, twin.kits = self.devices.copy(), self.epochs.copy(), self.kits.copy()
        twin.entries, twin.wraps = self.entries.copy(), self.wraps.copy()
        twin.segments = {author: segments.copy() for author, segments in self.segments.items()}
        twin._named = {author: heads.copy() for author, heads in self._named.items()}
        return twin

    # What follows from its roster

    @property
    def id(self) -> AccountId:
        return self.roster.account

    @property
    def epoch(self) -> EpochKeys:
        return self.epochs[self.roster.epoch]

    def key(self, signer: Signer) -> SigningKey:
        return self.recovery(signer.number).signing if signer.is_recovery else self.devices[signer.number].signing

    def recovery(self, number: int) -> PrivateKeys:
        return recovery_keys(self.kits[number])

    def entry(self, number: int = -1) -> Entry:
        """An entry, decoded."""
        return decode_entry(signed.decode_payload(signed.split(self.entries[number])[0]))

    # Entries

    def next_device(self) -> tuple[int, PrivateKeys, KeyRecord]:
        """Number, keys and key record of the device that would be added next."""
        number = len(self.roster.devices) + 1
        keys = made_keys(f"{self.seed}/{number}")
        return number, keys, keys.record((1, self.id))

    def next_kit(self) -> tuple[bytes, KeyRecord]:
        """Seed and key record of the recovery key that would enter next."""
        seed = sha256(f"{self.seed}/kit {len(self.roster.recovery_keys)}".encode())
        return seed, recovery_keys(seed).record((1, self.id))

    def compose(
        self,
        by: Signer,
        *,
        add: int = 0,
        remove: Sequence[int | Removal] = (),
        new_kit: bool = False,
        reclaim: bool = False,
        time: int | None = TIME,
    ) -> Composed:
        """Compose a change or reclaim without taking it. Devices are pinned at their heads."""
        numbers = range(len(self.roster.devices) + 1, len(self.roster.devices) + 1 + add)
        keys = [made_keys(f"{self.seed}/{number}") for number in numbers]
        return compose_change(
            self.roster,
            by,
            self.key(by),
            list(self.epochs.values()),
            random=self.random,
            added=[(k.record((1, self.id)), f"device {n}") for n, k in zip(numbers, keys, strict=True)],
            removed=[self.pin(item) if isinstance(item, int) else item for item in remove],
            recovery=self.next_kit()[1] if new_kit else None,
            reclaim=reclaim,
            time=time,
        )

    def change(
        self, by: Signer, *, add: int = 0, remove: Sequence[int | Removal] = (), new_kit: bool = False
    ) -> Composed:
        composed = self.compose(by, add=add, remove=remove, new_kit=new_kit)
        self._take(composed)
        return composed

    def add(self, *, by: Signer) -> int:
        """Add a device; its number."""
        self.change(by, add=1)
        return len(self.roster.devices)

    def remove(self, *devices: int | Removal, by: Signer, new_kit: bool = False) -> Composed:
        return self.change(by, remove=devices, new_kit=new_kit)

    def replace_kit(self, *, by: Signer) -> int:
        """Set a new recovery key; its number."""
        self.change(by, new_kit=True)
        return len(self.kits) - 1

    def reclaim(self, *, by: int) -> Composed:
        """Reclaim the account with a kit: every device goes, one comes, and a new kit."""
        remaining = [item.number for item in self.roster.active_devices]
        composed = self.compose(kit(by), add=1, remove=remaining, new_kit=True, reclaim=True)
        self._take(composed)
        return composed

    def close(self, *, by: int) -> bytes:
        data = compose_close(self.roster, by, self.recovery(by).signing, time=TIME)
        self.append(data)
        return data

    def append(self, data: bytes, wraps: Sequence[bytes] = ()) -> None:
        """Take an entry as it is. Raises as `Roster.append` does."""
        self.roster = self.roster.append(data)
        self.entries.append(data)
        self.wraps.append(tuple(wraps))

    def receive(self, data: bytes, wraps: Sequence[bytes]) -> None:
        """Take an entry that one of its devices composed on its own, and the epoch that its first wrap for one opens."""
        self.append(data, wraps)
        for (recipient, _), wrap in zip(self.roster.recipients(), wraps, strict=bool(wraps)):
            if recipient in self.devices:
                keys = open_wrap(self.roster, self.entry(), wrap, recipient, self.devices[recipient])
                self.epochs[keys.number] = keys
                return

    def _take(self, composed: Composed) -> None:
        if len(composed.roster.recovery_keys) > len(self.kits):
            self.kits.append(self.next_kit()[0])
        for number in range(len(self.devices) + 1, len(composed.roster.devices) + 1):
            self.devices[number] = made_keys(f"{self.seed}/{number}")
        self.roster = composed.roster
        self._keep(composed)

    def _keep(self, composed: Composed) -> None:
        self.entries.append(composed.entry)
        self.wraps.append(composed.wraps)
        self.epochs[composed.keys.number] = composed.keys

    def forge(
        self,
        entry: Entry | Mapping[int, cbor.Item],
        by: Signer | SigningKey,
        *,
        digests: int | None = None,
        account: bytes | None = None,
    ) -> bytes:
        """Sign an entry, or the fields of its core, whatever it says, with so many made-up digests (as in its own)."""
        core = entry.encode_core() if isinstance(entry, Entry) else cbor.encode(entry)
        if digests is None:
            digests = len(entry.digests) if isinstance(entry, Entry) else 0
        key = by if isinstance(by, SigningKey) else self.key(by)
        made = [sha256(bytes([number])) for number in range(digests)]
        return signed.sign("roster", self.id if account is None else account, core, key, digests=made)

    # Segments

    def head(self, author: int) -> Head | None:
        """The last segment of a feed."""
        segments = self.segments.get(author)
        return Head(DeviceId(author), segments[-1].seq, segments[-1].header_id) if segments else None

    @property
    def heads(self) -> dict[int, Head]:
        return {author: head for author in self.segments if (head := self.head(author)) is not None}

    def pin(self, number: int, *, discard_after: bool = False) -> Removal:
        """A removal that pins the feed at its head."""
        head = self.head(number)
        return Removal(number, head.seq if head else 0, head.header_id if head else b"", discard_after)

    def known(self, author: int, seq: int) -> ObjectId | None:
        """The id of a header (as `HeaderIds`)."""
        segments = self.segments.get(author, [])
        return segments[seq - 1].header_id if 0 < seq <= len(segments) else None

    def position(self, author: int, *, shown: Sequence[int] | None = None) -> Position:
        """Where an author stands who was shown the heads of these feeds (default: all others)."""
        named = self._named.get(author, {})
        others = [head for number, head in sorted(self.heads.items()) if number != author]
        changed = [
            head for head in others if head != named.get(head.device) and (shown is None or head.device in shown)
        ]
        everything = named | {head.device: head for head in changed}
        own = self.head(author)
        return Position(
            account=self.id,
            device=DeviceId(author),
            seq=Seq(own.seq + 1 if own else 1),
            previous=own.header_id if own else NO_ID,
            roster_number=self.roster.number,
            roster_head=self.roster.head,
            changed_heads=tuple(changed),
            all_heads=tuple(everything[number] for number in sorted(everything)),
        )

    def seal(
        self,
        author: int,
        content: bytes = b"content",
        *,
        segment_class: SegmentClass = SegmentClass.LIVE,
        compressed: bool = False,
        summary: Summary | None = None,
        shown: Sequence[int] | None = None,
        chunks: Sequence[bytes] = (),
        take: bool = True,
    ) -> SealedSegment:
        """Seal the next segment of a feed; with `take=False` the feed stays as it was."""
        position = self.position(author, shown=shown)
        summary = summary or summarize(segment_class, [TIME], 1, [sha256(b"conversation")[:16]], len(content))
        segment = seal_segment(
            position,
            self.epoch,
            self.devices[author].signing,
            summary,
            compress(content) if compressed else content,
            compressed=compressed,
            salt=self.random(32),
            chunks=chunks,
        )
        if take:
            self.segments.setdefault(author, []).append(segment)
            self._named[author] = {head.device: head for head in position.all_heads}
        return segment

    def verified(self, author: int, segment: SealedSegment) -> VerifiedHeader:
        key = self.devices[author].signing.public
        return verify_header(segment.header, account=self.id, device=author, seq=segment.seq, key=key)


def altered(entry: Entry, **fields: object) -> Entry:
    """The entry with other fields, for `MadeAccount.forge`."""
    return replace(entry, **fields)  # type: ignore[arg-type]
