"""The distinct types are plain bytes and numbers when the program runs."""

from __future__ import annotations

from sealkeep_protocol import types
from sealkeep_protocol.types import NO_ID, NO_SEQ, AccountId, DeviceId, EpochNumber, ObjectId, RecordId, Seq


def test_nothing_yet_is_seq_0_with_an_empty_id() -> None:
    assert (NO_SEQ, NO_ID) == (0, b"")


def test_they_are_what_they_wrap() -> None:
    for made in (DeviceId(3), Seq(3), EpochNumber(3)):
        assert type(made) is int
    for identifier in (AccountId(b"x"), ObjectId(b"x"), RecordId(b"x")):
        assert type(identifier) is bytes
    assert types.__doc__
