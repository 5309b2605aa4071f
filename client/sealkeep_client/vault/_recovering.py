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

from sealkeep_client.engine import Survey, decode, unlock_by_kit
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store, Unlock, is_held
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault._asking import drive_without_store
from sealkeep_client.vault._by_kit import REBASES, KitHolder, check_heads, signer_name
from sealkeep_client.vault._core import Sources
from sealkeep_client.vault._driver import StoreThread
from sealkeep_client.vault._kits import NewKits, when_replaced
from sealkeep_client.vault._membership import write_membership
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import HistoryError, RefusedError, StoreError, TransportError, UsageError
from sealkeep_protocol.keys import KeyRecord, PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import EntryType, Roster, RosterDevice, Signer, compose_change

_STATE: Final = "joining"
_PATIENCE: Final = (
    4  # times that a feed may move on, before what is written meanwhile is given up where the person said so
)
_IF_REPLACED: Final = (
    "use that one; if you have only this one, `sealkeep recover --remove-others` takes the account back, and removes all"
    " other devices"
)
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

    @property
    def reclaims(self) -> bool:
        """Whether it removes all other devices."""
        return decode(self.entry).type is EntryType.RECLAIM


class _Joining:
    """A device that is about to join: its keys, and from the first attempt on the home that holds them."""

    def __init__(
        self,
        signing: bytes,
        kem: bytes,
        *,
        store: Store | None = None,
        recovery: KeyRecord | None = None,
        attempt: _Attempt | None = None,
    ) -> None:
        self._seeds = (signing, kem)
        self.keys = PrivateKeys(signing, kem)
        self.store = store
        self.recovery = recovery  # of a new kit, which is in the person's hands
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
        account, signing, kem, recovery, *attempt = cbor.decode(state, limit=_STATE_LIMIT)
        if account != kit.account:
            raise StoreError(
                "this device has begun to join another account here: go on with that one's recovery kit, or give another"
                " directory with --home"
            )
        record = KeyRecord(*recovery) if recovery else None
        return cls(signing, kem, store=store, recovery=record, attempt=_Attempt(*attempt))

    def begin_anew(self, signing: bytes, kem: bytes) -> None:
        """Take other keys, for an entry of another type: the one that was sent may still come to be taken, and must not
        pass for the new one, nor be in its way."""
        self._seeds = (signing, kem)
        self.keys = PrivateKeys(signing, kem)
        self.recovery = self.attempt = None

    def find(self, roster: Roster) -> RosterDevice | None:
        """This device in a roster; None where it has not joined."""
        return next((d for d in roster.devices.values() if d.keys.signing == self.keys.signing.public), None)

    async def keep(self, thread: StoreThread, home: Path, unlock: Unlock, kit: RecoveryKit, attempt: _Attempt) -> None:
        """Persist an attempt, in place of the one before."""
        listed = [list(attempt.after), attempt.entry, list(attempt.wraps), dict(attempt.epochs)]
        recovery = self.recovery
        record = None if recovery is None else [recovery.signing, recovery.kem, recovery.proof]
        state = cbor.encode([kit.account, *self._seeds, record, *listed])
        if self.store is None:
            self.store = await thread.open(_hold, home, unlock, state)
        else:
            await thread.run(self.store.sync.put, _STATE, state)
        self.attempt = attempt

    def finish(
        self, relay: HttpRelay, kit: RecoveryKit, roster: Roster, entries: list[bytes], incarnation: bytes
    ) -> Store:
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
                incarnation=incarnation,
                recovery_wrap=attempt.wraps[0],
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


@dataclass(frozen=True, slots=True)
class Reclaiming:
    """How to remove all devices while this one joins: who takes the new recovery kit, and whether to give up what a device
    wrote beyond what can be verified."""

    kits: NewKits
    discard: bool


async def recover_home(
    home: Path,
    *,
    relay: HttpRelay,
    kit: RecoveryKit,
    unlock: Unlock,
    name: str,
    thread: StoreThread,
    sources: Sources,
    reclaiming: Reclaiming | None = None,
) -> Store:
    """Make a home for a new device of the kit's account: read the roster, open the keys with the kit, join, rotate.

    Goes on with what an earlier call began at `home`; where that one has joined already, with or without removing the
    others, it stays at that. Raises peer errors where the relay shows another account or less
    than the kit has seen, `AuthenticationError` where the kit is not this account's, and `StoreError`.
    """
    holder = await KitHolder.at(relay, kit)
    if is_held(home):
        store = await thread.open(Store.resume, home, unlock)
        joining = await thread.run(_Joining.resumed, store, kit)
    else:
        joining = _Joining(sources.random(KEY_SIZE), sources.random(KEY_SIZE))
    entry = _JoiningEntry(holder, joining, name, sources, thread, reclaiming)
    async with holder.judging():
        return await _join(holder, entry, joining, home, unlock, thread)


