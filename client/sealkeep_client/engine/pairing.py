"""Pairing (spec §10), as pure decisions: what is said through the mailbox, and what the roster must then show.

A module of its own beside the engine's face: only who pairs needs SPAKE2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from sealkeep_client.answers import Wrap
from sealkeep_client.engine._actions import ReadRoster, ReadWraps, Steps
from sealkeep_client.engine._change import Change, Changing
from sealkeep_client.engine._roster import unlock
from sealkeep_client.engine._session import RACES, Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, PairingError, RefusedError
from sealkeep_protocol.feeds import HeaderIds
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.pairing import Candidate, Enrolment, NewDevice, OldDevice
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.types import AccountId, DeviceId

# Through the mailbox


@dataclass(frozen=True, slots=True)
class PutMessage:
    """→ None."""

    place: int
    message: bytes


@dataclass(frozen=True, slots=True)
class GetMessage:
    """→ the message, waited for; `soon` where the other device says it by itself, and no person has a part in it."""

    place: int
    soon: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """→ whether the person wants this device in the account, having compared the confirmation words."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaveOffer:
    """→ None. The device's keys and all that it needs to go on are durable, for this account."""

    account: AccountId


@dataclass(frozen=True, slots=True)
class ShowWords:
    """→ None. The confirmation words, to be compared with those on the other device."""

    words: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SaveEnrolment:
    """→ None."""

    enrolment: Enrolment


@dataclass(frozen=True, slots=True)
class Declined:
    """→ None. The person on the other device said no."""


PairingAction: TypeAlias = PutMessage | GetMessage | Ask | SaveOffer | ShowWords | SaveEnrolment | Declined

T = TypeVar("T")
PairingSteps: TypeAlias = Generator[PairingAction, Any, T]

_DECLINED: Final = "the other device answered no: this one was not let in"


def meet(device: OldDevice) -> PairingSteps[Candidate | None]:
    """The old device's part, up to the person's yes; None, and all is said, after a no.

    Raises `PairingError`, or what the messages' openers raise.
    """
    yield PutMessage(1, device.hello())
    yield PutMessage(3, device.invite((yield GetMessage(2))))
    candidate, words = device.meet((yield GetMessage(4)))
    # PAI-10: "The old device MUST NOT append an entry for a new device before the person, or a program that decides for
    # them, was shown its name and the confirmation words and agreed."
    if not (yield Ask(candidate.name, words)):
        yield PutMessage(5, device.decline())
        return None
    return candidate


def ask_to_join(device: NewDevice) -> PairingSteps[tuple[AccountId, Enrolment]]:
    """The new device's part, up to where it knows by which roster entry it joins. Raises as `meet` does."""
    yield PutMessage(2, device.answer((yield GetMessage(1, soon=False))))
    offer = device.offer((yield GetMessage(3)))
    # PAI-11: "The new device MUST have its private keys, the account's id, and the relay's identity durable before it
    # sends message 4, …"
    yield SaveOffer(offer.account)
    yield PutMessage(4, offer.message)
    yield ShowWords(offer.words)
    # PAI-14: "The new device MUST NOT join without message 5, whatever roster it is shown."
    enrolment = device.conclude((yield GetMessage(5, soon=False)))
    if enrolment is None:
        yield Declined()
        raise PairingError(_DECLINED)
    yield SaveEnrolment(enrolment)
    return offer.account, enrolment


# In the roster


def add_device(
    account: Account,
    candidate: Candidate,
    *,
    known: HeaderIds,
    random: Callable[[int], bytes],
    now: Callable[[], int],
) -> Steps[Enrolment]:
    """Append the `change` that adds the new device, or find the one that did; `now` gives ms since 1970.

    Raises `PairingError` for keys that the roster has seen otherwise, and what following the roster raises.
    """
    session = Session(account, known, refused=lambda header: None)
    found: Enrolment | None = None

    def is_missing(account: Account) -> bool:
        nonlocal found
        found = _enrolled(account.roster, candidate.keys)
        return found is None

    added = Change(added=((candidate.keys, candidate.name),))
    yield from Changing(session, added, random=random, time=now(), needed=is_missing).run()
    if is_missing(session.account) or found is None:
        raise AssertionError("an entry that was appended adds the device")
    return found


