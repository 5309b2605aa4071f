"""What a denial is worth that comes with another roster than the one that was verified."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_client.engine import ReadHeads, ReadRoster
from sealkeep_protocol.errors import HistoryError, RefusedError
from support.accounts import MadeAccount, device, refused
from support.memory_relay import Device, MemoryRelay, refuse


@pytest.mark.parametrize("code", ["signature", "revoked", "closed"])
def test_a_denial_over_another_roster_is_a_fork(code: str) -> None:
    """REL-13: a relay that was put back and took another entry may even say so in good faith."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone = Device(1, made, relay)
    other = made.fork()
    made.change(device(2))
    other.change(device(2))
    phone.sync()
    number = phone.account.roster.number
    assert other.entries[number] != made.entries[number]

    def spoil(action: ReadRoster, honest: Any) -> Any:
        return (other.entries[action.first :], other.roster.number) if action.first == number else honest

    relay.spoil(ReadHeads, refuse(code))
    relay.spoil(ReadRoster, spoil)
    before = phone.kept.copied()
    with refused(HistoryError, "fork"):
        phone.sync()
    assert phone.kept == before


def test_a_signature_that_is_refused_over_the_same_roster_stays_a_refusal() -> None:
    """REL-13"""
    made = MadeAccount()
    relay = MemoryRelay(made)
    phone = Device(1, made, relay)
    phone.sync()
    relay.spoil(ReadHeads, refuse("signature"))
    with pytest.raises(RefusedError) as caught:
        phone.sync()
    assert caught.value.code == "signature"
