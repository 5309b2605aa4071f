"""What the store keeps of a segment beside its records: the whole, or its header while its body is awaited."""

from __future__ import annotations

from sealkeep_client.engine import AwaitedBody, LoadAwaited, ReadSegment, known_chunks, stage_of
from sealkeep_client.store import Awaited, KeptSegment, Store


def kept_segment(segment: ReadSegment, body: bytes) -> KeptSegment:
    """The segment as it is kept whole."""
    header = segment.header.header
    chunks: tuple[bytes, ...] | None = ()
    if header.chunks is not None:
        chunks = None if segment.content is None else known_chunks(segment.content.contents)
    return KeptSegment(header.device, header.seq, segment.header.data, segment.summary, body, chunks)


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
