"""This device as a new one of an account, by its recovery kit (spec §5).

What the roster is told of is kept first: the device's keys and the entry that adds it stand in a home that is held, not
yet complete, before the entry is sent. Whatever happens then, the same call again finds out whether the relay took it,
and goes on. A device in the roster whose keys nobody has would get wraps for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sealkeep_client.answers import Heads
from sealkeep_client.engine import unlock_by_kit
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store, Unlock, is_held
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_client.vault._core import Sources
from sealkeep_client.vault._driver import StoreThread
from sealkeep_client.vault._membership import write_membership
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import (
    AuthenticationError,
    HistoryError,
    RefusedError,
    StoreError,
    TransportError,
)
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import Roster, RosterDevice, Signer, compose_change

_REBASES: Final = 8
_STATE: Final = "joining"
_STATE_LIMIT: Final = 1 << 22  # an entry, 65 wraps, and the secrets of many thousand epochs


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An entry that adds this device behind entry `after` (number, id), its wraps, and the secrets of the epochs that it
    opens, by number.

    It is sent again as it stands for as long as its place is free: so no other one can be in the roster.
    """

    after: Sequence[Any]
    entry: bytes
    wraps: Sequence[bytes]
    epochs: Mapping[int, bytes] = field(repr=False)

    def follows(self, roster: Roster) -> bool:
        """Whether its place is the next one."""
        return tuple(self.after) == (roster.number, roster.head)


class _Joining:
    """A device that is about to join: its keys, and from the first attempt on the home that holds them."""

    def __init__(
        self, signing: bytes, kem: bytes, *, store: Store | None = None, attempt: _Attempt | None = None
    ) -> None:
        self._seeds = (signing, kem)
        self.keys = PrivateKeys(signing, kem)
        self.store = store
        self.attempt = attempt

    @classmethod
    def resumed(cls, store: Store, kit: RecoveryKit) -> _Joining:
        """What an earlier call began, on the store's thread. Raises `StoreError` where that was something else."""
        state = store.sync.get(_STATE)
        if state is None:
            raise StoreError(
                "this device has begun to join an account here in another way: go on with the command that began it, or"
                " give another directory with --home"
            )
        account, signing, kem, *attempt = cbor.decode(state, limit=_STATE_LIMIT)
        if account != kit.account:
            raise StoreError(
                "this device has begun to join another account here: go on with that one's recovery kit, or give another"
                " directory with --home"
            )
        return cls(signing, kem, store=store, attempt=_Attempt(*attempt))

    def find(self, roster: Roster) -> RosterDevice | None:
        """This device in a roster; None where it has not joined."""
        return next((d for d in roster.devices.values() if d.keys.signing == self.keys.signing.public), None)

    async def keep(self, thread: StoreThread, home: Path, unlock: Unlock, kit: RecoveryKit, attempt: _Attempt) -> None:
        """Persist an attempt, in place of the one before."""
        listed = [list(attempt.after), attempt.entry, list(attempt.wraps), dict(attempt.epochs)]
        state = cbor.encode([kit.account, *self._seeds, *listed])
        if self.store is None:
            self.store = await thread.open(_hold, home, unlock, state)
        else:
            await thread.run(self.store.sync.put, _STATE, state)
        self.attempt = attempt

    def finish(self, relay: HttpRelay, kit: RecoveryKit, roster: Roster, entries: list[bytes]) -> Store:
        """The entry is in the roster: complete the home, on the store's thread. Raises `HistoryError` (`roster`)."""
        store, attempt, device = self.store, self.attempt, self.find(roster)
        if store is None or attempt is None or device is None or entries[device.added_at] != attempt.entry:
            raise HistoryError("roster", "an entry that is not this device's own adds its keys")
        with store.transaction():
            write_membership(
                store,
                device=device.number,
                seeds=self._seeds,
                identity=kit.identity,
                relay=str(relay.url),
                entries=entries[: device.added_at + 1],
                epochs=attempt.epochs,
                kit_heads=kit.feeds,
            )
            store.sync.put(_STATE, None)
        store.publish()
        return store


