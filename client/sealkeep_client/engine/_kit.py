"""What a recovery kit opens (spec §3.6, §5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sealkeep_client.engine._roster import decode
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError
from sealkeep_protocol.hybrid_kem import RECOVERY_RECIPIENT, check_wrap
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.roster import Roster, follow_links, open_wrap


@dataclass(frozen=True, slots=True)
class OpenedByKit:
    """The epochs that a kit reaches, by number; the entries whose wraps for it do not open, and those whose wraps the relay
    does not show, newest first; and how the newest of the former failed."""

    epochs: Mapping[int, EpochKeys] = field(repr=False)
    spoilt: tuple[int, ...]
    withheld: tuple[int, ...]
    failure: PeerError | None


def open_by_kit(
    roster: Roster, entries: Sequence[bytes], wraps: Iterable[tuple[int, bytes]], recovery: PrivateKeys
) -> OpenedByKit:
    """Open every epoch that was wrapped for these recovery keys, and all that links lead to from there.

    `wraps` are (number of the entry, wrap) of all recovery wraps. A wrap that is the signed one and does not open is its
    author's fault: an older one is tried. Raises `AuthenticationError` (`key`: the kit is another account's, `digest`: the
    relay changed a wrap).
    """
    own = next((key for key in roster.recovery_keys if key.keys.signing == recovery.signing.public), None)
    if own is None:
        raise AuthenticationError("key", "the recovery kit does not belong to this account")
    by_entry = dict(wraps)
    later = roster.recovery_keys[own.number + 1 :]
    last = later[0].added_at - 1 if later else roster.number  # after which it was not the current one any more
    failure: PeerError | None = None
    found: dict[int, EpochKeys] = {}
    spoilt, withheld = [], []
    for number in range(last, own.added_at - 1, -1):
        entry = decode(entries[number])
        if entry.rotation is None:
            continue
        if number not in by_entry:
            withheld.append(number)
            continue
        check_wrap(by_entry[number], entry.digests[0])
        if entry.rotation.epoch in found:
            continue
        try:
            keys = open_wrap(roster, entry, by_entry[number], RECOVERY_RECIPIENT, recovery)
        except AuthenticationError as error:
            failure = failure or error
            spoilt.append(number)
            continue
        for epoch in [keys, *follow_links(roster, keys, known=found)]:
            found[epoch.number] = epoch
    return OpenedByKit(found, tuple(spoilt), tuple(withheld), failure)


def unlock_by_kit(
    roster: Roster, entries: Sequence[bytes], wraps: Iterable[tuple[int, bytes]], recovery: PrivateKeys
) -> list[EpochKeys]:
    """The epochs that a kit reaches, newest first.

    Raises as `open_by_kit` does, what its newest wrap fails with where none opens, and `HistoryError` (`missing`) where the
    relay withholds that, or the first epoch, which names all records, is not reached.
    """
    opened = open_by_kit(roster, entries, wraps, recovery)
    newest = max([*opened.withheld, *opened.spoilt, *(_begun(roster, epoch) for epoch in opened.epochs)])
    if newest in opened.withheld:
        raise HistoryError("missing", "the relay withholds the newest key that was made for the recovery kit")
    if 1 not in opened.epochs:
        raise opened.failure or HistoryError("missing", "the relay withholds the keys that belong to the recovery kit")
    return [opened.epochs[number] for number in sorted(opened.epochs, reverse=True)]


def _begun(roster: Roster, epoch: int) -> int:
    return roster.entry_epochs.index(epoch)
