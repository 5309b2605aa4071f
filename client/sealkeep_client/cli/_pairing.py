"""`link` and `accept`: a new device is let in by an old one."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from sealkeep_client.cli._account import kept, name_option
from sealkeep_client.cli._app import App, json_option, pass_app, run_or_tell
from sealkeep_client.cli._asking import ask, can_ask, read_line, unseen
from sealkeep_client.cli._failures import Stopped
from sealkeep_client.cli._names import as_name, is_misleading, quoted
from sealkeep_client.cli._output import bold, count, cut, is_terminal, print_json, say, width
from sealkeep_client.cli._progress import progress_bar
from sealkeep_protocol.errors import RefusedError, TransportError, UsageError

if TYPE_CHECKING:
    from sealkeep_client.vault import LinkCode, Linked, Newcomer, Status, Vault

_HELD: Final = (
    "this device may be in the account already; `sealkeep link` goes on from here; where it cannot, your other devices"
    " have everything: `sealkeep --home DIR link` begins anew in another directory, and `sealkeep remove` there takes this"
    " one out"
)
_QUIET_ZONE: Final = 2  # modules around a QR code


@click.command()
@click.option("--relay", metavar="URL", help="The relay that keeps the account.  [needed the first time]")
@name_option
@click.option("--qr/--no-qr", default=None, help="Show a QR code too.  [default: on a terminal]")
@json_option
@pass_app
def link_command(app: App, relay: str | None, name: str, qr: bool | None, as_json: bool) -> None:
    """Join an account that another device of yours is in already.

    This shows a code, which `sealkeep accept` on the other device takes. Both then show the same three words; compare
    them before you say yes there. What breaks off is gone on with by the same command.
    """
    from sealkeep_client.store import is_held, is_home
    from sealkeep_client.vault import Vault

    begun = is_held(app.home)
    if relay is None and not begun:
        raise UsageError(
            "a new device must be told its relay: give --relay URL, as `sealkeep status` shows it elsewhere"
        )
    unlock = app.unlock_begun() if begun else app.unlock_new()

    def show_code(code: LinkCode) -> None:
        if as_json:
            print_json({"type": "code", "code": code.words, "full": code.full, "seconds": code.seconds})
        else:
            _show_code(code, is_terminal() if qr is None else qr)

    def show_words(words: tuple[str, ...]) -> None:
        if as_json:
            print_json({"type": "words", "words": list(words)})
            return
        _show_words(words)
        click.echo("If they differ, answer no on the other device.")

    async def link() -> tuple[Status, list[str]]:
        vault = await Vault.link(
            app.home, relay=relay, unlock=unlock, name=name, on_code=show_code, on_words=show_words
        )
        async with vault:
            with progress_bar(quiet=as_json) as progress:
                summary = await vault.sync(progress=progress)
            return await vault.status(), [str(error) for error in summary.unreadable]

    def left() -> str | None:
        if is_home(app.home):
            return f"this device has joined the account, in {app.home}; `sealkeep sync` goes on fetching"
        if is_held(app.home):
            return _HELD
        return None

    status, unreadable = run_or_tell(link(), left)
    if as_json:
        print_json(_joined(status) | {"home": str(app.home), "unlock": unlock.method, "unreadable": unreadable})
        return
    click.echo(
        f"Joined, and fetched {count(status.messages, 'message')} in {count(status.conversations, 'chat')}. Your vault is"
        f" in {app.home}, {kept(unlock.method)}; it is device {status.device} of the account."
    )
    for line in unreadable:
        say(f"not readable: {line}")


@click.command()
@click.argument("code", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask. The words are still shown, and nobody compares them.")
@json_option
@pass_app
def accept_command(app: App, code: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Let a new device of yours in, by the CODE that it shows.

    It will read everything, as this one does. Three words are shown on both devices: if they differ, say no. Without CODE
    it is asked for, and not shown while you type it.
    """
    # PAI-10: "… was shown its name and the confirmation words and agreed." Where nobody looks, nobody is asked.
    if not yes and not (can_ask() and sys.stderr.isatty()):
        raise UsageError("this asks whether the device may join: run it on a terminal, or give --yes")

    wanted = " ".join(code) or _asked_code()
    agreed: list[str] = []

    async def confirm(newcomer: Newcomer) -> bool:
        if as_json:
            print_json({"type": "newcomer", "name": newcomer.name, "words": list(newcomer.words)})
        if not as_json or not yes:
            # Where standard output is not looked at, they stand beside the question.
            aside = not yes and (as_json or not is_terminal())
            _show_newcomer(newcomer.name, err=aside)
            _show_words(newcomer.words, err=aside)
        if not yes and not await ask("Are the words the same, and shall it join?"):
            return False
        agreed.append(newcomer.name)
        return True

    async def accept(vault: Vault) -> Linked:
        return await vault.accept(wanted, confirm=confirm, on_wait=_tell_waiting)

    try:
        linked = app.with_vault(accept)
    except Stopped as stopped:
        if agreed:
            raise stopped.saying(_may_be_in(agreed[0])) from None
        raise stopped.saying("the code is used up; `sealkeep link` on the new device makes another") from None
    except (RefusedError, TransportError):
        if agreed:
            say(_may_be_in(agreed[0]))
        raise
    if as_json:
        print_json({"type": "accept", "device": linked.device, "name": linked.name})
        return
    click.echo(f"{quoted(linked.name)} is device {linked.device} of the account.")


