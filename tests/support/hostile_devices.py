"""What a device that was enrolled once can sign, and an honest one never would.

Each function composes an entry by `author` on top of the account as it stands, and spoils it before it is signed; `take`
makes the account go on from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from sealkeep_client.engine import Account
from sealkeep_protocol import sealing, signed
from sealkeep_protocol.hybrid_kem import WRAP_SIZE, wrap
from sealkeep_protocol.keys import EpochKeys, KeyRecord, PrivateKeys
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.roster import Composed, Entry, Link, Removal, Roster, Rotation, compose_change, decode_entry
from sealkeep_protocol.segments import (
    Head,
    Position,
    SealedSegment,
    SegmentClass,
    header_identifier,
    seal_segment,
    sign_header,
    summarize,
)
from sealkeep_protocol.types import NO_ID, DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, device


def decoded(composed: Composed) -> Entry:
    return decode_entry(signed.decode_payload(signed.split(composed.entry)[0]))


def with_wraps(
    made: MadeAccount, author: int, change: Callable[[int, bytes], bytes], **what: Any
) -> tuple[bytes, list[bytes]]:
    """An entry whose wraps are what `change` makes of them, by recipient; its digests are those of the changed ones."""
    composed = made.compose(device(author), **what)
    recipients = [recipient for recipient, _ in composed.roster.recipients()]
    wraps = [change(recipient, good) for recipient, good in zip(recipients, composed.wraps, strict=True)]
    core = decoded(composed).core
    digests = [sha256(wrapped) for wrapped in wraps]
    data = signed.sign("roster", made.id, core, made.devices[author].signing, digests=digests)
    made.epochs[composed.keys.number] = composed.keys
    return data, wraps


def spoil_wraps(made: MadeAccount, author: int, victims: Collection[int], **what: Any) -> tuple[bytes, list[bytes]]:
    """An entry whose wraps for these recipients (0: the recovery key) open to nothing."""

    def change(recipient: int, good: bytes) -> bytes:
        return bytes([recipient + 1]) * WRAP_SIZE if recipient in victims else good

    return with_wraps(made, author, change, **what)


def other_secret(made: MadeAccount, author: int, victims: Collection[int]) -> tuple[bytes, list[bytes]]:
    """An entry that gives these devices another epoch secret than the others: a wrap as it should be, of something else."""
    composed = made.compose(device(author))
    core = decoded(composed).core

    def change(recipient: int, good: bytes) -> bytes:
        if recipient not in victims:
            return good
        public = made.devices[recipient].kem.public
        return wrap(sha256(b"for you alone"), core=core, recipient=recipient, public=public)

    recipients = [recipient for recipient, _ in composed.roster.recipients()]
    wraps = [change(recipient, good) for recipient, good in zip(recipients, composed.wraps, strict=True)]
    digests = [sha256(wrapped) for wrapped in wraps]
    data = signed.sign("roster", made.id, core, made.devices[author].signing, digests=digests)
    made.epochs[composed.keys.number] = composed.keys
    return data, wraps


def cut_links(made: MadeAccount, author: int) -> tuple[bytes, list[bytes]]:
    """An entry whose links promise the epochs before and seal something else."""
    composed = made.compose(device(author))
    entry = decoded(composed)
    rotation = entry.rotation
    assert rotation is not None
    sealed = sealing.seal_alone(
        composed.keys.link_key,
        "link",
        [rotation.epoch, rotation.links[-1].epoch],
        sha256(b"not the epoch before"),
        binding=made.roster.head,
        salt=sha256(b"salt"),
    )
    links = (*rotation.links[:-1], Link(rotation.links[-1].epoch, sealed))
    spoilt = replace(entry, rotation=Rotation(rotation.epoch, rotation.commitment, links))
    core = spoilt.encode_core()
    public = {0: made.recovery(-1).kem.public} | {number: keys.kem.public for number, keys in made.devices.items()}
    wraps = [
        wrap(composed.keys.secret, core=core, recipient=recipient, public=public[recipient])
        for recipient, _ in composed.roster.recipients()
    ]
    digests = [sha256(wrapped) for wrapped in wraps]
    data = signed.sign("roster", made.id, core, made.devices[author].signing, digests=digests)
    made.epochs[composed.keys.number] = composed.keys
    return data, wraps


def take(made: MadeAccount, entry: tuple[bytes, list[bytes]]) -> int:
    """The account goes on from it. Returns the entry's number."""
    made.append(*entry)
    return made.roster.number


