"""What a pairing says, seals, hashes and derives from is what spec/sealkeep.cddl says; and what it does not, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from sealkeep_client.answers import decode_mailbox, decode_message
from sealkeep_protocol import cbor, primitives, sealing
from sealkeep_protocol.pairing import CodeKind, _exchange, _machine, _messages
from support.cddl import Cddl
from support.pairing import Pair, draw_code, given

SPEC = Path(__file__).parents[4] / "spec" / "sealkeep.cddl"


@pytest.fixture(scope="module")
def cddl() -> Cddl:
    return Cddl(SPEC.read_text(encoding="utf-8"))


def test_the_messages(cddl: Cddl) -> None:
    for kind in CodeKind:
        code = draw_code()
        pair = Pair(code=code, read=given(code, kind))
        pair.up_to(5)
        for number, message in enumerate(pair.said, 1):
            cddl.accept(f"pairing-{number}", message)
            cddl.accept("mailbox-message", message)
            for other in {1, 2, 3, 4, 5} - {number}:
                assert cddl.refusal(f"pairing-{other}", message) is not None
            for broken in broken_maps(cbor.decode(message, limit=4096)):
                cddl.refuse(f"pairing-{number}", broken)


def broken_maps(item: dict[int, Any]) -> Iterator[Any]:
    yield list(item.values())
    yield {**item, 9: 1}
    for key, value in item.items():
        yield {other: part for other, part in item.items() if other != key}
        for wrong in (None, "text", -1, value + b"\0" if isinstance(value, bytes) else value + 9):
            yield {**item, key: wrong}


def test_what_is_sealed_hashed_and_derived_from(cddl: Cddl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plaintext, every hashed item, every `info` and every associated data of a whole pairing."""
    infos: list[bytes] = []
    bound: list[bytes] = []
    sealed: list[bytes] = []
    hashed: list[bytes] = []
    originals = primitives.hkdf, primitives.aead_seal, primitives.sha256, primitives.mac

    def hkdf(key: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
        infos.append(info)
        return originals[0](key, salt=salt, info=info, size=size)

    def aead_seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        sealed.append(plaintext)
        bound.append(associated)
        return originals[1](key, plaintext, associated)

    def sha256(data: bytes) -> bytes:
        hashed.append(data)
        return originals[2](data)

    def mac(key: bytes, data: bytes) -> bytes:
        hashed.append(data)
        return originals[3](key, data)

    pair = Pair()
    monkeypatch.setattr(primitives, "hkdf", hkdf)
    monkeypatch.setattr(sealing, "aead_seal", aead_seal)
    for module in (_messages, _exchange):
        monkeypatch.setattr(module, "sha256", sha256)
    for module in (_machine, _exchange):
        monkeypatch.setattr(module, "mac", mac)
    pair.up_to(5)
    for info in infos:
        cddl.accept("derivation-info", info)
    for associated in bound:
        cddl.accept("part-ad", associated)
    assert len(sealed) == 3
    for rule, plaintext in zip(("pairing-account", "pairing-candidate", "pairing-enrolment"), sealed, strict=True):
        cddl.accept(rule, plaintext)  # the tool reads the item before the padding
    cddl.accept("pairing-declined", _messages.encode_declined())
    rules = {
        "sealkeep/v1/pairing-transcript": "pairing-transcript",
        "sealkeep/v1/pairing-before": "pairing-before",
        "sealkeep/v1/pairing-commitment": "pairing-commitment",
    }
    seen = set()
    for data in hashed:
        if len(data) != 32:  # a confirmation is over a hash
            first = cbor2.loads(data)[0]
            rule = rules[first] if isinstance(first, str) else "pairing-words"
            cddl.accept(rule, data)
            seen.add(rule)
    assert seen == {*rules.values(), "pairing-words"}


def test_passwords_and_names_of_sides(cddl: Cddl) -> None:
    code = draw_code()
    for kind in CodeKind:
        cddl.accept("pairing-password", code.password(kind))
    cddl.accept("pairing-side", cbor.encode(["sealkeep/v1/pairing-side", 0, code.identity, 7]))
    cddl.refuse("pairing-side", ["sealkeep/v1/pairing-side", 2, code.identity, 7])
    cddl.refuse("pairing-password", ["sealkeep/v1/pairing-code", 2, "guitar-lemon-zebra"])


def test_answers_of_the_interface(cddl: Cddl) -> None:
    answer = {1: 7, 2: 600}
    cddl.accept("mailbox-answer", cbor.encode(answer))
    assert decode_mailbox(cbor.encode({**answer, 9: "of a later version"})) == (7, 600)
    for broken in ({1: 0, 2: 600}, {1: 100_000, 2: 600}, {1: 7, 2: 3601}, {1: 7}, [7, 600]):
        cddl.refuse("mailbox-answer", broken)
    for message in (None, b"", bytes(4096)):
        cddl.accept("message-answer", cbor.encode(message))
        assert decode_message(cbor.encode(message)) == message
    cddl.refuse("message-answer", bytes(4097))
    cddl.refuse("message-answer", "text")
