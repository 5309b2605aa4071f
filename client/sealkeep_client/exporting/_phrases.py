"""What a page says of messages that are more than their text: the apps' own lines, calls, files and amounts.

Details and extensions are whatever a source wrote: a key may hold anything, and what is not of the expected type is passed
over, or shown as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sealkeep_client.exporting._markup import escape, name, rich
from sealkeep_protocol.records import Attachment, AttachmentState, Kind, Message, TombstoneReason

_LONG: Final = 400  # characters of a value in a row
_SIZES: Final = (("kB", 3), ("MB", 6), ("GB", 9))

# kind -> (sign, what it is called where it has no name)
LABELS: Final[Mapping[int, tuple[str, str]]] = {
    Kind.UNKNOWN: ("❔", "Message of an unknown kind"),
    Kind.IMAGE: ("🖼️", "Photo"),
    Kind.VIDEO: ("🎬", "Video"),
    Kind.ROUND_VIDEO: ("🎥", "Video message"),
    Kind.ANIMATION: ("🎞️", "Animation"),
    Kind.VOICE: ("🎤", "Voice message"),
    Kind.AUDIO: ("🎵", "Audio"),
    Kind.FILE: ("📄", "File"),
    Kind.STICKER: ("🙂", "Sticker"),
    Kind.LOCATION: ("📍", "Location"),
    Kind.CONTACT_CARD: ("👤", "Contact"),
    Kind.LINK: ("🔗", "Link"),
    Kind.MERGED_FORWARD: ("🗂️", "Forwarded messages"),
    Kind.POLL: ("📊", "Poll"),
    Kind.CALL: ("📞", "Call"),
    Kind.MONEY: ("💰", "Payment"),
    Kind.POKE: ("👉", "Poke"),
    Kind.VIEW_ONCE: ("👁️", "View-once message"),
    Kind.RECALL: ("🚫", "Recalled message"),
    Kind.SERVICE: ("ℹ️", "Notice"),
}
# Their files have names that an app made up.
_NAMELESS: Final = frozenset({Kind.ROUND_VIDEO, Kind.ANIMATION, Kind.VOICE, Kind.STICKER})
_GONE: Final[Mapping[int, str]] = {
    TombstoneReason.RECALLED: "This message was recalled",
    TombstoneReason.RECALLED_BY_ADMIN: "This message was removed by an admin",
    TombstoneReason.DELETED: "This message was deleted",
}
# action -> (what its actor did, the detail that completes the sentence)
_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "clear_history": ("cleared the history", ""),
    "create_channel": ("created the channel", "title"),
    "create_group": ("created the group", "title"),
    "delete_group_photo": ("removed the photo", ""),
    "edit_chat_theme": ("changed the theme", "emoticon"),
    "edit_group_photo": ("changed the photo", ""),
    "edit_group_title": ("changed the title to", "title"),
    "group_call": ("held a group call", ""),
    "invite_members": ("added", "members"),
    "invite_to_group_call": ("invited to a call", "members"),
    "join_group_by_link": ("joined by a link", ""),
    "join_group_by_request": ("joined by request", ""),
    "joined_telegram": ("joined Telegram", ""),
    "migrate_from_group": ("went on here from the group", "title"),
    "migrate_to_supergroup": ("made the group a supergroup", ""),
    "pin_message": ("pinned a message", ""),
    "proximity_reached": ("came close to", "to"),
    "remove_members": ("removed", "members"),
    "score_in_game": ("scored in a game:", "score"),
    "set_chat_wallpaper": ("changed the wallpaper", ""),
    "set_messages_ttl": ("set messages to disappear after", "period"),
    "suggest_profile_photo": ("suggested a profile photo", ""),
    "take_screenshot": ("took a screenshot", ""),
    "topic_created": ("opened the topic", "title"),
    "topic_edit": ("changed the topic", "new_title"),
}


def sign(kind: int) -> str:
    """A kind's sign."""
    return LABELS.get(kind, LABELS[0])[0]


