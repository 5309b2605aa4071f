"""`sync`, `status` and `verify`: this device and its relay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._awaited import awaited_text
from sealkeep_client.cli._failures import IF_REMOVED
from sealkeep_client.cli._missing import missing_json
from sealkeep_client.cli._names import cell
from sealkeep_client.cli._output import ago, count, print_json, print_pairs, say, size
from sealkeep_client.cli._progress import progress_bar
from sealkeep_client.cli._watch import Watch, peer_error, tell_sync, warn_closing, warn_locked, warn_unreadable

if TYPE_CHECKING:
    from sealkeep_client.vault import Status, Vault, VerifyReport


@click.command()
@click.option("--watch", is_flag=True, help="Go on until stopped (Ctrl-C); being offline is normal then.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1, max=86_400),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --watch waits between two looks, where all is well.",
)
@json_option
@pass_app
def sync_command(app: App, watch: bool, interval: float, as_json: bool) -> None:
    """Send and fetch what is new."""

    async def work(vault: Vault) -> None:
        if watch:
            await Watch(vault, as_json).run(interval)
            return
        with progress_bar(quiet=as_json) as progress:
            summary = await vault.sync(progress=progress)
        tell_sync(summary, as_json, always=True)

    app.with_vault(work)


_FOR_WAITING: Final = {
    True: "`sealkeep sync` sends them",
    False: "they cannot be sent any more, and `sealkeep export OUT --format html` saves them",
}


def _among(status: Status) -> str:
    if status.removed_by is not None:
        return f", removed; the account has {count(status.devices, 'other')}"
    return f"; the account has {count(status.devices, 'device')}"


@click.command()
@json_option
@pass_app
def status_command(app: App, as_json: bool) -> None:
    """Show what is here, and what waits to be sent. Needs no relay."""

    async def look(vault: Vault) -> Status:
        return await vault.status()

    status = app.with_vault(look)
    if as_json:
        print_json(
            {
                "type": "status",
                "home": str(app.home),
                "relay": status.relay,
                "account": status.account.hex(),
                "device": status.device,
                "device_name": status.device_name,
                "devices": status.devices,
                "chats": status.conversations,
                "messages": status.messages,
                "waiting": status.waiting,
                "files_waiting": status.files_waiting,
                "file_bytes_waiting": status.file_bytes_waiting,
                "files_damaged": status.files_damaged,
                "last_sync": status.last_sync,
                "relay_used": status.used,
                "relay_allowed": status.allowed or None,
                "size": status.size,
                "unreadable": list(status.unreadable),
                "unopened": status.unopened,
                "missing": [missing_json(key) for key in status.missing],
                "locked_by": status.locked_by,
                "removed_by": status.removed_by,
                "closing": status.closing,
                "awaited": status.awaited,
                "awaited_records": status.awaited_records,
                "awaited_bytes": status.awaited_bytes,
            }
        )
        return
    waiting = (
        f"{count(status.waiting, 'record')}; {_FOR_WAITING[status.removed_by is None]}" if status.waiting else "nothing"
    )
    if status.files_waiting:
        files = f"{count(status.files_waiting, 'file')} of {size(status.file_bytes_waiting)}"
        waiting = f"{files}; {waiting}"
    last = "never" if status.last_sync is None else ago(status.last_sync, time.time())
    room = f" of {size(status.allowed)}" if status.allowed else ""
    to_come = [("To come", awaited_text(status))] if status.awaited else []
    pairs = [
        ("Vault", f"{app.home}, {size(status.size)}"),
        ("Messages", f"{count(status.messages)} in {count(status.conversations, 'chat')}"),
        *to_come,
        ("Waiting", waiting),
        ("Last sync", last),
        ("Relay", status.relay),
        (
            "On it",
            "unknown before the first sync" if status.last_sync is None else f"{size(status.used)}{room}, sealed",
        ),
        ("Device", f"{cell(status.device_name)} (number {status.device}{_among(status)})"),
        ("Account", status.account.hex()[:16]),
    ]
    print_pairs(pairs)
    if status.removed_by is not None:
        say(f"this device was removed from the account by “{status.removed_by}”; {IF_REMOVED}")
    if status.files_damaged:
        say(
            f"{count(status.files_damaged, 'file')} on this device are damaged: what the relay has is fetched from there;"
            " attach or import again what it does not have"
        )
    warn_locked(status.missing, status.locked_by)
    warn_closing(status.closing)
    for line in status.unreadable:
        say(f"not readable: {line}")


@click.command()
@click.option("--files", is_flag=True, help="Read all files, too, not only ask whether they are there.")
@json_option
@pass_app
def verify_command(app: App, files: bool, as_json: bool) -> None:
    """Read everything from the relay again, and prove it.

    Every signature, every chain and every seal is checked against what this device has seen. Nothing is changed.
    """

    async def prove(vault: Vault) -> VerifyReport:
        with progress_bar(quiet=as_json) as progress:
            return await vault.verify(files=files, progress=progress)

    report = app.with_vault(prove)
    if as_json:
        print_json(
            {
                "type": "verify",
                "entries": report.entries,
                "segments": report.segments,
                "records": report.records,
                "bytes": report.bytes,
                "unreadable": [peer_error(error) for error in report.unreadable],
                "unopened": report.unopened,
                "files": report.files,
                "file_bytes": report.file_bytes,
                "unavailable": [{"device": device, "seq": seq} for device, seq in report.unavailable],
                "missing": [missing_json(key) for key in report.missing],
            }
        )
        return
    warn_unreadable(report.unreadable)
    for device, seq in report.unavailable:
        say(f"a file that device {device} stored (seq {seq}) is not available at the relay")
    warn_locked(report.missing, None)
    click.echo(
        f"Verified: {count(report.records, 'record')} in {count(report.segments, 'segment')} ({size(report.bytes)}),"
        f" {count(report.entries, 'roster entry', 'roster entries')}. The relay holds all that this device has seen,"
        " unchanged."
    )
    if report.files and report.file_bytes is None:
        click.echo(f"It says to have the {count(report.files, 'file')} of your messages; --files reads them.")
    elif report.file_bytes is not None:
        click.echo(f"Read {count(report.files, 'file')} ({size(report.file_bytes)}): all as they were sealed.")
