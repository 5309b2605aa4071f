"""What a person is told of devices and recovery kits that came or went without this device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealkeep_client.cli._names import as_name, quoted
from sealkeep_client.cli._output import when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealkeep_client.vault import RosterChange


def news_lines(changes: Sequence[RosterChange]) -> list[str]:
    """A line for each device and kit: what became of it, who did that, and what to do if nobody of the household did."""
    lines = []
    for change in changes:
        at = "" if change.time is None else f" on {when(change.time)}"
        signer = (
            as_name(change.signed_by)
            if change.device is None
            else f"{quoted(change.signed_by)} (device {change.device})"
        )
        by = f"{at}, by {signer}"
        lines += [
            f"{_device(device)} came into the account{by}: if that was not you, `sealkeep remove {device[0]}`"
            for device in change.added
        ]
        lines += [
            f"{_device(device)} was removed{by}: if that was not you, {_undo(change)}"
            for device in change.removed
            if device[0] not in change.lowered
        ]
        if change.kit is not None:
            lines.append(
                f"recovery kit {change.kit} was made{by}, and older ones open nothing written since: if that was not you,"
                f" {_undo(change)}"
            )
    return lines


def _undo(change: RosterChange) -> str:
    if change.device is None or change.this:
        who = "somebody has your recovery kit" if change.device is None else "somebody has a copy of this device"
        return f"{who}: `sealkeep --home NEWDIR recover --remove-others`, with your oldest kit, takes the account back"
    return f"`sealkeep remove {change.device} --with FILE`, with the kit that you have"


def _device(device: tuple[int, str]) -> str:
    number, name = device
    return f"{quoted(name)} (device {number})"
