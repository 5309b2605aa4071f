"""New recovery kits: made here, handed to the person, and only then told to the roster (spec §3.2, §3.7)."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from sealkeep_client.engine import Account
from sealkeep_client.kit import RecoveryKit
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.types import DeviceId, ObjectId, Seq

_MOST_FEEDS = 48  # whose heads a kit holds


@dataclass(frozen=True, slots=True)
class NewKits:
    """Hands out new recovery kits for an account at `relay` (a URL).

    `on_kit` gets a kit, writes it down durably, and raises to give up. `prepared` is a kit that an earlier call handed out
    and that was not put in force yet: it is used first.
    """

    relay: str
    on_kit: Callable[[RecoveryKit], None] | None
    prepared: RecoveryKit | None
    random: Callable[[int], bytes]
    now: Callable[[], int]

    def make(self, account: Account) -> KeyRecord:
        """The public keys of a new kit that is in the person's hands. Raises `UsageError` where nobody takes one."""
        record = self._prepared(account)
        if record is not None:
            return record
        if self.on_kit is None:
            raise UsageError("this replaces the recovery kit, and nobody is there to take the new one")
        seed = self.random(KEY_SIZE)
        self.on_kit(
            RecoveryKit(
                relay=self.relay,
                identity=account.identity,
                account=account.id,
                seed=seed,
                roster=(account.roster.number, account.roster.head),
                feeds=_heads(account),
                date=iso_date(self.now()),
            )
        )
        return PrivateKeys.of_recovery(seed).record((1, account.id))

    def _prepared(self, account: Account) -> KeyRecord | None:
        if self.prepared is None:
            return None
        if self.prepared.account != account.id:
            raise UsageError("the recovery kit that is there belongs to another account")
        record = PrivateKeys.of_recovery(self.prepared.seed).record((1, account.id))
        if any(key.keys.signing == record.signing for key in account.roster.recovery_keys):
            return None  # it is in force, or was
        return record


def _heads(account: Account) -> tuple[tuple[DeviceId, Seq, ObjectId], ...]:
    """The verified heads that go onto a kit: of the active devices first, then of those removed last."""
    feeds = [feed for feed in account.feeds.values() if feed.seq]
    devices = account.roster.devices
    feeds.sort(key=lambda feed: (devices[feed.device].active, devices[feed.device].removed_at or 0), reverse=True)
    return tuple(sorted((feed.device, feed.seq, feed.head) for feed in feeds[:_MOST_FEEDS]))


def iso_date(now: int) -> str:
    """The date of a moment in ms since 1970, UTC."""
    return datetime.datetime.fromtimestamp(now / 1000, datetime.UTC).date().isoformat()
