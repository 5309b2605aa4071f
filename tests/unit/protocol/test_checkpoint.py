"""Checkpoint codes (spec §11.1): equal for one history, and for no other."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import cbor2
import pytest

from sealkeep_protocol.checkpoint import checkpoint_code, seen_heads
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.keys import EpochKeys
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, device

WORDS = ("able", "zone")


def made() -> MadeAccount:
    account = MadeAccount(devices=3)
    for author in (1, 2, 2, 3):
        account.seal(author)
    return account


def code(account: MadeAccount, words: tuple[str, str] = WORDS) -> bytes:
    return checkpoint_code(account.epoch, account.roster, account.heads.values(), words)


def test_one_history_has_one_code() -> None:
    """VIE-01: whatever the order in which heads are known."""
    account = made()
    shown = code(account)
    assert len(shown) == 32
    heads = list(account.heads.values())
    assert checkpoint_code(account.epoch, account.roster, heads[::-1], WORDS) == shown


def test_it_is_a_mac_of_what_was_seen() -> None:
    """VIE-01: computed anew, by other means."""
    account = made()
    account.remove(3, by=device(1))
    said = [
        account.id,
        *WORDS,
        account.roster.head,
        [list(account.heads[number]) for number in (1, 2, 3)],
        [list(account.roster.devices[3].removal or ())],
    ]
    assert code(account) == hmac.new(account.epoch.checkpoint_key, cbor2.dumps(said), hashlib.sha256).digest()


def other_head(account: MadeAccount) -> None:
    account.segments[2][-1] = account.fork().seal(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda account: account.seal(2),
        lambda account: account.segments[2].pop(),
        lambda account: account.segments.pop(3),
        other_head,
        lambda account: account.change(device(1)),
        lambda account: account.remove(3, by=device(1)),
        lambda account: account.replace_kit(by=device(2)),
    ],
    ids=["one more", "one less", "no feed", "another head", "rotated", "removed", "new kit"],
)
def test_another_history_has_another_code(change: Callable[[MadeAccount], object]) -> None:
    """VIE-01"""
    account = made()
    other = account.fork()
    change(other)
    assert code(other) != code(account)


def test_two_rosters_of_the_same_numbers_have_different_codes() -> None:
    account = made()
    one, other = account.fork(), account.fork()
    one.change(device(1))
    other.change(device(2))
    assert code(one) != code(other)


def test_other_words_give_another_code() -> None:
    account = made()
    shown = {code(account, words) for words in [WORDS, WORDS[::-1], ("able", "able"), ("ablezone", "")]}
    assert len(shown) == 4


def test_the_code_is_of_this_account_and_epoch() -> None:
    """VIE-01: the key is bound to the account's nonce and the epoch's number."""
    account = made()
    other = EpochKeys(account.epoch.secret, account.epoch.number, bytes(32))
    assert checkpoint_code(other, account.roster, account.heads.values(), WORDS) != code(account)
    assert account.epoch.checkpoint_key not in (
        account.epoch.segment_key,
        account.epoch.name_key,
        account.epoch.link_key,
    )
    with pytest.raises(UsageError):
        checkpoint_code(account.epochs[1], account.roster, account.heads.values(), WORDS)


def test_what_was_read_beyond_a_pin_does_not_count() -> None:
    """VIE-01: whoever was shown the discarded tail, and whoever was not, agree."""
    account = made()
    pin = account.pin(2, discard_after=True)._replace(seq=1, header_id=account.segments[2][0].header_id)
    account.remove(pin, by=device(1))
    seen = account.heads[2]
    short = Head(DeviceId(2), Seq(1), ObjectId(pin.header_id))
    rest = [account.heads[1], account.heads[3]]
    assert seen.seq == 2
    codes = {checkpoint_code(account.epoch, account.roster, [*rest, head], WORDS) for head in (seen, short)}
    assert len(codes) == 1


def test_a_feed_that_was_discarded_whole_has_no_head() -> None:
    account = made()
    account.remove(account.pin(2, discard_after=True)._replace(seq=0, header_id=b""), by=device(1))
    assert [head.device for head in seen_heads(account.roster, account.heads.values())] == [1, 3]
