"""The page to read: what it shows of every kind, and that nothing in it can do more than be read."""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.exporting import _html, write_page
from sealkeep_client.exporting._html import _BLOCK, _REMEMBERED, anchor
from sealkeep_client.store import ContactEntry, ConversationView, MessageEntry, ViewEntry
from sealkeep_protocol.records import (
    Attachment,
    AttachmentState,
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Direction,
    Kind,
    Mark,
    MarkType,
    Message,
    MessageView,
    Precision,
    Range,
    RangeType,
    Reaction,
    RecordIds,
    TombstoneReason,
)
from support import record_strategies as some

Entries = Callable[..., list[ViewEntry]]
Written = Callable[..., bytes]
CHAT = some.CHAT
ANN = Contact(ContactKey("telegram", "", "user1"), name="Ann 安")
DAY = 86_400_000


def set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Everything that the exporter itself writes; a hostile text must add nothing.
TAGS = set_of(
    "html head meta title style script body div a nav header h1 h2 h3 input p ul ol li main label span button noscript"
    " details summary small bdi time dl dt dd b i u s em code pre blockquote meter"
)
ATTRIBUTES = set_of(
    "lang charset http-equiv content name id hidden href class type placeholder aria-label aria-hidden autocomplete"
    " spellcheck role tabindex title datetime data-n data-d data-t data-i dir min max value"
)


