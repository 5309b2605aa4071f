"""Messages as lines of text, with what was searched for standing out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sealkeep_client.cli._output import cut, highlight, size, width
from sealkeep_protocol.records import Attachment, Direction, Kind, Message, MessageView, TombstoneReason

if TYPE_CHECKING:
    from sealkeep_client.vault import Record

_NAMES: Final[dict[int, str]] = {
    Kind.IMAGE: "photo",
    Kind.VIDEO: "video",
    Kind.ROUND_VIDEO: "video message",
    Kind.ANIMATION: "animation",
    Kind.VOICE: "voice message",
    Kind.AUDIO: "audio",
    Kind.FILE: "file",
    Kind.STICKER: "sticker",
    Kind.LOCATION: "place",
    Kind.CONTACT_CARD: "contact",
    Kind.LINK: "link",
    Kind.MERGED_FORWARD: "forwarded chat",
    Kind.POLL: "poll",
    Kind.CALL: "call",
    Kind.MONEY: "money",
    Kind.POKE: "poke",
    Kind.VIEW_ONCE: "view once",
    Kind.RECALL: "recalled",
    Kind.UNKNOWN: "unknown",
}
_GONE: Final[dict[int, str]] = {
    TombstoneReason.RECALLED: "(recalled by its author)",
    TombstoneReason.RECALLED_BY_ADMIN: "(recalled by an admin)",
    TombstoneReason.DELETED: "(deleted)",
}
# What importers keep of a message beside its text, by the key that says most.
_TELLING: Final = ("title", "amount", "label", "place", "place_name", "address", "nickname", "app", "action", "url")


def shown_author(record: Record) -> str:
    """Who wrote a message, as the person knows them; empty for what the app itself says."""
    return "You" if record.view.message.direction == Direction.SENT else record.author or ""


def describe(view: MessageView) -> list[str]:
    """A message as lines: at least one."""
    if view.tombstone is not None:
        return [_GONE.get(view.tombstone.reason or 0, "(deleted)")]
    message = view.message
    lines = []
    if message.forwarded:
        origin = message.forwarded.get("from")
        lines.append(f"forwarded from {origin}:" if isinstance(origin, str) else "forwarded:")
    if message.quote and isinstance(message.quote.get("text"), str):
        lines.append(f"> {cut(' '.join(str(message.quote['text']).split()), 60)}")
    first = " ".join(part for part in (_label(message), message.text or "") if part)
    lines.append(first + (" (edited)" if message.edited or view.history else "") or "(empty)")
    reactions = "  ".join(f"{one.key} {one.count}" if one.count > 1 else one.key for one in view.reactions)
    return [*lines, reactions] if reactions else lines


def _label(message: Message) -> str:
    """`[photo beach.jpg 1.2 MB]`: what a message is beside its text; nothing for a text."""
    kind = message.kind
    files = [file for file in message.attachments or () if file.role != "thumbnail"]
    details = message.details or {}
    if kind in (Kind.TEXT, Kind.SERVICE) and not files:
        action = details.get("action")
        return "" if message.text or not isinstance(action, str) else f"[{action.replace('_', ' ')}]"
    parts = [_NAMES.get(kind, "file"), *(_file(file) for file in files)]
    told = next((details[key] for key in _TELLING if isinstance(details.get(key), str)), None)
    if told and told != message.text and not files:
        parts.append(str(told).replace("_", " ") if "action" in details else str(told))
    poll = details.get("poll")
    if isinstance(poll, dict) and isinstance(poll.get("question"), str):
        parts.append(poll["question"])
    return f"[{' '.join(part for part in parts if part)}]"


def _file(file: Attachment) -> str:
    name = file.name or (file.path or "").replace("\\", "/").rsplit("/", 1)[-1]
    parts = [name]
    if file.duration:
        minutes, seconds = divmod(round(file.duration / 1000), 60)
        parts.append(f"{minutes}:{seconds:02}")
    if file.size:
        parts.append(size(file.size))
    return " ".join(part for part in parts if part)


class Hits:
    """Where searched words stand in a text: without regard to case, width and Latin accents, as the search itself."""

    def __init__(self, words: Sequence[str]) -> None:
        self._terms = [folded for word in words for part in word.split() if (folded := _fold(part)[0])]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The stretches of a text that were searched for, in order, none overlapping."""
        folded, places = _fold(text)
        found = []
        for term in self._terms:
            start = folded.find(term)
            while start >= 0:
                end = start + len(term)
                # An accent that was folded away goes with its letter; a letter may have become several.
                found.append((places[start], max(places[end - 1] + 1, places[end])))
                start = folded.find(term, end)
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def snippet(self, text: str, columns: int) -> str:
        """The part of one line around the first hit, in at most so many columns, with all hits standing out."""
        spans, columns = self.spans(text), max(16, columns)
        if width(text) > columns:
            begin, before = spans[0][0] if spans else 0, columns // 3
            while begin and (before := before - width(text[begin - 1])) >= 0:
                begin -= 1
            if begin > 1:
                text = "…" + text[begin:]
                spans = [(start - begin + 1, end - begin + 1) for start, end in spans]
            shorter = cut(text, columns)
            if shorter != text:  # the ellipsis is no hit
                text, end = shorter, len(shorter) - 1
                spans = [(start, min(stop, end)) for start, stop in spans if start < end]
        return "".join(_marked(text, spans))


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[str]:
    done = 0
    for start, end in spans:
        yield text[done:start]
        yield highlight(text[start:end])
        done = end
    yield text[done:]


def _fold(text: str) -> tuple[str, list[int]]:
    """The text folded, and for each of its letters, and its end, the place in the text that it came from."""
    if text.isascii():
        return text.lower(), list(range(len(text) + 1))
    letters, places = [], []
    for place, letter in enumerate(text):
        for part in unicodedata.normalize("NFKD", letter).casefold():
            if not "\u0300" <= part <= "\u036f":
                letters.append(part)
                places.append(place)
    places.append(len(text))
    return "".join(letters), places
