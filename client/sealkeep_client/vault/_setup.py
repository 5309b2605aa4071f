"""Beginning: a new account on this device, or this device as a new one of an account, by its recovery kit (spec §5)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from sealkeep_client.answers import Heads
from sealkeep_client.engine import unlock_by_kit
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store, Unlock
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_client.vault._core import Sources
from sealkeep_client.vault._driver import StoreThread
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, HistoryError, RefusedError, SealkeepError, TransportError
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import Composed, Roster, Signer, compose_change, compose_genesis

_REBASES = 8


async def create_home(
    home: Path,
    *,
    relay: HttpRelay,
    unlock: Unlock,
    name: str,
    on_kit: Callable[[RecoveryKit], None],
    thread: StoreThread,
    sources: Sources,
) -> Store:
    """Make a home with a new account that the relay does not know yet. The kit is handed out first: nothing is kept
    before the person can have it."""
    info = await relay.info()
    seed = sources.random(KEY_SIZE)
    signing, kem = sources.random(KEY_SIZE), sources.random(KEY_SIZE)
    now = sources.now()
    composed = compose_genesis(
        PrivateKeys(signing, kem), name, PrivateKeys.of_recovery(seed), random=sources.random, time=now
    )
    on_kit(
        RecoveryKit(
            relay=str(relay.url),
            identity=info.identity,
            account=composed.roster.account,
            seed=seed,
            roster=(0, composed.roster.head),
            feeds=(),
            date=_date(now),
        )
    )
    seeds = (signing, kem)
    return await thread.open(
        _write_home,
        home,
        unlock,
        str(relay.url),
        info.identity,
        1,
        seeds,
        [composed.entry],
        [composed.keys],
        composed.wraps,
    )


async def recover_home(
    home: Path,
    *,
    relay: HttpRelay,
    kit: RecoveryKit,
    unlock: Unlock,
    name: str,
    thread: StoreThread,
    sources: Sources,
) -> Store:
    """Make a home for a new device of the kit's account: read the roster, open the keys with the kit, join, rotate.

    Raises peer errors where the relay shows another account or less than the kit has seen, `AuthenticationError` where
    the kit is not this account's.
    """
    info = await relay.info()
    # KEY-09: "Recovery from a kit MUST refuse a roster of another account id than the kit's, and one that does not hold
    # the roster head that the kit names."
    if info.identity != kit.identity:
        raise AuthenticationError("identity", "this is not the relay that the recovery kit names")
    recovery = PrivateKeys.of_recovery(kit.seed)
    signing, kem = sources.random(KEY_SIZE), sources.random(KEY_SIZE)
    device = PrivateKeys(signing, kem)
    composed: Composed | None = None
    held: list[EpochKeys] = []
    failure: SealkeepError | None = None
    for _ in range(_REBASES):
        entries, roster = await _read_roster(relay, kit)
        # ROS-13: "… the loser gets `roster-conflict`, looks for its own entry first, otherwise rebases on the new head, …"
        if composed is not None and composed.entry in entries:
            entries = entries[: composed.roster.number]
            break
        number = next((k.number for k in roster.recovery_keys if k.keys.signing == recovery.signing.public), None)
        if number is None:
            raise AuthenticationError("key", "the recovery kit does not belong to this account")
        if not roster.recovery_keys[number].has_right:
            raise RefusedError("revoked", "this recovery kit was replaced by a newer one", status=403)
        relay.use(Credentials(kit.account, Signer.recovery(number), recovery.signing, kit.identity))
        _check_heads(kit, await relay.heads())
        wraps = [(wrap.entry, wrap.wrap) for wrap in await relay.wraps()]
        held = await thread.run(unlock_by_kit, roster, entries, wraps, recovery)
        composed = _join(roster, number, recovery, held, device, name, sources)
        try:
            await relay.append_roster(kit.account, roster.number, composed.entry, composed.wraps)
            break
        except (RefusedError, TransportError) as error:
            if isinstance(error, RefusedError) and error.code != "roster-conflict":
                raise
            failure = error  # where the answer was lost, the entry may be there
    else:
        raise failure or AssertionError
    return await thread.open(
        _write_home,
        home,
        unlock,
        str(relay.url),
        kit.identity,
        len(composed.roster.devices),
        (signing, kem),
        [*entries, composed.entry],
        [*held, composed.keys],
        (),
        kit.feeds,
    )


async def _read_roster(relay: HttpRelay, kit: RecoveryKit) -> tuple[list[bytes], Roster]:
    entries, _ = await relay.roster(kit.account, 0)
    roster = Roster.read(entries, account=kit.account)
    number, head = kit.roster
    if roster.number < number:
        raise HistoryError("rollback", f"the kit has seen roster entry {number}; the relay shows {roster.number} only")
    if roster.entry_ids[number] != head:
        raise HistoryError("fork", f"the relay shows another roster entry {number} than the kit has seen")
    return entries, roster


def _check_heads(kit: RecoveryKit, heads: Heads) -> None:
    """The relay shows at least the feeds that the kit has seen. Raises `HistoryError` (`rollback`, `fork`)."""
    shown = {head.device: head for head in heads.heads}
    for device, seq, header_id in kit.feeds:
        head = shown.get(device)
        if head is None or head.seq < seq:
            raise HistoryError("rollback", "the recovery kit has seen more of its feed", device=device, seq=seq)
        if head.seq == seq and head.header_id != header_id:
            raise HistoryError("fork", "the recovery kit has seen another header", device=device, seq=seq)


def _join(
    roster: Roster,
    number: int,
    recovery: PrivateKeys,
    held: Sequence[EpochKeys],
    device: PrivateKeys,
    name: str,
    sources: Sources,
) -> Composed:
    return compose_change(
        roster,
        Signer.recovery(number),
        recovery.signing,
        held,
        random=sources.random,
        added=[(device.record((1, roster.account)), name)],
        time=sources.now(),
    )


def _write_home(
    home: Path,
    unlock: Unlock,
    relay: str,
    identity: bytes,
    device: int,
    seeds: tuple[bytes, bytes],
    entries: Sequence[bytes],
    epochs: Sequence[EpochKeys],
    unsent_wraps: Sequence[bytes],
    kit_heads: Sequence[tuple[int, int, bytes]] = (),
) -> Store:
    """Write a whole home and make it the one that opens. `unsent_wraps` belong to a genesis that is still to be sent."""
    store = Store.create(home, unlock)
    try:
        with store.transaction():
            for key, value in (
                ("device", device),
                ("signing-seed", seeds[0]),
                ("kem-seed", seeds[1]),
                ("identity", identity),
                ("relay", relay),
                ("unsent-wraps", list(unsent_wraps) or None),
                ("kit-heads", [list(head) for head in kit_heads]),
            ):
                store.sync.put(key, cbor.encode(value))
            store.sync.add_roster(0, entries)
            store.sync.put_epochs({keys.number: keys.secret for keys in epochs})
        store.publish()
    except BaseException:
        store.close()
        raise
    return store


def _date(now: int) -> str:
    return datetime.datetime.fromtimestamp(now / 1000, datetime.UTC).date().isoformat()
