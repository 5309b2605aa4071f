"""The fields of each table (spec §7.2, §7.3, §7.6, §12.2, §12.3), and single records as maps of fields.

The numbers are wire values and never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sealkeep_protocol.files import check_record
from sealkeep_protocol.records import _values as v
from sealkeep_protocol.records._model import (
    Attachment,
    Contact,
    ContactKey,
    ContentRecord,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    Preview,
)
from sealkeep_protocol.records._table import Columns, Field, Form, Row, Table, digest, record_size
from sealkeep_protocol.records._values import Item, malformed


def _check_identities(count: int, columns: Columns) -> None:
    none = (None,) * count
    for source, native in zip(columns.get(2, none), columns.get(3, none), strict=True):
        if (source is None) is (native is None):
            malformed("a message without exactly one of a source identity and a native identity")


# The fields that a mark of a type cannot be without (§7.6).
_MARK_NEEDS: Final[Mapping[int, tuple[int, ...]]] = {
    MarkType.REVISION: (6,),
    MarkType.SUPPLEMENT: (8,),
    MarkType.REACTION: (9, 10),
    MarkType.TOMBSTONE: (12,),
}


def _check_needs(count: int, columns: Columns) -> None:
    for index in range(count):
        mark_type = columns[1][index]
        for number in _MARK_NEEDS.get(mark_type, ()):
            if number not in columns or columns[number][index] is None:
                malformed(f"a mark of type {mark_type} without its field {number}")


def _check_contents(count: int, columns: Columns) -> None:
    pieces = columns.get(6, (None,) * count)
    # Each once: a constant or a dictionary is a cheap way to make 65,536 of them.
    for values in set(zip(*(columns[number] for number in range(1, 6)), pieces, strict=True)):
        check_record(ContentRecord(*values))


_D, _S = Form.DICTIONARY, Form.DELTA

CONTACTS: Final = Table(
    1,
    Contact,
    (
        Field(1, "app", v.TEXT, _D, True),
        Field(2, "scope", v.TEXT, _D, True),
        Field(3, "source", v.TEXT, required=True),
        Field(4, "name", v.TEXT),
        Field(5, "remark", v.TEXT),
        Field(6, "alias", v.TEXT),
        Field(7, "avatar", v.TEXT),
        Field(8, "rank", v.INTEGER, _S, True),
        Field(9, "extension", v.MAP),
    ),
    key=ContactKey,
)

CONVERSATIONS: Final = Table(
    2,
    Conversation,
    (
        Field(1, "app", v.TEXT, _D, True),
        Field(2, "scope", v.TEXT, _D, True),
        Field(3, "source", v.TEXT, required=True),
        Field(4, "title", v.TEXT, required=True),
        Field(5, "type", v.UNSIGNED, required=True),
        Field(8, "rank", v.INTEGER, _S, True),
        Field(9, "extension", v.MAP),
    ),
    key=ConversationKey,
)

MESSAGES: Final = Table(
    3,
    Message,
    (
        Field(1, "conversation", v.CONVERSATION, _D, True),
        Field(2, "source", v.SOURCE, _S),
        Field(3, "native", v.NATIVE),
        Field(4, "time", v.TIME, _S, True),
        Field(5, "precision", v.PRECISION, required=True),
        Field(6, "offset", v.OFFSET),
        Field(7, "received", v.TIME, _S),
        Field(8, "rank", v.UNSIGNED, _S, True),
        Field(9, "kind", v.KIND, required=True),
        Field(10, "author", v.TEXT, _D),
        Field(11, "author_name", v.TEXT, _D),
        Field(12, "direction", v.DIRECTION),
        Field(13, "text", v.TEXT),
        Field(14, "ranges", v.RANGES),
        Field(15, "edited", v.TIME),
        Field(16, "reply_to", v.REPLY),
        Field(17, "quote", v.MAP),
        Field(18, "thread", v.SOURCE),
        Field(19, "forwarded", v.MAP),
        Field(20, "expires", v.TIME),
        Field(21, "pinned", v.BOOLEAN),
        Field(22, "attachments", v.ATTACHMENTS),
        Field(23, "details", v.MAP),
        Field(24, "extension", v.MAP),
    ),
    rule=_check_identities,
)

MARKS: Final = Table(
    4,
    Mark,
    (
        Field(1, "type", v.MARK_TYPE, required=True),
        Field(2, "target", v.ID, required=True),
        Field(3, "clock", v.UNSIGNED, _S),
        Field(4, "actor", v.TEXT, _D),
        Field(5, "edited", v.TIME),
        Field(6, "text", v.TEXT),
        Field(7, "ranges", v.RANGES),
        Field(8, "attachments", v.ATTACHMENTS),
        Field(9, "key", v.TEXT, _D),
        Field(10, "count", v.UNSIGNED),
        Field(11, "time", v.TIME),
        Field(12, "reason", v.REASON),
        Field(13, "extension", v.MAP),
    ),
    rule=_check_needs,
)

CONTENTS: Final = Table(
    5,
    ContentRecord,
    (
        Field(1, "root", v.HASH, required=True),
        Field(2, "size", v.CONTENT_SIZE, required=True),
        Field(3, "epoch", v.EPOCH, required=True),
        Field(4, "chunks", v.HASHES, required=True),
        Field(5, "hashes", v.HASHES, required=True),
        Field(6, "pieces", v.UNSIGNED),
    ),
    rule=_check_contents,
    name="content record",
)

PREVIEWS: Final = Table(
    6,
    Preview,
    (
        Field(1, "root", v.HASH, required=True),
        Field(2, "media_type", v.PREVIEW_TYPE, _D, required=True),
        Field(3, "picture", v.PICTURE, required=True),
        Field(4, "width", v.PIXELS, required=True),
        Field(5, "height", v.PIXELS, required=True),
    ),
)


def messages_to_fields(messages: Sequence[Message]) -> list[dict[int, Item]]:
    """Messages as `{field number: value}` (spec §7.3), many at once: several times as fast as one by one.

    Raises `ValueError` where a value is not allowed.
    """
    return MESSAGES.to_rows(messages)


def messages_from_fields(rows: Sequence[Row]) -> list[Message]:
    """The messages of such maps, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return MESSAGES.from_rows(rows)


