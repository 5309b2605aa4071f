"""Taking in the files that an import's messages name: in the transaction of the import, a few pieces in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from sealkeep_client.importers import Export, Problem
from sealkeep_client.store import MessageRows
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._making_previews import preview
from sealkeep_protocol.errors import SourceError
from sealkeep_protocol.files import PIECE_SIZE, Content
from sealkeep_protocol.records import Attachment, AttachmentState, Mark, MarkType, MessageColumns

_REMEMBERED: Final = 20_000  # files by path: a sticker is sent a thousand times
_ATTACHMENTS: Final = 22  # field of a message


class Taken(NamedTuple):
    """What an import did with files: such that were not here before, with their bytes, and such that a message names and
    the export does not hold."""

    files: int = 0
    bytes: int = 0
    missing: int = 0


class ImportedFiles:
    """The files of one import. `report` is called with bytes and files as they are taken in."""

    def __init__(self, local: Local, run: int, report: Callable[[int, int], None]) -> None:
        self._local = local
        self._run = run
        self._store = local.store
        self._report = report
        self._by_path: dict[tuple[str, str], Content] = {}
        self.taken = Taken()
        self.problems: list[Problem] = []

    def supplements(self, export: Export, messages: MessageColumns, rows: MessageRows) -> list[Mark]:
        """Take in what a batch of messages names; returns the supplements that say so. The messages are stored already."""
        named = [
            (record_id, attachments)
            for record_id, attachments in zip(rows.ids, messages.columns.get(_ATTACHMENTS, ()), strict=False)
            if attachments
        ]
        gone = self._store.gone([record_id for record_id, _ in named])
        marks = []
        for record_id, attachments in named:
            if record_id in gone:  # recalled, or deleted: its files do not come back
                continue
            stored = [one for one in (self._take(export, attachment) for attachment in attachments) if one is not None]
            if stored:
                marks.append(Mark(MarkType.SUPPLEMENT, record_id, attachments=tuple(stored)))
        return marks

    def _take(self, export: Export, attachment: Attachment) -> Attachment | None:
        """The attachment with its content, where the export holds that."""
        key = (export.path, f"{attachment.path}|{attachment.name}|{attachment.role}")
        content = self._by_path.get(key)
        if content is None:
            try:
                content = self._read(export, attachment)
            except SourceError as error:
                where = error.path or export.path
                self.problems.append(Problem(where, error.line, str(error).removeprefix(f"{where}: ")))
            if content is None:
                self.taken = self.taken._replace(missing=self.taken.missing + 1)
                return None
            if len(self._by_path) < _REMEMBERED:
                self._by_path[key] = content
        size = content.size if attachment.size is None else attachment.size
        return replace(attachment, size=size, state=AttachmentState.STORED, root=content.root)

    def _read(self, export: Export, attachment: Attachment) -> Content | None:
        opened = export.open_file(attachment)
        if opened is None:
            return None
        stream, _ = opened
        read = 0
        with stream, self._store.media.taking_in() as taking:
            while data := stream.read(PIECE_SIZE):
                taking.add(data)
                read += len(data)
                self._report(self.taken.bytes + read, self.taken.files)
            content = taking.finish()
        if taking.is_new:
            self.taken = self.taken._replace(files=self.taken.files + 1, bytes=self.taken.bytes + content.size)
            preview(self._local, content, self._run)
        return content
