"""Parts of JSON lines: names for the numbers of spec §7, and small objects as maps without what is absent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final

from sealkeep_client.exporting._names import Names
from sealkeep_client.exporting._times import utc
from sealkeep_protocol.records import (
    Attachment,
    AttachmentState,
    Contact,
    Content,
    ConversationKey,
    ConversationType,
    Kind,
    Mark,
    NativeIdentity,
    Range,
    RangeType,
    Reaction,
    TombstoneReason,
)

Fields = dict[str, Any]


def _named(numbers: type[IntEnum]) -> dict[int, str]:
    return {int(one): one.name.lower() for one in numbers}


_KINDS: Final = _named(Kind)
_CHAT_TYPES: Final = _named(ConversationType)
_RANGES: Final = _named(RangeType)
_STATES: Final = _named(AttachmentState)
_REASONS: Final = _named(TombstoneReason)


def kind_name(kind: int) -> str:
    """The name of a kind of messages, `unknown` for one that this version does not know."""
    return _KINDS.get(kind, "unknown")


def chat_type_fields(number: int) -> Fields:
    """The type of a conversation; one that this version does not know counts as unknown, and its number is kept."""
    name = _CHAT_TYPES.get(number)
    return {"chat_type": "unknown", "chat_type_number": number} if name is None else {"chat_type": name}


def contact_fields(contact: Contact) -> Fields:
    """A contact without its id."""
    return {"name": None, **contact.key._asdict(), **_contact(contact)}


def content_fields(content: Content) -> Fields:
    """An earlier text of a message."""
    line: Fields = {"text": content.text}
    if content.ranges is not None:
        line["ranges"] = list(map(range_fields, content.ranges))
    if content.edited:
        line["edited"] = utc(content.edited)
    return line


def range_fields(value: Range) -> Fields:
    """A range; start and length are in code points."""
    name = _RANGES.get(value.type)
    line: Fields = {"type": name or "other", "start": value.start, "length": value.length}
    if name is None:
        line["type_number"] = value.type
    if value.value is not None:
        line["value"] = value.value
    return line


def attachment_fields(value: Attachment, files: Mapping[bytes, str]) -> Fields:
    """An attachment; sizes in bytes, duration in ms; `file` is its path among those that were written beside."""
    name = _STATES.get(value.state)
    line = {**_attachment(value), "state": value.state if name is None else name}
    if value.root is not None:
        line["root"] = value.root.hex()
        if value.root in files:
            line["file"] = files[value.root]
    return line


def native_fields(value: NativeIdentity) -> Fields:
    """What names a record without a source."""
    return {"device": value.device, "clock": value.clock, "salt": value.salt.hex(), "index": value.ordinal}


def reaction_fields(value: Reaction, names: Names, chat: ConversationKey) -> Fields:
    """A reaction, with the name that its actor is shown by."""
    line = _reaction(value)
    if value.actor is not None:
        line["actor_name"] = names.of(chat.app, chat.scope, value.actor)
    if value.time is not None:
        line["time"] = utc(value.time)
    return line


def tombstone_fields(mark: Mark) -> Fields:
    """The mark that says that a record is gone."""
    line = _mark(mark)
    name = None if mark.reason is None else _REASONS.get(mark.reason)
    if name is not None:
        line["reason"] = name
    if mark.time is not None:
        line["time"] = utc(mark.time)
    return line


def _present(kind: type[Any], without: Collection[str] = ()) -> Callable[[Any], Fields]:
    """Makes a map of an object's fields that are there. A field that a later version adds is not forgotten."""
    names: Sequence[str] = tuple(field.name for field in fields(kind) if field.name not in without)
    get: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)

    def present(value: Any) -> Fields:
        return {name: one for name, one in zip(names, get(value), strict=True) if one is not None}

    return present


_contact: Final = _present(Contact, {"key"})
_reaction: Final = _present(Reaction)
_attachment: Final = _present(Attachment, {"state"})
_mark: Final = _present(Mark, {"type", "target"})
