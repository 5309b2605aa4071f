"""A kit that a person types: one question at a time, each answer checked at once (spec §3.7)."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from sealkeep_client.kit._lines import assemble
from sealkeep_client.kit._model import RecoveryKit
from sealkeep_client.kit._rows import NAMES, NUMBERS, groups_of, line_of, read_text
from sealkeep_client.kit._uri import PREFIX, decode_uri
from sealkeep_protocol.kit import GROUP_BYTES, GROUP_LENGTH, KitError, decode_group, squeeze
from sealkeep_protocol.primitives import equal
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

_CODE: Final = "code"
_NUMBER: Final = re.compile(r"\d{1,10}", re.ASCII)


def is_group(kit: RecoveryKit, number: int, typed: str) -> bool:
    """Whether a person typed the group of the kit's code with that number, from 1."""
    data = decode_group(_CODE, number - 1, typed)
    return data is not None and equal(data, kit.seed[GROUP_BYTES * (number - 1) : GROUP_BYTES * number])


class Typing:
    """Asks for a kit's lines in the order of the page.

    Show `prompt`, give the answer to `answer`, until it returns the kit. An answer may be one group, or several of its
    line; the first may be the whole URI of the QR code.
    """

    def __init__(self) -> None:
        self._name = NAMES[0]
        self._numbers: tuple[int, ...] = ()
        self._groups: list[bytes] = []
        self._data: dict[str, bytes] = {}
        self._text: dict[str, str] = {}
        self._roster: tuple[int, ObjectId] | None = None
        self._feeds: dict[int, tuple[DeviceId, Seq, ObjectId]] = {}

    @property
    def is_secret(self) -> bool:
        """Whether what is asked for now opens everything."""
        return self._name == _CODE

    @property
    def prompt(self) -> str:
        """What to ask for now."""
        label = self._label
        if self._asks_for_numbers:
            if self._name == "roster":
                return "Roster, the number in its label (Enter if the page has no such line)"
            return "Device, the two numbers in its label (Enter if there is no further such line)"
        count = groups_of(self._name)
        if not count:
            return f"{label}, with the four letters at its end"
        if count == 1:
            return label
        back = "; Enter goes back to the numbers" if self._numbers and not self._groups else ""
        return f"{label}, group {len(self._groups) + 1} of {count}{back}"

    def answer(self, typed: str) -> RecoveryKit | None:
        """Take an answer; the kit, if it was the last.

        Raises `KitError` where it is mistyped: what was right is kept, and `prompt` says from where to go on.
        """
        typed = typed.strip()
        if typed.upper().startswith(PREFIX):
            return decode_uri(typed)
        if self._asks_for_numbers:
            self._take_numbers(typed)
        elif groups_of(self._name) == 0:
            self._take_text(typed)
        elif not typed and self._numbers and not self._groups:
            self._numbers = ()
        else:
            self._take_groups(typed)
            if len(self._groups) == groups_of(self._name):
                return self._finish_line(b"".join(self._groups))
        return None

    @property
    def _label(self) -> str:
        return " ".join([self._name.capitalize(), ", ".join(map(str, self._numbers))]).rstrip()

    @property
    def _asks_for_numbers(self) -> bool:
        return len(self._numbers) < NUMBERS.get(self._name, 0)

    def _take_numbers(self, typed: str) -> None:
        wanted = NUMBERS[self._name]
        if not typed:
            self._next()
            return
        numbers = re.split(r"[\s,:]+", typed.rstrip(",: "))
        if len(numbers) != wanted or not all(_NUMBER.fullmatch(number) for number in numbers):
            raise KitError("that is one number" if wanted == 1 else "those are two numbers, like 2, 17")
        self._numbers = tuple(map(int, numbers))
        if self._name == "device" and self._numbers[0] in self._feeds:
            self._numbers = ()
            raise KitError("the line of that device is there already")

    def _take_text(self, typed: str) -> None:
        value = read_text(self._name, typed)
        if value is None:
            raise KitError(f"{self._label} is mistyped: compare it with the page, and its last four letters too")
        self._text[self._name] = value
        self._next()

    def _take_groups(self, typed: str) -> None:
        letters = squeeze(typed)
        number, room = len(self._groups), groups_of(self._name) - len(self._groups)
        full, rest = divmod(len(letters), GROUP_LENGTH)
        right: list[bytes] = []
        for place in range(min(full, room)):
            group = letters[GROUP_LENGTH * place : GROUP_LENGTH * (place + 1)]
            data = decode_group(line_of(self._name, self._numbers), number + place, group)
            if data is None:
                self._groups += right
                self._refuse(number + place, "it is mistyped")
            right.append(data)
        if rest or not 0 < full <= room:
            # What is too much stands at the end of the last group that is right.
            self._groups += right[:-1]
            length = len(letters) - GROUP_LENGTH * len(right[:-1])
            self._refuse(len(self._groups), f"it has {length} characters where {GROUP_LENGTH} belong")
        self._groups += right

    def _refuse(self, number: int, why: str) -> NoReturn:
        where = f"group {number + 1} of {self._label}" if groups_of(self._name) > 1 else self._label
        doubt = ", or a number in the label is" if self._numbers and number == 0 else ""
        raise KitError(f"{where}: {why}{doubt}", groups=(number + 1,))

    def _finish_line(self, data: bytes) -> RecoveryKit | None:
        if self._name == "roster":
            self._roster = (self._numbers[0], ObjectId(data))
        elif self._name == "device":
            device, seq = self._numbers
            self._feeds[device] = (DeviceId(device), Seq(seq), ObjectId(data))
            self._numbers, self._groups = (), []
            return None
        elif self._name == "check":
            return self._assemble(data)
        else:
            self._data[self._name] = data
        self._next()
        return None

    def _next(self) -> None:
        self._name = NAMES[NAMES.index(self._name) + 1]
        self._numbers, self._groups = (), []

    def _assemble(self, check: bytes) -> RecoveryKit:
        account = AccountId(self._data["account"])
        try:
            return assemble(
                relay=self._text["relay"],
                identity=self._data["identity"],
                account=account,
                seed=self._data[_CODE],
                roster=self._roster or (0, ObjectId(account)),
                feeds=tuple(self._feeds.values()),
                date=self._text["date"],
                check=check,
            )
        except KitError:
            # Most likely a line was left out: those that may be left out are asked for again, with all after them.
            self._roster, self._feeds = None, {}
            self._name, self._numbers, self._groups = "roster", (), []
            raise
