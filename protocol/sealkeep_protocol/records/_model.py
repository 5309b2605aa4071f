"""What a record is: contacts, conversations, messages, marks (spec §7.1–§7.6), content records and previews (§12).

The numbers are wire values: they stand in bodies that must be readable in twenty years, and never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from sealkeep_protocol.files import ContentRecord as ContentRecord

# What the extension maps hold (spec §7.3): JSON's values with fractions as text.
Value: TypeAlias = "str | int | bool | bytes | Sequence[Value] | Mapping[str, Value] | None"
ExtensionMap: TypeAlias = Mapping[str, Value]

# A source identity: what names a message inside its conversation, in its source (spec §7.4).
SourceIdentity: TypeAlias = "int | str | tuple[SourceIdentity | bytes, ...]"


class ConversationKey(NamedTuple):
    """Names a conversation by its source: the app, the scope of its identifiers, and the app's own identifier."""

    app: str
    scope: str
    source: str


class ContactKey(NamedTuple):
    """Names a contact by its source, as `ConversationKey` does a conversation."""

    app: str
    scope: str
    source: str


class NativeIdentity(NamedTuple):
    """Identity of a record that has no source (spec §7.3, field 3)."""

    device: int
    clock: int
    salt: bytes
    ordinal: int


class Precision(IntEnum):
    """How finely the source knew a time (spec §7.3, field 5)."""

    MILLISECONDS = 0
    SECONDS = 1
    MINUTES = 2
    DAYS = 3


class Direction(IntEnum):
    """Whether the person received or sent a message (spec §7.3, field 12)."""

    RECEIVED = 1
    SENT = 2


class ConversationType(IntEnum):
    """Spec §7.2, field 5 of a conversation."""

    UNKNOWN = 0
    ONE_TO_ONE = 1
    GROUP = 2
    CHANNEL = 3
    NOTES = 4
    BOT = 5


class Kind(IntEnum):
    """Kinds of messages (spec §7.5)."""

    UNKNOWN = 0
    TEXT = 1
    IMAGE = 2
    VIDEO = 3
    ROUND_VIDEO = 4
    ANIMATION = 5
    VOICE = 6
    AUDIO = 7
    FILE = 8
    STICKER = 9
    LOCATION = 10
    CONTACT_CARD = 11
    LINK = 12
    MERGED_FORWARD = 13
    POLL = 14
    CALL = 15
    MONEY = 16
    POKE = 17
    VIEW_ONCE = 18
    RECALL = 19
    SERVICE = 20


class RangeType(IntEnum):
    """Types of text ranges (spec §7.5)."""

    OTHER = 0
    BOLD = 1
    ITALIC = 2
    UNDERLINE = 3
    STRIKETHROUGH = 4
    CODE = 5
    PREFORMATTED = 6
    SPOILER = 7
    BLOCK_QUOTE = 8
    MENTION = 16
    MENTION_NAME = 17
    HASHTAG = 18
    CASHTAG = 19
    BOT_COMMAND = 20
    LINK = 21
    TEXT_LINK = 22
    EMAIL = 23
    PHONE = 24
    CUSTOM_EMOJI = 25
    BANK_CARD = 26


class Range(NamedTuple):
    """A stretch of a text, in code points (spec §7.5)."""

    type: int
    start: int
    length: int
    value: str | None = None


class AttachmentState(IntEnum):
    """What is known of an attachment's content (spec §7.5, field 9)."""

    STORED = 0
    NAMED = 1
    MISSING = 2


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that belongs to a message: what the source says of it (spec §7.5). Sizes in bytes, duration in ms."""

    role: str
    name: str | None = None
    media_type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    path: str | None = None
    state: int = AttachmentState.NAMED
    root: bytes | None = None  # of the content, 32 bytes: there exactly when that is stored


class MarkType(IntEnum):
    """Types of marks (spec §7.6)."""

    REVISION = 1
    SUPPLEMENT = 2
    REACTION = 3
    READ = 4
    TOMBSTONE = 5


class TombstoneReason(IntEnum):
    """Why a record is gone (spec §7.6, field 12)."""

    RECALLED = 1
    RECALLED_BY_ADMIN = 2
    DELETED = 3


@dataclass(frozen=True, slots=True)
class Contact:
    """A person, bot or channel as its source shows it (spec §7.2)."""

    key: ContactKey
    name: str | None = None
    remark: str | None = None
    alias: str | None = None
    avatar: str | None = None
    rank: int = 0
    extension: ExtensionMap | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat as its source shows it (spec §7.2)."""

    key: ConversationKey
    title: str
    type: int = ConversationType.UNKNOWN
    rank: int = 0
    extension: ExtensionMap | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message (spec §7.3). Exactly one of `source` and `native` is given; times are milliseconds."""

    conversation: ConversationKey
    time: int
    kind: int
    source: SourceIdentity | None = None
    native: NativeIdentity | None = None
    precision: int = Precision.SECONDS
    offset: int | None = None
    received: int | None = None
    rank: int = 0
    author: str | None = None
    author_name: str | None = None
    direction: int | None = None
    text: str | None = None
    ranges: tuple[Range, ...] | None = None
    edited: int | None = None
    reply_to: SourceIdentity | bytes | None = None
    quote: ExtensionMap | None = None
    thread: SourceIdentity | None = None
    forwarded: ExtensionMap | None = None
    expires: int | None = None
    pinned: bool | None = None
    attachments: tuple[Attachment, ...] | None = None
    details: ExtensionMap | None = None
    extension: ExtensionMap | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A record that points at a target (spec §7.6). `target` is a record id of 16 bytes."""

    type: int
    target: bytes
    clock: int | None = None
    actor: str | None = None
    edited: int | None = None
    text: str | None = None
    ranges: tuple[Range, ...] | None = None
    attachments: tuple[Attachment, ...] | None = None
    key: str | None = None
    count: int | None = None
    time: int | None = None
    reason: int | None = None
    extension: ExtensionMap | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A small picture that stands for a content (spec §12.3). Width and height in pixels; `root` is the content's."""

    root: bytes
    media_type: str
    picture: bytes
    width: int
    height: int
