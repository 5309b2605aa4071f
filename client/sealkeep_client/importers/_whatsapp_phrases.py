"""What WhatsApp itself writes into a chat: files, calls, recalls, edits (spec §7.5).

Its phrases only tell the kind of a message and its file. Where one is not known, the line stays text: nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sealkeep_protocol.records import Attachment, AttachmentState, Kind

from ._whatsapp_words import ATTACHED, CALLS, DELETED, EDITED, IOS_OMITTED, OMITTED, POLLS

_MARKS = "".join(map(chr, (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_MARK = f"[{_MARKS}]"


def _either(phrases: Iterable[str]) -> str:
    return "(?:" + "|".join(map(re.escape, phrases)) + ")"


_ROLES = {
    "image": (Kind.IMAGE, "image"),
    "round": (Kind.ROUND_VIDEO, "round-video"),
    "video": (Kind.VIDEO, "video"),
    "audio": (Kind.AUDIO, "audio"),
    "gif": (Kind.ANIMATION, "animation"),
    "sticker": (Kind.STICKER, "sticker"),
    "document": (Kind.FILE, "file"),
    "contact": (Kind.CONTACT_CARD, "vcard"),
}
_OMITTED = re.compile(rf"{_MARK}*<{_either(OMITTED)}>(?:\n(?P<caption>.*))?", re.DOTALL)
_VIEW_ONCE = re.compile(rf"{_MARK}*<?View once (?:voice message|photo|video|message) omitted>?", re.IGNORECASE)
# iOS marks its phrases as its own, and writes the caption before them. What stands before is looked at by hand: a pattern
# that may begin anywhere, with a run of whatever length, takes the square of a body's length.
_IOS_OMITTED = re.compile(
    rf"{_MARK}(?P<phrase>"
    + "|".join(f"(?P<{role}>{_either(phrases)})" for role, phrases in IOS_OMITTED.items())
    + r")\Z"
)
# The word in front of the name differs by language, the form does not.
_IOS_ATTACHED = re.compile(rf"{_MARK}<[^\W\d][\w ]{{1,30}}\s?[:：]\s?(?P<name>[^<>/\\\n]{{1,250}}\.\w{{1,8}})>\Z")
# Android writes the name, a phrase in brackets, and the caption on the lines below.
_ATTACHED = re.compile(
    rf"(?P<own>{_MARK}*)(?P<name>[^/\\\n]{{1,250}}\.\w{{1,8}}) \((?:(?P<known>{_either(ATTACHED)})|[^()\n]{{3,40}})\)"
    r"(?:\n(?P<caption>.*))?",
    re.DOTALL,
)
_EDITED = re.compile(rf"<{_either(EDITED)}\.?>\s*\Z")
_DELETED = re.compile(rf"{_MARK}*(?:{_either(DELETED)}|This message was deleted by admin [^\n]{{1,200}})\.?\s*\Z")
_CALL = re.compile(rf"{_MARK}*{_either(CALLS)}\b")
_POLL = re.compile(rf"{_MARK}*{_either(POLLS)}\s?[:：]\s*\n")
_LOCATION = re.compile(
    rf"{_MARK}*(?:[^\n:]{{3,30}}: )?https://(?:maps\.google\.com/\?q=|foursquare\.com/v/)|{_MARK}*live location shared",
    re.IGNORECASE,
)
# Nearly every body has nothing of this, nor begins as a phrase does.
_SIGNS = re.compile(r"[<(\u200e\u200f]|https://(?:maps\.|foursquare)|live location", re.IGNORECASE)
_STARTS = tuple(sorted({phrase[:5] for phrase in (*DELETED, *CALLS, *POLLS)}))
_NAMES = (
    (re.compile(r"(?:IMG|PHOTO)[-_]|-PHOTO-|\.(?:jpe?g|png|heic)\Z", re.IGNORECASE), Kind.IMAGE, "image"),
    (re.compile(r"PTT[-_]|-PTT-|\.opus\Z", re.IGNORECASE), Kind.VOICE, "voice"),
    (re.compile(r"-GIF-|\.gif\Z", re.IGNORECASE), Kind.ANIMATION, "animation"),
    (re.compile(r"VID[-_]|-VIDEO-|\.(?:mp4|3gp|mov)\Z", re.IGNORECASE), Kind.VIDEO, "video"),
    (re.compile(r"STK[-_]|-STICKER-|\.webp\Z", re.IGNORECASE), Kind.STICKER, "sticker"),
    (re.compile(r"AUD[-_]|-AUDIO-|\.(?:mp3|m4a|aac|amr)\Z", re.IGNORECASE), Kind.AUDIO, "audio"),
    (re.compile(r"\.vcf\Z", re.IGNORECASE), Kind.CONTACT_CARD, "vcard"),
)


class Phrase(NamedTuple):
    """What a body is. `is_media` says that it counts as `media` and its caption in a source identity (spec §7.4)."""

    kind: Kind
    text: str
    attachment: Attachment | None = None
    is_media: bool = False
    edited: str | None = None


def read_body(body: str) -> Phrase:
    """Tell a body's kind. The text is without the app's own marks before it, and without what became a file or an edit."""
    if not body.startswith(_STARTS) and _SIGNS.search(body) is None:
        return Phrase(Kind.TEXT, body)
    edited = None
    if ">" in body and (match := _EDITED.search(body)):
        text = body[: match.start()].rstrip(_MARKS).rstrip()
        edited, body = body[len(text) :].strip(" \n\u200e"), text
    found = _media(body)
    if found is None:
        found = Phrase(_kind(body), body.lstrip("\u200e\u200f"))
    return found._replace(edited=edited)


def _media(body: str) -> Phrase | None:
    if "<" in body:
        if match := _OMITTED.fullmatch(body):
            return _missing(Kind.FILE, "media", body.partition("\n")[0], match["caption"] or "")
        if _VIEW_ONCE.fullmatch(body):
            return _missing(Kind.VIEW_ONCE, "media", body, "")
        if "\u200e" in body and (match := _IOS_ATTACHED.search(body)):
            return _attached(match["name"], body[: match.start()].rstrip(_MARKS))
    if (match := _IOS_OMITTED.search(body)) is not None:
        kind, role = next(_ROLES[name] for name in _ROLES if match[name])
        return _missing(kind, role, match["phrase"], body[: match.start()].rstrip(_MARKS))
    if "(" in body and (match := _ATTACHED.fullmatch(body)) and (match["known"] or "\u200e" in match["own"]):
        return _attached(match["name"], match["caption"] or "")
    return None


def _missing(kind: Kind, role: str, phrase: str, caption: str) -> Phrase:
    path = phrase.strip("\u200e\u200f")
    return Phrase(
        kind, _caption(caption), Attachment(role, path=path, state=int(AttachmentState.MISSING)), is_media=True
    )


def _attached(name: str, caption: str) -> Phrase:
    kind, role = next(((kind, role) for form, kind, role in _NAMES if form.search(name)), (Kind.FILE, "file"))
    attachment = Attachment(role, name=name, path=name, state=int(AttachmentState.NAMED))
    return Phrase(kind, _caption(caption), attachment, is_media=True)


def _caption(caption: str) -> str:
    return caption.strip("\u200e\u200f \n")


def _kind(body: str) -> Kind:
    if _DELETED.match(body):
        return Kind.RECALL
    if _CALL.match(body):
        return Kind.CALL
    if _POLL.match(body):
        return Kind.POLL
    if _LOCATION.match(body):
        return Kind.LOCATION
    return Kind.TEXT
