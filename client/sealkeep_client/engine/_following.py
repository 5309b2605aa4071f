"""Following the relay's roster in a sync (spec §5, §8.1): what it adds, and what it says of a denial."""

from __future__ import annotations

from typing import Final, TypeVar

from sealkeep_client.answers import RelayInfo, Wrap
from sealkeep_client.engine._actions import ReadInfo, ReadRoster, ReadWraps, SaveRoster, Steps
from sealkeep_client.engine._roster import RemovedError, check_same, extend_roster, unlock
from sealkeep_client.engine._session import RACES, Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, MalformedError, PeerError, RefusedError, SealkeepError

T = TypeVar("T")
_OF_A_FEED: Final = ("fork", "missing", "pinned", "rollback", "author", "epoch", "roster")


def follow_roster(session: Session) -> Steps[None]:
    """Take the roster entries that the relay has beyond the verified ones, and the key of the epoch they lead to.

    Raises what `extend_roster` and `unlock` raise, `HistoryError` (`missing`) where the key is withheld, and `RemovedError`
    where the entries remove this device.
    """
    first = session.account.roster.number + 1
    entries: list[bytes] = []
    account = yield from _extend(session, session.account, first, entries)
    begun = account.roster.entry_epochs.index(account.roster.epoch)
    if begun >= first and account.roster.epoch not in account.epochs:
        account = yield from _unlock(session, account, first, entries)
    if entries:
        yield SaveRoster(first, entries, account)
    session.account = account


def _extend(session: Session, account: Account, first: int, entries: list[bytes]) -> Steps[Account]:
    """Read on, and add to `entries` what is new."""
    more, head = yield ReadRoster(account.roster.number + 1)
    account = extend_roster(account, more, head, session.lookup)
    entries += more
    _check_member(account, first, entries)
    return account


def _check_member(account: Account, first: int, entries: list[bytes]) -> None:
    if not account.roster.devices[account.device].active:
        raise RemovedError(account, first, entries)


def _unlock(session: Session, account: Account, first: int, entries: list[bytes]) -> Steps[Account]:
    """Open the current epoch; another device may rotate meanwhile, then the newest entries come with it."""
    for _ in range(RACES):
        wraps: list[Wrap] = yield ReadWraps()
        own = [wrap for wrap in wraps if wrap.recipient == account.device]
        if not own:
            raise HistoryError("missing", "the relay withholds this device's key of the current epoch")
        newest = max(own, key=lambda wrap: wrap.entry)
        begun = account.roster.entry_epochs.index(account.roster.epoch)
        if newest.entry == begun:
            return unlock(account, entries[begun - first], newest.wrap)
        if newest.entry <= account.roster.number:
            raise HistoryError("missing", "the relay shows another key instead of the current epoch's")
        account = yield from _extend(session, account, first, entries)
    raise HistoryError("missing", "the relay withholds the roster entry that this device's newest key belongs to")


def judged(session: Session, steps: Steps[T]) -> Steps[T]:
    """Carry steps through; where they fail, find out how far the relay is to be believed. Raises what is to be said."""
    try:
        try:
            return (yield from steps)
        except RemovedError:
            raise
        except RefusedError as refused:
            yield from confirm_denial(session, refused)
            raise
    except PeerError as error:
        note_pin(session.account, error)
        if isinstance(error, HistoryError):
            yield from _hear_words(session, error)
        raise


def note_pin(account: Account, error: PeerError) -> None:
    """Note beside an error whether the feed of a device that was removed does not hold up to its pin: the highest kit ends
    that (ROS-23). Ends that do not come from there, as a line that repeats itself, it does not."""
    device = None if error.device is None else account.roster.devices.get(error.device)
    pin = None if device is None else device.removal
    if pin is None or (error.seq or 0) > pin.seq or error.lower_to is not None:
        return
    error.can_lower = isinstance(error, MalformedError) or error.code in _OF_A_FEED


def _hear_words(session: Session, error: HistoryError) -> Steps[None]:
    """Note beside a rollback that the relay says to be another store by now. The error stands: these are words."""
    # VIE-10: "A client MUST go on reporting `rollback` against a relay that lost something, whatever its incarnation, …"
    if error.code != "rollback":
        return
    try:
        info: RelayInfo = yield ReadInfo()
    except SealkeepError:
        return  # it says nothing
    if info.identity == session.account.identity and became_another(session.account, info):
        error.restored = info.restored or 0


def is_lowered_meanwhile(session: Session, error: HistoryError) -> Steps[bool]:
    """Whether the pin of a removed device was lowered while its feed was read, so that nothing is wrong. Takes nothing."""
    # ROS-24: "A reader MUST look at the roster once more before it reports that a removed device's feed does not come to
    # its pin."
    account = session.account
    device = None if error.device is None else account.roster.devices.get(error.device)
    if device is None or device.removal is None or error.code not in _OF_A_FEED:
        return False
    try:
        entries, head = yield ReadRoster(account.roster.number + 1)
        after = extend_roster(account, entries, head, session.lookup).roster
    except SealkeepError:
        return False  # the error stands
    return after.devices[device.number].removal != device.removal


def became_another(account: Account, info: RelayInfo) -> bool:
    """Whether the relay's store is not the one under which this account was verified; where that one is not known, as
    before the first sync, whether the relay says so."""
    if account.incarnation is None:
        return info.restored is not None
    return account.incarnation != info.incarnation


def confirm_denial(session: Session, refused: RefusedError) -> Steps[None]:
    """Believe a relay that denies the account only as far as the roster proves it."""
    # REL-13: "On `revoked`, `closed`, `signature` or `not-found` for its account a client MUST fetch the roster, and
    # believe the first only with its own removal in it, the second only with the `close` in it; a roster that is another
    # one than was verified is `fork`, all else is `rollback`, but `signature` stands where the roster is the same."
    if refused.code not in ("revoked", "closed", "signature", "not-found"):
        return
    number = session.account.roster.number
    try:
        entries, head = yield ReadRoster(number)
        check_same(session.account, entries[:1])
        account = extend_roster(session.account, entries[1:], head, session.lookup)
        _check_member(account, number + 1, entries[1:])
    except RefusedError as again:
        if again.code != "not-found":
            raise
        raise HistoryError("rollback", "the relay does not know this account any more") from refused
    if refused.code == "signature":
        return
    if not (refused.code == "closed" and account.roster.is_closed):
        raise HistoryError(
            "rollback", "the relay denies this account or device, which its roster does not bear out"
        ) from refused