def label(kind: int) -> str:
    """What a message of a kind is called where nothing names it better."""
    return LABELS.get(kind, LABELS[0])[1]


def gone(reason: int | None) -> str:
    """What stands in place of a message that a tombstone covers."""
    return _GONE.get(reason or 0, "This message is gone")


def word(value: object) -> str | None:
    """A value of a map, where it is a text (not empty) or a number."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if type(value) is int else None


def words(source: Mapping[str, Any] | None, *keys: str) -> str | None:
    """The first value of `keys` that is a word."""
    return next((found for key in keys if source and (found := word(source.get(key))) is not None), None)


def maps(value: object) -> list[Mapping[str, Any]]:
    """The maps of an array."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def size(count: int) -> str:
    """`1.2 MB` of bytes."""
    if count < 1_000:
        return f"{count} B"
    unit, length = next(((unit, 10**power) for unit, power in _SIZES if count < 999.5 * 10**power), ("TB", 10**12))
    amount = count / length
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def duration(seconds: int) -> str:
    """`1:05` or `1:00:05` of seconds."""
    minutes, seconds = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def period(seconds: int) -> str:
    """`1 day` of seconds."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}{'' if seconds == length else 's'}"
    return f"{seconds} seconds"


def file_name(attachment: Attachment, kind: int) -> str:
    """What an attachment is called: by its name, where people would know it by that."""
    if attachment.name and kind not in _NAMELESS:
        return attachment.name
    if attachment.path and attachment.state != AttachmentState.MISSING and kind in (Kind.FILE, Kind.AUDIO):
        return attachment.path.replace("\\", "/").rpartition("/")[2] or label(kind)
    return label(kind) if kind in LABELS and kind != Kind.TEXT else attachment.role or "File"


def file_facts(attachment: Attachment, kind: int) -> str:
    """Length, dimensions and size of an attachment, and whether the source left it out."""
    facts = []
    if attachment.duration is not None:
        facts.append(duration(attachment.duration // 1000))
    if attachment.width and attachment.height:
        facts.append(f"{attachment.width} × {attachment.height}")
    if attachment.size is not None:
        facts.append(size(attachment.size))
    if attachment.name and kind in _NAMELESS:
        facts.append(attachment.name)
    if attachment.state == AttachmentState.MISSING:
        facts.append("left out by the source")
    return " · ".join(facts)


def service(message: Message, author: str | None) -> str:
    """An app's own line as HTML: its text, or a sentence made of what it says happened."""
    if message.text:
        return rich(message.text, message.ranges)
    details = message.details or {}
    told = words(details, "information_text")
    action = words(details, "action")
    if told is not None or action is None:
        return escape(told or label(message.kind))
    verb, key = _ACTIONS.get(action, (action.replace("_", " "), "title"))
    value = details.get(key)
    rest = ""
    if key == "period" and type(value) is int:
        rest = f" {period(value)}"
    elif isinstance(value, (list, tuple)):
        rest = " " + listed(value)
    elif (found := word(value)) is not None:
        rest = f" {name(found)}"
    return f"{name(author)} {escape(verb)}{rest}" if author is not None else escape(verb) + rest


def listed(values: Iterable[object]) -> str:
    """Names, the way they are listed in a sentence, as HTML."""
    shown = [name(word(value) or "somebody") for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "nobody"


def rows(source: Mapping[str, Any], without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """(name, value) of what a map says, one level of maps inside it opened."""
    left_out = frozenset(without)
    found: list[tuple[str, str]] = []
    for key, value in source.items():
        if key in left_out or value is None or value == "":
            continue
        if isinstance(value, Mapping):
            found += [(human(inner), _shown(one)) for inner, one in value.items() if one not in (None, "")]
        else:
            found.append((human(key), _shown(value)))
    return found


def human(key: str) -> str:
    """`duration_seconds` as people write it."""
    return key.replace("_", " ").strip().capitalize()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = word(value)
    if text is None:
        text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (Mapping, Sequence)) else ""
    return text if len(text) <= _LONG else text[:_LONG] + "…"
