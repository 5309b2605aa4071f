"""What the vault's public face tells of devices, recovery kits and the account's history. Times are ms since 1970, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sealkeep_client.vault._sightings import SeenFrom


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device of the account. `added_by` and `removed_by` name a device, or “a recovery kit”.

    `brought_by` is the number of the device that added it, also by a kit that was made there; None where nobody did, or the
    account's first kit.

    `added_at` and `removed_at` are as the signer's clock had it, None where it said nothing. `last_seen` is the newest
    moment that is known of the device, None where nothing is, and `seen_from` says what it is: `read`, this one read
    something new of it then; `written`, it wrote something then by its own clock; `messages`, nothing better is known than
    that it brought messages of that time, as an import does. `segments` counts those that this vault has verified.
    """

    number: int
    name: str
    added_by: str
    added_at: int | None
    last_seen: int | None
    segments: int
    this: bool
    removed_by: str | None = None
    removed_at: int | None = None
    brought_by: int | None = None
    seen_from: SeenFrom | None = None

    @property
    def active(self) -> bool:
        return self.removed_by is None


@dataclass(frozen=True, slots=True)
class KitInfo:
    """A recovery kit of the account, by number from 0.

    `set_by` names who made it, `device` is the number of the device that it stems from. `current` says whether what is
    written now can be read with it, `in_force` whether it can still change who belongs to the account. `removed_device`:
    the device that it stems from is not in the account any more. `key` is its public signing key (32 bytes).
    """

    number: int
    set_by: str
    set_at: int | None
    device: int | None
    current: bool
    in_force: bool
    removed_device: bool
    key: bytes


@dataclass(frozen=True, slots=True)
class MissingKey:
    """A key of the account, by number, that this device does not have. `segments` were written under it, and are kept until
    it comes; `devices` are (number, name, active) of all that were given it: each active one passes it on when it syncs."""

    number: int
    segments: int
    devices: tuple[tuple[int, str, bool], ...]


@dataclass(frozen=True, slots=True)
class RosterChange:
    """One signed entry of the account's history, as `devices --log` tells it.

    `key` is the signer's public key (32 bytes), `id` the entry's. `added` and `removed` are (number, name), `pins` the seq
    at which the feed of each removed device ends, and whether what came after it was discarded; `lowered` are those of
    `removed` that had been removed before. `kit` is the number of a recovery kit that was set. `device` is the signer's
    number, None for a recovery kit; `this` says whether it is this device.
    """

    number: int
    id: bytes
    what: Literal["genesis", "change", "reclaim", "close"]
    time: int | None
    signed_by: str
    key: bytes
    epoch: int
    added: tuple[tuple[int, str], ...] = ()
    removed: tuple[tuple[int, str], ...] = ()
    pins: tuple[tuple[int, bool], ...] = ()
    kit: int | None = None
    lowered: tuple[int, ...] = ()
    device: int | None = None
    this: bool = False


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """What became of a change of devices, keys or kit: the names of the devices that were removed, whether a new kit was
    set, and the names of devices that had been removed before, of which more was given up; `ended` where recovery kits
    were ended that stem from devices removed before, and nothing else was done. `entry` is the number of the roster entry;
    None where there was nothing left to do."""

    entry: int | None
    removed: tuple[tuple[int, str], ...] = ()
    new_kit: bool = False
    lowered: tuple[tuple[int, str], ...] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class KitReport:
    """What a recovery kit opens, out of `epochs` in all: `missing` are those that it does not reach, and `lost` is how many
    segments were written under them; `missing_keys` says who was given those under which something was.

    `spoilt_by` names the devices that owed this kit a key and gave it one that does not open. `in_force` and `current` are
    as in `KitInfo`; `replaced_by` and `replaced_at` say who made the next kit, and when.
    """

    number: int
    epochs: int
    missing: tuple[int, ...]
    lost: int
    spoilt_by: tuple[str, ...]
    in_force: bool
    current: bool
    replaced_by: str | None
    replaced_at: int | None
    missing_keys: tuple[MissingKey, ...] = ()

    @property
    def restores_all(self) -> bool:
        """Whether it brings back all that was written, and all that is written from now on."""
        return self.in_force and self.current and not self.lost and self.epochs not in self.missing


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed account. `days` is how long after it was closed that takes effect: 0, or 30 where an older kit may still
    undo it. `before` says whether it was closed before this call, `at` when, as the signer's clock had it (ms)."""

    days: int
    before: bool = False
    at: int | None = None
