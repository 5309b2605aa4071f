"""Storage proofs (spec §12.5)."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from sealkeep_protocol.errors import AuthenticationError, HistoryError
from sealkeep_protocol.files import CHALLENGE_SIZE, check_proof, prove
from support.accounts import flipped, refused

CHALLENGE = bytes(range(CHALLENGE_SIZE))


def test_an_answer_is_an_hmac_over_the_bytes_one_behind_the_other() -> None:
    expected = hmac.new(CHALLENGE, b"summary and body", hashlib.sha256).digest()
    assert prove(CHALLENGE, b"summary and body") == expected
    assert prove(CHALLENGE, b"summary", memoryview(b" and "), bytearray(b"body")) == expected
    assert prove(bytes(32), b"summary and body") != expected
    check_proof(expected, bytes(expected), "a chunk")
    with pytest.raises(ValueError, match="32 bytes"):
        prove(CHALLENGE[:-1], b"chunk")


def test_no_answer_and_another_one_are_refused() -> None:
    """FIL-17"""
    expected = prove(CHALLENGE, b"chunk")
    with refused(HistoryError, "missing"):
        check_proof(expected, None, "a chunk")
    for answer in (flipped(expected, 31), expected[:-1], b"", prove(bytes(32), b"chunk")):
        with refused(AuthenticationError, "digest"):
            check_proof(expected, answer, "a chunk")


def test_answers_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIL-17"""
    compared: list[tuple[bytes, bytes]] = []

    def equal(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr("sealkeep_protocol.files._proof.equal", equal)
    check_proof(b"a" * 32, b"a" * 32, "a chunk")
    assert compared == [(b"a" * 32, b"a" * 32)]
