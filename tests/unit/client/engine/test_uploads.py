"""Contents on their way to the relay: claimed, put, named by segments, and what comes between (spec §12)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sealkeep_client.answers import ChunksMissingError
from sealkeep_client.engine import Append, Claim, PutChunks
from sealkeep_client.store import UploadClass
from sealkeep_protocol.errors import HistoryError, MalformedError, TransportError
from sealkeep_protocol.files import ContentRecord, chunks_hash, cut, locate, make_record
from sealkeep_protocol.records import Attachment, AttachmentState, Mark, MarkType
from sealkeep_protocol.segments import verify_header
from support.accounts import MadeAccount, device, refused
from support.memory_relay import MemoryRelay, instead
from support.stored_device import StoredDevice, stored_device

MIB = 1 << 20


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class World:
    made: MadeAccount
    relay: MemoryRelay
    phone: StoredDevice
    tablet: StoredDevice

    def puts(self) -> list[bytes]:
        return [chunk for asked in self.relay.asked if isinstance(asked, PutChunks) for chunk in asked.ids]

    def appended(self) -> list[tuple[str, ...]]:
        """The chunks that each appended item said, hexadecimal."""
        return [
            tuple(chunk.hex() for chunk in item.chunks)
            for asked in self.relay.asked
            if isinstance(asked, Append)
            for item in asked.items
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    with ExitStack() as stack:
        phone, tablet = (
            stack.enter_context(stored_device(tmp_path / str(number), number, made, relay)) for number in (1, 2)
        )
        phone.store.ids = tablet.store.ids = phone.store.ids
        yield World(made, relay, phone, tablet)


def fetch(world: World, reader: StoredDevice, root: bytes) -> bytes:
    """A content's bytes by the first record that this device would try; of at most 8 pieces."""
    known = reader.local.files.order(reader.local.account, root)[0]
    location = locate(known.record)
    key = reader.local.account.epoch(location.epoch).chunk_key
    parts = [location.open(key, index, world.relay.chunks.read(chunk)) for index, chunk in enumerate(location.chunks)]
    return b"".join(bytes(part) for part in parts)


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB + 5])
def test_a_content_goes_to_the_other_device(world: World, size: int) -> None:
    """FIL-05: the body has the content record; FIL-15: the header has the hash of just its chunks."""
    message = world.phone.write("look")
    content = world.phone.attach(message, noise(size))
    report = world.phone.sync()
    assert (report.contents_written, world.phone.store.count_waiting()) == (1, 0)
    world.tablet.sync()
    assert [one.root for one in world.tablet.attachments(message)] == [content.root]
    assert fetch(world, world.tablet, content.root) == noise(size)
    stored = world.relay.log[-1]
    header = verify_header(
        stored.segment.header, account=world.made.id, device=1, seq=None, key=world.made.devices[1].signing.public
    ).header
    assert header.chunks == chunks_hash(world.relay.chunks.of(1, header.seq))


def test_text_does_not_wait_for_files(world: World) -> None:
    """What is said goes out before the first chunk; what names the content goes out behind its last."""
    world.phone.attach(world.phone.write("look"), noise(40 * MIB))
    world.phone.write("and read")
    world.phone.sync()
    order = [type(asked).__name__ for asked in world.relay.asked if isinstance(asked, (Append, Claim, PutChunks))]
    assert order[0] == "Append"
    assert order[-1] == "Append"
    assert order.count("Claim") >= 3  # in batches
    assert world.appended()[0] == ()
    assert len(world.appended()[-1]) == 41  # 40 pieces and a list


def test_an_upload_goes_on_where_it_was_interrupted(world: World) -> None:
    world.phone.attach(world.phone.write("look"), noise(40 * MIB))
    world.relay.spoil(PutChunks, lambda action, answer: answer if len(world.puts()) < 32 else _broken())
    with pytest.raises(TransportError):
        world.phone.sync()
    world.relay.mend()
    before = len(world.puts())
    world.relay.asked.clear()
    world.phone.sync()
    assert before + len(world.puts()) <= 41 + 16
    assert len(world.relay.chunks.stored) == 41


