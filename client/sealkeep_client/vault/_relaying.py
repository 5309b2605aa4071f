"""In step with the relay: registering the account, syncing once, verifying."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sealkeep_client.engine import Sync, SyncReport, Verification
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._devices import locked_by
from sealkeep_client.vault._types import OnProgress, SyncSummary, VerifyReport


class Relaying:
    """The methods of `Vault` that talk to the relay; each is described there. `settled` is notified after every sync."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.settled = asyncio.Condition()

    async def register(self) -> None:
        """Tell the relay of a new account, if it does not know it yet."""
        core = self._core
        wraps = await core.in_store(lambda: core.local.get("unsent-wraps"))
        if wraps is None:
            return
        genesis = await core.in_store(lambda: core.store.sync.roster()[0])
        await core.relay.create_account(genesis, wraps)
        await core.in_store(lambda: core.local.put("unsent-wraps", None))

    async def sync(self, *, progress: OnProgress | None = None, writes: bool = True) -> SyncSummary:
        """What `Vault.sync` promises; without `writes` it only reads."""
        core = self._core
        async with core.exclusive:
            await self.register()
            # On the store's thread, behind what a sync that was cancelled may still have under way there.
            sync = await core.in_store(self._make_sync)
            try:
                report = await core.drive(sync.run(writes=writes), progress)
            finally:
                async with self.settled:
                    self.settled.notify_all()
            await core.in_store(lambda: self._note_sync(report))
        return SyncSummary(
            received=report.records_read,
            sent=report.records_written,
            segments_received=report.segments_read,
            segments_sent=report.segments_written,
            unreadable=report.unreadable,
            unopened=report.unopened,
            locked_by=locked_by(report.account),
        )

    def _make_sync(self) -> Sync:
        local = self._core.local
        return Sync(
            local.account,
            self._core.store.ids if 1 in local.account.epochs else None,
            known=local.known,
            refused=local.refused,
            random=self._core.sources.random,
            sent_to=local.get("sent-to"),
            floor=local.get("kit-heads") or (),
            time=self._core.sources.now(),
        )

    def _note_sync(self, report: SyncReport) -> None:
        local = self._core.local
        local.put("last-sync", [self._core.sources.now(), report.used, report.allowed])
        local.account = replace(local.account, linked=report.account.linked)

    async def verify(self, *, progress: OnProgress | None) -> VerifyReport:
        core = self._core
        async with core.exclusive:
            verification = await core.in_store(lambda: Verification(core.local.account, core.local.known))
            result = await core.drive(verification.run(), progress)
        return VerifyReport(result.entries, result.segments, result.records, result.bytes, result.unreadable)
