"""`sync`, `status` and `verify`: this device and its relay."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._output import ago, count, print_json, print_pairs, say, size
from sealkeep_client.cli._progress import progress_bar
from sealkeep_protocol.errors import PeerError, SealkeepError

if TYPE_CHECKING:
    from sealkeep_client.vault import Status, SyncSummary, Vault, VerifyReport


@click.command()
@click.option("--watch", is_flag=True, help="Go on until stopped (Ctrl-C); being offline is normal then.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1, max=86_400),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --watch waits between two looks.",
)
@json_option
@pass_app
def sync_command(app: App, watch: bool, interval: float, as_json: bool) -> None:
    """Send and fetch what is new."""

    async def once(vault: Vault) -> SyncSummary:
        with progress_bar(quiet=as_json) as progress:
            return await vault.sync(progress=progress)

    async def work(vault: Vault) -> None:
        if not watch:
            _tell(await once(vault), as_json, always=True)
            return
        first, offline = True, False
        while True:
            try:
                summary = await once(vault)
            except SealkeepError as error:
                if not error.retryable:
                    raise
                if not offline:
                    say(f"{error}: everything is safe on this device; trying again every {interval:g} seconds")
                offline = True
            else:
                _tell(summary, as_json, always=first or offline)
                first = offline = False
            await asyncio.sleep(interval)

    app.with_vault(work)


def _tell(summary: SyncSummary, as_json: bool, *, always: bool) -> None:
    if as_json:
        if always or summary.received or summary.sent:
            print_json(
                {
                    "type": "sync",
                    "received": summary.received,
                    "sent": summary.sent,
                    "segments_received": summary.segments_received,
                    "segments_sent": summary.segments_sent,
                    "unreadable": [_peer_error(error) for error in summary.unreadable],
                }
            )
        return
    _warn(summary.unreadable)
    if summary.received or summary.sent:
        click.echo(f"Received {count(summary.received, 'record')}, sent {count(summary.sent, 'record')}.")
    elif always:
        click.echo("Everything is in step.")


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
                "last_sync": status.last_sync,
                "relay_used": status.used,
                "relay_allowed": status.allowed or None,
                "size": status.size,
                "unreadable": list(status.unreadable),
            }
        )
        return
    waiting = f"{count(status.waiting, 'record')}; `sealkeep sync` sends them" if status.waiting else "nothing"
    last = "never" if status.last_sync is None else ago(status.last_sync, time.time())
    room = f" of {size(status.allowed)}" if status.allowed else ""
    pairs = [
        ("Vault", f"{app.home}, {size(status.size)}"),
        ("Messages", f"{count(status.messages)} in {count(status.conversations, 'chat')}"),
        ("Waiting", waiting),
        ("Last sync", last),
        ("Relay", status.relay),
        (
            "On it",
            "unknown before the first sync" if status.last_sync is None else f"{size(status.used)}{room}, sealed",
        ),
        ("Device", f"{status.device_name} (number {status.device} of {count(status.devices, 'device')})"),
        ("Account", status.account.hex()[:16]),
    ]
    print_pairs(pairs)
    for line in status.unreadable:
        say(f"not readable: {line}")


@click.command()
@json_option
@pass_app
def verify_command(app: App, as_json: bool) -> None:
    """Read everything from the relay again, and prove it.

    Every signature, every chain and every seal is checked against what this device has seen. Nothing is changed.
    """

    async def prove(vault: Vault) -> VerifyReport:
        with progress_bar(quiet=as_json) as progress:
            return await vault.verify(progress=progress)

    report = app.with_vault(prove)
    if as_json:
        print_json(
            {
                "type": "verify",
                "entries": report.entries,
                "segments": report.segments,
                "records": report.records,
                "bytes": report.bytes,
                "unreadable": [_peer_error(error) for error in report.unreadable],
            }
        )
        return
    _warn(report.unreadable)
    click.echo(
        f"Verified: {count(report.records, 'record')} in {count(report.segments, 'segment')} ({size(report.bytes)}),"
        f" {count(report.entries, 'roster entry', 'roster entries')}. The relay holds all that this device has seen,"
        " unchanged."
    )


def _peer_error(error: PeerError) -> dict[str, Any]:
    return {"code": error.code, "device": error.device, "seq": error.seq, "reason": str(error)}


def _warn(unreadable: tuple[PeerError, ...]) -> None:
    for error in unreadable:
        advice = "; a newer sealkeep may read it" if error.code == "unsupported" else "; a device of yours wrote it so"
        say(f"not readable: {error} ({error.code}){advice}")