def _tell_waiting(seconds: int) -> None:
    say(
        f"the new device has not answered yet: waiting {seconds} seconds more at most; is `sealkeep link` running there?"
    )


def _asked_code() -> str:
    if not can_ask():
        raise UsageError("give the code that `sealkeep link` shows on the new device")
    with unseen():
        return read_line("The code that the new device shows", hidden=True)


def _show_newcomer(name: str, *, err: bool) -> None:
    """Its name cannot begin a line, nor be longer than one: it might look like one that is shown here."""
    line = f"A device that calls itself {quoted(name)} wants to join, and to read everything."
    columns = shutil.get_terminal_size((80, 24)).columns
    if width(line) <= columns:
        click.echo(line, err=err)
    else:
        click.echo("A device wants to join, and to read everything. It calls itself", err=err)
        click.echo(f"    “{cut(as_name(name), max(16, columns - 6))}”", err=err)
    if is_misleading(name):
        click.echo("This name looks like words of sealkeep's own; it is only a name.", err=err)


def _may_be_in(name: str) -> str:
    return (
        f"{quoted(name)} may be in the account already: `sealkeep sync`, and `sealkeep devices` shows it; if it is to join,"
        " `sealkeep link` there once more, and accept its new code"
    )


def _joined(status: Status) -> dict[str, Any]:
    return {
        "type": "link",
        "account": status.account.hex(),
        "device": status.device,
        "name": status.device_name,
        "devices": status.devices,
        "relay": status.relay,
        "chats": status.conversations,
        "messages": status.messages,
    }


def _show_code(code: LinkCode, qr: bool) -> None:
    click.echo("On a device that is in the account, type this:\n")
    click.echo(f"    sealkeep accept {bold(code.words)}\n")
    if qr:
        click.echo("or scan this there:\n")
        click.echo(_qr(code.full))
    minutes = count(max(1, code.seconds // 60), "minute")
    click.echo(f"The code serves once, within {minutes}, and is as good as a key until then.")


def _qr(text: str) -> str:
    """The QR code in half blocks: dark on light, whatever the terminal's own colours, where it has colours."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, border=_QUIET_ZONE, compact=True)
    lines = drawn.getvalue().splitlines()
    if is_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
        lines = [click.style(line, fg="bright_white", bg="black") for line in lines]
    return "".join(f"    {line}\n" for line in lines)


def _show_words(words: tuple[str, ...], *, err: bool = False) -> None:
    shown = " ".join(words) if err else bold(" ".join(words))
    click.echo(f"Both devices show now:  {shown}", err=err)
