"""What the store keeps of a segment beside its records: the whole, or its header while its body is awaited."""

from __future__ import annotations

from sealkeep_client.engine import AwaitedBody, LoadAwaited, ReadSegment, known_chunks, stage_of
from sealkeep_client.store import Awaited, KeptSegment, Store
from sealkeep_protocol import signed
from sealkeep_protocol.files import ContentRecord, chunks_hash
from sealkeep_protocol.segments import decode_header


def kept_segment(segment: ReadSegment, body: bytes) -> KeptSegment:
    """The segment as it is kept whole."""
    header = segment.header.header
    chunks: tuple[bytes, ...] | None = ()
    if header.chunks is not None:
        chunks = None if segment.content is None else known_chunks(segment.content.contents)
    return KeptSegment(header.device, header.seq, segment.header.data, segment.summary, body, chunks)


def learn_chunks(store: Store, record: ContentRecord) -> None:
    """Note the chunks of the segments that hold a record, whose list was opened: from now on they can be brought back to a
    relay that lost them (§11.5)."""
    for device, seq in store.records.places(record):
        header, ids = store.kept.header(device, seq), store.records.ids_in(device, seq)
        # A later segment's record may have taken the place of one of this: its header tells whether these are all.
        if (
            header is not None
            and ids is not None
            and chunks_hash(ids) == decode_header(signed.decode_payload(signed.split(header)[0])).chunks
        ):
            store.kept.learn_chunks(device, seq, ids)


def add_awaited(store: Store, segment: ReadSegment) -> None:
    """Keep a verified segment whose body has still to come."""
    # SEG-26: "… keep in the same step that the body is awaited, …"
    header, told = segment.header.header, segment.told
    store.kept.add_header(header.device, header.seq, segment.header.data)
    last, records, tags = (0, 0, ()) if told is None else (told.last, told.records, told.tags)
    all_tagged = told is not None and not told.overflow
    store.awaited.add(
        Awaited(header.device, header.seq, stage_of(told), last, header.body_length, records, tags, all_tagged)
    )


def load_awaited(store: Store, action: LoadAwaited) -> list[AwaitedBody]:
    return [AwaitedBody(device, seq) for device, seq in store.awaited.next(action.limit)]
