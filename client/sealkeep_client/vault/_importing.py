"""Importing exports into the store: all of one call, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sealkeep_client.importers import Batch, Export, ImportOptions, Problem, open_exports
from sealkeep_client.store import Put, Store, UploadClass
from sealkeep_client.vault._types import ImportReport, Progress

FRONT_FROM: Final = 5_000
"""New messages from which an import gets front segments (spec §6.3): about what fills one history segment."""

_BATCH: Final = 4_000


def import_exports(
    store: Store, paths: Sequence[Path], options: ImportOptions, report: Callable[[Progress], None]
) -> ImportReport:
    """Import all exports under `paths` in one transaction. Raises `SourceError`; the store is then as it was."""
    exports = open_exports([str(path) for path in paths], options=options)
    problems: list[Problem] = list(exports.problems)
    left_out: list[str] = []
    total, done, messages = sum(export.size for export in exports), 0, 0
    put = Put()
    with store.transaction():
        run = store.outbox.start_run()
        for export in exports:
            for batch in export.batches(_BATCH):
                put = put.plus(_take(store, export, batch, run))
                problems += batch.problems
                left_out += batch.left_out
                messages += len(batch.messages)
                report(Progress("importing", done + batch.position, total, messages))
            done += export.size
        if put.added >= FRONT_FROM:
            store.outbox.queue_front(run)
    return ImportReport(
        exports=len(exports),
        added=put.added,
        changed=put.changed,
        unchanged=put.unchanged,
        problems=tuple(problems),
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _take(store: Store, export: Export, batch: Batch, run: int) -> Put:
    """Put one batch; returns what became of its messages."""
    ids = store.ids
    # Not counted: what an export says of contacts and conversations moves with its newest message.
    store.put(contacts=batch.contacts, conversations=batch.conversations, upload=UploadClass.HISTORY, run=run)
    marks = [mark.resolve(ids.source) for mark in batch.marks]
    messages = store.put(batch.messages, upload=UploadClass.HISTORY, run=run, volatile=export.volatile)
    # What is new about known messages changes them; marks themselves are no messages.
    news = store.put(marks=marks, upload=UploadClass.HISTORY, run=run)
    return messages if messages.added else messages.plus(Put(changed=news.added + news.changed))
