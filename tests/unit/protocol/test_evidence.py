"""Evidence (spec §11.2): what proves something, and what does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, HistoryError, MalformedError, PeerError
from sealkeep_protocol.evidence import (
    Contradiction,
    Evidence,
    EvidenceKind,
    Finding,
    Place,
    decode_evidence,
    verify_evidence,
)
from sealkeep_protocol.segments import SealedSegment
from support.accounts import MadeAccount, MadeRelay, device, flipped, kit, refused

RELAY = MadeRelay()


def judged(account: MadeAccount, said: Contradiction, entries: Iterable[bytes] | None = None) -> Finding:
    """The finding, after the way through a file."""
    evidence = Evidence(tuple(account.entries if entries is None else entries), said)
    data = evidence.encode()
    assert decode_evidence(data) == evidence
    return verify_evidence(decode_evidence(data))


def nothing(account: MadeAccount, said: Contradiction, entries: Iterable[bytes] | None = None) -> PeerError:
    """VIE-04: it proves nothing."""
    with pytest.raises(PeerError) as caught:
        judged(account, said, entries)
    return caught.value


@pytest.fixture
def account() -> MadeAccount:
    made = MadeAccount(devices=2)
    made.seal(1)
    made.seal(2)
    return made


def two(account: MadeAccount, author: int = 1) -> tuple[SealedSegment, SealedSegment]:
    """Two headers at one seq."""
    return account.seal(author, b"one", take=False), account.seal(author, b"other", take=False)


def headers(one: SealedSegment, other: SealedSegment, author: int = 1) -> Contradiction:
    return Contradiction(EvidenceKind.HEADERS, (Place(author, one.seq),), (one.header, other.header))


def test_two_headers_at_one_seq(account: MadeAccount) -> None:
    """VIE-04: the device's keys signed both."""
    finding = judged(account, headers(*two(account)))
    assert finding == Finding(EvidenceKind.HEADERS, account.id, "device", (Place(1, 2),))


def test_headers_that_do_not_contradict(account: MadeAccount) -> None:
    """VIE-04"""
    one, other = two(account)
    assert nothing(account, headers(one, one)).code == "fork"
    [first] = account.segments[1]
    assert nothing(account, headers(one, first)).code == "replay"  # of another seq
    assert nothing(account, headers(one, account.segments[2][0])).code == "signature"  # of another device
    assert nothing(account, headers(one, other, author=2)).code == "signature"
    assert nothing(account, headers(one, other, author=7)).code == "author"
    forged = replace(other, header=flipped(other.header, 8 * len(other.header) - 1))
    assert nothing(account, headers(one, forged)).code == "signature"


def test_the_roster_is_judged_from_the_genesis_on(account: MadeAccount) -> None:
    """VIE-04: another account's roster, or a part of one, gives no keys."""
    said = headers(*two(account))
    assert isinstance(nothing(account, said, MadeAccount(devices=2, seed="other").entries), AuthenticationError)
    assert nothing(account, said, account.entries[1:]).code == "roster"
    assert nothing(account, said, [account.entries[0], account.entries[0]]).code == "roster"
    broken = flipped(account.entries[1], 8 * 1000)
    assert isinstance(nothing(account, said, [account.entries[0], broken]), PeerError)


def test_with_a_refusal_the_relay_stands_accused(account: MadeAccount) -> None:
    """VIE-04: it shows what it has refused."""
    one, other = two(account)
    account.change(device(1))
    for refused_one in (one, other):
        refusal = RELAY.identity, RELAY.refusal(account, 1, refused_one)
        finding = judged(account, replace(headers(one, other), refusal=refusal))
        assert (finding.accused, finding.identity) == ("relay", RELAY.identity)


def test_refusals_that_do_not_count(account: MadeAccount) -> None:
    """VIE-04"""
    one, other = two(account)
    before = list(account.entries)
    early = RELAY.refusal(account, 1, one)  # for the roster that the header knows
    account.change(device(1))
    good = RELAY.refusal(account, 1, one)
    third = RELAY.refusal(account, 1, account.segments[1][0])
    said = headers(one, other)
    for identity, refusal, entries, code in [
        (MadeRelay("another").identity, good, account.entries, "refusal"),
        (RELAY.identity, early, account.entries, "fork"),
        (RELAY.identity, third, account.entries, "fork"),
        (RELAY.identity, good, before, "fork"),  # the newer roster is not shown
        (RELAY.identity, one.header, account.entries, "refusal"),
    ]:
        assert nothing(account, replace(said, refusal=(identity, refusal)), entries).code == code


def test_a_refused_header_that_is_shown(account: MadeAccount) -> None:
    """VIE-04"""
    one, other = two(account)
    account.change(device(1))
    refusal = RELAY.identity, RELAY.refusal(account, 1, one)
    said = Contradiction(EvidenceKind.REFUSAL, (Place(1, 2),), (one.header,), refusal)
    assert judged(account, said) == Finding(
        EvidenceKind.REFUSAL, account.id, "relay", (Place(1, 2),), identity=RELAY.identity
    )
    assert nothing(account, replace(said, statements=(other.header,))).code == "fork"
    with refused(HistoryError, "fork"):
        verify_evidence(Evidence(tuple(account.entries), replace(said, refusal=None)))


