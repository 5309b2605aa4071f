"""The messages of a pairing (spec §10.5) are read strictly, and what is sealed in them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, MalformedError, PeerError
from sealkeep_protocol.pairing import Candidate, CodeKind, Enrolment
from sealkeep_protocol.pairing._messages import (
    Account,
    Answer,
    Hello,
    Invitation,
    decode_sealed,
    encode_declined,
    encode_sealed,
    open_message,
    seal_message,
)
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.sealing import open_alone
from support.accounts import made_keys, refused
from support.pairing import ACCOUNT, ENROLMENT

HASH = sha256(b"")
RECORD = made_keys("laptop").record((1, ACCOUNT))
CANDIDATE = Candidate(RECORD, "laptop", HASH)
SMALL, LARGE = bytes(176), bytes(1616)

HELLO = Hello(CodeKind.FULL, HASH)
ANSWER = Answer(HASH, HASH, HASH)
INVITATION = Invitation(HASH, SMALL)


def test_messages_are_the_specs() -> None:
    assert cbor.decode(HELLO.encode(), limit=4096) == {0: 1, 1: 1, 2: 2, 3: HASH}
    assert cbor.decode(ANSWER.encode(), limit=4096) == {0: 1, 1: 2, 2: HASH, 3: HASH, 4: HASH}
    assert cbor.decode(INVITATION.encode(), limit=4096) == {0: 1, 1: 3, 2: HASH, 3: SMALL}
    assert cbor.decode(encode_sealed(4, LARGE), limit=4096) == {0: 1, 1: 4, 2: LARGE}
    assert Hello.decode(HELLO.encode()) == HELLO
    assert Answer.decode(ANSWER.encode()) == ANSWER
    assert Invitation.decode(INVITATION.encode()) == INVITATION
    assert decode_sealed(encode_sealed(4, LARGE), 4) == LARGE
    assert decode_sealed(encode_sealed(5, SMALL), 5) == SMALL


MESSAGES: list[tuple[bytes, Callable[[bytes], Any]]] = [
    (HELLO.encode(), Hello.decode),
    (ANSWER.encode(), Answer.decode),
    (INVITATION.encode(), Invitation.decode),
    (encode_sealed(4, LARGE), lambda data: decode_sealed(data, 4)),
    (encode_sealed(5, SMALL), lambda data: decode_sealed(data, 5)),
]


@pytest.mark.parametrize(("message", "decode"), MESSAGES, ids=["1", "2", "3", "4", "5"])
def test_fields_that_are_missing_unknown_or_wrong(message: bytes, decode: Callable[[bytes], Any]) -> None:
    """ENC-05, KEY-01"""
    value = cbor.decode(message, limit=4096)
    for key in value:
        with pytest.raises(MalformedError):
            decode(cbor.encode({other: part for other, part in value.items() if other != key}))
        for wrong in (None, True, b"", "text", [], value[key] + (b"\0" if isinstance(value[key], bytes) else 9)):
            with pytest.raises(MalformedError):
                decode(cbor.encode({**value, key: wrong}))
    with refused(MalformedError, "unsupported"):
        decode(cbor.encode({**value, 9: 1}))
    with refused(MalformedError, "unsupported"):
        decode(cbor.encode({**value, 0: 2}))
    with refused(MalformedError, "too-large"):
        decode(message + bytes(4097 - len(message)))
    with refused(MalformedError, "malformed"):
        decode(cbor.encode(list(value.values())))


def test_a_kind_of_code_that_is_not_known() -> None:
    with refused(MalformedError, "unsupported"):
        Hello.decode(cbor.encode({0: 1, 1: 1, 2: 3, 3: HASH}))


SEALED: list[tuple[bytes, Callable[[bytes], Any], int]] = [
    (Account(ACCOUNT, HASH).encode(), Account.decode, 96),
    (CANDIDATE.encode(), Candidate.decode, 1536),
    (ENROLMENT.encode(), Enrolment.decode, 96),
]


@pytest.mark.parametrize(("plaintext", "decode", "size"), SEALED, ids=["account", "candidate", "enrolment"])
def test_what_is_sealed_is_read_strictly(plaintext: bytes, decode: Callable[[bytes], Any], size: int) -> None:
    """ENC-05, ENC-10"""
    assert len(plaintext) == size
    value = cbor.decode_padded(plaintext)
    assert decode(plaintext).encode() == plaintext
    for key in value:
        with pytest.raises(PeerError):
            decode(cbor.encode({other: part for other, part in value.items() if other != key}).ljust(size, b"\0"))
        for wrong in (None, True, b"", [], -1):
            with pytest.raises(PeerError):
                decode(cbor.encode({**value, key: wrong}).ljust(size, b"\0"))
    for broken in ({**value, 9: 1}, list(value), {"1": 1}):
        with pytest.raises(MalformedError):
            decode(cbor.encode(broken).ljust(size, b"\0"))
    with refused(MalformedError, "malformed"):
        decode(plaintext[:-1] + b"\1")


def test_a_no_is_an_empty_map() -> None:
    assert encode_declined() == b"\xa0" + bytes(95)
    assert Enrolment.decode(encode_declined()) is None


@pytest.mark.parametrize("name", ["", "a" * 65, "ä" * 33, b"laptop"])
def test_a_name_has_1_to_64_bytes(name: object) -> None:
    value = cbor.decode_padded(CANDIDATE.encode())
    with refused(MalformedError, "malformed"):
        Candidate.decode(cbor.encode({**value, 2: name}).ljust(1536, b"\0"))


def test_a_candidate_of_the_greatest_length_fits() -> None:
    longest = Candidate(RECORD, "a" * 64, HASH)
    assert len(longest.encode()) == 1536
    assert Candidate.decode(longest.encode()) == longest


def test_the_commitment_is_the_specs() -> None:
    said = ["sealkeep/v1/pairing-commitment", HASH, RECORD.signing, RECORD.kem, "laptop"]
    assert CANDIDATE.commitment == sha256(cbor.encode(said))
    assert repr(HASH) not in repr(CANDIDATE)


def test_what_is_sealed_opens_only_where_it_belongs() -> None:
    """KEY-05: parent, mailbox, place, and every byte of the messages before."""
    parent, before = sha256(b"parent"), [b"one", b"two"]
    sealed = seal_message(parent, 7, 3, b"text", before=before, salt=HASH)
    assert open_message(parent, 7, 3, sealed, before=before) == b"text"
    binding = sha256(cbor.encode(["sealkeep/v1/pairing-before", before]))
    assert open_alone(parent, "mailbox", [7, 3], sealed, binding=binding) == b"text"
    for code, wrong in (
        ("commitment", (HASH, 7, 3, before)),
        ("commitment", (parent, 8, 3, before)),
        ("commitment", (parent, 7, 5, before)),
        ("ciphertext", (parent, 7, 3, [b"one"])),
        ("ciphertext", (parent, 7, 3, [b"two", b"one"])),
        ("ciphertext", (parent, 7, 3, [b"onetwo"])),
        ("ciphertext", (parent, 7, 3, [b"one", b"tow"])),
    ):
        with refused(AuthenticationError, code):
            open_message(*wrong[:3], sealed, before=wrong[3])
