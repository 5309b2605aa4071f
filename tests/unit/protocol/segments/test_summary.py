"""Summaries (spec §6.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.padding import MAX_CONTENT
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.segments import SegmentClass, Summary, decode_summary, summarize
from support.accounts import refused

TAGS = tuple(sorted(sha256(bytes([number]))[:8] for number in range(3)))
SUMMARY = Summary(SegmentClass.LIVE, -5, 7, 3, TAGS, False, 1000)
FIELDS: dict[int, Any] = {1: 1, 2: [-5, 7], 3: 3, 4: list(TAGS), 5: False, 6: 1000}


def test_a_summary_is_a_map_and_zeros() -> None:
    assert SUMMARY.encode() == cbor.encode(FIELDS).ljust(80, b"\0")
    assert decode_summary(SUMMARY.encode()) == SUMMARY
    for segment_class in (SegmentClass.FRONT, SegmentClass.HISTORY, SegmentClass.PREVIEW):
        nothing: dict[str, Any] = {"first": 0, "last": 0, "tags": ()} if segment_class is SegmentClass.PREVIEW else {}
        other = replace(SUMMARY, segment_class=segment_class, **nothing)
        assert len(other.encode()) == 2032
        assert other.ciphertext_length == 2048
        assert decode_summary(other.encode()) == other
    assert SUMMARY.ciphertext_length == 96


def test_summarize_counts_times_and_tags() -> None:
    ids = [sha256(bytes([number]))[:16] for number in (2, 1, 0, 1)]
    assert summarize(SegmentClass.LIVE, [7, -5, 0], 3, ids, 1000) == SUMMARY
    assert summarize(SegmentClass.LIVE, iter([7, -5]), 3, iter(ids), 1000) == SUMMARY
    assert summarize(SegmentClass.LIVE, [], 1, [], 10, has_marks=True) == Summary(
        SegmentClass.LIVE, 0, 0, 1, (), True, 10
    )


@pytest.mark.parametrize(
    ("segment_class", "room"), [(SegmentClass.LIVE, 4), (SegmentClass.FRONT, 220), (SegmentClass.HISTORY, 220)]
)
def test_tags_without_room_are_left_out_and_said_so(segment_class: SegmentClass, room: int) -> None:
    ids = [sha256(number.to_bytes(2, "big"))[:16] for number in range(room + 1)]
    times = [-(1 << 53) + 1, (1 << 53) - 1]
    full = summarize(segment_class, times, (1 << 32) - 1, ids[:room], MAX_CONTENT)
    assert (len(full.tags), full.overflow) == (room, False)
    assert decode_summary(full.encode()) == full
    over = summarize(segment_class, times, (1 << 32) - 1, ids, MAX_CONTENT)
    assert (len(over.tags), over.overflow) == (room, True)
    assert list(over.tags) == sorted(identifier[:8] for identifier in ids)[:room]
    assert decode_summary(over.encode()) == over


@pytest.mark.parametrize("change", [{2: [-1, 0]}, {2: [0, 1]}, {4: [TAGS[0]]}, {5: True}])
def test_the_summary_of_previews_tells_no_times_and_no_conversations(change: dict[int, Any]) -> None:
    """FIL-09"""
    fields = FIELDS | {1: 4, 2: [0, 0], 4: []}
    preview = decode_summary(cbor.encode(fields).ljust(2032, b"\0"))
    assert preview == summarize(SegmentClass.PREVIEW, [], 3, [], 1000)
    with refused(MalformedError, "malformed"):
        decode_summary(cbor.encode(fields | change).ljust(2032, b"\0"))
    said = fields | change
    with pytest.raises(ValueError, match="no times"):
        replace(preview, first=said[2][0], last=said[2][1], tags=tuple(said[4]), overflow=said[5]).encode()


def test_a_summary_that_does_not_fit_is_a_mistake_of_the_caller() -> None:
    tags = tuple(sorted(sha256(bytes([number]))[:8] for number in range(8)))
    with pytest.raises(ValueError, match="does not fit"):
        replace(SUMMARY, tags=tags).encode()


@pytest.mark.parametrize("key", range(1, 7))
def test_missing_and_unknown_fields_are_refused(key: int) -> None:
    """ENC-05"""
    with refused(MalformedError, "malformed"):
        decode_summary(cbor.encode({k: v for k, v in FIELDS.items() if k != key}))
    with refused(MalformedError, "unsupported"):
        decode_summary(cbor.encode(FIELDS | {key + 6: 0}))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        (1, 0, "unsupported"),
        (1, 5, "unsupported"),
        (1, "live", "malformed"),
        (2, [0], "malformed"),
        (2, [1, 0], "malformed"),
        (2, [0, 1 << 53], "malformed"),
        (2, [-(1 << 53), 0], "malformed"),
        (2, ["0", 0], "malformed"),
        (2, [False, 0], "malformed"),
        (3, -1, "malformed"),
        (3, 1 << 32, "malformed"),
        (4, {}, "malformed"),
        (4, [b"short"], "malformed"),
        (4, [TAGS[1], TAGS[0]], "malformed"),
        (4, [TAGS[0], TAGS[0]], "malformed"),
        (5, 0, "malformed"),
        (5, None, "malformed"),
        (6, -1, "malformed"),
        (6, MAX_CONTENT + 1, "malformed"),
    ],
)
def test_fields_of_another_shape_are_refused(field: int, value: Any, code: str) -> None:
    with refused(MalformedError, code):
        decode_summary(cbor.encode(FIELDS | {field: value}))


def test_anything_but_zeros_after_the_item_is_refused() -> None:
    """ENC-10"""
    encoded = SUMMARY.encode()
    with refused(MalformedError, "malformed"):
        decode_summary(encoded[:-1] + b"\x01")
    with refused(MalformedError, "malformed"):
        decode_summary(cbor.encode([1]).ljust(80, b"\0"))
    with refused(MalformedError, "malformed"):
        decode_summary(b"")
