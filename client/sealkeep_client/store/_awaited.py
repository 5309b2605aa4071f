"""Verified segments whose bodies have still to come (SEG-26): which, in what order, and what their summaries tell of
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from sealkeep_client.store._database import Database

TAG: Final = 8  # bytes of a conversation's id (spec §6.3)


class Awaited(NamedTuple):
    """A segment whose body is awaited. `stage` comes first, then the greater `last`, the time of its newest message; `size`
    is the body's in bytes, `records` and `tags` are the summary's. Without `all_tagged` it may be of other conversations
    too."""

    device: int
    seq: int
    stage: int
    last: int
    size: int
    records: int
    tags: Sequence[bytes]
    all_tagged: bool


class AwaitedCount(NamedTuple):
    """How many segments are awaited, of how many records and bytes in all, as far as their summaries tell."""

    segments: int
    records: int
    size: int


class AwaitedSegments:
    """The awaited ones of one database. Its writes belong to a transaction; each opens one where there is none."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Awaited) -> None:
        with self._database.transaction():
            self._database.write(
                "INSERT INTO awaited VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*one[:6], b"".join(one.tags), int(one.all_tagged)),
            )

    def drop(self, device: int, seq: int) -> None:
        with self._database.transaction():
            self._database.write("DELETE FROM awaited WHERE device = ? AND seq = ?", (device, seq))

    def next(self, limit: int) -> list[tuple[int, int]]:
        """(device, seq) of those that are to come next, at most `limit`, all of one stage."""
        found = self._database.rows(
            "SELECT device, seq, stage FROM awaited ORDER BY stage, last DESC, device, seq LIMIT ?", (limit,)
        )
        return [(device, seq) for device, seq, _ in takewhile(lambda row: row[2] == found[0][2], found)]

    def holds(self, device: int, seq: int) -> bool:
        return self._database.value("SELECT 1 FROM awaited WHERE device = ? AND seq = ?", (device, seq)) is not None

    def count(self) -> AwaitedCount:
        row = self._database.row("SELECT count(*), ifnull(sum(records), 0), ifnull(sum(size), 0) FROM awaited")
        return AwaitedCount(*(row or (0, 0, 0)))

    def by_conversation(self) -> AwaitedByConversation:
        """How many segments may hold records of each conversation."""
        tagged: Counter[bytes] = Counter()
        others = 0
        for tags, all_tagged in self._database.rows("SELECT tags, all_tagged FROM awaited"):
            tagged.update(tags[start : start + TAG] for start in range(0, len(tags), TAG))
            others += not all_tagged
        return AwaitedByConversation(tagged, others)


class AwaitedByConversation:
    """How many awaited segments may hold records of a conversation."""

    __slots__ = ("_others", "_tagged")

    def __init__(self, tagged: Counter[bytes], others: int) -> None:
        self._tagged = tagged
        self._others = others

    def of(self, conversation: bytes) -> int:
        """Of the conversation with this id (16 bytes)."""
        return self._tagged[conversation[:TAG]] + self._others
