"""What the code encodes is what spec/sealkeep.cddl says, by a CDDL tool; and what it does not say, the tool refuses."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cbor2
import pytest

from sealkeep_client.answers import EpochStaleError
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_protocol import cbor, checkpoint, hybrid_kem, primitives, sealing, signed
from sealkeep_protocol.evidence import Contradiction, Evidence, EvidenceKind, Place
from sealkeep_protocol.files import Filling, content_root, piece_of, seal_piece
from sealkeep_protocol.files import _chunk as chunk_module
from sealkeep_protocol.files import _content as content_module
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.problems import PROBLEMS, TYPE_PREFIX
from sealkeep_protocol.records import (
    Attachment,
    Contact,
    ContactKey,
    ContentRecord,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    NativeIdentity,
    Preview,
    Range,
    RecordIds,
    contact_to_fields,
    content_to_fields,
    conversation_to_fields,
    encode_body,
    mark_to_fields,
    message_to_fields,
    preview_to_fields,
)
from sealkeep_protocol.roster import Composed, Removal, Signer, compose_change, compose_close, compose_genesis
from sealkeep_protocol.segments import Head, Position, SealedSegment, SegmentClass, Summary, seal_segment, summarize
from sealkeep_protocol.sequence import SequenceReader
from sealkeep_protocol.statements import Challenge, Proof, Receipt, Refusal, sign_login
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq
from sealkeep_server.app import running
from sealkeep_server.settings import Settings
from support.cddl import Cddl
from support.kits import FIRST_KIT, LARGEST_KIT
from support.kits import KIT as PAGE

SPEC = Path(__file__).parents[3] / "spec" / "sealkeep.cddl"
HASH, ID = bytes(range(32)), bytes(range(16))


@pytest.fixture(scope="module")
def cddl() -> Cddl:
    return Cddl(SPEC.read_text(encoding="utf-8"))


# --- what the code makes -------------------------------------------------------------------------------------------


def draws() -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time."""
    counter = itertools.count()
    return lambda size: hashlib.shake_256(next(counter).to_bytes(4, "big")).digest(size)


def private_keys(name: str) -> PrivateKeys:
    return PrivateKeys(hashlib.sha256(f"{name} signs".encode()).digest(), hashlib.sha256(name.encode()).digest())


PHONE, LAPTOP, TABLET = private_keys("phone"), private_keys("laptop"), private_keys("tablet")
ROOTS = (0, HASH), (1, HASH)  # a genesis' nonce, an account id
KIT, NEW_KIT = PrivateKeys.of_recovery(bytes(32)), PrivateKeys.of_recovery(bytes([1]) * 32)
RELAY = SigningKey(bytes([2]) * 32)


@dataclass(frozen=True)
class Entries:
    """One roster entry of every type, and of `change` with each of its fields."""

    genesis: Composed
    added: Composed
    removed: Composed
    reclaimed: Composed
    closed: bytes

    def cores(self) -> Iterator[tuple[str, bytes]]:
        yield "genesis-core", core_of(self.genesis.entry)
        yield "change-core", core_of(self.added.entry)
        yield "change-core", core_of(self.removed.entry)
        yield "reclaim-core", core_of(self.reclaimed.entry)
        yield "close-core", core_of(self.closed)


@pytest.fixture(scope="module")
def entries() -> Entries:
    random = draws()
    genesis = compose_genesis(PHONE, "phone", KIT, random=random, time=1_700_000_000_000)
    account = genesis.roster.account
    added = compose_change(
        genesis.roster,
        Signer.device(1),
        PHONE.signing,
        [genesis.keys],
        random=random,
        added=[(LAPTOP.record((1, account)), "laptop"), (TABLET.record((1, account)), "Tablett")],
    )
    removed = compose_change(
        added.roster,
        Signer.device(1),
        PHONE.signing,
        [genesis.keys, added.keys],
        random=random,
        removed=[Removal(2, 0, b"", False), Removal(3, 7, HASH, True)],
        recovery=NEW_KIT.record((1, account)),
        time=1_700_000_000_001,
    )
    reclaimed = compose_change(
        removed.roster,
        Signer.recovery(0),
        KIT.signing,
        [removed.keys],
        random=random,
        added=[(private_keys("next").record((1, account)), "next")],
        removed=[Removal(1, 1, HASH, False)],
        recovery=PrivateKeys.of_recovery(bytes([3]) * 32).record((1, account)),
        reclaim=True,
    )
    return Entries(genesis, added, removed, reclaimed, compose_close(added.roster, 0, KIT.signing))


SEGMENTS = [
    (SegmentClass.LIVE, False),
    (SegmentClass.FRONT, True),
    (SegmentClass.HISTORY, True),
    (SegmentClass.HISTORY, False),
    (SegmentClass.PREVIEW, False),
]


