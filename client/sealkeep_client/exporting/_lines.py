"""JSON lines: one object a line, everything that a view shows, the same bytes on every device of an account.

`"type"` is each line's first key, the others follow sorted:

    {"type":"contact","app":…,"id":…,"name":…,"rank":…,"scope":…,"source":…, ?alias ?avatar ?extension ?remark}
    {"type":"conversation","app":…,"chat_type":…,"id":…,"rank":…,"scope":…,"source":…,"title":…, ?extension ?read}
    {"type":"record","app":…,"author":…,"conversation":…,"conversation_id":…,"conversation_source":…,"id":…,"kind":…,
     "rank":…,"source":…,"text":…,"time":…, and every other field of spec §7.3 and §7.6 that the record has}

Contacts come first, ordered by id, then each conversation, ordered by id, followed by its records in the order of views
(spec §7.7). Nothing tells one device from another, nor when the export was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring as quoted
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from sealkeep_client.exporting._fields import (
    attachment_fields,
    chat_type_fields,
    contact_fields,
    content_fields,
    kind_name,
    native_fields,
    range_fields,
    reaction_fields,
    tombstone_fields,
)
from sealkeep_client.exporting._names import Names, title_of
from sealkeep_client.exporting._output import ByteWriter
from sealkeep_client.exporting._times import beyond, rfc3339, utc
from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry, ViewEntry
from sealkeep_protocol.records import ConversationKey, Direction, Kind, Message, Precision, RecordIds

_AT_ONCE: Final = 512  # lines
_MOST_AUTHORS: Final = 4096
Progress: TypeAlias = Callable[[int], None]


def write_lines(
    entries: Iterable[ViewEntry],
    file: ByteWriter,
    *,
    ids: RecordIds | None = None,
    files: Mapping[bytes, str] = MappingProxyType({}),
    progress: Progress | None = None,
) -> int:
    """Write a view (`store.views.everything()`) as JSON lines, UTF-8; returns the number of records.

    `ids` (`store.ids`) tells the record ids of replies' targets; without it replies name only the source. `files` are
    paths of files that were written beside the lines, by the roots of their contents. `progress` is
    called with the number of records so far. Memory: the names of contacts, and some hundred lines.
    """
    line_of = _Lines(ids, files)
    lines: list[str] = []
    records = 0
    for entry in entries:
        if isinstance(entry, MessageEntry):
            lines.append(line_of.record(entry))
            records += 1
        elif isinstance(entry, ConversationView):
            lines.append(line_of.conversation(entry))
        else:
            lines.append(line_of.contact(entry))
        if len(lines) >= _AT_ONCE:
            _write(file, lines)
            if progress is not None:
                progress(records)
    _write(file, lines)
    if progress is not None:
        progress(records)
    return records


def _write(file: ByteWriter, lines: list[str]) -> None:
    if lines:
        lines.append("")
        # A lone half of a surrogate pair has no UTF-8; this writes the escape that JSON has for it.
        file.write("\n".join(lines).encode("utf-8", "backslashreplace"))
        lines.clear()


def _plain(value: Any) -> Any:
    """What `json` does not know: bytes are hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no place in a record")


_json: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"), default=_plain
).encode


