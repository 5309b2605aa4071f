"""Messages: inserting many at once, and joining those that are here already (spec §7.7).

New messages go in as prepared rows, thousands in a statement; only ids that exist already take the way through states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import compress
from typing import Any, Final

from sealkeep_client.store._batches import Found
from sealkeep_client.store._changes import MOST, Tracker
from sealkeep_client.store._database import Database, Row
from sealkeep_client.store._entities import Entities, Put
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._rows import MessageRows, message_columns, message_of
from sealkeep_client.store._states import (
    MARKED,
    TOMBSTONE,
    States,
    StoredMessage,
    chunks,
    state_flags,
    write_content,
)
from sealkeep_client.store._waiting import RecordKind, UploadClass
from sealkeep_client.store._words import indexed
from sealkeep_protocol.records import (
    Attachment,
    Content,
    ConversationKey,
    Covering,
    Mark,
    MarkType,
    Message,
    MessageState,
    encoded_size,
    join,
    mark_identity,
    view,
)

_INSERT: Final = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING"
_INDEX: Final = "INSERT INTO words (rowid, text) VALUES (?, ?)"
_UNINDEX: Final = "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)"
_JOINED_AT_ONCE: Final = 512
_SURELY_FITS: Final = 32_768
_ROW_WEIGHT: Final = 8  # bytes of a row beside text and rest, in a body
COVERED: Final = frozenset({MarkType.REVISION, MarkType.SUPPLEMENT, MarkType.REACTION})
"""Types of marks that go with a message that a tombstone covers (spec §7.6)."""


class Messages:
    """The messages of one database. Writes belong to a transaction."""

    __slots__ = ("_changes", "_database", "_entities", "_next", "_outbox", "states")

    def __init__(self, database: Database, entities: Entities, outbox: Outbox, changes: Tracker) -> None:
        self._database = database
        self._entities = entities
        self._outbox = outbox
        self._changes = changes
        self._next = 0
        self.states = States(database, entities.key)

    def forget(self) -> None:
        """Drop what is remembered: the transaction that made it was rolled back."""
        self._next = 0

    # --- new messages -------------------------------------------------------------------------------------------------

    def insert(
        self, rows: MessageRows, upload: UploadClass | None, run: int, volatile: frozenset[str] = frozenset()
    ) -> tuple[Put, list[Mark]]:
        """Insert or join messages; what is new to this device is queued in class `upload`, if any.

        Of the extension's `volatile` keys the first copy's values stay.

        Returns what became of them, and the marks that say what copies of known messages add (a differing text is a
        revision, an added attachment a supplement): the caller puts them, in the same class.
        """
        count = len(rows)
        if not count:
            return Put(), []
        first = self._next or 1 + (self._database.value("SELECT max(n) FROM messages") or 0)
        numbers = self._entities.numbers(rows.keys, rows.conversation_ids)
        added = self._database.write_many(
            _INSERT,
            zip(
                range(first, first + count),
                rows.ids,
                map(numbers.__getitem__, rows.conversation),
                rows.times,
                rows.ranks,
                rows.kinds,
                rows.authors,
                rows.texts,
                rows.rests,
                strict=True,
            ),
        )
        if added == count:
            existing: dict[int, int] = {}
            fresh = [True] * count
        else:
            # Where an id was here before, in the database or in this batch, nothing was inserted and its number stays
            # free.
            taken = {n for (n,) in self._database.rows("SELECT n FROM messages WHERE n >= ?", (first,))}
            fresh = [n in taken for n in range(first, first + count)]
            known = {rows.ids[i] for i, is_new in enumerate(fresh) if not is_new}
            by_id = {
                record_id: n
                for n, record_id in self._database.among(
                    "SELECT n, id FROM messages WHERE id IN carray(?)", list(known)
                )
            }
            existing = {i: by_id[rows.ids[i]] for i, is_new in enumerate(fresh) if not is_new}
        if added:
            last = max(compress(range(first, first + count), fresh))
            self._next = last + 1
            words = zip(range(first, first + count), rows.words, fresh, strict=True)
            self._database.write_many(_INDEX, [(n, text) for n, text, is_new in words if is_new and text])
            new, conversations = list(compress(rows.ids, fresh)), list(compress(rows.conversation, fresh))
            self._count(rows, numbers, conversations, new)
            if upload is not None:
                self._outbox.add(RecordKind.MESSAGE, upload, run, first, last)
                self._changes.now.outbox = True
                if upload == UploadClass.HISTORY:
                    self._outbox.touch(run, {numbers[index] for index in set(conversations)})
            self._meet_marks(new)
        changed, marks = self._join(rows, numbers, existing, upload, run, volatile) if existing else (0, [])
        return Put(added, changed, count - added - changed), marks

    def _count(self, rows: MessageRows, numbers: list[int], conversations: Sequence[int], new: Sequence[bytes]) -> None:
        changes = self._changes.now
        for index, more in Counter(conversations).items():
            self._entities.count_messages(numbers[index], more)
            if len(new) > MOST:
                changes.touch_all(rows.conversation_ids[index])
        if len(new) <= MOST:
            for index, record_id in zip(conversations, new, strict=True):
                changes.touch(rows.conversation_ids[index], (record_id,))

    def _meet_marks(self, ids: Sequence[bytes]) -> None:
        """Apply marks that came before their messages."""
        if self._database.value("SELECT 1 FROM marks WHERE waiting LIMIT 1") is None:
            return
        met = [
            target
            for (target,) in self._database.among(
                "SELECT DISTINCT target FROM marks WHERE waiting AND target IN carray(?)", ids
            )
        ]
        for target in met:
            row = self.states.by_id(target)
            if row is None:
                continue
            (before,) = self.states.states([row])
            (after,) = self.states.states([row._replace(flags=MARKED)])
            self._database.write("UPDATE marks SET waiting = 0 WHERE target = ?", (target,))
            self.save(row, before, after)

    # --- messages that are here ---------------------------------------------------------------------------------------

    def _join(
        self,
        rows: MessageRows,
        numbers: list[int],
        existing: dict[int, int],
        upload: UploadClass | None,
        run: int,
        volatile: frozenset[str],
    ) -> tuple[int, list[Mark]]:
        changed = 0
        marks: list[Mark] = []
        for chunk in chunks(existing.items(), _JOINED_AT_ONCE):
            stored = self.states.by_numbers([n for _, n in chunk])
            for i, n in chunk:
                columns = (rows.times[i], rows.ranks[i], rows.kinds[i], rows.authors[i], rows.texts[i], rows.rests[i])
                if stored[n][2:9] == (numbers[rows.conversation[i]], *columns):
                    continue
                copy = message_of(rows.keys[rows.conversation[i]], *columns)
                # Read again: an id may stand in a batch more than once.
                row = self.states.by_numbers([n])[n]
                (before,) = self.states.states([row])
                if upload is None:
                    touched, more = self._receive(row, before, copy)
                else:
                    touched, more = self._amend(row, before, _settled(copy, before.message, volatile), upload, run)
                changed += touched or bool(more)
                marks += more
        return changed, marks

    def _receive(self, row: StoredMessage, before: MessageState, copy: Message) -> tuple[bool, list[Mark]]:
        """Join a copy that another device uploaded."""
        after, marks = self._told(row, before, join(before, copy))
        changed = self.save(row, before, after)
        return changed, marks if changed else []

    def _amend(
        self, row: StoredMessage, before: MessageState, copy: Message, upload: UploadClass, run: int
    ) -> tuple[bool, list[Mark]]:
        """Join a copy that this device has from a source, and find what of it the others do not have."""
        known = before.message
        if known is None:
            raise ValueError("a row is a message")
        marks: list[Mark] = []
        # What has a mark of its own travels as one; the rest is another copy of the message.
        rest = replace(copy, text=known.text, ranges=known.ranges, edited=known.edited, attachments=known.attachments)
        if not row.flags & TOMBSTONE:
            text = Mark(MarkType.REVISION, row.id, edited=copy.edited, text=copy.text, ranges=copy.ranges)
            if not _is_empty(copy) and mark_identity(text) not in _contents(row.id, before):
                if copy.text is not None:
                    marks.append(text)
                elif not _same_content(join(before, replace(copy, attachments=known.attachments)).message, known):
                    # A revision has a text, so that this travels as another copy; if it does not win, it says nothing.
                    rest = replace(copy, attachments=known.attachments)
            missing = _missing(copy.attachments or (), before)
            if missing:
                marks.append(Mark(MarkType.SUPPLEMENT, row.id, attachments=missing))
        after, displaced = self._told(row, before, join(before, rest))
        changed = self.save(row, before, after)
        if changed:
            marks += displaced
            if not self._outbox.will_carry(RecordKind.MESSAGE, row.n):
                self._outbox.add(RecordKind.MESSAGE, upload, run, row.n, row.n)
                self._changes.now.outbox = True
        return changed, marks

    def _told(self, row: StoredMessage, before: MessageState, after: MessageState) -> tuple[MessageState, list[Mark]]:
        """Care for what a message without a receipt said, where something else took its place and is sealed instead,
        now or once the segment that has it is refused.

        A text is told to the others as a revision; what has no text is forgotten, so that nobody knows more than they.
        """
        was, now = before.message, after.message
        if was is None or now is None or row.flags & TOMBSTONE or _is_empty(was) or _same_content(was, now):
            return after, []
        mark = Mark(MarkType.REVISION, row.id, edited=was.edited, text=was.text, ranges=was.ranges)
        if was.text is not None:
            return after, [mark] if self._outbox.waits(RecordKind.MESSAGE, row.n) else []
        if self._outbox.will_carry(RecordKind.MESSAGE, row.n):
            gone = mark_identity(mark)[1]
            after = replace(after, others={key: content for key, content in after.others.items() if key != gone})
        return after, []

    def save(self, row: StoredMessage, before: MessageState, after: MessageState) -> bool:
        """Store a message's new state, and keep index, counts and contents right; returns whether anything is new.

        The marks of `after` are stored by the caller, except that those which a tombstone covers go.
        """
        database = self._database
        shown = view(after)
        if shown is None or after.message is None:
            raise ValueError("a row is a message")
        if shown.tombstone is not None:
            # REC-07: "A message covered by a tombstone MUST NOT show text, attachments or reactions in a view,
            # whichever came first." They do not stay on this device either.
            marks = {identity: mark for identity, mark in after.marks.items() if mark.type not in COVERED}
            after = MessageState(shown.message, marks=marks)
            database.write("DELETE FROM marks WHERE target = ? AND type IN (1, 2, 3)", (row.id,))
        message = after.message or shown.message
        conversation = row.conversation
        if message.conversation != self._entities.key(conversation):
            conversation = self._entities.number_of(message.conversation)
            self._entities.count_messages(row.conversation, -1)
            self._entities.count_messages(conversation, 1)
        columns = (conversation, *message_columns(message), state_flags(after))
        reindexed = self._reindex(row.n, _shown_text(before), shown.message.text)
        if columns == row[2:] and after.others.keys() == before.others.keys():
            return reindexed
        database.write(
            "UPDATE messages SET conversation = ?, time = ?, rank = ?, kind = ?, author = ?, text = ?, rest = ?,"
            " flags = ? WHERE n = ?",
            (*columns, row.n),
        )
        self._save_contents(row.n, before, after)
        for number in {row.conversation, conversation}:
            self._changes.now.touch(self._entities.id(number), (row.id,))
        return True

    def _save_contents(self, n: int, before: MessageState, after: MessageState) -> None:
        for digest in before.others.keys() - after.others.keys():
            self._database.write("DELETE FROM contents WHERE message = ? AND digest = ?", (n, digest))
        for digest in after.others.keys() - before.others.keys():
            content = write_content(after.others[digest])
            self._database.write("INSERT INTO contents VALUES (?, ?, ?)", (n, digest, content))

    def _reindex(self, n: int, old: str | None, new: str | None) -> bool:
        if old == new:
            return False
        if old:
            # A contentless index forgets a text only if it is told which one.
            self._database.write(_UNINDEX, (n, indexed(old)))
        if new:
            self._database.write(_INDEX, (n, indexed(new)))
        return True

    # --- for the outbox -----------------------------------------------------------------------------------------------

    def read(self, first: int, last: int, limit: int) -> Found:
        """Rows of a range, ascending, at most `limit`, for `StoredMessages`: what copies say, without marks."""
        rows = self._database.rows(
            "SELECT n, conversation, time, rank, kind, author, text, rest FROM messages WHERE n BETWEEN ? AND ?"
            " ORDER BY n LIMIT ?",
            (first, last, limit),
        )
        weights = [len(row[7]) + len((row[6] or "").encode()) + _ROW_WEIGHT for row in rows]
        if weights and max(weights) >= _SURELY_FITS:
            rows = [
                row if weight < _SURELY_FITS else self._fitted(row) for row, weight in zip(rows, weights, strict=True)
            ]
        return Found([row[0] for row in rows], weights, rows)

    def _fitted(self, row: Row) -> Row:
        """The row, without what makes it longer than a record may be."""
        message = message_of(self._entities.key(row[1]), *row[2:])
        return (row[0], row[1], *message_columns(_fitted(message)))

    def keys(self, rows: Iterable[Sequence[Any]]) -> dict[int, ConversationKey]:
        """The keys of the conversations of rows."""
        return {number: self._entities.key(number) for number in {row[1] for row in rows}}


def _fitted(message: Message) -> Message:
    """Copies that fit a record each may join to one that does not: then the longest that a copy can lack stays here."""
    for name in ("", "extension", "details", "forwarded", "quote", "attachments"):
        message = replace(message, **{name: None}) if name else message  # type: ignore[arg-type]
        with suppress(ValueError):
            encoded_size(message)
            return message
    return message


def _shown_text(state: MessageState) -> str | None:
    shown = view(state)
    return shown.message.text if shown else None


def _settled(copy: Message, known: Message | None, volatile: frozenset[str]) -> Message:
    """A copy of a message with the volatile keys of its extension as the known copy has them."""
    if not volatile or known is None:
        return copy
    mine, extension = known.extension or {}, dict(copy.extension or {})
    for key in volatile:
        extension.pop(key, None)
        if key in mine:
            extension[key] = mine[key]
    return replace(copy, extension=extension or None)


def _same_content(a: Message | None, b: Message | None) -> bool:
    return a is not None and b is not None and (a.text, a.ranges, a.edited) == (b.text, b.ranges, b.edited)


def _is_empty(copy: Message) -> bool:
    return copy.text is None and copy.ranges is None and not copy.edited


def _contents(target: bytes, state: MessageState) -> set[tuple[int | str | bytes | None, ...]]:
    """The identities of the revisions that the known contents of a message amount to."""
    found = {identity for identity, mark in state.marks.items() if mark.type == MarkType.REVISION}
    contents: list[Content | Message] = [*state.others.values(), *([state.message] if state.message else [])]
    return found | {
        mark_identity(Mark(MarkType.REVISION, target, edited=one.edited, text=one.text, ranges=one.ranges))
        for one in contents
    }


def _missing(attachments: Sequence[Attachment], state: MessageState) -> tuple[Attachment, ...]:
    """The attachments of a copy that its message does not have yet, and that would be shown beside those that it
    has."""
    if not attachments:
        return ()
    told: list[Message | Mark] = [mark for mark in state.marks.values() if mark.type == MarkType.SUPPLEMENT]
    told += [state.message] if state.message else []
    known = [one for each in told for one in each.attachments or ()]
    digests = set(map(_digest, known))
    contents = {(one.role, one.name, one.root) for one in known if one.root is not None}
    # A placeholder says nothing new where something stored stands for it (spec §12.2); which other ones a source once
    # had does not matter to that.
    stored = [one for one in (*known, *attachments) if one.root is not None]
    covering = Covering((*stored, *(one for one in attachments if one.root is None)))
    return tuple(
        one
        for one in attachments
        if _digest(one) not in digests
        and not (covering.covers(one) if one.root is None else (one.role, one.name, one.root) in contents)
    )


def _digest(attachment: Attachment) -> tuple[int | str | bytes | None, ...]:
    return mark_identity(Mark(MarkType.SUPPLEMENT, bytes(16), attachments=(attachment,)))
