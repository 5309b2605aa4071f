"""When a device was last seen: what of it this one knows by its own clock, and what it only has from that device."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_client.vault._sightings import Sighting, Sightings

NOW = 1_700_000_000_000
HOUR = 3_600_000


def sightings(kept: dict[str, Any] | None = None, *, synced: int | None = NOW - HOUR) -> Sightings:
    """At `NOW`, of a device that synced then."""
    values: dict[str, Any] = kept or {}
    if synced is not None:
        values["last-sync"] = [synced, 0, 0]
    found = Sightings(values.get, values.__setitem__, lambda: NOW)
    found.begin()
    return found


@pytest.mark.parametrize(
    ("synced", "new", "written", "messages", "expected"),
    [
        pytest.param(NOW - HOUR, True, [], [5], (NOW, "read"), id="in step: by this one's clock"),
        pytest.param(NOW - HOUR, True, [NOW - 7], [5], (NOW - 7, "read"), id="since then, its author says when"),
        pytest.param(NOW - HOUR, True, [9], [5], (NOW - HOUR, "read"), id="and cannot say an earlier time"),
        pytest.param(NOW - HOUR, True, [NOW + 9], [], (NOW, "read"), id="nor a later one"),
        pytest.param(NOW - HOUR, True, [NOW + HOUR], [], (NOW, "read"), id="a clock that is ahead says nothing"),
        pytest.param(NOW - HOUR, False, [9], [5], (9, "written"), id="read again"),
        pytest.param(NOW - 25 * HOUR, True, [9], [5], (9, "written"), id="not in step"),
        pytest.param(NOW + HOUR, True, [9], [5], (9, "written"), id="this one's clock was put back"),
        pytest.param(None, True, [], [5, 6], (6, "messages"), id="restored"),
        pytest.param(None, True, [NOW + HOUR], [NOW + HOUR], None, id="restored from one whose clock is ahead"),
        pytest.param(None, True, [], [], None, id="nothing"),
    ],
)
def test_what_a_segment_says(
    synced: int | None, new: bool, written: list[int], messages: list[int], expected: tuple[int, str] | None
) -> None:
    found = sightings(synced=synced)
    found.note(2, written=written, messages=messages, new=new)
    assert found.of(2) == expected
    assert found.of(1) is None


def test_the_best_is_kept() -> None:
    found = sightings(synced=None)
    for written, messages, expected in [
        ([], [50], Sighting(50, "messages")),
        ([], [40], Sighting(50, "messages")),
        ([], [60], Sighting(60, "messages")),
        ([20], [90], Sighting(20, "written")),  # better known, if earlier
        ([], [99], Sighting(20, "written")),
        ([10], [], Sighting(20, "written")),
    ]:
        found.note(2, written=written, messages=messages, new=True)
        assert found.of(2) == expected
    found.note_own(2)
    assert found.of(2) == Sighting(NOW, "read")


def test_what_was_kept_before() -> None:
    """A moment alone, of which nobody knows what it is."""
    found = sightings({"seen/2": 70})
    assert found.of(2) == Sighting(70, "messages")
    found.note(2, written=[30], messages=[], new=False)
    assert found.of(2) == Sighting(30, "written")
