"""Files of messages: taking them in, reading them, writing them out."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Final

from sealkeep_client.store import UploadClass
from sealkeep_client.vault._attachment_file import AttachmentFile
from sealkeep_client.vault._content_reader import ContentReader
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._files_out import Written, write_all
from sealkeep_client.vault._making_previews import preview, shown_preview
from sealkeep_client.vault._saving import save
from sealkeep_client.vault._shown import Shown
from sealkeep_client.vault._types import Chat, FileEntry, OnProgress, Progress, Record
from sealkeep_protocol.errors import StoreError, UsageError
from sealkeep_protocol.files import MAX_SIZE, PIECE_SIZE, Content
from sealkeep_protocol.records import Attachment, AttachmentState, Kind, Mark, MarkType, OrderKey, Preview

_AT_ONCE: Final = 16  # pieces that are taken in by one transaction
_PAGE: Final = 500  # records
_MAX_NAME: Final = 255
_NO_FILE: Final = "is no file of at most 8 GiB"
_ROLES: Final = {"image": ("photo", Kind.IMAGE), "video": ("video", Kind.VIDEO), "audio": ("audio", Kind.AUDIO)}


class Files:
    """The methods of `Vault` for files; each is described there. `written` is called after one was attached."""

    def __init__(self, core: Core, shown: Shown, written: Callable[[], None]) -> None:
        self._core = core
        self._shown = shown
        self._written = written

    # --- taking in ----------------------------------------------------------------------------------------------------

    async def attach(
        self,
        record: Record | bytes,
        path: Path,
        *,
        name: str | None = None,
        media_type: str | None = None,
        role: str | None = None,
        progress: OnProgress | None = None,
    ) -> Record:
        identifier = record if isinstance(record, bytes) else record.id
        if await self._core.in_store(lambda: self._core.store.views.message(identifier)) is None:
            raise UsageError("there is no such record in this vault")
        content = await self.take_in(path, progress)
        described = describe(path, content, name=name, media_type=media_type, role=role)
        found = await self._core.in_store(partial(self._supplement, identifier, described))
        self._written()
        return found

    async def take_in(self, path: Path, progress: OnProgress | None) -> Content:
        """Have the bytes of a file on this device's disk, durably. Raises `StoreError` where it cannot be read."""
        store = self._core.store
        file, size = await asyncio.to_thread(_open, path)
        with ExitStack() as stack:
            stack.callback(file.close)
            taking = await self._core.in_store(store.media.taking_in)
            stack.callback(taking.close)
            done = 0

            def add() -> int:
                data = b"".join(_read(file, path) for _ in range(_AT_ONCE))
                with store.transaction():
                    for start in range(0, len(data), PIECE_SIZE):
                        taking.add(data[start : start + PIECE_SIZE])
                return len(data)

            while more := await self._core.in_store(add):
                done += more
                if progress is not None:
                    progress(Progress("attaching", done, max(size, done), 1))

            def finish() -> Content:
                with store.transaction():
                    content = taking.finish()
                    preview(self._core.local, content, 0)
                return content

            return await self._core.in_store(finish)

    def _supplement(self, identifier: bytes, attachment: Attachment) -> Record:
        store = self._core.store
        entry = store.views.message(identifier)
        if entry is None:
            raise UsageError("there is no such record in this vault")
        if entry.view.tombstone is not None:
            raise UsageError("this record was recalled or deleted: nothing is attached to it any more")
        named = next((one for one in entry.view.message.attachments or () if _is_named(one, attachment)), None)
        if named is not None:  # it takes the place of what a source named and did not hold
            attachment = replace(named, size=attachment.size, state=attachment.state, root=attachment.root)
        store.put(marks=[Mark(MarkType.SUPPLEMENT, identifier, attachments=(attachment,))], upload=UploadClass.LIVE)
        found = self._shown.find(identifier)
        if found is None:
            raise UsageError("there is no such record in this vault")
        return found

    # --- reading ------------------------------------------------------------------------------------------------------

    async def open(self, record: Record | bytes, which: int | Attachment) -> AttachmentFile:
        attachment = which if isinstance(which, Attachment) else await self._attachment(record, which)
        if attachment.root is None:
            raise UsageError(_NOT_STORED[attachment.state == AttachmentState.MISSING])
        reader = ContentReader(self._core, attachment.root)
        return AttachmentFile(reader, attachment, (await reader.content()).size)

    async def save(
        self, record: Record | bytes, which: int | Attachment, out: Path, progress: OnProgress | None
    ) -> int:
        async with await self.open(record, which) as file:

            def taken(done: int) -> None:
                if progress is not None:
                    progress(Progress("fetching", done, file.size, 1))

            return await save(file.reader, out, taken=taken)

    async def _attachment(self, record: Record | bytes, index: int) -> Attachment:
        identifier = record if isinstance(record, bytes) else record.id
        found = await self._core.in_store(lambda: self._shown.find(identifier))
        if found is None:
            raise UsageError("there is no such record in this vault")
        attachments = found.view.message.attachments or ()
        if not 0 <= index < len(attachments):
            raise UsageError("this record has no such attachment")
        return attachments[index]

    async def entries(self, chat: Chat | None) -> AsyncIterator[FileEntry]:
        views = self._core.store.views

        def page(chat_id: bytes, before: OrderKey | None) -> list[tuple[Record, list[FileEntry]]]:
            records = self._shown.records(views.history(chat_id, before=before, limit=_PAGE))
            return [(record, self._entries(record)) for record in records]

        if chat is None:
            chats = await self._core.in_store(lambda: [view.id for view in views.conversations()])
        else:
            chats = [chat.id]
        for chat_id in chats:
            before: OrderKey | None = None
            while found := await self._core.in_store(partial(page, chat_id, before)):
                before = found[0][0].place
                for _, entries in reversed(found):
                    for entry in entries:
                        yield entry

    async def write_all(self, folder: Path, progress: OnProgress | None) -> Written:
        return await write_all(self._core, self.entries(None), folder, progress)

    async def of(self, record: Record | bytes) -> list[FileEntry]:
        identifier = record if isinstance(record, bytes) else record.id

        def load() -> list[FileEntry]:
            found = self._shown.find(identifier)
            if found is None:
                raise UsageError("there is no such record in this vault")
            return self._entries(found)

        return await self._core.in_store(load)

    def _entries(self, record: Record) -> list[FileEntry]:
        attachments = record.view.message.attachments or ()
        roots = [one.root for one in attachments if one.root is not None]
        whole = self._core.store.media.whole(roots) if roots else set()
        return [
            FileEntry(
                record, index, one, one.root in whole, one.root is not None and self._core.store.records.has(one.root)
            )
            for index, one in enumerate(attachments)
        ]

    async def preview(self, attachment: Attachment) -> Preview | None:
        root = attachment.root
        if root is None:
            return None
        return await self._core.in_store(lambda: shown_preview(self._core.local, root))

    async def here(self, attachments: Sequence[Attachment]) -> list[bool]:
        roots = [one.root for one in attachments if one.root is not None]
        whole = await self._core.in_store(lambda: self._core.store.media.whole(roots))
        return [one.root in whole for one in attachments]


