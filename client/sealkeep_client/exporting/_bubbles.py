"""One message as HTML: what stands in its bubble. All that comes from a record is escaped by `_markup`."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from sealkeep_client.exporting import _phrases as say
from sealkeep_client.exporting._markup import attribute, escape, link, name, rich, safe_link
from sealkeep_client.exporting._names import Names
from sealkeep_client.exporting._times import civil, clock, utc
from sealkeep_protocol.records import (
    Attachment,
    Content,
    Kind,
    Message,
    MessageView,
    Precision,
    Preview,
    Reaction,
)

_FILES: Final = frozenset(
    {
        Kind.IMAGE,
        Kind.VIDEO,
        Kind.ROUND_VIDEO,
        Kind.ANIMATION,
        Kind.VOICE,
        Kind.AUDIO,
        Kind.FILE,
        Kind.STICKER,
        Kind.VIEW_ONCE,
    }
)
CENTRED: Final = frozenset({Kind.POKE, Kind.RECALL, Kind.SERVICE})
"""Kinds that are the app's own lines: they stand in the middle."""
Files: TypeAlias = Mapping[bytes, str]
NO_FILES: Final[Files] = MappingProxyType({})
Previews: TypeAlias = Callable[[bytes], "Preview | None"]
"""The preview that may be shown for the content with a root, where there is one."""
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp")
_NUMBER: Final = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,20})?(?:[eE]-?\d{1,2})?")
_PREVIEW: Final = 100  # characters


def preview(message: Message) -> str:
    """The beginning of a message, on one line, as plain text."""
    text = " ".join(message.text[: 2 * _PREVIEW].split()) if message.text else ""
    if not text and message.kind != Kind.TEXT:
        named = next((one for one in message.attachments or () if one.role != "thumbnail"), None)
        text = f"{say.sign(message.kind)} {say.file_name(named, message.kind) if named else say.label(message.kind)}"
    return text if len(text) <= _PREVIEW else text[:_PREVIEW].rstrip() + "…"


def shown_time(message: Message) -> str:
    """The time beside a message; none where only the day is known, which stands above it."""
    return "" if message.precision == Precision.DAYS else f"<time>{clock(civil(message))}</time>"


def no_previews(_: bytes) -> Preview | None:
    """None is here."""
    return None


def bubble(
    view: MessageView, reply: str, names: Names, files: Files = NO_FILES, previews: Previews = no_previews
) -> str:
    """What stands in the bubble of a message; `reply` is HTML of what it answers, or empty; `files` are the files beside
    the page, by the roots of their contents."""
    message = view.message
    if view.tombstone is not None:
        return f"<em class=gone>🚫 {say.gone(view.tombstone.reason)}</em>{shown_time(message)}"
    is_rich = view.history or view.reactions or message.edited or message.attachments or message.forwarded is not None
    if message.kind == Kind.TEXT and not is_rich:
        return f"{reply}{_text(message)}{_flags(view)}{shown_time(message)}"
    parts = [_forwarded(message), reply]
    parts += [_attachment(one, message, files, previews) for one in _worth_showing(message)]
    parts.append(_special(message))
    parts.append(_text(message))
    parts.append(_history(view.history))
    parts.append(_reactions(view.reactions, message, names))
    parts.append(_flags(view))
    parts.append(shown_time(message))
    return "".join(parts)


def quoted(message: Message, who: str | None, shown: str, anchor: str | None) -> str:
    """What a message answers: the copy that its source gives, or the beginning of the message that it names."""
    quote = message.quote
    text = say.words(quote, "text", "content") if quote else None
    author = (say.words(quote, "name", "author", "from") if quote else None) or who
    inner = f"<b>{name(author)}</b>" if author else ""
    inner += f"<bdi>{escape(' '.join(text.split())[: 2 * _PREVIEW] if text else shown or 'An earlier message')}</bdi>"
    return f"<a class=q href=#{anchor}>{inner}</a>" if anchor else f"<span class=q>{inner}</span>"


def _text(message: Message) -> str:
    return f"<bdi>{rich(message.text, message.ranges)}</bdi>" if message.text else ""


def _flags(view: MessageView) -> str:
    message = view.message
    flags = ""
    if message.pinned:
        flags += "<small title=Pinned>📌</small>"
    if message.expires is not None:
        flags += f"<small title={attribute(f'Disappears {utc(message.expires)}')}>⏳</small>"
    if message.edited and not view.history:
        flags += "<small>edited</small>"
    return flags


def _history(history: Sequence[Content]) -> str:
    if not history:
        return ""
    texts = "".join(
        f"<li>{f'<small>{utc(one.edited)}</small> ' if one.edited else ''}<bdi>{rich(one.text or '', one.ranges)}</bdi>"
        for one in history
    )
    return f"<details class=h><summary>edited</summary><ul>{texts}</ul></details>"


