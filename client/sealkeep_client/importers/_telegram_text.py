"""Telegram texts: `text` and `text_entities` to a text with ranges, and back to see whether anything was lost.

A range's value holds what the entity says beside its type and text. What does not come back exactly (unknown keys,
neighbouring plain parts, a `text` that says something else) is kept raw in the extension map.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from sealkeep_protocol.records import Range, RangeType

Json: TypeAlias = Any

RANGES = {
    "bold": RangeType.BOLD,
    "italic": RangeType.ITALIC,
    "underline": RangeType.UNDERLINE,
    "strikethrough": RangeType.STRIKETHROUGH,
    "code": RangeType.CODE,
    "pre": RangeType.PREFORMATTED,
    "spoiler": RangeType.SPOILER,
    "blockquote": RangeType.BLOCK_QUOTE,
    "mention": RangeType.MENTION,
    "mention_name": RangeType.MENTION_NAME,
    "hashtag": RangeType.HASHTAG,
    "cashtag": RangeType.CASHTAG,
    "bot_command": RangeType.BOT_COMMAND,
    "link": RangeType.LINK,
    "text_link": RangeType.TEXT_LINK,
    "email": RangeType.EMAIL,
    "phone": RangeType.PHONE,
    "custom_emoji": RangeType.CUSTOM_EMOJI,
    "bank_card": RangeType.BANK_CARD,
}
_NUMBERS = {name: int(number) for name, number in RANGES.items()}
# The key that an entity of a type has beside type and text.
_VALUE_KEY = {"pre": "language", "mention_name": "user_id", "text_link": "href", "custom_emoji": "document_id"}


class Text(NamedTuple):
    """A text, its ranges, and what these two cannot say."""

    text: str
    ranges: tuple[Range, ...] | None
    raw: dict[str, Json]


def read_text(text: Json, entities: Json) -> Text:
    """Turn what a message says as `text` and `text_entities` (None where absent) into a text with ranges."""
    if type(text) is str:
        if not entities and (entities is None or text == ""):
            return Text(text, None, {})
        # Nine of ten messages are one plain part.
        if type(entities) is list and len(entities) == 1:
            only = entities[0]
            if type(only) is dict and len(only) == 2 and only.get("type") == "plain" and only.get("text") == text:
                return Text(text, None, {})
    parts = entities if type(entities) is list and entities else text
    read = _read_parts(parts)
    if read is None:
        raw = {key: value for key, value in (("text", text), ("text_entities", entities)) if value is not None}
        return Text(text if type(text) is str else _plain(text), None, raw)
    joined, ranges, is_exact = read
    raw = {}
    if entities is not None and not (is_exact and type(entities) is list and str not in map(type, entities)):
        raw["text_entities"] = entities
    if not _says(text, parts):
        raw["text"] = text
        if not joined:
            joined = text if type(text) is str else _plain(text)
    return Text(joined, tuple(ranges) or None, raw)


def _read_parts(parts: Json) -> tuple[str, list[Range], bool] | None:
    """Text and ranges of an array of parts, and whether they say all; None where it is no such array."""
    if type(parts) is str:
        return parts, [], True
    if type(parts) is not list:
        return None
    texts: list[str] = []
    ranges: list[Range] = []
    position = 0
    is_exact = True
    after_plain = False
    for part in parts:
        if type(part) is str:
            part = {"type": "plain", "text": part}
        elif type(part) is not dict:
            return None
        name, text = part.get("type"), part.get("text")
        if type(name) is not str or type(text) is not str:
            return None
        texts.append(text)
        if name == "plain":
            is_exact &= len(part) == 2 and not after_plain and text != ""
            after_plain = True
        else:
            after_plain = False
            key = _VALUE_KEY.get(name)
            value = part.get(key) if key else None
            is_exact &= len(part) == 2 + (value is not None)
            if name == "mention_name" and type(value) is int:
                value = f"user{value}"
            elif value is not None and type(value) is not str:
                is_exact, value = False, str(value)
            number = _NUMBERS.get(name)
            if number is None:
                ranges.append(Range(int(RangeType.OTHER), position, len(text), name))
            else:
                ranges.append(Range(number, position, len(text), value))
        position += len(text)
    return "".join(texts), ranges, is_exact


def _says(text: Json, parts: list[Json]) -> bool:
    """Whether `text` is what the format makes of these parts: plain parts bare, one plain part alone as a string."""
    if parts is text:
        return True
    bare = [part["text"] if type(part) is dict and part["type"] == "plain" else part for part in parts]
    if len(bare) == 1 and type(bare[0]) is str:
        return bool(text == bare[0])
    return bool(text == bare)


def _plain(text: Json) -> str:
    """The readable part of something that is no text of the format."""
    if type(text) is str:
        return text
    if type(text) is dict:
        return _plain(text.get("text"))
    if type(text) is list:
        return "".join(map(_plain, text))
    return ""
