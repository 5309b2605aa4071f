"""A pairing's messages through its mailbox, patiently: a broken line is tried again until the code's time is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sealkeep_client.engine.pairing import GetMessage, PairingAction, PairingSteps, PutMessage
from sealkeep_client.transport import HttpMailbox
from sealkeep_client.vault._steps import carry
from sealkeep_protocol.errors import PairingError, RefusedError, SealkeepError, TransportError

T = TypeVar("T")

_PAUSE: Final = 1.0  # seconds between two tries on a broken line
_PATIENCE: Final = 30.0  # seconds that a broken line may stay so
_SOON: Final = 60.0  # seconds in which a device answers that is there
_QUIET: Final = 3.0  # seconds in which nobody is told that such a device has not answered
_FAREWELL: Final = 3.0  # seconds in which a mailbox is ended, or left to end by itself
_UNKNOWN: Final = "no device waits under this code: it was mistyped, or its time is over"
_USED: Final = (
    "this code has been used or given up: a code serves once; `sealkeep link` on the new device makes another"
)
_ENDED: Final = "the other device ended the pairing, or somebody else tried the code: begin again with a new one"
_SILENT: Final = "the other device does not answer: begin again with a new code"
_LATE: Final = "the code's time is over: begin again with a new one"


class Mailbox:
    """Mailbox `number`, which lives at most `seconds`.

    `on_wait` is called where the other device should have answered by itself and has not for a few seconds, once for a
    message, with how many seconds more it is waited for at most.
    """

    def __init__(
        self, line: HttpMailbox, number: int, *, seconds: float, on_wait: Callable[[int], None] | None = None
    ) -> None:
        self._line = line
        self._number = number
        self._on_wait = on_wait
        self._deadline = asyncio.get_running_loop().time() + seconds

    async def carry(self, steps: PairingSteps[T], other: Callable[[PairingAction], Awaitable[Any]]) -> T:
        """Carry steps of a pairing through; `other` does what is not said through the mailbox."""

        async def do(action: PairingAction) -> Any:
            if isinstance(action, PutMessage):
                return await self.put(action.place, action.message)
            if isinstance(action, GetMessage):
                return await self.get(action.place, soon=action.soon)
            return await other(action)

        return await carry(steps, do)

    async def put(self, place: int, message: bytes) -> None:
        """Put a message. Raises `PairingError`, `TransportError` for a line that stays broken, or `RefusedError`."""

        async def ask() -> bool:
            await self._line.put(self._number, place, message)
            return True

        # Nobody waits for an answer to the first one yet: what does not go, fails at once.
        await self._until(ask, first=place == 1, patience=0 if place == 1 else _PATIENCE)

    async def get(self, place: int, *, soon: bool = False) -> bytes:
        """Wait for a message, for a minute at most with `soon`. Raises as `put` does."""
        loop = asyncio.get_running_loop()
        told: asyncio.TimerHandle | None = None
        if soon and self._on_wait is not None:
            rest = min(_SOON, self._deadline - loop.time()) - _QUIET
            told = loop.call_later(_QUIET, self._on_wait, max(1, round(rest)))
        try:
            return await self._until(lambda: self._line.get(self._number, place), patience=_PATIENCE, soon=soon)
        finally:
            if told is not None:
                told.cancel()

    async def end(self) -> None:
        """End it as well as may be. Where the line is broken, it ends by itself when its time is over."""
        with contextlib.suppress(RefusedError, TransportError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._line.end(self._number)

    async def _until(
        self, ask: Callable[[], Awaitable[T | None]], *, patience: float, first: bool = False, soon: bool = False
    ) -> T:
        now = asyncio.get_running_loop().time
        deadline = min(self._deadline, now() + _SOON) if soon else self._deadline
        broken: float | None = None  # since when
        while True:
            asked = now()
            try:
                answer = await ask()
            except (RefusedError, TransportError) as error:
                if not error.retryable or (first and isinstance(error, RefusedError)):
                    raise _meaning(error, first=first) from error
                if broken is not None and now() >= min(broken + patience, self._deadline):
                    raise
                broken = now() if broken is None else broken
                await asyncio.sleep(_PAUSE)
                continue
            broken = None
            if answer is not None:
                return answer
            if now() >= deadline:
                raise PairingError(_SILENT if deadline < self._deadline else _LATE)
            # A relay may grant no wait: it is not asked all the more often.
            await asyncio.sleep(asked + _PAUSE - now())


def _meaning(error: SealkeepError, *, first: bool) -> SealkeepError:
    """What a refusal says of the pairing; `first` is whether it was the first thing said through the mailbox."""
    code = error.code if isinstance(error, RefusedError) else None
    if code == "not-found":
        return PairingError(_UNKNOWN if first else _LATE)
    if code == "mailbox-used":
        return PairingError(_USED if first else _ENDED)
    if code in ("forbidden", "fork", "gap"):
        return PairingError(_ENDED)
    return error
