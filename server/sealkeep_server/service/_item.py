"""One item of a batch of segments (spec §8.4, §11.4, §12.4), taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_protocol import cbor
from sealkeep_protocol.fields import MAX_DEVICE
from sealkeep_protocol.files import check_chunk_ids
from sealkeep_server.problems import ProblemError


@dataclass(frozen=True, slots=True)
class BatchItem:
    """What a device sends of a segment: a header alone has neither summary nor body. `chunks` are the ids of the chunks
    that it uses."""

    header: bytes
    summary: bytes | None = None
    body: bytes | None = None
    chunks: tuple[bytes, ...] = ()
    missing_ok: bool = False


def appended_item(item: cbor.Item) -> BatchItem:
    """Take `[header, summary, body, chunks, missing-ok]` or `[header]` apart. Raises `ProblemError` (`malformed`) or
    `PeerError`."""
    if isinstance(item, list):
        if len(item) == 1 and isinstance(item[0], bytes):
            return BatchItem(item[0])
        if len(item) in (4, 5):
            return _whole(item)
    raise _malformed()


def copied_item(item: cbor.Item) -> tuple[int, BatchItem]:
    """Take `[device, header, summary, body, chunks, missing-ok]` apart, likewise."""
    if not isinstance(item, list) or len(item) not in (5, 6):
        raise _malformed()
    device, *segment = item
    if type(device) is not int or not 1 <= device <= MAX_DEVICE:
        raise _malformed()
    return device, _whole(segment)


def _whole(parts: list[cbor.Item]) -> BatchItem:
    header, summary, body, chunks, *missing_ok = parts
    are_bytes = isinstance(header, bytes) and isinstance(summary, bytes) and isinstance(body, bytes)
    if not are_bytes or not isinstance(chunks, list) or any(said is not True for said in missing_ok):
        raise _malformed()
    return BatchItem(header, summary, body, check_chunk_ids(chunks), bool(missing_ok))


def _malformed() -> ProblemError:
    return ProblemError(
        "malformed",
        "An item of a batch is [header, summary, body, chunks], with true behind it where chunks may be missing, or"
        " [header]; a copied one has the device first, and is never a header alone.",
    )