def _enrolled(roster: Roster, keys: KeyRecord) -> Enrolment | None:
    """The entry that added a device with these keys. Raises `PairingError` where a key stands there otherwise."""
    for device in roster.devices.values():
        if (device.keys.signing, device.keys.kem) == (keys.signing, keys.kem) and device.active:
            return Enrolment(DeviceId(device.number), device.added_at, roster.entry_ids[device.added_at])
    # PAI-12: "An old device to which a key record is offered whose keys are those of an active device of its roster MUST
    # append nothing, and name in message 5 the entry that added it; it MUST refuse one that holds a key of any other
    # device or recovery key."
    known = [device.keys for device in roster.devices.values()] + [key.keys for key in roster.recovery_keys]
    if any(keys.signing == other.signing or keys.kem == other.kem for other in known):
        raise PairingError(
            "the new device brings keys that this account has seen before: begin there anew, in another directory"
        )
    return None


class SpentError(PairingError):
    """The device was removed before it had joined: its keys are of no use any more."""

    def __init__(self) -> None:
        super().__init__("this device was removed from the account before it had joined: `sealkeep link` begins anew")


def join(
    account: AccountId, identity: bytes, keys: PrivateKeys, enrolment: Enrolment
) -> Steps[tuple[Account, list[bytes]]]:
    """Read the roster as the device that was enrolled, and open its epochs; returns them with the roster's entries.

    Raises `HistoryError` where the roster is not the one that the old device wrote into, `SpentError` where this device
    was removed meanwhile, and what opening the wrap raises.
    """
    for _ in range(RACES):
        roster, entries = yield from _read_roster(account, keys, enrolment)
        try:
            wraps: list[Wrap] = yield ReadWraps()
        except RefusedError as refused:
            yield from _confirm_denial(refused, account, keys, enrolment)
            raise
        wrap = max((w for w in wraps if w.recipient == enrolment.device), key=lambda w: w.entry, default=None)
        if wrap is None:
            raise HistoryError("missing", "the relay withholds this device's key of the current epoch")
        begun = roster.entry_epochs.index(roster.epoch)
        if wrap.entry == begun:
            joined = Account(enrolment.device, keys, identity, roster, MappingProxyType({}))
            return unlock(joined, entries[begun], wrap.wrap), entries
        if wrap.entry <= roster.number:
            raise HistoryError("missing", "the relay shows another key instead of the current epoch's")
        # Another device has rotated since the roster was read.
    raise HistoryError("missing", "the relay withholds the roster entry that this device's newest key belongs to")


def _read_roster(account: AccountId, keys: PrivateKeys, enrolment: Enrolment) -> Steps[tuple[Roster, list[bytes]]]:
    entries, _ = yield ReadRoster(0)
    roster = Roster.read(entries, account=account)
    _check_enrolment(roster, keys, enrolment)
    if not roster.devices[enrolment.device].active:
        raise SpentError
    return roster, entries


def _confirm_denial(refused: RefusedError, account: AccountId, keys: PrivateKeys, enrolment: Enrolment) -> Steps[None]:
    """Believe a relay that denies the account or device only as far as the roster proves it."""
    # REL-13: "On `revoked`, `closed`, `signature` or `not-found` for its account a client MUST fetch the roster, and
    # believe the first only with its own removal in it, the second only with the `close` in it; … all else is `rollback`,
    # but `signature` stands where the roster is the same."
    if refused.code in ("revoked", "closed", "signature", "not-found"):
        roster, _ = yield from _read_roster(account, keys, enrolment)
        if refused.code != "signature" and not (refused.code == "closed" and roster.is_closed):
            raise HistoryError(
                "rollback", "the relay denies this account or device, which its roster does not bear out"
            ) from refused


def _check_enrolment(roster: Roster, keys: PrivateKeys, enrolment: Enrolment) -> None:
    """Hold the roster that the relay shows against what the old device said of it. Raises `HistoryError`."""
    # PAI-13: "The new device MUST refuse a roster that does not hold the entry of message 5 at its number (`fork`;
    # `rollback` where it is shorter), and one in which that entry does not add exactly its own keys under its own number
    # (`roster`)."
    number = enrolment.number
    if roster.number < number:
        raise HistoryError("rollback", f"the other device wrote roster entry {number}; the relay shows fewer")
    if roster.entry_ids[number] != enrolment.entry_id:
        raise HistoryError("fork", f"the relay shows another roster entry {number} than the other device wrote")
    device = roster.devices.get(enrolment.device)
    own = (keys.signing.public, keys.kem.public)
    if device is None or device.added_at != number or (device.keys.signing, device.keys.kem) != own:
        raise HistoryError("roster", f"roster entry {number} does not add this device with its own keys")
