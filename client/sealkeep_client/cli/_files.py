"""`attach`, `files` and `save`: the pictures, recordings and documents of messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._output import civil, clean_line, count, print_json, print_table, say, size
from sealkeep_client.cli._progress import progress_bar
from sealkeep_client.cli._read import choose

if TYPE_CHECKING:
    from sealkeep_client.vault import FileEntry, Record, Vault

_ID: Final = 8  # digits of an id that stand for a record
_LEAST: Final = 6


@click.command()
@click.argument("record", metavar="RECORD")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE..."
)
@json_option
@pass_app
def attach_command(app: App, record: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Add files to a message that is here.

    RECORD is the id of the message, as `sealkeep show --json` or `sealkeep search --json` tells it, or the beginning of
    it. The files are safe on this device when this returns; `sealkeep sync` brings them to the relay, sealed.
    """

    async def work(vault: Vault) -> list[tuple[Path, int]]:
        found = await _find(vault, record)
        attached = []
        with progress_bar(quiet=as_json) as progress:
            for file in files:
                await vault.attach(found, file, progress=progress)
                attached.append((file, file.stat().st_size))
        return attached

    attached = app.with_vault(work)
    if as_json:
        for file, length in attached:
            print_json({"type": "attached", "record": record, "path": str(file), "size": length})
        return
    total = sum(length for _, length in attached)
    click.echo(f"Attached {count(len(attached), 'file')} ({size(total)}). `sealkeep sync` brings them to the relay.")


@click.command()
@click.argument("chat", required=False, metavar="[CHAT]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.  [default: all]")
@json_option
@pass_app
def files_command(app: App, chat: str | None, limit: int | None, as_json: bool) -> None:
    """List the files of a chat, or of all chats, the newest first.

    CHAT is as for `sealkeep show`. What is `here` can be read without the relay, what is `stored` is on the relay, and
    what is `named` nobody has stored: the export that names it did not hold it.
    """

    async def load(vault: Vault) -> list[FileEntry]:
        chosen = None if chat is None else choose(await vault.conversations(), chat)
        found: list[FileEntry] = []
        async for entry in vault.files(chosen):
            found.append(entry)
            if len(found) == limit:
                break
        return found

    entries = app.with_vault(load)
    if as_json:
        for entry in entries:
            print_json(_line(entry))
        return
    if not entries:
        click.echo(
            "No files yet: exports that hold them bring them along, and `sealkeep attach` adds one to a message."
        )
        return
    from sealkeep_client.exporting import attachment_name

    rows = [
        (
            attachment_name(entry.attachment),
            "" if entry.attachment.size is None else size(entry.attachment.size),
            place_of(entry),
            f"{civil(entry.record.view.message.time, entry.record.view.message.offset):%Y-%m-%d}",
            f"{entry.record.id.hex()[:_ID]}/{entry.index}",
        )
        for entry in entries
    ]
    print_table(("File", "Size", "Where", "Date", "Id"), rows, right=(1,))


@click.command()
@click.argument("record", metavar="RECORD[/N]")
@click.argument("out", required=False, type=click.Path(path_type=Path), metavar="[OUT]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
@pass_app
def save_command(app: App, record: str, out: Path | None, force: bool, as_json: bool) -> None:
    """Write the files of a message out.

    RECORD is an id as `sealkeep files` shows it: of one file, or, without what follows the stroke, of all files of a
    message. OUT is a file or a directory; by default the files go here, under their own names. What is not on this device
    is fetched from the relay and verified; when that is interrupted, the same command goes on.
    """
    identifier, stroke, number = record.partition("/")
    if stroke and not (number.isascii() and number.isdecimal()):
        raise click.UsageError("the number behind the stroke counts the files of a message from 0")

    async def work(vault: Vault) -> list[tuple[FileEntry, Path, int]]:
        found = await _find(vault, identifier)
        entries = await _entries(vault, found, int(number) if stroke else None)
        saved = []
        with progress_bar(quiet=as_json) as progress:
            for entry, path in zip(entries, _targets(entries, out, force), strict=True):
                written = await vault.save_attachment(entry.record, entry.index, path, progress=progress)
                saved.append((entry, path, written))
        return saved

    for entry, path, written in app.with_vault(work):
        if as_json:
            print_json({**_line(entry), "type": "saved", "path": str(path), "size": written})
        else:
            click.echo(f"Wrote {size(written)} to {clean_line(str(path))}.")


async def _find(vault: Vault, beginning: str) -> Record:
    """The one record that a person means. Raises `click.ClickException` where it is none or several."""
    if len(beginning) < _LEAST:
        raise click.ClickException(f"give at least {_LEAST} digits of the message's id")
    found = await vault.records_like(beginning.casefold())
    if not found:
        raise click.ClickException(f"no message has an id that begins with `{clean_line(beginning)}`")
    if len(found) > 1:
        raise click.ClickException(f"several messages have an id that begins with `{beginning}`: give more of it")
    return found[0]


async def _entries(vault: Vault, record: Record, number: int | None) -> list[FileEntry]:
    """The files of a record that are to be written: one by its number, or all that somebody stored."""
    entries = await vault.files_of(record)
    if number is not None:
        if number >= len(entries):
            raise click.ClickException(f"this message has {count(len(entries), 'file')}")
        return [entries[number]]
    stored = [entry for entry in entries if entry.attachment.root is not None]
    if not stored:
        raise click.ClickException("this message has no files that anybody stored")
    if len(stored) < len(entries):
        say(f"{count(len(entries) - len(stored), 'file')} of this message are only named: nobody stored them")
    return stored


def _targets(entries: list[FileEntry], out: Path | None, force: bool) -> list[Path]:
    """Where the files go. Raises `click.ClickException` where something is there."""
    from sealkeep_client.exporting import attachment_name, safe_name

    if out is not None and not out.is_dir():
        if len(entries) > 1:
            raise click.ClickException(f"{out}: {count(len(entries), 'file')} need a directory that is there")
        targets = [out]
    else:
        folder = out or Path()
        targets, taken = [], set[str]()
        for entry in entries:
            name = safe_name(attachment_name(entry.attachment))
            if name.casefold() in taken:
                name = f"{entry.index}-{name}"
            taken.add(name.casefold())
            targets.append(folder / name)
    for target in targets:
        if target.exists() and not force:
            raise click.ClickException(f"{target}: is there already; give another name, or --force")
    return targets


def place_of(entry: FileEntry) -> str:
    """Where a file is, in a word."""
    if entry.here:
        return "here"
    if entry.stored:
        return "stored"
    return "named" if entry.attachment.root is None else "awaited"


def _line(entry: FileEntry) -> dict[str, object]:
    attachment = entry.attachment
    return {
        "type": "file",
        "record": entry.record.id.hex(),
        "index": entry.index,
        "name": attachment.name,
        "role": attachment.role,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "root": None if attachment.root is None else attachment.root.hex(),
        "where": place_of(entry),
    }
