"""Following the roster (spec §5): new entries, new epochs, and what they say about what was verified before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from sealkeep_client.engine._state import Account
from sealkeep_protocol import signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, PeerError, RefusedError
from sealkeep_protocol.evidence import Contradiction, EvidenceKind
from sealkeep_protocol.feeds import HeaderIds
from sealkeep_protocol.hybrid_kem import check_wrap
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.roster import (
    MAX_ENTRY,
    Entry,
    Roster,
    Signer,
    decode_entry,
    follow_links,
    open_name,
    open_wrap,
)


def extend_roster(account: Account, entries: Sequence[bytes], head: int, known: HeaderIds) -> Account:
    """Judge the entries that follow the verified roster; `head` is the number of the relay's last one.

    Raises `HistoryError` (`rollback`, `fork`, `roster`) or other peer errors.
    """
    # ROS-14: "A client MUST refuse a roster that is shorter than, or differs from, one that it has verified, with the
    # code `rollback` or `fork`."
    if head < account.roster.number:
        raise HistoryError(
            "rollback",
            f"the relay shows a roster up to entry {head}; entry {account.roster.number} was verified before",
        )
    roster = account.roster
    for entry in entries:
        try:
            roster = roster.append(entry)
        except HistoryError as error:
            decoded = decode(entry)
            if decoded.number == roster.number + 1 and decoded.previous != roster.head:
                proof = Contradiction(EvidenceKind.ROSTER, (), (entry,))
                fork = HistoryError("fork", "the relay's roster is another one than was verified")
                raise fork.proved_by(proof) from error
            raise
    check_pins(account, roster, known)
    return replace(account, roster=roster)


def check_same(account: Account, entries: Sequence[bytes]) -> None:
    """See that an entry, if there is one, is the last one that was verified. Raises `HistoryError` (`fork`)."""
    roster = account.roster
    for entry in entries:
        payload, _ = signed.split(entry, limit=MAX_ENTRY)
        if signed.object_id("roster", roster.account if roster.number else b"", payload) != roster.head:
            raise HistoryError("fork", f"the relay's roster entry {roster.number} is another one than was verified")


class RemovedError(RefusedError):
    """This device was removed: its verified roster says so, not only the relay.

    `account` has that roster; `entries`, from number `first` on, lead to it and are not kept yet.
    """

    def __init__(self, account: Account, first: int, entries: Sequence[bytes]) -> None:
        removed_at = account.roster.devices[account.device].removed_at or 0
        signer = name_signer(account, account.roster.entry_signers[removed_at])
        super().__init__("revoked", f"this device was removed from the account by {signer}", status=403)
        self.account = account
        self.first = first
        self.entries = entries


def name_device(roster: Roster, epochs: Mapping[int, EpochKeys], number: int) -> str:
    """What a device is called; its number for one who does not hold the key of its name."""
    device = roster.devices[number]
    keys = epochs.get(device.name_epoch)
    if keys is None:
        return f"device {number}"
    try:
        return open_name(keys, device)
    except PeerError:  # whoever added it wrote no name there
        return f"device {number}"


def name_signer(account: Account, signer: Signer) -> str:
    """Who signed an entry, for a person."""
    return "a recovery kit" if signer.is_recovery else f"“{name_device(account.roster, account.epochs, signer.number)}”"


def check_pins(account: Account, roster: Roster, known: HeaderIds) -> None:
    """Hold the pins of removed devices against what was verified of their feeds. Raises `HistoryError`."""
    for device in roster.devices.values():
        removal, feed = device.removal, account.feed(device.number)
        if removal is None or removal.discard_after:
            continue
        # ROS-17: "A client that has verified a header beyond a pin which does not say discard-after MUST report
        # `rollback`, and one whose header at the pin's seq has another id `fork`."
        identifier = known(device.number, removal.seq) if removal.seq else None
        if feed.seq > removal.seq:
            error = HistoryError(
                "rollback",
                f"a removal ends its feed at seq {removal.seq}; seq {feed.seq} was verified before",
                device=device.number,
                seq=feed.seq,
            )
            error.lower_to = removal.seq
        elif identifier is not None and identifier != removal.header_id:
            error = HistoryError(
                "fork", "a removal pins another header than the verified one", device=device.number, seq=removal.seq
            )
            error.lower_to = removal.seq - 1
        else:
            continue
        raise error


def unlock(account: Account, entry: bytes, wrap: bytes) -> Account:
    """Open this device's wrap of the entry that began the current epoch, and all epochs that links lead to.

    Raises `AuthenticationError` (`digest`) where the relay changed the wrap. One that its signer spoilt opens nothing: the
    account stays without that epoch.
    """
    decoded = decode(entry)
    place = [recipient for recipient, _ in account.roster.recipients()].index(account.device)
    check_wrap(wrap, decoded.digests[place])
    # ROS-21: "A device whose wrap was spoilt by its signer MUST take the roster all the same, go on reading with the
    # epochs that it holds, and seal nothing until it holds the current one."
    try:
        keys = open_wrap(account.roster, decoded, wrap, account.device, account.keys)
    except AuthenticationError:
        return account
    found = [keys, *follow_links(account.roster, keys, known=account.epochs)]
    epochs = {**{epoch.number: epoch for epoch in found}, **account.epochs}
    return replace(account, epochs=MappingProxyType(epochs))


def decode(entry: bytes) -> Entry:
    """Decode an entry that was judged before."""
    return decode_entry(signed.decode_payload(signed.split(entry, limit=MAX_ENTRY)[0]))
