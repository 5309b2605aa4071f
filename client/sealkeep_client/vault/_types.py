"""What the vault's public face takes and gives: plain values without a key, an epoch or a segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from sealkeep_client.importers import Problem
from sealkeep_client.vault._device_types import MissingKey, RosterChange
from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.records import (
    Attachment,
    ConversationKey,
    Direction,
    ExtensionMap,
    Kind,
    MessageView,
    Precision,
    Range,
    SourceIdentity,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be appended. Times are milliseconds since 1970, UTC; `time` None is now.

    `author` is a contact's source in the conversation's app; None for the person whose vault it is.
    """

    kind: Kind = Kind.TEXT
    text: str | None = None
    ranges: tuple[Range, ...] | None = None
    reply_to: SourceIdentity | bytes | None = None
    attachments: tuple[Attachment, ...] | None = None
    details: ExtensionMap | None = None
    extension: ExtensionMap | None = None
    author: str | None = None
    author_name: str | None = None
    direction: Direction = Direction.SENT
    time: int | None = None
    precision: Precision = Precision.MILLISECONDS
    offset: int | None = 0
    received: int | None = None


def Text(text: str, *, reply_to: SourceIdentity | bytes | None = None) -> Draft:  # noqa: N802 (reads as a kind of draft)
    """A draft that is a plain text message."""
    return Draft(text=text, reply_to=reply_to)


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation in the vault: `key` names it, `id` is its record id; `last` its newest time in ms.

    `awaited` segments that have still to come may hold more of it: a new device has the newest first.
    """

    key: ConversationKey
    id: bytes
    title: str
    type: int = 0
    messages: int = 0
    last: int | None = None
    reads: Mapping[str | None, bytes] = field(default_factory=dict)
    awaited: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it is shown: its id (16 bytes), its view, its place in the order of its conversation, and its
    author's name as the source or the contact has it (None: the system, or the person whose vault it is)."""

    id: bytes
    view: MessageView
    place: tuple[int, int, bytes]
    author: str | None = None

    @property
    def text(self) -> str | None:
        return self.view.message.text


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a record, by its index among the attachments. `here`: it is on this device, whole and to stay; `stored`: a
    device has said where the relay has it."""

    record: Record
    index: int
    attachment: Attachment
    here: bool
    stored: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a record that is being observed."""

    what: Literal["snapshot", "changed", "removed", "reset"]
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come. `total` is None where it is not known; the unit is the phase's own."""

    phase: Literal[
        "importing", "attaching", "reading", "writing", "uploading", "fetching", "verifying", "repairing", "exporting"
    ]
    done: int
    total: int | None = None
    records: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: messages that were new, changed something or were known; files that are new here, and such that
    messages name and the exports do not hold; and what could not be taken."""

    exports: int
    added: int
    changed: int
    unchanged: int
    problems: tuple[Problem, ...]
    left_out: tuple[str, ...]
    files: int = 0
    file_bytes: int = 0
    files_missing: int = 0


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote: records, and files with their bytes where they were asked for; `files_missing` nobody could
    give."""

    records: int
    files: int = 0
    file_bytes: int = 0
    files_missing: int = 0


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """What one sync did: records and segments received and sent, files that were brought to the relay, and segments whose
    author wrote what nobody can read.

    `unopened` segments are kept until this device gets their key. `locked_by` names the device that changed the account's
    keys and gave this one none that opens: until another device mends that, nothing is sent. `enrolled` is set where this
    home turned out to be a copy: it goes on under another device number. `closing`: a recovery kit has closed the account,
    and until 30 days after that an older one can take it back. Of `awaited` segments the records have still to come.
    `missing` are the keys that unopened segments wait for. `changes` are those of devices and kits that were made
    elsewhere since the last sync that told of any.
    """

    received: int
    sent: int
    segments_received: int
    segments_sent: int
    unreadable: tuple[PeerError, ...]
    unopened: int = 0
    locked_by: str | None = None
    enrolled: Enrolled | None = None
    closing: bool = False
    files_sent: int = 0
    awaited: int = 0
    missing: tuple[MissingKey, ...] = ()
    changes: tuple[RosterChange, ...] = ()

    def then(self, later: SyncSummary) -> SyncSummary:
        """What this and a later sync did together."""
        return replace(
            later,
            received=self.received + later.received,
            sent=self.sent + later.sent,
            segments_received=self.segments_received + later.segments_received,
            segments_sent=self.segments_sent + later.segments_sent,
            unreadable=(*self.unreadable, *later.unreadable),
            unopened=max(self.unopened, later.unopened),
            enrolled=self.enrolled or later.enrolled,
            files_sent=self.files_sent + later.files_sent,
            changes=(*self.changes, *later.changes),
        )


