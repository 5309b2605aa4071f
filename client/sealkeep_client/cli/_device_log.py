"""The account's signed history as lines: who changed what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sealkeep_client.cli._names import as_name, quoted
from sealkeep_client.cli._output import clean_line, dim, pad, when, width

if TYPE_CHECKING:
    from sealkeep_client.vault import RosterChange


def print_log(history: Sequence[RosterChange]) -> None:
    """One entry a line: its number, the signer's clock, the signer with the beginning of its key, and what it did."""
    signers = [f"{as_name(change.signed_by)} {change.key.hex()[:8]}" for change in history]
    widest = max(map(width, signers), default=0)
    numbers = max((len(str(change.number)) for change in history), default=0)
    for change, signer in zip(history, signers, strict=True):
        moment = when(change.time) if change.time is not None else ""
        line = f"{change.number:>{numbers}}  {pad(moment, 16)}  {pad(signer, widest)}"
        click.echo(f"{dim(line)}  {clean_line(sentence(change))}")


def sentence(change: RosterChange) -> str:
    """What an entry did, in plain words."""
    if change.what == "close":
        return "closed the account"
    parts = []
    if change.what == "genesis":
        parts.append("made the account")
    if change.what == "reclaim":
        parts.append("took the account back")
    pins = list(zip(change.removed, change.pins, strict=True))
    removed = [
        f"{_device(device)}, whose segments end at {seq}" + (", the rest given up" if cut else "")
        for device, (seq, cut) in pins
        if device[0] not in change.lowered
    ]
    lowered = [f"{_device(device)} after segment {seq}" for device, (seq, _) in pins if device[0] in change.lowered]
    if removed:
        parts.append("removed " + "; ".join(removed))
    if lowered:
        parts.append("gave up what was written by " + "; ".join(lowered))
    if change.added:
        parts.append(("with " if change.what == "genesis" else "added ") + ", ".join(map(_device, change.added)))
    if change.kit is not None:
        parts.append(f"recovery kit {change.kit}" if change.what == "genesis" else f"set recovery kit {change.kit}")
    keys = f"keys {change.epoch}"
    if not parts:
        return f"renewed the account's keys ({keys})"
    return f"{'; '.join(parts)} ({keys})"


def _device(device: tuple[int, str]) -> str:
    number, name = device
    return f"{quoted(name)} (device {number})"


def entry_json(change: RosterChange) -> dict[str, Any]:
    """The same for programs, with the full key and the entry's id."""
    return {
        "type": "entry",
        "number": change.number,
        "id": change.id.hex(),
        "what": change.what,
        "time": change.time,
        "signed_by": change.signed_by,
        "key": change.key.hex(),
        "epoch": change.epoch,
        "added": [{"number": number, "name": name} for number, name in change.added],
        "removed": [
            {"number": number, "name": name, "last": seq, "discarded": cut, "before": number in change.lowered}
            for (number, name), (seq, cut) in zip(change.removed, change.pins, strict=True)
        ],
        "kit": change.kit,
    }
