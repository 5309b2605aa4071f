"""WhatsApp's "export chat": a text file, alone or in a zip, from iOS or Android, in the pattern of any locale (spec §7.4).

A file is read twice: first for the order of its dates, which other files of the import may have to settle, and for the
chat's title; then for its messages.

Overlapping exports join, because equal messages of a minute are counted from 0 in each: of two exports that hold some of
them, the longer run has every id of the shorter. An export of the last messages begins in the middle of a minute; that
minute's places start high, so that its messages stay behind those that only an earlier export has. (Where one export ends
and the next begins within one minute, equal messages of that minute may be taken for one: no source says more.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import PurePath

from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Kind,
    Message,
    Precision,
    Range,
    RangeType,
    Value,
)

from ._fit import SHORT, bounded
from ._model import BATCH, Batch, DateOrder, Export, Problem
from ._places import Places
from ._source import Source
from ._whatsapp_dates import DateEvidence, Header, days, read_header
from ._whatsapp_phrases import read_body

APP = "whatsapp"
CUT_BEGINNING = 1 << 16  # first place in the minute in which an export without the chat's beginning starts

_MAX_LABEL = 200
_MAX_BODY = 1 << 18  # characters of one message that are kept in memory
# §7.4: "marks are U+200E, U+200F, U+202A … U+202E, U+2066 … U+2069; U+202F and U+00A0 count as a space."
_UNMARKED: dict[int, str | None] = {
    **dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    0x202F: " ",
    0xA0: " ",
}
_MENTION = re.compile("@\u2068[^\u2069\n]{1,200}\u2069")
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"))
_TITLES = tuple(
    re.compile(form + r"\Z", re.DOTALL)
    for form in (
        r"WhatsApp[- ]Chat (?:with|mit|-) (.+)",
        r"WhatsApp[- ]chat met (.+)",
        r"(?:Chat|Conversación) de WhatsApp con (.+)",
        r"Conversa do WhatsApp com (.+)",
        r"(?:Discussion|Conversation) WhatsApp avec (.+)",
        r"Chat WhatsApp con (.+)",
        r"Чат WhatsApp с (?:контактом )?(.+)",
        r"(?:WhatsApp )?与 ?(.+?) ?的 ?(?:WhatsApp ?)?聊天(?:记录)?",
        r"(.+) ile WhatsApp Sohbeti",
        r"Chat WhatsApp dengan (.+)",
        r"Czat WhatsApp z użytkownikiem (.+)",
    )
)


class WhatsAppExport(Export):
    """One chat's text file. Its first pass runs when it is made; raises `SourceError` where it is no chat."""

    app = APP

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._source = source
        self._survey = _Survey(source)
        self._order = self._survey.evidence.order()
        self.title = self._survey.title()

    @property
    def date_order(self) -> DateOrder | None:
        """The order of the numbers in a date, where it is settled."""
        return self._order

    @property
    def family(self) -> tuple[bool, str]:
        """What files have in common that share their order."""
        return self._survey.evidence.family

    @property
    def possible_orders(self) -> tuple[DateOrder, ...]:
        """The orders in which all of this file's dates can be read."""
        return self._survey.evidence.possible_orders

    def settle(self, order: DateOrder) -> bool:
        """Take over an order from elsewhere; False where this file's dates cannot be read so."""
        if order in self.possible_orders:
            self._order = order
        return self._order == order

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        if self._order is None:
            raise ambiguous([self])
        reading = _Reading(self, self._survey, self._order)
        with self._source.open() as stream:
            for number, raw in enumerate(stream.lines(), 1):
                reading.take(number, raw)
                if reading.batch.is_full(size):
                    reading.batch.position = stream.position
                    batch, reading.batch = reading.batch, Batch()
                    yield batch
            reading.finish()
            reading.batch.position = stream.position
            yield reading.batch


