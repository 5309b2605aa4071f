"""The two machines of a pairing (spec §10): what brings them together, and everything that must not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, MalformedError, PairingError, UsageError
from sealkeep_protocol.keys import KeyRecord
from sealkeep_protocol.pairing import CodeKind, NewDevice, OldDevice
from sealkeep_protocol.pairing._messages import Candidate, encode_sealed
from sealkeep_protocol.primitives import mac, sha256
from sealkeep_protocol.types import AccountId
from support.accounts import CountingRandom, flipped, made_keys, refused
from support.pairing import (
    ACCOUNT,
    ENROLMENT,
    IDENTITY,
    WORDS,
    Pair,
    draw_code,
    given,
    new_device,
    old_device,
    with_mailbox,
)

LAPTOP = made_keys("laptop")


@pytest.mark.parametrize("kind", CodeKind)
def test_two_devices_pair(kind: CodeKind) -> None:
    code = draw_code()
    pair = Pair(code=code, read=given(code, kind))
    enrolment = pair.new.conclude(pair.up_to(5))
    assert enrolment == ENROLMENT
    assert pair.offer is not None
    assert pair.candidate is not None
    assert pair.offer.account == ACCOUNT
    assert (pair.candidate.keys, pair.candidate.name) == (LAPTOP.record((1, ACCOUNT)), "laptop")
    assert pair.offer.words == pair.words
    assert len(pair.words) == 3


def test_a_no_is_told() -> None:
    pair = Pair()
    pair.old.meet(pair.up_to(4))
    assert pair.new.conclude(pair.old.decline()) is None


def test_nothing_that_is_told_can_be_read_from_the_mailbox() -> None:
    """P1: neither account nor name nor keys, nor how long the name is."""
    short, long = Pair(name="a"), Pair(name="a" * 64)
    short.up_to(5)
    long.up_to(5)
    assert [len(message) for message in short.said] == [len(message) for message in long.said]
    said = b"".join(long.said)
    for secret in (ACCOUNT, b"a" * 8, LAPTOP.signing.public, LAPTOP.kem.public[:64], ENROLMENT.entry_id):
        assert secret not in said


def test_the_words_are_the_specs() -> None:
    """§10.6"""
    pair = Pair()
    pair.up_to(5)
    candidate, old_nonce = pair.candidate, CountingRandom("old")(32)
    assert candidate is not None
    said = [ACCOUNT, old_nonce, candidate.nonce, LAPTOP.signing.public, LAPTOP.kem.public, "laptop"]
    assert pair.words == WORDS.encode(mac(pair.old._keys.words_key, cbor.encode(said)), 3)


def test_every_secret_is_drawn_afresh() -> None:
    """PAI-04, KEY-06: nonces, scalars and salts."""
    random = CountingRandom("old")
    pair = Pair()
    pair.old = OldDevice(pair.given, account=ACCOUNT, identity=IDENTITY, words=WORDS, random=random)
    pair.up_to(5)
    assert [len(drawn) for drawn in random.drawn] == [32, 64, 32, 32]  # nonce, scalar, two salts
    random = CountingRandom("new")
    pair = Pair()
    pair.new = NewDevice(pair.code, keys=LAPTOP, name="laptop", words=WORDS, random=random)
    pair.up_to(5)
    assert [len(drawn) for drawn in random.drawn] == [32, 64, 32]


# The code


WRONG = [
    pytest.param({"read": given(draw_code("another"))}, id="another code"),
    pytest.param({"read": given(draw_code("another"), CodeKind.FULL)}, id="another code in full"),
    pytest.param({"read": with_mailbox(given(draw_code()), 8)}, id="another mailbox"),
    pytest.param({"identity": sha256(b"another relay")}, id="another relay"),
]


@pytest.mark.parametrize("other", WRONG)
def test_a_wrong_code_another_mailbox_and_another_relay_are_found_at_once(other: dict[str, object]) -> None:
    """PAI-07: nothing sealed was said or opened; PAI-08: nobody is accused; PAI-04: the code is of no use any more."""
    pair = Pair(**other)  # type: ignore[arg-type]
    answer = pair.up_to(2)
    with pytest.raises(PairingError, match="the code is wrong, or somebody else has tried it"):
        pair.old.invite(answer)
    for again in (answer, Pair().up_to(2)):
        with pytest.raises(UsageError, match="a code serves one exchange"):
            pair.old.invite(again)


def test_one_letter_is_enough() -> None:
    code = draw_code()
    words = list(code.words)
    words[2] = "zoo" if words[2] != "zoo" else "zone"
    pair = Pair(code=code, read=given(replace(code, words=tuple(words))))
    with pytest.raises(PairingError):
        pair.old.invite(pair.up_to(2))


def test_a_code_in_full_of_another_relay_is_refused_before_anything_is_said() -> None:
    """PAI-05"""
    code = draw_code(identity=sha256(b"another relay"))
    with pytest.raises(UsageError, match="another relay"):
        old_device(given(code, CodeKind.FULL))


def test_a_guess_at_the_new_device_is_one_guess() -> None:
    """PAI-04, PAI-07, PAI-08: who answers with a wrong code gets a confirmation to test one guess by, and no second."""
    code = draw_code()
    pair = Pair(code=code, read=given(draw_code("guess")))
    hello = pair.up_to(1)
    pair.new.answer(hello)
    guessed = Pair(code=draw_code("guess"))
    with pytest.raises(PairingError):
        pair.new.offer(guessed.up_to(3))
    for again in (hello, Pair(code=code, seed="2").up_to(1)):
        with pytest.raises(UsageError, match="over"):
            pair.new.answer(again)
    with pytest.raises(UsageError, match="over"):
        pair.new.offer(guessed.said[2])


# Messages that are not the other side's


# PAI-08: an accusation needs the other side's confirmation: the old device has it with message 2, the new one with 3.
EXPECTED: dict[int, tuple[type[Exception], ...]] = {
    1: (PairingError,),
    2: (PairingError,),
    3: (PairingError, AuthenticationError),
    4: (AuthenticationError, MalformedError),
    5: (AuthenticationError, MalformedError),
}


def is_refused(pair: Pair, number: int, message: bytes) -> None:
    """The message is refused, and with it the pairing: not even the right one is taken after it."""
    if number == 1 and (answer := answer_to(pair, message)) is not None:
        # Message 1 may come from anybody; the answer to it shows that it did.
        number, message = 2, answer
        pair.said.append(message)
    if number > 1:
        with pytest.raises(EXPECTED[number]):
            pair.take(number, message)
    with pytest.raises(UsageError, match="over"):
        pair.take(number, pair.said[number - 1])


def answer_to(pair: Pair, message: bytes) -> bytes | None:
    """What the new device answers to a message 1; None where it refuses it."""
    try:
        return pair.new.answer(message)
    except PairingError:
        return None


@pytest.mark.parametrize("number", range(1, 6))
def test_any_flipped_bit_is_refused(number: int) -> None:
    size = len(Pair().up_to(number))
    for bit in {*range(0, 8 * size, max(1, 8 * size // 25)), 8 * size - 1}:
        pair = Pair()
        is_refused(pair, number, flipped(pair.up_to(number), bit))


@pytest.mark.parametrize("number", range(1, 6))
def test_another_length_is_refused(number: int) -> None:
    for change in (lambda m: m + b"\0", lambda m: m[:-1], lambda m: b"", lambda m: m * 4):
        pair = Pair()
        is_refused(pair, number, change(pair.up_to(number)))


@pytest.mark.parametrize("number", range(2, 6))
def test_a_message_of_another_pairing_with_the_same_code_is_refused(number: int) -> None:
    """Replayed from an exchange that the same secrets once had."""
    another = Pair(seed=" before")
    another.up_to(5)
    pair = Pair()
    pair.up_to(number)
    is_refused(pair, number, another.said[number - 1])


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("instead", range(1, 6))
def test_a_message_in_anothers_place_is_refused(number: int, instead: int) -> None:
    """Reflected, repeated, or put forward."""
    if number == instead:
        return
    whole = Pair()
    whole.up_to(5)
    pair = Pair()
    pair.up_to(number)
    is_refused(pair, number, whole.said[instead - 1])


def test_a_reflected_element_is_refused() -> None:
    """PAI-06"""
    pair = Pair()
    hello = cbor.decode(pair.up_to(1), limit=4096)
    answer = cbor.decode(pair.up_to(2), limit=4096)
    is_refused(pair, 2, cbor.encode({**answer, 2: hello[3]}))


def test_what_is_sealed_moves_to_no_other_place() -> None:
    """KEY-05 and §10.4: sealed part 3 does not open as 5, nor the other way round; they have one length and one sender."""
    pair = Pair()
    pair.up_to(4)
    sealed = cbor.decode(pair.said[2], limit=4096)[3]
    pair.up_to(5)
    is_refused(pair, 5, encode_sealed(5, sealed))


def test_a_later_version_is_refused() -> None:
    """KEY-01: and, before there is a confirmation, without an accusation."""
    pair = Pair()
    hello = cbor.decode(pair.up_to(1), limit=4096)
    for change in ({0: 2}, {1: 2}, {2: 3}, {4: 1}):
        pair = Pair()
        pair.up_to(1)
        is_refused(pair, 1, cbor.encode({**hello, **change}))


# What the new device says of itself


def substituted(change: Callable[[Candidate], Candidate]) -> Pair:
    """A pair whose new device says something else in message 4 than it promised; the code is right."""
    pair = Pair()
    honest = pair.new._candidate

    def candidate(proof: bytes) -> Candidate:
        made = honest(proof)
        return change(made) if proof else made

    pair.new._candidate = candidate  # type: ignore[method-assign]
    pair.up_to(4)
    return pair


THIEF = made_keys("thief")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, keys=THIEF.record((1, ACCOUNT))),
        lambda c: replace(c, keys=replace(c.keys, kem=THIEF.kem.public)),
        lambda c: replace(c, name="phone"),
        lambda c: replace(c, nonce=bytes(32)),
    ],
    ids=["keys", "KEM key", "name", "nonce"],
)
def test_a_substituted_key_or_name_does_not_open_the_commitment(change: Callable[[Candidate], Candidate]) -> None:
    """PAI-09"""
    pair = substituted(change)
    with refused(AuthenticationError, "commitment"):
        pair.old.meet(pair.said[3])


def test_a_proof_for_another_account_is_refused() -> None:
    """PAI-09, ROS-05"""
    pair = substituted(lambda c: replace(c, keys=LAPTOP.record((1, AccountId(sha256(b"another"))))))
    with refused(AuthenticationError, "signature"):
        pair.old.meet(pair.said[3])


@pytest.mark.parametrize(
    "keys",
    [
        KeyRecord(bytes(32), LAPTOP.kem.public, bytes(64)),
        KeyRecord(LAPTOP.signing.public, LAPTOP.kem.public[:1184] + bytes(32), bytes(64)),
    ],
    ids=["signing", "KEM"],
)
def test_keys_that_no_roster_takes_are_refused(keys: KeyRecord) -> None:
    """PAI-09, KEY-02, KEY-03: promised beforehand, so that nothing but the keys is wrong."""
    pair = Pair()
    honest = pair.new._candidate
    pair.new._candidate = lambda proof: replace(honest(proof), keys=keys)  # type: ignore[method-assign]
    with refused(AuthenticationError, "key"):
        pair.old.meet(pair.up_to(4))


@pytest.mark.parametrize("name", ["", "ä" * 33, "\udc80"])
def test_a_name_that_no_device_may_have(name: str) -> None:
    with pytest.raises(UsageError, match="1 to 64 bytes"):
        new_device(draw_code(), name=name)


def test_keys_that_were_offered_to_one_account_are_not_offered_to_another() -> None:
    """PAI-11"""
    pair = Pair(account=AccountId(sha256(b"another")))
    with pytest.raises(PairingError, match="begun to join another account"):
        pair.new.offer(pair.up_to(3))
    again = Pair(account=ACCOUNT)
    assert again.new.conclude(again.up_to(5)) == ENROLMENT


# Somebody in between who knows the code


def test_somebody_in_between_who_knows_the_code_is_found_by_the_words() -> None:
    """§10.6: two honest pairings, one on each side of him; the keys that the old device gets are his own."""
    code = draw_code()
    to_new = Pair(code=code, seed=" attacker's")
    to_old = Pair(code=code, seed=" attacker's", keys=THIEF)
    to_new.up_to(4)
    to_old.up_to(5)
    assert to_new.offer is not None
    assert to_old.words != to_new.offer.words


def test_the_words_are_fixed_before_the_other_sides_nonce_is_known() -> None:
    """§10.6: whatever is still free in message 4, salts and the proof's signature, is not in the words."""
    words = []
    for salt in (b"1", b"2"):
        pair = Pair()
        pair.up_to(3)
        pair.new._random = CountingRandom(salt.decode())
        pair.up_to(4)
        words.append(pair.old.meet(pair.said[3])[1])
    assert words[0] == words[1]


# Order, secrets


def test_steps_out_of_order_are_a_mistake_of_the_caller() -> None:
    """PAI-04: and end the pairing."""
    pair = Pair()
    pair.up_to(5)
    for step in (
        lambda: old_device(pair.given).invite(pair.said[1]),
        lambda: old_device(pair.given).meet(pair.said[3]),
        lambda: old_device(pair.given).conclude(ENROLMENT),
        lambda: old_device(pair.given).decline(),
        lambda: new_device(pair.code).offer(pair.said[2]),
        lambda: new_device(pair.code).conclude(pair.said[4]),
        pair.old.hello,
        pair.old.decline,
    ):
        with pytest.raises(UsageError, match="a code serves one exchange"):
            step()


def test_machines_are_neither_shown_nor_copied() -> None:
    pair = Pair()
    pair.up_to(2)
    for machine in (pair.old, pair.new):
        assert repr(machine) == f"<{type(machine).__name__}>"
        for leave in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled"):
                leave(machine)
