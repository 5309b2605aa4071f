"""The hybrid logical clock and the two orders of records (spec §7.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealkeep_protocol.records import MAX_AHEAD, HybridClock, Precision, clock_time, conflict_key, order_key
from support.record_strategies import FULL

NOW = 1_700_000_000_000


def test_stamps_rise_when_time_stands_still_or_goes_back() -> None:
    clock = HybridClock()
    stamps = [clock.stamp(now) for now in (NOW, NOW, NOW - 5000, NOW + 1)]
    assert stamps == [NOW << 16, NOW << 16 | 1, NOW << 16 | 2, (NOW + 1) << 16]
    assert clock_time(stamps[1]) == NOW
    assert repr(clock) == f"HybridClock({stamps[-1]})"


def test_the_counter_runs_over_into_the_milliseconds() -> None:
    clock = HybridClock(NOW << 16 | 0xFFFF)
    assert clock.stamp(NOW) == (NOW + 1) << 16


def test_a_stamp_is_followed() -> None:
    clock = HybridClock()
    clock.observe((NOW + MAX_AHEAD) << 16, NOW)
    assert clock.last == (NOW + MAX_AHEAD) << 16
    clock.observe(5, NOW)
    assert clock.last == (NOW + MAX_AHEAD) << 16


def test_a_stamp_too_far_ahead_is_not_followed() -> None:
    """REC-08"""
    clock = HybridClock(NOW << 16)
    clock.observe((NOW + MAX_AHEAD + 1) << 16, NOW)
    assert clock.last == NOW << 16


@pytest.mark.parametrize("ahead", [-10, 0, 10, MAX_AHEAD])
def test_a_record_is_later_than_its_target(ahead: int) -> None:
    """REC-08"""
    clock = HybridClock()
    target = (NOW + ahead) << 16 | 7
    stamp = clock.stamp(NOW, target=target)
    assert stamp > target
    assert clock.last == stamp
    assert clock.stamp(NOW) > stamp


def test_a_target_too_far_ahead_leaves_the_clock_where_it_was() -> None:
    """REC-08"""
    clock = HybridClock()
    target = (NOW + MAX_AHEAD + 1) << 16
    assert clock.stamp(NOW, target=target) == target + 1
    assert clock.last == NOW << 16


@pytest.mark.parametrize(
    ("precision", "time"),
    [
        (Precision.MILLISECONDS, 1_700_000_001_234),
        (Precision.SECONDS, 1_700_000_001_000),
        (Precision.MINUTES, 1_699_999_980_000),
        (Precision.DAYS, 1_699_920_000_000),
    ],
)
def test_the_order_of_views(precision: Precision, time: int) -> None:
    message = replace(FULL, time=1_700_000_001_234, precision=precision)
    assert order_key(message, b"i" * 16) == (time, 42, b"i" * 16)


def test_times_before_1970_are_cut_downwards() -> None:
    assert order_key(replace(FULL, time=-1, precision=Precision.SECONDS), b"")[0] == -1000


def test_the_order_of_conflicts() -> None:
    assert sorted([conflict_key(2, b"a"), conflict_key(1, b"b"), conflict_key(None, b"c"), conflict_key(1, b"a")]) == [
        (0, b"c"),
        (1, b"a"),
        (1, b"b"),
        (2, b"a"),
    ]
