"""Whatever stands in a mailbox, a pairing ends with both devices agreeing, or with an error that it names."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol.errors import AuthenticationError, MalformedError, PairingError, UsageError
from sealkeep_protocol.pairing import CodeKind, PairingCode, read_code
from support.accounts import CountingRandom, flipped
from support.pairing import ENROLMENT, IDENTITY, WORDS, Pair, draw_code
from support.pairing import given as as_given

URLS = st.from_regex(r"https?://[a-z0-9.-]{1,40}(:[0-9]{1,5})?(/[A-Za-z0-9._-]{0,20})?", fullmatch=True)
# Before message 3 was taken nobody is accused (PAI-08).
ENDS = (PairingError, AuthenticationError, MalformedError)


@given(mailbox=st.integers(1, 99_999), seed=st.integers(0, 1 << 32), relay=URLS)
def test_every_code_is_read_as_it_was_drawn(mailbox: int, seed: int, relay: str) -> None:
    code = PairingCode.draw(mailbox, identity=IDENTITY, relay=relay, words=WORDS, random=CountingRandom(seed))
    for kind, text in ((CodeKind.WORDS, code.in_words), (CodeKind.FULL, code.in_full)):
        read = read_code(text, WORDS)
        assert (read.mailbox, read.kind, read.password) == (mailbox, kind, code.password(kind))


@given(text=st.text(max_size=60))
def test_what_is_typed_is_a_code_or_named_as_none(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 1 <= read_code(text, WORDS).mailbox <= 99_999


@given(number=st.integers(1, 5), data=st.binary(max_size=300))
def test_noise_in_the_mailbox(number: int, data: bytes) -> None:
    pair = Pair()
    pair.up_to(number)
    with pytest.raises(ENDS if number > 2 else PairingError):
        pair.take(number, data)


@given(number=st.integers(1, 5), bit=st.integers(0, 1 << 16))
def test_one_flipped_bit(number: int, bit: int) -> None:
    """No bit of any message can be changed so that both devices still agree on something."""
    pair = Pair()
    message = pair.up_to(number)
    changed = flipped(message, bit % (8 * len(message)))
    with pytest.raises(ENDS):
        # Anybody's X may be answered; the other device sees that it was not his.
        pair.old.invite(pair.new.answer(changed)) if number == 1 else pair.take(number, changed)


@given(seeds=st.tuples(st.integers(0, 20), st.integers(0, 20)), kinds=st.tuples(*[st.sampled_from(CodeKind)] * 2))
def test_two_devices_agree_exactly_where_the_codes_are_the_same(
    seeds: tuple[int, int], kinds: tuple[CodeKind, CodeKind]
) -> None:
    shown, used = (draw_code(str(seed)) for seed in seeds)
    pair = Pair(code=shown, read=as_given(used, kinds[0]))
    if seeds[0] == seeds[1]:
        assert pair.new.conclude(pair.up_to(5)) == ENROLMENT
        assert pair.offer is not None
        assert pair.offer.words == pair.words
    else:
        with pytest.raises(PairingError):
            pair.up_to(3)
