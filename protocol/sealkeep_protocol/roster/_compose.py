"""Composing roster entries (spec §5.2, §3.6): what a device or the holder of a recovery kit signs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from sealkeep_protocol import cbor, sealing, signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, PeerError, UsageError
from sealkeep_protocol.hybrid_kem import RECOVERY_RECIPIENT, WRAP_SIZE, unwrap, wrap
from sealkeep_protocol.keys import EpochKeys, KeyRecord, PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE, SigningKey, sha256
from sealkeep_protocol.roster._entries import (
    MAX_NAME,
    NAME_PLAINTEXT,
    Addition,
    Entry,
    EntryType,
    Link,
    Removal,
    Rotation,
    Signer,
)
from sealkeep_protocol.roster._state import MAX_LINKS, Roster, RosterDevice

# So many fresh random bytes. KEY-06: "A sealer MUST draw a fresh salt for every call."
Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Composed:
    """A signed entry with its wraps (in the order of its digests), the roster after it, and the new epoch's keys."""

    entry: bytes
    wraps: tuple[bytes, ...]
    roster: Roster
    keys: EpochKeys = field(repr=False)


def compose_genesis(
    device: PrivateKeys, name: str, recovery: PrivateKeys, *, random: Random, time: int | None = None
) -> Composed:
    """Begin an account: its first device and its recovery key, epoch 1."""
    nonce = random(KEY_SIZE)
    keys = EpochKeys(random(KEY_SIZE), 1, nonce)
    record, recovery_record = device.record((0, nonce)), recovery.record((0, nonce))
    entry = Entry(
        type=EntryType.GENESIS,
        number=0,
        previous=b"",
        signer=Signer.device(1),
        nonce=nonce,
        recovery=recovery_record,
        added=(Addition(1, record, seal_name(keys, 1, record, name, salt=random(32))),),
        removed=(),
        rotation=Rotation(1, keys.commitment, ()),
        time=time,
    )
    return _sign(None, entry, device.signing, keys, recovery_record)


def compose_change(
    roster: Roster,
    signer: Signer,
    key: SigningKey,
    held: Sequence[EpochKeys],
    *,
    random: Random,
    added: Sequence[tuple[KeyRecord, str]] = (),
    removed: Sequence[Removal] = (),
    recovery: KeyRecord | None = None,
    reclaim: bool = False,
    time: int | None = None,
) -> Composed:
    """Change the roster: add devices (key record, name), remove devices, set a new recovery key; always rotates.

    `held` are the epochs that the signer holds; the newest is linked, and with it those that no link below it reaches.
    With `reclaim` the entry is a reclaim. Raises `UsageError` for what no valid entry can say.
    """
    if not held:
        raise UsageError("a rotation links an epoch that its signer holds")
    number = roster.number + 1
    keys = EpochKeys(random(KEY_SIZE), roster.epoch + 1, roster.nonce)
    additions = []
    for offset, (record, name) in enumerate(added, start=1):
        device = len(roster.devices) + offset
        additions.append(Addition(device, record, seal_name(keys, device, record, name, salt=random(32))))
    links = tuple(
        Link(
            old.number,
            sealing.seal_alone(
                keys.link_key, "link", [keys.number, old.number], old.secret, binding=roster.head, salt=random(32)
            ),
        )
        for old in unreached(roster, held)
    )
    entry = Entry(
        type=EntryType.RECLAIM if reclaim else EntryType.CHANGE,
        number=number,
        previous=roster.head,
        signer=signer,
        nonce=None,
        recovery=recovery,
        added=tuple(additions),
        removed=tuple(removed),
        rotation=Rotation(keys.number, keys.commitment, links),
        time=time,
    )
    return _sign(roster, entry, key, keys, recovery or roster.current_recovery_key.keys)


def compose_close(roster: Roster, recovery_number: int, key: SigningKey, *, time: int | None = None) -> bytes:
    """Close the account with a recovery key: a signed entry without wraps. Raises `UsageError` where it may not."""
    entry = Entry(
        type=EntryType.CLOSE,
        number=roster.number + 1,
        previous=roster.head,
        signer=Signer.recovery(recovery_number),
        nonce=None,
        recovery=None,
        added=(),
        removed=(),
        rotation=None,
        time=time,
    )
    data = signed.sign("roster", roster.account, entry.encode_core(), key)
    _judged(roster, data)
    return data


def _sign(roster: Roster | None, entry: Entry, key: SigningKey, keys: EpochKeys, recovery: KeyRecord) -> Composed:
    core = entry.encode_core()
    account = b"" if roster is None else roster.account
    wraps = [
        wrap(keys.secret, core=core, recipient=recipient, public=public)
        for recipient, public in _recipients_after(roster, entry, recovery)
    ]
    data = signed.sign("roster", account, core, key, digests=[sha256(wrapped) for wrapped in wraps])
    return Composed(data, tuple(wraps), _judged(roster, data), keys)