class Page(HTMLParser):
    """Reads a page as a browser without scripts does."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.source = data.decode()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.assets: dict[str, str] = {}
        self._in = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {key for key, _ in attrs} <= ATTRIBUTES, attrs
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        assert tag in TAGS
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("style", "script"):
            self.assets[self._in] = self.assets.get(self._in, "") + data
        else:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for attributes in self.of("a") if "href" in attributes]

    @property
    def chats(self) -> str:
        """The chats alone."""
        return self.source[self.source.index("<details class=chat") :] if "<details class=chat" in self.source else ""

    def shown(self) -> str:
        return "".join(self.text)


def message(number: int, text: str | None = None, kind: int = Kind.TEXT, **more: Any) -> Message:
    fields = {"time": 1_700_000_000_000 + number * 1000, "source": number, "rank": number, "author": "user1", **more}
    return Message(conversation=CHAT, kind=kind, text=text, **fields)


@pytest.fixture
def page(entries_of: Entries, written: Written) -> Callable[..., Page]:
    return lambda *records: Page(written(write_page, entries_of(*records)))


def bubble(view: MessageView | Message, written: Written) -> str:
    """What the page has of one message, without the `dd` or `p` around it."""
    shown = view if isinstance(view, MessageView) else MessageView(view)
    read = Page(written(write_page, [ContactEntry(bytes(16), ANN), MessageEntry(bytes(16), shown, (0, 0, b""))]))
    match = re.search(r"<(?:dd|p class=s) id=mAAAAAAAA>(.*?)</(?:dd|p)>\n", read.source, re.DOTALL)
    assert match, read.source
    return match[1]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_small_chat_as_html(page: Callable[..., Page], ids: RecordIds) -> None:
    found = page(
        ANN,
        Conversation(CHAT, "Tea & 茶", ConversationType.GROUP),
        message(1, "hi <you>", offset=60),
        message(2, "again", offset=60),
        message(3, "yes", offset=60, author="user2", direction=Direction.SENT, reply_to=1),
        message(
            4, None, Kind.SERVICE, details={"action": "edit_group_title", "title": "Tea"}, time=1_700_000_000_000 + DAY
        ),
    )
    one, two, three, four = (anchor(ids.source(CHAT, number)) for number in (1, 2, 3, 4))
    assert found.chats.partition("\n</div>")[0].partition("</details>")[0] == (
        f"<details class=chat id={anchor(ids.conversation(CHAT), 'c')} data-n=4 data-t=1700086400000>"
        "<summary><bdi>Tea &amp; 茶</bdi><small>Telegram · group · 4 messages</small></summary>\n"
        "<noscript data-n=4 data-d=2023-11-14>\n"
        "<h3><time datetime=2023-11-14>Tuesday, 14 November 2023</time></h3>\n"
        '<dl class="in c5"><dt data-i="A"><bdi>Ann 安</bdi></dt>\n'
        f"<dd id={one}><bdi>hi &lt;you&gt;</bdi><time>23:13</time></dd>\n"
        f"<dd id={two}><bdi>again</bdi><time>23:13</time></dd>\n"
        "</dl>\n"
        '<dl class="out c7"><dt data-i="U"><bdi>user2</bdi></dt>\n'
        f"<dd id={three}><a class=q href=#{one}><b><bdi>Ann 安</bdi></b><bdi>hi &lt;you&gt;</bdi></a>"
        "<bdi>yes</bdi><time>23:13</time></dd>\n"
        "</dl>\n"
        "<h3><time datetime=2023-11-15>Wednesday, 15 November 2023</time></h3>\n"
        f"<p class=s id={four}><bdi><bdi>Ann 安</bdi> changed the title to <bdi>Tea</bdi></bdi><time>22:13</time></p>\n"
        "</noscript>\n"
        "<p class=end hidden><bdi><bdi>Ann 安</bdi> changed the title to <bdi>Tea</bdi></bdi></p>"
    )


def test_nothing_runs_or_loads_but_what_the_policy_names(page: Callable[..., Page]) -> None:
    found = page(ANN, message(1, "https://example.org/"))
    policy = next(
        one["content"] or "" for one in found.of("meta") if one.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives.pop("default-src") == "'none'"
    assert directives.pop("base-uri") == "'none'"
    assert directives.pop("form-action") == "'none'"
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        digest = b64encode(hashlib.sha256(found.assets[tag].encode()).digest()).decode()
        assert directives.pop(directive) == f"'sha256-{digest}'"
        assert len(found.of(tag)) == 1
    assert not directives
    # Nothing is fetched: no tag that loads, no address in the style.
    assert not re.search(r"url\(|@import|https?:", found.assets["style"])
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|eval\(|https?:", found.assets["script"])
    assert [link for link in found.links if not link.startswith("#")] == ["https://example.org/"]


def test_the_page_has_landmarks_labels_and_a_hint_without_scripts(page: Callable[..., Page]) -> None:
    found = page(ANN, message(1, "x"))
    tags = {tag for tag, _ in found.tags}
    assert {"nav", "main", "header", "h1", "noscript", "summary"} <= tags
    for tag in ("input", "nav", "main"):
        assert all(one.get("aria-label") for one in found.of(tag))
    assert all(one.get("aria-label") for one in found.of("button"))
    assert "Scripts are off" in found.shown()


def test_without_records_it_is_still_a_page(page: Callable[..., Page], written: Written) -> None:
    found = page()
    assert found.source.endswith("</html>\n")
    assert "<details class=chat" not in found.source
    empty = page(Conversation(CHAT, "", 77))
    assert f"<bdi>{CHAT.source}</bdi><small>Telegram · 0 messages</small>" in empty.source
    assert "<noscript data" not in empty.source


def test_messages_of_a_chat_that_nothing_describes_appear(written: Written) -> None:
    entries = [
        MessageEntry(bytes(16), MessageView(message(1, "one")), (0, 0, b"")),
        MessageEntry(
            bytes(16), MessageView(replace(message(2, "two"), conversation=ConversationKey("x", "y", "z"))), (0, 0, b"")
        ),
    ]
    found = Page(written(write_page, entries))
    assert found.source.count("<details class=chat") == 2
    assert f"<bdi>{CHAT.source}</bdi><small>Telegram</small>" in found.source
    assert "<bdi>z</bdi><small>x</small>" in found.source


# --- kinds and fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "shown"),
    [
        (Kind.IMAGE, {"attachments": (Attachment("photo", width=4, height=3, size=1500),)}, ["Photo", "4 × 3 · 1.5 kB"]),
        (Kind.IMAGE, {}, ["Photo"]),
        (Kind.IMAGE, {"attachments": (Attachment("photo", state=AttachmentState.MISSING),)}, ["left out by the source"]),
        (Kind.VIDEO, {"attachments": (Attachment("video", "a.mp4", duration=3_725_000),)}, ["a.mp4", "1:02:05"]),
        (Kind.ROUND_VIDEO, {"attachments": (Attachment("r", "r.mp4", duration=9_000),)}, ["Video message", "0:09 · r.mp4"]),
        (Kind.ANIMATION, {"details": {"dice": {"emoji": "🎲", "value": 5}}}, ["🎲", "<bdi>5</bdi>"]),
        (Kind.ANIMATION, {"details": {"dice": {}}}, ["Animation"]),
        (Kind.VOICE, {"attachments": (Attachment("voice", duration=61_000, size=999_950),)}, ["Voice", "1:01 · 1.0 MB"]),
        (Kind.AUDIO, {"details": {"performer": "Bach", "title": "Air"}}, ["Bach – Air"]),
        (Kind.AUDIO, {"details": {"title": "Air"}}, ["<bdi>Air</bdi>"]),
        (Kind.FILE, {"attachments": (Attachment("file", path="a\\b/<c>.pdf"), Attachment("thumbnail"))}, ["&lt;c&gt;.pdf"]),
        (Kind.FILE, {"attachments": (Attachment("thumbnail", size=5),)}, ["File", "5 B"]),
        (Kind.FILE, {"attachments": (Attachment("file", size=1 << 62),)}, ["TB"]),
        (Kind.STICKER, {"details": {"sticker_emoji": "🐈"}}, ["🐈", "Sticker"]),
        (Kind.VIEW_ONCE, {}, ["View-once message"]),
        (Kind.LOCATION, {"details": {"location_information": {"latitude": "52.5", "longitude": "-13.25"}}}, [
            'href="https://www.openstreetmap.org/?mlat=52.5&amp;mlon=-13.25#map=16/52.5/-13.25"', "52.5, -13.25",
        ]),
        (Kind.LOCATION, {"details": {"place_name": "Café", "address": "Rd <1>", "latitude": "x", "longitude": "1"}}, [
            "Café", "Rd &lt;1&gt;",
        ]),
        (Kind.LOCATION, {"details": {"live_location_period_seconds": 900}}, ["live for 15 minutes"]),
        (Kind.LOCATION, {"text": "Location: https://maps.google.com/?q=1,2"}, ['"https://maps.google.com/?q=1,2"']),
        (Kind.CONTACT_CARD, {"details": {"contact_information": {"first_name": "A", "last_name": "B"}}}, [
            "A B",
        ]),
        (Kind.CONTACT_CARD, {"details": {"nickname": "安", "contact": "wxid"}}, ["安", "wxid"]),
        (Kind.CONTACT_CARD, {"details": {"contact_information": 5}}, ["Contact"]),
        (Kind.LINK, {"details": {"title": "T", "url": "https://x.y", "description": "D\nE", "app": "App"}}, [
            '<a href="https://x.y"><bdi>T</bdi></a>', "D\nE", "App: <bdi>App</bdi>",
        ]),
        (Kind.LINK, {"details": {"title": "T", "url": "javascript:x"}}, ["<b><bdi>T</bdi></b>", "javascript:x"]),
        (Kind.LINK, {"details": {"game_title": "Go", "game_link": "https://t.me/x"}}, ['href="https://t.me/x"', "Go"]),
        (Kind.LINK, {}, ["Link"]),
        (Kind.MERGED_FORWARD, {"details": {"title": "Chat of two", "description": "A: hi"}}, ["Chat of two", "A: hi"]),
        (Kind.POLL, {"details": {"poll": {"question": "Q?", "closed": True, "total_voters": 3, "answers": [
            {"text": "a", "voters": 2, "chosen": True}, {"text": "b", "voters": 1}, "no answer", {"text": "c"},
        ]}}}, ["Q?", "✓ <bdi>a</bdi> <small>2</small><meter min=0 max=3 value=2>", "3 votes · closed", "c</bdi></li>"]),
        (Kind.POLL, {"details": {"todo_list": {"title": "To do", "items": [{"text": "buy"}]}}}, ["To do", "buy"]),
        (Kind.POLL, {"details": {"poll": "?"}}, ["Poll: <bdi>?</bdi>"]),
        (Kind.POLL, {"text": "POLL:\nWhat?"}, ["POLL:\nWhat?"]),
        (Kind.CALL, {"details": {"action": "phone_call", "duration_seconds": 61, "discard_reason": "hangup"}}, ["1:01<"]),
        (Kind.CALL, {"details": {"action": "phone_call", "discard_reason": "missed"}}, ["missed"]),
        (Kind.CALL, {"details": {"action": "group_call"}}, ["Group call"]),
        (Kind.MONEY, {"details": {"amount": "¥88.00", "memo": "rent"}}, ["<bdi>¥88.00</bdi>", "Memo: <bdi>rent</bdi>"]),
        (Kind.MONEY, {"details": {"invoice_information": {"title": "T", "amount": 5, "currency": "EUR", "x": ""}}}, [
            "<b><bdi>T</bdi></b>", "Amount: <bdi>5</bdi>", "Currency: <bdi>EUR</bdi>",
        ]),
        (Kind.MONEY, {"details": {"action": "send_premium_gift", "months": 3, "list": [1, {"a": None}], "no": None}}, [
            "Send premium gift", "Months: <bdi>3</bdi>", 'List: <bdi>[1, {"a": null}]</bdi>',
        ]),
        (Kind.MONEY, {"details": {"long": "x" * 1000, "yes": True}}, ["x" * 400 + "…", "Yes: <bdi>yes</bdi>"]),
        (Kind.UNKNOWN, {"extension": {"a": "<b>"}}, ["Message of an unknown kind", '"a": "&lt;b&gt;"']),
        (Kind.UNKNOWN, {}, ["Message of an unknown kind"]),
        (Kind.UNKNOWN, {"text": "words"}, ["<bdi>words</bdi>"]),
        (Kind.TEXT, {"text": "see https://a.b", "author": None}, ['see <a href="https://a.b">']),
        (Kind.POLL, {"details": {"poll": {"question": "anonymous"}}, "author": None}, ["anonymous"]),
        (77, {"text": "later"}, ["<bdi>later</bdi>"]),
        (Kind.POKE, {"text": "A 拍了拍 B"}, ["A 拍了拍 B"]),
        (Kind.RECALL, {}, ["Recalled message"]),
        (Kind.SERVICE, {"details": {"action": "invite_members", "members": ["A", None, "<C>"]}}, [
            "<bdi>Ann 安</bdi> added <bdi>A</bdi>, <bdi>somebody</bdi> and <bdi>&lt;C&gt;</bdi>",
        ]),
        (Kind.SERVICE, {"details": {"action": "remove_members", "members": ["A"]}}, ["removed <bdi>A</bdi>"]),
        (Kind.SERVICE, {"details": {"action": "remove_members", "members": []}}, ["removed nobody"]),
        (Kind.SERVICE, {"details": {"action": "set_messages_ttl", "period": 172_800}}, ["disappear after 2 days"]),
        (Kind.SERVICE, {"details": {"action": "set_messages_ttl", "period": 61}}, ["disappear after 61 seconds"]),
        (Kind.SERVICE, {"details": {"action": "a_<later>_action", "with": {}}}, ["a &lt;later&gt; action"]),
        (Kind.SERVICE, {"details": {"action": "joined_telegram"}, "author": None}, ["<bdi>joined Telegram</bdi>"]),
        (Kind.SERVICE, {"details": {"information_text": "some<thing>"}}, ["some&lt;thing&gt;"]),
        (Kind.SERVICE, {"details": {"action": 5}}, ["5"]),
        (Kind.SERVICE, {}, ["Notice"]),
    ],
)  # fmt: skip
def test_every_kind_says_what_it_holds(kind: int, more: dict[str, Any], shown: list[str], written: Written) -> None:
    found = bubble(message(1, more.pop("text", None), kind, **more), written)
    for part in shown:
        assert part in found
    assert "<time>" in found


def test_every_kind_has_a_sign_and_a_name(written: Written) -> None:
    for kind in Kind:
        if kind != Kind.TEXT:
            assert len(re.sub(r"<time>.*?</time>|<.*?>", "", bubble(message(1, None, kind), written))) > 2


def test_what_a_message_has_beside_its_text(entries_of: Entries, written: Written, ids: RecordIds) -> None:
    target = ids.source(CHAT, 1)
    found = Page(
        written(
            write_page,
            entries_of(
                ANN,
                message(1, "new", edited=3_000, forwarded={"from": "Café"}, pinned=True, expires=1_800_000_000_000),
                Mark(MarkType.REVISION, target, edited=2_000, text="old <text>"),
                Mark(MarkType.REVISION, target, text="oldest"),
                Mark(MarkType.REACTION, target, actor="user1", key="👍", count=1),
                Mark(MarkType.REACTION, target, key="👍", count=4),
                Mark(MarkType.REACTION, target, actor="user1", key="stickers/dog.tgs", count=1),
                Mark(MarkType.REACTION, target, key="paid", count=50),
            ),
        )
    ).source
    assert "Forwarded from <bdi>Café</bdi>" in found
    assert "<summary>edited</summary><ul><li><small>1970-01-01T00:00:02Z</small> <bdi>old &lt;text&gt;</bdi>" in found
    assert "<li><bdi>oldest</bdi></ul>" in found
    assert '<span title="Ann 安">👍 4</span>' in found
    assert '<span title="Ann 安">🧩 1</span>' in found
    assert "<span>⭐ 50</span>" in found
    assert "📌" in found
    assert 'title="Disappears 2027-01-15T08:00:00Z"' in found


def test_small_things(written: Written) -> None:
    assert "<small>edited</small>" in bubble(message(1, "x", edited=5), written)
    assert "Forwarded</span>" in bubble(message(1, "x", forwarded={}), written)
    assert "<time>" not in bubble(message(1, "x", precision=Precision.DAYS), written)
    assert "📌" in bubble(message(1, "x", pinned=True), written)
    rich = message(1, "a b", ranges=(Range(RangeType.BOLD, 0, 1),))
    assert "<bdi><b>a</b> b</bdi>" in bubble(rich, written)


@pytest.mark.parametrize("reason", [*TombstoneReason, 9])
def test_what_is_gone_says_so_and_shows_nothing(reason: int, page: Callable[..., Page], ids: RecordIds) -> None:
    covered = Mark(MarkType.TOMBSTONE, ids.source(CHAT, 1), reason=reason)
    found = page(message(1, "a secret"), covered, message(2, "answer", reply_to=1)).source
    assert "secret" not in found
    said = {1: "was recalled", 2: "was removed by an admin", 3: "was deleted", 9: "is gone"}[reason]
    assert f"<em class=gone>🚫 This message {said}</em>" in found
    assert "An earlier message" in found
    alone = page(message(1, "a secret"), covered).source
    assert f"<p class=end hidden>This message {said}</p>" in alone


def test_replies_quote_what_they_answer(page: Callable[..., Page], written: Written, ids: RecordIds) -> None:
    target = anchor(ids.source(CHAT, 1))
    long = "many words " * 40
    found = page(
        ANN,
        message(1, long),
        message(2, None, Kind.IMAGE, attachments=(Attachment("photo", "sea.jpg"),)),
        message(3, "by source", reply_to=1),
        message(4, "by id", reply_to=ids.source(CHAT, 2)),
        message(5, "its own copy", reply_to=1, quote={"text": "just  this", "name": "A."}),
        message(6, "unknown", reply_to=99),
        message(7, "only a copy", quote={"text": "copied"}),
        message(8, "a copy without text", quote={"type": 1}),
    ).source
    start = ("many words " * 10)[:100].rstrip()
    assert f"<a class=q href=#{target}><b><bdi>Ann 安</bdi></b><bdi>{start}…</bdi></a><bdi>by source" in found
    assert "<b><bdi>Ann 安</bdi></b><bdi>🖼️ sea.jpg</bdi></a><bdi>by id" in found
    assert f"<a class=q href=#{target}><b><bdi>A.</bdi></b><bdi>just this</bdi></a>" in found
    assert f"<a class=q href=#{anchor(ids.source(CHAT, 99))}><bdi>An earlier message</bdi></a><bdi>unknown" in found
    assert "<span class=q><bdi>copied</bdi></span><bdi>only a copy" in found
    assert "<span class=q><bdi>An earlier message</bdi></span>" in found
    # Without the ids of records a reply is only said to be one.
    alone = written(
        write_page, [MessageEntry(bytes(16), MessageView(message(3, "x", reply_to=1)), (0, 0, b""))], ids=None
    )
    assert b"<span class=q><bdi>An earlier message</bdi></span>" in alone


def test_sides_of_a_chat_of_two_whose_source_does_not_tell_them(page: Callable[..., Page]) -> None:
    chat = Conversation(CHAT, "Ann 安", ConversationType.ONE_TO_ONE)
    found = page(
        chat, ANN, message(1, "hers"), message(2, "mine", author="me"), message(3, "told", direction=1, author="me")
    )
    assert re.findall(r'<dl class="(\w+) ', found.source) == ["in", "out", "in"]
    group = replace(chat, type=ConversationType.GROUP)
    found = page(group, ANN, message(1, "hers"), message(2, "mine", author="me"))
    assert re.findall(r'<dl class="(\w+) ', found.source) == ["in", "in"]


def test_an_author_keeps_a_colour_and_is_named_once_in_a_row(page: Callable[..., Page]) -> None:
    found = page(
        ANN,
        message(1, "a"),
        message(2, "b"),
        message(3, "c", author="user2"),
        message(4, "d"),
        message(5, "e", time=1_700_000_000_000 + 11 * 60_000),
        message(6, None, Kind.SERVICE, time=1_700_000_000_000 + 11 * 60_000),
        message(7, "f", author=None, attachments=(Attachment("x"),), time=1_700_000_000_000 + 12 * 60_000),
        message(8, "g", author=None, author_name="", time=1_700_000_000_000 + 13 * 60_000),
    ).source
    groups = re.findall(r'<dl class="in c(\d)"><dt data-i="(.?)"><bdi>(.*?)</bdi>', found)
    assert [name for _, _, name in groups] == ["Ann 安", "user2", "Ann 安", "Ann 安", "Unknown", "Unknown"]
    assert len({colour for colour, _, name in groups if name == "Ann 安"}) == 1
    assert groups[0][1] == "A"


# --- hostile chats ----------------------------------------------------------------------------------------------------

NASTY = [
    "<script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "</style></title></textarea></noscript>",
    "<!-- x",
    "--> <!--[if IE]>",
    "<![CDATA[",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus=alert(1) '",
    "`onclick=x`",
    "javascript:alert(1)",
    "data:text/html,x",
    "&lt;script&gt;",
    "{{chats}} {{script}} {{policy}}",
    "\u202e\u2066txt.exe",
    "a\x00b\x0b",
    "half \ud83d",
]
nasty = st.sampled_from(NASTY) | st.text(max_size=6)
nasty_values: st.SearchStrategy[Any] = st.recursive(
    nasty | st.integers(-9, 10**12) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty, inner, max_size=3),
    max_leaves=5,
)
KEYS = set_of(
    "action title members period poll question answers text voters total_voters closed location_information latitude"
    " longitude place_name address contact_information first_name phone_number url description amount currency"
    " duration_seconds discard_reason sticker_emoji performer dice emoji value information_text name from todo_list items"
    " content memo"
)
nasty_maps = st.dictionaries(
    st.sampled_from(sorted(KEYS)) | nasty,
    nasty_values | st.dictionaries(st.sampled_from(sorted(KEYS)), nasty_values, max_size=4),
    max_size=6,
)
nasty_attachments = st.builds(Attachment, nasty, st.none() | nasty, path=st.none() | nasty, state=st.integers(0, 2))
nasty_messages = st.builds(
    Message,
    conversation=st.just(CHAT) | st.builds(ConversationKey, nasty, nasty, nasty),
    time=some.times,
    kind=st.integers(0, 20) | st.just(99),
    source=st.integers(1, 3),
    precision=st.integers(0, 3),
    offset=st.none() | st.integers(-1439, 1439),
    author=st.none() | nasty,
    author_name=st.none() | nasty,
    direction=st.none() | st.integers(1, 2),
    text=st.none() | nasty,
    ranges=st.none()
    | st.lists(st.builds(Range, st.integers(0, 27), st.integers(0, 20), st.integers(0, 9), nasty), max_size=3),
    edited=st.none() | some.times,
    reply_to=st.none() | st.integers(1, 3) | nasty.filter(lambda text: "\ud83d" not in text) | some.record_ids,
    quote=st.none() | nasty_maps,
    forwarded=st.none() | nasty_maps,
    expires=st.none() | some.times,
    pinned=st.none() | st.booleans(),
    attachments=st.none() | st.lists(nasty_attachments, max_size=2).map(tuple),
    details=st.none() | nasty_maps,
    extension=st.none() | nasty_maps,
)


def has_half(value: object) -> bool:
    return "\ud83d" in repr(value) or "\\ud83d" in repr(value)


@given(
    nasty_messages.filter(lambda one: not has_half(one.conversation)),
    nasty,
    st.lists(st.builds(Reaction, nasty, st.none() | nasty, st.integers(1, 9), st.none()), max_size=2),
)
def test_nothing_that_a_chat_says_becomes_markup(found: Message, title: str, reactions: list[Reaction]) -> None:
    chat = Conversation(found.conversation, title, ConversationType.ONE_TO_ONE)
    contact = Contact(ContactKey(found.conversation.app, found.conversation.scope, found.author or ""), name=title)
    entries: list[ViewEntry] = [
        ContactEntry(bytes(16), contact),
        ConversationView(bytes(16), chat.key, chat, 1, 5, {}),
        MessageEntry(bytes(16), MessageView(found, reactions=tuple(reactions)), (0, 0, b"")),
    ]
    parts: list[bytes] = []

    class File:
        def write(self, data: bytes) -> None:
            parts.append(data)

    write_page(entries, File(), ids=RecordIds(bytes(32)))
    page = Page(b"".join(parts))  # refuses tags, attributes and comments that are not the exporter's own
    assert len(page.of("script")) == 1
    assert len(page.of("noscript")) == 2
    assert page.source.count("</noscript") == 2
    assert page.source.count("<!--") == 0
    for link in page.links:
        assert re.match(r"#|https?://|mailto:", link, re.IGNORECASE)
    if found.text and found.kind == Kind.TEXT and found.author is not None:
        text = found.text.encode("utf-8", "replace").decode()
        assert text.replace("\r", "") in page.shown().replace("\r", "")


# --- many messages ----------------------------------------------------------------------------------------------------


def many(count: int) -> Iterator[ViewEntry]:
    yield ContactEntry(bytes(16), ANN)
    yield ConversationView(bytes(16), CHAT, None, count, count, {})
    for number in range(count):
        one = Message(CHAT, number * 1000, 1, source=number, author=f"user{number % 500}", text=f"message {number}")
        yield MessageEntry(number.to_bytes(6) + bytes(10), MessageView(one), (number, 0, b""))


def test_blocks_are_bounded_and_name_their_author_anew(written: Written) -> None:
    found = Page(written(write_page, many(3 * _BLOCK + 1)))
    blocks = found.chats.split("<noscript ")[1:]
    assert [block.partition(" ")[0] for block in blocks] == [f"data-n={_BLOCK}"] * 3 + ["data-n=1"]
    # Each block stands for itself: it names its day, and the author of its first message.
    assert all(re.match(r"data-n=\d+ data-d=1970-01-01>\n<h3>.*</h3>\n<dl ", block) for block in blocks)
    long = [MessageEntry(bytes(16), MessageView(message(n, "x" * 60_000)), (n, 0, b"")) for n in range(4)]
    assert Page(written(write_page, long)).source.count("<noscript data-n=2 ") == 2


def test_memory_does_not_grow_with_the_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_html, "_REMEMBERED", 500)

    class Nowhere:
        def write(self, data: bytes) -> None:
            assert len(data) < 1 << 20

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert write_page(many(count), Nowhere(), ids=RecordIds(bytes(32))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(2_000)
    assert peak(10_000) < few + (128 << 10)


def test_a_reply_to_what_is_long_past_still_leads_there(ids: RecordIds, written: Written) -> None:
    def entries() -> Iterator[ViewEntry]:
        yield from many(2 * _REMEMBERED + 1)
        yield MessageEntry(bytes(15) + b"z", MessageView(message(1, "late", reply_to=bytes(16))), (0, 0, b""))

    assert (
        f"<a class=q href=#{anchor(bytes(16))}><bdi>An earlier message</bdi>"
        in Page(written(write_page, entries())).source
    )


def test_progress_is_told(written: Written) -> None:
    seen: list[int] = []
    written(write_page, many(450), progress=seen.append)
    assert seen == [200, 400, 450]
