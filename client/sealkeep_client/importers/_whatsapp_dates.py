"""The first half of a WhatsApp line: date and time in a locale's pattern, and which number is the day (spec §7.4).

    [23.12.05, 00:21:00] Name: text          iOS, always with seconds
    8/23/06, 1:43 AM - Name: text            Android, to the minute

An export is written in one pattern, that of its first line: lines in another are text that somebody pasted. Day and month
are settled by numbers above 12, then by the order of the lines, then by what only one locale writes, then by the other
files of the import; a guess would make other ids than the next export's.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import date
from typing import NamedTuple

from ._model import DateOrder

# U+202F and its kin stand where a locale has a thin space; marks tell direction.
MARKS = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_SPACE = "[ \u00a0\u2009\u202f]"

# Words for the halves of the day, as locales shorten them; True is afternoon.
_HALVES = {
    "am": False, "a.m.": False, "a. m.": False, "pm": True, "p.m.": True, "p. m.": True,
    "上午": False, "凌晨": False, "清晨": False, "早上": False, "中午": True, "下午": True, "晚上": True,
    "午前": False, "午後": True, "오전": False, "오후": True,
    "ص": False, "م": True, "ق.ظ.": False, "ب.ظ.": True, "π.μ.": False, "μ.μ.": True, "πμ": False, "μμ": True,
    "öö": False, "ös": True, "sa": False, "ch": True, "ptg": True, "pg": False, "de.": False, "du.": True,
    "पूर्वाह्न": False, "अपराह्न": True, "vm.": False, "nm.": True, "fm": False, "em": True,
}  # fmt: skip
_HALF = "|".join(re.escape(word).replace("\\ ", _SPACE) for word in sorted(_HALVES, key=len, reverse=True))
_DATE = (
    rf"(?P<a>\d{{1,4}})(?P<sep>[./-]|\.{_SPACE}|年{_SPACE}?)(?P<b>\d{{1,2}})"
    rf"(?:(?P=sep)|月{_SPACE}?)(?P<c>\d{{1,4}})[.日]?"
)
# A word between date and time is `klo`, `um`, `às`, …
_BETWEEN = rf"(?P<between>[,،]?{_SPACE}(?:(?!(?:{_HALF})(?!\w))[^\W\d]{{1,5}}\.?{_SPACE})?)"
_TIME = (
    rf"(?:(?P<before>{_HALF}){_SPACE}?)?(?P<h>\d{{1,2}})[:.](?P<m>\d{{2}})(?:[:.](?P<s>\d{{2}}))?"
    rf"(?:(?P<gap>{_SPACE}?)(?P<after>{_HALF}))?"
)
_HEADER = re.compile(
    rf"[{MARKS}]*(?:\[{_DATE}{_BETWEEN}{_TIME}\] ?|"
    + re.sub(r"\(\?P(<|=)(\w+)", r"(?P\g<1>\g<2>_", f"{_DATE}{_BETWEEN}{_TIME}{_SPACE}-{_SPACE}")
    + ")",
    re.IGNORECASE,
)


class Header(NamedTuple):
    """What a line begins with: the three numbers of the date in their order, minutes and seconds of the day.

    `pattern` is equal for lines of one export. `end` is where the rest of the line begins.
    """

    numbers: tuple[int, int, int]
    widths: tuple[int, int, int]
    minute: int
    second: int | None
    pattern: tuple[bool, str, str, bool, bool, bool]
    half: str
    gap: str
    end: int


def read_header(line: str) -> Header | None:
    """Read what a line begins with; None where it continues the message before."""
    match = _HEADER.match(line)
    if match is None:
        return None
    is_ios = match["a"] is not None
    tail = "" if is_ios else "_"
    a, b, c, sep, between = (match[name + tail] or "" for name in ("a", "b", "c", "sep", "between"))
    before, after, seconds = match["before" + tail], match["after" + tail], match["s" + tail]
    hour, minute = int(match["h" + tail]), int(match["m" + tail])
    half = before or after or ""
    if half:
        if hour > 12:
            return None
        is_afternoon = _HALVES.get(re.sub(_SPACE, " ", half.lower()))
        # 凌晨12:30 is half past midnight, 中午12:30 half past noon
        hour = hour % 12 + (12 if is_afternoon else 0)
    second = int(seconds) if seconds else None
    if hour > 23 or minute > 59 or (second or 0) > 59:
        return None
    return Header(
        (int(a), int(b), int(c)),
        (len(a), len(b), len(c)),
        hour * 60 + minute,
        second,
        (is_ios, sep.strip(), between, bool(before), bool(after), second is not None),
        half,
        match["gap" + tail] or "",
        match.end(),
    )


def days(numbers: tuple[int, int, int], order: DateOrder) -> int | None:
    """Days since 1970 of a date in this order; None where there is no such day."""
    found = dict(zip(order, numbers, strict=True))
    year = found["y"]
    if year < 100:
        year += 2000
    elif year > 2400:
        year -= 543  # the Buddhist era, as Thai phones write it
    try:
        return timegm(date(year, found["m"], found["d"]).timetuple()) // 86_400
    except ValueError:
        return None


class DateEvidence:
    """Collects what the lines of one export say about the order of day, month and year."""

    def __init__(self, first: Header) -> None:
        sep = first.pattern[1]
        a, _, c = first.widths
        if a > 2 or sep == "年":
            orders: tuple[DateOrder, ...] = ("ymd",)
        elif sep == "/":
            orders = ("dmy", "mdy")
        elif sep == "-" and c == 2:
            orders = ("dmy", "ymd")  # no locale puts the month first with dashes or dots
        else:
            orders = ("dmy",)
        # order -> day of the last line
        self._last: dict[DateOrder, int] = dict.fromkeys(orders, -1_000_000)
        self._backward: set[DateOrder] = set()
        self._unsorted: set[DateOrder] = set()
        self._minute = 0
        self._seen: tuple[int, int, int] | None = None
        self._sample = first
        self._is_short = False

    def add(self, header: Header) -> None:
        """Take in one more line."""
        self._is_short |= header.widths[0] == 1 or header.widths[1] == 1
        minute, self._minute = self._minute, header.minute
        if header.numbers == self._seen:
            if header.minute < minute:
                self._unsorted.update(self._last)
            return
        self._seen = header.numbers
        for order in list(self._last):
            day = days(header.numbers, order)
            if day is None:
                if len(self._last) > 1:
                    del self._last[order]
                    self._backward.discard(order)
                continue
            if day < self._last[order]:
                self._unsorted.add(order)
            # A day back is a clock that was set, or a journey.
            if day < self._last[order] - 1:
                self._backward.add(order)
            self._last[order] = day

    @property
    def family(self) -> tuple[bool, str]:
        """Exports of one import that share this share their order: platform and separator."""
        return self._sample.pattern[0], self._sample.pattern[1]

    @property
    def possible_orders(self) -> tuple[DateOrder, ...]:
        """The orders in which all dates, but for odd ones, can be read."""
        return tuple(self._last)

    def is_sorted(self, order: DateOrder) -> bool:
        """Whether the minutes never go back, read in this order."""
        return order not in self._unsorted

    def order(self) -> DateOrder | None:
        """The order, where this export settles it alone."""
        if len(self._last) == 1:
            return next(iter(self._last))
        forward = [order for order in self._last if order not in self._backward]
        if len(forward) == 1:
            return forward[0]
        return self._locale()

    def _locale(self) -> DateOrder | None:
        """What only one locale writes.

        `8/3/06, 1:43 AM` with a thin space, no leading zeros, a year of two digits and capitals is American English of 2023
        and later: other locales with slashes and halves of the day write `am`, words of their own, or leading zeros.
        """
        sample = self._sample
        if sample.pattern[1] != "/" or "mdy" not in self._last:
            return None
        if sample.half in ("AM", "PM") and sample.gap == "\u202f" and self._is_short and sample.widths[2] == 2:
            return "mdy"
        return None
