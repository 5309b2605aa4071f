"""Times as exports write them: RFC 3339, as far as the source knows the time (design: seconds, zone), and civil parts.

Milliseconds since 1970 come in as spec §7.3, fields 4 to 6, have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from sealkeep_protocol.records import Message, Precision

_DAY: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1).toordinal()
_CLOCK: Final = tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440))
_TWO: Final = tuple(f"{second:02}" for second in range(60))
_CACHED: Final = 4096
_days: dict[int, str] = {}


def civil(message: Message) -> int:
    """Milliseconds since 1970 on the clock that the source showed, as if that were UTC."""
    return message.time + (message.offset or 0) * 60_000


def day_of(ms: int) -> int:
    """Days since 1970."""
    return ms // _DAY


def iso_day(day: int) -> str:
    """`2006-05-29` of days since 1970."""
    found = _days.get(day)
    if found is None:
        if len(_days) >= _CACHED:
            _days.clear()
        found = _days[day] = date.fromordinal(_EPOCH + day).isoformat()
    return found


def long_day(day: int) -> str:
    """`Monday, 29 May 2006` of days since 1970, whatever the locale."""
    when = date.fromordinal(_EPOCH + day)
    return f"{_WEEKDAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year}"


def clock(ms: int) -> str:
    """`01:19` of civil milliseconds."""
    return _CLOCK[ms % _DAY // 60_000]


def rfc3339(message: Message) -> str:
    """A message's time: seconds and their fraction only where its precision has them, a zone only where it is known."""
    ms = civil(message)
    day, rest = divmod(ms, _DAY)
    text = iso_day(day)
    if message.precision == Precision.DAYS:
        return text
    minute, rest = divmod(rest, 60_000)
    text = f"{text}T{_CLOCK[minute]}"
    if message.precision != Precision.MINUTES:
        text = f"{text}:{_TWO[rest // 1000]}"
        if message.precision == Precision.MILLISECONDS:
            text = f"{text}.{rest % 1000:03}"
    if message.offset is None:
        return text
    return text + (zone(message.offset) if message.offset else "Z")


def zone(offset: int) -> str:
    """`+08:00` of minutes east of UTC."""
    return f"{'-' if offset < 0 else '+'}{_CLOCK[abs(offset)]}"


def beyond(message: Message) -> int | None:
    """The message's whole time in ms, where it says more than its precision shows."""
    unit = _UNITS.get(message.precision, 1)
    return message.time if civil(message) % unit else None


def utc(ms: int) -> str:
    """RFC 3339 of milliseconds UTC, with a fraction only where there is one."""
    day, rest = divmod(ms, _DAY)
    minute, rest = divmod(rest, 60_000)
    fraction = f".{rest % 1000:03}" if rest % 1000 else ""
    return f"{iso_day(day)}T{_CLOCK[minute]}:{_TWO[rest // 1000]}{fraction}Z"


_UNITS: Final[Mapping[int, int]] = {Precision.SECONDS: 1_000, Precision.MINUTES: 60_000, Precision.DAYS: _DAY}
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
