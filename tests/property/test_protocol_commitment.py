"""No ciphertext opens under two keys (spec §3.5): one is made that would, and the commitment refuses it.

ChaCha20-Poly1305 alone does not commit to its key: for two keys, the equation of Poly1305's tag can be solved for two
blocks of the ciphertext. Here that is done, in plain Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, product

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from sealkeep_protocol import cbor, sealing
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.padding import PLAIN, pad
from sealkeep_protocol.primitives import aead_open, aead_seal, sha256
from sealkeep_protocol.segments import (
    SealedSegment,
    SegmentClass,
    header_identifier,
    open_segment,
    sign_header,
    summarize,
)
from support.accounts import TIME, MadeAccount, device, refused

P = (1 << 130) - 5
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def keystream(key: bytes, size: int) -> bytes:
    """ChaCha20 with the nonce of zeros: 64 bytes for Poly1305's key, then the message's stream."""
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(64 + size))


def poly1305_key(key: bytes) -> tuple[int, int]:
    stream = keystream(key, 0)
    return int.from_bytes(stream[:16], "little") & CLAMP, int.from_bytes(stream[16:32], "little")


def blocks(associated: bytes, ciphertext: bytes) -> list[int]:
    """What Poly1305 hashes for the AEAD (RFC 8439 §2.8), as numbers."""
    lengths = len(associated).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    data = associated + bytes(-len(associated) % 16) + ciphertext + bytes(-len(ciphertext) % 16) + lengths
    return [int.from_bytes(data[start : start + 16] + b"\x01", "little") for start in range(0, len(data), 16)]


def targets(offsets: tuple[int, int]) -> Iterator[tuple[bytes, int, int]]:
    """Tags, with what each of two polynomials may then be modulo P."""
    for number in count():
        tag = sha256(b"a tag" + number.to_bytes(4, "big"))[:16]
        low = [(int.from_bytes(tag, "little") - offset) % (1 << 128) for offset in offsets]
        for lift in product(range(4), repeat=2):
            first, second = (value + (carry << 128) for value, carry in zip(low, lift, strict=True))
            if first < P and second < P:
                yield tag, first, second


def opens_under_both(keys: tuple[bytes, bytes], associated: bytes, ciphertext: bytes, places: tuple[int, int]) -> bytes:
    """The ciphertext with two 16-byte blocks and a tag chosen so that it opens under both keys."""
    (r1, s1), (r2, s2) = map(poly1305_key, keys)
    hashed = blocks(associated, ciphertext)
    shift = -(-len(associated) // 16)
    free = [shift + place for place in places]
    powers = [[pow(r, len(hashed) - at, P) for at in range(len(hashed))] for r in (r1, r2)]
    known = [
        sum(value * power for at, (value, power) in enumerate(zip(hashed, row, strict=True)) if at not in free)
        for row in powers
    ]
    (a, b), (c, d) = ([row[at] for at in free] for row in powers)
    inverse = pow(a * d - b * c, -1, P)
    made = bytearray(ciphertext)
    for tag, first, second in targets((s1, s2)):
        left, right = first - known[0], second - known[1]
        solved = [(left * d - right * b) * inverse % P, (right * a - left * c) * inverse % P]
        if all(1 << 128 <= value < 1 << 129 for value in solved):  # 16 bytes, and the bit that Poly1305 adds
            for place, value in zip(places, solved, strict=True):
                made[16 * place : 16 * place + 16] = (value - (1 << 128)).to_bytes(16, "little")
            return bytes(made) + tag
    raise AssertionError("there is always another tag to try")


def test_the_equation_is_poly1305s() -> None:
    """Against the library: an honest ciphertext's tag is what the polynomial gives."""
    key, associated = sha256(b"key"), b"associated data"
    sealed = aead_seal(key, b"some plaintext of more than one block", associated)
    r, s = poly1305_key(key)
    value = 0
    for block in blocks(associated, sealed[:-16]):
        value = (value + block) * r % P
    assert ((value + s) % (1 << 128)).to_bytes(16, "little") == sealed[-16:]


@settings(max_examples=5)
@given(
    st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.integers(2, 6), st.binary(max_size=40)
)
def test_a_value_that_opens_under_two_keys_is_refused_by_the_commitment(
    one: bytes, other: bytes, size: int, binding: bytes
) -> None:
    """KEY-05: of two parents, salts or places at most one has the commitment that stands beside the ciphertext."""
    salt = sha256(b"salt")
    first = sealing.sealing_keys(one, "name", [1], salt)
    second = sealing.sealing_keys(other, "name", [2], salt)
    associated = cbor.encode(["sealkeep/v1/part", "name", 0, binding])
    sealed = opens_under_both((first.parts[0], second.parts[0]), associated, bytes(16 * size), (0, size - 1))
    assert first.open(0, sealed, binding) != second.open(0, sealed, binding)  # the AEAD alone takes both
    value = salt + first.commitment + sealed
    assert sealing.open_alone(one, "name", [1], value, binding=binding)
    with refused(AuthenticationError, "commitment"):
        sealing.open_alone(other, "name", [2], value, binding=binding)


def test_a_body_made_to_open_under_two_keys_is_refused() -> None:
    """KEY-05: a device that is let in makes one body say one thing before a rotation and another after it."""
    account = MadeAccount()
    shape = account.seal(1, take=False)
    account.change(device(1))
    old, new = account.epochs[1], account.epochs[2]
    salt = account.random(32)
    context = [account.id, 1, 1]
    honest = sealing.sealing_keys(old.segment_key, "segment", context, salt, parts=2)
    hidden = sealing.sealing_keys(new.segment_key, "segment", context, salt, parts=2)
    content = bytes(235)
    header = replace(account.verified(1, shape).header, salt=salt, commitment=honest.commitment)
    binding = sha256(header.encode_core())
    associated = cbor.encode(["sealkeep/v1/part", "segment", 1, binding])
    # Under the old key the body is well formed: only inside its content two blocks are what the equation wants.
    plaintext = pad(content, 256, form=PLAIN)
    stream = keystream(honest.parts[1], len(plaintext))[64:]
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream, strict=True))
    body = opens_under_both((honest.parts[1], hidden.parts[1]), associated, ciphertext, (5, 9))
    summary = honest.seal(0, summarize(SegmentClass.LIVE, [TIME], 1, [], len(content)).encode(), binding)
    data = sign_header(replace(header, digests=(sha256(summary), sha256(body))), account.id, account.devices[1].signing)
    segment = SealedSegment(header.seq, header_identifier(data, account.id), data, summary, body)
    verified = account.verified(1, segment)

    opened = open_segment(verified, account.id, old, summary=summary, body=body)
    assert opened.content is not None
    assert len(opened.content) == 235
    assert aead_open(hidden.parts[1], body, associated) != aead_open(honest.parts[1], body, associated)
    with refused(AuthenticationError, "commitment", device=1, seq=1):
        open_segment(verified, account.id, new, summary=summary, body=body)
