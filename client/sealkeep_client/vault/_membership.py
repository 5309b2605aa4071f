"""What makes a home that of a device: its number and keys, its relay, the roster with its entry, the epochs it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sealkeep_client.store import Store
from sealkeep_protocol import cbor


def write_membership(
    store: Store,
    *,
    device: int,
    seeds: tuple[bytes, bytes],
    identity: bytes,
    relay: str,
    entries: Sequence[bytes],
    epochs: Mapping[int, bytes],
    unsent_wraps: Sequence[bytes] = (),
    kit_heads: Sequence[tuple[int, int, bytes]] = (),
    incarnation: bytes | None = None,
    recovery_wrap: bytes | None = None,
) -> None:
    """Write it to a home that has none yet, in the caller's transaction.

    `seeds` are those of the signing and the KEM key, `entries` the roster from the genesis on, `epochs` the secrets by
    number; `unsent_wraps` belong to a genesis that is still to be sent, `kit_heads` are the heads that a kit had seen,
    `incarnation` is the relay's, `recovery_wrap` the recovery key's of the last entry, where this device composed that.
    """
    for key, value in (
        ("device", device),
        ("signing-seed", seeds[0]),
        ("kem-seed", seeds[1]),
        ("identity", identity),
        ("relay", relay),
        ("cursor", [incarnation, 0, False]),
        ("unsent-wraps", list(unsent_wraps) or None),
        ("kit-heads", [list(head) for head in kit_heads]),
    ):
        store.sync.put(key, cbor.encode(value))
    store.sync.add_roster(0, entries)
    if recovery_wrap is not None:
        store.sync.put_recovery_wrap(len(entries) - 1, recovery_wrap)
    store.sync.put_epochs(dict(epochs))
