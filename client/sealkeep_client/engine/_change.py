"""Changing the roster (spec §5.5): an entry is composed on the newest head, appended, and made anew where another came
first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from sealkeep_client.engine._actions import AppendEntry, NewKit, Steps
from sealkeep_client.engine._following import confirm_denial, follow_roster, note_pin
from sealkeep_client.engine._lowering import lowered_pins
from sealkeep_client.engine._reader import Reader
from sealkeep_client.engine._roster import RemovedError
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError, SealkeepError, TransportError, UsageError
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.roster import (
    Composed,
    Entry,
    RecoveryKey,
    Removal,
    Roster,
    RosterDevice,
    Signer,
    compose_change,
)

REBASES: Final = 256  # entries of others in a row, before this device gives up: more than a relay takes of a thief


@dataclass(frozen=True, slots=True)
class Change:
    """What an entry is to say, whatever head it comes to stand on. An empty one rotates the epoch.

    `added` are key records with names, `removed` device numbers. A removed device's feed is read to its head, which is
    pinned; `discard` gives up what stands beyond the last header that could be verified (None), or beyond a seq: also of a
    device that was removed before, by an entry of its own. With `new_kit` the recovery key is replaced. `by` are the
    private keys of a recovery kit that signs, instead of this device.
    """

    added: tuple[tuple[KeyRecord, str], ...] = ()
    removed: frozenset[int] = frozenset()
    new_kit: bool = False
    by: PrivateKeys | None = None
    discard: Mapping[int, int | None] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change: the number of the entry that holds it (None: there was nothing left to do), the devices
    that it added and removed, whether it set a new recovery key, the devices removed before whose pins it lowered, and
    whether it did nothing but end the recovery keys of devices removed before."""

    entry: int | None
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    new_kit: bool = False
    lowered: tuple[int, ...] = ()
    ended: bool = False


class ReplacedKitError(UsageError):
    """What was asked for takes the current recovery key, and the one that is to sign was replaced. `newer` is the one that
    came after it."""

    def __init__(self, newer: RecoveryKey, more: str) -> None:
        super().__init__(f"this recovery kit was replaced by a newer one; {more}")
        self.newer = newer
        self.more = more


class AddedInVainError(RefusedError):
    """A device that is to be added was in the account and is removed again: the verified roster says so."""

    def __init__(self, name: str) -> None:
        super().__init__("revoked", f"“{name}” had joined the account, and was removed from it again", status=403)


