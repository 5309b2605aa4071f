"""What a person sees of syncs: of one, and of those that go on until stopped."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from sealkeep_client.cli._device_log import entry_json
from sealkeep_client.cli._missing import missing_json, missing_lines
from sealkeep_client.cli._names import quoted
from sealkeep_client.cli._news import news_lines
from sealkeep_client.cli._output import count, print_json, say
from sealkeep_client.cli._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealkeep_client.vault import Enrolled, MissingKey, Progress, SyncState, SyncSummary, Vault
    from sealkeep_protocol.errors import PeerError


class Watch:
    """Syncs until stopped, and tells news as they come; what is wrong it tells once, until it is well again."""

    def __init__(self, vault: Vault, as_json: bool) -> None:
        self._vault = vault
        self._as_json = as_json
        self._first = True
        self._trouble: str | None = None  # the state that was told last
        self._bar = ExitStack()
        self._report: Callable[[Progress], None] | None = None

    async def run(self, interval: float) -> None:
        """Raises what trying again cannot mend."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def show(state: SyncState) -> None:
            try:
                self._show(state)
                if state.state == "stopped":
                    raise state.error or AssertionError
            except Exception as error:  # a pipe that nobody reads, say: whoever called is to know
                if not ended.done():
                    ended.set_exception(error)

        with self._bar:
            async with self._vault.background_sync(on_state=show, interval=interval, progress=self._progress):
                await ended

    def _progress(self, step: Progress) -> None:
        if self._report is not None:
            self._report(step)

    def _show(self, state: SyncState) -> None:
        if state.state == "syncing":
            self._report = self._bar.enter_context(progress_bar(quiet=self._as_json))
            return
        self._bar.close()
        self._report = None
        if state.summary is not None:
            is_well_again = state.state == "idle" and (self._first or self._trouble is not None)
            tell_sync(state.summary, self._as_json, always=is_well_again)
            self._first = False
        if state.state in ("offline", "full") and state.state != self._trouble:
            advice = _TRYING if state.state == "offline" else _FULL
            say(f"{state.error}: {advice}")
        self._trouble = state.state if state.state in ("offline", "full") else None


_TRYING = "everything is safe on this device; trying again until it works"
_FULL = "what waits is safe on this device, and what others write is fetched; ask whoever runs the relay for more room"


def tell_sync(summary: SyncSummary, as_json: bool, *, always: bool) -> None:
    """Tell what one sync did; where it did nothing, only with `always`."""
    if as_json:
        if always or summary.received or summary.sent or summary.enrolled or summary.changes:
            print_json(
                {
                    "type": "sync",
                    "received": summary.received,
                    "sent": summary.sent,
                    "files_sent": summary.files_sent,
                    "segments_received": summary.segments_received,
                    "segments_sent": summary.segments_sent,
                    "unreadable": [peer_error(error) for error in summary.unreadable],
                    "unopened": summary.unopened,
                    "missing": [missing_json(key) for key in summary.missing],
                    "locked_by": summary.locked_by,
                    "enrolled": json_enrolled(summary.enrolled),
                    "closing": summary.closing,
                    "awaited": summary.awaited,
                    "changes": [entry_json(change) for change in summary.changes],
                }
            )
        return
    tell_enrolled(summary.enrolled)
    for line in news_lines(summary.changes):
        say(line)
    warn_unreadable(summary.unreadable)
    warn_locked(summary.missing, summary.locked_by)
    warn_closing(summary.closing)
    if summary.received or summary.sent:
        files = f" and {count(summary.files_sent, 'file')}" if summary.files_sent else ""
        click.echo(f"Received {count(summary.received, 'record')}, sent {count(summary.sent, 'record')}{files}.")
    elif always and summary.locked_by is None:
        click.echo("Everything is in step.")


def warn_locked(missing: Sequence[MissingKey], locked_by: str | None) -> None:
    """Say on standard error what this device lacks a key for, and whose doing that is."""
    if locked_by is not None:
        say(
            f"{quoted(locked_by)} renewed the account's keys and gave this device none that opens: nothing is sent until"
            " another of your devices has synced; if that device is not yours any more, remove it"
        )
    for line in missing_lines(missing):
        say(line)


def warn_closing(closing: bool) -> None:
    """Say on standard error that a kit, which may be a thief's, has closed the account."""
    if closing:
        say(
            "a newer recovery kit has closed the account, and the relay ends it 30 days after that (`sealkeep devices"
            " --log` says when); if you did not do it, take it back with your own, older kit: `sealkeep"
            " recover --remove-others`"
        )


def json_enrolled(enrolled: Enrolled | None) -> dict[str, Any] | None:
    """That a home goes on under another number, for `--json`."""
    if enrolled is None:
        return None
    return {"before": enrolled.before, "device": enrolled.number, "name": enrolled.name}


def tell_enrolled(enrolled: Enrolled | None) -> None:
    """The same for a person."""
    if enrolled is not None:
        click.echo(
            f"This home is a copy of device {enrolled.before}, or came from a backup: it goes on as device"
            f" {enrolled.number}, {quoted(enrolled.name)}. Nothing is lost. If device {enrolled.before} is gone,"
            f" remove it: `sealkeep remove {enrolled.before}`."
        )


def peer_error(error: PeerError) -> dict[str, Any]:
    """An unreadable segment, for `--json`."""
    return {"code": error.code, "device": error.device, "seq": error.seq, "reason": str(error)}


def warn_unreadable(unreadable: tuple[PeerError, ...]) -> None:
    """Say on standard error which segments could not be read, and why."""
    for error in unreadable:
        advice = "; a newer sealkeep may read it" if error.code == "unsupported" else "; a device of yours wrote it so"
        say(f"not readable: {error} ({error.code}){advice}")