def segment(
    entries: Entries,
    segment_class: SegmentClass,
    *,
    last: bool = True,
    previous: bytes = HASH,
    chunks: tuple[bytes, ...] = (),
) -> tuple[Summary, SealedSegment]:
    roster = entries.genesis.roster
    heads = (Head(DeviceId(2), Seq(5), ObjectId(HASH)), Head(DeviceId(3), Seq(1), ObjectId(HASH)))
    first = segment_class is SegmentClass.LIVE
    position = Position(
        account=roster.account,
        device=DeviceId(1),
        seq=Seq(1 if first else 2),
        previous=ObjectId(b"" if first else previous),
        roster_number=roster.number,
        roster_head=roster.head,
        changed_heads=() if first else heads,
        all_heads=heads,
    )
    preview = segment_class is SegmentClass.PREVIEW
    content = encode_body(previews=PREVIEWS[1:]) if preview else encode_body(messages=[MESSAGE])
    times, conversations = ([], []) if preview else ([-1, 5], [ID, HASH[16:]])
    summary = summarize(segment_class, times, 1, conversations, len(content))
    sealed = seal_segment(
        position,
        entries.genesis.keys,
        PHONE.signing,
        summary,
        content,
        compressed=False,
        salt=HASH,
        last=last,
        chunks=chunks,
    )
    return summary, sealed


CHAT = ConversationKey("telegram", "", "user:42")
MESSAGE = Message(CHAT, -5, 1, source=7)
MESSAGES = [
    MESSAGE,
    Message(CHAT, 5, 0, native=NativeIdentity(1, 1 << 60, ID, 3), text="新年好"),
    Message(
        CHAT,
        1_700_000_000_000,
        64,
        source=(1, "wxid", (3, HASH), b"\x00"),
        precision=2,
        offset=-60,
        received=6,
        rank=9,
        author="user:1",
        author_name="Ä",
        direction=2,
        text="hello",
        ranges=(Range(1, 0, 5), Range(22, 0, 2, "https://example.org")),
        edited=7,
        reply_to=ID,
        quote={"text": "a", "deep": [1, True, None, {"b": []}]},
        thread="t",
        forwarded={"from": "b"},
        expires=10,
        pinned=True,
        attachments=(
            Attachment("photo", "a.jpg", "image/jpeg", 1, 2, 3, 4, "photos/a.jpg", 2),
            Attachment("x", state=0, root=HASH),
        ),
        details={"poll": {}},
        extension={},
    ),
]
MARKS = [
    Mark(MarkType.REVISION, ID, clock=1, edited=5, text="", ranges=(Range(1, 0, 1),)),
    Mark(MarkType.SUPPLEMENT, ID, attachments=(Attachment("photo"),)),
    Mark(MarkType.REACTION, ID, actor="user:1", key="👍", count=0, time=4),
    Mark(MarkType.READ, ID, actor="user:1", time=4),
    Mark(MarkType.TOMBSTONE, ID, reason=3, extension={"why": "x"}),
    Mark(64, ID, clock=5, key="of a later version"),
]
CONTACTS = [
    Contact(ContactKey("wechat", "", "wxid_1"), "name", "remark", "alias", "avatar", 5, {"a": 1}),
    Contact(ContactKey("wechat", "", "wxid_2")),
]
CONTENTS = [
    ContentRecord(content_root(5, [HASH]), 5, 1, (HASH,), (HASH,)),
    ContentRecord(content_root(8 << 20, [HASH] * 8), 8 << 20, 1, (HASH,) * 8, (HASH,) * 8),
    ContentRecord(HASH, 1 << 33, (1 << 32) - 1, (HASH,), (HASH,), 8192),
]
PREVIEWS = [Preview(HASH, "image/webp", bytes(16_384), 512, 1), Preview(HASH, "image/jpeg", b"x", 1, 512)]
CONVERSATIONS = [Conversation(CHAT, "title", 1, 3, {"a": ["b"]}), Conversation(ConversationKey("a", "b", "c"), "")]


def core_of(data: bytes) -> bytes:
    return signed.decode_payload(signed.split(data)[0]).core


def statements(entries: Entries) -> Iterator[tuple[str, bytes]]:
    """(rule of the core, signed object) of everything that is said about segments and logins."""
    account = AccountId(entries.genesis.roster.account)
    yield "proof-core", Proof(HASH, HASH, ID).sign(account, RELAY)
    yield "receipt-core", Receipt(ObjectId(HASH), 5, ID).sign(account, RELAY)
    yield "refusal-core", Refusal(ObjectId(HASH), DeviceId(1), Seq(2), 3, ObjectId(HASH), ID).sign(account, RELAY)
    for signer in (Signer.device(1), Signer.recovery(0)):
        yield "challenge-core", Challenge(signer, 1_700_000_000_000, ID).sign(account, RELAY)
    yield "login-core", sign_login(ObjectId(HASH), RELAY.public, account, PHONE.signing)


