"""Roster entries as they stand on the wire (spec §5.1, §5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import MalformedError
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import (
    MAX_NAME,
    Entry,
    EntryType,
    Removal,
    Signer,
    compose_genesis,
    decode_entry,
    decode_signer,
)
from support.accounts import TIME, CountingRandom, MadeAccount, altered, device, kit, made_keys, refused

ID = sha256(b"an id")


@pytest.fixture(scope="module")
def cores() -> dict[EntryType, dict[int, Any]]:
    """The core of one good entry of each type, every optional field among them."""
    account = MadeAccount(devices=2)
    account.seal(2)
    account.change(kit(0), add=1, remove=[2], new_kit=True)
    change = account.entries[-1]
    account.reclaim(by=1)
    reclaim = account.entries[-1]
    account.close(by=2)
    made = (account.entries[0], change, reclaim, account.entries[-1])
    payloads = [signed.decode_payload(signed.split(data)[0]) for data in made]
    return {kind: cbor.decode(payload.core, limit=65_536) for kind, payload in zip(EntryType, payloads, strict=True)}


def decode(core: cbor.Item) -> Entry:
    return decode_entry(signed.Payload(cbor.encode(core), ()))


# §5.2's table, ● and ○.
REQUIRED = {
    EntryType.GENESIS: {0, 1, 2, 4, 5, 6, 7, 9},
    EntryType.CHANGE: {0, 1, 2, 3, 4, 9},
    EntryType.RECLAIM: {0, 1, 2, 3, 4, 6, 7, 9},
    EntryType.CLOSE: {0, 1, 2, 3, 4},
}
OPTIONAL = {
    EntryType.GENESIS: {10},
    EntryType.CHANGE: {6, 7, 8, 10},
    EntryType.RECLAIM: {8, 10},
    EntryType.CLOSE: {10},
}


@pytest.mark.parametrize("kind", EntryType)
def test_entries_are_decoded_and_encoded(cores: dict[EntryType, dict[int, Any]], kind: EntryType) -> None:
    core = cores[kind]
    assert core.keys() == REQUIRED[kind] | OPTIONAL[kind]
    entry = decode(core)
    assert (entry.type, entry.time) == (kind, TIME)
    assert entry.encode_core() == entry.core == cbor.encode(core)
    for key in OPTIONAL[kind]:
        without = {k: v for k, v in core.items() if k != key}
        assert decode(without).encode_core() == cbor.encode(without)


@pytest.mark.parametrize("kind", EntryType)
@pytest.mark.parametrize("key", range(12))
def test_the_table_of_fields(cores: dict[EntryType, dict[int, Any]], kind: EntryType, key: int) -> None:
    """ENC-05, ROS-10: what must be there, what may, and what must not."""
    core = cores[kind]
    everything = cores[EntryType.CHANGE] | cores[EntryType.GENESIS]
    if key in REQUIRED[kind]:
        with refused(MalformedError, "unsupported" if key == 0 else "malformed"):
            decode({k: v for k, v in core.items() if k != key})
    elif key not in OPTIONAL[kind]:
        with refused(MalformedError, "unsupported"):
            decode(core | {key: everything.get(key, 0)})


@pytest.mark.parametrize("kind", [0, 5, 64, 1 << 40])
def test_an_entry_of_an_unknown_type_stops_a_reader(cores: dict[EntryType, dict[int, Any]], kind: int) -> None:
    """ROS-10"""
    with refused(MalformedError, "unsupported"):
        decode(cores[EntryType.CHANGE] | {1: kind})
    with refused(MalformedError, "malformed"):
        decode(cores[EntryType.CHANGE] | {1: "change"})


def test_another_suite_is_unsupported(cores: dict[EntryType, dict[int, Any]]) -> None:
    """KEY-01"""
    for core in cores.values():
        with refused(MalformedError, "unsupported"):
            decode(core | {0: 2})


KEYS = [bytes(32), bytes(1216), bytes(64)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (2, -1),
        (2, 1 << 32),
        (3, b""),
        (3, ID[:31]),
        (4, [0]),
        (4, [0, 1, 2]),
        (4, [2, 1]),
        (4, [0, -1]),
        (4, [0, 0]),
        (4, [0, 65_536]),
        (4, [1, 1 << 32]),
        (4, [False, 1]),
        (6, None),
        (6, KEYS[:2]),
        (6, [bytes(31), *KEYS[1:]]),
        (6, [KEYS[0], bytes(1184), KEYS[2]]),
        (6, [*KEYS[:2], bytes(63)]),
        (7, []),
        (7, [[3, KEYS]]),
        (7, [[0, KEYS, bytes(160)]]),
        (7, [[65_536, KEYS, bytes(160)]]),
        (7, [[3, KEYS, bytes(159)]]),
        (8, []),
        (8, [[2, 0, b""]]),
        (8, [[0, 0, b"", False]]),
        (8, [[2, -1, b"", False]]),
        (8, [[2, 1 << 32, ID, False]]),
        (8, [[2, 0, b"", 0]]),
        (8, [[2, 0, b"", None]]),
        (9, None),
        (9, [2, ID]),
        (9, [0, ID, []]),
        (9, [1 << 32, ID, []]),
        (9, [2, ID[:31], []]),
        (9, [2, ID, [[1]]]),
        (9, [2, ID, [[0, bytes(112)]]]),
        (9, [2, ID, [[1, bytes(111)]]]),
        (9, [2, ID, {}]),
        (10, -1),
        (10, "now"),
    ],
)
def test_fields_of_another_shape_are_refused(
    cores: dict[EntryType, dict[int, Any]], field: int, value: cbor.Item
) -> None:
    with refused(MalformedError, "malformed"):
        decode(cores[EntryType.CHANGE] | {field: value})


@pytest.mark.parametrize("nonce", [b"", ID[:31], ID + b"\0", None])
def test_the_nonce_of_a_genesis_has_32_bytes(cores: dict[EntryType, dict[int, Any]], nonce: cbor.Item) -> None:
    with refused(MalformedError, "malformed"):
        decode(cores[EntryType.GENESIS] | {5: nonce})


@pytest.mark.parametrize("pin", [(0, ID), (1, b""), (1, ID[:31]), (7, ID + b"\0")])
def test_a_pin_is_seq_0_without_an_id_or_a_header(
    cores: dict[EntryType, dict[int, Any]], pin: tuple[int, bytes]
) -> None:
    """ROS-12"""
    core = cores[EntryType.CHANGE]
    assert decode(core | {8: [[2, 0, b"", False]]}).removed == (Removal(2, 0, b"", False),)
    assert decode(core | {8: [[2, 7, ID, True]]}).removed == (Removal(2, 7, ID, True),)
    with refused(MalformedError, "malformed"):
        decode(core | {8: [[2, *pin, False]]})


def test_an_entry_is_limited_in_size() -> None:
    """ENC-04"""
    account = MadeAccount()
    with refused(MalformedError, "too-large"):
        decode_entry(signed.Payload(bytes(signed.MAX_CORE + 1), ()))
    with refused(MalformedError, "too-large"):
        account.roster.append(bytes(signed.MAX_SIZE + 1))


def test_signers() -> None:
    assert decode_signer([0, 3]) == Signer.device(3) == device(3) == (0, 3)
    assert decode_signer([1, 0]) == Signer.recovery(0) == kit(0) == (1, 0)
    assert device(1) != kit(1)


def test_an_entry_without_a_time() -> None:
    genesis = compose_genesis(made_keys("a"), "a", made_keys("b"), random=CountingRandom())
    assert genesis.roster.last is not None
    assert genesis.roster.last.time is None
    assert altered(genesis.roster.last, time=0).encode_core() != genesis.roster.last.core
    assert MAX_NAME == 64
