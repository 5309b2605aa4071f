"""A body made to open under two keys (P11): the relay takes what it cannot read, and no client reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from property.test_protocol_commitment import keystream, opens_under_both

from sealkeep_client import RecoveryKit
from sealkeep_protocol import cbor, sealing
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.padding import PLAIN, pad
from sealkeep_protocol.primitives import aead_open, sha256
from sealkeep_protocol.records import ConversationKey, Kind, Message, encode_body
from sealkeep_protocol.segments import (
    SealedSegment,
    SegmentClass,
    header_identifier,
    sign_header,
    summarize,
    verify_header,
)
from support.relay import RelayProcess
from support.relay_client import Author, Owner, RelayClient, new_keys
from support.vaults import recovered

TIME = 1_700_000_000_000
BUCKET = 256


def content(text: str) -> bytes:
    message = Message(ConversationKey("telegram", "", "user:1"), TIME, Kind.TEXT, source=1, text=text)
    return encode_body([], [], [message], [])


def sealed(author: Author, text: str, *, twofold: bool) -> SealedSegment:
    """A segment under the current epoch; `twofold`: its body opens under the epoch before as well, to which alone it is
    committed."""
    owner = author.owner
    shape = author.seal(take=False)
    old, new = owner.epochs
    salt, context = os.urandom(32), [owner.account, author.number, shape.seq]
    shown = sealing.sealing_keys(new.segment_key, "segment", context, salt, parts=2)
    hidden = sealing.sealing_keys(old.segment_key, "segment", context, salt, parts=2)
    packed = content(text)
    header = verify_header(
        shape.header, account=owner.account, device=author.number, seq=shape.seq, key=author.keys.signing.public
    ).header
    committed = hidden if twofold else shown
    header = replace(header, salt=salt, commitment=committed.commitment, body_length=BUCKET)
    binding = sha256(header.encode_core())
    summary = shown.seal(0, summarize(SegmentClass.LIVE, [TIME], 1, [], len(packed)).encode(), binding)
    plaintext = pad(packed, BUCKET, form=PLAIN)
    body = shown.seal(1, plaintext, binding)
    if twofold:
        associated = cbor.encode(["sealkeep/v1/part", "segment", 1, binding])
        stream = keystream(shown.parts[1], len(plaintext))[64:]
        ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream, strict=True))
        body = opens_under_both((shown.parts[1], hidden.parts[1]), associated, ciphertext, (9, 13))
        # The AEAD alone takes either key, and gives two different texts.
        assert aead_open(shown.parts[1], body, associated) != aead_open(hidden.parts[1], body, associated)
    header = replace(header, digests=(sha256(summary), sha256(body)))
    data = sign_header(header, owner.account, author.keys.signing)
    author.seq, author.head = shape.seq, header_identifier(data, owner.account)
    return SealedSegment(shape.seq, author.head, data, summary, body)


async def test_a_body_made_to_open_under_two_keys(tmp_path: Path) -> None:
    """KEY-05, SEG-22: refused by the commitment, named by device and seq; what the same device writes next is read."""
    seed = os.urandom(32)
    owner = Owner(recovery=PrivateKeys.of_recovery(seed))
    with RelayProcess(tmp_path / "relay") as relay:
        async with RelayClient(relay.url, relay.identity) as line:
            assert (await line.create(owner)).status == 201
            change = owner.change(added=[new_keys()])
            assert (await line.change(owner, change.entry, change.wraps, 0)).status == 201
            segments = [
                sealed(owner.device, text, twofold=twofold) for text, twofold in (("two", True), ("one", False))
            ]
            answer = await line.append(owner.device, *segments)
            assert answer.status in (200, 201), answer.body
        head = (0, owner.roster.entry_ids[0])
        kit = RecoveryKit(relay.url, relay.identity, owner.account, seed, head, (), "2024-01-01")
        async with await recovered(tmp_path / "laptop", kit) as laptop:
            summary = await laptop.sync()
            [refused] = summary.unreadable
            assert (refused.code, refused.device, refused.seq) == ("commitment", 1, 1)
            assert summary.received == 1
            [chat] = await laptop.conversations()
            [page] = [page async for page in laptop.history(chat)]
            assert [record.text for record in page] == ["one"]
            [refused] = (await laptop.verify()).unreadable
            assert (refused.code, refused.device, refused.seq) == ("commitment", 1, 1)
            assert (await laptop.status()).unreadable == ("device 1, seq 1: commitment",)