def _hold(home: Path, unlock: Unlock, state: bytes) -> Store:
    store = Store.create(home, unlock)
    try:
        store.sync.put(_STATE, state)
        store.hold()
    except BaseException:
        store.close()
        raise
    return store


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

    Goes on with what an earlier call began at `home`. Raises peer errors where the relay shows another account or less
    than the kit has seen, `AuthenticationError` where the kit is not this account's, and `StoreError`.
    """
    info = await relay.info()
    # KEY-09: "Recovery from a kit MUST refuse a roster of another account id than the kit's, and one that does not hold
    # the roster head that the kit names."
    if info.identity != kit.identity:
        raise AuthenticationError("identity", "this is not the relay that the recovery kit names")
    recovery = PrivateKeys.of_recovery(kit.seed)
    if is_held(home):
        store = await thread.open(Store.resume, home, unlock)
        joining = await thread.run(_Joining.resumed, store, kit)
    else:
        joining = _Joining(sources.random(KEY_SIZE), sources.random(KEY_SIZE))
    failure: Exception | None = None
    for _ in range(_REBASES):
        entries, roster = await _read_roster(relay, kit)
        # ROS-13: "… the loser gets `roster-conflict`, looks for its own entry first, otherwise rebases on the new head, …"
        if joining.find(roster) is None:
            attempt = joining.attempt
            if attempt is None or not attempt.follows(roster):
                number = _kit_number(roster, recovery)
                relay.use(Credentials(kit.account, Signer.recovery(number), recovery.signing, kit.identity))
                _check_heads(kit, await relay.heads())
                wraps = [(wrap.entry, wrap.wrap) for wrap in await relay.wraps()]
                held = await thread.run(unlock_by_kit, roster, entries, wraps, recovery)
                attempt = _compose(roster, number, recovery, held, joining.keys, name, sources)
                await joining.keep(thread, home, unlock, kit, attempt)
            try:
                await relay.append_roster(kit.account, roster.number, attempt.entry, attempt.wraps)
            except (RefusedError, TransportError) as error:
                if isinstance(error, RefusedError) and error.code != "roster-conflict":
                    raise
                failure = error  # where the answer was lost, the entry may be there
                continue
            entries, roster = [*entries, attempt.entry], roster.append(attempt.entry)
        return await thread.run(joining.finish, relay, kit, roster, entries)
    raise failure or AssertionError


async def _read_roster(relay: HttpRelay, kit: RecoveryKit) -> tuple[list[bytes], Roster]:
    entries, _ = await relay.roster(kit.account, 0)
    roster = Roster.read(entries, account=kit.account)
    number, head = kit.roster
    if roster.number < number:
        raise HistoryError("rollback", f"the kit has seen roster entry {number}; the relay shows {roster.number} only")
    if roster.entry_ids[number] != head:
        raise HistoryError("fork", f"the relay shows another roster entry {number} than the kit has seen")
    return entries, roster


def _kit_number(roster: Roster, recovery: PrivateKeys) -> int:
    """The number of the kit's recovery key. Raises `AuthenticationError` (`key`) or `RefusedError` (`revoked`)."""
    key = next((key for key in roster.recovery_keys if key.keys.signing == recovery.signing.public), None)
    if key is None:
        raise AuthenticationError("key", "the recovery kit does not belong to this account")
    if not key.has_right:
        raise RefusedError("revoked", "this recovery kit was replaced by a newer one", status=403)
    return key.number


def _check_heads(kit: RecoveryKit, heads: Heads) -> None:
    """The relay shows at least the feeds that the kit has seen. Raises `HistoryError` (`rollback`, `fork`)."""
    shown = {head.device: head for head in heads.heads}
    for device, seq, header_id in kit.feeds:
        head = shown.get(device)
        if head is None or head.seq < seq:
            raise HistoryError("rollback", "the recovery kit has seen more of its feed", device=device, seq=seq)
        if head.seq == seq and head.header_id != header_id:
            raise HistoryError("fork", "the recovery kit has seen another header", device=device, seq=seq)


def _compose(
    roster: Roster,
    number: int,
    recovery: PrivateKeys,
    held: Sequence[EpochKeys],
    device: PrivateKeys,
    name: str,
    sources: Sources,
) -> _Attempt:
    """The entry that adds this device, signed by the kit's recovery key."""
    composed = compose_change(
        roster,
        Signer.recovery(number),
        recovery.signing,
        held,
        random=sources.random,
        added=[(device.record((1, roster.account)), name)],
        time=sources.now(),
    )
    epochs = {keys.number: keys.secret for keys in (*held, composed.keys)}
    return _Attempt((roster.number, roster.head), composed.entry, composed.wraps, epochs)
