"""Who belongs to the account: its devices, its recovery kits, their history, and changing them (spec §5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from sealkeep_client.engine import Account, Change, Changed, Changing, ReplacedKitError, Session, decode, name_device
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._device_types import DeviceInfo, KitInfo, MembershipChange, MissingKey, RosterChange
from sealkeep_client.vault._kits import NewKits, mark, when_replaced
from sealkeep_client.vault._missing import missing_here
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import Entry, EntryType, RecoveryKey, Roster, Signer

OnKit = Callable[[RecoveryKit], None]

_HANDED_OUT: Final = "kit"  # the mark of the kit that was handed out last
_WHAT: Final = {
    EntryType.GENESIS: "genesis",
    EntryType.CHANGE: "change",
    EntryType.RECLAIM: "reclaim",
    EntryType.CLOSE: "close",
}


class Devices:
    """The methods of `Vault` that tell of devices and change them; each is described there.

    `register` tells the relay of an account that it does not know yet.
    """

    def __init__(self, core: Core, register: Callable[[], Awaitable[None]]) -> None:
        self._core = core
        self._register = register

    # Telling; on the store's thread

    async def devices(self) -> list[DeviceInfo]:
        return await self._core.in_store(self._list)

    async def kits(self) -> list[KitInfo]:
        return await self._core.in_store(self._list_kits)

    async def history(self) -> list[RosterChange]:
        return await self._core.in_store(self._read_history)

    async def missing_keys(self) -> list[MissingKey]:
        return list(await self._core.in_store(lambda: missing_here(self._core.local.account, self._core.store)))

    def _list(self) -> list[DeviceInfo]:
        account, entries = self._core.local.account, self._entries()
        found = []
        for number, device in sorted(account.roster.devices.items()):
            gone = device.removed_at
            seen = self._core.local.sightings.of(number)
            found.append(
                DeviceInfo(
                    number=number,
                    name=name_device(account.roster, account.epochs, number),
                    added_by=who(account, device.added_by),
                    added_at=entries[device.added_at].time,
                    last_seen=None if seen is None else seen.moment,
                    seen_from=None if seen is None else seen.seen_from,
                    segments=account.feed(number).seq,
                    this=number == account.device,
                    removed_by=None if gone is None else who(account, account.roster.entry_signers[gone]),
                    removed_at=None if gone is None else entries[gone].time,
                    brought_by=_brought_by(account.roster, number),
                )
            )
        return found

    def _list_kits(self) -> list[KitInfo]:
        account, entries = self._core.local.account, self._entries()
        roster = account.roster
        current = roster.current_recovery_key.number
        return [
            KitInfo(
                number=key.number,
                set_by=who(account, key.added_by),
                set_at=entries[key.added_at].time,
                device=key.device,
                current=key.number == current,
                in_force=key.has_right,
                removed_device=key.device is not None and not roster.devices[key.device].active,
                key=key.keys.signing,
            )
            for key in roster.recovery_keys
        ]

    def _read_history(self) -> list[RosterChange]:
        account = self._core.local.account
        return [tell_change(account, entry) for entry in self._entries()]

    def _entries(self) -> list[Entry]:
        return [decode(entry) for entry in self._core.store.sync.roster()]

    # Changing

    async def remove(
        self,
        devices: Iterable[int],
        *,
        on_kit: OnKit | None,
        prepared: RecoveryKit | None,
        kit: RecoveryKit | None,
        since: int | None,
        discard: Mapping[int, int | None],
    ) -> MembershipChange:
        removed = frozenset(devices)
        if not removed or not set(discard) <= removed:
            raise UsageError("name the devices that are to be removed")
        change = Change(removed=removed, by=self._signer(kit), discard=MappingProxyType(dict(discard)))
        return await self._change(change, on_kit, prepared, since)

    async def rotate(self) -> MembershipChange:
        return await self._change(Change(), None, None, None)

    async def replace_kit(
        self, *, on_kit: OnKit | None, prepared: RecoveryKit | None, kit: RecoveryKit | None
    ) -> MembershipChange:
        change = Change(new_kit=True, by=self._signer(kit))
        if prepared is None:
            return await self._change(change, on_kit, None, None)
        own = PrivateKeys.of_recovery(prepared.seed).signing.public
        if self._is_there(own, change):
            return MembershipChange(None)
        # The entry of an earlier call, whose answer was lost, may be at the relay.
        done = await self._change(change, on_kit, prepared, None, lambda account: _find(account.roster, own) is None)
        if done.entry is None:
            self._is_there(own, change)
        return done

    def _is_there(self, own: bytes, change: Change) -> bool:
        """Whether a new kit was put in force already. Raises `UsageError` where that is not what was asked for."""
        roster = self._core.local.account.roster
        key = _find(roster, own)
        if key is None:
            return False
        if key.number < roster.current_recovery_key.number:
            raise UsageError("this recovery kit is an older one of the account: give the new one another name")
        signer = None if change.by is None else _find(roster, change.by.signing.public)
        if signer is not None and signer.has_right:
            raise UsageError(
                "this recovery kit is in force already, and the old one did not sign that: it can still remove all devices,"
                " and only `sealkeep recover --remove-others` with it ends that"
            )
        return True

    def _signer(self, kit: RecoveryKit | None) -> PrivateKeys | None:
        if kit is None:
            return None
        if kit.account != self._core.local.account.id:
            raise UsageError("the recovery kit belongs to another account")
        return PrivateKeys.of_recovery(kit.seed)

    async def _change(
        self,
        change: Change,
        on_kit: OnKit | None,
        prepared: RecoveryKit | None,
        since: int | None,
        needed: Callable[[Account], bool] = lambda account: True,
    ) -> MembershipChange:
        core = self._core
        async with core.exclusive:
            await self._register()
            kits = await core.in_store(lambda: self._new_kits(on_kit, prepared))
            changing = await core.in_store(lambda: self._begin(change, since, needed))
            try:
                done: Changed = await core.drive(changing.run(), new_kit=kits.make)
            except ReplacedKitError as error:
                replaced = error
                raise await core.in_store(lambda: self._tell_replaced(replaced)) from None
            account = core.local.account
        return MembershipChange(
            done.entry,
            tuple((number, name_device(account.roster, account.epochs, number)) for number in done.removed),
            done.new_kit,
            tuple((number, name_device(account.roster, account.epochs, number)) for number in done.lowered),
            done.ended,
        )

    def _tell_replaced(self, error: ReplacedKitError) -> UsageError:
        account, newer = self._core.local.account, error.newer
        time = self._entries()[newer.added_at].time
        return UsageError(when_replaced(f"“{who(account, newer.added_by)}”", time, error.more))

    def _new_kits(self, on_kit: OnKit | None, prepared: RecoveryKit | None) -> NewKits:
        """On the store's thread. The kit's mark is durable before anybody is handed the kit."""
        core, own = self._core, self._core.store.sync.get(_HANDED_OUT)
        seed = core.sources.random(KEY_SIZE)
        if on_kit is not None and prepared is None:
            core.store.sync.put(_HANDED_OUT, mark(seed))
        return NewKits(str(core.relay.url), on_kit, prepared, seed, core.sources.now, own)

    def _begin(self, change: Change, since: int | None, needed: Callable[[Account], bool]) -> Changing:
        local, sources = self._core.local, self._core.sources
        session = Session(local.account, local.known, local.refused)
        return Changing(session, change, random=sources.random, time=sources.now(), since=since, needed=needed)


def _find(roster: Roster, signing: bytes) -> RecoveryKey | None:
    """The recovery key with this signing key; None where there is none."""
    return next((key for key in roster.recovery_keys if key.keys.signing == signing), None)


def _brought_by(roster: Roster, number: int) -> int | None:
    """The device that added a device, itself or by a recovery key that stems from it; the genesis's is the owner's own."""
    device = roster.devices[number]
    if number == 1:
        return None
    if not device.added_by.is_recovery:
        return device.added_by.number
    return roster.recovery_keys[device.added_by.number].device if device.added_by.number else None


def who(account: Account, signer: Signer) -> str:
    """A signer as a person knows it."""
    return "a recovery kit" if signer.is_recovery else name_device(account.roster, account.epochs, signer.number)


def locked_by(account: Account) -> str | None:
    """Who began the current epoch, where this device does not hold it; None where it does, or was removed."""
    roster = account.roster
    if account.holds_current or not roster.devices[account.device].active:
        return None
    return who(account, roster.signer_of_epoch(roster.epoch if roster.epoch not in account.epochs else 1))


def is_closing(account: Account) -> bool:
    """Whether the account is closed by a kit above which another ranks, and so can still be taken back (§5.4)."""
    return account.roster.is_closed and not account.roster.close_is_final


def tell_change(account: Account, entry: Entry) -> RosterChange:
    """An entry of the account's roster as a person is told of it."""
    roster = account.roster
    signer = entry.signer
    members = roster.recovery_keys if signer.is_recovery else roster.devices
    kit = next((key.number for key in roster.recovery_keys if key.added_at == entry.number), None)
    return RosterChange(
        number=entry.number,
        id=roster.entry_ids[entry.number],
        what=_WHAT[entry.type],  # type: ignore[arg-type]
        time=entry.time,
        signed_by=f"recovery kit {signer.number}"
        if signer.is_recovery
        else name_device(account.roster, account.epochs, signer.number),
        key=members[signer.number].keys.signing,
        epoch=roster.entry_epochs[entry.number],
        added=tuple((a.device, name_device(account.roster, account.epochs, a.device)) for a in entry.added),
        removed=tuple((r.device, name_device(account.roster, account.epochs, r.device)) for r in entry.removed),
        pins=tuple((r.seq, r.discard_after) for r in entry.removed),
        kit=kit,
        lowered=tuple(r.device for r in entry.removed if roster.devices[r.device].removed_at != entry.number),
        device=None if signer.is_recovery else signer.number,
        this=signer == account.signer,
    )
