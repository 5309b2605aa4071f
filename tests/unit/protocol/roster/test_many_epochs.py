"""What many epochs and devices cost, by counts and bytes: a roster of 20 devices and 500 epochs must stay handy."""

from __future__ import annotations

import pytest

from sealkeep_protocol import sealing
from sealkeep_protocol.roster import follow_links, open_wrap, unreached
from support.accounts import MadeAccount, device

DEVICES, EPOCHS = 20, 500
MADE = 60  # the rest is counted: each epoch costs the same


def kept(account: MadeAccount) -> int:
    """Bytes that the relay keeps: all entries, all wraps for recovery keys, and each device's newest (§5.6)."""
    entries = sum(map(len, account.entries))
    return entries + sum(len(wraps[0]) for wraps in account.wraps) + sum(map(len, account.wraps[-1][1:]))


@pytest.fixture(scope="module")
def account() -> MadeAccount:
    account = MadeAccount(devices=DEVICES)
    while account.roster.epoch < MADE:
        account.change(device(1 + account.roster.epoch % DEVICES))
    return account


def test_an_epoch_more_costs_the_same_and_little(account: MadeAccount) -> None:
    """With 500 epochs, roster and wraps stay under 5 MB: under a quarter of that."""
    sizes = []
    twin = account.fork()
    for _ in range(3):
        before = kept(twin)
        twin.change(device(1))
        sizes.append(kept(twin) - before)
    assert max(sizes) - min(sizes) <= 8  # numbers grow a byte now and then
    assert kept(account) + (EPOCHS - MADE) * (max(sizes) + 8) < 1_250_000


def test_one_wrap_and_one_link_an_epoch_open_everything(account: MadeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEY-04: as many links as there are epochs, each opened once, whatever number there is of devices."""
    opened = []
    honest = sealing.open_alone

    def count(*arguments: object, **named: object) -> bytes:
        opened.append(arguments)
        return honest(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(sealing, "open_alone", count)
    keys = open_wrap(account.roster, account.entry(), account.wraps[-1][-1], DEVICES, account.devices[DEVICES])
    found = follow_links(account.roster, keys)
    assert [older.number for older in found] == list(range(MADE - 1, 0, -1))
    assert len(opened) == MADE - 1
    opened.clear()
    assert unreached(account.roster, [keys, *found]) == [keys]
    assert len(opened) == MADE - 1