def test_a_header_that_names_another_head(account: MadeAccount) -> None:
    """VIE-04: device 2 was shown another first segment of device 1."""
    twin = account.fork()
    twin.segments[1] = [MadeAccount.seal(twin_of_first(account), 1, b"another")]
    view = twin.seal(2)
    [shown] = account.segments[1]
    said = Contradiction(EvidenceKind.VIEW, (Place(2, 2), Place(1, 1)), (view.header, shown.header))
    finding = judged(account, said)
    assert (finding.accused, finding.places) == ("devices", (Place(2, 2), Place(1, 1)))
    honest = account.seal(2)
    assert nothing(account, replace(said, statements=(honest.header, shown.header))).code == "fork"
    assert nothing(account, replace(said, statements=(view.header, twin.segments[1][0].header))).code == "fork"


def twin_of_first(account: MadeAccount) -> MadeAccount:
    twin = account.fork()
    twin.segments[1] = []
    return twin


def test_two_entries_at_one_number(account: MadeAccount) -> None:
    """VIE-04: each would be valid there."""
    one, other = account.fork(), account.fork()
    one.change(device(1))
    one.change(device(1))
    other.change(device(2))
    said = Contradiction(EvidenceKind.ROSTER, (), (other.entries[2],))
    finding = judged(one, said)
    assert (finding.accused, finding.entry) == ("roster", 2)


def test_an_entry_behind_another_roster(account: MadeAccount) -> None:
    """VIE-04: its signer was shown another entry before."""
    one, other = account.fork(), account.fork()
    one.change(device(1))
    other.change(device(1))
    for by in (device(2), kit(0)):
        after = other.fork()
        after.change(by)
        finding = judged(one, Contradiction(EvidenceKind.ROSTER, (), (after.entries[3],)))
        assert (finding.accused, finding.entry) == ("roster", 2)


def test_entries_that_do_not_contradict(account: MadeAccount) -> None:
    """VIE-04"""
    one, other = account.fork(), account.fork()
    one.change(device(1))
    other.change(device(2))
    other.change(device(2))
    after = one.fork()
    after.change(device(1))

    def entry(data: bytes) -> Contradiction:
        return Contradiction(EvidenceKind.ROSTER, (), (data,))

    assert nothing(one, entry(one.entries[2])).code == "fork"  # the same
    assert nothing(one, entry(after.entries[3])).code == "fork"  # it follows
    assert nothing(one, entry(one.entries[0])).code == "fork"
    other.change(device(2))
    assert nothing(one, entry(other.entries[4])).code == "fork"  # too far ahead to tell
    forged = flipped(other.entries[3], 8 * len(other.entries[3]) - 1)
    assert nothing(one, entry(forged)).code == "signature"
    stranger = account.fork()
    stranger.add(by=device(1))
    stranger.change(device(3))
    assert nothing(one, entry(stranger.entries[3])).code == "fork"  # signed by a device that is not known here


def test_files_that_are_no_evidence(account: MadeAccount) -> None:
    said = headers(*two(account))
    fields = cbor.decode(Evidence(tuple(account.entries), said).encode(), limit=1 << 20)
    for change, code in [
        ({0: 2}, "unsupported"),
        ({1: 9}, "unsupported"),
        ({6: 1}, "unsupported"),
        ({1: "1"}, "malformed"),
        ({2: []}, "malformed"),
        ({2: [1]}, "malformed"),
        ({3: []}, "malformed"),
        ({3: [[1]]}, "malformed"),
        ({3: [[0, 1]]}, "malformed"),
        ({3: [[1, 0]]}, "malformed"),
        ({4: [said.statements[0]]}, "malformed"),
        ({4: [said.statements[0], "text"]}, "malformed"),
        ({5: [RELAY.identity]}, "malformed"),
        ({5: [b"short", b""]}, "malformed"),
        ({5: [RELAY.identity, None]}, "malformed"),
        ({1: 2, 3: [[1, 1], [2, 1]], 5: [RELAY.identity, b""]}, "unsupported"),
        ({1: 4, 4: [said.statements[0]]}, "malformed"),
    ]:
        with pytest.raises(MalformedError) as caught:
            decode_evidence(cbor.encode({**fields, **change}))
        assert caught.value.code == code, change
    for missing in fields:
        with pytest.raises(MalformedError):
            decode_evidence(cbor.encode({key: value for key, value in fields.items() if key != missing}))
    for data in (b"", b"text", cbor.encode([1])):
        with pytest.raises(MalformedError):
            decode_evidence(data)


def test_every_bit_counts(account: MadeAccount) -> None:
    """VIE-04: with any one changed the file proves nothing."""
    one, other = two(account)
    account.change(device(1))
    refusal = RELAY.identity, RELAY.refusal(account, 1, one)
    data = Evidence(tuple(account.entries), replace(headers(one, other), refusal=refusal)).encode()
    assert verify_evidence(decode_evidence(data)).accused == "relay"
    for bit in range(0, 8 * len(data), 61):
        with pytest.raises(PeerError):
            verify_evidence(decode_evidence(flipped(data, bit)))


def test_an_error_does_not_show_its_proof(account: MadeAccount) -> None:
    """ERR-03: neither the error nor the contradiction shows what was signed."""
    said = headers(*two(account))
    error = HistoryError("fork", "two headers", device=1, seq=2).proved_by(said)
    assert error.proof == said
    for shown in (str(error), repr(error), repr(said)):
        assert said.statements[0].hex() not in shown
        assert repr(said.statements[0]) not in shown
