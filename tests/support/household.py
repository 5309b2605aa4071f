"""One person's homes over a hostile relay, brought to the stages that attacks begin from (`sealkeep_conformance.attacks`).

    household = Household(tmp_path, relay)
    homes = await household.at("news")          # fresh copies of the homes; the relay is where it was then
    async with await homes.open("laptop") as laptop:
        ...

A stage is played once; each `at` puts the relay and the homes back.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.cli._failures import explain
from sealkeep_client.store import Store
from sealkeep_client.vault import Newcomer
from sealkeep_client.vault._local import MADE_HERE
from sealkeep_conformance.attacks import (
    Broken,
    Facts,
    Found,
    Harmless,
    NotPaired,
    Outcome,
    Refused,
    Stage,
    Step,
    path_to,
)
from sealkeep_conformance.relay import HostileRelay, Ledger, Snapshot
from sealkeep_protocol.errors import PairingError, PeerError, RefusedError, TransportError
from sealkeep_protocol.types import DeviceId, Seq
from support.relay_client import Owner
from support.vaults import UNLOCK, created, exported, opened, recovered

CHAT = "telegram:user:7"
PATIENCE = 0.4  # seconds, where a test waits for a line that stands still


Paired: TypeAlias = tuple[tuple[Outcome, int], tuple[Outcome, int], tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class Homes:
    """The homes of one stage, each under its device's name, and the kit as it was printed at the beginning."""

    base: Path
    relay: HostileRelay
    kit: RecoveryKit

    def home(self, device: str) -> Path:
        return self.base / device

    async def open(self, device: str) -> Vault:
        return await opened(self.home(device))

    async def pair(self, old: Vault, device: str) -> Paired:
        return await pair(old, self.home(device), self.relay.door(device), device)

    async def recover(self, device: str, kit: RecoveryKit | None = None) -> Vault:
        return await recovered(self.home(device), kit or self.kit, self.relay.door(device), device)

    def late_kit(self) -> RecoveryKit:
        """The kit as it would be printed now: with the roster's and the feeds' heads as they are at the relay."""
        return newer_kit(self.kit, self.relay.accounts[self.kit.account])


@dataclass
class Household:
    """The stages that were played so far."""

    base: Path
    relay: HostileRelay
    _played: dict[str, tuple[Snapshot, Path, RecoveryKit]] = field(default_factory=dict)
    _copies: int = 0

    async def at(self, stage: str) -> Homes:
        """Put the relay, honest, and fresh copies of the homes where they were at a stage."""
        for step in path_to(stage):
            if step.name not in self._played:
                await self._play(step)
        snapshot, folder, kit = self._played[stage]
        self.relay.restore(snapshot)
        self._copies += 1
        homes = self.base / f"copy {self._copies}"
        shutil.copytree(folder, homes)
        return Homes(homes, self.relay, kit)

    def facts(self, homes: Homes) -> Facts:
        neighbour = next(account for account in self.relay.accounts if account != homes.kit.account)
        return Facts(homes.kit.account, neighbour, self.relay.accounts[homes.kit.account])

    async def _play(self, stage: Stage) -> None:
        folder = self.base / stage.name
        if stage.after is None:
            folder.mkdir()
            self.relay.restore(neighbour())
            kit = None
        else:
            snapshot, before, kit = self._played[stage.after]
            shutil.copytree(before, folder)
            self.relay.restore(snapshot)
        for step in stage.steps:
            kit = await self._step(folder, step, kit)
        assert kit is not None
        self._played[stage.name] = (self.relay.snapshot(), folder, kit)

    async def _step(self, folder: Path, step: Step, kit: RecoveryKit | None) -> RecoveryKit:
        if step.do == "put-back":
            backup, _, _ = self._played[step.text]
            self.relay.put_back(backup)
            return _known(kit)
        home, door = folder / step.device, self.relay.door(step.device)
        if step.do == "create":
            async with created(home, door, step.device) as (_, made):
                return made
        kit = _known(kit)
        if step.do == "recover":
            await (await recovered(home, kit, door, step.device)).close()
            return kit
        async with await opened(home) as vault:
            if step.do == "write":
                await write(vault, step.text)
            elif step.do == "attach":
                await write_with_file(vault, step.text, folder / "file")
            elif step.fault is None:
                await vault.sync()
            else:
                with self.relay.fault(step.fault(), door=step.device, routes=step.routes, skip=step.skip):
                    try:
                        await vault.sync()
                    except TransportError:
                        if not step.fails:
                            raise
                    else:
                        assert not step.fails, "the line did not break"
        return kit


def _known(kit: RecoveryKit | None) -> RecoveryKit:
    assert kit is not None
    return kit


def neighbour() -> Snapshot:
    """Another account with a few entries and segments, for a relay that mixes accounts up."""
    owner = Owner()
    ledger = Ledger.begin(owner.genesis.entry, owner.genesis.wraps, now=0)
    for number in range(6):
        change = owner.change()
        ledger.append_entry(number, change.entry, change.wraps, now=0)
    for _ in range(3):
        segment = owner.device.seal()
        ledger.take(1, segment.header, segment.summary, segment.body)
    return Snapshot({owner.account: ledger})


