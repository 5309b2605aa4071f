"""Importers: exports of chat apps, read as records (spec §7.4).

    for export in open_exports(["result.json", "wechat/", "WhatsApp Chat - Ann.zip"]):
        for batch in export.batches():
            ...  # batch.contacts, .conversations, .messages, .marks, .problems

The same export gives the same records again, and overlapping exports give the same records where they overlap. Files are
streamed; memory does not grow with them. Damage may show only at a file's end: all that is read of an import belongs into
one transaction, which a `SourceError` rolls back.
"""

from __future__ import annotations

from ._detect import open_exports
from ._model import BATCH, Batch, DateOrder, Export, Exports, ImportOptions, Problem, SourceMark

__all__ = [
    "BATCH",
    "Batch",
    "DateOrder",
    "Export",
    "Exports",
    "ImportOptions",
    "Problem",
    "SourceMark",
    "open_exports",
]
