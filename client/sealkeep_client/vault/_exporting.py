"""Writing everything to one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sealkeep_client import exporting
from sealkeep_client.store import MessageEntry
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._making_previews import shown_preview
from sealkeep_client.vault._types import Progress
from sealkeep_protocol.errors import UsageError

_EVERY = 1000


def check_format(format: str) -> None:
    """Raises `UsageError` for a format that no writer has."""
    if format not in ("jsonl", "html"):
        raise UsageError("an export is jsonl or html")


def export(local: Local, out: Path, format: str, report: Callable[[Progress], None], files: Mapping[bytes, str]) -> int:
    """Write everything to a file, whole or not at all; `-` is standard output. Returns the number of records. `files` are
    those that were written beside it, relative to it, by the roots of their contents.

    Raises `StoreError` where the file cannot be written.
    """
    store, records = local.store, 0

    def counted() -> Iterator[Any]:
        nonlocal records
        for entry in store.views.everything():
            if isinstance(entry, MessageEntry):
                records += 1
                if records % _EVERY == 0:
                    report(Progress("exporting", records, None, records))
            yield entry

    with exporting.output(str(out)) as file:
        if format == "html":
            # FIL-10 is seen to by `shown_preview`: the browser decodes what it lets pass, and nothing is fetched for it.
            previews = partial(shown_preview, local)
            exporting.write_page(counted(), file, ids=store.ids, files=files, previews=previews)
        else:
            exporting.write_lines(counted(), file, ids=store.ids, files=files)
    return records
