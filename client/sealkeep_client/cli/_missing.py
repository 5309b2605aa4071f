"""What a device cannot read yet, and from which of the others it could come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sealkeep_client.cli._names import quoted
from sealkeep_client.cli._output import count

if TYPE_CHECKING:
    from sealkeep_client.vault import MissingKey


def missing_json(key: MissingKey) -> dict[str, Any]:
    return {
        "key": key.number,
        "segments": key.segments,
        "devices": [
            {"number": number, "name": name, "state": "active" if active else "removed"}
            for number, name, active in key.devices
        ],
    }


def missing_lines(keys: Sequence[MissingKey]) -> list[str]:
    """What is missing, and what to do about it, a line for all keys with the same devices."""
    lines = []
    for devices in dict.fromkeys(key.devices for key in keys):
        same = [key for key in keys if key.devices == devices]
        numbers = ", ".join(str(key.number) for key in same)
        what = f"key {numbers}" if len(same) == 1 else f"keys {numbers}"
        segments = count(sum(key.segments for key in same), "segment")
        lines.append(
            f"{segments} cannot be read, for want of {what} of the account, which neither this device nor its recovery kit"
            f" was given; {_advice(devices)}"
        )
    return lines


def _advice(devices: Sequence[tuple[int, str, bool]]) -> str:
    active = [f"{quoted(name)} (device {number})" for number, name, is_active in devices if is_active]
    removed = [f"{quoted(name)} (device {number})" for number, name, is_active in devices if not is_active]
    if active:
        return f"they come back when one that was given it has synced: {', '.join(active)}"
    if removed:
        return (
            f"only removed devices were given it, and pass on nothing: {', '.join(removed)}. What one of yours shows,"
            " `sealkeep export` there saves"
        )
    return "no device was given it"
