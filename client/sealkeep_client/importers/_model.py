"""What an importer yields: exports, read as batches of records, with everything that did not fit counted.

An `Export` is read in one pass and in bounded memory, so that damage near the end of a file shows only there: the reader
of `batches()` MUST keep all batches of one import in one transaction and roll it back on `SourceError`. The vault is then
as it was before the import.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

from sealkeep_protocol.records import (
    Attachment,
    AttachmentState,
    Contact,
    Conversation,
    ConversationKey,
    Mark,
    Message,
    MessageColumns,
    SourceIdentity,
)

from ._files import ExportFiles, files_beside
from ._source import Source, Stream

DateOrder: TypeAlias = Literal["dmy", "mdy", "ymd"]

BATCH = 2_000
BATCH_CHARACTERS = 3 << 19
"""Of the source, at which a batch ends however few messages it has: memory must not grow with what people write."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the person may say about exports that do not say it themselves.

    `date_order` settles day and month of WhatsApp exports, where nothing in them and in the files beside them does.
    """

    date_order: DateOrder | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a good export that could not be taken as it stands; the rest of the export was.

    `line` counts from 1, where the format has lines. The reason quotes nothing of the chat.
    """

    path: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SourceMark:
    """A mark whose target is named by its source: record ids need the account's record-id key (spec §7.1)."""

    conversation: ConversationKey
    target: SourceIdentity
    mark: Mark

    def resolve(self, record_id: Callable[[ConversationKey, SourceIdentity], bytes]) -> Mark:
        """The mark with its target's record id in place."""
        return replace(self.mark, target=record_id(self.conversation, self.target))


@dataclass(slots=True)
class Batch:
    """A stretch of an export, in the order of the file.

    `left_out` names parts of the source that are no chat records and are not kept; `characters` of the source were read for
    it, and `position` bytes of `Export.size` up to its end. Contacts and conversations come after the messages that name
    them.
    """

    contacts: list[Contact] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    messages: list[Message] | MessageColumns = field(default_factory=list)
    marks: list[SourceMark] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    characters: int = 0
    position: int = 0

    def __len__(self) -> int:
        return len(self.messages) + len(self.marks)

    def add(self, message: Message) -> None:
        """Add a message behind the others."""
        if isinstance(self.messages, MessageColumns):
            self.messages = list(self.messages)
        self.messages.append(message)

    def is_full(self, size: int) -> bool:
        """Whether it is time for the next one."""
        return len(self) >= size or len(self.problems) >= size or self.characters >= BATCH_CHARACTERS

    def __bool__(self) -> bool:
        return bool(
            len(self.messages) or self.marks or self.contacts or self.conversations or self.problems or self.left_out
        )


class Export(ABC):
    """One recognised export: a file, or a file inside a zip.

    `is_named` says whether another process finds it by its path. `volatile` names the keys of an extension map that change
    from one export to the next without the message having changed. They are kept with the first copy; a copy that differs
    in nothing else says nothing new.
    """

    app: ClassVar[str]
    volatile: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self.size = source.size
        self.is_named = source.is_named
        self._files: ExportFiles = files_beside(source)

    def open_file(self, attachment: Attachment) -> tuple[Stream, int] | None:
        """The file that an attachment of this export names, opened, and its size; None where the export does not hold it.

        Raises `OutsideError` where the name leads out of the export, and `SourceError` for a file that cannot be read.
        """
        return self._files.open(self.places(attachment)) if attachment.state == AttachmentState.NAMED else None

    def places(self, attachment: Attachment) -> Iterator[str]:
        """Where in this export the file of an attachment may lie: paths relative to the export, the likeliest first."""
        if attachment.path is not None:
            yield attachment.path

    @abstractmethod
    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """Read the export from its beginning, about `size` messages and marks at a time, fewer where they are large.

        Raises `SourceError` as soon as the source proves not to be what it seemed: what was read before does not count.
        """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"


@dataclass(frozen=True, slots=True)
class Exports:
    """All exports under the paths that were given, and the files among them that look like one but are none."""

    items: tuple[Export, ...]
    problems: tuple[Problem, ...] = ()

    def __iter__(self) -> Iterator[Export]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Export:
        return self.items[index]
