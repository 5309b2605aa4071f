"""In step with the relay: registering the account, syncing once, verifying."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from sealkeep_client.engine import Sync, SyncReport, Verification
from sealkeep_client.vault._content_reader import ContentReader
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._device_types import MissingKey, RosterChange
from sealkeep_client.vault._devices import is_closing, locked_by
from sealkeep_client.vault._missing import missing_here
from sealkeep_client.vault._news import take_news
from sealkeep_client.vault._repair import Repairing
from sealkeep_client.vault._types import OnProgress, Progress, RepairReport, SyncSummary, VerifyReport
from sealkeep_protocol.errors import HistoryError, RefusedError


class Relaying:
    """The methods of `Vault` that talk to the relay; each is described there. `settled` is notified after every sync."""

    def __init__(self, core: Core, repairing: Repairing) -> None:
        self._core = core
        self._repairing = repairing
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
        summary = await self.sync_once(progress=progress, writes=writes)
        # What is new, and what waits to be sent, comes before the bodies that are still awaited, each time anew.
        awaited = summary.awaited + 1
        while 0 < summary.awaited < awaited:
            awaited = summary.awaited
            summary = summary.then(await self.sync_once(progress=progress, writes=writes))
        return summary

    async def sync_once(
        self, *, progress: OnProgress | None = None, writes: bool = True, tells: bool = True
    ) -> SyncSummary:
        """The same with some of the bodies that are awaited, at most. Without `tells` it leaves for another what it would
        tell of others' changes."""
        core = self._core
        async with core.exclusive:
            await self.register()
            try:
                enrolled = await self._repairing.enrol() if await self._repairing.is_enrolling() else None
                try:
                    report = await self._sync(progress, writes)
                except HistoryError as error:
                    if error.code != "clone" or enrolled is not None:
                        raise
                    enrolled = await self._repairing.enrol()
                    report = await self._sync(progress, writes)
            finally:
                async with self.settled:
                    self.settled.notify_all()
            awaited, missing, changes = await core.in_store(lambda: self._note_sync(report, tells))
        return SyncSummary(
            received=report.records_read,
            sent=report.records_written,
            segments_received=report.segments_read,
            segments_sent=report.segments_written,
            unreadable=report.unreadable,
            unopened=report.unopened,
            locked_by=locked_by(report.account),
            enrolled=enrolled,
            closing=is_closing(report.account),
            files_sent=report.contents_written,
            awaited=awaited,
            missing=missing,
            changes=changes,
        )

    async def _sync(self, progress: OnProgress | None, writes: bool) -> SyncReport:
        core = self._core
        # On the store's thread, behind what a sync that was cancelled may still have under way there.
        sync = await core.in_store(self._make_sync)
        try:
            return await core.drive(sync.run(writes=writes), progress)
        except HistoryError:
            if not sync.doubts_cursor:
                raise
        again = await core.in_store(lambda: self._make_sync(anew=True))
        return await core.drive(again.run(writes=writes), progress)

    async def repair(self, *, progress: OnProgress | None) -> RepairReport:
        async with self._core.exclusive:
            await self.register()
            return await self._repairing.repair(progress)

    def _make_sync(self, *, anew: bool = False) -> Sync:
        local = self._core.local
        return Sync(
            local.account,
            self._core.store.ids if 1 in local.account.epochs else None,
            known=local.known,
            refused=local.refused,
            signed=local.signed,
            random=self._core.sources.random,
            sent_to=local.get("sent-to"),
            floor=local.get("kit-heads") or (),
            time=self._core.sources.now(),
            anew=anew,
        )

    def _note_sync(
        self, report: SyncReport, tells: bool
    ) -> tuple[int, tuple[MissingKey, ...], tuple[RosterChange, ...]]:
        """Note it; returns how many segments are awaited still, which keys are missing, and what others changed."""
        local, store = self._core.local, self._core.store
        local.put("last-sync", [self._core.sources.now(), report.used, report.allowed])
        local.account = replace(local.account, linked=report.account.linked)
        return store.awaited.count().segments, missing_here(local.account, store), take_news(local) if tells else ()

    async def verify(self, *, files: bool, progress: OnProgress | None) -> VerifyReport:
        core = self._core
        async with core.exclusive:
            verification = await core.in_store(
                lambda: Verification(
                    core.local.account,
                    core.local.known,
                    core.local.signed,
                    awaited=core.store.awaited.holds,
                )
            )
            result = await core.drive(verification.run(), progress)
            missing = await core.in_store(lambda: missing_here(core.local.account, core.store))
        unavailable = dict.fromkeys(result.unavailable)
        read = await self._read_files(unavailable, progress) if files else None
        return VerifyReport(
            result.entries,
            result.segments,
            result.records,
            result.bytes,
            result.unreadable,
            result.unopened,
            result.contents,
            tuple(unavailable),
            read,
            missing,
        )

    async def _read_files(self, unavailable: dict[tuple[int, int], None], progress: OnProgress | None) -> int:
        """Read all files from the relay; returns their bytes, and adds where those are named that are not there."""
        core, after, done = self._core, b"", 0
        while roots := await core.in_store(partial(core.store.records.roots, after, 64)):
            for root in roots:
                reader = ContentReader(core, root)
                try:
                    done += await reader.prove()
                except RefusedError as refused:
                    if refused.code != "not-found":
                        raise
                    unavailable.update({(known.device, known.seq): None for known in reader.tried})
                if progress is not None:
                    progress(Progress("fetching", done))
            after = roots[-1]
        return done