class _Lines:
    """Turns entries into lines; remembers names of contacts and the conversation that it is in."""

    def __init__(self, ids: RecordIds | None, files: Mapping[bytes, str]) -> None:
        self._ids = ids
        self._files = files
        self._names = Names()
        self._key: ConversationKey | None = None
        self._app = self._chat = self._scope = ""
        # By the source of an author: its part of a line in this conversation.
        self._authors: dict[str | None, str] = {}

    def contact(self, entry: ContactEntry) -> str:
        self._names.meet(entry.contact)
        return '{"type":"contact",' + _json({"id": entry.id.hex(), **contact_fields(entry.contact)})[1:]

    def conversation(self, entry: ConversationView) -> str:
        title = title_of(entry)
        line: dict[str, Any] = {"id": entry.id.hex(), **entry.key._asdict(), "title": title, "rank": 0}
        line.update(chat_type_fields(entry.record.type if entry.record else 0))
        if entry.record is not None:
            line["rank"] = entry.record.rank
            if entry.record.extension is not None:
                line["extension"] = entry.record.extension
        if entry.reads:
            read = sorted(entry.reads.items(), key=lambda one: (one[0] is not None, one[0] or ""))
            line["read"] = [{"actor": actor, "id": record_id.hex()} for actor, record_id in read]
        self._enter(entry.key, title, entry.id)
        return '{"type":"conversation",' + _json(line)[1:]

    def _enter(self, key: ConversationKey, title: str, record_id: bytes | None) -> None:
        self._key = key
        self._app = f'{{"type":"record","app":{quoted(key.app)}'
        self._chat = f',"conversation":{quoted(title)}'
        if record_id is not None:
            self._chat += f',"conversation_id":"{record_id.hex()}"'
        self._chat += f',"conversation_source":{quoted(key.source)}'
        self._scope = f',"scope":{quoted(key.scope)}' if key.scope else ""
        self._authors.clear()

    def record(self, entry: MessageEntry) -> str:
        """A record's line. Its keys are written in their order, one after the other: an export is mostly this."""
        view = entry.view
        message = view.message
        if message.conversation != self._key:
            key = message.conversation
            self._enter(key, key.source, self._ids.conversation(key) if self._ids else None)
        line = [self._app]
        add = line.append
        if message.attachments is not None:
            add(f',"attachments":{_json([attachment_fields(one, self._files) for one in message.attachments])}')
        if message.author_name is None:
            add(self._authors.get(message.author) or self._author(message))
        else:
            add(self._author(message))
        add(self._chat)
        if message.details is not None:
            add(f',"details":{_json(message.details)}')
        if message.direction is not None:
            add(',"direction":"sent"' if message.direction == Direction.SENT else ',"direction":"received"')
        if message.edited:  # an edit at 0 is none (spec §7.7)
            add(f',"edited":"{utc(message.edited)}"')
        if message.expires is not None:
            add(f',"expires":"{utc(message.expires)}"')
        if message.extension is not None:
            add(f',"extension":{_json(message.extension)}')
        if message.forwarded is not None:
            add(f',"forwarded":{_json(message.forwarded)}')
        if view.history:
            add(f',"history":{_json(list(map(content_fields, view.history)))}')
        add(f',"id":"{entry.id.hex()}","kind":"{kind_name(message.kind)}"')
        if message.kind not in _KINDS:
            add(f',"kind_number":{message.kind}')
        if message.native is not None:
            add(f',"native":{_json(native_fields(message.native))}')
        if message.precision == Precision.DAYS and message.offset is not None:
            add(f',"offset":{message.offset}')  # minutes east of UTC; a date has no place for it
        if message.pinned is not None:
            add(f',"pinned":{_json(message.pinned)}')
        if message.quote is not None:
            add(f',"quote":{_json(message.quote)}')
        if message.ranges is not None:
            add(f',"ranges":{_json(list(map(range_fields, message.ranges)))}')
        add(f',"rank":{message.rank}')
        if view.reactions:
            scope = message.conversation
            add(f',"reactions":{_json([reaction_fields(one, self._names, scope) for one in view.reactions])}')
        if message.received is not None:
            add(f',"received":"{utc(message.received)}"')
        if message.reply_to is not None:
            add(f',"reply_to":{self._reply(message)}')
        source = message.source
        add(f'{self._scope},"source":{source if type(source) is int else _json(source)},"text":')
        add("null" if message.text is None else quoted(message.text))
        if message.thread is not None:
            add(f',"thread":{_json(message.thread)}')
        add(f',"time":"{rfc3339(message)}"')
        if (whole := beyond(message)) is not None:
            add(f',"time_ms":{whole}')
        if view.tombstone is not None:
            add(f',"tombstone":{_json(tombstone_fields(view.tombstone))}')
        add("}")
        return "".join(line)

    def _author(self, message: Message) -> str:
        name, source = self._names.author(message), message.author
        part = f',"author":{"null" if name is None else quoted(name)}'
        if message.author_name is not None:
            part += f',"author_name":{quoted(message.author_name)}'
        if source is not None:
            part += f',"author_source":{quoted(source)}'
        if message.author_name is None:
            if len(self._authors) >= _MOST_AUTHORS:
                self._authors.clear()
            self._authors[source] = part
        return part

    def _reply(self, message: Message) -> str:
        target = message.reply_to
        if isinstance(target, bytes):
            return f'{{"id":"{target.hex()}"}}'
        source = target if type(target) is int else _json(target)
        if self._ids is None or target is None:
            return f'{{"source":{source}}}'
        return f'{{"id":"{self._ids.source(message.conversation, target).hex()}","source":{source}}}'


_KINDS: Final = frozenset(map(int, Kind))
