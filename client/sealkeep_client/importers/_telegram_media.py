"""Files, forwards and kinds of Telegram entries: what an entry names beside its text (spec §7.5).

Each reader takes out of the entry what it could say in a record's fields; a key whose value is not what the format says
stays where it is.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sealkeep_protocol.records import Attachment, AttachmentState, Kind

from ._fit import INT_MAX, fitted

Entry: TypeAlias = dict[str, Any]

_MEDIA = {
    "sticker": (Kind.STICKER, "sticker"),
    "voice_message": (Kind.VOICE, "voice"),
    "video_message": (Kind.ROUND_VIDEO, "round-video"),
    "animation": (Kind.ANIMATION, "animation"),
    "video_file": (Kind.VIDEO, "video"),
    "audio_file": (Kind.AUDIO, "audio"),
}

# Keys that belong to a kind, and the kind they tell, in this order, where no file does.
_DETAILS = {
    "poll": Kind.POLL,
    "todo_list": Kind.POLL,
    "contact_information": Kind.CONTACT_CARD,
    "location_information": Kind.LOCATION,
    "live_location_period_seconds": Kind.LOCATION,
    "place_name": Kind.LOCATION,
    "address": Kind.LOCATION,
    "invoice_information": Kind.MONEY,
    "giveaway_information": Kind.MONEY,
    "giveaway_results": Kind.MONEY,
    "game_title": Kind.LINK,
    "game_description": Kind.LINK,
    "game_link": Kind.LINK,
    "dice": Kind.ANIMATION,
    "sticker_emoji": None,
    "performer": None,
    "title": None,
    "self_destruct_period_seconds": None,
    "media_spoiler": None,
}

ACTIONS = {
    "phone_call": Kind.CALL,
    "group_call": Kind.CALL,
    "conference_call": Kind.CALL,
    "send_payment": Kind.MONEY,
    "send_premium_gift": Kind.MONEY,
    "send_star_gift": Kind.MONEY,
    "stars_gift": Kind.MONEY,
    "star_gift": Kind.MONEY,
    "gift_stars": Kind.MONEY,
    "gift_ton": Kind.MONEY,
    "stars_prize": Kind.MONEY,
    "gift_code": Kind.MONEY,
    "refund_star": Kind.MONEY,
    "paid_messages_refund": Kind.MONEY,
}

# What the format writes in place of a path.
_LEFT_OUT = (
    "(File not included. ",
    "(File exceeds maximum size. ",
    "(File unavailable, ",
    "(Photo not included. ",
    "(Photo exceeds maximum size. ",
    "(Photo unavailable, ",
)


def read_forwarded(entry: Entry) -> dict[str, Any] | None:
    found = {}
    for key in [key for key in entry if key.startswith(("forwarded_", "saved_"))]:
        name = key.removeprefix("forwarded_")
        found[name] = fitted(entry.pop(key))
    return found or None


def read_details(entry: Entry) -> tuple[Kind | None, dict[str, Any] | None]:
    kind = None
    found = {}
    for key in [key for key in entry if key in _DETAILS]:
        kind = kind or _DETAILS[key]
        found[key] = fitted(entry.pop(key))
    return kind, found or None


def read_attachments(entry: Entry) -> tuple[Kind | None, tuple[Attachment, ...] | None]:
    """The files that an entry names; a key whose value is not what the format says stays in the entry."""
    found = []
    kind: Kind | None = None
    if type(entry.get("photo")) is str:
        kind = Kind.IMAGE
        found.append(_attachment(entry, "photo", "photo", with_size=True))
    if type(entry.get("file")) is str:
        kind, role = Kind.FILE, "file"
        media = entry.get("media_type")
        if type(media) is str and media in _MEDIA:
            kind, role = _MEDIA[media]
            del entry["media_type"]
        found.append(_attachment(entry, "file", role, with_size=True))
    if type(entry.get("thumbnail")) is str:
        found.append(_attachment(entry, "thumbnail", "thumbnail", with_size=False))
    if type(entry.get("contact_vcard")) is str:
        found.append(_attachment(entry, "contact_vcard", "vcard", with_size=False))
    return kind, tuple(found) or None


def _attachment(entry: Entry, key: str, role: str, *, with_size: bool) -> Attachment:
    path: str = entry.pop(key)
    # The placeholder stands alone, or behind the file's name.
    is_missing = path.endswith(")") and any(mark in path for mark in _LEFT_OUT)
    size = _number(entry, "file_size" if key == "file" else f"{key}_file_size")
    name = media = width = height = duration = None
    if with_size:
        width, height = _number(entry, "width"), _number(entry, "height")
    if key == "file":
        name, media = _string(entry, "file_name"), _string(entry, "mime_type")
        seconds = _number(entry, "duration_seconds", INT_MAX // 1000)
        duration = None if seconds is None else seconds * 1000
    return Attachment(
        role,
        name=name,
        media_type=media,
        size=size,
        width=width,
        height=height,
        duration=duration,
        path=path,
        state=int(AttachmentState.MISSING if is_missing else AttachmentState.NAMED),
    )


def _number(entry: Entry, key: str, highest: int = INT_MAX) -> int | None:
    value = entry.get(key)
    if type(value) is int and 0 <= value <= highest:
        del entry[key]
        return value
    return None


def _string(entry: Entry, key: str) -> str | None:
    value = entry.get(key)
    if type(value) is str:
        del entry[key]
        return value
    return None
