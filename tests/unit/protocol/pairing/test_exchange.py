"""SPAKE2 and the keys of a pairing (spec §10.3, §10.4), held against the spec's own numbers and against libsodium."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
import re
from pathlib import Path

import nacl.bindings as sodium
import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError
from sealkeep_protocol.pairing import CodeKind
from sealkeep_protocol.pairing._exchange import Exchange, PairingKeys, Side
from sealkeep_protocol.primitives import hkdf, sha256
from support.accounts import CountingRandom, flipped, refused
from support.pairing import IDENTITY

SPEC = (Path(__file__).parents[4] / "spec" / "10-pairing.md").read_text(encoding="utf-8")
NUMBERS = {name: bytes.fromhex(number) for name, number in re.findall(r"^    (\w+) +=+ ([0-9a-f]{64,})$", SPEC, re.M)}
ORDER = (1 << 252) + 27742317777372353535851937790883648493
RELAY, MAILBOX = bytes([1]) * 32, 7


def exchange(
    side: Side, password: bytes = b"pw", *, seed: str = "", mailbox: int = MAILBOX, **options: bytes
) -> Exchange:
    identity = options.get("identity", RELAY)
    return Exchange(side, password, identity=identity, mailbox=mailbox, random=CountingRandom(f"{side} {seed}"))


def scalar(number: int) -> bytes:
    return (number % ORDER).to_bytes(32, "little")


def times(number: int, point: bytes) -> bytes:
    return sodium.crypto_scalarmult_ed25519_noclamp(scalar(number), point)


def side_name(side: int) -> bytes:
    return cbor.encode(["sealkeep/v1/pairing-side", side, RELAY, MAILBOX])


def test_the_example_of_the_spec() -> None:
    """§10.8, by the library."""
    password = cbor.encode(["sealkeep/v1/pairing-code", 1, "guitar-lemon-zebra"])
    assert password == NUMBERS["pw"]
    old, new = (
        Exchange(side, password, identity=RELAY, mailbox=7, random=lambda size, byte=byte: bytes([byte]) * size)
        for side, byte in ((Side.OLD, 2), (Side.NEW, 3))
    )
    assert (old.element, new.element) == (NUMBERS["X"], NUMBERS["Y"])
    assert old.finish(new.element) == new.finish(old.element) == NUMBERS["K"]


def test_the_spec_alone_is_enough() -> None:
    """§10.3 with libsodium and the numbers that are printed there: no line of the library is needed."""
    password, m, n = NUMBERS["pw"], NUMBERS["M"], NUMBERS["N"]
    w = int.from_bytes(hkdf(password, salt=b"", info=b"SPAKE2 pw", size=48), "big") % ORDER
    x, y = (int.from_bytes(bytes([byte]) * 64, "big") % ORDER for byte in (2, 3))
    base = sodium.crypto_scalarmult_ed25519_base_noclamp
    old = sodium.crypto_core_ed25519_add(base(scalar(x)), times(w, m))
    new = sodium.crypto_core_ed25519_add(base(scalar(y)), times(w, n))
    assert (old, new) == (NUMBERS["X"], NUMBERS["Y"])
    shared = times(x, sodium.crypto_core_ed25519_sub(new, times(w, n)))
    assert shared == times(y, sodium.crypto_core_ed25519_sub(old, times(w, m)))
    hashed = [sha256(password), sha256(side_name(0)), sha256(side_name(1)), old, new, shared]
    assert sha256(b"".join(hashed)) == NUMBERS["K"]


def test_nobody_chose_m_and_n() -> None:
    """The seeds lead to the points as §10.3 says: the first y upwards that has a point, with even x, times 8."""
    prime = (1 << 255) - 19
    for seed in ("M", "N"):
        y = int.from_bytes(hkdf(seed.encode(), salt=b"", info=b"SPAKE2 arbitrary element", size=48), "big") % prime
        d = -121665 * pow(121666, -1, prime) % prime
        while True:
            square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
            if square == 0 or pow(square, (prime - 1) // 2, prime) == 1:
                break
            y += 1
        # An encoding without the sign bit is the point with even x. libsodium multiplies any point of the curve by 8.
        point = y.to_bytes(32, "little")
        for _ in range(3):
            point = sodium.crypto_core_ed25519_add(point, point)
        assert point == NUMBERS[seed]


@pytest.mark.parametrize(
    "other",
    [
        {"password": b"pw2"},
        {"mailbox": 8},
        {"identity": bytes([2]) * 32},
    ],
    ids=["password", "mailbox", "relay"],
)
def test_keys_are_the_same_only_where_all_is(other: dict[str, object]) -> None:
    old, new = exchange(Side.OLD), exchange(Side.NEW)
    assert old.finish(new.element) == new.finish(old.element)
    old, new = exchange(Side.OLD), exchange(Side.NEW, **other)  # type: ignore[arg-type]
    assert old.finish(new.element) != new.finish(old.element)


def test_two_of_one_side_get_no_key() -> None:
    one, another = exchange(Side.OLD, seed="1"), exchange(Side.OLD, seed="2")
    assert one.finish(another.element) != another.finish(one.element)


LOW_ORDER = [
    bytes([1]) + bytes(31),  # the identity
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # order 2
    bytes(32),  # order 4
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # order 8
]


@pytest.mark.parametrize(
    "element",
    [
        *LOW_ORDER,
        sodium.crypto_core_ed25519_add(NUMBERS["Y"], LOW_ORDER[1]),  # of order 2 L
        (2**255 - 18).to_bytes(32, "little"),  # not canonical: y = 1
        bytes([2]) + bytes(31),  # not on the curve
        NUMBERS["Y"][:31],
        b"",
    ],
)
def test_elements_that_nobody_may_send(element: bytes) -> None:
    """PAI-06: canonical, and of prime order."""
    with refused(AuthenticationError, "key"):
        exchange(Side.OLD).finish(element)


def test_an_element_that_comes_back_is_refused() -> None:
    """PAI-06: not one's own."""
    for side in Side:
        mine = exchange(side)
        with refused(AuthenticationError, "key"):
            mine.finish(mine.element)


