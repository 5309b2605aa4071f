"""The roster's state machine (spec §5): one pure judge, run by the relay and by every client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NoReturn

from sealkeep_protocol import signed
from sealkeep_protocol.errors import HistoryError, MalformedError
from sealkeep_protocol.hybrid_kem import MLKEM_KEY_SIZE, RECOVERY_RECIPIENT, check_kem_key, check_wrap
from sealkeep_protocol.keys import KeyRecord
from sealkeep_protocol.primitives import check_signing_key, verify_signature
from sealkeep_protocol.roster._entries import MAX_ENTRY, Entry, EntryType, Removal, Rotation, Signer, decode_entry
from sealkeep_protocol.roster._recovery import RecoveryKey, ended_by_rotation, is_outranked, keys_after
from sealkeep_protocol.types import AccountId, ObjectId

MAX_ACTIVE = 64
MAX_LINKS = 512
LAST_NUMBERS = 64_511  # device numbers above this one are for the highest recovery key to give


def _public_parts(record: KeyRecord) -> tuple[bytes, bytes, bytes]:
    """The public keys of a record, the two halves of the KEM key apart: none may come back in another pair."""
    return record.signing, record.kem[:MLKEM_KEY_SIZE], record.kem[MLKEM_KEY_SIZE:]


@dataclass(frozen=True, slots=True)
class RosterDevice:
    """A device as the roster knows it; entries are given by number. Once it is removed, by entry `removed_at`, `removal`
    holds its present pin: that entry's, or that of a later one which lowered it (ROS-23)."""

    number: int
    keys: KeyRecord
    sealed_name: bytes
    name_epoch: int
    added_at: int
    added_by: Signer
    removed_at: int | None = None
    removal: Removal | None = None

    @property
    def active(self) -> bool:
        return self.removed_at is None

    def was_active_at(self, number: int) -> bool:
        """Whether the device is active in the roster that ends with this entry."""
        return self.added_at <= number and (self.removed_at is None or number < self.removed_at)


