"""Previews of the pictures that are taken in, and which one stands for a picture that is not here."""

from __future__ import annotations

from sealkeep_client.previews import MOST_BYTES, is_picture, is_shown, make_preview
from sealkeep_client.vault._local import Local
from sealkeep_protocol.files import Content
from sealkeep_protocol.records import Preview, preview_order

_BEGINNING = 64  # bytes that tell a picture


def preview(local: Local, content: Content, run: int) -> None:
    """Make the preview of a content that was taken in, where it is a picture and has none. In the caller's transaction."""
    store = local.store
    if not 0 < content.size <= MOST_BYTES or store.previews.has(content.root, local.account.device):
        return
    first = store.media.piece(content.hashes[0])
    if first is None or not is_picture(bytes(first.data[:_BEGINNING])):
        return
    pieces = [store.media.piece(digest) for digest in content.hashes]
    data = b"".join(bytes(piece.data) for piece in pieces if piece is not None)
    made = make_preview(content.root, data[: content.size])
    if made is not None:
        store.previews.add(local.account.device, made, run)


def shown_preview(local: Local, root: bytes) -> Preview | None:
    """The preview of a content, where one may be shown."""
    devices = local.account.roster.devices
    found = sorted(
        local.store.previews.of(root),
        key=lambda one: preview_order(one[1], own=one[0] == local.account.device, active=devices[one[0]].active),
    )
    return next((one for _, one in found if is_shown(one)), None)
