"""Telegram texts: ranges, and what they cannot say (spec §7.5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.importers._telegram_text import RANGES, read_text

_BOLD = {"type": "bold", "text": "b"}


@pytest.mark.parametrize(
    ("text", "entities", "shown", "raw"),
    [
        ("x", None, "x", set()),
        ("", [], "", set()),
        (["a", _BOLD], None, "ab", set()),
        ([_BOLD], [_BOLD], "b", set()),
        ("x", [], "x", set()),
        ("other", [{"type": "plain", "text": "x"}], "x", {"text"}),
        ("b", [_BOLD], "b", {"text"}),
        (["a", "c"], [{"type": "plain", "text": "a"}, {"type": "plain", "text": "c"}], "ac", {"text_entities"}),
        ("x", [{"type": "plain", "text": "x", "more": 1}], "x", {"text_entities"}),
        ("x", [{"type": "bold", "text": "x", "more": 1}], "x", {"text", "text_entities"}),
        ("x", [5], "x", {"text", "text_entities"}),
        ("x", [{"type": 5, "text": "x"}], "x", {"text", "text_entities"}),
        ("x", {"a": 1}, "x", {"text_entities"}),
        ({"text": "deep"}, None, "deep", {"text"}),
        ([{"text": ["a", {"text": "b"}]}, 5], None, "ab", {"text"}),
        (5, None, "", {"text"}),
        (["a", {"type": "pre", "text": "p", "language": 5}], None, "ap", set()),
        ("x", [{"type": "plain", "text": ""}], "x", {"text", "text_entities"}),
    ],
)
def test_what_ranges_cannot_say_is_kept(text: Any, entities: Any, shown: str, raw: set[str]) -> None:
    found = read_text(text, entities)
    assert found.text == shown
    assert set(found.raw) >= raw
    for key, value in found.raw.items():
        assert value == {"text": text, "text_entities": entities}[key]


@given(st.lists(st.tuples(st.sampled_from(["plain", *RANGES]), st.text(max_size=5)), max_size=8))
def test_ranges_point_at_their_text(parts: list[tuple[str, str]]) -> None:
    entities = [{"type": name, "text": text} for name, text in parts]
    found = read_text([text if name == "plain" else {"type": name, "text": text} for name, text in parts], entities)
    assert found.text == "".join(text for _, text in parts)
    marked = [(found.text[part.start : part.start + part.length], part.type) for part in found.ranges or ()]
    assert marked == [(text, RANGES[name]) for name, text in parts if name != "plain"]
