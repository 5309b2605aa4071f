"""A device that turns on the others, among real vaults and a real relay; and what is there after what it did."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.engine import Account
from sealkeep_client.vault import MembershipChange
from sealkeep_conformance.attacks import Found, Locked, Outcome, Unreadable
from sealkeep_protocol.segments import SealedSegment
from support.attack_table import Aftermath, AttackTable
from support.household import outcome_of
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import exported, reclaimed, recovered

HOSTILE = 3
CHAT = "telegram:user:1"


@dataclass
class Deeds:
    """What is noted of a hostile device's deed, until it goes into the table. `written` are the honest devices' messages,
    `commands` what it took to go on."""

    table: AttackTable
    written: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    async def record(
        self,
        name: str,
        said: Outcome | None,
        found: tuple[Outcome, int],
        vaults: Sequence[Vault],
        base: Path,
        chat: str,
    ) -> None:
        """Let the honest devices write and come into one view, and note all of it."""
        outcome, status = found
        await vaults[0].append(await vaults[0].conversation(chat), Text("at the end"))
        self.written.append("at the end")
        for vault in (*vaults, *vaults):
            await vault.sync()
        views = {await exported(vault, base / f"view {place}.jsonl") for place, vault in enumerate(vaults)}
        shown = [await all_texts(vault) for vault in vaults]
        count = sum(all(text in texts for texts in shown) for text in self.written)
        active = next(device.active for device in await vaults[0].devices() if device.number == HOSTILE)
        stays = Aftermath(count, len(self.written), len(views) == 1, tuple(self.commands), active)
        self.table.record_deed(name, said, outcome, status, stays)


async def all_texts(vault: Vault) -> list[str | None]:
    """The texts of all messages, in the order of a view."""
    chats = await vault.conversations()
    return [record.text for chat in chats async for page in vault.history(chat) for record in page]


async def found_by(vault: Vault) -> tuple[Outcome, int]:
    """What a device finds when it syncs, and the exit status of the command."""
    summary = None

    async def sync() -> None:
        nonlocal summary
        summary = await vault.sync()

    outcome, status = await outcome_of(sync())
    if summary is None:
        return outcome, status
    if summary.unreadable:
        [error] = summary.unreadable
        assert error.device is not None
        assert error.seq is not None
        return Unreadable(error.code, error.device, error.seq), status
    if summary.locked_by is not None:
        number = next(device.number for device in await vault.devices() if device.name == summary.locked_by)
        return Locked(summary.unopened, number), status
    if summary.unopened:
        return Locked(summary.unopened), status
    return outcome, status


@dataclass
class HostileScene:
    """The owner's phone (1), tablet (2) and kit; the laptop (3) turns on them. The phone's line goes through the proxy."""

    base: Path
    relay: RelayProcess
    proxy: Proxy
    phone: Vault
    tablet: Vault
    laptop: Vault
    kit: RecoveryKit
    deeds: Deeds

    async def write(self, vault: Vault, text: str, *, time: int | None = None) -> None:
        await vault.append(await vault.conversation(CHAT), replace(Text(text), time=time))
        if vault is not self.laptop:
            self.deeds.written.append(text)

    async def texts(self, vault: Vault) -> list[str | None]:
        found = [r.text async for page in vault.history(await vault.conversation(CHAT)) for r in page]
        return sorted(found, key=str)

    @property
    def account(self) -> Account:
        """The laptop's."""
        return self.laptop._core.local.account

    async def append(self, entry: bytes, wraps: list[bytes]) -> None:
        """The laptop's entry."""
        await self.laptop._core.relay.append_roster(self.account.id, self.account.roster.number, entry, wraps)

    async def send(self, segment: SealedSegment) -> None:
        """The laptop's segment."""
        await self.laptop._core.relay.append([(segment.header, segment.summary, segment.body, [])])

    # What the owner does about it, as commands

    async def rotate(self) -> None:
        self.deeds.commands.append("sealkeep rotate")
        await self.phone.rotate()

    async def remove(self, *devices: int, discard: bool = False, kit: RecoveryKit | None = None) -> MembershipChange:
        """By the phone, of other devices."""
        options = f"{' --discard' if discard else ''}{' --with KIT' if kit else ''}"
        self.deeds.commands.append(f"sealkeep remove {' '.join(map(str, devices))}{options}")
        return await self.phone.remove(*devices, discard=dict.fromkeys(devices) if discard else {}, kit=kit)

    async def reclaim(self, kits: list[RecoveryKit], *, discard: bool) -> Vault:
        """A new device takes the account over."""
        return await reclaimed(self.base / "new", self.kit, self.relay.url, on_kit=kits.append, discard=discard)

    async def recover(self, name: str = "new") -> Vault:
        """A new device joins with the kit."""
        return await recovered(self.base / name, self.kit, self.relay.url, name)

    # The table

    async def found(self, *vaults: Vault) -> tuple[Outcome, int]:
        """What all of these devices find alike."""
        found = [await found_by(vault) for vault in vaults]
        assert len(set(found)) == 1, found
        return found[0]

    async def answered(self, deed: Awaitable[object]) -> Outcome:
        """What the relay answers to it. It speaks the truth: what is found is a refusal, or nothing."""
        said, _ = await outcome_of(deed)
        assert not isinstance(said, Found)
        return said

    async def record(self, name: str, said: Outcome, found: tuple[Outcome, int], *vaults: Vault) -> None:
        """Note what came of it, once these devices (the phone and the tablet unless said) have come into one view."""
        await self.deeds.record(name, said, found, vaults or (self.phone, self.tablet), self.base, CHAT)
