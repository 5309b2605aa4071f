"""When a device of the account was last seen, as well as this one knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

SeenFrom: TypeAlias = Literal["read", "written", "messages"]
"""What a moment is of: this device `read` something new of it then; what it said was `written` then, by its own clock; or,
where nothing better is known, it brought `messages` of that time."""

_AHEAD: Final = 15 * 60 * 1000  # ms that another device's clock may be ahead of this one's (§7.7)
_IN_STEP: Final = 24 * 3600 * 1000  # ms since the last sync for which what is read now counts as seen now
_KINDS: Final[tuple[SeenFrom, ...]] = ("messages", "written", "read")


class Sighting(NamedTuple):
    """A moment in ms since 1970, UTC, and what it is of."""

    moment: int
    seen_from: SeenFrom


class Sightings:
    """What is kept of it, under a name for each device. `get` and `put` are of named values, `now` gives ms."""

    def __init__(self, get: Callable[[str], Any], put: Callable[[str, Any], None], now: Callable[[], int]) -> None:
        self._get = get
        self._put = put
        self._now = now
        self._since: int | None = None

    def begin(self) -> None:
        """Steps begin: find out whether this device is in step, so that what it reads was not there a while ago."""
        last, *_ = self._get("last-sync") or (None,)
        is_recent = last is not None and 0 <= self._now() - last <= _IN_STEP
        self._since = last if is_recent else None

    def of(self, device: int) -> Sighting | None:
        """The best that is known of a device."""
        value = self._get(_name(device))
        if value is None:
            return None
        if isinstance(value, int):  # from before it was kept of what the moment is
            return Sighting(value, "messages")
        moment, kind = value
        return Sighting(moment, _KINDS[kind])

    def note(self, device: int, *, written: Sequence[int], messages: Sequence[int], new: bool) -> None:
        """Note a segment of a device: when its author's clock says that its records were written, the times of the messages
        in it, and whether it is `new`: this device has not read it before, and it is no other device's copy."""
        now = self._now()
        # A clock that is years ahead says nothing of when it was.
        stamp = max((moment for moment in written if moment <= now + _AHEAD), default=None)
        if new and self._since is not None:
            # It came between the last sync and now; its author may say when, within that.
            moment = now if stamp is None else min(max(stamp, self._since), now)
            self._keep(device, Sighting(moment, "read"))
        elif stamp is not None:
            self._keep(device, Sighting(stamp, "written"))
        else:
            told = max((moment for moment in messages if moment <= now + _AHEAD), default=None)
            if told is not None:
                self._keep(device, Sighting(told, "messages"))

    def note_own(self, device: int) -> None:
        """This device has just had a receipt."""
        self._keep(device, Sighting(self._now(), "read"))

    def _keep(self, device: int, found: Sighting) -> None:
        known = self.of(device)
        if known is not None:
            guesses, guessed = found.seen_from == "messages", known.seen_from == "messages"
            if guesses and not guessed:
                return
            if guesses == guessed and found.moment <= known.moment:
                return
        self._put(_name(device), [found.moment, _KINDS.index(found.seen_from)])


def _name(device: int) -> str:
    return f"seen/{device}"
