"""What this device has verified of its account: roster, epochs, feeds, and named values of whoever drives the sync."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cbor2

from sealkeep_client.store._database import Database


class Head(NamedTuple):
    """A feed's head as somebody knows it; seq 0 and no id where there is none yet."""

    device: int
    seq: int
    header_id: bytes


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The newest verified header of a feed: its place, and what it said of the roster, the epoch and the other feeds.

    `heads` are all heads of other feeds that its author knew there, ascending by device (what the next `view` builds
    on).
    """

    device: int
    seq: int
    header_id: bytes
    roster: int
    epoch: int
    heads: tuple[Head, ...] = ()


class SyncState:
    """The sync state of one database. Its writes belong to a transaction; each opens one where there is none."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- named values -------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """A named value. Names that begin with `store.` belong to the store."""
        found: bytes | None = self._database.value("SELECT value FROM meta WHERE key = ?", (key,))
        return found

    def put(self, key: str, value: bytes | None) -> None:
        """Set a named value; None removes it."""
        with self._database.transaction():
            if value is None:
                self._database.write("DELETE FROM meta WHERE key = ?", (key,))
            else:
                self._database.write(
                    "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (key, value),
                )

    # --- roster and epochs --------------------------------------------------------------------------------------------

    def roster(self) -> list[bytes]:
        """The verified entries, by number from 0."""
        return [entry for (entry,) in self._database.rows("SELECT entry FROM roster ORDER BY number")]

    def add_roster(self, first: int, entries: Sequence[bytes]) -> None:
        """Append verified entries, the first of them number `first`. Entries that are here never change."""
        with self._database.transaction():
            self._database.write_many("INSERT INTO roster VALUES (?, ?)", list(enumerate(entries, first)))

    def recovery_wraps(self) -> dict[int, bytes]:
        """The recovery key's wraps of entries that this device composed, by the entries' numbers."""
        return dict(self._database.rows("SELECT number, wrap FROM recovery_wraps ORDER BY number"))

    def put_recovery_wrap(self, number: int, wrap: bytes) -> None:
        """Keep the recovery key's wrap of an entry that this device composed."""
        with self._database.transaction():
            self._database.write("INSERT OR REPLACE INTO recovery_wraps VALUES (?, ?)", (number, wrap))

    def epochs(self) -> dict[int, bytes]:
        """The epoch secrets that this device holds, 32 bytes each, by number."""
        return dict(self._database.rows("SELECT number, secret FROM epochs ORDER BY number"))

    def put_epochs(self, secrets: dict[int, bytes]) -> None:
        """Keep epoch secrets that were checked against their commitments."""
        with self._database.transaction():
            self._database.write_many("INSERT OR REPLACE INTO epochs VALUES (?, ?)", list(secrets.items()))

    # --- segments of epochs that are not held ------------------------------------------------------------------------

    def add_unopened(self, device: int, seq: int, epoch: int) -> None:
        """Keep the place of a verified segment whose content could not be opened, because its epoch is not held."""
        with self._database.transaction():
            self._database.write("INSERT INTO unopened VALUES (?, ?, ?)", (device, seq, epoch))

    def unopened(self, limit: int) -> list[tuple[int, int]]:
        """(device, seq) of such segments whose epoch is held by now, and the first epoch with it, ascending."""
        return [
            (device, seq)
            for device, seq in self._database.rows(
                "SELECT device, seq FROM unopened WHERE epoch IN (SELECT number FROM epochs)"
                " AND EXISTS (SELECT 1 FROM epochs WHERE number = 1) ORDER BY device, seq LIMIT ?",
                (limit,),
            )
        ]

    def count_unopened(self) -> int:
        """How many such segments there are, whatever is held."""
        found: int = self._database.value("SELECT count(*) FROM unopened")
        return found

    def unopened_by_epoch(self) -> dict[int, int]:
        """How many there are of each epoch that is not held, ascending."""
        return dict(
            self._database.rows(
                "SELECT epoch, count(*) FROM unopened WHERE epoch NOT IN (SELECT number FROM epochs)"
                " GROUP BY epoch ORDER BY epoch"
            )
        )

    def drop_unopened(self, device: int, seq: int) -> None:
        with self._database.transaction():
            self._database.write("DELETE FROM unopened WHERE device = ? AND seq = ?", (device, seq))

    # --- feeds --------------------------------------------------------------------------------------------------------

    def feeds(self) -> dict[int, FeedHead]:
        """The head of every feed, by device, ascending."""
        return {
            device: FeedHead(device, seq, header, roster, epoch, tuple(Head(*head) for head in cbor2.loads(heads)))
            for device, seq, header, roster, epoch, heads in self._database.rows(
                "SELECT device, seq, header_id, roster, epoch, heads FROM feeds ORDER BY device"
            )
        }

    def put_feed(self, head: FeedHead) -> None:
        """Set the head of a feed."""
        heads = cbor2.dumps([list(known) for known in head.heads])
        with self._database.transaction():
            self._database.write(
                "INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?, ?, ?)",
                (head.device, head.seq, head.header_id, head.roster, head.epoch, heads),
            )

    def add_headers(self, device: int, first: int, header_ids: Iterable[bytes]) -> None:
        """Keep the ids (32 bytes) of a feed's verified headers, the first of them at the sequence number `first`."""
        with self._database.transaction():
            self._database.write_many(
                "INSERT INTO headers VALUES (?, ?, ?)",
                ((device, seq, header) for seq, header in enumerate(header_ids, first)),
            )

    def header_id(self, device: int, seq: int) -> bytes | None:
        """The id of a verified header."""
        found: bytes | None = self._database.value("SELECT id FROM headers WHERE device = ? AND seq = ?", (device, seq))
        return found

    def header_ids(self, device: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """(seq, id) of verified headers from `first` to `last`, ascending."""
        while first <= last:
            found = self._database.rows(
                "SELECT seq, id FROM headers WHERE device = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT 1024",
                (device, first, last),
            )
            yield from ((seq, header) for seq, header in found)
            if len(found) < 1024:
                return
            first = found[-1][0] + 1
