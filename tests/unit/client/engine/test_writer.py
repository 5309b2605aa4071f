"""What the answers to an append mean, where only a part of one is wrong."""

from __future__ import annotations

import pytest

from sealkeep_client.answers import Appended
from sealkeep_client.engine import MAX_LIVE_RECORDS, Append
from sealkeep_protocol.errors import HistoryError
from support.accounts import MadeAccount, flipped, refused
from support.memory_relay import Device, MemoryRelay


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("fault", ["of another segment", "flipped"])
def test_every_receipt_of_a_batch_is_verified(wrong: int, fault: str) -> None:
    """SEG-16: one that does not hold settles nothing, not the segments beside it either; all of them go out again."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.write(*(f"message {number}" for number in range(3 * MAX_LIVE_RECORDS)))

    def spoil(_: Append, answer: Appended) -> Appended:
        receipts = list(answer.receipts)
        assert len(receipts) == 3
        receipts[wrong] = receipts[wrong - 1] if fault == "of another segment" else flipped(receipts[wrong], 300)
        return Appended(answer.last, tuple(receipts))

    relay.spoil(Append, spoil)
    for _ in range(2):
        with refused(HistoryError, "receipt", device=1, seq=wrong + 1):
            phone.sync()
        assert not phone.kept.receipts
        assert phone.account.feed(1).seq == 0
        assert [sealed.seq for sealed, _, _ in phone.kept.pending] == [1, 2, 3]
    relay.mend()
    phone.sync()
    tablet.sync()
    assert tablet.texts == phone.texts
    assert not phone.kept.pending
