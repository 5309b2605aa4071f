"""One page to read: self-contained, searchable, and dead to whatever the chats say.

The page is `page.html` with `page.css` and `page.js` in it; nothing is loaded from elsewhere, and its content security
policy lets only these two work, by their hashes. Messages are plain HTML, made here, in blocks of some hundred, each in a
`noscript` element. Where scripts run, a browser takes such an element for a piece of text: the page opens at once,
however long, and the script shows the blocks that are in sight. Where they do not, the browser shows all of them.

    <details class=chat id=c… data-n=messages data-t=time of the newest>
      <summary>title</summary>
      <noscript data-n=messages data-d=day of the first> … </noscript> …
      <p class=end hidden>beginning of the newest message</p>
    </details>

A block is a list of `h3` (a day), `p.s` (a line of the app's own) and `dl` (an author and what they said in one go:
`dt`, then a `dd` for each message). Every message has the id that `anchor` gives.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from typing import Final
from zlib import crc32

from sealkeep_client.exporting._bubbles import (
    CENTRED,
    NO_FILES,
    Files,
    Previews,
    bubble,
    no_previews,
    preview,
    quoted,
    shown_time,
)
from sealkeep_client.exporting._markup import attribute, escape, name
from sealkeep_client.exporting._names import Names, title_of
from sealkeep_client.exporting._output import ByteWriter
from sealkeep_client.exporting._phrases import gone, service
from sealkeep_client.exporting._times import civil, day_of, iso_day, long_day
from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry, ViewEntry
from sealkeep_protocol.records import (
    ConversationKey,
    ConversationType,
    Direction,
    Kind,
    Message,
    MessageView,
    RecordIds,
)

_BLOCK: Final = 200  # messages
_BLOCK_SIZE: Final = 64 << 10  # characters
_COLOURS: Final = 8
_TOGETHER: Final = 10 * 60_000  # ms within which an author goes on, and is not named again
_REMEMBERED: Final = 4_000  # messages that a reply may quote, of one chat; twice as many at the most
_APPS: Final = {"telegram": "Telegram", "wechat": "WeChat", "whatsapp": "WhatsApp"}
_TYPES: Final = {
    ConversationType.GROUP: "group",
    ConversationType.CHANNEL: "channel",
    ConversationType.NOTES: "notes to self",
    ConversationType.BOT: "bot",
}


def write_page(
    entries: Iterable[ViewEntry],
    file: ByteWriter,
    *,
    ids: RecordIds | None = None,
    files: Files = NO_FILES,
    previews: Previews = no_previews,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write a view (`store.views.everything()`) as one HTML page, UTF-8; returns the number of records.

    `ids` (`store.ids`) leads from replies to their targets; without it they only say that they are replies. `files` are
    paths of files beside the page, relative to it, by the roots of their contents; `previews` gives pictures that stand in
    the page for others. `progress` is called with the number of records so far. Memory: the names of contacts, some
    thousand beginnings of messages, and one block.
    """
    before, after = _frame(bool(files), previews is not no_previews)
    file.write(before)
    page = _Page(ids, lambda html: file.write(html.encode("utf-8", "replace")), files, previews)
    for entry in entries:
        if isinstance(entry, MessageEntry):
            page.message(entry)
            if progress is not None and page.records % _BLOCK == 0:
                progress(page.records)
        elif isinstance(entry, ConversationView):
            page.conversation(entry)
        else:
            page.contact(entry)
    page.leave()
    file.write(after)
    if progress is not None:
        progress(page.records)
    return page.records


def anchor(record_id: bytes, prefix: str = "m") -> str:
    """The id of an element: letters, digits, `-` and `_`."""
    return prefix + urlsafe_b64encode(record_id[:6]).decode()