def keys(**other: object) -> PairingKeys:
    said = {
        "identity": RELAY,
        "mailbox": MAILBOX,
        "kind": CodeKind.WORDS,
        "elements": [NUMBERS["X"], NUMBERS["Y"]],
        "commitment": sha256(b"promised"),
        **other,
    }
    return PairingKeys(NUMBERS["K"], **said)  # type: ignore[arg-type]


def test_the_keys_are_the_specs() -> None:
    said = ["sealkeep/v1/pairing-transcript", RELAY, 7, 1, NUMBERS["X"], NUMBERS["Y"], sha256(b"promised")]
    transcript = hashlib.sha256(cbor.encode(said)).digest()

    def derived(*info: object) -> bytes:
        return hkdf(NUMBERS["K"], salt=b"", info=cbor.encode([*info, transcript]), size=32)

    made = keys()
    for side in Side:
        confirming = derived("sealkeep/v1/pairing-confirm", int(side))
        assert made.confirmation(side) == hmac.digest(confirming, transcript, "sha256")
        assert made.sealing_key(side) == derived("sealkeep/v1/pairing-seal", int(side))
    assert made.words_key == derived("sealkeep/v1/pairing-words")


def test_each_key_has_one_purpose_and_depends_on_all_that_was_said() -> None:
    variants = [
        keys(),
        keys(identity=IDENTITY),
        keys(mailbox=8),
        keys(kind=CodeKind.FULL),
        keys(elements=[NUMBERS["Y"], NUMBERS["X"]]),
        keys(commitment=flipped(sha256(b"promised"), 0)),
        PairingKeys(
            flipped(NUMBERS["K"], 0),
            identity=RELAY,
            mailbox=MAILBOX,
            kind=CodeKind.WORDS,
            elements=[NUMBERS["X"], NUMBERS["Y"]],
            commitment=sha256(b"promised"),
        ),
    ]
    seen = [
        key for one in variants for key in (*map(one.confirmation, Side), *map(one.sealing_key, Side), one.words_key)
    ]
    assert len(set(seen)) == len(seen) == 5 * len(variants)


@pytest.mark.parametrize("secret", [exchange(Side.OLD), keys()], ids=["exchange", "keys"])
def test_secrets_are_neither_shown_nor_copied_out(secret: object) -> None:
    assert repr(secret) in ("<Exchange>", "<PairingKeys>")
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leave(secret)