@dataclass(frozen=True, slots=True)
class Roster:
    """A valid roster: the state after its last entry. Immutable; `append` gives the next one."""

    account: AccountId
    nonce: bytes
    entry_ids: tuple[ObjectId, ...]
    entry_epochs: tuple[int, ...]
    entry_signers: tuple[Signer, ...]
    devices: Mapping[int, RosterDevice]
    recovery_keys: tuple[RecoveryKey, ...]
    rotations: tuple[Rotation, ...]  # of the epochs 1, 2, …
    closed_by: int | None = None  # the number of the recovery key that closed the account
    last: Entry | None = None  # the last entry, as decoded

    @classmethod
    def genesis(cls, data: bytes) -> Roster:
        """Begin a roster with its genesis. Raises `MalformedError`, `AuthenticationError` or `HistoryError`."""
        payload, signature = signed.split(data, limit=MAX_ENTRY)
        entry = decode_entry(signed.decode_payload(payload))
        if entry.type is not EntryType.GENESIS or entry.nonce is None:
            raise HistoryError("roster", "the first entry of a roster is a genesis")
        empty = cls(
            account=AccountId(b""),
            nonce=entry.nonce,
            entry_ids=(),
            entry_epochs=(),
            entry_signers=(),
            devices=MappingProxyType({}),
            recovery_keys=(),
            rotations=(),
        )
        identifier = signed.object_id("roster", b"", payload)
        return replace(empty._judge(entry, payload, signature, identifier), account=AccountId(identifier))

    def append(self, data: bytes) -> Roster:
        """Judge the next entry. Raises `MalformedError`, `AuthenticationError` or `HistoryError` (`roster`, …)."""
        payload, signature = signed.split(data, limit=MAX_ENTRY)
        entry = decode_entry(signed.decode_payload(payload))
        if entry.type is EntryType.GENESIS:
            raise HistoryError("roster", "a second genesis")
        return self._judge(entry, payload, signature, signed.object_id("roster", self.account, payload))

    @classmethod
    def read(cls, entries: list[bytes], *, account: AccountId) -> Roster:
        """Judge a whole roster that must be this account's. Raises as `genesis` and `append` do."""
        if not entries:
            raise HistoryError("roster", "an empty roster")
        roster = cls.genesis(entries[0])
        # KEY-09: "Recovery from a kit MUST refuse a roster of another account id than the kit's, …"
        if roster.account != account:
            raise HistoryError("fork", "the roster is another account's")
        for entry in entries[1:]:
            roster = roster.append(entry)
        return roster

    # What follows from the state

    @property
    def number(self) -> int:
        """The number of the last entry."""
        return len(self.entry_ids) - 1

    @property
    def head(self) -> ObjectId:
        return self.entry_ids[-1]

    @property
    def epoch(self) -> int:
        """The current epoch's number."""
        return len(self.rotations)

    @property
    def active_devices(self) -> list[RosterDevice]:
        return [device for device in self.devices.values() if device.active]

    @property
    def current_recovery_key(self) -> RecoveryKey:
        """The newest recovery key that has its right (§5.4)."""
        return [key for key in self.recovery_keys if key.has_right][-1]

    @property
    def is_closed(self) -> bool:
        return self.closed_by is not None

    @property
    def close_is_final(self) -> bool:
        """Whether no recovery key is left that could still undo the closing (§5.4)."""
        closer = self.closed_by
        return closer is not None and not any(k.has_right and k.number < closer for k in self.recovery_keys)

    def may_reopen(self, signer: Signer) -> bool:
        """Whether this recovery key ranks above the one that closed the account, and so can take it back (ROS-09)."""
        closer = self.closed_by
        if closer is None or not signer.is_recovery or signer.number >= closer:
            return False
        return self.recovery_keys[signer.number].has_right

    def is_outranked(self, number: int) -> bool:
        """Whether another recovery key ranks above this one: it is older, and has its right (§5.4)."""
        return is_outranked(self.recovery_keys, number)

    def dispute(self, number: int) -> int | None:
        """The number of the entry that disputed a recovery key, where that still counts (§5.4); None otherwise."""
        return self.recovery_keys[number].disputed_at if self.is_outranked(number) else None

    def needs_new_kit(self, removed: Iterable[int]) -> bool:
        """Whether an entry that removes these devices must set a new recovery key (ROS-16): one that is active stands
        behind the current one."""
        active = {number for number in removed if self.devices[number].active}
        return bool(self.recovery_keys) and self.current_recovery_key.device in active

    def is_replaced(self, signer: Signer) -> bool:
        """Whether this is a recovery key in whose place a newer one is current (ROS-25)."""
        return signer.is_recovery == 1 and signer.number != self.current_recovery_key.number

    def may_end_keys(self, signer: Signer) -> bool:
        """Whether a bare rotation of this recovery key would end the right of another one (§5.4)."""
        return bool(signer.is_recovery and ended_by_rotation(self.recovery_keys, signer.number, self._gone()))

    def may_lower_pins(self, signer: Signer) -> bool:
        """Whether entries of this signer may lower the pins of removed devices (ROS-23)."""
        return self._is_highest(signer)

    def _is_highest(self, signer: Signer) -> bool:
        """Whether this is a recovery key above which none ranks."""
        return signer.is_recovery == 1 and not self.is_outranked(signer.number)

    def _gone(self) -> set[int]:
        """The devices that were removed."""
        return {device.number for device in self.devices.values() if not device.active}

    def _newly_removed(self, entry: Entry) -> set[int]:
        """The devices that an entry which fits removes, without those that were removed before."""
        return {removal.device for removal in entry.removed if self.devices[removal.device].active}

    def commitment(self, epoch: int) -> bytes:
        """The public commitment to an epoch's secret. Raises `HistoryError` (`epoch`) for an epoch that is not there."""
        if not 1 <= epoch <= self.epoch:
            raise HistoryError("epoch", f"epoch {epoch} is not in the roster")
        return self.rotations[epoch - 1].commitment

    def signer_of_epoch(self, epoch: int) -> Signer:
        """Who signed the entry that began this epoch, and made its wraps and links."""
        return self.entry_signers[self.entry_epochs.index(epoch)]

    def previous_of_epoch(self, epoch: int) -> bytes:
        """The id of the entry before the one that began this epoch: the binding of its links (§3.5)."""
        at = self.entry_epochs.index(epoch)
        return self.entry_ids[at - 1] if at else b""

    def signing_key(self, signer: Signer) -> bytes | None:
        """The public key of a signer who may sign now; None for one who may not."""
        if signer.is_recovery:
            if signer.number >= len(self.recovery_keys) or not self.recovery_keys[signer.number].has_right:
                return None
            return self.recovery_keys[signer.number].keys.signing
        device = self.devices.get(signer.number)
        return device.keys.signing if device is not None and device.active else None

    def recipients(self) -> list[tuple[int, bytes]]:
        """Who gets a wrap at the current state, in the order of digests (ROS-08): (recipient, KEM key)."""
        return [
            (RECOVERY_RECIPIENT, self.current_recovery_key.keys.kem),
            *((device.number, device.keys.kem) for device in self.active_devices),
        ]

    def check_wraps(self, wraps: Sequence[bytes | None], *, all_of_them: bool = True) -> None:
        """Check the wraps that come with the last entry; unless `all_of_them` are due, None stands for one that is lost.

        Raises `AuthenticationError` or `MalformedError`.
        """
        digests = self.last.digests if self.last is not None else ()
        # ROS-15: "A relay MUST accept a rotating entry only together with all its wraps."
        if len(wraps) != len(digests) or (all_of_them and None in wraps):
            there = sum(wrapped is not None for wrapped in wraps)
            raise MalformedError("malformed", f"{there} wraps where {len(digests)} belong")
        for wrapped, digest in zip(wraps, digests, strict=True):
            if wrapped is not None:
                check_wrap(wrapped, digest)

    # The judgement

    def _judge(self, entry: Entry, payload: bytes, signature: bytes, identifier: ObjectId) -> Roster:
        self._check_place(entry)
        structure = signed.signature_structure("roster", self.account, payload)
        verify_signature(self._signer_key(entry), structure, signature)
        added_at = len(self.entry_ids)
        devices = dict(self.devices)
        self._remove(entry, devices, added_at)
        self._add(entry, devices, added_at)
        after = replace(
            self,
            entry_ids=(*self.entry_ids, identifier),
            entry_signers=(*self.entry_signers, entry.signer),
            devices=MappingProxyType(devices),
            recovery_keys=keys_after(self.recovery_keys, entry, added_at, self._newly_removed(entry), self._gone()),
            closed_by=entry.signer.number if entry.type is EntryType.CLOSE else None,
            last=entry,
        )
        after._check_size()
        return after._rotate(entry)

    def _check_place(self, entry: Entry) -> None:
        # ROS-01: "The number of an entry MUST be one more than that of the entry before, and `previous` MUST be that
        # entry's id."
        if entry.number != len(self.entry_ids) or (self.entry_ids and entry.previous != self.entry_ids[-1]):
            raise HistoryError("roster", "the entry does not continue the roster")
        closer = self.closed_by
        # ROS-09: "After a `close` only a `reclaim` by a recovery key that ranks above the closing key MUST be accepted."
        if closer is not None and (entry.type is not EntryType.RECLAIM or entry.signer.number >= closer):
            raise HistoryError("roster", "the account is closed")

    def _signer_key(self, entry: Entry) -> bytes:
        # ROS-02: "A `change` MUST be signed by a device that is active before it, or by a recovery key that has its right
        # (§5.4); `reclaim` and `close` by a recovery key that has its right."
        if entry.type is EntryType.GENESIS:
            if entry.signer != Signer.device(1):
                self._refuse("a genesis is signed by its first device")
            return entry.added[0].keys.signing
        if entry.type is not EntryType.CHANGE and not entry.signer.is_recovery:
            self._refuse("only a recovery key may sign this entry")
        key = self.signing_key(entry.signer)
        if key is None:
            self._refuse("its signer may not sign any more, or never might")
        # ROS-25: "A `change` signed by a recovery key that is not the current one MUST NOT add a device or set a recovery
        # key."
        is_more = bool(entry.added) or entry.recovery is not None
        if entry.type is EntryType.CHANGE and is_more and self.is_replaced(entry.signer):
            self._refuse("a recovery key that was replaced adds no device and sets no key, but by a reclaim")
        return key

    def _remove(self, entry: Entry, devices: dict[int, RosterDevice], at: int) -> None:
        numbers = [removal.device for removal in entry.removed]
        for removal in entry.removed:
            device = devices.get(removal.device)
            # ROS-03: "A removal MUST name, once each, a device that is neither the signer nor added by the same entry, and
            # that is active or, as far as ROS-23 allows it, was removed before." What the entry adds is not there yet.
            if device is None or entry.signer == Signer.device(removal.device) or numbers != sorted(set(numbers)):
                self._refuse("it removes a device that it cannot remove")
            if device.removal is not None:
                self._check_lowered(entry, device.removal, removal)
            devices[removal.device] = replace(
                device, removed_at=at if device.active else device.removed_at, removal=removal
            )
        # ROS-16: "An entry that removes the device from which the current recovery key stems MUST set a new one."
        if entry.recovery is None and self.needs_new_kit(numbers):
            self._refuse("it removes the device that the recovery key stems from, and sets no new one")
        # ROS-11: "A `reclaim` MUST remove and pin every active device, add one device and set a new recovery key."
        if entry.type is EntryType.RECLAIM and any(device.active for device in devices.values()):
            self._refuse("a reclaim removes every device")

    def _check_lowered(self, entry: Entry, present: Removal, lowered: Removal) -> None:
        # ROS-23: "A removal of a device that was removed before MUST be signed by a recovery key above which none ranks
        # (§5.4), say discard-after, and name a seq below that of the device's present pin, or that pin itself where it does
        # not say so."
        if not self.may_lower_pins(entry.signer):
            self._refuse("only the highest recovery key lowers the pin of a removed device")
        is_same = not present.discard_after and lowered == present._replace(discard_after=True)
        if not lowered.discard_after or (lowered.seq >= present.seq and not is_same):
            self._refuse("a removed device's pin is only ever lowered, with discard-after")

    def _add(self, entry: Entry, devices: dict[int, RosterDevice], at: int) -> None:
        if entry.type in (EntryType.GENESIS, EntryType.RECLAIM) and len(entry.added) != 1:
            self._refuse("it adds exactly one device")
        known = [device.keys for device in devices.values()] + [key.keys for key in self.recovery_keys]
        taken = {part for record in known for part in _public_parts(record)}
        records = [addition.keys for addition in entry.added]
        if entry.recovery is not None:
            records.append(entry.recovery)
        root = (0, entry.nonce) if entry.nonce is not None else (1, self.account)
        for record in records:
            # ROS-04: "Added devices MUST take the next numbers in order, and no signing or KEM key, of a device or a
            # recovery key, MUST ever enter a roster twice."
            if not taken.isdisjoint(_public_parts(record)):
                self._refuse("it brings a key that the roster has seen before")
            taken.update(_public_parts(record))
            # ROS-05: "Every key record MUST satisfy KEY-02 and KEY-03 and carry a valid proof for this account."
            check_signing_key(record.signing)
            check_kem_key(record.kem)
            signed.verify_proof(record.signing, record.kem, root, record.proof)
        for addition in entry.added:
            if addition.device != len(devices) + 1:
                self._refuse("it adds a device under a number that is not the next")
            # ROS-18: "A device number above 64,511 MUST be given only by an entry of a recovery key above which none ranks
            # (§5.4)."
            if addition.device > LAST_NUMBERS and not self._is_highest(entry.signer):
                self._refuse("the last device numbers are for the highest recovery key to give")
            devices[addition.device] = RosterDevice(
                number=addition.device,
                keys=addition.keys,
                sealed_name=addition.sealed_name,
                name_epoch=self.epoch + 1,
                added_at=at,
                added_by=entry.signer,
            )

    def _rotate(self, entry: Entry) -> Roster:
        """Judge rotation and digests: on the state after the entry, whose recipients they are for."""
        rotation = entry.rotation
        if rotation is None:
            if entry.digests:
                raise MalformedError("malformed", "a close has no digests")
            return replace(self, entry_epochs=(*self.entry_epochs, self.epoch))
        # ROS-06: "A genesis, `change` or `reclaim` MUST rotate: its epoch number MUST be one more than the epoch before
        # (1 in a genesis), with a new commitment."
        if rotation.epoch != self.epoch + 1 or any(r.commitment == rotation.commitment for r in self.rotations):
            self._refuse("its epoch does not follow the one before")
        epochs = [link.epoch for link in rotation.links]
        # ROS-07: "A rotation MUST link at least one earlier epoch (none in a genesis), each m below its own number, in
        # ascending order."
        ordered = all(a < b for a, b in zip([0, *epochs], [*epochs, rotation.epoch], strict=True))
        if not ordered or bool(epochs) == (rotation.epoch == 1) or len(epochs) > MAX_LINKS:
            self._refuse("its links do not lead to earlier epochs")
        # ROS-08: "The digests of a rotating entry MUST be those of one wrap for the recovery key that is current after
        # the entry, then one for each device that is active after it, in the order of their numbers; …"
        if len(entry.digests) != len(self.recipients()):
            raise MalformedError("malformed", "it does not have one digest for each recipient")
        return replace(self, rotations=(*self.rotations, rotation), entry_epochs=(*self.entry_epochs, rotation.epoch))

    def _check_size(self) -> None:
        if len(self.active_devices) > MAX_ACTIVE:
            self._refuse("it leads to more active devices than an account may have")

    def _refuse(self, why: str) -> NoReturn:
        raise HistoryError("roster", f"roster entry {len(self.entry_ids)} is not valid: {why}")
