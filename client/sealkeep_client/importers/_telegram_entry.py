"""One entry of a Telegram chat: a JSON object to a message and its reactions (spec §7.3 to §7.6).

Every key is taken out of the entry by the field that says the same; what stays goes to `details`, where it belongs to the
kind, or to the extension map, untouched. So a key that a later version adds is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sealkeep_protocol.records import (
    ConversationKey,
    Direction,
    Kind,
    Mark,
    MarkType,
    Message,
    MessageColumns,
    Precision,
)

from ._fit import INT_MAX, INT_MIN, TIME_MAX, TIME_MIN, fitted
from ._model import SourceMark
from ._telegram_media import ACTIONS, Entry, read_attachments, read_details, read_forwarded
from ._telegram_text import read_text

# A group's messages from before it became a supergroup have their old id less this number.
MIGRATED = 1_000_000_000

_EPOCH = datetime(1970, 1, 1)  # naive: civil times are reckoned as if they were UTC (spec §7.3, field 4)
_RECEIVED, _SENT = int(Direction.RECEIVED), int(Direction.SENT)
_TEXT, _SECONDS = int(Kind.TEXT), int(Precision.SECONDS)


# A message's values, by the numbers of their fields (spec §7.3): a message for each is made only where it is needed.
MessageValues: TypeAlias = tuple[Any, ...]
NUMBERS = (1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 22, 23, 24)


def columns_of(rows: Sequence[MessageValues]) -> MessageColumns:
    """The messages of many such values."""
    columns = dict(zip(NUMBERS, map(list, zip(*rows, strict=True)), strict=False))
    used = {number: values for number, values in columns.items() if values.count(None) < len(values)}
    return MessageColumns(len(rows), used)


def values_of(message: Message) -> MessageValues:
    """The values of a message that was read here, after it was changed."""
    columns = MessageColumns.of([message]).columns
    return tuple(columns[number][0] if number in columns else None for number in NUMBERS)


class EntryError(Exception):
    """An entry that is no message; the argument says why, without quoting it."""


class Chat:
    """What the entries of one chat are read against: its key, and who the two sides are, where that is known."""

    def __init__(self, key: ConversationKey, *, own: str | None, peer: str | None) -> None:
        self.key = key
        self.own = own
        self.peer = peer
        self.newest = 0
        self.last = 0
        # author -> [name, time of the newest message]
        self.authors: dict[str, list[Any]] = {}

    def read(self, entry: Any) -> tuple[MessageValues, list[SourceMark] | None]:
        """Turn an entry into a message's values and its reactions; the entry is used up. Raises `EntryError`.

        The order among messages of one second is that of their ids. Negative ids are those of a group that became a
        supergroup, less 10⁹: their rank is the id that they had.
        """
        if type(entry) is not dict:
            raise EntryError("an entry that is no object")
        pop = entry.pop
        ident = pop("id", None)
        if type(ident) is not int or not INT_MIN <= ident <= INT_MAX:
            raise EntryError("an entry without a number")
        raw: Entry = {}
        time, offset = self._time(entry, raw)
        entry_type = pop("type", None)
        is_service = entry_type == "service"
        author, author_name = self._author(entry, raw, "actor" if is_service and "actor_id" in entry else "from", time)
        text, ranges, text_raw = read_text(pop("text", ""), pop("text_entities", None))
        if text_raw:
            raw.update(text_raw)
        reply = entry.get("reply_to_message_id")
        # A reply into another chat names no message of this one: it stays raw.
        if type(reply) is int and INT_MIN <= reply <= INT_MAX and "reply_to_peer_id" not in entry:
            del entry["reply_to_message_id"]
        else:
            reply = None
        direction = None
        if author is not None:
            if self.own is not None:
                direction = _SENT if author == self.own else _RECEIVED
            elif self.peer is not None:
                direction = _RECEIVED if author == self.peer else _SENT
        kind = _TEXT
        edited = attachments = forwarded = details = marks = None
        if entry or entry_type != "message":
            if "reactions" in entry:
                marks = self._reactions(ident, offset, entry["reactions"])
                if marks is not None:
                    del entry["reactions"]
            if is_service:
                action = entry.get("action")
                kind = int(ACTIONS.get(action, Kind.SERVICE)) if type(action) is str else int(Kind.SERVICE)
                attachments = read_attachments(entry)[1]
                details = {key: fitted(value) for key, value in entry.items()}
            else:
                if "edited" in entry or "edited_unixtime" in entry:
                    edited = _edited(entry, raw, offset)
                forwarded = read_forwarded(entry)
                shown, attachments = read_attachments(entry)
                told, details = read_details(entry)
                if attachments and details and "self_destruct_period_seconds" in details:
                    shown = Kind.VIEW_ONCE
                other = Kind.TEXT if entry_type == "message" else Kind.UNKNOWN
                kind = int(shown or told or other)
                if entry_type != "message" and entry_type is not None:
                    raw["type"] = entry_type
                raw.update(entry)
        values = (
            self.key,
            ident,
            time,
            _SECONDS,
            offset,
            ident if ident >= 0 else max(0, ident + MIGRATED),
            kind,
            author,
            author_name,
            direction,
            text or None,
            ranges,
            edited,
            reply,
            forwarded,
            attachments,
            details or None,
            {key: fitted(value) for key, value in raw.items()} if raw else None,
        )
        return values, marks

    def _time(self, entry: Entry, raw: Entry) -> tuple[int, int | None]:
        """Milliseconds and the offset of the exporting computer's clock; dates that do not say just this are kept raw."""
        date, unix = entry.pop("date", None), entry.pop("date_unixtime", None)
        civil = _civil(date)
        moment = _unix(unix)
        offset: int | None
        if moment is None:
            if unix is not None:
                raw["date_unixtime"] = unix
            if civil is None:
                if date is not None:
                    raw["date"] = date
                # Unsupported entries have no date: they stand where the file has them.
                return self.last, None
            time, offset = civil * 1000, None
        else:
            time, offset = moment * 1000, 0
            if civil is not None:
                offset, odd = divmod(civil - moment, 60)
                if odd or not -1439 <= offset <= 1439:
                    offset = 0
                    raw["date"] = date
            elif date is not None:
                raw["date"] = date
        self.last = time
        if time > self.newest:
            self.newest = time
        return time, offset

    def _author(self, entry: Entry, raw: Entry, key: str, time: int) -> tuple[str | None, str | None]:
        """The author's id, and the name where the contact of this export does not say it.

        Telegram shows everybody's present name at the export, so that the next export of the same messages may differ in
        it: a name belongs to the contact.
        """
        author = entry.pop(key + "_id", None)
        name = entry.pop(key, _ABSENT)
        if type(author) is not str:
            if author is not None:
                raw[key + "_id"] = author
            if type(author) is not int:
                if type(name) is str:
                    return None, name
                if name is not _ABSENT:
                    raw[key] = name
                return None, None
            author = _old_peer(author)
        if type(name) is not str and name is not None:
            if name is not _ABSENT:
                raw[key] = name
            name = None
        known = self.authors.get(author)
        if known is None:
            self.authors[author] = [name, time]
            return author, None
        if time > known[1]:
            known[1] = time
        if known[0] == name:
            return author, None
        if name is None:
            raw[key] = None
        return author, name

    def _reactions(self, ident: int, offset: int | None, reactions: Any) -> list[SourceMark] | None:
        """Marks for the reactions of a message: one for each actor that the source names, and the count.

        The count has no actor; it stands alone where no actor is named, and beside them where they are fewer. What a mark
        has no field for is in its extension map. None where the reactions are not what the format says.
        """
        marks: list[SourceMark] = []
        if type(reactions) is not list:
            return None
        for reaction in reactions:
            if type(reaction) is not dict:
                return None
            rest = dict(reaction)
            kind, count, recent = rest.pop("type", None), rest.pop("count", None), rest.pop("recent", None)
            key = rest.pop("emoji", None) if kind == "emoji" else rest.pop("document_id", None)
            if key is None and kind == "paid":
                key = "paid"
            if type(key) is not str or type(count) is not int or not 0 <= count <= INT_MAX:
                return None
            if recent is not None and type(recent) is not list:
                return None
            if kind != "emoji":
                rest["type"] = kind
            for actor in recent or ():
                mark = self._reaction(key, actor, offset)
                if mark is None:
                    return None
                marks.append(SourceMark(self.key, ident, mark))
            if rest or count != len(recent or ()):
                extension = {name: fitted(value) for name, value in rest.items()} or None
                mark = Mark(int(MarkType.REACTION), b"", key=key, count=count, extension=extension)
                marks.append(SourceMark(self.key, ident, mark))
        return marks

    def _reaction(self, key: str, actor: Any, offset: int | None) -> Mark | None:
        if type(actor) is not dict:
            return None
        rest = dict(actor)
        civil = _civil(rest.get("date"))
        time = None
        if civil is not None and offset is not None:
            # The source gives no UTC here; the message's offset is the best that is known.
            time = civil * 1000 - offset * 60_000
            del rest["date"]
        raw: Entry = {}
        author, name = self._author(rest, raw, "from", self.last)
        if author is None:
            return None
        raw.update(rest)
        if name is not None:
            raw["from"] = name
        extension = {part: fitted(value) for part, value in raw.items()} or None
        return Mark(int(MarkType.REACTION), b"", actor=author, key=key, count=1, time=time, extension=extension)