@cache
def _frame(with_files: bool, with_previews: bool) -> tuple[bytes, bytes]:
    """The page before and after its chats; it shows nothing from elsewhere, but pictures beside it or in it."""
    style, script = _asset("page.css"), _asset("page.js")
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    sources = ["'self' file:"] * with_files + ["data:"] * with_previews
    if sources:
        allowed += f"; img-src {' '.join(sources)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    page = _asset("page.html").replace("{{policy}}", policy).replace("{{style}}", style).replace("{{script}}", script)
    before, _, after = page.partition("{{chats}}")
    return before.encode(), after.encode()


def _asset(file_name: str) -> str:
    return (files(__package__) / file_name).read_text("utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class _Page:
    """Writes chats one after the other; remembers names, the block that it fills, and the latest messages."""

    def __init__(self, ids: RecordIds | None, write: Callable[[str], object], files: Files, previews: Previews) -> None:
        self.records = 0
        self._ids = ids
        self._files = files
        self._previews = previews
        self._write = write
        self._names = Names()
        self._chat: _Chat | None = None

    def contact(self, entry: ContactEntry) -> None:
        self._names.meet(entry.contact)

    def conversation(self, entry: ConversationView) -> None:
        self.leave()
        kind = entry.record.type if entry.record else ConversationType.UNKNOWN
        self._enter(
            _Chat(entry.key, title_of(entry), kind, self._ids, self._names, self._files, self._previews),
            entry.id,
            entry.messages,
            entry.last,
        )

    def message(self, entry: MessageEntry) -> None:
        chat, key = self._chat, entry.view.message.conversation
        if chat is None or chat.key != key:
            self.leave()
            chat = _Chat(key, key.source, ConversationType.UNKNOWN, self._ids, self._names, self._files, self._previews)
            self._enter(chat, hashlib.sha256("\0".join(key).encode()).digest(), None, None)
        self.records += 1
        if chat.add(entry):
            self._write(chat.block())

    def _enter(self, chat: _Chat, record_id: bytes, messages: int | None, last: int | None) -> None:
        self._chat = chat
        count = "" if messages is None else f"{messages:,} message{'' if messages == 1 else 's'}"
        facts = [_APPS.get(chat.key.app, chat.key.app), _TYPES.get(chat.type, ""), count]  # type: ignore[call-overload]
        self._write(
            f"<details class=chat id={anchor(record_id, 'c')} data-n={messages or 0} data-t={last or 0}>"
            f"<summary>{name(chat.title)}<small>{escape(' · '.join(fact for fact in facts if fact))}</small></summary>\n"
        )

    def leave(self) -> None:
        """End the chat that is open, if any."""
        if self._chat is not None:
            self._write(f"{self._chat.block()}<p class=end hidden>{self._chat.newest()}</p></details>\n")
            self._chat = None


class _Chat:
    """The messages of one chat on their way into blocks."""

    def __init__(
        self,
        key: ConversationKey,
        title: str,
        kind: int,
        ids: RecordIds | None,
        names: Names,
        files: Files,
        previews: Previews,
    ) -> None:
        self.key = key
        self.title = title
        self.type = kind
        self._ids = ids
        self._names = names
        self._files = files
        self._previews = previews
        self._parts: list[str] = []
        self._size = self._count = 0
        self._first_day = self._day = 0
        # Whose messages are being put together, up to when; None: nobody's.
        self._group: tuple[object, ...] | None = None
        self._until = 0
        self._last: tuple[str | None, MessageView] | None = None
        # Two generations of (author, beginning) by id: the older goes when the younger is full.
        self._recent: dict[bytes, tuple[str | None, str]] = {}
        self._older: dict[bytes, tuple[str | None, str]] = {}

    def add(self, entry: MessageEntry) -> bool:
        """Add a message to the block; returns whether that is full."""
        view = entry.view
        message = view.message
        author = self._names.author(message)
        parts = self._parts
        start = len(parts)
        now = civil(message)
        day = day_of(now)
        if not self._count:
            self._first_day = day
        # A block says its day anew: the heading stays in sight while its messages are read.
        if not self._count or day != self._day:
            self._close()
            self._day = day
            parts.append(f"<h3><time datetime={iso_day(day)}>{long_day(day)}</time></h3>\n")
        place = anchor(entry.id)
        is_alone = author is None and message.kind == Kind.TEXT and not message.attachments
        if view.tombstone is None and (message.kind in CENTRED or is_alone):
            self._close()
            parts.append(f"<p class=s id={place}><bdi>{service(message, author)}</bdi>{shown_time(message)}</p>\n")
        else:
            self._join(message, author, now)
            parts.append(
                f"<dd id={place}>{bubble(view, self._reply(message), self._names, self._files, self._previews)}</dd>\n"
            )
        self._remember(entry.id, author, view)
        self._count += 1
        self._size += sum(map(len, parts[start:]))
        return self._count >= _BLOCK or self._size >= _BLOCK_SIZE

    def _join(self, message: Message, author: str | None, now: int) -> None:
        """Go on with the messages of the same author, or begin with those of another."""
        sent = self._is_sent(message, author)
        group = (message.author, author, sent)
        if group != self._group or now > self._until:
            self._close()
            shown = author or "Unknown"
            colour = crc32((message.author or shown).encode("utf-8", "replace")) % _COLOURS
            side = "out" if sent else "in"
            self._parts.append(
                f'<dl class="{side} c{colour}"><dt data-i={attribute(_initial(shown))}>{name(shown)}</dt>\n'
            )
            self._group = group
        self._until = now + _TOGETHER

    def _is_sent(self, message: Message, author: str | None) -> bool:
        if message.direction is not None or self.type != ConversationType.ONE_TO_ONE or message.author is None:
            return message.direction == Direction.SENT
        # Where a source does not say it, whoever a chat of two is not named after is oneself.
        peers = (self.key.source, self.title)
        return message.author not in peers and author not in peers

    def _reply(self, message: Message) -> str:
        target = message.reply_to
        if target is None or (self._ids is None and not isinstance(target, bytes)):
            return quoted(message, None, "", None) if message.quote is not None or target is not None else ""
        record_id = target if isinstance(target, bytes) else self._ids.source(self.key, target)  # type: ignore[union-attr]
        who, shown = self._recent.get(record_id) or self._older.get(record_id) or (None, "")
        return quoted(message, who, shown, anchor(record_id))

    def _remember(self, record_id: bytes, author: str | None, view: MessageView) -> None:
        self._last = (author, view)
        if view.tombstone is not None:
            return
        if len(self._recent) >= _REMEMBERED:
            self._older, self._recent = self._recent, {}
        self._recent[record_id] = (author, preview(view.message))

    def _close(self) -> None:
        if self._group is not None:
            self._parts.append("</dl>\n")
            self._group = None

    def block(self) -> str:
        """The messages since the last block, as its element; nothing where there are none."""
        if not self._count:
            return ""
        self._close()
        block = (
            f"<noscript data-n={self._count} data-d={iso_day(self._first_day)}>\n{''.join(self._parts)}</noscript>\n"
        )
        self._parts.clear()
        self._count = self._size = 0
        return block

    def newest(self) -> str:
        """The beginning of the newest message, with its author where there are more than two."""
        if self._last is None:
            return ""
        author, view = self._last
        message = view.message
        if view.tombstone is not None:
            return gone(view.tombstone.reason)
        if message.kind in CENTRED:
            return f"<bdi>{service(message, author)}</bdi>"
        shown = escape(preview(message))
        with_author = author is not None and self.type in (ConversationType.GROUP, ConversationType.UNKNOWN)
        return f"{name(author or '')}: <bdi>{shown}</bdi>" if with_author else f"<bdi>{shown}</bdi>"


def _initial(shown: str) -> str:
    """The letter in the circle beside an author's messages."""
    return next((one for one in shown if one.isalnum()), shown[:1]).upper()[:1]
