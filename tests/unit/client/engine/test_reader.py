"""Reading again what was verified before, because the relay is another store by now."""

from __future__ import annotations

import pytest

from sealkeep_client.answers import PageItem
from sealkeep_client.engine import ReadChanges
from sealkeep_protocol.errors import HistoryError
from support.accounts import MadeAccount, refused
from support.memory_relay import Device, MemoryRelay, items


@pytest.mark.parametrize("seq", [1, 2])
def test_another_header_at_a_verified_place_is_a_fork(seq: int) -> None:
    """SEG-09: signed by the same author, and shown where the position says nothing of what was read; heads may be true."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    others = []
    for text in ("one", "two", "three"):
        others.append(made.seal(2, b"another " + text.encode(), take=False))
        tablet.write(text)
        tablet.sync()
    phone.sync()
    relay.restore()
    other = others[seq - 1]

    def change(found: list[PageItem]) -> list[PageItem]:
        return [
            PageItem(item.position, item.device, item.seq, other.header, other.summary, other.body)
            if (item.device, item.seq) == (2, seq)
            else item
            for item in found
        ]

    relay.spoil(ReadChanges, items(change))
    before = phone.kept.copied()
    with refused(HistoryError, "fork", device=2, seq=seq):
        phone.sync()
    assert phone.kept == before
    relay.mend()
    phone.sync()
    assert phone.texts == ["one", "three", "two"]
