"""Following the relay's roster in a sync (spec §5, §8.1): what it adds, and what it says of a denial."""

from __future__ import annotations

from collections.abc import Sequence

from sealkeep_client.answers import Wrap
from sealkeep_client.engine._actions import ReadRoster, ReadWraps, SaveRoster, Steps
from sealkeep_client.engine._roster import extend_roster, needs_wrap, unlock
from sealkeep_client.engine._session import RACES, Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import HistoryError, RefusedError


def follow_roster(session: Session) -> Steps[None]:
    """Take the roster entries that the relay has beyond the verified ones, and the key of the epoch they lead to.

    Raises what `extend_roster` and `unlock` raise, and `HistoryError` (`missing`) where the key is withheld.
    """
    first = session.account.roster.number + 1
    entries, head = yield ReadRoster(first)
    account = extend_roster(session.account, entries, head, session.lookup)
    if needs_wrap(account):
        account, entries = yield from _unlock(session, account, first, entries)
    if entries:
        yield SaveRoster(first, entries, account)
    session.account = account


def _unlock(
    session: Session, account: Account, first: int, entries: Sequence[bytes]
) -> Steps[tuple[Account, Sequence[bytes]]]:
    """Open the current epoch; another device may rotate meanwhile, then the newest entries come with it."""
    for _ in range(RACES):
        wraps: list[Wrap] = yield ReadWraps()
        own = [wrap for wrap in wraps if wrap.recipient == account.device]
        if not own:
            raise HistoryError("missing", "the relay withholds this device's key of the current epoch")
        newest = max(own, key=lambda wrap: wrap.entry)
        if newest.entry < first:
            raise HistoryError("missing", "the relay shows an old key instead of the current epoch's")
        if newest.entry <= account.roster.number:
            return unlock(account, entries[newest.entry - first], newest.wrap), entries
        more, head = yield ReadRoster(account.roster.number + 1)
        account, entries = extend_roster(account, more, head, session.lookup), [*entries, *more]
    raise HistoryError("missing", "the relay withholds the roster entry that this device's newest key belongs to")


def confirm_denial(session: Session, refused: RefusedError) -> Steps[None]:
    """Believe a relay that denies the account only as far as the roster proves it."""
    # REL-13: "On `revoked`, `closed` or `not-found` for its account a client MUST fetch the roster and believe the
    # first only with its own removal in it, the second only with the `close` in it; all else is `rollback`."
    if refused.code not in ("revoked", "closed", "not-found"):
        return
    try:
        entries, head = yield ReadRoster(session.account.roster.number + 1)
        account = extend_roster(session.account, entries, head, session.lookup)
    except RefusedError as again:
        if again.code != "not-found":
            raise
        raise HistoryError("rollback", "the relay does not know this account any more") from refused
    if not (refused.code == "closed" and account.roster.is_closed):
        raise HistoryError(
            "rollback", "the relay denies this account or device, which its roster does not bear out"
        ) from refused