# --- it is what the spec says --------------------------------------------------------------------------------------


def test_roster_entries(cddl: Cddl, entries: Entries) -> None:
    for rule, core in entries.cores():
        cddl.accept(rule, core)
        cddl.accept("roster-core", core)
    for composed in (entries.genesis, entries.added, entries.removed, entries.reclaimed):
        cddl.accept("signed-object", composed.entry)
        cddl.accept("payload", signed.split(composed.entry)[0])
        cddl.accept("roster-item", cbor.encode(composed.entry))
        cddl.accept("roster-post", cbor.encode([composed.entry, composed.wraps]))
    cddl.accept("account-post", cbor.encode([entries.genesis.entry, entries.genesis.wraps]))
    cddl.accept("roster-post", cbor.encode([entries.closed, []]))
    cddl.accept("wrap-item", cbor.encode([0, 0, entries.genesis.wraps[0]]))


def test_proof_of_possession(cddl: Cddl) -> None:
    for root in ROOTS:
        cddl.accept("possession-core", signed._possession(PHONE.signing.public, PHONE.kem.public, root))
    cddl.refuse("possession-core", {0: 1, 1: PHONE.signing.public, 2: PHONE.kem.public, 3: [2, HASH]})


@pytest.mark.parametrize(("segment_class", "last"), SEGMENTS)
def test_segments(cddl: Cddl, entries: Entries, segment_class: SegmentClass, last: bool) -> None:
    summary, sealed = segment(entries, segment_class, last=last)
    cddl.accept("signed-object", sealed.header)
    cddl.accept("segment-payload", signed.split(sealed.header)[0])
    cddl.accept("segment-core", core_of(sealed.header))
    cddl.accept("summary", summary.encode())  # the tool reads the item before the padding
    cddl.accept("append-item", cbor.encode([sealed.header, sealed.summary, sealed.body, []]))
    cddl.accept("append-item", cbor.encode([sealed.header]))
    for parts in ((None, None), (sealed.summary, None), (sealed.summary, sealed.body)):
        cddl.accept("page-item", cbor.encode([1, 0, 1, sealed.seq, sealed.header, *parts]))


def test_statements(cddl: Cddl, entries: Entries) -> None:
    for rule, data in statements(entries):
        cddl.accept("signed-object", data)
        cddl.accept(rule, core_of(data))


def test_evidence(cddl: Cddl, entries: Entries) -> None:
    roster = (entries.genesis.entry, entries.added.entry)
    header = segment(entries, SegmentClass.LIVE)[1].header
    refusal = Refusal(ObjectId(HASH), DeviceId(1), Seq(2), 3, ObjectId(HASH), ID).sign(AccountId(HASH), RELAY)
    by = (RELAY.public, refusal)
    one, two = Place(1, 1), Place(2, 1)
    for said in (
        Contradiction(EvidenceKind.HEADERS, (one,), (header, header)),
        Contradiction(EvidenceKind.HEADERS, (one,), (header, header), by),
        Contradiction(EvidenceKind.VIEW, (one, two), (header, header)),
        Contradiction(EvidenceKind.ROSTER, (), (entries.removed.entry,)),
        Contradiction(EvidenceKind.REFUSAL, (one,), (header,), by),
    ):
        data = Evidence(roster, said).encode()
        cddl.accept("evidence", data)
        item = cbor2.loads(data)
        for key in item.keys() - ({5} if said.kind is EvidenceKind.HEADERS else set()):
            cddl.refuse("evidence", {other: part for other, part in item.items() if other != key})
        for key, broken in (
            (0, 2),
            (1, 5),
            (2, []),
            (3, [[0, 1]]),
            (3, [[1, 1]] * 3),
            (4, []),
            (4, [HASH]),
            (5, [HASH]),
        ):
            cddl.refuse("evidence", {**item, key: broken})
        cddl.refuse("evidence", {**item, 6: 1})


