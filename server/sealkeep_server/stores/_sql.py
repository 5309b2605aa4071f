"""The statements of the embedded store: what a write does inside its transaction, and what a reader asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from sealkeep_protocol.types import NO_ID, AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.stores import _chunks
from sealkeep_server.stores._bodies import BodyFiles
from sealkeep_server.stores._chunk_interface import STAMP_BYTES
from sealkeep_server.stores._interface import (
    ConflictError,
    CopiedEntry,
    DamagedError,
    Entry,
    FeedHead,
    FullError,
    Heads,
    NewSegment,
    Parts,
    Pin,
    Place,
    Placed,
    RefusedError,
    RosterHead,
    Run,
    StagedBody,
    StoredSegment,
    Wrap,
)
from sealkeep_server.stores._writer import Transaction

# --- writes -----------------------------------------------------------------------------------------------------------


def create_account(
    tx: Transaction, account: AccountId, entry_id: ObjectId, entry: Entry, wraps: Sequence[Wrap]
) -> None:
    made = tx.connection.execute(
        "INSERT INTO account VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING", (account, entry.number, entry_id)
    )
    if made.rowcount != 1:
        raise ConflictError("account")
    _insert_entry(tx, account, entry, wraps)


def append_entry(
    tx: Transaction,
    account: AccountId,
    entry_id: ObjectId,
    entry: Entry,
    wraps: Sequence[Wrap],
    pins: Sequence[Pin],
) -> None:
    # ROS-13: "The relay MUST accept an entry only if its number is the next one at the moment of its commit; the loser
    # gets `roster-conflict`, …"
    moved = tx.connection.execute(
        "UPDATE account SET roster = ?, roster_id = ? WHERE account = ? AND roster = ?",
        (entry.number, entry_id, account, entry.number - 1),
    )
    if moved.rowcount != 1:
        raise ConflictError("roster")
    for pin in pins:
        _pin(tx, account, pin, entry.accepted)
    _insert_entry(tx, account, entry, wraps)


def copy_entries(
    tx: Transaction, account: AccountId, expected: int | None, entries: Sequence[CopiedEntry], may_lack: bool
) -> None:
    # VIE-09: "A relay MUST take copied entries in one transaction or not at all, …"
    first, *others = entries
    for place, copied in enumerate(entries):
        if place == 0 and expected is None:
            create_account(tx, account, first.entry_id, first.entry, first.wraps)
            continue
        # VIE-09: "… and keeps ROS-12; where they make the account, or the relay's store was restored, a pin in the entries
        # before it may lie beyond the feed's head, …"
        strict = place == len(others) or not may_lack
        append_entry(tx, account, copied.entry_id, copied.entry, copied.wraps, copied.pins if strict else [])
        if not strict:
            for pin in copied.pins:
                _pin_copied(tx, account, pin, copied.entry.accepted)


def _pin_copied(tx: Transaction, account: AccountId, pin: Pin, now: int) -> None:
    # VIE-09: "… and the relay erases what the feed has beyond such a pin, and another header at its seq."
    head = feed_head(tx.connection, account, pin.device)
    if head.seq >= pin.seq:
        same = _header_id(tx, account, pin.device, pin.seq) == pin.header_id
        _cut(tx, account, pin.device, pin.seq if same else pin.seq - 1, now)


def _insert_entry(tx: Transaction, account: AccountId, entry: Entry, wraps: Sequence[Wrap]) -> None:
    tx.connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", (account, entry.number, entry.accepted, entry.entry))
    if wraps:
        # §5.6: each active device's newest wrap is kept (a rotation has one for every active device), and all wraps for
        # recovery keys.
        tx.connection.execute("DELETE FROM wrap WHERE account = ? AND recipient > 0", (account,))
        tx.connection.executemany(
            "INSERT INTO wrap VALUES (?, ?, ?, ?)", [(account, w.recipient, w.number, w.wrap) for w in wraps]
        )


def _pin(tx: Transaction, account: AccountId, pin: Pin, now: int) -> None:
    head = feed_head(tx.connection, account, pin.device)
    if (head.seq, head.header_id) == (pin.seq, pin.header_id):
        return
    if not pin.cut or pin.seq > head.seq:
        raise ConflictError("feed")
    if _header_id(tx, account, pin.device, pin.seq) != pin.header_id:
        raise ConflictError("feed")
    _cut(tx, account, pin.device, pin.seq, now)


def _header_id(tx: Transaction, account: AccountId, device: DeviceId, seq: int) -> ObjectId:
    row = tx.connection.execute(
        "SELECT header_id FROM segment WHERE account = ? AND device = ? AND seq = ?", (account, device, seq)
    ).fetchone()
    return ObjectId(row[0]) if row else NO_ID


def _cut(tx: Transaction, account: AccountId, device: DeviceId, end: int, now: int) -> None:
    """Erase what a feed has beyond a seq."""
    rows = tx.connection.execute(
        "DELETE FROM segment WHERE account = ? AND device = ? AND seq > ?"
        " RETURNING object, size + length(header) + length(summary)",
        (account, device, end),
    ).fetchall()
    stamps = _chunks.cut(tx, account, device, Seq(end), now)
    erased = sum(r[1] for r in rows) + stamps * STAMP_BYTES
    tx.connection.execute("UPDATE account SET used = used - ? WHERE account = ?", (erased, account))
    for number, _ in rows:
        if number is not None:
            tx.erase(number)
    if end:
        tx.connection.execute(
            "UPDATE feed SET (seq, header_id, roster) = (SELECT seq, header_id, roster FROM segment"
            " WHERE account = ?1 AND device = ?2 AND seq = ?3) WHERE account = ?1 AND device = ?2",
            (account, device, end),
        )
    else:
        tx.connection.execute("DELETE FROM feed WHERE account = ? AND device = ?", (account, device))


def refuse(tx: Transaction, account: AccountId, device: DeviceId, seq: Seq, roster: int) -> Place | None:
    found = _place(tx.connection, account, device, seq)
    if found is not None and found.stored is None and roster < found.roster.number:
        # VIE-08: "A relay MUST remember, for each feed, the greatest roster number that it has named in a refusal within
        # its incarnation, durably before it signs the refusal, …"
        tx.connection.execute(
            "INSERT INTO refused VALUES (?, ?, ?) ON CONFLICT (account, device) DO UPDATE SET roster = excluded.roster",
            (account, device, found.roster.number),
        )
    return found


def append(
    tx: Transaction,
    account: AccountId,
    roster: int,
    after: FeedHead,
    segments: Sequence[NewSegment],
    copied: bool,
    allowed: int | None,
) -> int:
    # VIE-08: "… and MUST NOT take through the copy route a header of that feed whose roster head is below it."
    if copied and segments[0].roster < _refused(tx, account, after.device):  # they do not go back along a feed
        raise RefusedError
    # SEG-14: "A relay MUST refuse a header of another epoch than the current one, in the transaction of the append
    # itself, and MUST sign a refusal only for a header that is not stored and whose roster head is below the roster's
    # head at that moment."  The epoch was judged against roster entry `roster`: it must still be the head.
    # REL-09: "A relay MUST give the segments of an account strictly ascending positions in the order of their commits,
    # so that a reader who has read up to a position has missed nothing before it."
    count = len(segments)
    row = tx.connection.execute(
        "UPDATE account SET position = position + ?, used = used + ? WHERE account = ? AND roster = ?"
        " RETURNING position, used",
        (count, sum(segment.size for segment in segments), account, roster),
    ).fetchone()
    if row is None:
        raise ConflictError("roster")
    first = int(row[0]) - count + 1
    _move_head(tx, account, after, segments[-1])
    _chunks.stamp(tx, account, after.device, segments)
    if allowed is not None and row[1] > allowed:
        raise FullError("account", _fitting(segments, allowed - (row[1] - sum(segment.size for segment in segments))))
    tx.connection.executemany(
        "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_row(tx, account, after.device, first + index, segment) for index, segment in enumerate(segments)),
    )
    return first


def _fitting(segments: Sequence[NewSegment], room: int) -> int:
    """How many of these find room."""
    totals = accumulate(segment.size for segment in segments)
    return sum(1 for total in totals if total <= room)


def _refused(tx: Transaction, account: AccountId, device: DeviceId) -> int:
    row = tx.connection.execute(
        "SELECT roster FROM refused WHERE account = ? AND device = ?", (account, device)
    ).fetchone()
    return row[0] if row else 0


def _move_head(tx: Transaction, account: AccountId, after: FeedHead, last: NewSegment) -> None:
    if after.seq == 0:
        moved = tx.connection.execute(
            "INSERT INTO feed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (account, after.device, last.seq, last.header_id, last.roster),
        )
    else:
        moved = tx.connection.execute(
            "UPDATE feed SET seq = ?, header_id = ?, roster = ?"
            " WHERE account = ? AND device = ? AND seq = ? AND header_id = ?",
            (last.seq, last.header_id, last.roster, account, after.device, after.seq, after.header_id),
        )
    if moved.rowcount != 1:
        raise ConflictError("feed")


def _row(
    tx: Transaction, account: AccountId, device: DeviceId, position: int, segment: NewSegment
) -> tuple[object, ...]:
    body = segment.body
    if isinstance(body, StagedBody):
        size, number, inline = body.size, tx.adopt(body), None
    else:
        size, number, inline = len(body), None, body
    return (
        account, position, device, segment.seq, segment.header_id, segment.roster, size, number,
        segment.header, segment.summary, inline,
    )  # fmt: skip


# --- reads ------------------------------------------------------------------------------------------------------------


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Several statements that see one state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def roster_head(connection: sqlite3.Connection, account: AccountId) -> RosterHead | None:
    row = connection.execute("SELECT roster, roster_id FROM account WHERE account = ?", (account,)).fetchone()
    return RosterHead(row[0], ObjectId(row[1])) if row else None


def entries(connection: sqlite3.Connection, account: AccountId, first: int, limit: int) -> list[Entry]:
    rows = connection.execute(
        "SELECT number, entry, accepted FROM entry WHERE account = ? AND number >= ? ORDER BY number LIMIT ?",
        (account, first, limit),
    )
    return [Entry(*row) for row in rows]


def wraps(connection: sqlite3.Connection, account: AccountId, recipient: int) -> list[Wrap]:
    rows = connection.execute(
        "SELECT number, recipient, wrap FROM wrap WHERE account = ? AND recipient = ? ORDER BY number",
        (account, recipient),
    )
    return [Wrap(*row) for row in rows]


def feed_head(connection: sqlite3.Connection, account: AccountId, device: DeviceId) -> FeedHead:
    row = connection.execute(
        "SELECT seq, header_id, roster FROM feed WHERE account = ? AND device = ?", (account, device)
    ).fetchone()
    return FeedHead(device, Seq(row[0]), ObjectId(row[1]), row[2]) if row else FeedHead(device, Seq(0), NO_ID, 0)


def place(connection: sqlite3.Connection, account: AccountId, device: DeviceId, seq: Seq) -> Place | None:
    with _snapshot(connection):
        return _place(connection, account, device, seq)


def _place(connection: sqlite3.Connection, account: AccountId, device: DeviceId, seq: Seq) -> Place | None:
    roster = roster_head(connection, account)
    if roster is None:
        return None
    head = feed_head(connection, account, device)
    row = None
    if seq <= head.seq:
        row = connection.execute(
            "SELECT header_id, position FROM segment WHERE account = ? AND device = ? AND seq = ?",
            (account, device, seq),
        ).fetchone()
    return Place(roster, head, Placed(ObjectId(row[0]), row[1]) if row else None)


def heads(connection: sqlite3.Connection, account: AccountId) -> Heads | None:
    with _snapshot(connection):
        row = connection.execute("SELECT position, used FROM account WHERE account = ?", (account,)).fetchone()
        feeds = connection.execute(
            "SELECT device, seq, header_id, roster FROM feed WHERE account = ? ORDER BY device", (account,)
        ).fetchall()
    if row is None:
        return None
    return Heads(row[0], [FeedHead(DeviceId(d), Seq(s), ObjectId(i), r) for d, s, i, r in feeds], row[1])


_COLUMNS = {
    Parts.HEADERS: "position, device, seq, header, NULL, NULL, NULL, NULL",
    Parts.SUMMARIES: "position, device, seq, header, summary, NULL, NULL, NULL",
    Parts.BODIES: "position, device, seq, header, summary, size, object, body",
}
_SHORT = (
    "position, device, seq, header, summary, iif(size <= ?, size, NULL), iif(size <= ?, object, NULL),"
    " iif(size <= ?, body, NULL)"
)
"""Bodies of at most so many bytes, of others the summaries."""


def changes(
    connection: sqlite3.Connection,
    bodies: BodyFiles,
    account: AccountId,
    after: int,
    parts: Parts,
    limit: int,
    size: int,
    short: int = 0,
) -> Run:
    # The columns are our own words; whatever a peer sends is a parameter.
    chosen, given = (_SHORT, (short,) * 3) if parts is Parts.SUMMARIES and short else (_COLUMNS[parts], ())
    rows = connection.execute(
        f"SELECT {chosen} FROM segment WHERE account = ? AND position > ? ORDER BY position LIMIT ?",  # noqa: S608
        (*given, account, after, limit + 1),
    )
    return _run(rows, bodies, limit, size)


def feed(
    connection: sqlite3.Connection,
    bodies: BodyFiles,
    account: AccountId,
    device: DeviceId,
    first: int,
    parts: Parts,
    limit: int,
    size: int,
) -> Run:
    rows = connection.execute(
        f"SELECT {_COLUMNS[parts]} FROM segment"  # noqa: S608
        " WHERE account = ? AND device = ? AND seq >= ? ORDER BY seq LIMIT ?",
        (account, device, first, limit + 1),
    )
    return _run(rows, bodies, limit, size)


def _run(rows: sqlite3.Cursor, bodies: BodyFiles, limit: int, size: int) -> Run:
    found: list[StoredSegment] = []
    total = 0
    try:
        for position, device, seq, header, summary, body_size, number, inline in rows:
            if len(found) == limit or total >= size:
                return Run(found, more=True)
            body, fault = inline, None
            if number is not None:
                try:
                    body = bodies.read(number, body_size)
                except DamagedError as error:
                    fault = error
            found.append(StoredSegment(position, DeviceId(device), Seq(seq), header, summary, body, fault))
            total += len(header) + len(summary or b"") + len(body or b"")
        return Run(found, more=False)
    finally:
        rows.close()


def named_objects(connection: sqlite3.Connection, low: int, high: int) -> set[int]:
    rows = connection.execute("SELECT object FROM segment WHERE object >= ? AND object < ?", (low, high))
    return {row[0] for row in rows} | _chunks.named_objects(connection, low, high)