_NOT_STORED: Final = (
    "this file was not in the export that names it: nobody has it but the app that it comes from",
    "this file was missing when the chat was exported: nobody has it but the app that it comes from",
)


def describe(
    path: Path, content: Content, *, name: str | None = None, media_type: str | None = None, role: str | None = None
) -> Attachment:
    """The attachment that a file is, by its name where nothing else is said."""
    shown = (path.name if name is None else name)[-_MAX_NAME:]
    kind = media_type or mimetypes.guess_type(shown)[0]
    return Attachment(
        role or role_of(kind)[0],
        name=shown or None,
        media_type=kind,
        size=content.size,
        state=AttachmentState.STORED,
        root=content.root,
    )


def role_of(media_type: str | None) -> tuple[str, Kind]:
    """The role of an attachment of this media type, and the kind of a message that is nothing but it."""
    return _ROLES.get((media_type or "").partition("/")[0], ("file", Kind.FILE))


def _is_named(placeholder: Attachment, attachment: Attachment) -> bool:
    """Whether an attachment that is not stored names the file that another one is."""
    if placeholder.root is not None or attachment.name is None:
        return False
    return attachment.name in (placeholder.name, (placeholder.path or "").replace("\\", "/").rpartition("/")[2])


def _open(path: Path) -> tuple[IO[bytes], int]:
    try:
        file = path.open("rb", buffering=0)
        found = os.fstat(file.fileno())
    except IsADirectoryError:
        raise UsageError(f"{path}: {_NO_FILE}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from error
    if found.st_size > MAX_SIZE:
        file.close()
        raise UsageError(f"{path}: {_NO_FILE}")
    return file, found.st_size


def _read(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(PIECE_SIZE)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from error
