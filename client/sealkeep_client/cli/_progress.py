"""Progress of long work: a bar on standard error, where that is a terminal; otherwise nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sealkeep_client.cli._output import size

if TYPE_CHECKING:
    from rich.progress import TaskID

    from sealkeep_client.vault import Progress

_IN_BYTES: Final = frozenset({"attaching", "uploading", "fetching"})
_PHASES: Final = {
    "importing": "Importing",
    "attaching": "Taking in",
    "reading": "Receiving",
    "writing": "Sending",
    "uploading": "Uploading",
    "fetching": "Fetching",
    "verifying": "Verifying",
    "repairing": "Repairing",
    "exporting": "Exporting",
}


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """Gives what a vault reports its progress to, or None where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description:9}"),
        BarColumn(bar_width=32),
        TextColumn("{task.fields[told]:>22}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def report(step: Progress) -> None:
        bar.start()  # not before there is something to show
        if step.phase not in tasks:
            tasks[step.phase] = bar.add_task(_PHASES.get(step.phase, step.phase), total=step.total, told="")
        told = size(step.done) if step.phase in _IN_BYTES else f"{step.records:,} messages"
        bar.update(tasks[step.phase], completed=step.done, total=step.total, told=told)

    try:
        yield report
    finally:
        bar.stop()
