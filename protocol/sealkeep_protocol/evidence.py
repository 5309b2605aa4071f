"""Evidence (spec §11.2): signed statements that contradict each other, in one file that anyone can verify."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

from sealkeep_protocol import cbor, signed
from sealkeep_protocol.errors import HistoryError, MalformedError
from sealkeep_protocol.fields import (
    MAX_DEVICE,
    MAX_NUMBER,
    array,
    check_keys,
    check_suite,
    decode_map,
    octets,
    unsigned,
)
from sealkeep_protocol.primitives import KEY_SIZE, SUITE, verify_signature
from sealkeep_protocol.roster import MAX_ENTRY, Roster, decode_entry
from sealkeep_protocol.segments import VerifiedHeader, verify_header
from sealkeep_protocol.statements import verify_refusal_alone
from sealkeep_protocol.types import AccountId

MAX_EVIDENCE = 64 << 20


class EvidenceKind(IntEnum):
    """What contradicts what (§11.2)."""

    HEADERS = 1
    VIEW = 2
    ROSTER = 3
    REFUSAL = 4


class Place(NamedTuple):
    """A device's feed and a seq in it."""

    device: int
    seq: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Signed statements that cannot both be honest, each still encoded.

    `HEADERS`: two headers at `places[0]`. `VIEW`: the header at `places[0]`, which names another head at `places[1]`, and
    the header there. `ROSTER`: an entry of another roster. `REFUSAL`: the header at `places[0]`, which `refusal` denies.
    `refusal` is (relay identity, signed refusal).
    """

    kind: EvidenceKind
    places: tuple[Place, ...]
    statements: tuple[bytes, ...] = field(repr=False)
    refusal: tuple[bytes, bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What evidence proves of an account: where the history parts, and who signed both ways."""

    kind: EvidenceKind
    account: AccountId
    accused: Literal["device", "devices", "relay", "roster"]
    places: tuple[Place, ...]
    entry: int | None = None  # of `ROSTER`: the number at which the rosters part
    identity: bytes | None = None  # of the relay, where it is accused


@dataclass(frozen=True, slots=True)
class Evidence:
    """A contradiction with the roster, from the genesis on, that says whose keys signed it."""

    entries: tuple[bytes, ...]
    contradiction: Contradiction

    def encode(self) -> bytes:
        """The file (§11.2)."""
        said = self.contradiction
        fields: dict[int, cbor.Item] = {
            0: SUITE,
            1: int(said.kind),
            2: list(self.entries),
            3: [list(place) for place in said.places],
            4: list(said.statements),
        }
        if said.refusal is not None:
            fields[5] = list(said.refusal)
        return cbor.encode(fields)


# Of each kind: how many places and statements it has, and whether a refusal belongs to it (None: it may).
_SHAPES: dict[EvidenceKind, tuple[int, int, bool | None]] = {
    EvidenceKind.HEADERS: (1, 2, None),
    EvidenceKind.VIEW: (2, 2, False),
    EvidenceKind.ROSTER: (0, 1, False),
    EvidenceKind.REFUSAL: (1, 1, True),
}


def decode_evidence(data: bytes) -> Evidence:
    """Decode a file of evidence; nothing in it is verified yet. Raises `MalformedError`."""
    value = decode_map(data, limit=MAX_EVIDENCE, what="file of evidence")
    check_suite(value, what="file of evidence")
    number = unsigned(value.get(1), "the kind of evidence")
    if number not in set(EvidenceKind):
        raise MalformedError("unsupported", "evidence of a kind that this version does not know")
    kind = EvidenceKind(number)
    places, statements, refusal = _SHAPES[kind]
    optional, required = {None: ({5}, set()), True: (set(), {5}), False: (set(), set())}[refusal]
    check_keys(value, {0, 1, 2, 3, 4} | required, optional, what="file of evidence")
    said = Contradiction(
        kind,
        tuple(_decode_place(item) for item in array(value[3], "the places", size=places)),
        tuple(_bytes(item, "a statement") for item in array(value[4], "the statements", size=statements)),
        _decode_refusal(value[5]) if 5 in value else None,
    )
    return Evidence(tuple(_bytes(item, "a roster entry") for item in array(value[2], "the roster", empty=False)), said)