_ABSENT = object()


def _civil(date: Any) -> int | None:
    """Seconds since 1970 of a `2004-12-25T09:14:00` as if it were UTC."""
    if type(date) is not str or len(date) != 19:
        return None
    try:
        since = datetime.fromisoformat(date) - _EPOCH
    except (ValueError, TypeError):
        return None
    return since.days * 86_400 + since.seconds


def _unix(value: Any) -> int | None:
    """Seconds since 1970 of a `date_unixtime`, where they are a time that records can hold and come back exactly."""
    if type(value) is not str or len(value) > 12:
        return None
    try:
        seconds = int(value)
    except ValueError:
        return None
    return seconds if TIME_MIN <= seconds * 1000 <= TIME_MAX and str(seconds) == value else None


def _old_peer(number: int) -> str:
    """Exports of before 2021 give peers as one number: the class in the bits from 32 on."""
    kind, bare = divmod(number, 1 << 32)
    return f"{ {0: 'user', 1: 'chat', 2: 'channel'}.get(kind, 'peer') }{bare if 0 <= kind <= 2 else number}"


def _edited(entry: Entry, raw: Entry, offset: int | None) -> int | None:
    date, unix = entry.pop("edited", None), entry.pop("edited_unixtime", None)
    civil, moment = _civil(date), _unix(unix)
    if moment is None:
        raw.update((key, value) for key, value in (("edited", date), ("edited_unixtime", unix)) if value is not None)
        return None if civil is None else civil * 1000 - (offset or 0) * 60_000
    if date is not None and (civil is None or civil - moment != (offset or 0) * 60):
        raw["edited"] = date
    return moment * 1000