def _forwarded(message: Message) -> str:
    if message.forwarded is None:
        return ""
    origin = say.words(message.forwarded, "from", "name", "author", "from_id", "saved_from")
    return f"<span class=fw>↪\ufe0e Forwarded{f' from {name(origin)}' if origin else ''}</span>"


def _reactions(reactions: Sequence[Reaction], message: Message, names: Names) -> str:
    if not reactions:
        return ""
    chat = message.conversation
    by_key: dict[str, tuple[list[str], int, int]] = {}
    for one in reactions:
        who, named, told = by_key.get(one.key, ([], 0, 0))
        if one.actor is None:
            told = max(told, one.count)
        else:
            who.append(names.of(chat.app, chat.scope, one.actor))
            named += one.count
        by_key[one.key] = (who, named, told)
    shown = "".join(
        f"<span{_title(who)}>{escape(_reaction_sign(key))} {max(named, told)}</span>"
        for key, (who, named, told) in by_key.items()
    )
    return f"<span class=r role=group aria-label=Reactions>{shown}</span>"


def _title(who: Sequence[str]) -> str:
    return f" title={attribute(', '.join(who))}" if who else ""


def _reaction_sign(key: str) -> str:
    if key == "paid":
        return "⭐"
    # A custom emoji is named by its document.
    return "🧩" if "/" in key or len(key) > 12 else key


# --- files ------------------------------------------------------------------------------------------------------------


def _worth_showing(message: Message) -> Sequence[Attachment]:
    found = message.attachments or ()
    if not found:
        return (_NO_FILE,) if message.kind in _FILES else ()
    return [one for one in found if one.role != "thumbnail"] or found


def _attachment(attachment: Attachment, message: Message, files: Files, previews: Previews) -> str:
    kind = message.kind if message.kind in _FILES else Kind.FILE
    details = message.details or {}
    mark, shown = say.sign(kind), say.file_name(attachment, kind)
    if kind == Kind.STICKER:
        mark = say.words(details, "sticker_emoji") or mark
    elif kind == Kind.AUDIO and (title := say.words(details, "title")):
        performer = say.words(details, "performer")
        shown = f"{performer} – {title}" if performer else title
    elif kind == Kind.ANIMATION and isinstance(dice := details.get("dice"), Mapping):
        mark, shown = say.words(dice, "emoji") or mark, say.words(dice, "value") or shown
    facts = say.file_facts(attachment, kind)
    card = _card(mark, name(shown), [escape(facts)] if facts else [])
    path = None if attachment.root is None else files.get(attachment.root)
    if path is None:
        small = None if attachment.root is None else previews(attachment.root)
        return card if small is None else f"{_preview(small, shown)}{card}"
    address = attribute(quote(path))
    if path.lower().endswith(_PICTURES):  # by what it was written as: what its sender calls it decides nothing
        return f"<a class=f href={address}><img src={address} alt={attribute(shown)} loading=lazy></a>"
    # Saved, not opened: a page that somebody sent must not run beside this one.
    return f"<a class=f href={address} download>{card}</a>"


def _preview(preview: Preview, shown: str) -> str:
    """The picture itself, within the page."""
    address = attribute(f"data:{preview.media_type};base64,{b64encode(preview.picture).decode()}")
    size = f"width={preview.width} height={preview.height}"
    return f"<span class=f><img src={address} {size} alt={attribute(shown)} loading=lazy></span>"


_NO_FILE: Final = Attachment("")


def _card(mark: str, heading: str, lines: Sequence[str]) -> str:
    rest = "".join(f"<small>{line}</small>" for line in lines)
    return f"<span class=k><i aria-hidden=true>{escape(mark)}</i><span><b>{heading}</b>{rest}</span></span>"


# --- kinds with details -----------------------------------------------------------------------------------------------


def _special(message: Message) -> str:
    kind, details = message.kind, message.details or {}
    if kind == Kind.POLL:
        return _poll(message, details)
    if kind == Kind.LOCATION:
        return _location(message, details)
    if kind == Kind.CONTACT_CARD:
        return _contact(details)
    if kind in (Kind.LINK, Kind.MERGED_FORWARD):
        return _link(message, details)
    if kind in (Kind.CALL, Kind.MONEY):
        return _told(message, details)
    if kind == Kind.UNKNOWN or (kind not in say.LABELS and kind != Kind.TEXT):
        return _unknown(message)
    return ""


