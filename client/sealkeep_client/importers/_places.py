"""Places of messages in sources that do not number them (spec §7.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable


class Places:
    """Counts, in the order of a file, the messages of one time and the equal ones among them.

    Equal messages have equal times. Where times only grow, as exports are written, the counts of past times are let go:
    then memory does not grow with the file. An unsorted file keeps all.
    """

    def __init__(self, is_sorted: bool) -> None:
        self._is_sorted = is_sorted
        self._time: int | None = None
        self._equal: Counter[Hashable] = Counter()
        self._ranks: Counter[int] = Counter()

    def take(self, time: int, same: Hashable) -> tuple[int, int]:
        """The place of the next message among those of its time, and how many equal ones were before it: both from 0."""
        if self._is_sorted and time != self._time:
            self._time = time
            self._equal.clear()
            self._ranks.clear()
        rank, equal = self._ranks[time], self._equal[same]
        self._ranks[time] = rank + 1
        self._equal[same] = equal + 1
        return rank, equal
