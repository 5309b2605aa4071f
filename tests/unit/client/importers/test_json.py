"""The pull reader against the standard library's, with buffers that end anywhere."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.importers import _json
from sealkeep_client.importers._json import JsonReader
from sealkeep_client.importers._source import Stream
from sealkeep_protocol.errors import SourceError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=4), part, max_size=4),
    max_leaves=12,
)


def _reader(text: str | bytes) -> JsonReader:
    return JsonReader(Stream(io.BytesIO(text.encode() if isinstance(text, str) else text), "x.json"))


@pytest.fixture(params=[1, 2, 3, 7, 1 << 18])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(_json, "CHUNK", request.param)
    return int(request.param)


@given(
    st.lists(_VALUES, max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from([1, 2, 3, 5, 16, 1 << 18]),
)
def test_reads_what_the_library_reads(values: list[Any], indent: int | None, ascii_only: bool, size: int) -> None:
    text = json.dumps({"a": values, "b": {"c": values}}, indent=indent, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_json, "CHUNK", size)
        reader = _reader(text)
        found: dict[str, Any] = {}
        for key in reader.object():
            found[key] = [reader.value() for _ in reader.array()] if key == "a" else reader.value()
        reader.finish()
    assert found == json.loads(text, parse_float=str)


def test_control_characters_of_old_versions(chunk: int) -> None:
    reader = _reader(r'["a\x0Bb", "\\x41", "\\\x1f\\", "\n\x00"]')
    assert [reader.value() for _ in reader.array()] == ["a\x0bb", "\\x41", "\\\x1f\\", "\n\x00"]


def test_every_cut_is_told(chunk: int) -> None:
    text = '\ufeff{"a": [1, -2.5e3, "é\\u00e9\\\\", true, null, {"b": {}}],\n "c": []}'.encode()

    def walk(content: bytes) -> None:
        reader = _reader(content)
        for key in reader.object():
            if key == "a":
                for _ in reader.array():
                    reader.value()
            else:
                reader.skip()
        reader.finish()

    walk(text)
    for end in range(len(text)):
        with pytest.raises(SourceError, match=r"x\.json: (cut short|not valid JSON|not UTF-8)"):
            walk(text[:end])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n"b" 2}', 2),
        ("{1: 2}", 1),
        ('{"a"\n\n: x}', 3),
        ("[1 2]", 1),
        ('{"a": ' + "9" * 5000 + "}", 1),
        ("{} {}", 1),
    ],
)
def test_mistakes_have_a_line(chunk: int, text: str, line: int) -> None:
    reader = _reader(text)

    def walk() -> None:
        for _ in reader.object():
            reader.value()
        reader.finish()

    with pytest.raises(SourceError) as caught:
        walk()
    assert caught.value.line == line


def test_one_huge_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json, "MAX_VALUE", 1 << 18)
    with pytest.raises(SourceError, match="one entry of more than"):
        _reader('"' + "x" * (1 << 21) + '"').value()


def test_lines_are_counted_over_chunks(chunk: int) -> None:
    reader = _reader("[\n1,\n\n2,\n3\n]")
    assert [(reader.value(), reader.line) for _ in reader.array()] == [(1, 2), (2, 4), (3, 5)]


def test_surrogates_are_noticed(chunk: int) -> None:
    reader = _reader(r'["\ud83d\ude00", "\ud83d"]')
    assert [reader.value() for _ in reader.array()] == ["😀", "\ud83d"]
    assert reader.surrogates