def test_what_a_checkpoint_code_hashes(cddl: Cddl, entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    monkeypatch.setattr(checkpoint, "mac", lambda _, data: hashed.append(data) or HASH)
    roster = entries.removed.roster
    heads = [Head(DeviceId(1), Seq(5), ObjectId(HASH)), Head(DeviceId(3), Seq(9), ObjectId(HASH))]
    checkpoint.checkpoint_code(entries.removed.keys, roster, heads, ("able", "zone"))
    cddl.accept("checkpoint-hashed", hashed[0])
    for broken in variants(cbor2.loads(hashed[0])):
        cddl.refuse("checkpoint-hashed", broken)


def test_bodies(cddl: Cddl) -> None:
    cddl.accept("body", encode_body(CONTACTS, CONVERSATIONS, MESSAGES, MARKS, contents=CONTENTS))
    cddl.accept("body", encode_body(previews=PREVIEWS))
    many = [Message(CHAT, 1000 * n, 1, source=n, text=None if n % 3 else "ok", author="user:1") for n in range(1, 40)]
    cddl.accept("body", encode_body(messages=many))
    cddl.accept("body", encode_body(marks=MARKS[2:3]))


def test_records(cddl: Cddl) -> None:
    for message in MESSAGES:
        cddl.accept("message", cbor.encode(message_to_fields(message)))
    for mark in MARKS:
        cddl.accept("mark", cbor.encode(mark_to_fields(mark)))
    for contact in CONTACTS:
        cddl.accept("contact", cbor.encode(contact_to_fields(contact)))
    for conversation in CONVERSATIONS:
        cddl.accept("conversation", cbor.encode(conversation_to_fields(conversation)))
    for record in CONTENTS:
        cddl.accept("content", cbor.encode({**content_to_fields(record), 64: "later"}))
    for preview in PREVIEWS:
        cddl.accept("preview", cbor.encode({**preview_to_fields(preview), 64: "later"}))


def test_what_is_derived_from_and_bound(cddl: Cddl, entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `info` of a derivation, every associated data, every signed structure."""
    derived: list[bytes] = []
    bound: list[bytes] = []

    def hkdf(key: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
        derived.append(info)
        return original_hkdf(key, salt=salt, info=info, size=size)

    def aead_seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        bound.append(associated)
        return original_seal(key, plaintext, associated)

    original_hkdf, original_seal = primitives.hkdf, primitives.aead_seal
    monkeypatch.setattr(primitives, "hkdf", hkdf)
    monkeypatch.setattr(sealing, "aead_seal", aead_seal)
    PrivateKeys.of_recovery(bytes(32))
    segment(entries, SegmentClass.LIVE)
    assert EpochKeys(HASH, 1, HASH).record_id_key
    chunk = seal_piece(EpochKeys(HASH, 1, HASH).chunk_key, piece_of(bytes(240)))
    assert chunk.id
    roster = entries.genesis.roster
    record = LAPTOP.record((1, roster.account))
    compose_change(
        roster, Signer.device(1), PHONE.signing, [entries.genesis.keys], random=draws(), added=[(record, "x")]
    )
    assert len(derived) > 6
    assert len(bound) == 4  # summary, body, name, link
    cddl.accept("chunk-ad", chunk_module._ASSOCIATED)
    ids: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(RecordIds, "_hash", lambda _, __, item: ids.append(item) or ID)
        RecordIds(HASH).content(CONTENTS[0])
        RecordIds(HASH).preview(PREVIEWS[0])
    for item in ids:
        cddl.accept("root-id-hashed", cbor.encode(item))
    hashed: list[bytes] = []
    monkeypatch.setattr(content_module, "sha256", lambda data: hashed.append(bytes(data)) or HASH)
    Filling(5, [], HASH)
    content_root(5, [HASH])
    cddl.accept("filling-hashed", hashed[0])
    cddl.accept("root-hashed", hashed[1])
    for info in derived:
        cddl.accept("derivation-info", info)
    for associated in bound:
        cddl.accept("part-ad", associated)
    cddl.accept("wrap-info", hybrid_kem.wrap_info(b"core", 1, PHONE.kem.public))
    payload = signed.Payload(b"core", (HASH,)).encode()
    cddl.accept("sig-structure", signed.signature_structure("roster", b"", payload))
    cddl.accept("sig-structure", signed.signature_structure("segment", roster.account, payload))


# --- and nothing else is -------------------------------------------------------------------------------------------


def test_recovery_kits(cddl: Cddl) -> None:
    for kit in (FIRST_KIT, PAGE, LARGEST_KIT):
        cddl.accept("recovery-kit", kit.encode())
    good = cbor2.loads(PAGE.encode())
    for at, broken in (
        (0, 2),
        (1, ""),
        (1, b"https://relay.example"),
        (1, "x" * 257),
        (2, bytes(31)),
        (3, "x" * 32),
        (4, bytes(33)),
        (5, [3]),
        (5, [1 << 32, HASH]),
        (6, [[0, 1, HASH]]),
        (6, [[1, 0, HASH]]),
        (6, [[n, 1, HASH] for n in range(1, 50)]),
        (7, "2026-10-1"),
    ):
        cddl.refuse("recovery-kit", [*good[:at], broken, *good[at + 1 :]])
    cddl.refuse("recovery-kit", good[:-1])
    cddl.refuse("recovery-kit", [*good, 0])


def variants(item: Any) -> Iterator[Any]:
    """The item with one thing wrong: another type, another length, one part more."""
    yield 1.5
    yield "text" if not isinstance(item, str) else 5
    if isinstance(item, bool):
        yield 1
    elif isinstance(item, int):
        yield -1 - item
        yield 1 << 64
    elif isinstance(item, bytes):
        yield item + b"\x00"
        yield item[:-1] if item else b"\x00"
        yield list(item)
    elif isinstance(item, list):
        yield {0: item}
        yield [*item, 1.5]
        for index, part in enumerate(item):
            for broken in variants(part):
                yield [*item[:index], broken, *item[index + 1 :]]


def broken_maps(item: dict[int, Any], optional: set[int], unknown: int) -> Iterator[Any]:
    """A map with a field missing, a field too many, or one with something wrong in it."""
    yield list(item.values())
    yield {**item, unknown: 1}
    yield {str(key): value for key, value in item.items()}
    for key, value in item.items():
        if key not in optional:
            yield {other: part for other, part in item.items() if other != key}
        for broken in variants(value):
            yield {**item, key: broken}


OPTIONAL = {"change-core": {6, 7, 8, 10}, "reclaim-core": {8, 10}, "genesis-core": {10}, "close-core": {10}}


def test_broken_cores_are_refused(cddl: Cddl, entries: Entries) -> None:
    cores = [*entries.cores(), *((rule, core_of(data)) for rule, data in statements(entries))]
    cores.append(("possession-core", signed._possession(PHONE.signing.public, PHONE.kem.public, ROOTS[1])))
    for segment_class, last in SEGMENTS:
        summary, sealed = segment(entries, segment_class, last=last)
        cores.append(("segment-core", core_of(sealed.header)))
        cores.append(("summary", summary.encode()))
    tried = 0
    for rule, core in cores:
        item = cbor2.loads(core)
        cddl.accept(rule, cbor2.dumps(item))
        for broken in broken_maps(item, OPTIONAL.get(rule, set()), unknown=24):
            if not signed_time(rule, item, broken):
                cddl.refuse(rule, broken)
                tried += 1
    assert tried > 500


def signed_time(rule: str, item: dict[int, Any], broken: Any) -> bool:
    """Whether all that is "wrong" is a time of a summary, which may be negative."""
    if rule != "summary" or not isinstance(broken, dict) or broken.keys() != item.keys():
        return False
    span = broken[2]
    same_else = all(broken[key] == item[key] for key in item if key != 2)
    return same_else and isinstance(span, list) and len(span) == 2 and all(type(t) is int and t < 1 << 63 for t in span)


def test_a_core_is_not_another_types(cddl: Cddl, entries: Entries) -> None:
    cores = dict([*entries.cores(), *((rule, core_of(data)) for rule, data in statements(entries))])
    cores["segment-core"] = core_of(segment(entries, SegmentClass.LIVE)[1].header)
    for rule, core in cores.items():
        for other in cores.keys() - {rule}:
            assert cddl.refusal(other, core) is not None, f"{other} accepts a {rule}"


def test_broken_frames_are_refused(cddl: Cddl, entries: Entries) -> None:
    """ENC-05 and SIG-01 as far as CDDL goes: another algorithm, tag or header, a payload of another shape."""
    frame = cbor2.loads(entries.genesis.entry)
    protected, unprotected, payload, signature = frame.value
    good = [protected, unprotected, payload, signature]
    cddl.accept("signed-object", cbor2.dumps(cbor2.CBORTag(18, good)))
    cddl.refuse("signed-object", good)
    cddl.refuse("signed-object", cbor2.CBORTag(17, good))
    for index, broken in [
        (0, cbor2.dumps({1: -8})),
        (0, cbor2.dumps({1: -19, 4: b"key"})),
        (0, b""),
        (1, {4: b"key"}),
        (2, None),
        (2, cbor2.dumps([b"core"])),
        (2, cbor2.dumps([b"", []])),
        (2, cbor2.dumps([b"core", [b"short"]])),
        (2, cbor2.dumps({0: b"core", 1: []})),
        (2, b"\x82\x41"),
        (3, signature[:-1]),
    ]:
        cddl.refuse("signed-object", cbor2.CBORTag(18, [*good[:index], broken, *good[index + 1 :]]))


def test_broken_segments_are_refused(cddl: Cddl, entries: Entries) -> None:
    sealed = segment(entries, SegmentClass.LIVE)[1]
    core = core_of(sealed.header)
    for digests in ([], [HASH], [HASH] * 3, [HASH, HASH[:-1]]):
        cddl.refuse("segment-payload", [core, digests])
    fields = cbor2.loads(core)
    for lengths in ([97, 256], [96, 255], [96, 262_145], [96], [96, 256, 0]):
        cddl.refuse("segment-core", {**fields, 11: lengths})
    items: list[list[Any]] = [
        [sealed.header, sealed.summary, sealed.body],
        [sealed.header, sealed.summary, sealed.body, [b"short"]],
        [sealed.header, sealed.summary[:-1], sealed.body, []],
        [sealed.header, sealed.summary, sealed.body[:200], []],
        [core, sealed.summary, sealed.body, []],
        [],
    ]
    for item in items:
        cddl.refuse("append-item", item)
    items = [
        [1, 0, 1, 1, sealed.header, None, sealed.body],
        [1, 0, 1, 1, sealed.header],
        [1, 0, 1, 0, sealed.header, None, None],
        [1, -1, 1, 1, sealed.header, None, None],
        [2, 0, 1, 1, sealed.header, None, None],
    ]
    for item in items:
        cddl.refuse("page-item", item)


def test_what_a_segment_says_of_its_chunks(cddl: Cddl, entries: Entries) -> None:
    """§12.4: field 20, and the last elements of an append's item."""
    sealed = segment(entries, SegmentClass.LIVE, chunks=(HASH, bytes(32)))[1]
    core = core_of(sealed.header)
    cddl.accept("segment-core", core)
    cddl.accept("chunk-ids", cbor.encode([bytes(32), HASH]))
    for broken in (HASH[:-1], [HASH], None):
        cddl.refuse("segment-core", {**cbor2.loads(core), 20: broken})
    cddl.refuse("segment-core", {**cbor2.loads(core), 21: HASH})
    item = [sealed.header, sealed.summary, sealed.body, [HASH]]
    for good in (item, [*item, True]):
        cddl.accept("append-item", cbor.encode(good))
        cddl.accept("copied-segment", cbor.encode([1, *good]))
    for bad in ([*item, False], [*item, True, True], [*item[:3], [HASH] * 8257], [*item[:3], [ID]]):
        cddl.refuse("append-item", bad)
        cddl.refuse("copied-segment", [1, *bad])


def test_reserved_kinds_have_their_place(cddl: Cddl, entries: Entries) -> None:
    """§6.2: retire and skip carry the common fields 0 to 8, no 9 to 11, and their own reserved ones."""
    common = {**cbor2.loads(core_of(segment(entries, SegmentClass.LIVE)[1].header))}
    sealing_fields = {key: common.pop(key) for key in (9, 10, 11)}
    retire = {**common, 3: 2, 12: [[1, 1, 4], [2, 7, 7]], 13: [HASH], 14: []}
    skip = {**common, 3: 3, 15: 1, 16: 9, 17: HASH, 18: HASH, 19: []}
    for core in (retire, skip):
        cddl.accept("segment-core", cbor2.dumps(core))
        cddl.refuse("segment-core", dict(sorted({**core, **sealing_fields}.items())))
        cddl.refuse("segment-core", {**core, 3: 4})
    cddl.refuse("segment-core", {**retire, 3: 3})


def test_broken_records_are_refused(cddl: Cddl) -> None:
    good = {1: ["telegram", "", "user:42"], 2: 7, 4: 0, 5: 1, 8: 0, 9: 1}
    cddl.accept("message", cbor2.dumps(good))
    for change in (
        {1: ["telegram", "user:42"]},
        {2: 1.5},
        {2: b"bare bytes"},
        {3: [1, 2, ID, 0]},
        {5: 4},
        {6: 1440},
        {8: -1},
        {9: 21},
        {12: 3},
        {14: [[1, 0]]},
        {16: ID[:-1]},
        {17: {"a": b"bytes"}},
        {17: {1: "a"}},
        {22: [{1: "photo"}]},
        {22: [{1: "photo", 9: 1, 10: 1}]},
        {22: [{1: "photo", 9: 0}]},
        {22: [{1: "photo", 9: 1, 16: HASH}]},
        {22: [{1: "photo", 9: 0, 16: ID}]},
        {22: [{1: "photo", 9: 0, 16: HASH, 17: 1}]},
        {25: 1},
    ):
        cddl.refuse("message", dict(sorted({**good, **change}.items())))
    for missing in good:
        cddl.refuse("message", {key: value for key, value in good.items() if key != missing})
    for mark in (
        {1: 1, 2: ID},
        {1: 2, 2: ID, 6: "x"},
        {1: 3, 2: ID, 9: "x"},
        {1: 5, 2: ID, 12: 4},
        {1: 6, 2: ID},
        {1: 4, 2: HASH},
    ):
        cddl.refuse("mark", mark)
    for rule, item, changes in (
        (
            "content",
            content_to_fields(CONTENTS[0]),
            [{1: ID}, {2: (1 << 33) + 1}, {2: -1}, {3: 0}, {4: []}, {4: [HASH] * 9}, {4: HASH}, {5: [ID]}, {6: 8}],
        ),
        (
            "preview",
            preview_to_fields(PREVIEWS[1]),
            [{1: ID}, {2: "image/gif"}, {3: b""}, {3: bytes(16_385)}, {3: "x"}, {4: 0}, {4: 513}, {5: 513}, {6: 1}],
        ),
    ):
        cddl.accept(rule, cbor.encode(item))
        for change in changes:
            cddl.refuse(rule, {**item, **change})
        for missing in item:
            cddl.refuse(rule, {key: value for key, value in item.items() if key != missing})
    cddl.refuse("contact", {1: "a", 2: "b", 8: 0})
    cddl.refuse("conversation", {1: "a", 2: "b", 3: "c", 4: "d", 5: "e", 8: 0})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {7: [1, {1: [3, "a"]}]},
        {"1": [1, {1: [3, "a"]}]},
        {1: [0, {1: [3, "a"]}]},
        {1: [65_537, {1: [3, "a"]}]},
        {1: [1, {}]},
        {1: [1, {1: [5, "a"]}]},
        {1: [1, {1: [0, "a"]}]},
        {1: [1, {1: [1, [-1], ["a"]]}]},
        {1: [1, {1: [2, ["a"]]}]},
        {1: [1, {1: [3]}]},
        {1: [1, {1: [4, ["a"]]}]},
        {1: [1, {"app": [3, "a"]}]},
        {1: {1: [3, "a"]}},
    ],
    ids=str,
)
def test_broken_bodies_are_refused(cddl: Cddl, body: dict[Any, Any]) -> None:
    if not body:
        cddl.accept("body", cbor2.dumps(body))  # a body without records is legal; a writer makes none
    else:
        cddl.refuse("body", body)