def verify_evidence(evidence: Evidence) -> Finding:
    """Judge evidence by nothing but what it holds.

    Raises `MalformedError`, `AuthenticationError` or `HistoryError` where it proves nothing.
    """
    # VIE-04: "A verifier of evidence MUST judge its roster from the genesis on, verify every statement with the keys that
    # this roster gives, and refuse evidence whose statements do not contradict each other."
    roster = Roster.genesis(evidence.entries[0])
    for entry in evidence.entries[1:]:
        roster = roster.append(entry)
    said = evidence.contradiction
    if said.kind is EvidenceKind.ROSTER:
        return _judge_roster(evidence.entries, roster, said)
    judge = {
        EvidenceKind.HEADERS: _judge_headers,
        EvidenceKind.VIEW: _judge_view,
        EvidenceKind.REFUSAL: _judge_refusal,
    }[said.kind]
    return judge(roster, said)


def _judge_headers(roster: Roster, said: Contradiction) -> Finding:
    [place] = said.places
    one, other = (_header(roster, place, statement) for statement in said.statements)
    if one.id == other.id:
        raise _nothing("both headers are the same")
    if said.refusal is None:
        return Finding(said.kind, roster.account, "device", said.places)
    _check_refusal(roster, said.refusal, (one, other))
    return Finding(said.kind, roster.account, "relay", said.places, identity=said.refusal[0])


def _judge_view(roster: Roster, said: Contradiction) -> Finding:
    author, named = said.places
    view, shown = _header(roster, author, said.statements[0]), _header(roster, named, said.statements[1])
    if not any((h.device, h.seq) == named and h.header_id != shown.id for h in view.header.heads):
        raise _nothing("the one header does not name another than the other")
    return Finding(said.kind, roster.account, "devices", said.places)


def _judge_roster(entries: tuple[bytes, ...], roster: Roster, said: Contradiction) -> Finding:
    data = said.statements[0]
    payload, signature = signed.split(data, limit=MAX_ENTRY)
    entry = decode_entry(signed.decode_payload(payload))
    identifier = signed.object_id("roster", roster.account, payload)
    if 0 < entry.number <= roster.number:
        before = Roster.read(list(entries[: entry.number]), account=roster.account)
        before.append(data)  # it would have been valid there too
        if identifier == roster.entry_ids[entry.number]:
            raise _nothing("the entry is the one that stands in the roster")
        return Finding(said.kind, roster.account, "roster", (), entry=entry.number)
    # An entry behind another head: its signer was shown another roster up to there.
    if entry.number != roster.number + 1 or entry.previous == roster.head:
        raise _nothing("the entry does not contradict the roster")
    key = roster.signing_key(entry.signer)
    if key is None:
        raise _nothing("the entry's signer is unknown here")
    verify_signature(key, signed.signature_structure("roster", roster.account, payload), signature)
    return Finding(said.kind, roster.account, "roster", (), entry=roster.number)


def _judge_refusal(roster: Roster, said: Contradiction) -> Finding:
    [place] = said.places
    header = _header(roster, place, said.statements[0])
    if said.refusal is None:
        raise _nothing("there is no refusal")
    _check_refusal(roster, said.refusal, (header,))
    return Finding(said.kind, roster.account, "relay", said.places, identity=said.refusal[0])


def _header(roster: Roster, place: Place, data: bytes) -> VerifiedHeader:
    author = roster.devices.get(place.device)
    if author is None:
        raise HistoryError("author", "its author is not in the roster", device=place.device, seq=place.seq)
    key = author.keys.signing
    return verify_header(data, account=roster.account, device=place.device, seq=place.seq, key=key)


def _check_refusal(roster: Roster, refusal: tuple[bytes, bytes], headers: tuple[VerifiedHeader, ...]) -> None:
    """It is by this relay, of one of these headers, and for a newer roster, which the evidence holds."""
    identity, statement = refusal
    said = verify_refusal_alone(statement, roster.account, identity)
    for verified in headers:
        if said.header_id == verified.id:
            if not (
                verified.header.roster < said.roster_number <= roster.number
                and roster.entry_ids[said.roster_number] == said.roster_head
            ):
                raise _nothing("the refusal names a roster head that the evidence does not hold")
            return
    raise _nothing("the refusal is of another header")


def _nothing(why: str) -> HistoryError:
    return HistoryError("fork", f"the evidence proves nothing: {why}")


def _decode_place(value: cbor.Item) -> Place:
    device, seq = array(value, "a place", size=2)
    return Place(
        unsigned(device, "a device number", minimum=1, maximum=MAX_DEVICE),
        unsigned(seq, "a seq", minimum=1, maximum=MAX_NUMBER),
    )


def _decode_refusal(value: cbor.Item) -> tuple[bytes, bytes]:
    identity, refusal = array(value, "a refusal with its relay", size=2)
    return octets(identity, "a relay's identity", size=KEY_SIZE), _bytes(refusal, "a refusal")


def _bytes(value: cbor.Item, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError("malformed", f"{what} is a byte string")
    return value
