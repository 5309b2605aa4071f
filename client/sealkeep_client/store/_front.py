"""What goes into the front of an import (spec §6.3): enough for the first screens of a device that has nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from sealkeep_client.store._database import Database
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._waiting import RecordKind, UploadClass
from sealkeep_protocol.records import ContactKey, MarkType, RecordIds

FRONT_MESSAGES: Final = 50
"""Of each chat, in front segments (spec §6.3)."""

_SHOWN: Final = (MarkType.REVISION, MarkType.REACTION, MarkType.TOMBSTONE)  # of a message that stands in the front


class Front:
    """Fills the outbox's class `FRONT`. Its writes belong to a transaction; each opens one where there is none."""

    __slots__ = ("_database", "_ids", "_outbox")

    def __init__(self, database: Database, outbox: Outbox, ids: Callable[[], RecordIds]) -> None:
        self._database = database
        self._outbox = outbox
        self._ids = ids

    def queue(self, run: int, *, messages: int = FRONT_MESSAGES) -> int:
        """Queue the last `messages` of every chat of a run, as far as they wait, with what shows them: their chats, their
        authors' contacts, their marks that wait. Returns how many messages.

        They stay in the history too: a reader that wants all reads only that (spec §6.3).
        """
        database = self._database
        with database.transaction():
            chats = [
                chat
                for (chat,) in database.rows(
                    "SELECT conversation FROM runs WHERE run = ? ORDER BY conversation", (run,)
                )
            ]
            numbers = sorted(number for chat in chats for number in self._newest_waiting(run, chat, messages))
            if numbers:
                self._add(RecordKind.CONVERSATION, run, chats)
                # In the order in which the messages name them: the same names one behind the other compress to nothing.
                self._add(RecordKind.CONTACT, run, self._authors(numbers))
                self._add(RecordKind.MESSAGE, run, numbers)
                self._add(RecordKind.MARK, run, self._marks(run, numbers))
            database.write("DELETE FROM runs WHERE run = ?", (run,))
        return len(numbers)

    def _add(self, kind: RecordKind, run: int, numbers: Sequence[int]) -> None:
        for first, last in _ranges(numbers):
            self._outbox.add(kind, UploadClass.FRONT, run, first, last)

    def _newest_waiting(self, run: int, conversation: int, limit: int) -> Iterator[int]:
        found = self._database.rows(
            "SELECT n FROM messages AS m INDEXED BY messages_view WHERE conversation = ?"
            " AND EXISTS (SELECT 1 FROM outbox WHERE kind = 3 AND class = 3 AND run = ? AND m.n BETWEEN first AND last)"
            " ORDER BY time DESC, rank DESC, id DESC LIMIT ?",
            (conversation, run, limit),
        )
        return (number for (number,) in found)

    def _authors(self, messages: Sequence[int]) -> list[int]:
        """Contacts in the order in which messages name them."""
        ids = self._ids()
        named = dict.fromkeys(
            ids.contact(ContactKey(app, scope, author))
            for first, last in _ranges(messages)
            for app, scope, author in self._database.rows(
                "SELECT c.app, c.scope, m.author FROM messages AS m JOIN conversations AS c ON c.n = m.conversation"
                " WHERE m.n BETWEEN ? AND ? AND m.author IS NOT NULL ORDER BY m.n",
                (first, last),
            )
        )
        known: dict[bytes, int] = dict(
            self._database.among("SELECT id, n FROM contacts WHERE id IN carray(?)", list(named))
        )
        return [known[one] for one in named if one in known]

    def _marks(self, run: int, messages: Sequence[int]) -> list[int]:
        """What waits in this run and changes how messages are shown."""
        return sorted(
            number
            for first, last in _ranges(messages)
            for number, kind in self._database.rows(
                "SELECT k.n, k.type FROM messages AS m JOIN marks AS k ON k.target = m.id WHERE m.n BETWEEN ? AND ?"
                " AND EXISTS"
                " (SELECT 1 FROM outbox WHERE kind = 4 AND class = 3 AND run = ? AND k.n BETWEEN first AND last)",
                (first, last, run),
            )
            if kind in _SHOWN
        )


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers as ranges, in their order, those together of which each is one more than the one before."""
    first = last = -1
    for number in numbers:
        if number != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = number
        last = number
    if first >= 0:
        yield first, last