def false_header(made: MadeAccount, author: int, **fields: object) -> SealedSegment:
    """The author's next segment, with other fields in its signed header; its feed in the account stays as it was."""
    segment = made.seal(author, take=False)
    header = replace(made.verified(author, segment).header, **fields)  # type: ignore[arg-type]
    data = sign_header(header, made.id, made.devices[author].signing)
    return SealedSegment(header.seq, header_identifier(data, made.id), data, segment.summary, segment.body)


# The same by a device of an open vault, for a real relay


def signed_change(account: Account, *, roster: Roster | None = None, **more: Any) -> Composed:
    """A change by this device as it signs one, with what else `compose_change` takes; on another `roster` where it is
    given."""
    return compose_change(
        roster or account.roster,
        account.signer,
        account.keys.signing,
        list(account.epochs.values()),
        random=os.urandom,
        **more,
    )


def spoilt_entry(account: Account, spoil: Callable[[int, bytes, bytes], bytes]) -> tuple[bytes, list[bytes]]:
    """A rotation by this device whose wraps are what `spoil(recipient, core, wrap)` makes of them."""
    composed = signed_change(account)
    core = decoded(composed).core
    recipients = [recipient for recipient, _ in composed.roster.recipients()]
    wraps = [spoil(recipient, core, good) for recipient, good in zip(recipients, composed.wraps, strict=True)]
    digests = [sha256(wrapped) for wrapped in wraps]
    data = signed.sign("roster", account.id, core, account.keys.signing, digests=digests)
    return data, wraps


def adding(account: Account, record: KeyRecord) -> tuple[bytes, list[bytes]]:
    """An entry that adds a device with this key record, whatever that is; nobody gets a wrap that opens."""
    good = signed_change(account, added=[(new_keys().record((1, account.id)), "x")])
    entry = decoded(good)
    forged = replace(entry, added=(entry.added[0]._replace(keys=record),))
    core = forged.encode_core()
    wraps = [bytes(WRAP_SIZE)] * len(good.wraps)
    digests = [sha256(wrapped) for wrapped in wraps]
    return signed.sign("roster", account.id, core, account.keys.signing, digests=digests), wraps


def lowering(account: Account, removal: Removal) -> tuple[bytes, list[bytes]]:
    """An entry by this device that lowers the pin of a device which was removed before, as the highest kit's may."""
    composed = signed_change(account)
    core = replace(decoded(composed), removed=(removal,)).encode_core()
    digests = [sha256(wrapped) for wrapped in composed.wraps]
    return signed.sign("roster", account.id, core, account.keys.signing, digests=digests), list(composed.wraps)


def own_segment(
    account: Account,
    *,
    heads: Collection[Head] = (),
    hidden: Collection[Head] = (),
    seq: int = 1,
    previous: ObjectId = NO_ID,
    content: bytes = b"\xa0",
    times: Sequence[int] = (),
    epoch: EpochKeys | None = None,
) -> SealedSegment:
    """A segment of this device at that place, as the account stands: it names `heads`, and its view has the `hidden` ones
    too. `content` is an empty body unless said otherwise, `times` those of the records
    that the summary counts."""
    position = Position(
        account=account.id,
        device=account.device,
        seq=Seq(seq),
        previous=previous,
        roster_number=account.roster.number,
        roster_head=account.roster.head,
        changed_heads=tuple(heads),
        all_heads=(*heads, *hidden),
    )
    return seal_segment(
        position,
        epoch or account.epochs[account.roster.epoch],
        account.keys.signing,
        summarize(SegmentClass.LIVE, times, len(times), [], len(content)),
        content,
        compressed=False,
        salt=os.urandom(32),
    )


def false_view(account: Account) -> SealedSegment:
    """The first segment of this device, whose view holds a head that it does not name."""
    return own_segment(account, hidden=[Head(DeviceId(1), Seq(1), ObjectId(bytes(32)))])


def new_keys() -> PrivateKeys:
    return PrivateKeys(os.urandom(32), os.urandom(32))