# --- messages that are no objects of the core ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "item"),
    [
        ("info", {1: [1], 2: [1], 3: HASH, 4: ID, 5: {"body_bytes": 5}, 6: []}),
        ("copies-answer", {1: 7, 2: []}),
        ("claims-answer", {1: [0, 7], 2: 3600}),
        ("account-answer", {1: HASH}),
        ("roster-answer", {1: 4}),
        ("challenge-post", [0, 1]),
        ("challenge-post", [1, 0]),
        ("token-answer", {1: "token", 2: 900}),
        ("append-answer", {1: 7, 2: []}),
        ("trailer", [0, 5, False, ID]),
        ("heads", {1: ID, 2: 5, 3: [[1, 1, HASH]], 4: 0, 5: 0}),
        ("claims-post", [HASH]),
        ("claims-answer", {1: [0], 2: 3600}),
        ("proofs-post", [[HASH, HASH]]),
        ("proofs-post", [[HASH, [1, 1]]]),
        ("proof-item", HASH),
    ],
)
def test_messages_of_the_interface(cddl: Cddl, rule: str, item: Any) -> None:
    cddl.accept(rule, cbor2.dumps(item))
    broken: Iterator[Any]
    if isinstance(item, dict):
        later = {**item, 9: "of a later version"}
        cddl.accept(rule, cbor2.dumps(later))
        broken = (variant for variant in broken_maps(item, set(), unknown=9) if variant != {**item, 9: 1})
    else:
        broken = variants(item)
    for variant in broken:
        cddl.refuse(rule, variant)


