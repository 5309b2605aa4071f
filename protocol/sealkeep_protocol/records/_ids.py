"""Ids of records (spec §7.1, §7.3, §7.6, §12): keyed hashes of what names a record, not stored where they
can be computed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from sealkeep_protocol import cbor
from sealkeep_protocol.records._fields import attachments_digest, content_to_fields, mark_to_fields, preview_to_fields
from sealkeep_protocol.records._model import (
    ContactKey,
    ContentRecord,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    NativeIdentity,
    Preview,
    Range,
    SourceIdentity,
)
from sealkeep_protocol.records._table import digest
from sealkeep_protocol.records._values import ID_SIZE, RANGES

MarkIdentity: TypeAlias = tuple[int | str | bytes | None, ...]

KEY_SIZE: Final = 32
_CACHED: Final = 4096  # conversations; a body holds records of few
_MARK_SEPARATORS: Final[Mapping[int, int]] = {
    MarkType.REVISION: 0x04,
    MarkType.SUPPLEMENT: 0x04,
    MarkType.REACTION: 0x05,
    MarkType.READ: 0x06,
    MarkType.TOMBSTONE: 0x07,
}
_TYPELESS: Final = frozenset({0x05, 0x06, 0x07})  # the separator tells the type


class HasContent(Protocol):
    """A message or a revision: what a content digest is taken of."""

    @property
    def text(self) -> str | None: ...
    @property
    def ranges(self) -> tuple[Range, ...] | None: ...
    @property
    def edited(self) -> int | None: ...


class RecordIds:
    """Computes record ids under the account's record-id key (32 bytes, spec §3.4). An id is 16 bytes.

    Raises `ValueError` or `TypeError` for identities that have no encoding.
    """

    __slots__ = ("_key", "_sources")

    def __init__(self, record_id_key: bytes) -> None:
        if len(record_id_key) != KEY_SIZE:
            raise ValueError(f"a record-id key is {KEY_SIZE} bytes")
        self._key = bytes(record_id_key)
        self._sources: dict[ConversationKey, Any] = {}

    def __repr__(self) -> str:
        return "RecordIds(…)"

    def __reduce__(self) -> tuple[type[RecordIds], tuple[bytes]]:
        return RecordIds, (self._key,)  # for another process of the same device

    def _hash(self, separator: int, item: Any) -> bytes:
        return hashlib.sha256(self._key + bytes([separator]) + cbor.encode(item)).digest()[:ID_SIZE]

    def contact(self, key: ContactKey) -> bytes:
        """Id of a contact (§7.1)."""
        return self._hash(0x03, list(key))

    def conversation(self, key: ConversationKey) -> bytes:
        """Id of a conversation (§7.1)."""
        return self._hash(0x02, list(key))

    # REC-05: "A reader MUST compute the id of every record itself."
    def source(self, conversation: ConversationKey, source: SourceIdentity) -> bytes:
        """Id of the message that `source` names in its conversation (§7.3): what a reply or a mark points at."""
        started = self._sources.get(conversation)
        if started is None:
            # CBOR of [app, scope, conversation, source] is a prefix that the conversation fixes, then the source.
            prefix = b"\x84" + b"".join(map(cbor.encode, conversation))
            started = hashlib.sha256(self._key + b"\x01" + prefix)
            if len(self._sources) >= _CACHED:
                self._sources.clear()
            self._sources[conversation] = started
        hasher = started.copy()
        hasher.update(_encode_source(source))
        found: bytes = hasher.digest()[:ID_SIZE]
        return found

    def native(self, identity: NativeIdentity) -> bytes:
        """Id of a message without a source (§7.3)."""
        return self._hash(0x00, list(identity))

    def message(self, message: Message) -> bytes:
        """Id of a message (§7.3)."""
        if message.source is not None:
            return self.source(message.conversation, message.source)
        if message.native is None:
            raise ValueError("a message has neither a source nor a native identity")
        return self.native(message.native)

    def messages(self, messages: Iterable[Message]) -> list[bytes]:
        """Ids of many messages, in their order."""
        return list(map(self.message, messages))

    def columns(
        self,
        conversations: Iterable[ConversationKey],
        sources: Iterable[SourceIdentity | None],
        natives: Iterable[NativeIdentity | None],
    ) -> list[bytes]:
        """Ids of many messages by their columns: of each, its source or its native identity is there."""
        return [
            self.native(native) if source is None and native is not None else self.source(chat, source or 0)
            for chat, source, native in zip(conversations, sources, natives, strict=True)
        ]

    def mark(self, mark: Mark) -> bytes:
        """Id of a mark (§7.6)."""
        identity = mark_identity(mark)
        separator = _MARK_SEPARATORS.get(mark.type, 0x08)
        return self._hash(separator, [mark.target, *(identity[1:] if separator in _TYPELESS else identity)])

    def content(self, record: ContentRecord) -> bytes:
        """Id of a content record (§12.2)."""
        return self._hash(0x09, [record.root, digest(content_to_fields(record))])

    def preview(self, preview: Preview) -> bytes:
        """Id of a preview (§12.3)."""
        return self._hash(0x0A, [preview.root, digest(preview_to_fields(preview))])


def mark_identity(mark: Mark) -> MarkIdentity:
    """What tells a mark from the others that point at its target, its type first (§7.6). Marks of one identity join."""
    if mark.type == MarkType.REVISION:
        return int(mark.type), content_digest(mark)
    if mark.type == MarkType.SUPPLEMENT:
        return int(mark.type), attachments_digest(mark.attachments or ())
    if mark.type == MarkType.REACTION:
        return int(mark.type), mark.key, mark.actor
    if mark.type == MarkType.READ:
        return int(mark.type), mark.actor
    if mark.type == MarkType.TOMBSTONE:
        return int(mark.type), None if mark.reason is None else int(mark.reason)
    return int(mark.type), digest(mark_to_fields(mark))


def content_digest(content: HasContent) -> bytes:
    """Digest of a text with its ranges and time of edit (§7.6): SHA-256 of CBOR [edited or 0, text, ranges or null]."""
    ranges = None if content.ranges is None else RANGES.write([content.ranges])[0]
    return digest([content.edited or 0, content.text, ranges])


def _encode_source(source: SourceIdentity) -> bytes:
    # Most sources are message numbers; the general encoder takes 2 µs.
    if type(source) is int and 0 <= source < 1 << 32:
        if source < 24:
            return source.to_bytes()
        if source < 1 << 8:
            return b"\x18" + source.to_bytes()
        if source < 1 << 16:
            return b"\x19" + source.to_bytes(2)
        return b"\x1a" + source.to_bytes(4)
    return cbor.encode(source)
