"""Padding: what it costs, and what hostile plaintext can do (spec §2.3, §6.3)."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.kit import KitError, decode_seed, encode_seed
from sealkeep_protocol.padding import (
    MAX_BODY,
    MAX_CONTENT,
    MIN_BODY,
    OVERHEAD,
    PLAIN,
    ZSTD,
    bucket,
    compress,
    decompress,
    is_bucket,
    pad,
    padme,
    unpad,
)
from sealkeep_protocol.segments import decode_summary
from support.accounts import flipped

contents = st.binary(max_size=2000) | st.builds(
    lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 200)
)


@given(st.integers(2, 1 << 60))
def test_padme_costs_at_most_12_percent(length: int) -> None:
    padded = padme(length)
    assert length <= padded
    assert 100 * (padded - length) <= 12 * length
    assert padme(padded) == padded


@given(st.integers(2, 1 << 60), st.integers(0, 1 << 20))
def test_buckets_are_monotone(length: int, more: int) -> None:
    assert padme(length) <= padme(length + more)
    bucketed = padme(length)
    assert padme(bucketed - 1) in (bucketed, bucketed - 1) or bucketed <= 3  # the smallest that is not below


def test_every_length_of_a_body_is_padded_as_the_spec_says() -> None:
    """The bucket written out once more, over all lengths up to 1 KiB and around every power of two."""
    for length in [*range(2, 1025), *((1 << n) + d for n in range(10, 19) for d in range(-3, 4))]:
        exponent = len(f"{length:b}") - 1
        bits = len(f"{exponent:b}")
        unit = 1 << (exponent - bits)
        assert padme(length) == -(-length // unit) * unit


@given(st.integers(0, MAX_BODY - OVERHEAD))
def test_a_bodys_bucket_costs_at_most_12_percent_from_256_bytes_on(content: int) -> None:
    length = bucket(content)
    assert is_bucket(length)
    assert length == MIN_BODY or 100 * (length - content - OVERHEAD) <= 12 * (content + OVERHEAD)


@given(contents, st.booleans())
def test_what_is_padded_is_unpadded(content: bytes, compressed: bool) -> None:
    packed = compress(content) if compressed else content
    plaintext = pad(packed, bucket(len(packed)), form=ZSTD if compressed else PLAIN)
    assert is_bucket(len(plaintext) + 16)
    if compressed and not content:  # no content is empty
        return
    assert unpad(plaintext, compressed_allowed=compressed) == content


@given(st.binary(max_size=300), st.booleans())
def test_hostile_plaintext_only_raises_malformed(plaintext: bytes, allowed: bool) -> None:
    """ENC-08, ENC-09"""
    with suppress(MalformedError):
        unpad(plaintext, compressed_allowed=allowed)


@given(st.sampled_from([PLAIN, ZSTD]), st.integers(0, 300), st.binary(max_size=300), st.integers(0, 20))
def test_plaintext_that_looks_right_only_raises_malformed(form: int, length: int, content: bytes, zeros: int) -> None:
    """ENC-08, ENC-09"""
    plaintext = bytes([form]) + length.to_bytes(4, "big") + content + bytes(zeros)
    try:
        content = unpad(plaintext, compressed_allowed=True)
    except MalformedError:
        return
    assert len(content) <= MAX_CONTENT


@given(contents, st.data())
def test_changed_frames_only_raise_malformed(content: bytes, data: st.DataObject) -> None:
    """ENC-09: whatever a changed frame says, it yields what it declares or nothing."""
    frame = compress(content)
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = decompress(bytes(changed))
    except MalformedError:
        return
    assert 0 < len(taken) <= MAX_CONTENT


@given(
    st.integers(0, 255),
    st.binary(max_size=14),
    st.lists(st.tuples(st.integers(0, (1 << 24) - 1), st.binary(max_size=30)), max_size=5),
)
def test_frames_by_hand_only_raise_malformed(descriptor: int, header: bytes, blocks: list[tuple[int, bytes]]) -> None:
    """ENC-09"""
    frame = b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + header
    for head, block in blocks:
        frame += struct.pack("<I", head)[:3] + block
    with suppress(MalformedError):
        assert 0 < len(decompress(frame)) <= MAX_CONTENT


@given(st.binary(max_size=80))
def test_hostile_summaries_only_raise_malformed(plaintext: bytes) -> None:
    """ENC-10, ENC-05"""
    fields = {1: 1, 2: [0, 0], 3: 1, 4: [], 5: False, 6: 10}
    good = cbor.encode(fields).ljust(80, b"\0")
    for hostile in (plaintext, plaintext.ljust(80, b"\0"), good[: -len(plaintext) or None] + plaintext):
        with suppress(MalformedError):
            decode_summary(hostile)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 63), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_mistyped_letter_is_found_or_is_the_same(seed: bytes, place: int, letter: str) -> None:
    """KEY-08: a wrong seed comes out once in 256 times at most, and the group that is named is the right one."""
    letters = encode_seed(seed).replace(" ", "")
    assert decode_seed(letters) == seed
    typed = letters[:place] + letter + letters[place + 1 :]
    group = place // 8
    try:
        decoded = decode_seed(typed)
    except KitError:
        with pytest.raises(KitError) as caught:
            decode_seed(typed)
        assert caught.value.groups == (group + 1,)
    else:
        assert decoded[: 4 * group] == seed[: 4 * group]
        assert decoded[4 * group + 4 :] == seed[4 * group + 4 :]


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_seeds_are_told_apart(seed: bytes, bit: int) -> None:
    assert encode_seed(flipped(seed, bit)) != encode_seed(seed)