@dataclass(frozen=True, slots=True)
class Enrolled:
    """That this home has become device `number` of its account, named `name`; before it was device `before`."""

    before: int
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A stretch of what device `device` wrote that the relay lacks and that is not here whole: its numbers there, and
    whether the device was removed, so that it can be given up with the oldest recovery kit (`Vault.remove`)."""

    device: int
    first: int
    last: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair brought back to the relay: entries of the account's roster, and segments; and what it could not."""

    entries: int
    segments: int
    missing: tuple[Lost, ...]
    enrolled: Enrolled | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Two words, the code of four that this device shows for them, and what that covers: the number of the newest entry
    of the roster, and (device, name, number of its last segment) for each device that has written."""

    words: tuple[str, str]
    code: tuple[str, ...]
    entry: int
    feeds: tuple[tuple[int, str, int], ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The vault at a glance. `waiting` counts records that are not on the relay yet, `files_waiting` files, `files_damaged`
    such whose bytes on this device are not what was written; sizes are
    bytes, times ms.

    Of `awaited` segments the records have still to come, with the next syncs: about `awaited_records` in `awaited_bytes`.
    `unopened`, `locked_by` and `closing` are as in `SyncSummary`; `removed_by` names who removed this device from the
    account.
    """

    relay: str
    account: bytes
    device: int
    device_name: str
    devices: int
    conversations: int
    messages: int
    waiting: int
    last_sync: int | None
    used: int
    allowed: int
    size: int
    unreadable: tuple[str, ...]
    unopened: int = 0
    locked_by: str | None = None
    removed_by: str | None = None
    closing: bool = False
    files_waiting: int = 0
    file_bytes_waiting: int = 0
    files_damaged: int = 0
    awaited: int = 0
    awaited_records: int = 0
    awaited_bytes: int = 0
    missing: tuple[MissingKey, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` read again from the relay and proved; `unopened` segments it holds, and this device lacks their
    key.

    `files` are at the relay by its word, and by their bytes where `file_bytes` of them were read; those that other devices
    stored in the segments `unavailable`, by device and seq, are not.
    """

    entries: int
    segments: int
    records: int
    bytes: int
    unreadable: tuple[PeerError, ...]
    unopened: int = 0
    files: int = 0
    unavailable: tuple[tuple[int, int], ...] = ()
    file_bytes: int | None = None
    missing: tuple[MissingKey, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkCode:
    """What a new device shows so that an old one lets it in: `words` to be typed, `full` for a QR code. Either serves
    once, for so many seconds, and is a secret as long."""

    words: str = field(repr=False)
    full: str = field(repr=False)
    seconds: int


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A device that wants to join, as it calls itself, and the confirmation words that it shows if nobody stands
    between the two."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """A device that was let in, by its number and name."""

    device: int
    name: str


@dataclass(frozen=True, slots=True)
class SyncState:
    """What the background sync is doing. `error` says why it is offline, only reads (`full`: the relay has no room for
    what waits here) or has stopped; `retry_in` is in seconds."""

    state: Literal["syncing", "idle", "offline", "full", "stopped"]
    error: Exception | None = None
    retry_in: float | None = None
    summary: SyncSummary | None = None
