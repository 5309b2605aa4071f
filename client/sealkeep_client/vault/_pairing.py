"""Letting another device in (spec §10): the old device's side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sealkeep_client.engine import Steps
from sealkeep_client.engine.pairing import Ask, PairingAction, add_device, meet
from sealkeep_client.transport import HttpMailbox
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._mailbox import Mailbox
from sealkeep_client.vault._relaying import Relaying
from sealkeep_client.vault._types import Linked, Newcomer
from sealkeep_client.vault._words import code_words
from sealkeep_protocol.errors import PairingError
from sealkeep_protocol.mailboxes import MAX_SECONDS, PASS_SIZE
from sealkeep_protocol.pairing import Candidate, Enrolment, OldDevice, read_code

_DECLINED: Final = "the new device was not let in; its code is used up, and nothing was changed"
_LOCKED: Final = (
    "this device holds no key of the account yet, and lets nobody in: accept the code on another one; it is not used up"
)
_UNHEARD: Final = (
    "the new device is in the account and has not heard of it: `sealkeep link` there once more, and accept its new code"
)


class Pairing:
    """`Vault.accept`, which describes it."""

    def __init__(self, core: Core, relaying: Relaying) -> None:
        self._core = core
        self._relaying = relaying

    async def accept(
        self,
        code: str,
        confirm: Callable[[Newcomer], Awaitable[bool]],
        on_wait: Callable[[int], None] | None,
    ) -> Linked:
        core, words = self._core, code_words()
        given = read_code(code, words)
        account = core.local.account
        if not account.epochs:  # an entry links what its signer holds: known before the code is used up
            raise PairingError(_LOCKED)
        random = core.sources.random
        device = OldDevice(given, account=account.id, identity=account.identity, words=words, random=random)
        line = HttpMailbox(core.relay, random(PASS_SIZE))
        mailbox = Mailbox(line, given.mailbox, seconds=MAX_SECONDS, on_wait=on_wait)

        async def ask(action: PairingAction) -> bool:
            if not isinstance(action, Ask):
                raise TypeError(f"no action of an old device: {type(action).__name__}")
            return await confirm(Newcomer(action.name, action.words))

        said = False
        try:
            candidate = await mailbox.carry(meet(device), ask)
            if candidate is not None:
                enrolment = await self._enrol(candidate)
                await self._tell(mailbox, device.conclude(enrolment))
            said = True
        finally:
            if not said:  # otherwise the new device ends it, when it has read the last message
                await mailbox.end()
        if candidate is None:
            raise PairingError(_DECLINED)
        return Linked(enrolment.device, candidate.name)

    async def _enrol(self, candidate: Candidate) -> Enrolment:
        core = self._core
        async with core.exclusive:
            await self._relaying.register()

            def steps() -> Steps[Enrolment]:
                local, sources = core.local, core.sources
                return add_device(local.account, candidate, known=local.known, random=sources.random, now=sources.now)

            # On the store's thread, behind what was cancelled and may still be under way there.
            return await core.drive(await core.in_store(steps))

    @staticmethod
    async def _tell(mailbox: Mailbox, message: bytes) -> None:
        try:
            await mailbox.put(5, message)
        except PairingError as error:
            raise PairingError(_UNHEARD) from error