class Changing:
    """The steps of one change.

    `since` is the number of the newest roster entry that the person knew of: what a removed device added later goes with
    it. `random` gives fresh bytes, `time` is this device's clock in ms. With `needed`, the change is given up once that
    says no: another device did it.
    """

    def __init__(
        self,
        session: Session,
        change: Change,
        *,
        random: Callable[[int], bytes],
        time: int | None,
        since: int | None = None,
        needed: Callable[[Account], bool] = lambda account: True,
    ) -> None:
        self._session = session
        self._change = change
        self._random = random
        self._time = time
        self._since = session.account.roster.number if since is None else since
        self._needed = needed
        self._recovery: KeyRecord | None = None
        self._lowered: Changed | None = None  # what an entry before the last one has done
        self._replaced = False  # this device has set a new kit, so that the one that signs can remove who set the last

    @property
    def _account(self) -> Account:
        return self._session.account

    def run(self) -> Steps[Changed]:
        """Append the entry. Raises `UsageError` for what no entry can say, `RefusedError` (`revoked`, `busy`, …; also
        where what is to be added was removed again), peer errors, and `TransportError`: then nothing is known, and the same
        change again finds out."""
        try:
            return (yield from self._run())
        except (RemovedError, AddedInVainError):
            raise
        except PeerError as error:
            note_pin(self._account, error)
            raise
        except RefusedError as refused:
            if self._change.by is not None and refused.code == "revoked":
                yield from self._confirm_kit(refused, self._change.by)
            else:
                yield from confirm_denial(self._session, refused)
            raise

    def _confirm_kit(self, refused: RefusedError, kit: PrivateKeys) -> Steps[None]:
        """REL-13 for the kit that signs: only the roster can say that it is worth nothing. Raises what is to be said."""
        yield from follow_roster(self._session)
        recovery_number(self._account.roster, kit)
        raise HistoryError(
            "rollback", "the relay denies this recovery kit, which its roster does not bear out"
        ) from refused

    def _run(self) -> Steps[Changed]:
        sent: list[Composed] = []
        failure: SealkeepError | None = None
        for _ in range(REBASES):
            yield from follow_roster(self._session)
            # ROS-13: "… the loser gets `roster-conflict`, looks for its own entry first, otherwise rebases on the new head,
            # and draws a fresh epoch secret and fresh wraps." Any of those that it sent may have come to be taken.
            for composed in sent:
                if _holds(self._account.roster, composed):
                    done = _changed(composed)
                    if done.lowered:
                        sent, failure, self._lowered = [], None, done
                    elif self._change.by is not None and not _entry(composed).signer.is_recovery:
                        sent, failure, self._replaced, self._recovery = [], None, True, None
                    else:
                        return replace(
                            done,
                            new_kit=done.new_kit or self._replaced,
                            lowered=self._lowered.lowered if self._lowered is not None else (),
                        )
                    break
            if sent and failure is None:  # its last one was taken, the relay said
                raise HistoryError("missing", "the relay takes an entry of the roster and does not show it")
            # First what may stop this device from reading what else there is to pin.
            lowered = yield from self._pins_to_lower()
            if lowered:
                sent.append(self._sign(self._signer(), lowered))
            else:
                done_already = self._done_already()
                if done_already is not None:
                    return self._lowered or done_already
                pins = yield from self._pins()
                if pins is None:
                    continue  # the roster moved while feeds were read
                sent.append((yield from self._compose(pins)))
            failure = None
            try:
                yield AppendEntry(self._account.roster.number, sent[-1].entry, sent[-1].wraps)
            except (RefusedError, TransportError) as error:
                # `pinned`: a removed device has written meanwhile. Where the answer was lost, the entry may be there.
                if isinstance(error, RefusedError) and error.code not in ("roster-conflict", "pinned"):
                    raise
                failure = error
        raise failure or RefusedError(
            "roster-conflict", "other devices change the account faster than this one can", status=412
        )

    def _done_already(self) -> Changed | None:
        """Whether the roster says it by now: by an entry whose answer was lost, say."""
        change, roster = self._change, self._account.roster
        if not self._needed(self._account):
            return Changed(None)
        for record, name in change.added:
            gone = _find(roster, record)
            if gone is not None and not gone.active:  # ROS-04: its keys never enter again
                raise AddedInVainError(name)
        if change.new_kit or not (change.added or change.removed) or self._removed():
            return None
        if change.by is not None and roster.may_end_keys(self._signer()):
            return None  # a bare rotation ends what the devices, removed before, have set
        added = [_place(roster, record) for record, _ in change.added]
        numbers = tuple(number for number in added if number is not None)
        if len(numbers) < len(added):
            return None
        return Changed(roster.devices[numbers[-1]].added_at if numbers else None, added=numbers)

    def _removed(self) -> frozenset[int]:
        """The devices to remove: those that were meant, and what they, and kits that they set, added meanwhile."""
        roster = self._account.roster
        for number in self._change.removed:
            if number not in roster.devices:
                raise UsageError(f"there is no device {number} in this account")
        # ROS-20: "A client that makes a removal anew on a newer head MUST also remove what the removed devices, and
        # recovery keys that stem from them, have added since the head that the person knew."
        removed = set(self._change.removed)
        for number, device in sorted(roster.devices.items()):
            adder = device.added_by
            by = roster.recovery_keys[adder.number].device if adder.is_recovery else adder.number
            if device.added_at > self._since and by in removed:
                removed.add(number)
        if self._account.device in removed:
            raise UsageError("a device does not remove itself: remove it from another one")
        return frozenset(number for number in removed if roster.devices[number].active)

    def _pins_to_lower(self) -> Steps[list[Removal]]:
        """The pins of devices that were removed before, where they are to be lowered."""
        change, devices = self._change, self._account.roster.devices
        discard = {number: seq for number, seq in change.discard.items() if number in devices}
        before = {number: seq for number, seq in discard.items() if not devices[number].active}
        if self._lowered is not None or not before:
            return []
        return (yield from lowered_pins(self._session, before, self._signer()))

    def _pins(self) -> Steps[list[Removal] | None]:
        """Read the feeds of the devices to be removed, and pin their heads; None where the roster moved meanwhile."""
        removed = self._removed()
        if not removed:
            return []
        number = self._account.roster.number
        if any(self._change.discard.get(device, 0) is None or device not in self._change.discard for device in removed):
            reader = Reader(self._session, ())
            try:
                yield from self._session.load_tail()
                yield from reader.read()
            except PeerError as error:
                if error.device not in removed or error.device not in self._change.discard:
                    raise
                yield from reader.keep_verified()  # the pin vouches for it, and the cursor is past it
        if self._account.roster.number != number:
            return None
        return [self._pin(device) for device in sorted(removed)]

    def _pin(self, device: int) -> Removal:
        feed = self._account.feed(device)
        cut = self._change.discard.get(device)
        if cut is None or cut == feed.seq:
            return Removal(device, feed.seq, feed.head, device in self._change.discard)
        identifier = self._session.lookup(device, cut) if cut else b""
        if cut > feed.seq or identifier is None:
            raise UsageError(f"this device has read the feed of device {device} up to seq {feed.seq} only")
        return Removal(device, cut, identifier, True)

    def _signer(self) -> Signer:
        if self._change.by is None:
            return self._account.signer
        return Signer.recovery(recovery_number(self._account.roster, self._change.by))

    def _compose(self, pins: list[Removal]) -> Steps[Composed]:
        roster, change = self._account.roster, self._change
        signer = self._signer()  # nobody is handed a new kit for a signer that may not sign
        takes_kit = change.new_kit or roster.needs_new_kit(pin.device for pin in pins)
        by_device = takes_kit and roster.is_replaced(signer)
        if by_device:
            self._check_replaced(roster, signer)
        if self._recovery is None and takes_kit:
            self._recovery = yield NewKit(self._account)  # the last thing before the entry that puts it in force
        if by_device:
            return self._sign(self._account.signer, [], (), self._recovery)
        added = [(record, name) for record, name in change.added if _place(roster, record) is None]
        return self._sign(signer, pins, added, self._recovery)

    def _check_replaced(self, roster: Roster, signer: Signer) -> None:
        """Whether this device may set the new kit first, so that a replaced one removes who set the last. Raises
        `ReplacedKitError`."""
        # ROS-25: "A `change` signed by a recovery key that is not the current one MUST NOT add a device or set a recovery
        # key."
        newer = roster.recovery_keys[signer.number + 1]
        if self._change.new_kit:
            raise ReplacedKitError(newer, "that one alone makes a further one")
        if self._replaced:
            raise ReplacedKitError(
                newer,
                "a device that is to be removed goes on making others: `sealkeep recover --remove-others` ends that",
            )

    def _sign(
        self,
        signer: Signer,
        pins: list[Removal],
        added: Sequence[tuple[KeyRecord, str]] = (),
        recovery: KeyRecord | None = None,
    ) -> Composed:
        return compose_change(
            self._account.roster,
            signer,
            self._change.by.signing
            if self._change.by is not None and signer.is_recovery
            else self._account.keys.signing,
            list(self._account.epochs.values()),
            random=self._random,
            added=added,
            removed=pins,
            recovery=recovery,
            time=self._time,
        )


