"""New recovery kits: made here, handed to the person, and only then told to the roster (spec §3.2, §3.7)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sealkeep_client.engine import Account
from sealkeep_client.kit import MAX_FEEDS, RecoveryKit
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.primitives import equal, sha256
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.types import DeviceId, ObjectId, Seq

_MARK: Final = b"sealkeep/v1/kit-handed-out"


@dataclass(frozen=True, slots=True)
class NewKits:
    """Hands out new recovery kits for an account at `relay` (a URL).

    `on_kit` gets a kit, writes it down durably, and raises to give up. `prepared` is a kit that an earlier call handed out
    and that was not put in force yet: it is used first. `seed` is the next kit's (32 bytes). `own` is the mark of the kit
    that was handed out here last: no other one is used, since whoever wrote a kit's file can read what it opens.
    """

    relay: str
    on_kit: Callable[[RecoveryKit], None] | None
    prepared: RecoveryKit | None
    seed: bytes = field(repr=False)
    now: Callable[[], int]
    own: bytes | None = None

    def make(self, account: Account) -> KeyRecord:
        """`hand_out` for an account that is open here."""
        return self.hand_out(account.identity, account.roster, account.feeds.values())

    def hand_out(self, identity: bytes, roster: Roster, feeds: Iterable[Feed]) -> KeyRecord:
        """The public keys of a new kit that is in the person's hands. Raises `UsageError` where nobody takes one."""
        record = self._prepared(roster)
        if record is not None:
            return record
        if self.on_kit is None:
            raise UsageError("this replaces the recovery kit, and nobody is there to take the new one")
        self.on_kit(
            RecoveryKit(
                relay=self.relay,
                identity=identity,
                account=roster.account,
                seed=self.seed,
                roster=(roster.number, roster.head),
                feeds=_heads(roster, feeds),
                date=iso_date(self.now()),
            )
        )
        return PrivateKeys.of_recovery(self.seed).record((1, roster.account))

    def _prepared(self, roster: Roster) -> KeyRecord | None:
        if self.prepared is None:
            return None
        if self.prepared.account != roster.account:
            raise UsageError("the recovery kit that is there belongs to another account")
        record = PrivateKeys.of_recovery(self.prepared.seed).record((1, roster.account))
        if any(key.keys.signing == record.signing for key in roster.recovery_keys):
            raise UsageError("the recovery kit that is there is one of the account already: give another name")
        # KEY-12: "A device MUST put no recovery key in force but one whose seed it drew itself, …"
        if self.own is None or not equal(mark(self.prepared.seed), self.own):
            raise UsageError(
                "the recovery kit that is there is not the one that this device made last, and others may know it: give"
                " another name"
            )
        return record


def when_replaced(made_by: str, time: int | None, more: str) -> str:
    """That a recovery kit was replaced: by whom and when (the signer's clock, ms), and what follows."""
    on = "" if time is None else f" on {iso_date(time)}"
    return f"this recovery kit was replaced{on} by a newer one, made by {made_by}; {more}"


def mark(seed: bytes) -> bytes:
    """By which a device knows a kit again that it handed out, without keeping anything that opens it."""
    return sha256(_MARK + PrivateKeys.of_recovery(seed).signing.public)


def _heads(roster: Roster, feeds: Iterable[Feed]) -> tuple[tuple[DeviceId, Seq, ObjectId], ...]:
    """The verified heads that go onto a kit: of the active devices first, then of those removed last."""
    devices = roster.devices

    def importance(feed: Feed) -> tuple[bool, int]:
        return devices[feed.device].active, devices[feed.device].removed_at or 0

    chosen = sorted((feed for feed in feeds if feed.seq), key=importance, reverse=True)[:MAX_FEEDS]
    return tuple(sorted((feed.device, feed.seq, feed.head) for feed in chosen))


def iso_date(now: int) -> str:
    """The date of a moment in ms since 1970, UTC."""
    return datetime.datetime.fromtimestamp(now / 1000, datetime.UTC).date().isoformat()