def ambiguous(exports: Sequence[WhatsAppExport]) -> SourceError:
    """The one line for exports whose dates can be read in more than one way."""
    first = exports[0]
    more = f" (and {len(exports) - 1} more)" if len(exports) > 1 else ""
    orders = " or ".join(f"--date-order {order}" for order in first.possible_orders)
    return SourceError(
        f"{first.path}{more}: nothing in it tells the day from the month or year in its dates; say it with {orders}",
        path=first.path,
    )


class _Survey:
    """What the first pass finds."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.pattern: object = None
        self.label: str | None = None  # whose name the app's own lines bear on iOS: the chat's
        self.labels: set[str] = set()
        evidence: DateEvidence | None = None
        spoilt = number = 0
        with source.open() as stream:
            for number, raw in enumerate(stream.lines(), 1):
                line, is_text = decode(raw, number)
                spoilt += not is_text
                header = read_header(line)
                if header is None:
                    continue
                if evidence is None:
                    evidence, self.pattern = DateEvidence(header), header.pattern
                if header.pattern == self.pattern:
                    evidence.add(header)
                    self._look(header, line)
        if spoilt and spoilt > number // 10:
            raise SourceError(
                f"{source.path}: not UTF-8; export the chat again, or save it as UTF-8 in a text editor",
                path=source.path,
            )
        if evidence is None:
            raise SourceError(f"{source.path}: not a WhatsApp export: no line begins with a date", path=source.path)
        self.evidence = evidence

    def _look(self, header: Header, line: str) -> None:
        label, body = split(header, line)
        if label is None:
            return
        if len(self.labels) < 4:
            self.labels.add(label)
        if self.label is None and header.pattern[0] and body.startswith("\u200e"):
            phrase = read_body(body)
            if phrase.kind is Kind.TEXT and not phrase.is_media:
                self.label = label

    def title(self) -> str:
        """The chat's title: the file's or zip's name says it, or the app's own lines, or the name is all there is."""
        names = [self._source.stem, *(PurePath(part).stem for part in self._source.parents)]
        for name in names:
            for form in _TITLES:
                if match := form.match(name):
                    return clean(match[1])
        stem = names[0] if names[0] != "_chat" else names[-1]
        return clean(self.label or stem) or "WhatsApp"


class _Reading:
    """The second pass."""

    def __init__(self, export: WhatsAppExport, survey: _Survey, order: DateOrder) -> None:
        self.batch = Batch()
        self._path = export.path
        self._survey = survey
        self._order = order
        self._title = export.title
        self._key = ConversationKey(APP, "", export.title)
        self._places = Places(survey.evidence.is_sorted(order))
        self._first_minute: int | None = None
        self._header: Header | None = None
        self._line = 0
        self._parts: list[str] = []
        self._length = 0
        # label -> time of its newest message
        self._people: dict[str, int] = {}
        self._newest = 0

    def take(self, number: int, raw: bytes) -> None:
        """Read one line: it begins a message or continues the one before."""
        line, is_text = decode(raw, number)
        self.batch.characters += len(line)
        if not is_text:
            self._problem(number, "not UTF-8: the broken characters are replaced")
        header = read_header(line)
        if header is not None and header.pattern == self._survey.pattern:
            self._emit()
            self._header, self._line, self._parts, self._length = header, number, [line], len(line)
        elif self._header is None:
            if line.strip():
                self._problem(number, "before the first message: left out")
        elif self._length > _MAX_BODY:
            if self._parts:
                self._problem(self._line, "a message of more than 256 KiB: left out")
                self._parts = []
        else:
            self._parts.append(line)
            self._length += len(line) + 1

    def _problem(self, line: int, reason: str) -> None:
        self.batch.problems.append(Problem(self._path, line, reason))

    def _emit(self) -> None:
        """Add the message that was read to the batch."""
        header = self._header
        if header is None or not self._parts:
            return
        day = days(header.numbers, self._order)
        if day is None:
            self._problem(self._line, "no such date: left out")
            return
        line = self._parts[0] if len(self._parts) == 1 else "\n".join(self._parts)
        label, body = split(header, line)
        phrase = read_body(body)
        kind, author = phrase.kind, label
        details: dict[str, Value] | None = None
        if label is None:
            kind = Kind.SERVICE if kind is Kind.TEXT else kind
        elif kind is Kind.TEXT and not phrase.is_media and header.pattern[0] and body.startswith("\u200e"):
            # iOS writes its own lines under the chat's name, or under that of who did it.
            kind = Kind.SERVICE
            if label in (self._survey.label, self._title):
                author = None
                details = {"label": label} if label != self._title else None
        minute = day * 1440 + header.minute
        hashed = f"media{phrase.text}" if phrase.is_media else body
        digest = sha256(clean(hashed).encode()).digest()
        same = (minute, label or "", digest)
        rank, equal = self._places.take(minute, same)
        if self._first_minute is None:
            # The chat's beginning is a line of the app's own.
            self._first_minute = -1 if kind is Kind.SERVICE else minute
        if minute == self._first_minute:
            rank += CUT_BEGINNING
        time = (minute * 60 + (header.second or 0)) * 1000
        message: Message | None = Message(
            conversation=self._key,
            time=time,
            kind=int(kind),
            # §7.4: [civil minute since 1970, sender label, SHA-256(body without marks), k]
            source=(*same, equal),
            precision=int(Precision.MINUTES if header.second is None else Precision.SECONDS),
            rank=rank,
            author=author,
            text=phrase.text or None,
            ranges=_mentions(phrase.text),
            attachments=(phrase.attachment,) if phrase.attachment else None,
            details=details,
            extension={"edited": phrase.edited} if phrase.edited else None,
        )
        if self._length > SHORT and message is not None:
            message, reason = bounded(message)
            if reason is not None:
                self._problem(self._line, reason)
        if message is None:
            return
        self.batch.add(message)
        self._newest = max(self._newest, time)
        if author is not None:
            self._people[author] = max(time, self._people.get(author, 0))

    def finish(self) -> None:
        """The last message, the contacts and the conversation."""
        self._emit()
        for label, newest in self._people.items():
            self.batch.contacts.append(Contact(ContactKey(APP, "", label), name=label, rank=newest))
        kind = ConversationType.UNKNOWN
        if len(self._people) > 2:
            kind = ConversationType.GROUP
        elif self._title in self._people:
            kind = ConversationType.ONE_TO_ONE
        self.batch.conversations.append(Conversation(self._key, self._title, int(kind), self._newest))


def decode(raw: bytes, number: int) -> tuple[str, bool]:
    """A line as text without its line end, and whether all of it was UTF-8; what was not is U+FFFD."""
    if raw.endswith(b"\r"):
        raw = raw[:-1]
    try:
        line, is_text = raw.decode(), True
    except UnicodeDecodeError:
        line, is_text = raw.decode(errors="replace"), False
    return (line.removeprefix("\ufeff") if number == 1 else line), is_text


def split(header: Header, line: str) -> tuple[str | None, str]:
    """The sender's label, without marks, and the body; no label for the app's own lines on Android."""
    rest = line[header.end :]
    label, colon, body = rest.partition(": ")
    if not colon:
        if not rest.endswith(":") or "\n" in rest:
            return None, rest
        label, body = rest[:-1], ""
    label = clean(label)
    if not label.strip() or len(label) > _MAX_LABEL or "\n" in label or (not header.pattern[0] and _is_quoting(label)):
        return None, rest
    return label, body


def _is_quoting(label: str) -> bool:
    """Whether the colon stands inside a quotation, as in `Ann changed the subject to "Plan: B"`."""
    return any(
        label.count(start) % 2 == 1 if start == end else label.count(start) > label.count(end) for start, end in _QUOTES
    )


def clean(text: str) -> str:
    """The text without marks of direction, with plain spaces (spec §7.4)."""
    return text if text.isascii() else text.translate(_UNMARKED)


def _mentions(text: str) -> tuple[Range, ...] | None:
    """Mentions are set off by isolates."""
    if "\u2068" not in text:
        return None
    found = (match.span() for match in _MENTION.finditer(text))
    return tuple(Range(int(RangeType.MENTION), start, end - start) for start, end in found) or None