def _broken() -> TransportError:
    return TransportError("the connection to the relay broke")


def test_equal_contents_are_sent_once(world: World) -> None:
    """Two messages, two devices: the relay stores each piece once, and what the other has stored is not sent again."""
    data = noise(MIB + 9)
    for text in ("one", "two"):
        world.phone.attach(world.phone.write(text), data)
    world.phone.sync()
    assert len(world.puts()) == 2
    world.tablet.sync()
    world.relay.asked.clear()
    world.tablet.attach(world.tablet.write("three"), data)
    world.tablet.sync()
    assert world.puts() == []
    assert [asked for asked in world.relay.asked if isinstance(asked, Claim)] == []


def test_a_rotation_begins_a_content_anew(world: World) -> None:
    """FIL-04: what no receipted segment names is sealed under the newest epoch that was seen, and under no other."""
    message = world.phone.write("look")
    content = world.phone.attach(message, noise(3 * MIB))
    world.relay.before(Claim, lambda action: world.made.change(device(2)))
    world.phone.sync()
    known = world.phone.store.records.of(content.root)
    assert [(one.record.epoch, one.served) for one in known] == [(world.made.roster.epoch, True)]
    world.tablet.sync()
    assert fetch(world, world.tablet, content.root) == noise(3 * MIB)


def test_a_record_of_an_older_epoch_serves_until_somebody_is_removed(world: World) -> None:
    """FIL-04 (c): a rotation alone does not make anybody send a file again; a removal does."""
    data = noise(MIB)
    content = world.phone.attach(world.phone.write("one"), data)
    world.phone.sync()
    first = world.made.roster.epoch
    world.made.change(device(1))
    world.relay.asked.clear()
    world.phone.attach(world.phone.write("two"), data)
    world.phone.sync()
    assert (world.puts(), [one.record.epoch for one in world.phone.store.records.of(content.root)]) == ([], [first])
    world.made.change(device(1), remove=[2])
    world.phone.attach(world.phone.write("three"), data)
    world.phone.sync()
    assert len(world.puts()) == 1
    assert [one.record.epoch for one in world.phone.store.records.of(content.root)] == [first + 2]


def test_chunks_that_went_missing_are_put_again(world: World) -> None:
    """§12.4: that is no refusal; the same item goes out again, with the same chunks."""
    world.phone.attach(world.phone.write("look"), noise(2 * MIB))
    lost = False

    def lose(action: Append) -> None:
        nonlocal lost
        lost = lost or any(item.chunks for item in action.items)
        if lost:
            world.relay.chunks.stored.popitem()
        else:
            world.relay.before(Append, lose)

    world.relay.before(Append, lose)
    world.phone.sync()
    assert lost
    assert len(world.relay.chunks.stored) == 2
    assert world.phone.store.count_waiting() == 0


def test_chunks_that_go_missing_again_are_reported(world: World) -> None:
    """FIL-16: one named as missing again while its claim lives."""
    world.phone.attach(world.phone.write("look"), noise(100))

    def lose(action: Append) -> None:
        world.relay.chunks.stored.clear()
        world.relay.before(Append, lose)

    world.relay.before(Append, lose)
    with refused(HistoryError, "missing", device=1, seq=2):
        world.phone.sync()


def test_a_relay_that_misses_what_was_not_named(world: World) -> None:
    world.phone.attach(world.phone.write("look"), noise(100))
    world.relay.spoil(
        Append, lambda action, answer: ChunksMissingError([bytes(32)], status=409) if action.items[0].chunks else answer
    )
    with pytest.raises(MalformedError, match="does not use"):
        world.phone.sync()


