"""The way back from a Telegram record to the entry that it was made of (see `support.exports`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sealkeep_protocol.records import Attachment, Mark, Message
from support.exports import Json, civil

_ENTITIES = {
    0: None,
    1: "bold",
    2: "italic",
    3: "underline",
    4: "strikethrough",
    5: "code",
    6: "pre",
    7: "spoiler",
    8: "blockquote",
    16: "mention",
    17: "mention_name",
    18: "hashtag",
    19: "cashtag",
    20: "bot_command",
    21: "link",
    22: "text_link",
    23: "email",
    24: "phone",
    25: "custom_emoji",
    26: "bank_card",
}
_VALUES = {6: "language", 17: "user_id", 22: "href", 25: "document_id"}
_MEDIA = {
    "sticker": "sticker",
    "voice": "voice_message",
    "round-video": "video_message",
    "animation": "animation",
    "video": "video_file",
    "audio": "audio_file",
}


def rebuild_telegram(message: Message, marks: Iterable[Mark], names: Mapping[str, str | None]) -> dict[str, Json]:
    """The entry that a record was made of; `names` are the contacts' names by their source."""
    extension, details = dict(message.extension or {}), dict(message.details or {})
    is_service = "action" in details or "information_text" in details
    offset = message.offset or 0
    entry: dict[str, Json] = {"id": message.source, "type": "service" if is_service else "message"}
    entry |= {"date": civil(message.time, offset), "date_unixtime": str(message.time // 1000)}
    if message.author is not None:
        who = "actor" if is_service else "from"
        entry[who] = names[message.author] if message.author_name is None else message.author_name
        entry[f"{who}_id"] = message.author
    entry |= _rebuild_text(message)
    if message.edited is not None:
        entry |= {"edited": civil(message.edited, offset), "edited_unixtime": str(message.edited // 1000)}
    if message.reply_to is not None:
        entry["reply_to_message_id"] = message.reply_to
    for key, value in (message.forwarded or {}).items():
        entry[key if key.startswith("saved_") else f"forwarded_{key}"] = value
    for attachment in message.attachments or ():
        entry |= _rebuild_file(attachment)
    if reactions := _rebuild_reactions(marks, offset, names):
        entry["reactions"] = reactions
    return entry | details | extension


def _rebuild_text(message: Message) -> dict[str, Json]:
    text, position, parts = message.text or "", 0, []
    for part in message.ranges or ():
        if part.start > position:
            parts.append({"type": "plain", "text": text[position : part.start]})
        position = part.start + part.length
        name = _ENTITIES[part.type] or part.value
        entity: dict[str, Json] = {"type": name, "text": text[part.start : position]}
        if part.type in _VALUES and part.value is not None:
            entity[_VALUES[part.type]] = int(part.value.removeprefix("user")) if part.type == 17 else part.value
        parts.append(entity)
    if position < len(text):
        parts.append({"type": "plain", "text": text[position:]})
    bare = [part["text"] if part["type"] == "plain" else part for part in parts]
    if not bare or (len(bare) == 1 and type(bare[0]) is str):
        return {"text": text, "text_entities": parts}
    if message.extension and "text_entities" in message.extension:
        raw: Json = message.extension["text_entities"]
        return {"text": [part["text"] if part["type"] == "plain" else part for part in raw], "text_entities": raw}
    return {"text": bare, "text_entities": parts}


def _rebuild_file(attachment: Attachment) -> dict[str, Json]:
    key = {"photo": "photo", "thumbnail": "thumbnail", "vcard": "contact_vcard"}.get(attachment.role, "file")
    found = {
        key: attachment.path,
        "file_size" if key == "file" else f"{key}_file_size": attachment.size,
        "file_name": attachment.name,
        "mime_type": attachment.media_type,
        "width": attachment.width,
        "height": attachment.height,
        "duration_seconds": None if attachment.duration is None else attachment.duration // 1000,
        "media_type": _MEDIA.get(attachment.role),
    }
    return {name: value for name, value in found.items() if value is not None}


def _rebuild_reactions(marks: Iterable[Mark], offset: int, names: Mapping[str, str | None]) -> list[dict[str, Json]]:
    by_key: dict[str, list[Mark]] = {}
    for mark in marks:
        by_key.setdefault(mark.key or "", []).append(mark)
    reactions = []
    for key, group in by_key.items():
        actors = [mark for mark in group if mark.actor is not None]
        total = next((mark for mark in group if mark.actor is None), None)
        more = dict(total.extension or {}) if total else {}
        kind = more.get("type", "emoji")
        reaction: dict[str, Json] = {"type": kind, "count": len(actors) if total is None else total.count}
        if kind != "paid":
            reaction["emoji" if kind == "emoji" else "document_id"] = key
        if actors:
            reaction["recent"] = [
                {
                    "from": names[mark.actor or ""],
                    "from_id": mark.actor,
                    "date": civil(mark.time or 0, offset),
                    **(mark.extension or {}),
                }
                for mark in actors
            ]
        reactions.append(reaction | more)
    return reactions
