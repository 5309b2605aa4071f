"""WeChat contents: `Type`, `SubType` and `StrContent` to kind, text, files and details (spec §7.5).

Plain contents are the text. XML is kept raw in the extension map; what is simple in it (titles, links, quotes, amounts,
sizes) is read besides, and where it is malformed it is only kept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sealkeep_protocol.records import Attachment, AttachmentState, Kind, Value

from ._fit import INT_MAX
from ._xml import fields

_KINDS = {
    1: Kind.TEXT,
    3: Kind.IMAGE,
    34: Kind.VOICE,
    42: Kind.CONTACT_CARD,
    43: Kind.VIDEO,
    47: Kind.STICKER,
    48: Kind.LOCATION,
    50: Kind.CALL,
    62: Kind.VIDEO,
    66: Kind.CONTACT_CARD,
    10000: Kind.SERVICE,
    10002: Kind.SERVICE,
}
_APP_KINDS = {
    1: Kind.TEXT,
    3: Kind.LINK,
    4: Kind.LINK,
    5: Kind.LINK,
    6: Kind.FILE,
    8: Kind.STICKER,
    17: Kind.LOCATION,
    19: Kind.MERGED_FORWARD,
    24: Kind.MERGED_FORWARD,
    33: Kind.LINK,
    36: Kind.LINK,
    40: Kind.MERGED_FORWARD,
    51: Kind.LINK,
    53: Kind.TEXT,
    57: Kind.TEXT,
    62: Kind.POKE,
    63: Kind.LINK,
    74: Kind.FILE,
    76: Kind.LINK,
    87: Kind.SERVICE,
    2000: Kind.MONEY,
    2001: Kind.MONEY,
    2003: Kind.MONEY,
}
_RECALLED = re.compile(r"撤回了(?:一条|成员.{0,200}的一条)消息|recalled a message|has been recalled")
_SENDER_LINE = re.compile(r"\A[\w@.-]{1,80}:\s*\n")

# kind -> (role, paths of size, of duration and its unit in ms, of name)
_FILES = {
    Kind.IMAGE: ("image", ("img@length",), ("", 1), "img@md5"),
    Kind.VOICE: ("voice", ("voicemsg@length",), ("voicemsg@voicelength", 1), ""),
    Kind.VIDEO: ("video", ("videomsg@length",), ("videomsg@playlength", 1000), "videomsg@md5"),
    Kind.STICKER: ("sticker", ("emoji@len",), ("", 1), "emoji@md5"),
    Kind.FILE: ("file", ("appmsg/appattach/totallen",), ("", 1), "appmsg/title"),
}

# role -> where exporters put its files, beside the CSV, and what they add to an MD5
FOLDERS = {
    "image": ("image", "images"),
    "voice": ("voice", "voices", "audio"),
    "video": ("video", "videos"),
    "sticker": ("emoji", "emojis", "sticker"),
    "file": ("file", "files"),
}
SUFFIXES = {
    "image": (".jpg", ".png", ".jpeg", ".gif", ".webp"),
    "video": (".mp4",),
    "sticker": (".gif", ".png", ".jpg", ".webp"),
}

# name in details -> paths
_DETAILS = {
    "title": ("appmsg/title",),
    "description": ("appmsg/des",),
    "url": ("appmsg/url",),
    "app": ("appinfo/appname", "appmsg/sourcedisplayname"),
    "amount": ("appmsg/wcpayinfo/feedesc",),
    "memo": ("appmsg/wcpayinfo/pay_memo", "appmsg/wcpayinfo/sendertitle"),
    "step": ("appmsg/wcpayinfo/paysubtype",),
    "contact": ("@username",),
    "nickname": ("@nickname",),
    "latitude": ("location@x",),
    "longitude": ("location@y",),
    "label": ("location@label",),
    "place": ("location@poiname",),
}
_QUOTE = {
    "from": "appmsg/refermsg/chatusr",
    "chat": "appmsg/refermsg/fromusr",
    "name": "appmsg/refermsg/displayname",
    "type": "appmsg/refermsg/type",
    "text": "appmsg/refermsg/content",
    "time": "appmsg/refermsg/createtime",
}
_MAX_PARSED = 4_000  # characters of a value read out of XML: the raw text is kept anyway


class Content(NamedTuple):
    """What a content says. `raw` is the content where the text does not say it whole."""

    kind: Kind
    text: str | None
    attachments: tuple[Attachment, ...] | None = None
    quote: dict[str, Value] | None = None
    details: dict[str, Value] | None = None
    raw: str | None = None


def read_content(type_: int, sub_type: int, content: str) -> Content:
    """Turn a content into what a message's fields hold."""
    kind = _KINDS.get(type_, Kind.UNKNOWN)
    if type_ == 49:
        kind = _APP_KINDS.get(sub_type, Kind.UNKNOWN)
    elif type_ == 10000 and sub_type == 4:
        kind = Kind.POKE
    elif kind is Kind.SERVICE and _RECALLED.search(content):
        kind = Kind.RECALL
    body = content
    if type_ != 1 and (sender := _SENDER_LINE.match(content)):
        body = content[sender.end() :]
    if type_ == 1 or not body.lstrip().startswith("<"):
        return Content(kind, content or None, _named_file(kind, {}))
    found = fields(body.strip()) or {}
    text = found.get("appmsg/title") if type_ == 49 else None
    return Content(
        kind,
        text[:_MAX_PARSED] if text else None,
        _named_file(kind, found),
        _take(found, {name: (path,) for name, path in _QUOTE.items()}),
        _take(found, _DETAILS),
        content,
    )


def _take(found: dict[str, str], paths: dict[str, tuple[str, ...]]) -> dict[str, Value] | None:
    taken: dict[str, Value] = {}
    for name, places in paths.items():
        value = next((found[place] for place in places if found.get(place)), None)
        if value and len(value) <= _MAX_PARSED:
            taken[name] = value
    return taken or None


def _named_file(kind: Kind, found: dict[str, str]) -> tuple[Attachment, ...] | None:
    """The file that a message of this kind has, though the CSV never holds it."""
    if kind not in _FILES:
        return None
    role, sizes, (duration_path, unit), name_path = _FILES[kind]
    duration = _number(found.get(duration_path))
    return (
        Attachment(
            role,
            name=found.get(name_path),
            size=next((size for path in sizes if (size := _number(found.get(path))) is not None), None),
            duration=None if duration is None or duration > INT_MAX // unit else duration * unit,
            state=int(AttachmentState.NAMED),
        ),
    )


def _number(value: str | None) -> int | None:
    return int(value) if value and len(value) < 19 and value.isascii() and value.isdecimal() else None