def test_what_is_gone_here_too_may_be_missing(world: World) -> None:
    """§12.4: missing-ok is said only where this device cannot give the bytes any more."""
    message = world.phone.write("look")
    content = world.phone.attach(message, noise(MIB + 1))

    def lose(action: Append) -> None:
        if not any(item.chunks for item in action.items):
            world.relay.before(Append, lose)
            return
        with world.phone.store.transaction():
            world.phone.store.media.lost(content.hashes[0])
        world.relay.chunks.stored.clear()

    world.relay.before(Append, lose)
    world.phone.sync()
    last = [asked for asked in world.relay.asked if isinstance(asked, Append)][-1]
    assert last.items[0].missing_ok
    assert len(world.relay.chunks.stored) == 1


def test_claims_are_answered_in_order(world: World) -> None:
    world.phone.attach(world.phone.write("look"), noise(100))
    world.relay.spoil(Claim, instead([]))
    with refused(HistoryError, "missing", device=1, seq=2):
        # Claimed as being there, named as missing, put again: not put, since the relay said to have it.
        world.phone.sync()


def false_record(record: ContentRecord, mark: int) -> ContentRecord:
    """A record that names other chunks."""
    return replace(record, chunks=tuple(bytes([mark]) * 32 for _ in record.chunks))


def test_who_has_not_proved_a_record_writes_the_others_along(world: World) -> None:
    """FIL-08: at most 8 of them, active devices' first; so a false one that came first takes nothing away."""
    content = world.phone.attach(world.phone.write("look"), noise(MIB + 1))
    world.phone.sync()
    world.tablet.sync()
    [true] = world.tablet.store.records.of(content.root)
    others = [false_record(true.record, mark) for mark in range(1, 12)]
    with world.tablet.store.transaction():
        world.tablet.store.records.put(1, 99, [true.record, *others])
        attachment = Attachment("file", size=MIB + 1, state=AttachmentState.STORED, root=content.root)
        mark = Mark(MarkType.SUPPLEMENT, world.tablet.write("forwarded"), attachments=(attachment,))
        world.tablet.store.put(marks=[mark], upload=UploadClass.LIVE)
    for chunk in {chunk for one in others for chunk in one.chunks}:
        world.relay.chunks.stored[chunk] = b""
    world.tablet.sync()
    assert world.puts() == world.puts()[:2]  # nobody sends it again
    world.phone.sync()
    written = [one for one in world.phone.store.records.of(content.root) if one.device == 2]
    assert len(written) == 9
    assert len(world.relay.chunks.of(2, written[0].seq)) == len(
        {chunk for one in written for chunk in one.record.chunks}
    )
    assert world.phone.local.files.order(world.phone.local.account, content.root)[0].record == true.record


def test_who_has_proved_a_record_writes_it_alone(world: World) -> None:
    """FIL-07: of several records of a root, what this device has sealed itself comes first."""
    content = world.phone.attach(world.phone.write("look"), noise(100))
    world.phone.sync()
    [own] = world.phone.store.records.of(content.root)
    with world.phone.store.transaction():
        world.phone.store.records.put(2, 5, [false_record(own.record, 1)])
    world.phone.attach(world.phone.write("again"), noise(100))
    world.phone.sync()
    assert world.appended()[-1] == (own.record.chunks[0].hex(),)


def test_the_records_of_an_author_are_those_of_its_latest_segment(world: World) -> None:
    """FIL-07: the latest of each author, whatever order they are read in; none takes another author's away."""
    content = cut(noise(100))[0]
    made = make_record(content, 1, [bytes(32)])
    records = world.phone.store.records
    with world.phone.store.transaction():
        records.put(1, 5, [made])
        records.put(2, 9, [false_record(made, 9)])
        records.put(2, 7, [false_record(made, 7)])
        records.put(2, 11, [false_record(made, 11), false_record(made, 12)])
        records.note_ids(made, made.chunks, served=True)
        records.put(1, 6, [made])
    kept = sorted((one.device, one.seq, one.record.chunks[0][0], one.served) for one in records.of(content.root))
    assert kept == [(1, 6, 0, True), (2, 11, 11, False), (2, 11, 12, False)]
