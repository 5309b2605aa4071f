"""Importing exports into the store: all of one call, or nothing of it.

A worker reads the exports, while this process puts what was read before into the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from sealkeep_client.importers import Export, Exports, ImportOptions, Problem, open_exports
from sealkeep_client.jobs.exports import ReadBatch, read_exports
from sealkeep_client.store import Put, Store, UploadClass, message_rows
from sealkeep_client.vault._importing_files import ImportedFiles
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._types import ImportReport, Progress
from sealkeep_client.workers import Worker, WorkerLostError

FRONT_FROM: Final = 5_000
"""New messages from which an import gets front segments (spec §6.3): about what fills one history segment."""

_WORTH_A_WORKER: Final = 4 << 20  # bytes of exports: fewer are read before a worker has started


def import_exports(
    local: Local,
    paths: Sequence[Path],
    options: ImportOptions,
    report: Callable[[Progress], None],
    worker: Worker,
) -> ImportReport:
    """Import all exports under `paths` in one transaction. Raises `SourceError`; the store is then as it was.

    Whoever closes `worker` meanwhile and has `report` raise, ends the import, whatever the worker waits for.
    """
    store = local.store
    exports = open_exports([str(path) for path in paths], options=options)
    total = sum(export.size for export in exports)
    if total >= _WORTH_A_WORKER and all(export.is_named for export in exports):
        try:
            with store.transaction():
                return _import(local, worker.stream(read_exports, exports, store.ids), exports, report)
        except WorkerLostError:
            # Killed for its memory, say. Nothing was imported, and without it only the time is longer.
            report(Progress("importing", 0, total, 0))
    with store.transaction():
        return _import(local, read_exports(exports, store.ids), exports, report)


def _import(
    local: Local, batches: Iterator[ReadBatch], exports: Exports, report: Callable[[Progress], None]
) -> ImportReport:
    store = local.store
    run = store.outbox.start_run()
    problems: list[Problem] = list(exports.problems)
    left_out: list[str] = []
    messages = 0
    put = Put()
    files = ImportedFiles(local, run, lambda done, count: report(Progress("attaching", done, None, count)))
    for batch in batches:
        put = put.plus(_take(store, batch, exports[batch.export], files, run))
        problems += batch.problems
        left_out += batch.left_out
        messages += len(batch.messages)
        report(Progress("importing", batch.done, batch.total, messages))
    if put.added >= FRONT_FROM:
        store.front.queue(run)
    return ImportReport(
        exports=len(exports),
        added=put.added,
        changed=put.changed,
        unchanged=put.unchanged,
        problems=(*problems, *files.problems),
        left_out=tuple(dict.fromkeys(left_out)),
        files=files.taken.files,
        file_bytes=files.taken.bytes,
        files_missing=files.taken.missing,
    )


def _take(store: Store, batch: ReadBatch, export: Export, files: ImportedFiles, run: int) -> Put:
    """Put one batch; returns what became of its messages."""
    # Not counted: what an export says of contacts and conversations moves with its newest message.
    store.put(contacts=batch.contacts, conversations=batch.conversations, upload=UploadClass.HISTORY, run=run)
    rows = message_rows(batch.messages, store.ids)
    messages = store.put(rows, upload=UploadClass.HISTORY, run=run, volatile=batch.volatile)
    # What is new about known messages changes them; marks themselves are no messages.
    marks = [*batch.marks, *files.supplements(export, batch.messages, rows)]
    news = store.put(marks=marks, upload=UploadClass.HISTORY, run=run)
    return messages if messages.added else messages.plus(Put(changed=news.added + news.changed))