def recovery_number(roster: Roster, kit: PrivateKeys) -> int:
    """The number of a kit's recovery key. Raises `RefusedError` (`revoked`) where it has no right, `UsageError` where it is
    none of this account's."""
    for key in roster.recovery_keys:
        if key.keys.signing == kit.signing.public:
            if not key.has_right:
                raise RefusedError("revoked", "this recovery kit was replaced by a newer one", status=403)
            return key.number
    raise UsageError("this recovery kit was never put in force in this account")


def _place(roster: Roster, record: KeyRecord) -> int | None:
    """The number of the active device with exactly these keys."""
    device = _find(roster, record)
    return device.number if device is not None and device.active else None


def _find(roster: Roster, record: KeyRecord) -> RosterDevice | None:
    """The device with exactly these keys, whether or not it was removed."""
    for device in roster.devices.values():
        if (device.keys.signing, device.keys.kem) == (record.signing, record.kem):
            return device
    return None


def _holds(roster: Roster, composed: Composed) -> bool:
    number = composed.roster.number
    return number <= roster.number and roster.entry_ids[number] == composed.roster.head


def _entry(composed: Composed) -> Entry:
    if composed.roster.last is None:
        raise AssertionError
    return composed.roster.last


def _changed(composed: Composed) -> Changed:
    entry = _entry(composed)
    lowered = tuple(r.device for r in entry.removed if composed.roster.devices[r.device].removed_at != entry.number)
    return Changed(
        entry.number,
        tuple(addition.device for addition in entry.added),
        tuple(removal.device for removal in entry.removed if removal.device not in lowered),
        entry.recovery is not None,
        lowered,
        entry.is_bare and entry.signer.is_recovery == 1,
    )
