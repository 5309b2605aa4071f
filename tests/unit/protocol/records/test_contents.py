"""Content records and previews in bodies (spec §12.2, §12.3), and which of them counts first."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import cbor2
import pytest

from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.files import MAX_SIZE, ContentRecord, content_root
from sealkeep_protocol.records import (
    MAX_PICTURE,
    Body,
    Preview,
    content_from_fields,
    content_order,
    content_to_fields,
    decode_body,
    encode_body,
    preview_from_fields,
    preview_order,
    preview_to_fields,
)
from sealkeep_protocol.records._table import digest
from support.record_strategies import FULL

HASHES = tuple(bytes([number]) * 32 for number in range(9))
SMALL = ContentRecord(content_root(300, HASHES[:1]), 300, 2, HASHES[1:2], HASHES[:1])
LARGE = ContentRecord(HASHES[5], 9 << 20, 1, HASHES[1:2], HASHES[:1], 9)
PREVIEW = Preview(HASHES[3], "image/jpeg", b"picture", 320, 512)
ROWS: list[tuple[ContentRecord | Preview, dict[int, Any]]] = [
    (SMALL, {1: SMALL.root, 2: 300, 3: 2, 4: [HASHES[1]], 5: [HASHES[0]]}),
    (LARGE, {1: HASHES[5], 2: 9 << 20, 3: 1, 4: [HASHES[1]], 5: [HASHES[0]], 6: 9}),
    (PREVIEW, {1: HASHES[3], 2: "image/jpeg", 3: b"picture", 4: 320, 5: 512}),
]


def decode(data: bytes) -> Body:
    return decode_body(data, limit=1 << 20)


def table(number: int, row: dict[int, Any]) -> bytes:
    return cbor2.dumps({number: [1, {field: [3, value] for field, value in row.items()}]})


def test_they_stand_in_tables_of_their_own() -> None:
    for records in ([SMALL], [SMALL, LARGE], [LARGE, SMALL, SMALL]):
        body = decode(encode_body(messages=[FULL], contents=records))
        assert body == Body(messages=[FULL], contents=records)
        assert body.counts == {3: 1, 5: len(records)}
        assert body.newest_epoch == max(record.epoch for record in records)
    previews = [PREVIEW, replace(PREVIEW, width=1)]
    body = decode(encode_body(previews=previews))
    assert body == Body(previews=previews)
    assert (body.counts, body.newest_epoch) == ({6: 2}, 0)
    assert Body().counts == {}


def test_their_fields_have_the_numbers_of_the_spec() -> None:
    for record, row in ROWS:
        number = 6 if isinstance(record, Preview) else 5
        found = decode(table(number, row))
        assert [*found.contents, *found.previews] == [record]
        if isinstance(record, Preview):
            assert preview_to_fields(record) == row
            assert preview_from_fields({**row, 64: "later"}) == record
        else:
            assert content_to_fields(record) == row
            assert content_from_fields({**row, 64: "later"}) == record


@pytest.mark.parametrize(
    "change",
    [
        *({1: value} for value in (bytes(31), "a", None)),
        *({2: value} for value in (-1, MAX_SIZE + 1, "1", True)),
        *({3: value} for value in (0, 1 << 32, "1")),
        *({number: value} for number in (4, 5) for value in ([], [bytes(31)], ["a"], bytes(32), [HASHES[0]] * 9, {})),
        *({6: value} for value in (1, 9, "a")),
        {1: HASHES[7]},
        {2: 299},
        {4: list(HASHES[:2])},
        {4: list(HASHES[:2]), 5: list(HASHES[:2])},
    ],
)
def test_a_content_record_that_is_not_in_order_is_refused(change: dict[int, Any]) -> None:
    """FIL-06, REC-02"""
    row = {**ROWS[0][1], **change}
    for read in (lambda: decode(table(5, row)), lambda: content_from_fields(row)):
        with pytest.raises(MalformedError) as caught:
            read()
        assert caught.value.code == "malformed"


@pytest.mark.parametrize("change", [{6: 8}, {6: 10}, {2: 8 << 20}, {2: 300}, {4: list(HASHES[:2])}])
def test_a_content_record_with_a_list_that_is_not_in_order_is_refused(change: dict[int, Any]) -> None:
    """FIL-06"""
    with pytest.raises(MalformedError):
        decode(table(5, {**ROWS[1][1], **change}))
    without = {number: value for number, value in ROWS[1][1].items() if number != 6}
    with pytest.raises(MalformedError):
        decode(table(5, without))


def test_one_record_that_is_not_in_order_spoils_the_body() -> None:
    """FIL-06: also where its columns are spread over many."""
    good, bad = ROWS[0][1], {**ROWS[0][1], 1: HASHES[0]}
    for rows, is_good in (([good, good], True), ([good, bad], False), ([bad, good], False)):
        columns = {number: [2, [row[number] for row in rows], [0, 1, 0]] for number in good}
        data = cbor2.dumps({5: [3, columns]})
        if is_good:
            assert decode(data).contents == [SMALL] * 3
        else:
            with pytest.raises(MalformedError):
                decode(data)


@pytest.mark.parametrize(
    "change",
    [
        *({1: value} for value in (bytes(33), "a")),
        *({2: value} for value in ("image/svg+xml", "", "IMAGE/JPEG", b"image/png", 1)),
        *({3: value} for value in (b"", bytes(MAX_PICTURE + 1), "a", None)),
        *({number: value} for number in (4, 5) for value in (0, 513, -1, "1", True)),
    ],
)
def test_a_preview_that_is_not_in_order_is_refused(change: dict[int, Any]) -> None:
    """REC-02"""
    row = {**ROWS[2][1], **change}
    for read in (lambda: decode(table(6, row)), lambda: preview_from_fields(row)):
        with pytest.raises(MalformedError) as caught:
            read()
        assert caught.value.code == "malformed"


def test_no_field_is_left_out() -> None:
    for record, row in ROWS:
        number = 6 if isinstance(record, Preview) else 5
        for missing in row:
            with pytest.raises(MalformedError):
                decode(table(number, {key: value for key, value in row.items() if key != missing}))


def test_a_writer_makes_none_that_a_reader_would_refuse() -> None:
    """FIL-06"""
    for wrong in (replace(SMALL, epoch=0), replace(SMALL, root=HASHES[0]), replace(LARGE, pieces=None)):
        with pytest.raises(ValueError, match="cannot be encoded"):
            encode_body(contents=[SMALL, wrong])
        with pytest.raises(ValueError, match="a content record cannot be encoded"):
            content_to_fields(wrong)
    for bad in (replace(PREVIEW, picture=b""), replace(PREVIEW, width=513), replace(PREVIEW, media_type="image/gif")):
        with pytest.raises(ValueError, match="cannot be encoded"):
            encode_body(previews=[bad])
        with pytest.raises(ValueError, match="a preview cannot be encoded"):
            preview_to_fields(bad)


def test_the_largest_preview_fits_a_record() -> None:
    largest = Preview(HASHES[0], "image/webp", bytes(MAX_PICTURE), 512, 512)
    assert decode(encode_body(previews=[largest])).previews == [largest]


def test_which_record_of_a_root_is_read_by_first() -> None:
    """FIL-07"""
    twins = sorted(
        (replace(LARGE, chunks=(one,)) for one in HASHES[1:3]), key=lambda one: digest(content_to_fields(one))
    )
    newer = replace(LARGE, epoch=2)
    ordered = [
        (twins[1], True, False),
        (newer, False, True),
        (twins[0], False, True),
        (twins[1], False, True),
        (newer, False, False),
        (twins[0], False, False),
    ]
    for given in (ordered, ordered[::-1], ordered[3:] + ordered[:3]):
        assert sorted(given, key=lambda one: content_order(one[0], verified=one[1], active=one[2])) == ordered


def test_which_preview_of_a_root_is_shown() -> None:
    twins = sorted((replace(PREVIEW, width=width) for width in (1, 2)), key=lambda one: digest(preview_to_fields(one)))
    ordered = [(twins[1], True, True), (twins[0], False, True), (twins[1], False, True), (twins[0], False, False)]
    for given in permutations(ordered):
        assert sorted(given, key=lambda one: preview_order(one[0], own=one[1], active=one[2])) == ordered
