"""`export`: everything out again, as JSON lines or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sealkeep_client.cli._app import App, pass_app
from sealkeep_client.cli._output import count, print_json
from sealkeep_client.cli._progress import progress_bar


@click.command()
@click.argument("out", type=click.Path(path_type=Path, allow_dash=True), metavar="OUT")
@click.option(
    "--format", "format_", type=click.Choice(["jsonl", "html"]), required=True, help="JSON lines, or a page to read."
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written as one JSON object.")
@pass_app
def export_command(app: App, out: Path, format_: Any, as_json: bool) -> None:
    """Write everything as JSON lines, or as a page to read.

    OUT is a file, written whole or not at all, or `-` for standard output.
    """
    from sealkeep_client.vault import Vault

    async def write(vault: Vault) -> int:
        with progress_bar(quiet=as_json) as progress:
            return await vault.export(out, format=format_, progress=progress)

    records = app.with_vault(write)
    if str(out) == "-":
        return
    if as_json:
        print_json({"type": "export", "path": str(out), "format": format_, "records": records})
    else:
        click.echo(f"Wrote {count(records, 'message')} to {out}. It is not sealed: keep it where only you can read it.")