def _poll(message: Message, details: Mapping[str, Any]) -> str:
    polls = [one for one in (details.get("poll"), details.get("todo_list")) if isinstance(one, Mapping)]
    if not polls:
        # Sources that write polls and places into the text need no card beside it.
        is_told = message.text and not details
        return "" if is_told else _card(say.sign(Kind.POLL), say.label(Kind.POLL), _rows(details))
    poll = polls[0]
    question = say.words(poll, "question", "title") or say.label(Kind.POLL)
    options = []
    for answer in say.maps(poll.get("answers") or poll.get("items")):
        shown, voters = say.words(answer, "text") or "", answer.get("voters")
        votes = ""
        if type(voters) is int:
            total = poll.get("total_voters")
            most = max(voters, total if type(total) is int else 0, 1)
            votes = f" <small>{voters}</small><meter min=0 max={most} value={voters}></meter>"
        options.append(f"<li>{'✓ ' if answer.get('chosen') else ''}{name(shown)}{votes}</li>")
    facts = [f"{total} votes" for total in [poll.get("total_voters")] if type(total) is int]
    facts += ["closed"] * (poll.get("closed") is True)
    return (
        f"<div class=poll><b>📊 {name(question)}</b><ul>{''.join(options)}</ul><small>{' · '.join(facts)}</small></div>"
    )


def _location(message: Message, details: Mapping[str, Any]) -> str:
    place = details.get("location_information")
    place = place if isinstance(place, Mapping) else details
    latitude, longitude = say.words(place, "latitude"), say.words(place, "longitude")
    heading = say.words(details, "place_name", "place", "label") or say.label(Kind.LOCATION)
    lines = [escape(line) for line in [say.words(details, "address"), say.words(details, "label")] if line]
    if latitude and longitude and _NUMBER.fullmatch(latitude) and _NUMBER.fullmatch(longitude):
        url = f"https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=16/{latitude}/{longitude}"
        lines.append(link(url, f"{latitude}, {longitude}"))
    live = details.get("live_location_period_seconds")
    if type(live) is int:
        lines.append(f"live for {say.period(live)}")
    return "" if message.text and not details else _card(say.sign(Kind.LOCATION), name(heading), lines)


def _contact(details: Mapping[str, Any]) -> str:
    card = details.get("contact_information")
    card = card if isinstance(card, Mapping) else details
    person = " ".join(part for part in (say.words(card, "first_name"), say.words(card, "last_name")) if part)
    person = person or say.words(card, "nickname", "contact") or say.label(Kind.CONTACT_CARD)
    phone = say.words(card, "phone_number", "contact")
    return _card(say.sign(Kind.CONTACT_CARD), name(person), [escape(phone)] if phone else [])


def _link(message: Message, details: Mapping[str, Any]) -> str:
    if not details:
        return _card(say.sign(message.kind), say.label(message.kind), [])
    title = say.words(details, "title", "game_title") or say.label(message.kind)
    url = say.words(details, "url", "game_link") or ""
    heading = link(url, name(title))
    known = ("title", "game_title", "description", "game_description", "url", "game_link")
    told = say.words(details, "description", "game_description")
    lines = [f"<bdi>{escape(told)}</bdi>"] if told else []
    lines += _rows(details, known)
    if url and safe_link(url) is None:
        lines.append(escape(url))
    return _card(say.sign(message.kind), heading, lines)


def _told(message: Message, details: Mapping[str, Any]) -> str:
    heading, facts = say.label(message.kind), []
    if message.kind == Kind.CALL:
        seconds = details.get("duration_seconds", details.get("duration"))
        facts = [say.duration(seconds)] if type(seconds) is int else []
        reason = say.words(details, "discard_reason")
        facts += [reason] if reason and reason != "hangup" else []
        heading = "Group call" if say.words(details, "action") in ("group_call", "conference_call") else heading
    else:
        action = say.words(details, "action")
        amount = details.get("amount")
        invoice = details.get("invoice_information")
        title = say.words(invoice, "title") if isinstance(invoice, Mapping) else None
        # A number alone tells no currency: it stays a row.
        amount = amount if isinstance(amount, str) and amount else None
        heading = amount or title or (say.human(action) if action else heading)
    known = ["action", "duration_seconds", "duration", "discard_reason", "information_text"]
    known += ["amount"] * (details.get("amount") == heading)
    lines = [escape(" · ".join(facts))] if facts else []
    return _card(say.sign(message.kind), name(heading), lines + _rows(details, known))


def _unknown(message: Message) -> str:
    raw = {key: value for key, value in (("details", message.details), ("extension", message.extension)) if value}
    if not raw:
        return "" if message.text else _card(say.sign(0), say.label(0), [])
    shown = escape(json.dumps(raw, ensure_ascii=False, indent=1, default=str)[:20_000])
    return f"<details class=raw><summary>{say.label(0)}</summary><pre dir=ltr>{shown}</pre></details>"


def _rows(details: Mapping[str, Any], without: Sequence[str] = ()) -> list[str]:
    return [f"{escape(key)}: {name(value)}" for key, value in say.rows(details, without)]