def test_a_restored_relay_may_say_so(cddl: Cddl) -> None:
    cddl.accept("info", cbor2.dumps({1: [1], 2: [1], 3: HASH, 4: ID, 5: {}, 6: [], 7: [ID, 1_700_000_000_000]}))


# --- a client and a relay, as they really talk ---------------------------------------------------------------------


class Recorder(HttpRelay):
    """A client that keeps what it sends and what it is answered: (method, path, request, response)."""

    def __init__(self, url: str) -> None:
        super().__init__(url, now=time.monotonic)
        self.talk: list[tuple[str, str, bytes, bytes]] = []

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, *, body: bytes | Callable[[], Iterator[bytes]] | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        sent, received = bytearray(), bytearray()

        def sending(stream: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
            for chunk in stream():
                sent.extend(chunk)
                yield chunk

        if isinstance(body, bytes):
            sent.extend(body)
        elif body is not None:
            body = partial(sending, body)
        async with super()._request(method, path, body=body, **options) as response:

            async def receiving() -> bytes:
                chunk = await response.content.readany()
                received.extend(chunk)
                return chunk

            yield SimpleNamespace(
                status=response.status,
                headers=response.headers,
                content_type=response.content_type,
                content=SimpleNamespace(readany=receiving),
            )
        route = "copies/roster" if path.endswith("/copies/roster") else path.rsplit("/", 1)[-1]
        self.talk.append((method, route, bytes(sent), bytes(received)))


def items(data: bytes) -> list[bytes]:
    """The items of a sequence, encoded."""
    return [cbor.encode(item) for item in SequenceReader(limit=1 << 20).feed(data)]


# (method, last part of the path): the rule of the request's items, and that of the answer's.
MESSAGES_OF_ROUTES: dict[tuple[str, str], tuple[str | None, str]] = {
    ("GET", "info"): (None, "info"),
    ("POST", "accounts"): ("account-post", "account-answer"),
    ("GET", "roster"): (None, "roster-item"),
    ("POST", "roster"): ("roster-post", "roster-answer"),
    ("GET", "wraps"): (None, "wrap-item"),
    ("POST", "challenge"): ("challenge-post", "challenge-answer"),
    ("POST", "token"): ("token-post", "token-answer"),
    ("POST", "segments"): ("append-item", "append-answer"),
    ("POST", "copies/roster"): ("copied-entry", "roster-answer"),
    ("POST", "copies"): ("copied-segment", "copies-answer"),
    ("GET", "heads"): (None, "heads"),
    ("GET", "changes"): (None, "page-item"),
    ("GET", "1"): (None, "page-item"),  # …/feeds/1
}


async def test_every_message_of_client_and_relay(cddl: Cddl, tmp_path: Path, entries: Entries) -> None:
    genesis, account = entries.genesis, AccountId(entries.genesis.roster.account)
    _, sealed = segment(entries, SegmentClass.LIVE)
    _, stale = segment(entries, SegmentClass.FRONT, previous=sealed.header_id)
    async with running(tmp_path / "relay", "127.0.0.1", 0, Settings()) as listening:
        client = Recorder(listening.url)
        try:
            await client.info()
            await client.create_account(genesis.entry, genesis.wraps)
            client.use(Credentials(account, Signer.device(1), PHONE.signing, listening.identity))
            await client.append([(sealed.header, sealed.summary, sealed.body, [])])
            await client.append_roster(account, 0, entries.added.entry, entries.added.wraps)
            await client.append([(sealed.header,)])  # it is stored: its receipt again
            with pytest.raises(EpochStaleError) as refused:
                await client.append([(stale.header,)])
            cddl.accept("signed-object", refused.value.refusal)
            cddl.accept("refusal-core", core_of(refused.value.refusal))
            again = (genesis.entry, [*genesis.wraps[:1], None])
            await client.copy_roster(account, [again, (entries.added.entry, entries.added.wraps)])
            await client.copy([(1, sealed.header, sealed.summary, sealed.body, [])])
            await client.roster(account, 0)
            await client.wraps()
            await client.heads()
            for parts in ("headers", "summaries", "bodies"):
                await client.changes(0, incarnation=listening.incarnation, parts=parts)
                await client.feed(1, 1, parts=parts)
        finally:
            await client.close()
    for method, route, sent, received in client.talk:
        request, answer = MESSAGES_OF_ROUTES[method, route]
        if request is not None:
            assert items(sent)
            for item in items(sent):
                cddl.accept(request, item)
        assert items(received)
        *first, last = items(received)
        for item in first:
            cddl.accept(answer, item)
        cddl.accept("trailer" if answer == "page-item" else answer, last)
        if answer == "page-item":
            assert first, "a page without an item shows nothing"
    assert {(method, route) for method, route, _, _ in client.talk} == MESSAGES_OF_ROUTES.keys()


# --- problems ------------------------------------------------------------------------------------------------------


def test_problem_schema_is_the_list_of_the_spec() -> None:
    """§9.1 stands three times: as a table, as code, as a JSON Schema."""
    table = dict(
        re.findall(
            r"^\| `([a-z-]+)` \| (\d{3}) \|", (SPEC.parent / "09-errors.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    assert {code: str(problem.status) for code, problem in PROBLEMS.items()} == table
    schema = json.loads((SPEC.parent / "problem.schema.json").read_text(encoding="utf-8"))
    assert schema["properties"]["code"]["enum"] == list(table)
    statuses = {}
    for rule in schema["allOf"]:
        condition = rule["if"].get("properties", {}).get("code", {})
        for code in condition.get("enum", [condition.get("const")]):
            statuses[code] = rule["then"]["properties"].get("status", {}).get("const")
    assert {code: str(status) for code, status in statuses.items() if code} == table
    assert all(re.fullmatch(schema["properties"]["type"]["pattern"], TYPE_PREFIX + code) for code in PROBLEMS)