def newer_kit(kit: RecoveryKit, ledger: Ledger) -> RecoveryKit:
    feeds = tuple((DeviceId(s.device), Seq(s.seq), s.header_id) for s in ledger.heads())
    return replace(kit, roster=(ledger.roster.number, ledger.roster.head), feeds=feeds)


async def write(vault: Vault, text: str) -> None:
    """Write a message; the chat comes with the first one."""
    await vault.append(await vault.conversation(CHAT), Text(text))


async def write_with_file(vault: Vault, text: str, path: Path) -> None:
    """Write a message with a file, whose bytes are the text's own."""
    path.write_bytes(text.encode() * 100)
    await vault.append(await vault.conversation(CHAT), Text(text), files=[path])
    path.unlink()


async def texts(vault: Vault) -> list[str]:
    """The texts of all messages that a device shows, sorted."""
    chat = next((chat for chat in await vault.conversations()), None)
    if chat is None:
        return []
    return sorted([record.text or "" async for page in vault.history(chat) for record in page])


async def sync_and_write(homes: Homes, device: str, text: str, opened_already: Mapping[str, Vault]) -> None:
    """Let a device catch up, write, and send it."""
    async with AsyncExitStack() as stack:
        vault = opened_already.get(device)
        if vault is None:
            vault = await stack.enter_async_context(await homes.open(device))
        await vault.sync()
        await write(vault, text)
        await vault.sync()


async def converge(homes: Homes, devices: Sequence[str], opened_already: Mapping[str, Vault]) -> list[str]:
    """Let all devices sync twice: they must show one view then, with nothing left to send. Returns its texts."""
    async with AsyncExitStack() as stack:
        vaults = dict(opened_already)
        for device in devices:
            if device not in vaults:
                vaults[device] = await stack.enter_async_context(await homes.open(device))
        for _ in range(2):
            for device in devices:
                await vaults[device].sync()
        views = {device: await exported(vaults[device], homes.base / f"{device}.jsonl") for device in devices}
        assert len(set(views.values())) == 1, "the devices show different views"
        for device in devices:
            assert (await vaults[device].status()).waiting == 0
        return await texts(vaults[devices[0]])


async def pair(old: Vault, home: Path, relay: str, name: str) -> Paired:
    """Let a new device in: what comes of it at the new one and at the old one, and the words that each of them showed.

    The home is closed again; where a pairing broke off in it, it goes on.
    """
    shown = asyncio.get_running_loop().create_future()
    words: list[tuple[str, ...]] = []

    async def agree(newcomer: Newcomer) -> bool:
        words.append(newcomer.words)
        return True

    def link() -> Awaitable[Vault]:
        return Vault.link(
            home,
            relay=relay,
            unlock=UNLOCK,
            name=name,
            on_code=shown.set_result,
            on_words=words.append,
        )

    linking = asyncio.ensure_future(outcome_of(link()))
    await asyncio.wait([linking, shown], return_when=asyncio.FIRST_COMPLETED)
    if not shown.done():  # it needed no code any more
        return await linking, (Harmless(), 0), ()
    accepted = await outcome_of(old.accept(shown.result().words, confirm=agree))
    return await linking, accepted, tuple(words)


async def outcome_of(attempt: Awaitable[object]) -> tuple[Outcome, int]:
    """What comes of something, and the exit status of a command that meets it; a vault that comes of it is closed."""
    try:
        result = await attempt
    except PeerError as error:
        return Found(error.code, error.device, error.seq), explain(error).status
    except TransportError as error:
        return Broken(), explain(error).status
    except RefusedError as error:
        return Refused(error.code), explain(error).status
    except PairingError as error:
        return NotPaired(), explain(error).status
    if isinstance(result, Vault):
        await result.close()
    return Harmless(), 0


# What a home holds


def _dump(store: Store) -> dict[str, list[Any]]:
    database = store._database
    names = [name for (name,) in database.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    # The index itself has no rows to read; its shadow tables are among the others.
    found = {name: sorted(map(repr, database.rows(f'SELECT * FROM "{name}"'))) for name in names if name != "words"}
    # That it sent an entry is its own note, made before it was sent: nothing that came from the relay.
    found["meta"] = [row for row in found["meta"] if not row.startswith(f"({MADE_HERE!r}, ")]
    return found


async def dump(vault: Vault) -> dict[str, list[Any]]:
    """Everything in an open vault's database, table by table."""
    return await vault._core.in_store(lambda: _dump(vault._core.store))


def dump_home(home: Path) -> dict[str, list[Any]]:
    """Everything in the database of a home that nobody has open."""
    with Store.open(home, UNLOCK) as store:
        return _dump(store)


def hurry(vault: Vault) -> None:
    """Let a vault wait no longer than `PATIENCE` for its relay."""
    vault._core.relay._patience = PATIENCE
