"""`export`: everything out again, as JSON lines or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sealkeep_client.cli._app import App, pass_app
from sealkeep_client.cli._awaited import warn_awaited
from sealkeep_client.cli._output import count, print_json, say, size
from sealkeep_client.cli._progress import progress_bar


@click.command()
@click.argument("out", type=click.Path(path_type=Path, allow_dash=True), metavar="OUT")
@click.option(
    "--format", "format_", type=click.Choice(["jsonl", "html"]), required=True, help="JSON lines, or a page to read."
)
@click.option(
    "--files",
    is_flag=True,
    help="Write the files of the messages, too, into a directory beside OUT, named like it with `.files` behind.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written as one JSON object.")
@pass_app
def export_command(app: App, out: Path, format_: Any, files: bool, as_json: bool) -> None:
    """Write everything as JSON lines, or as a page to read.

    OUT is a file, written whole or not at all, or `-` for standard output.
    """
    from sealkeep_client.vault import ExportReport, Vault

    if files and str(out) == "-":
        raise click.UsageError("--files needs a file for OUT, to put the others beside it")
    folder = out.with_name(f"{out.name}.files") if files else None

    async def write(vault: Vault) -> ExportReport:
        with progress_bar(quiet=as_json) as progress:
            report = await vault.export(out, format=format_, files=folder, progress=progress)
        await warn_awaited(vault)
        return report

    report = app.with_vault(write)
    if str(out) == "-":
        return
    if as_json:
        print_json(
            {
                "type": "export",
                "path": str(out),
                "format": format_,
                "records": report.records,
                "files": report.files,
                "file_bytes": report.file_bytes,
                "files_missing": report.files_missing,
            }
        )
        return
    beside = f", and {count(report.files, 'file')} ({size(report.file_bytes)}) to {folder}" if folder else ""
    click.echo(
        f"Wrote {count(report.records, 'message')} to {out}{beside}."
        " It is not sealed: keep it where only you can read it."
    )
    if report.files_missing:
        say(f"{count(report.files_missing, 'file')} could not be written: the relay does not have them")
