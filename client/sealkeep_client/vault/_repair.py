"""Copied homes and restored relays: going on as a new device (spec §11.3), and bringing back what is lost (§11.5)."""

from __future__ import annotations

from typing import Final

from sealkeep_client.engine import Gap, Repair, enrol, name_device
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._local import ENROLMENT
from sealkeep_client.vault._types import Enrolled, Lost, OnProgress, RepairReport
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import MAX_NAME

_SUFFIX: Final = " (copy)"


class Repairing:
    """Both work on a vault whose `exclusive` the caller holds."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def is_enrolling(self) -> bool:
        """Whether an enrolment was begun and did not come to its end."""
        return await self._core.in_store(lambda: self._core.local.get(ENROLMENT) is not None)

    async def enrol(self) -> Enrolled:
        """Become a new device of the account, or go on with that. Nothing is lost wherever it is broken off."""
        core = self._core
        before = core.local.account.device
        signing, kem, name = await core.in_store(self._begin)
        session = await core.in_store(core.local.session)
        steps = enrol(session, PrivateKeys(signing, kem), name, random=core.sources.random, time=core.sources.now())
        account = await core.drive(steps)
        core.use_device()
        return Enrolled(before, account.device, name)

    def _begin(self) -> tuple[bytes, bytes, str]:
        """Draw the keys, and persist them before anything is sent (VIE-05)."""
        local, random = self._core.local, self._core.sources.random
        found = local.get(ENROLMENT)
        if found is None:
            found = [random(KEY_SIZE), random(KEY_SIZE), self._name()]
            local.put(ENROLMENT, found)
        signing, kem, name = found
        return signing, kem, name

    def _name(self) -> str:
        """The name of the present device, marked as a copy's."""
        account = self._core.local.account
        name = name_device(account.roster, account.epochs, account.device).removesuffix(_SUFFIX)
        return name.encode()[: MAX_NAME - len(_SUFFIX)].decode(errors="ignore") + _SUFFIX

    async def repair(self, progress: OnProgress | None) -> RepairReport:
        """Bring back to the relay what this device holds and the relay lost."""
        core = self._core
        repaired = await core.drive((await core.in_store(self._make_repair)).run(), progress)
        enrolled = await self.enrol() if repaired.stranded or await self.is_enrolling() else None
        return RepairReport(repaired.entries, repaired.segments, tuple(map(_lost, repaired.missing)), enrolled)

    def _make_repair(self) -> Repair:
        core = self._core
        sync, local = core.store.sync, core.local
        return Repair(
            local.session(),
            sync.roster(),
            sync.recovery_wraps(),
            random=core.sources.random,
            now=core.sources.now(),
            sent_to=local.get("sent-to"),
        )


def _lost(gap: Gap) -> Lost:
    return Lost(gap.device, gap.first, gap.last, gap.removed)
