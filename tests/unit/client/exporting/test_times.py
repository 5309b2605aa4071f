"""Times in exports: a zone, seconds and a fraction only where the source knows them."""

from __future__ import annotations

import pytest

from sealkeep_client.exporting import _times
from sealkeep_protocol.records import ConversationKey, Message, Precision

CHAT = ConversationKey("a", "", "b")


def message(time: int, precision: Precision, offset: int | None = None) -> Message:
    return Message(CHAT, time, 1, source=1, precision=precision, offset=offset)


@pytest.mark.parametrize(
    ("time", "precision", "offset", "shown"),
    [
        (1_148_865_540_000, Precision.MINUTES, None, "2006-05-29T01:19"),
        (1_148_865_540_000, Precision.MINUTES, 0, "2006-05-29T01:19Z"),
        (1_148_865_540_000, Precision.MINUTES, 480, "2006-05-29T09:19+08:00"),
        (1_148_865_543_210, Precision.SECONDS, None, "2006-05-29T01:19:03"),
        (1_148_865_543_210, Precision.MILLISECONDS, 0, "2006-05-29T01:19:03.210Z"),
        (1_148_865_543_000, Precision.MILLISECONDS, None, "2006-05-29T01:19:03.000"),
        (1_148_865_543_210, Precision.SECONDS, -90, "2006-05-28T23:49:03-01:30"),
        (1_148_865_540_000, Precision.DAYS, None, "2006-05-29"),
        (1_148_850_000_000, Precision.DAYS, 480, "2006-05-29"),
        (-1, Precision.MILLISECONDS, 0, "1969-12-31T23:59:59.999Z"),
        (-62_135_510_400_000, Precision.SECONDS, -1439, "0001-01-01T00:01:00-23:59"),
        (253_402_214_399_999, Precision.SECONDS, 1439, "9999-12-31T23:58:59+23:59"),
    ],
)
def test_a_time_says_no_more_than_its_source(time: int, precision: Precision, offset: int | None, shown: str) -> None:
    assert _times.rfc3339(message(time, precision, offset)) == shown


def test_times_in_utc_have_a_fraction_only_where_there_is_one() -> None:
    assert _times.utc(1_148_865_543_000) == "2006-05-29T01:19:03Z"
    assert _times.utc(1_148_865_543_007) == "2006-05-29T01:19:03.007Z"
    assert _times.utc(-1) == "1969-12-31T23:59:59.999Z"


def test_what_a_time_has_beyond_its_precision_is_told_apart() -> None:
    assert _times.beyond(message(60_001, Precision.MINUTES)) == 60_001
    assert _times.beyond(message(60_000, Precision.MINUTES)) is None
    assert _times.beyond(message(60_001, Precision.MILLISECONDS)) is None
    # The day on the clock of the source is what counts: this is its midnight.
    assert _times.beyond(message(-28_800_000, Precision.DAYS, 480)) is None
    assert _times.beyond(message(0, Precision.DAYS, 480)) == 0


def test_days_are_remembered_up_to_a_bound() -> None:
    for day in range(10_000):
        _times.iso_day(day)
    assert len(_times._days) <= _times._CACHED
    assert _times.iso_day(0) == "1970-01-01"
    assert _times.long_day(13_297) == "Monday, 29 May 2006"
