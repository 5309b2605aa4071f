"""Reading a kit as text: only the lines that begin with a label count; the prose around them may be missing or changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from sealkeep_client.kit._model import RecoveryKit
from sealkeep_client.kit._rows import NAMES, NUMBERS, groups_of, line_of, read_text
from sealkeep_protocol.kit import GROUP_LENGTH, GROUPS, KitError, decode_groups, squeeze
from sealkeep_protocol.primitives import equal
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

LIMIT: Final = 1 << 20  # characters of a file
_LABEL: Final = re.compile(
    rf"(?P<name>{'|'.join(NAMES)})\s*(?P<numbers>\d[\d\s,]*)?:(?P<value>.*)", re.IGNORECASE | re.ASCII
)
_VERSION: Final = re.compile(r"sealkeep\s+recovery\s+kit,\s+version\s+(\d+)", re.IGNORECASE | re.ASCII)
_DIGITS: Final = 10
_ONCE: Final = ("code", "relay", "account", "identity", "date", "check")


def read_lines(text: str) -> RecoveryKit:
    """Raises `KitError`, naming the line and the groups that are wrong."""
    if len(text) > LIMIT:
        raise KitError("this is not a recovery kit: it is much too long")
    version = _VERSION.search(text)
    if version and version[1] != "1":
        raise KitError(f"the kit is of version {version[1]}: a newer sealkeep reads it")
    found: dict[str, Line] = {}
    feeds: dict[int, tuple[DeviceId, Seq, ObjectId]] = {}
    for line in _lines(text):
        if line.name == "device":
            device, seq = line.numbers
            if device in feeds:
                line.fail(f"device {device} stands there twice")
            feeds[device] = (DeviceId(device), Seq(seq), ObjectId(line.data()))
        elif line.name in found:
            line.fail("there is such a line already; a kit has one")
        else:
            found[line.name] = line
    missing = [name for name in _ONCE if name not in found]
    if len(missing) == len(_ONCE):
        raise KitError("this is not a recovery kit: it has no line that begins with `Code:`")
    if missing:
        raise KitError(f"the kit has no line that begins with `{missing[0].capitalize()}`")
    account = AccountId(found["account"].data())
    roster = found.get("roster")
    return assemble(
        relay=found["relay"].text(),
        identity=found["identity"].data(),
        account=account,
        seed=found["code"].data(),
        roster=(roster.numbers[0], ObjectId(roster.data())) if roster else (0, ObjectId(account)),
        feeds=tuple(feeds.values()),
        date=found["date"].text(),
        check=found["check"].data(),
    )


def assemble(
    *,
    relay: str,
    identity: bytes,
    account: AccountId,
    seed: bytes,
    roster: tuple[int, ObjectId],
    feeds: tuple[tuple[DeviceId, Seq, ObjectId], ...],
    date: str,
    check: bytes,
) -> RecoveryKit:
    """The kit of lines that are right each by itself. Raises `KitError` where they are not those of one kit."""
    try:
        kit = RecoveryKit(relay, identity, account, seed, roster, feeds, date)
    except ValueError as error:
        raise KitError(f"the kit is damaged: {error}") from error
    # KEY-10: "A reader MUST refuse a kit whose check is not the one that it computes from what it read."
    if not equal(kit.check(), check):
        raise KitError(
            "the kit's lines are right each by itself, but do not fit its line `Check`: one that begins with `Roster` or"
            " `Device` is left out or of another kit, a number in its label is wrong, or two letters of a group are"
        )
    return kit


@dataclass(slots=True)
class Line:
    """A line of a kit, with what follows of it on the next ones."""

    place: int
    name: str
    numbers: tuple[int, ...]
    values: list[str] = field(default_factory=list)
    letters: int = 0  # in the values: counted once, so that no file, however long, takes long

    def add(self, value: str) -> None:
        self.values.append(value)
        self.letters += len(squeeze(value))

    def fail(self, why: str, groups: tuple[int, ...] = ()) -> NoReturn:
        raise KitError(f"line {self.place} of the kit (`{self.name.capitalize()}`): {why}", groups=groups)

    @property
    def wanted(self) -> int:
        """How many letters it still lacks; 0 where the line says all itself."""
        return max(0, groups_of(self.name) * GROUP_LENGTH - self.letters)

    def data(self) -> bytes:
        """What its groups hold."""
        count = groups_of(self.name)
        try:
            return decode_groups(line_of(self.name, self.numbers), " ".join(self.values), count)
        except KitError as error:
            if self.numbers and len(error.groups) == GROUPS:
                self.fail("it does not fit the numbers in its label: one of them is mistyped", error.groups)
            self.fail(str(error), error.groups)

    def text(self) -> str:
        """Its text, without the check."""
        value = read_text(self.name, " ".join(self.values))
        if value is None:
            self.fail("a character is mistyped")
        return value


def _lines(text: str) -> Iterator[Line]:
    """The labelled lines in order; a value that is broken across lines is one."""
    open_: Line | None = None
    for place, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = " ".join(raw.split())  # all kinds of spaces
        match = _LABEL.fullmatch(line)
        if match:
            if open_ is not None:
                yield open_
            open_ = Line(place, match["name"].lower(), ())
            open_.add(match["value"].strip())
            numbers = re.findall(r"\d+", match["numbers"] or "")
            wanted = NUMBERS.get(open_.name, 0)
            if len(numbers) != wanted:
                open_.fail(f"its label has {len(numbers)} numbers where {wanted} belong")
            if any(len(number) > _DIGITS for number in numbers):
                open_.fail("a number in its label is too long")
            open_.numbers = tuple(map(int, numbers))
        # A letter too many must not hide the line from the check that names the group.
        elif open_ is not None and open_.wanted and 0 < len(squeeze(line)) < open_.wanted + GROUP_LENGTH:
            open_.add(line)
    if open_ is not None:
        yield open_