def _judged(roster: Roster | None, data: bytes) -> Roster:
    try:
        return Roster.genesis(data) if roster is None else roster.append(data)
    except (HistoryError, MalformedError) as error:
        raise UsageError(f"no valid entry can say this: {error.args[0]}") from error


def _recipients_after(roster: Roster | None, entry: Entry, recovery: KeyRecord) -> list[tuple[int, bytes]]:
    """Who gets a wrap: `Roster.recipients` of the state that the entry, still unsigned, leads to (ROS-08)."""
    removed = {removal.device for removal in entry.removed}
    before = [] if roster is None else roster.active_devices
    return [
        (RECOVERY_RECIPIENT, recovery.kem),
        *((device.number, device.keys.kem) for device in before if device.number not in removed),
        *((addition.device, addition.keys.kem) for addition in entry.added),
    ]


def unreached(roster: Roster, held: Sequence[EpochKeys]) -> list[EpochKeys]:
    """The epochs that a rotation by one who holds these must link (§5.6): the newest, and those that links below it, each
    opened and checked, do not lead to. Ascending; at most 512, the newest of them."""
    reached: set[int] = set()
    chosen: list[EpochKeys] = []
    for keys in sorted(held, key=lambda keys: keys.number, reverse=True):
        if keys.number not in reached:
            chosen.append(keys)
            reached |= {keys.number, *(older.number for older in follow_links(roster, keys, known=reached))}
    return chosen[:MAX_LINKS][::-1]


# Names


def seal_name(keys: EpochKeys, device: int, record: KeyRecord, name: str, *, salt: bytes) -> bytes:
    """Seal a device's name (at most 64 bytes of UTF-8) under its entry's epoch. Raises `UsageError` for a longer one."""
    if not name or len(name.encode()) > MAX_NAME:
        raise UsageError(f"a device name has 1 to {MAX_NAME} bytes")
    plaintext = cbor.encode(name).ljust(NAME_PLAINTEXT, b"\0")
    return sealing.seal_alone(keys.name_key, "name", [device], plaintext, binding=_name_binding(record), salt=salt)


def open_name(keys: EpochKeys, device: RosterDevice) -> str:
    """Open a device's sealed name. Raises `AuthenticationError` or `MalformedError`, placed at the device."""
    binding = _name_binding(device.keys)
    try:
        plaintext = sealing.open_alone(keys.name_key, "name", [device.number], device.sealed_name, binding=binding)
        name = cbor.decode_padded(plaintext)
    except PeerError as error:
        error.at(device=device.number)
        raise
    if not isinstance(name, str) or len(name.encode()) > MAX_NAME:
        raise MalformedError("malformed", "a device name is a text of at most 64 bytes", device=device.number)
    return name


def _name_binding(record: KeyRecord) -> bytes:
    return sha256(cbor.encode([record.signing, record.kem]))


# Epoch secrets


def open_wrap(roster: Roster, entry: Entry, wrapped: bytes, recipient: int, keys: PrivateKeys) -> EpochKeys:
    """Open one's own wrap of an entry, checked against digest and commitment.

    `entry` is the decoded, judged entry that the wrap belongs to. Raises `AuthenticationError`.
    """
    # KEY-07: "A relay and a device MUST refuse a wrap that is not 1,168 bytes long or does not have the digest that its
    # entry gives it."
    if len(wrapped) != WRAP_SIZE or sha256(wrapped) not in entry.digests or entry.rotation is None:
        raise AuthenticationError("digest", "the wrap is not one of the entry that it is said to belong to")
    secret = unwrap(wrapped, core=entry.core, recipient=recipient, key=keys.kem)
    epoch = entry.rotation.epoch
    return EpochKeys.checked(secret, epoch, roster.nonce, roster.commitment(epoch))


def follow_links(roster: Roster, start: EpochKeys, known: Collection[int] = ()) -> list[EpochKeys]:
    """All epochs below `start` that links lead to, newest first, each checked; those in `known` are not followed.

    A link that does not open leads nowhere: whoever signed it sealed something else, and another way may be there.
    """
    found: dict[int, EpochKeys] = {start.number: start}
    skip, waiting = set(known), [start]
    while waiting:
        keys = waiting.pop()
        for link in roster.rotations[keys.number - 1].links:
            if link.epoch in found or link.epoch in skip:
                continue
            try:
                secret = sealing.open_alone(
                    keys.link_key,
                    "link",
                    [keys.number, link.epoch],
                    link.sealed,
                    binding=roster.previous_of_epoch(keys.number),
                )
                older = EpochKeys.checked(secret, link.epoch, roster.nonce, roster.commitment(link.epoch))
            except AuthenticationError:
                continue
            found[link.epoch] = older
            waiting.append(older)
    del found[start.number]
    return sorted(found.values(), key=lambda keys: keys.number, reverse=True)
