"""Mailboxes (spec §10.1): two peers leave each other messages, and nobody else gets in."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from sealkeep_protocol.mailboxes import MAX_MESSAGE, MAX_MESSAGES, MAX_NUMBER
from sealkeep_protocol.primitives import sha256
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._tries import Tries
from sealkeep_server.settings import Settings
from sealkeep_server.stores import ConflictError, FullError, Mailbox, Store

_WAITS_AT_ONE = 4  # of its two peers, who ask again where a line broke

# Short numbers are easily typed; where one is taken, the next range is far from full.
_RANGES = (999, 999, 9_999, 9_999, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER)

Role = Literal["maker", "guest"]


@dataclass(frozen=True, slots=True)
class Made:
    """A new mailbox's number, and the seconds until its time is over."""

    number: int
    seconds: int


class Mailboxes:
    """Makes mailboxes and hands messages on. `now` gives seconds since 1970, `draw(n)` a random number below n.

    Waiting is woken by what this process does; what another process on the same store does is seen when a wait ends.
    `counts` says how many were made, entered and ended, and how often a limit refused somebody.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        now: Callable[[], float],
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._draw = draw
        self._tries = Tries(
            most=settings.mailbox_tries,
            most_around=settings.mailbox_network_tries,
            seconds=settings.mailbox_seconds,
            now=now,
        )
        self._changed: WeakValueDictionary[int, asyncio.Event] = WeakValueDictionary()
        self._waits: Counter[int] = Counter()  # requests that wait, by the number of their mailbox
        self._closed = False
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        """Answer whoever waits, and let nobody wait any more."""
        self._closed = True
        for event in list(self._changed.values()):
            event.set()

    async def make(self, secret: bytes, address: str | None) -> Made:
        """Make a mailbox for the holder of this pass. Raises `ProblemError` (`busy`)."""
        # PAI-03: "A relay MUST bound how many mailboxes there are, how many messages one takes (8) and how long these are
        # (4,096 bytes), how long one lives (an hour at most), and how many of them one address makes or enters in that
        # time."
        tries = self._count_try(address)
        # Whoever comes again shares one half with his like, so that few addresses cannot take what is left to all others.
        most_of_all = self._settings.mailboxes if tries == 0 else -(-self._settings.mailboxes // 2)
        now, life = self._now_ms(), self._settings.mailbox_seconds
        for most in _RANGES:
            mailbox = Mailbox(1 + self._draw(most), sha256(secret), None, now + 1000 * life, 0, False)
            try:
                await self._store.make_mailbox(mailbox, now=now, most=most_of_all)
            except ConflictError:
                continue
            except FullError:
                break
            self.counts["made"] += 1
            return Made(mailbox.number, life)
        raise self._busy("There are too many pairings at the moment.")

    async def put(self, number: int, place: int, secret: bytes, message: bytes, address: str | None) -> bool:
        """Take a message; False where exactly this one stands there already. Raises `ProblemError`."""
        if place > MAX_MESSAGES or len(message) > MAX_MESSAGE:
            raise ProblemError("too-large", f"A mailbox takes {MAX_MESSAGES} messages of {MAX_MESSAGE} bytes.")
        mailbox = await self._find(number)
        role = self._role(mailbox, secret)
        if role is None and (place != 1 or mailbox.guest is not None):
            raise self._stranger(mailbox)
        if place <= mailbox.messages and role is not None:
            return await self._repeated(mailbox, place, role, message)
        # PAI-01: "A relay MUST take the messages of a mailbox in the order of their numbers, each from the peer that it
        # belongs to and only once: another one at the same number is `fork`, one out of order `gap`, one by the wrong
        # peer `forbidden`."
        self._check_turn(place, role)
        if place != mailbox.messages + 1:
            raise ProblemError("gap", "The messages of a mailbox have consecutive numbers.")
        guest = mailbox.guest
        if role is None:
            self._count_try(address)
            guest = sha256(secret)
        try:
            await self._store.put_message(mailbox, guest, message)
        except ConflictError:
            return await self.put(number, place, secret, message, address)  # judged against what came in between
        if role is None:
            self.counts["entered"] += 1
        self._wake(number)
        return True

    async def get(self, number: int, place: int, secret: bytes, *, wait: float) -> bytes | None:
        """A message, or None where it is not there after `wait` seconds. Raises `ProblemError`."""
        deadline = asyncio.get_running_loop().time() + min(wait, self._settings.mailbox_wait_seconds)
        while True:
            changed = self._event(number)  # before the look, so that no change falls between the two
            mailbox = await self._find(number)
            if self._role(mailbox, secret) is None:
                raise self._stranger(mailbox)
            message = await self._store.message(number, place)
            if message is not None or not await self._wait(number, changed, deadline):
                return message

    async def end(self, number: int, secret: bytes) -> None:
        """End a mailbox: its exchange is over, well or not. Raises `ProblemError`."""
        mailbox = await self._find(number, ended=True)
        if self._role(mailbox, secret) is None:
            raise self._stranger(mailbox)
        if not mailbox.ended:
            await self._store.end_mailbox(mailbox)
            self.counts["ended"] += 1
            self._wake(number)

    async def _find(self, number: int, *, ended: bool = False) -> Mailbox:
        mailbox = await self._store.mailbox(number, now=self._now_ms())
        if mailbox is None:
            raise ProblemError("not-found", "There is no such mailbox, or its time is over.")
        if mailbox.ended and not ended:
            raise self._used()
        return mailbox

    @staticmethod
    def _role(mailbox: Mailbox, secret: bytes) -> Role | None:
        hashed = sha256(secret)
        if hmac.compare_digest(hashed, mailbox.maker):
            return "maker"
        if mailbox.guest is not None and hmac.compare_digest(hashed, mailbox.guest):
            return "guest"
        return None

    def _stranger(self, mailbox: Mailbox) -> ProblemError:
        # PAI-02: "A relay MUST let one guest into a mailbox and no more; it MUST answer any other pass from then on, and
        # everybody once a peer has ended it, with `mailbox-used`, until its time is over and it is `not-found`."
        if mailbox.ended or mailbox.guest is not None:
            self.counts["refused"] += 1
            return self._used()
        return ProblemError("forbidden", "A guest enters a mailbox with message 1.")

    @staticmethod
    def _used() -> ProblemError:
        return ProblemError("mailbox-used", "Make a new code; a code serves one exchange, whatever comes of it.")

    @staticmethod
    def _check_turn(place: int, role: Role | None) -> None:
        if (place % 2 == 0) != (role == "maker"):
            raise ProblemError("forbidden", "The guest's messages have odd numbers, the maker's even ones.")

    async def _repeated(self, mailbox: Mailbox, place: int, role: Role, message: bytes) -> bool:
        self._check_turn(place, role)
        if await self._store.message(mailbox.number, place) != message:
            raise ProblemError("fork", "Another message stands at this number.")
        return False

    # Waiting

    def _event(self, number: int) -> asyncio.Event:
        event = self._changed.get(number)
        if event is None:
            event = self._changed[number] = asyncio.Event()
        return event

    def _wake(self, number: int) -> None:
        event = self._changed.pop(number, None)
        if event is not None:
            event.set()

    async def _wait(self, number: int, changed: asyncio.Event, deadline: float) -> bool:
        """Whether to look once more: something changed, or the time has just run out."""
        if self._closed or asyncio.get_running_loop().time() >= deadline:
            return False
        # Otherwise whoever has one mailbox could keep everybody else's peers from waiting.
        if self._waits[number] >= _WAITS_AT_ONE or self._waits.total() >= self._settings.mailbox_waits:
            raise self._busy("Too many wait here at the moment.")
        self._waits[number] += 1
        try:
            async with asyncio.timeout_at(deadline):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._waits[number] -= 1
            self._waits += Counter()  # what came to nothing is forgotten
        return True

    # Limits

    def _count_try(self, address: str | None) -> int:
        """How many tries this address has had before in its time. Raises `ProblemError` (`busy`)."""
        before = self._tries.take(address)
        if before is None:
            raise self._busy("This address has tried often; wait some minutes.")
        return before

    def _busy(self, detail: str) -> ProblemError:
        self.counts["refused"] += 1
        return ProblemError("busy", detail, headers={"Retry-After": str(self._settings.retry_after_seconds)})

    def _now_ms(self) -> int:
        return int(self._now() * 1000)
