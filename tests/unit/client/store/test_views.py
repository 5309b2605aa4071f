"""Pages of history, and search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealkeep_client.store import Store
from sealkeep_client.store._words import fold, indexed
from sealkeep_protocol.records import ConversationKey, Mark, MarkType, Message, RecordIds
from support.record_strategies import CHAT

OTHER = ConversationKey("telegram", "", "user:7")


def message(source: int, text: str | None, time: int = 0, chat: ConversationKey = CHAT) -> Message:
    return Message(conversation=chat, source=source, time=time * 1000, kind=1, text=text)


def found(store: Store, query: str, limit: int | None = None) -> list[object]:
    return [entry.view.message.source for entry in store.views.search(query, limit=limit)]


# --- pages --------------------------------------------------------------------------------------------------------


def test_pages_in_both_directions(store: Store, ids: RecordIds) -> None:
    store.put([message(n, "x", time=n // 3) for n in range(25)], upload=None)  # three of each second: ids decide
    chat = ids.conversation(CHAT)
    whole = store.views.history(chat, limit=100)
    assert [entry.key for entry in whole] == sorted(entry.key for entry in whole)
    pages, before = [], None
    while page := store.views.history(chat, before=before, limit=10):
        pages.insert(0, page)
        before = page[0].key
    assert [len(page) for page in pages] == [5, 10, 10]
    assert [entry for page in pages for entry in page] == whole
    assert store.views.history(chat, after=whole[4].key, limit=3) == whole[5:8]
    assert store.views.history(bytes(16)) == []


def test_a_page_shows_marks(store: Store, ids: RecordIds) -> None:
    one = message(1, "a")
    target = ids.message(one)
    store.put(
        [one, message(2, "b", time=5)],
        marks=[
            Mark(MarkType.REVISION, target, edited=1, text="c"),
            Mark(MarkType.REACTION, target, key="👍", count=2),
            Mark(MarkType.READ, target, actor="me"),
        ],
        upload=None,
    )
    first, second = store.views.history(ids.conversation(CHAT))
    assert (first.view.message.text, first.view.history[0].text, len(first.view.reactions)) == ("c", "a", 1)
    assert second.view.message.text == "b"
    (chat,) = store.views.conversations()
    assert (chat.messages, chat.last, chat.reads) == (2, 5000, {"me": target})
    assert store.views.message(target) == first
    assert store.views.message(bytes(16)) is None


# --- search -------------------------------------------------------------------------------------------------------

TEXTS = {
    1: "Hello, wide World",
    2: "今天天气很好",
    3: "天气预报说明天下雨",
    4: "Café au lait, naïve Ünïcode",
    5: "ＦＵＬＬ width，全角",
    6: "foo-bar baz_qux",
    7: "😂😂 haha哈哈",
    8: "안녕하세요 세계",
    9: "カタカナとひらがな",
    10: "Привет, мир и майский йод",
    11: "สวัสดีครับ",
    12: "https://example.org/path?q=1",
    13: "气",
    14: None,
    15: "",
    16: "नमस्ते दुनिया",
    17: "气天 天 气",
    18: "5 > 3 (ok) :-)",
}


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("hello", {1}),
        ("WORLD hello", {1}),
        ("hell", set()),
        ("天气", {2, 3}),
        ("天气 预报", {3}),
        ("天气预报", {3}),
        ("天气很", {2}),
        ("天", {2, 3, 17}),
        ("气", {2, 3, 13, 17}),
        ("好", {2}),
        ("雨", {3}),
        ("天雨", set()),
        ("cafe", {4}),
        ("CAFÉ", {4}),
        ("unicode naive", {4}),
        ("full", {5}),
        ("全角", {5}),
        ("foo-bar", {6}),
        ("bar-foo", set()),
        ("qux", {6}),
        ("😂", {7}),
        ("😂😂", {7}),
        ("haha哈哈", {7}),
        ("哈", {7}),
        ("안녕", {8}),
        ("세계", {8}),
        ("ひらがな", {9}),
        ("カ", {9}),
        ("привет", {10}),
        ("йод", {10}),
        ("иод", set()),
        ("ครับ", {11}),
        ("example.org", {12}),
        ("नमस्ते", {16}),
        (":-)", {18}),
        ('"', set()),
        ("hello OR 天气", set()),
        ("NOT", set()),
        ("", set()),
        ("   ", set()),
    ],
)
def test_search(store: Store, query: str, hits: set[int]) -> None:
    store.put([message(n, text) for n, text in TEXTS.items()], upload=None)
    assert set(found(store, query)) == hits


def test_newest_first_and_limited(store: Store, ids: RecordIds) -> None:
    store.put([message(n, "hit", time=n * 7 % 1000) for n in range(1200)], upload=None)
    store.put([message(n, "hit", time=2000 + n, chat=OTHER) for n in range(5)], upload=None)
    everything = [entry.key for entry in store.views.search("hit")]
    assert len(everything) == 1205
    assert everything == sorted(everything, reverse=True)
    assert [entry.key for entry in store.views.search("hit", limit=3)] == everything[:3]
    assert len(list(store.views.search("hit", conversation=ids.conversation(OTHER)))) == 5
    assert list(store.views.search("hit", conversation=bytes(16))) == []


def test_the_index_follows_a_text(store: Store, ids: RecordIds) -> None:
    one = message(1, "天气")
    store.put([one], upload=None)
    store.put([replace(one, text="新闻", edited=1)], upload=None)
    assert (found(store, "天气"), found(store, "新闻")) == ([], [1])
    store.put(marks=[Mark(MarkType.TOMBSTONE, ids.message(one), reason=2)], upload=None)
    assert found(store, "新闻") == []
    with store.transaction():
        store._database.script("INSERT INTO words (words) VALUES ('integrity-check')")


def test_folding() -> None:
    assert fold("Straße ÉCOLE ＡＢ") == "strasse ecole ab"
    assert fold("ПАЙ") == "пай"
    assert indexed("ok") == "ok"
    assert indexed("a天气b") == "a 天气 气 b"


def test_long_texts_are_folded_word_by_word() -> None:
    """A run of combining marks is sorted in the square of its length: 60,000 of them would take many seconds."""
    text = "Café １２３ ﬁne 北京, ÀÉÎ\u0301 "
    assert fold(text * 100) == fold(text) * 100
    assert fold("e" + "\u0315\u0300" * 30_000 + " É").endswith(" e")
