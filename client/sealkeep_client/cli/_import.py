"""`import`: exports of chat apps into the vault."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._output import count, print_json, say, size
from sealkeep_client.cli._progress import progress_bar

_SHOWN: Final = 20


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--date-order",
    type=click.Choice(["dmy", "mdy", "ymd"]),
    help="How WhatsApp wrote its dates, where the export itself leaves it open.",
)
@json_option
@pass_app
def import_command(app: App, paths: tuple[Path, ...], date_order: Any, as_json: bool) -> None:
    """Take in exports of Telegram, WeChat and WhatsApp.

    PATH is a file, a zip or a folder; what it holds is found out by its content. All of it is taken in, or nothing. What is
    here already is not added again, so a newer export of the same chats adds what is new.
    """
    from sealkeep_client.importers import ImportOptions
    from sealkeep_client.vault import ImportReport, Vault

    async def take_in(vault: Vault) -> ImportReport:
        with progress_bar(quiet=as_json) as progress:
            return await vault.import_exports(paths, options=ImportOptions(date_order=date_order), progress=progress)

    report = app.with_vault(take_in)
    if as_json:
        print_json(
            {
                "type": "import",
                "exports": report.exports,
                "added": report.added,
                "changed": report.changed,
                "unchanged": report.unchanged,
                "problems": [
                    {"path": problem.path, "line": problem.line, "reason": problem.reason}
                    for problem in report.problems
                ],
                "left_out": list(report.left_out),
                "files": report.files,
                "file_bytes": report.file_bytes,
                "files_missing": report.files_missing,
            }
        )
        return
    for problem in report.problems[:_SHOWN]:
        say(f"left out: {problem}")
    if len(report.problems) > _SHOWN:
        say(f"left out: {count(len(report.problems) - _SHOWN)} more places (--json lists all)")
    click.echo(f"{count(report.added, 'new message')} from {count(report.exports, 'export')}{_rest(report)}.")
    if report.files:
        click.echo(f"Took in {count(report.files, 'file')} ({size(report.file_bytes)}) with them.")
    if report.files_missing:
        named = count(report.files_missing, "file that messages name is", "files that messages name are")
        click.echo(f"{named} not in the exports; `sealkeep attach` adds what you have elsewhere.")
    if report.left_out:
        click.echo(f"Not kept, because it is no chat: {', '.join(report.left_out)}.")
    if report.problems:
        click.echo(f"Left out: {count(len(report.problems), 'place')}, listed one by one.")
    if report.added or report.changed:
        click.echo("`sealkeep sync` sends them, sealed, to the relay.")


def _rest(report: Any) -> str:
    parts = []
    if report.changed:
        parts.append(f"{count(report.changed)} with something new")
    if report.unchanged:
        parts.append(f"{count(report.unchanged)} known already")
    return f"; {' and '.join(parts)}" if parts else ""