async def _join(
    holder: KitHolder, entry: _JoiningEntry, joining: _Joining, home: Path, unlock: Unlock, thread: StoreThread
) -> Store:
    relay, kit = holder.relay, holder.kit
    failure: Exception | None = None
    for _ in range(REBASES):
        entries, roster = await holder.roster()
        # ROS-13: "… the loser gets `roster-conflict`, looks for its own entry first, otherwise rebases on the new head, …"
        if joining.find(roster) is None:
            attempt = joining.attempt
            if attempt is not None and attempt.reclaims != entry.reclaims:
                entry.begin_anew()
                attempt = None
            if attempt is None or not attempt.follows(roster):
                attempt = await entry.compose(entries, roster)
                await joining.keep(thread, home, unlock, kit, attempt)
            try:
                await relay.append_roster(kit.account, roster.number, attempt.entry, attempt.wraps)
            except (RefusedError, TransportError) as error:
                # `pinned`: a device that this one removes has written meanwhile.
                if isinstance(error, RefusedError) and error.code not in ("roster-conflict", "pinned"):
                    raise
                if isinstance(error, RefusedError) and error.code == "pinned":
                    joining.attempt = None
                    entry.outrun += 1
                failure = error  # where the answer was lost, the entry may be there
                continue
            entries, roster = [*entries, attempt.entry], roster.append(attempt.entry)
        return await thread.run(joining.finish, relay, kit, roster, entries, holder.incarnation)
    raise failure or AssertionError


class _JoiningEntry:
    """Composes the entry that adds this device, and with `reclaiming` removes all others."""

    def __init__(
        self,
        holder: KitHolder,
        joining: _Joining,
        name: str,
        sources: Sources,
        thread: StoreThread,
        reclaiming: Reclaiming | None,
    ) -> None:
        self._holder = holder
        self._joining = joining
        self._name = name
        self._sources = sources
        self._thread = thread
        self._reclaiming = reclaiming
        self._survey = None if reclaiming is None else Survey(discard=reclaiming.discard)
        self.outrun = 0  # how often a device that is to be removed has written meanwhile

    @property
    def reclaims(self) -> bool:
        """Whether it is to remove all other devices."""
        return self._reclaiming is not None

    def begin_anew(self) -> None:
        """Let go of an entry of the other type, which an earlier call began with."""
        self._joining.begin_anew(self._sources.random(KEY_SIZE), self._sources.random(KEY_SIZE))

    async def compose(self, entries: list[bytes], roster: Roster) -> _Attempt:
        """The entry that follows this roster. Raises what the relay does wrong, `RefusedError`, and what the person who
        is to take a new kit raises."""
        holder, kit = self._holder, self._holder.kit
        number = holder.key(roster).number
        if roster.closed_by is not None and number >= roster.closed_by:  # ROS-09
            raise RefusedError("closed", "the account was closed", status=410)
        if roster.is_closed and self._reclaiming is None:
            raise RefusedError("closed", "the account was closed; `--remove-others` takes it back", status=410)
        # ROS-25: "A `change` signed by a recovery key that is not the current one MUST NOT add a device or set a recovery
        # key."
        if self._reclaiming is None and roster.is_replaced(Signer.recovery(number)):
            newer = roster.recovery_keys[number + 1]
            by, time = signer_name(newer.added_by, roster, {}), decode(entries[newer.added_at]).time
            raise UsageError(when_replaced(by, time, _IF_REPLACED))
        holder.log_in(roster)
        check_heads(kit, roster, await holder.relay.heads())
        held = await self._thread.run(unlock_by_kit, roster, entries, await holder.wraps(), holder.keys)
        removed, recovery = [], None
        if self._survey is not None and self._reclaiming is not None:
            await drive_without_store(holder.relay, kit.account, self._survey.run(roster))
            # A thief who goes on writing must not hold this up for ever; an honest device gets another chance to be read.
            removed = self._survey.pins(roster, moving=self._reclaiming.discard and self.outrun >= _PATIENCE)
            if self._reclaiming.discard and roster.may_lower_pins(Signer.recovery(number)):
                removed = sorted([*removed, *self._survey.lowered(roster)])
            recovery = self._joining.recovery or self._reclaiming.kits.hand_out(
                kit.identity, roster, self._survey.heads()
            )
            self._joining.recovery = recovery
        composed = compose_change(
            roster,
            Signer.recovery(number),
            holder.keys.signing,
            held,
            random=self._sources.random,
            added=[(self._joining.keys.record((1, roster.account)), self._name)],
            removed=removed,
            recovery=recovery,
            reclaim=recovery is not None,
            time=self._sources.now(),
        )
        epochs = {keys.number: keys.secret for keys in (*held, composed.keys)}
        return _Attempt((roster.number, roster.head), composed.entry, composed.wraps, epochs)
