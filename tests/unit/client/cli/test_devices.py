"""What `devices` and `remove` say of when a device was last seen."""

from __future__ import annotations

import pytest

from sealkeep_client.cli._devices import _presented, device_json, print_devices
from sealkeep_client.vault import DeviceInfo

NOON = 1_700_000_000_000


def device(last_seen: int | None, seen_from: str | None) -> DeviceInfo:
    return DeviceInfo(
        2,
        "tablet",
        "phone",
        None,
        last_seen,
        3,
        False,
        seen_from=seen_from,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("last_seen", "seen_from", "cell", "sentence"),
    [
        (None, None, "never", "never seen"),
        (NOON, "read", "days ago)", "last seen 2023-11-1"),
        (NOON, "written", "days ago)", "last seen 2023-11-1"),
        (NOON, "messages", "wrote messages of 2023-11-1", "wrote messages of 2023-11-1"),
    ],
)
def test_when_a_device_was_last_seen(
    capsys: pytest.CaptureFixture[str], last_seen: int | None, seen_from: str | None, cell: str, sentence: str
) -> None:
    """The time of a message is not taken for the time at which a device imported it."""
    shown = device(last_seen, seen_from)
    print_devices([shown])
    assert cell in capsys.readouterr().out
    assert f", added by phone, {sentence}" in _presented(shown)
    told = device_json(shown)
    assert (told["last_seen"], told["seen_from"]) == (last_seen, seen_from)
