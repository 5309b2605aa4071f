"""The right of recovery keys (spec §5.4): who ranks above whom, where a key stems from, what ends and what disputes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sealkeep_protocol.keys import KeyRecord
from sealkeep_protocol.roster._entries import Entry, Signer


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """A recovery key in the order in which they entered, with its right as of §5.4.

    `device` is the device that it stems from, None where it stems from none; `disputed_at` the number of the entry that
    disputed it.
    """

    number: int
    keys: KeyRecord
    added_at: int
    added_by: Signer
    device: int | None
    has_right: bool = True
    disputed_at: int | None = None


def is_outranked(keys: Sequence[RecoveryKey], number: int) -> bool:
    """Whether another recovery key ranks above this one: it is older, and has its right."""
    return any(key.has_right for key in keys[:number])


def ended_by_rotation(keys: Sequence[RecoveryKey], signer: int, gone: Collection[int]) -> set[int]:
    """The recovery keys whose right a bare rotation by the key `signer` ends, where the devices `gone` were removed."""
    current = max(key.number for key in keys if key.has_right)
    return {key.number for key in keys[signer + 1 : current] if key.has_right and key.device in gone}


def keys_after(
    before: Sequence[RecoveryKey], entry: Entry, at: int, gone: Collection[int], gone_before: Collection[int]
) -> tuple[RecoveryKey, ...]:
    """The recovery keys after a judged entry of number `at`, by which the active devices `gone` were removed, and
    `gone_before` by earlier ones."""
    keys = list(before)
    if entry.signer.is_recovery and entry.is_bare:
        # §5.4: "A `change` of a recovery key that only rotates ends the right of every younger key that stems from a device
        # removed before, other than the current one."
        ended = ended_by_rotation(before, entry.signer.number, gone_before)
        keys = [replace(key, has_right=False) if key.number in ended else key for key in keys]
    if entry.signer.is_recovery:
        # §5.4: "A removal that is signed by a recovery key also ends the right of every younger key that stems from a
        # removed device." A device's word cannot end it, only dispute it.
        signer = entry.signer.number
        keys = [replace(key, has_right=False) if key.number > signer and key.device in gone else key for key in keys]
    else:
        keys = [replace(key, disputed_at=at) if _is_disputed_by(before, key, gone) else key for key in keys]
    if entry.recovery is None:
        return tuple(keys)
    stem, disputed_at = _stem(before, entry)
    if entry.signer.is_recovery:
        # §5.4: "An entry of any type that is signed by a recovery key and sets a new one ends the right of the signing key
        # and of every key with a greater number, before the new one enters."
        keys = [key if key.number < entry.signer.number else replace(key, has_right=False) for key in keys]
    return (*keys, RecoveryKey(len(keys), entry.recovery, at, entry.signer, stem, disputed_at=disputed_at))


def _is_disputed_by(keys: Sequence[RecoveryKey], key: RecoveryKey, removed: Collection[int]) -> bool:
    return key.device in removed and key.disputed_at is None and is_outranked(keys, key.number)


def _stem(keys: Sequence[RecoveryKey], entry: Entry) -> tuple[int | None, int | None]:
    """The device that a recovery key stems from which this entry sets, and what disputes it from the beginning."""
    if not entry.signer.is_recovery:
        return entry.signer.number, None
    signer = keys[entry.signer.number]
    if is_outranked(keys, signer.number):
        return signer.device, signer.disputed_at
    return (entry.added[0].device if entry.added else None), None
