"""Hostile text becomes text: nothing in it opens an element, an attribute or an address that it should not."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.exporting import _markup
from sealkeep_protocol.records import Range, RangeType
from support import record_strategies as some


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://x/y",
        "//example.org/",
        "/etc",
        "#m",
        "https:",
        "https://",
        "https:///x",
        "https://a b",
        "https://a\tb",
        "https://a\x00b",
        "http:javascript",
        "mailto:",
        "",
        "https://" + "a" * 3000,
    ],
)
def test_other_addresses_are_no_links(url: str) -> None:
    assert _markup.safe_link(url) is None
    assert _markup.link(url, "x") == "x"
    assert "<a" not in _markup.rich("click", [Range(RangeType.TEXT_LINK, 0, 5, url)])


@pytest.mark.parametrize(
    "url", ["http://a", "HTTPS://example.org/?a=1&b=%22", "mailto:ann@example.org", "https://例子.中国/路"]
)
def test_addresses_of_the_web_and_of_mail_are_links(url: str) -> None:
    assert _markup.safe_link(url) == url
    assert _markup.link(url, "x") == f'<a href="{url.replace("&", "&amp;")}">x</a>'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("see https://a.b/c?d=1&e=2.", 'see <a href="https://a.b/c?d=1&amp;e=2">https://a.b/c?d=1&amp;e=2</a>.'),
        ("(https://a.b)", '(<a href="https://a.b">https://a.b</a>)'),
        ("https://a.b/x_(y)", '<a href="https://a.b/x_(y)">https://a.b/x_(y)</a>'),
        ("看https://a.b，好", '看<a href="https://a.b">https://a.b</a>，好'),
        ('https://a.b"onclick="x', '<a href="https://a.b">https://a.b</a>"onclick="x'),
        ("https://a.b/\u202egpj.exe", '<a href="https://a.b/">https://a.b/</a>\u202egpj.exe'),
        ("ftp://a.b", "ftp://a.b"),
        ("https://", "https://"),
    ],
)
def test_plain_addresses_become_links(text: str, shown: str) -> None:
    assert _markup.rich(text, None) == shown


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (RangeType.BOLD, None, "<b>a.b</b>"),
        (RangeType.ITALIC, None, "<i>a.b</i>"),
        (RangeType.UNDERLINE, None, "<u>a.b</u>"),
        (RangeType.STRIKETHROUGH, None, "<s>a.b</s>"),
        (RangeType.CODE, None, "<code>a.b</code>"),
        (RangeType.PREFORMATTED, "py", "<pre>a.b</pre>"),
        (RangeType.SPOILER, None, "<span class=sp>a.b</span>"),
        (RangeType.BLOCK_QUOTE, None, "<blockquote>a.b</blockquote>"),
        (RangeType.MENTION, None, "<span class=at>a.b</span>"),
        (RangeType.LINK, None, '<a href="https://a.b">a.b</a>'),
        (RangeType.TEXT_LINK, "http://c", '<a href="http://c">a.b</a>'),
        (RangeType.TEXT_LINK, None, "a.b"),
        (RangeType.EMAIL, None, '<a href="mailto:a.b">a.b</a>'),
        (RangeType.PHONE, None, "a.b"),
        (RangeType.OTHER, "x", "a.b"),
        (77, None, "a.b"),
    ],
)
def test_ranges_of_every_type(kind: int, value: str | None, shown: str) -> None:
    assert _markup.rich("<a.b>", [Range(kind, 1, 3, value)]) == f"&lt;{shown}&gt;"


def test_ranges_that_cross_or_lie_outside() -> None:
    crossing = [Range(RangeType.BOLD, 0, 2), Range(RangeType.ITALIC, 1, 2)]
    assert _markup.rich("𝒜bc", crossing) == "<b>𝒜</b><i><b>b</b></i><i>c</i>"
    assert (
        _markup.rich("abc", [Range(RangeType.BOLD, 2, 1 << 62), Range(RangeType.BOLD, 9, 1), Range(1, 0, 0)])
        == "ab<b>c</b>"
    )
    two = [Range(RangeType.TEXT_LINK, 0, 2, "http://x"), Range(RangeType.LINK, 0, 2)]
    assert _markup.rich("ab", two).count("<a ") == 1
    many = [Range(RangeType.BOLD, 0, 1)] * 501
    assert _markup.rich("a", many) == "a"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


hostile = st.lists(
    st.sampled_from(
        [
            "<script>",
            "</noscript>",
            "<!--",
            "&lt;",
            '"',
            "'",
            "javascript:",
            "https://a.b/",
            "\n",
            "<img src=x onerror=y>",
        ]
    )
    | st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), max_size=5),
    max_size=8,
).map("".join)


@given(
    hostile,
    st.none()
    | some.ranges
    | st.lists(st.builds(Range, st.integers(0, 27), st.integers(0, 30), st.integers(0, 9), hostile)),
)
def test_whatever_the_text_all_of_it_is_shown_and_nothing_else(text: str, ranges: list[Range] | None) -> None:
    reader = _Reader()
    reader.feed(_markup.rich(text, ranges))
    reader.close()
    assert reader.text == text
    assert not reader.open
    for tag, attributes in reader.tags:
        assert tag in {"a", "b", "i", "u", "s", "code", "pre", "blockquote", "span"}
        assert attributes.keys() <= {"href", "class"}
        assert attributes.get("class") in (None, "sp", "at")
        if "href" in attributes:
            assert _markup.safe_link(attributes["href"] or "")


@given(hostile)
def test_attributes_keep_their_quotation_marks(text: str) -> None:
    reader = _Reader()
    reader.feed(f"<b title={_markup.attribute(text)}></b>")
    assert reader.tags == [("b", {"title": text})]
