"""What a recovery kit opens, and what it does not."""

from __future__ import annotations

from sealkeep_client.engine import decode, unlock_by_kit
from sealkeep_protocol import signed
from sealkeep_protocol.errors import AuthenticationError, HistoryError
from sealkeep_protocol.hybrid_kem import WRAP_SIZE
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import compose_close
from support.accounts import MadeAccount, device, flipped, recovery_keys, refused


def wraps_of(made: MadeAccount) -> list[tuple[int, bytes]]:
    """All wraps for recovery keys, as a relay keeps them."""
    return [(number, wraps[0]) for number, wraps in enumerate(made.wraps) if wraps]


def test_a_kit_opens_every_epoch() -> None:
    """KEY-04: the newest by its wrap, the others by links."""
    made = MadeAccount(devices=4)
    held = unlock_by_kit(made.roster, made.entries, wraps_of(made), made.recovery(0))
    assert [keys.number for keys in held] == [4, 3, 2, 1]
    assert all(keys.secret == made.epochs[keys.number].secret for keys in held)


def test_a_wrap_that_the_relay_spoilt_or_withholds() -> None:
    """KEY-07: it is not the signed one; an older one would open, and show less."""
    made = MadeAccount(devices=3)
    *older, (number, newest) = wraps_of(made)
    for spoilt in (flipped(newest, 9), newest[:-1], older[-1][1]):
        with refused(AuthenticationError, "digest"):
            unlock_by_kit(made.roster, made.entries, [*older, (number, spoilt)], made.recovery(0))
    for left in ([], older, [(99, newest)]):
        with refused(HistoryError, "missing"):
            unlock_by_kit(made.roster, made.entries, left, made.recovery(0))


def spoil_newest(made: MadeAccount) -> None:
    """An entry whose author signed wraps that open to nothing."""
    composed = made.compose(device(1))
    wraps = [bytes([number]) * WRAP_SIZE for number in range(len(composed.wraps))]
    core = decode(composed.entry).core
    key = made.devices[1].signing
    made.append(signed.sign("roster", made.id, core, key, digests=[sha256(wrap) for wrap in wraps]), wraps)


def test_a_wrap_that_its_author_spoilt_is_passed_over() -> None:
    """KEY-04: the older epochs at least; where none opens, the newest says why."""
    made = MadeAccount(devices=3)
    spoil_newest(made)
    made.append(compose_close(made.roster, 0, made.recovery(0).signing))
    held = unlock_by_kit(made.roster, made.entries, wraps_of(made), made.recovery(0))
    assert [keys.number for keys in held] == [3, 2, 1]
    with refused(AuthenticationError, "ciphertext"):
        unlock_by_kit(made.roster, made.entries, wraps_of(made)[-1:], made.recovery(0))


def test_a_kit_of_another_account_opens_nothing() -> None:
    """KEY-09."""
    made = MadeAccount(devices=2)
    with refused(AuthenticationError, "key"):
        unlock_by_kit(made.roster, made.entries, wraps_of(made), recovery_keys(bytes(32)))


def test_a_new_kit_does_not_look_before_its_entry() -> None:
    """Wraps that were made for the kit before it are none of its own."""
    made = MadeAccount(devices=2)
    made.replace_kit(by=device(1))
    held = unlock_by_kit(made.roster, made.entries, wraps_of(made), made.recovery(1))
    assert [keys.number for keys in held] == [3, 2, 1]
    with refused(HistoryError, "missing"):
        unlock_by_kit(made.roster, made.entries, wraps_of(made)[:2], made.recovery(1))
    old = unlock_by_kit(made.roster, made.entries, wraps_of(made), made.recovery(0))
    assert [keys.number for keys in old] == [2, 1]