def contacts_to_fields(contacts: Sequence[Contact]) -> list[dict[int, Item]]:
    """Contacts as `{field number: value}` (spec §7.2), many at once. Raises `ValueError` as one by one."""
    return CONTACTS.to_rows(contacts)


def contacts_from_fields(rows: Sequence[Row]) -> list[Contact]:
    """The contacts of such maps, many at once. Raises `MalformedError`."""
    return CONTACTS.from_rows(rows)


def message_to_fields(message: Message) -> dict[int, Item]:
    """A message as `{field number: value}` (spec §7.3). Raises `ValueError` where a value is not allowed."""
    return MESSAGES.to_rows([message])[0]


def message_from_fields(fields: Row) -> Message:
    """The message of such a map, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return MESSAGES.from_rows([fields])[0]


def mark_to_fields(mark: Mark) -> dict[int, Item]:
    """A mark as `{field number: value}` (spec §7.6). Raises `ValueError` where a value is not allowed."""
    return MARKS.to_rows([mark])[0]


def mark_from_fields(fields: Row) -> Mark:
    """The mark of such a map, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return MARKS.from_rows([fields])[0]


def contact_to_fields(contact: Contact) -> dict[int, Item]:
    """A contact as `{field number: value}` (spec §7.2). Raises `ValueError` where a value is not allowed."""
    return CONTACTS.to_rows([contact])[0]


def contact_from_fields(fields: Row) -> Contact:
    """The contact of such a map, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return CONTACTS.from_rows([fields])[0]


def conversation_to_fields(conversation: Conversation) -> dict[int, Item]:
    """A conversation as `{field number: value}` (spec §7.2). Raises `ValueError` where a value is not allowed."""
    return CONVERSATIONS.to_rows([conversation])[0]


def conversation_from_fields(fields: Row) -> Conversation:
    """The conversation of such a map, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return CONVERSATIONS.from_rows([fields])[0]


def content_to_fields(record: ContentRecord) -> dict[int, Item]:
    """A content record as `{field number: value}` (spec §12.2). Raises `ValueError` where a value is not allowed."""
    return CONTENTS.to_rows([record])[0]


def content_from_fields(fields: Row) -> ContentRecord:
    """The content record of such a map, checked as a body is (FIL-06); fields from 64 on are skipped.

    Raises `MalformedError`.
    """
    return CONTENTS.from_rows([fields])[0]


def preview_to_fields(preview: Preview) -> dict[int, Item]:
    """A preview as `{field number: value}` (spec §12.3). Raises `ValueError` where a value is not allowed."""
    return PREVIEWS.to_rows([preview])[0]


def preview_from_fields(fields: Row) -> Preview:
    """The preview of such a map, checked as a body is; fields from 64 on are skipped. Raises `MalformedError`."""
    return PREVIEWS.from_rows([fields])[0]


def encoded_size(message: Message) -> int:
    """Bytes of a message on its own, as REC-04 counts them: at most `MAX_RECORD`. Raises `ValueError` as encoding does."""
    return record_size(message_to_fields(message))


def attachments_digest(attachments: Iterable[Attachment]) -> bytes:
    """Digest of a supplement's attachments (spec §7.6)."""
    return digest([v.write_attachment(attachment) for attachment in attachments])
