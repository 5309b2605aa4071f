"""What a device knows of its account: everything that the sync engine decides by. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.roster import Roster, Signer, unreached
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import AccountId, DeviceId


@dataclass(frozen=True, slots=True)
class Account:
    """The device's own number and keys, the relay's pinned identity, and all that was verified so far.

    `feeds` holds the verified head of each feed, the own one included; `incarnation` and `position` are the cursor, and
    `rereads` says that what was verified before is shown once more: by another store, or to a device that was another.
    `linked` is the number of the roster entry up to which the links between the held epochs were found to hold (§5.6); it
    is not kept.
    """

    device: DeviceId
    keys: PrivateKeys = field(repr=False)
    identity: bytes
    roster: Roster
    epochs: Mapping[int, EpochKeys] = field(repr=False)
    feeds: Mapping[int, Feed] = field(default_factory=lambda: MappingProxyType({}))
    incarnation: bytes | None = None
    position: int = 0
    rereads: bool = False
    linked: int = -1

    @property
    def id(self) -> AccountId:
        return self.roster.account

    @property
    def signer(self) -> Signer:
        return Signer.device(self.device)

    def feed(self, device: int) -> Feed:
        """The verified feed of a device; an empty one where nothing of it is known."""
        return self.feeds.get(device) or Feed(DeviceId(device))

    def with_feed(self, feed: Feed) -> Account:
        return replace(self, feeds=MappingProxyType({**self.feeds, feed.device: feed}))

    def epoch(self, number: int) -> EpochKeys:
        """The keys of an epoch. Raises `AuthenticationError` (`commitment`) where no wrap or link gave them."""
        keys = self.epochs.get(number)
        if keys is None:
            raise AuthenticationError(
                "commitment", f"this device has no key of epoch {number} that the roster confirms"
            )
        return keys

    @property
    def holds_current(self) -> bool:
        """Whether this device can seal: it holds the current epoch, and the first, which names records."""
        return self.roster.epoch in self.epochs and 1 in self.epochs

    @property
    def may_seal(self) -> bool:
        """Whether it may seal in the current epoch."""
        # ROS-26: "A device MUST seal nothing in an epoch that a recovery key began while links which it has opened do not
        # lead from there to every epoch that it holds." Who holds a replaced kit knows the secret that it drew.
        if not self.holds_current:
            return False
        if not self.roster.signer_of_epoch(self.roster.epoch).is_recovery:
            return True
        return (self.linked == self.roster.number and not self.roster.is_closed) or not self.is_cut_off

    @property
    def is_cut_off(self) -> bool:
        """Whether links do not lead from the newest epoch that it holds to every other one."""
        return len(unreached(self.roster, [*self.epochs.values()])) > 1

    def can_read(self, epoch: int) -> bool:
        """Whether it can open segments of an epoch, and name what stands in them."""
        return epoch in self.epochs and 1 in self.epochs

    def heads_of_others(self) -> tuple[Head, ...]:
        """The verified heads of all other feeds, ascending by device."""
        others = (feed for feed in self.feeds.values() if feed.device != self.device and feed.seq)
        return tuple(sorted(Head(feed.device, feed.seq, feed.head) for feed in others))
