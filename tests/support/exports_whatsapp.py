"""WhatsApp exports with every kind of line, from both platforms (see `support.exports`)."""

from __future__ import annotations

import zipfile
from datetime import datetime, timedelta
from pathlib import Path

from sealkeep_protocol.records import Kind
from support.exports import Expected, Written

_U = "\u200e"


def write_whatsapp(folder: Path) -> list[Written]:
    """Four exports with every kind of line: iOS in a zip and Android as text, each in two patterns."""
    folder.mkdir(parents=True, exist_ok=True)
    start = datetime(2023, 12, 30, 23, 58, 0)
    ios = _ios_lines()
    android = _android_lines()
    written = []
    for title, form in (("Trip 旅行", "[{:%d.%m.%y, %H:%M:%S}] "), ("Family", "us")):
        entries, lines = [], []
        for number, (author, body, kind, text) in enumerate(ios):
            civil = start + timedelta(seconds=number * 13)
            head = form.format(civil) if form != "us" else f"[{us(civil, seconds=True)}] "
            mark = _U if body.startswith(_U) and kind is not Kind.SERVICE else ""
            lines.append(f"{mark}{head}{author or title}: {body}")
            entries.append(Expected(title, author, civil, text, kind, body))
        path = folder / f"WhatsApp Chat - {title}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("_chat.txt", "\r\n".join(lines) + "\r\n")
            archive.writestr("00000002-PHOTO-2023-12-30-23-58-26.jpg", b"\xff\xd8")
        written.append(Written(path, entries))
    for title, form in (("Ann", "{:%d/%m/%Y, %H:%M} - "), ("Bob: the builder", "us")):
        entries, lines = [], []
        for number, (author, body, kind, text) in enumerate(android):
            civil = start + timedelta(seconds=number * 13)
            head = form.format(civil) if form != "us" else f"{us(civil, seconds=False)} - "
            lines.append(f"{head}{author}: {body}" if author else f"{head}{body}")
            entries.append(Expected(title, author, civil.replace(second=0), text, kind, body))
        path = folder / f"WhatsApp Chat with {title}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(Written(path, entries))
    return written


def us(civil: datetime, *, seconds: bool) -> str:
    """A time as American phones write it, with U+202F."""
    half = "AM" if civil.hour < 12 else "PM"
    clock = f"{civil.hour % 12 or 12}:{civil:%M:%S}" if seconds else f"{civil.hour % 12 or 12}:{civil:%M}"
    return f"{civil.month}/{civil.day}/{civil:%y}, {clock}\u202f{half}"


def _ios_lines() -> list[tuple[str | None, str, Kind, str | None]]:
    lock = "Messages and calls are end-to-end encrypted."
    return [
        (None, _U + lock, Kind.SERVICE, lock),
        (None, _U + "Ann created this group", Kind.SERVICE, "Ann created this group"),
        ("Ann", "hello: world", Kind.TEXT, "hello: world"),
        ("Ann", "two\nlines\n\n[not a header] x", Kind.TEXT, "two\nlines\n\n[not a header] x"),
        ("+49 1512 3456", "ok", Kind.TEXT, "ok"),
        ("+49 1512 3456", "ok", Kind.TEXT, "ok"),
        ("Ann", f"{_U}<attached: 00000002-PHOTO-2023-12-30-23-58-26.jpg>", Kind.IMAGE, None),
        ("Ann", f"our dog {_U}<attached: 00000003-VIDEO-2023.mp4>", Kind.VIDEO, "our dog"),
        ("Ann", f"{_U}<Anhang: 00000004-AUDIO-2023.opus>", Kind.VOICE, None),
        ("Ann", _U + "image omitted", Kind.IMAGE, None),
        ("Ann", _U + "Bild weggelassen", Kind.IMAGE, None),
        ("Ann", _U + "sticker omitted", Kind.STICKER, None),
        ("Ann", _U + "GIF omitted", Kind.ANIMATION, None),
        ("Ann", _U + "Contact card omitted", Kind.CONTACT_CARD, None),
        ("Ann", f"better {_U}<This message was edited>", Kind.TEXT, "better"),
        ("Ann", _U + "This message was deleted.", Kind.RECALL, "This message was deleted."),
        ("Ann", _U + "Missed voice call", Kind.CALL, "Missed voice call"),
        (
            "Ann",
            f"{_U}POLL:\nWhen?\n{_U}OPTION: now ({_U}1 vote)",
            Kind.POLL,
            f"POLL:\nWhen?\n{_U}OPTION: now ({_U}1 vote)",
        ),
        ("Ann", "hi @\u2068Bob\u2069!", Kind.TEXT, "hi @\u2068Bob\u2069!"),
        (None, _U + "Bob left", Kind.SERVICE, "Bob left"),
    ]


def _android_lines() -> list[tuple[str | None, str, Kind, str | None]]:
    lock = "Messages and calls are end-to-end encrypted. Tap to learn more."
    renamed = 'Ann changed the subject from "A" to "B: the C"'
    return [
        (None, lock, Kind.SERVICE, lock),
        (None, renamed, Kind.SERVICE, renamed),
        ("Ann", "hello: world", Kind.TEXT, "hello: world"),
        ("Ann", "two\nlines\n\n- a list", Kind.TEXT, "two\nlines\n\n- a list"),
        ("Ann", "ok", Kind.TEXT, "ok"),
        ("Ann", "ok", Kind.TEXT, "ok"),
        (
            "Ann",
            _U + "IMG-20231230-WA0001.jpg (file attached)\na caption\nof two lines",
            Kind.IMAGE,
            "a caption\nof two lines",
        ),
        ("Ann", "PTT-20231230-WA0002.opus (Datei angehängt)", Kind.VOICE, None),
        ("Ann", "Bob.vcf (file attached)", Kind.CONTACT_CARD, None),
        ("Ann", "<Media omitted>", Kind.FILE, None),
        ("Ann", "<Medien ausgeschlossen>", Kind.FILE, None),
        ("Ann", "better <This message was edited>", Kind.TEXT, "better"),
        ("Ann", "You deleted this message", Kind.RECALL, "You deleted this message"),
        (
            "Ann",
            "location: https://maps.google.com/?q=52.5,13.4",
            Kind.LOCATION,
            "location: https://maps.google.com/?q=52.5,13.4",
        ),
        ("安", "x < y (really) > z", Kind.TEXT, "x < y (really) > z"),
    ]
