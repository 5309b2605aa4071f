"""What the outbox hands over to be packed: the records behind its ranges, in stretches that fill about one body each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any, Final, NamedTuple

from sealkeep_client.outgoing import Outgoing, Record
from sealkeep_client.store._rows import StoredMessages
from sealkeep_protocol.records import ConversationKey

_FIRST_PAGE: Final = 16  # records that are read at once, before it is known how large they are
_PAGE: Final = 2_048  # and at most
MESSAGE: Final = 3  # number of the messages' table (spec §7.1)


class Span(NamedTuple):
    """A range of records of one kind, by this device's own numbers, both ends included."""

    kind: int
    upload: int
    run: int
    position: int
    first: int
    last: int


class Found(NamedTuple):
    """Records of one kind, ascending: their numbers, about how many bytes each takes, and they (messages as rows)."""

    numbers: Sequence[int]
    weights: Sequence[int]
    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """How the outbox gets at records: `read(kind, first, last, limit)`; the conversations' keys of messages' rows."""

    read: Callable[[int, int, int, int], Found]
    keys: Callable[[Iterable[Sequence[Any]]], dict[int, ConversationKey]]


@dataclass(frozen=True, slots=True, repr=False)
class OutboxBatch:
    """A stretch of what waits, with the number and the span of each record. `more` of its run waits behind it."""

    outgoing: Outgoing
    numbers: Sequence[int]
    owners: Sequence[int]
    spans: Sequence[Span]
    more: bool

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def records(self) -> list[Record]:
        """The records, each made whole."""
        parts = self.outgoing.first(len(self))
        records = (iter(parts[0]), iter(parts[1]), iter(parts[2].messages()), iter(parts[3]), iter(parts[4]))
        tables: dict[int, Iterator[Record]] = dict(zip((1, 2, 3, 4, 6), records, strict=True))
        return [next(tables[table]) for table, many in self.outgoing.order for _ in range(many)]

    def carried(self, count: int | None = None) -> tuple[Span, ...]:
        """The spans of the first `count` records (all by default): what a segment that holds exactly these carries."""
        if count is None or count >= len(self):
            return tuple(self.spans)
        if count == 0:
            return ()
        owner = self.owners[count - 1]
        whole = self.owners[count] != owner
        last = self.spans[owner] if whole else self.spans[owner]._replace(last=self.numbers[count - 1])
        return (*self.spans[:owner], last)


def batches(spans: Iterable[Span], reader: Reader, *, limit: int, weight: int) -> Iterator[OutboxBatch]:
    """Cut what waits into batches of at most `limit` records and about `weight` bytes, and one record at least."""
    batch, page = _Batch(limit, weight), _FIRST_PAGE
    for span in spans:
        first = span.first
        while first <= span.last:
            found = reader.read(span.kind, first, span.last, min(page, limit))
            if found.numbers:  # large records are not read by the thousand
                page = max(8, min(_PAGE, 2 * weight * len(found.numbers) // max(1, sum(found.weights))))
            start = 0
            while start < len(found.numbers):
                taken = batch.add(span, first, found, start)
                if not taken:
                    yield batch.finished(reader, more=True)
                    batch = _Batch(limit, weight)
                    continue
                start += taken
                first = found.numbers[start - 1] + 1
            if not found.numbers:  # the records behind the rest of the range are gone
                batch.end(span, first)
                break
    if batch.numbers:
        yield batch.finished(reader, more=False)


class _Batch:
    """A batch in the making."""

    def __init__(self, limit: int, weight: int) -> None:
        self._limit = limit
        self._room = weight
        self._items: dict[int, list[Any]] = {}
        self._order: list[tuple[int, int]] = []
        self._owners: list[int] = []
        self._spans: list[Span] = []
        self._range: Span | None = None  # the one that the last span is a part of
        self._weight = 0
        self.numbers: list[int] = []

    def add(self, span: Span, first: int, found: Found, start: int) -> int:
        """Add what there is room for, of the records found in a range from index `start` on; returns how many.

        `first` is where in the range the records begin that are not in a batch yet.
        """
        weights = list(accumulate(islice(found.weights, start, start + self._limit - len(self.numbers))))
        many = bisect_right(weights, self._room)
        if not many and weights and not self.numbers:
            many = 1
        if not many:
            return 0
        numbers = found.numbers[start : start + many]
        self._room -= weights[many - 1]
        self._weight += weights[many - 1]
        self._extend(span, first, numbers[-1])
        self._owners += [len(self._spans) - 1] * many
        self.numbers += numbers
        self._items.setdefault(span.kind, []).extend(found.items[start : start + many])
        self._order.append((span.kind, many))
        return many

    def end(self, span: Span, first: int) -> None:
        """Take along the end of a range behind which there is nothing any more."""
        self._extend(span, first, span.last)

    def _extend(self, span: Span, first: int, last: int) -> None:
        if span == self._range:  # of which the part before `first` is in this batch already
            self._spans[-1] = self._spans[-1]._replace(last=last)
        else:
            self._spans.append(span._replace(first=first, last=last))
            self._range = span

    def finished(self, reader: Reader, *, more: bool) -> OutboxBatch:
        rows = self._items.get(MESSAGE, [])
        outgoing = Outgoing(
            contacts=self._items.get(1, []),
            conversations=self._items.get(2, []),
            messages=StoredMessages(reader.keys(rows), rows),
            marks=self._items.get(4, []),
            previews=self._items.get(6, []),
            order=self._order,
            weight=self._weight,
        )
        return OutboxBatch(outgoing, self.numbers, self._owners, self._spans, more)
