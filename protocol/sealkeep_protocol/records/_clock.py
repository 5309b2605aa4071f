"""The hybrid logical clock (spec §7.7): `milliseconds << 16 | counter`, pure: the device's time is an argument."""

from __future__ import annotations

from typing import Final

COUNTER_BITS: Final = 16
MAX_AHEAD: Final = 15 * 60 * 1000
"""Milliseconds that a stamp may be ahead of the device's time and still advance its clock (REC-08)."""


def clock_time(stamp: int) -> int:
    """Milliseconds since 1970 of a stamp."""
    return stamp >> COUNTER_BITS


class HybridClock:
    """One device's clock. `last` is the greatest stamp that it made or followed: keep it across restarts.

    All times are milliseconds UTC.
    """

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def __repr__(self) -> str:
        return f"HybridClock({self.last})"

    def stamp(self, now: int, *, target: int | None = None) -> int:
        """A stamp for a new record: later than every earlier one, than `now`, and than the record's target."""
        self.last = max(self.last + 1, now << COUNTER_BITS)
        if target is None or target < self.last:
            return self.last
        # REC-08: "A record with a target MUST be stamped later than its target."
        later = target + 1
        self.observe(later, now)
        return later

    def observe(self, stamp: int, now: int) -> None:
        """Follow the stamp of a record that another device made."""
        # REC-08: "A clock stamp more than 15 minutes ahead of the device's own time MUST NOT advance its clock."
        if clock_time(stamp) - now <= MAX_AHEAD:
            self.last = max(self.last, stamp)
