"""Text that anybody may have written, as HTML that does nothing but show it.

Everything is escaped here; links are made of http, https and mailto addresses only, and of nothing else whatever a source
calls a link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sealkeep_protocol.records import Range, RangeType

_MAX_RANGES: Final = 500  # of one text; beyond, it is shown plain
_LINK: Final = re.compile(
    r"https?://[^\s<>\"'`{}|\\^\u0000-\u0020\u3000-\u303f\uff00-\uffef\u200e\u200f\u202a-\u202e]+", re.I
)
_SAFE: Final = re.compile(r"(?:https?://(?!/)|mailto:)[^\s\x00-\x20\x7f]+", re.IGNORECASE)
_BARE: Final = re.compile(r"[\w-]+(?:\.[\w-]+)+(?:[/?#:]\S*)?")
_PUNCTUATION: Final = ".,;:!?…*_~"
_MAX_LINK: Final = 2_048

_TAGS: Final = {
    RangeType.BOLD: "b",
    RangeType.ITALIC: "i",
    RangeType.UNDERLINE: "u",
    RangeType.STRIKETHROUGH: "s",
    RangeType.CODE: "code",
    RangeType.PREFORMATTED: "pre",
    RangeType.BLOCK_QUOTE: "blockquote",
}
_CLASSES: Final = {
    RangeType.SPOILER: "sp",
    RangeType.MENTION: "at",
    RangeType.MENTION_NAME: "at",
    RangeType.HASHTAG: "at",
    RangeType.CASHTAG: "at",
    RangeType.BOT_COMMAND: "at",
}
_LINKED: Final = frozenset({RangeType.LINK, RangeType.TEXT_LINK, RangeType.EMAIL})
# From the outside to the inside.
_NESTING: Final = (RangeType.BLOCK_QUOTE, RangeType.PREFORMATTED, *_LINKED)


def escape(text: str) -> str:
    """Text for the content of an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def attribute(text: str) -> str:
    """Text for the value of an attribute, with its quotation marks."""
    return f'"{escape(text).replace(chr(34), "&quot;")}"'


def name(text: str) -> str:
    """A name, whose direction is its own and nobody else's."""
    return f"<bdi>{escape(text)}</bdi>"


def safe_link(url: str) -> str | None:
    """The address, if it is one that a click may open: http, https or mailto; None for all others."""
    return url if len(url) <= _MAX_LINK and _SAFE.fullmatch(url) else None


def link(url: str, shown: str) -> str:
    """`shown` (HTML already) as a link to `url`, or alone where a click shall not open that."""
    safe = safe_link(url)
    return shown if safe is None else f"<a href={attribute(safe)}>{shown}</a>"


def rich(text: str, ranges: Sequence[Range] | None) -> str:
    """A text with its styles and links. Ranges may overlap, cross, or lie outside of it."""
    if not ranges:
        return escape(text) if "://" not in text else _with_links(text)
    known = [part for part in ranges if part.length > 0 and 0 <= part.start < len(text)]
    if len(known) > _MAX_RANGES:
        return _with_links(text)
    # Between two borders the same ranges hold.
    borders = sorted({0, len(text), *(p.start for p in known), *(min(len(text), p.start + p.length) for p in known)})
    starting = sorted(known, key=lambda part: part.start)
    active: list[Range] = []
    shown = []
    at = 0
    for start, end in pairwise(borders):
        while at < len(starting) and starting[at].start <= start:
            active.append(starting[at])
            at += 1
        active = [part for part in active if part.start + part.length > start]
        shown.append(_styled(text, start, end, active))
    return "".join(shown)


def _styled(text: str, start: int, end: int, active: Sequence[Range]) -> str:
    part = text[start:end]
    linked = next((one for one in active if one.type in _LINKED), None)
    shown = _with_links(part) if linked is None else escape(part)
    inner = {one.type: one for one in active}
    for kind, one in sorted(inner.items(), key=lambda found: (found[0] in _NESTING, found[0])):
        if kind in _LINKED:
            if one is linked:
                shown = link(_target(text, one), shown)
        elif tag := _TAGS.get(kind):  # type: ignore[call-overload]
            shown = f"<{tag}>{shown}</{tag}>"
        elif style := _CLASSES.get(kind):  # type: ignore[call-overload]
            shown = f"<span class={style}>{shown}</span>"
    return shown


def _target(text: str, part: Range) -> str:
    covered = text[part.start : part.start + part.length]
    if part.type == RangeType.TEXT_LINK:
        return part.value or ""
    if part.type == RangeType.EMAIL:
        return f"mailto:{covered}"
    return f"https://{covered}" if _BARE.fullmatch(covered) else covered


def _with_links(text: str) -> str:
    """Text whose plain addresses are links."""
    if "://" not in text:
        return escape(text)
    shown, end = [], 0
    for match in _LINK.finditer(text):
        url = match.group().rstrip(_PUNCTUATION)
        if url.endswith(")") and "(" not in url:
            url = url.rstrip(")" + _PUNCTUATION)
        shown.append(escape(text[end : match.start()]))
        shown.append(link(url, escape(url)))
        end = match.start() + len(url)
    shown.append(escape(text[end:]))
    return "".join(shown)
