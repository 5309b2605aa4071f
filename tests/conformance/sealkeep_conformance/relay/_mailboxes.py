"""Mailboxes (spec §10.1, §8.8): two peers leave each other messages for some minutes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol.mailboxes import MAX_MESSAGE, MAX_MESSAGES

_FEW: Final = 999  # numbers to draw from


@dataclass
class Mailbox:
    """A mailbox: the passes of its peers, when its time is over (ms), its messages, and whether a peer has ended it."""

    maker: bytes
    expires: int
    guest: bytes | None = None
    messages: list[bytes] = field(default_factory=list)
    ended: bool = False


@dataclass
class Mailboxes:
    """All mailboxes by number. `now` gives ms; `changed` is set, and replaced, when something has happened in one."""

    now: Callable[[], int]
    seconds: int
    boxes: dict[int, Mailbox] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def make(self, secret: bytes) -> int:
        """Make a mailbox for the holder of this pass; its number."""
        self.boxes = {number: box for number, box in self.boxes.items() if box.expires > self.now()}
        number = 1 + secrets.randbelow(_FEW)
        while number in self.boxes:
            number = 1 + secrets.randbelow(_FEW)
        self.boxes[number] = Mailbox(secret, self.now() + 1000 * self.seconds)
        return number

    def put(self, number: int, place: int, secret: bytes, message: bytes) -> bool:
        """Take a message; False where exactly this one stands there already. Raises `ProblemError`."""
        if place > MAX_MESSAGES or len(message) > MAX_MESSAGE:
            raise ProblemError("too-large")
        box = self._find(number)
        is_new_guest = box.guest is None and secret != box.maker and place == 1
        if not is_new_guest:
            self._admit(box, secret)
        # PAI-01: "A relay MUST take the messages of a mailbox in the order of their numbers, each from the peer that it
        # belongs to and only once: another one at the same number is `fork`, one out of order `gap`, one by the wrong
        # peer `forbidden`."
        if (place % 2 == 0) != (secret == box.maker):
            raise ProblemError("forbidden")
        if place <= len(box.messages):
            if box.messages[place - 1] != message:
                raise ProblemError("fork")
            return False
        if place != len(box.messages) + 1:
            raise ProblemError("gap")
        if is_new_guest:
            box.guest = secret
        box.messages.append(message)
        self._wake()
        return True

    def get(self, number: int, place: int, secret: bytes) -> bytes | None:
        """A message; None where it is not there yet. Raises `ProblemError`."""
        box = self._find(number)
        self._admit(box, secret)
        return box.messages[place - 1] if place <= len(box.messages) else None

    def end(self, number: int, secret: bytes) -> None:
        """End a mailbox. Raises `ProblemError`."""
        box = self._find(number, ended=True)
        self._admit(box, secret)
        box.ended = True
        self._wake()

    def _find(self, number: int, *, ended: bool = False) -> Mailbox:
        box = self.boxes.get(number)
        if box is None or box.expires <= self.now():
            raise ProblemError("not-found")
        if box.ended and not ended:
            raise ProblemError("mailbox-used")
        return box

    def _admit(self, box: Mailbox, secret: bytes) -> None:
        # PAI-02: "A relay MUST let one guest into a mailbox and no more; it MUST answer any other pass from then on, and
        # everybody once a peer has ended it, with `mailbox-used`, until its time is over and it is `not-found`."
        if secret not in (box.maker, box.guest):
            raise ProblemError("mailbox-used" if box.guest is not None or box.ended else "forbidden")

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
