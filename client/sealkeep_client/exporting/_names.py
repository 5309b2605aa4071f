"""Names as people see them: of contacts, authors and conversations."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

from sealkeep_client.store import ConversationView
from sealkeep_protocol.records import Attachment, AttachmentState, Contact, ContactKey, Message

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u202a-\u202e\u2066-\u2069]')
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?\Z", re.IGNORECASE)
_LONGEST_NAME: Final = 120  # characters


class Names:
    """The names of the contacts that an export has met so far: a view tells all of them before its messages."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[ContactKey, str] = {}

    def meet(self, contact: Contact) -> str:
        """Remember a contact; returns the name that it is shown by."""
        name = contact.remark or contact.name or contact.alias or contact.key.source
        self._names[contact.key] = name
        return name

    def author(self, message: Message) -> str | None:
        """The name that is shown beside a message: the one it came with, then its author's; None for the system."""
        if message.author_name is not None:
            return message.author_name
        if message.author is None:
            return None
        return self.of(message.conversation.app, message.conversation.scope, message.author)

    def of(self, app: str, scope: str, source: str) -> str:
        """The name of a contact, its source where nothing else is known."""
        # A key is a tuple of three texts; making one of its own type for a look-up takes longer than the look-up.
        return self._names.get((app, scope, source), source)  # type: ignore[call-overload, no-any-return]


def title_of(conversation: ConversationView) -> str:
    """The title of a conversation, its source where it has none."""
    title = conversation.record.title if conversation.record else ""
    return title or conversation.key.source


def attachment_name(attachment: Attachment) -> str:
    """What a file is called: as its source named it, or by its role and media type."""
    named = attachment.name or (attachment.path or "").replace("\\", "/").rpartition("/")[2]
    if named and attachment.state != AttachmentState.MISSING:
        return named
    suffix = mimetypes.guess_extension(attachment.media_type or "") or ""
    return f"{attachment.role or 'file'}{suffix}"


def safe_name(name: str) -> str:
    """A name that every file system takes, and that leads nowhere: whoever sent the file chose it."""
    safe = _UNSAFE.sub("_", name).strip(" .") or "file"
    if _RESERVED.match(safe):
        safe = f"_{safe}"
    stem, dot, suffix = safe.rpartition(".")
    if len(safe) > _LONGEST_NAME and dot and len(suffix) < 16:
        return f"{stem[: _LONGEST_NAME - len(suffix) - 1]}.{suffix}"
    return safe[:_LONGEST_NAME]
