"""Exported JSON lines read back as records, by the words of the export's own description and not by the exporter's code.

A field that the exporter forgets, or names otherwise, is missing here, and whoever rebuilds the source's entry finds out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sealkeep_protocol.records import (
    Attachment,
    AttachmentState,
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Direction,
    Kind,
    Mark,
    MarkType,
    Message,
    NativeIdentity,
    Precision,
    Range,
    RangeType,
)

Json = Any

# Keys of a record's line that say nothing of the message itself.
_BESIDE = {
    *("type", "app", "author", "conversation", "conversation_id", "conversation_source", "scope"),
    *("id", "time", "time_ms", "kind", "kind_number", "author_source", "direction", "ranges", "attachments", "source"),
    *("reply_to", "native", "reactions", "history", "tombstone", "edited", "expires", "received"),
}


@dataclass(frozen=True)
class Shown:
    """A record's line: the message it says, its reactions as marks, and the line itself."""

    message: Message
    marks: list[Mark]
    line: dict[str, Json]


@dataclass
class Exported:
    """A whole export."""

    contacts: dict[ContactKey, Contact] = field(default_factory=dict)
    conversations: dict[ConversationKey, Conversation] = field(default_factory=dict)
    records: list[Shown] = field(default_factory=list)

    def names(self, app: str) -> dict[str, str | None]:
        """Names of contacts by their source."""
        return {key.source: contact.name for key, contact in self.contacts.items() if key.app == app}

    def remarks(self, app: str) -> dict[str, str | None]:
        return {key.source: contact.remark for key, contact in self.contacts.items() if key.app == app}

    def title(self, message: Message) -> str:
        return self.conversations[message.conversation].title


def lines(path: Path) -> Iterator[dict[str, Json]]:
    """The objects of an export; each line is one object whose first key is its type."""
    with path.open(encoding="utf-8") as file:
        for text in file:
            assert text.startswith('{"type":"')
            line: dict[str, Json] = json.loads(text)
            yield line


def read_export(path: Path) -> Exported:
    """Read a whole export back."""
    found = Exported()
    for line in lines(path):
        match line["type"]:
            case "contact":
                contact = _contact(line)
                found.contacts[contact.key] = contact
            case "conversation":
                conversation = _conversation(line)
                found.conversations[conversation.key] = conversation
            case "record":
                found.records.append(read_record(line))
            case other:
                raise AssertionError(f"a line of the type {other!r}")
    return found


def read_record(line: dict[str, Json]) -> Shown:
    """The message that a record's line says."""
    moment, precision, offset = read_time(line["time"])
    direction = line.get("direction")
    message = Message(
        conversation=ConversationKey(line["app"], line.get("scope", ""), line["conversation_source"]),
        time=line.get("time_ms", moment),
        kind=line.get("kind_number", Kind[line["kind"].upper()]),
        precision=precision,
        offset=line.get("offset", offset),
        source=_source(line["source"]),
        native=_native(line["native"]) if "native" in line else None,
        author=line.get("author_source"),
        direction=None if direction is None else Direction[direction.upper()],
        ranges=_ranges(line.get("ranges")),
        edited=_utc(line.get("edited")),
        expires=_utc(line.get("expires")),
        received=_utc(line.get("received")),
        reply_to=_target(line["reply_to"]) if "reply_to" in line else None,
        attachments=_attachments(line.get("attachments")),
        **{key: value for key, value in line.items() if key not in _BESIDE and key != "offset"},
    )
    identifier = bytes.fromhex(line["id"])
    return Shown(message, [_reaction(identifier, one) for one in line.get("reactions", ())], line)


def read_time(text: str) -> tuple[int, Precision, int | None]:
    """Milliseconds (UTC, or civil where there is no zone), precision, minutes east of UTC."""
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset()
    whole = moment if offset is not None else moment.replace(tzinfo=UTC)
    civil = text.split("+")[0].removesuffix("Z")
    clock = civil.partition("T")[2].split("-")[0]
    precision = {0: Precision.DAYS, 5: Precision.MINUTES, 8: Precision.SECONDS, 12: Precision.MILLISECONDS}[len(clock)]
    minutes = None if offset is None else int(offset.total_seconds()) // 60
    return int(whole.timestamp()) * 1000 + whole.microsecond // 1000, precision, minutes


def _utc(text: str | None) -> int | None:
    return None if text is None else read_time(text)[0]


def _contact(line: dict[str, Json]) -> Contact:
    return Contact(
        key=ContactKey(line["app"], line["scope"], line["source"]),
        name=line["name"],
        remark=line.get("remark"),
        alias=line.get("alias"),
        avatar=line.get("avatar"),
        rank=line["rank"],
        extension=line.get("extension"),
    )


def _conversation(line: dict[str, Json]) -> Conversation:
    key = ConversationKey(line["app"], line["scope"], line["source"])
    kind = line.get("chat_type_number", ConversationType[line["chat_type"].upper()])
    return Conversation(key, line["title"], kind, line["rank"], line.get("extension"))


def _source(value: Json) -> Json:
    return tuple(map(_source, value)) if isinstance(value, list) else value


def _native(value: dict[str, Json]) -> NativeIdentity:
    return NativeIdentity(value["device"], value["clock"], bytes.fromhex(value["salt"]), value["index"])


def _target(value: dict[str, Json]) -> Json:
    return _source(value["source"]) if "source" in value else bytes.fromhex(value["id"])


def _ranges(value: list[dict[str, Json]] | None) -> tuple[Range, ...] | None:
    if value is None:
        return None
    return tuple(
        Range(one.get("type_number", RangeType[one["type"].upper()]), one["start"], one["length"], one.get("value"))
        for one in value
    )


def _attachments(value: list[dict[str, Json]] | None) -> tuple[Attachment, ...] | None:
    if value is None:
        return None
    return tuple(Attachment(**{**one, "state": AttachmentState[one["state"].upper()]}) for one in value)


def _reaction(target: bytes, value: dict[str, Json]) -> Mark:
    return Mark(
        type=MarkType.REACTION,
        target=target,
        key=value["key"],
        actor=value.get("actor"),
        count=value["count"],
        time=_utc(value.get("time")),
        extension=value.get("extension"),
    )
