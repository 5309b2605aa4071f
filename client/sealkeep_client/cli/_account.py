"""`init` and `recover`: how a device gets its vault."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sealkeep_client.cli._app import App, json_option, pass_app, run_or_tell
from sealkeep_client.cli._devices import device_json, print_devices, tell_new_kit
from sealkeep_client.cli._kit_terminal import confirm_kit, type_kit
from sealkeep_client.cli._missing import missing_json, missing_lines
from sealkeep_client.cli._new_kit import KitFile, check_ending, new_kit_option, read_kit_file
from sealkeep_client.cli._output import bold, count, print_json, say
from sealkeep_client.cli._progress import progress_bar
from sealkeep_protocol.errors import PeerError, RefusedError, UsageError

if TYPE_CHECKING:
    from sealkeep_client.kit import RecoveryKit
    from sealkeep_client.vault import DeviceInfo, MissingKey, SyncSummary

_KIT = "sealkeep-recovery-kit.pdf"
_NAME_BYTES = 64  # spec §5.2
_confirm_option: Callable[..., Any] = click.option(
    "--confirm/--no-confirm",
    default=True,
    help="Ask for two groups of the kit back, on a terminal.  [default: confirm]",
)


def _name(_: click.Context, __: click.Parameter, value: str | None) -> str:
    if value is None:  # some systems' host names are longer than a device's name
        host = platform.node().encode("utf-8", "ignore")[:_NAME_BYTES]
        return host.decode("utf-8", "ignore").strip() or "this device"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # bytes on the command line that are no text
        size = 0
    if not value.strip() or not 0 < size <= _NAME_BYTES:
        raise click.BadParameter(f"a name of at most {_NAME_BYTES} bytes")
    return value


name_option: Callable[..., Any] = click.option(
    "--name", callback=_name, metavar="NAME", help="What your other devices call this one.  [default: its host name]"
)


@click.command()
@click.option("--relay", required=True, metavar="URL", help="The relay that is to keep your chats.")
@click.option(
    "--kit",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(_KIT),
    show_default=True,
    callback=check_ending,
    metavar="FILE",
    help="Where the recovery kit is written: .pdf, .svg or .txt; never over an existing file.",
)
@_confirm_option
@name_option
@json_option
@pass_app
def init_command(app: App, relay: str, kit: Path, confirm: bool, name: str, as_json: bool) -> None:
    """Begin: a new account on this device, and its recovery kit.

    The recovery kit is one page. It brings everything back when all devices are lost, and whoever has it can read
    everything: print it, put it in a safe place, and delete the file.
    """
    from sealkeep_client.kit import write_kit
    from sealkeep_client.store import is_home, is_unmade
    from sealkeep_client.vault import Vault

    if kit.exists():
        raise UsageError(f"{kit} is there already: a kit is never written over; give another name with --kit")
    unlock = app.unlock_new()
    written: list[RecoveryKit] = []

    def keep(page: RecoveryKit) -> None:
        write_kit(kit, page)
        written.append(page)

    async def create() -> dict[str, Any]:
        vault = await Vault.create(app.home, relay=relay, unlock=unlock, name=name, on_kit=keep)
        async with vault:
            status = await vault.status()
            return {"account": status.account.hex(), "device": status.device, "relay": status.relay}

    def left() -> str | None:
        """Where a failure leaves the person, if not where he was."""
        if not written:
            return None
        if is_home(app.home):
            return f"the vault is made and its recovery kit is {kit}; `sealkeep sync` tells the relay of them"
        if is_unmade(app.home):
            kit.unlink()  # of an account that nobody has
            return None
        return f"the vault may still be made: where `sealkeep status` finds none, {kit} is the kit of no account"

    made = run_or_tell(create(), left)
    if as_json:
        print_json(
            {"type": "init", **made, "name": name, "home": str(app.home), "kit": str(kit), "unlock": unlock.method}
        )
        return
    click.echo(f"Your vault is in {app.home}, {kept(unlock.method)}.")
    click.echo(f"Its recovery kit is {bold(str(kit))}: print it, put it in a safe place, and delete the file.")
    if confirm:
        confirm_kit(written[0])
    click.echo("Next: `sealkeep import PATH` takes in chat exports, `sealkeep sync` sends them, sealed, to the relay.")


@click.command()
@click.option("--relay", metavar="URL", help="Where the account is kept now.  [default: the relay that the kit names]")
@click.option(
    "--kit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The recovery kit, or what its QR code says, as a file.  [default: to type it, on a terminal]",
)
@click.option("--remove-others", is_flag=True, help="Remove all other devices, and end all newer recovery kits.")
@new_kit_option("--new-kit", "Where the new recovery kit is written that --remove-others makes")
@click.option(
    "--discard", is_flag=True, help="Give up what a device wrote from where it does not hold, or while it goes on."
)
@_confirm_option
@name_option
@json_option
@pass_app
def recover_command(
    app: App,
    relay: str | None,
    kit: Path | None,
    remove_others: bool,
    new_kit: Path | None,
    discard: bool,
    confirm: bool,
    name: str,
    as_json: bool,
) -> None:
    """Bring everything back on a new device, from the recovery kit.

    This device becomes a new one of the account. The others stay as they are; after a theft, --remove-others removes them
    all in the same step, whatever a thief did with one of them, and makes a new recovery kit.
    """
    from sealkeep_client.store import is_held, is_home
    from sealkeep_client.vault import Vault

    if not remove_others and (new_kit is not None or discard):
        raise UsageError("--new-kit and --discard go with --remove-others")
    given = None if kit is None else read_kit_file(kit)
    unlock = app.unlock_begun() if is_held(app.home) else app.unlock_new()
    page = given or type_kit()
    file = KitFile(new_kit, option="--new-kit") if remove_others else None

    async def recover() -> tuple[dict[str, Any], SyncSummary, list[DeviceInfo], list[MissingKey]]:
        with progress_bar(quiet=as_json) as progress:
            vault = await Vault.recover(
                app.home,
                kit=page,
                unlock=unlock,
                name=name,
                relay=relay,
                remove_others=remove_others,
                on_kit=None if file is None else file.keep,
                discard=discard,
            )
            async with vault:
                summary = await vault.sync(progress=progress)
                status = await vault.status()
                there = [device for device in await vault.devices() if not device.this]
                missing = await vault.missing_keys()
                # What became of it, whatever this call asked for: an earlier one may have joined.
                reclaimed = any(
                    change.what == "reclaim" and change.added[0][0] == status.device
                    for change in await vault.device_log()
                )
                if file is not None:
                    file.drop_other(await vault.kits())
        made = {
            "account": status.account.hex(),
            "device": status.device,
            "devices": status.devices,
            "relay": status.relay,
            "chats": status.conversations,
            "messages": status.messages,
            "removed_others": reclaimed,
        }
        return made, summary, there, missing

    def left() -> str | None:
        if is_home(app.home):
            new = "" if file is None or file.written is None else f", and {file.path} is its new recovery kit"
            return f"this device has joined the account, in {app.home}{new}; `sealkeep sync` goes on fetching"
        if is_held(app.home):
            return "this device may have joined the account already; the same command again goes on from here"
        return None

    try:
        with contextlib.nullcontext() if file is None else file.telling(lambda: is_home(app.home)):
            made, summary, there, missing = run_or_tell(recover(), left)
    except (PeerError, RefusedError) as error:
        if remove_others and not discard and _goes_on_with_discard(error):
            say(
                "if that is a device's doing, --discard takes the account back all the same, and gives up what it wrote"
                " from there"
                if isinstance(error, PeerError)
                else "a device goes on writing; --discard takes the account back all the same, and gives up what it writes"
                " meanwhile"
            )
        raise
    unreadable = [str(error) for error in summary.unreadable]
    left_in = [device for device in there if device.active] if remove_others and not made["removed_others"] else []
    if as_json:
        print_json(
            {"type": "recover", **made, "name": name, "home": str(app.home), "unlock": unlock.method}
            | {"unreadable": unreadable, "unopened": summary.unopened}
            | {"missing": [missing_json(key) for key in missing]}
            | {"kit": None if file is None or file.written is None else str(file.path)}
            | {"others": [device_json(device) for device in there]}
        )
        _check_removed(left_in)
        return
    click.echo(f"Restored {count(made['messages'], 'message')} in {count(made['chats'], 'chat')}.")
    click.echo(f"Your vault is in {app.home}, {kept(unlock.method)}; it is device {made['device']} of the account.")
    for line in unreadable:
        say(f"not readable: {line}")
    for line in missing_lines(missing):
        say(line)
    if there:
        click.echo("\nThe account's other devices, and when they last wrote:")
        print_devices(there)
    if file is not None and file.written is not None:
        click.echo()
        tell_new_kit(file, "All other devices are removed, and the recovery kit is replaced.")
        if confirm:
            confirm_kit(file.written)
    elif made["removed_others"]:
        say(
            "all other devices are removed, and the recovery kit is replaced: the new one is where an earlier call wrote"
            " it; `sealkeep kit verify` tries it, and `sealkeep kit replace` makes another"
        )
    elif not remove_others and any(device.active for device in there):
        click.echo("\nIs one of them lost or stolen? `sealkeep remove NAME` takes it out.")
    _check_removed(left_in)


def _check_removed(left_in: Sequence[DeviceInfo]) -> None:
    """Raises `ClickException` where devices that were to be removed are still there."""
    if left_in:
        numbers = " ".join(str(device.number) for device in left_in)
        raise click.ClickException(
            "the other devices are still in the account: an earlier call without --remove-others had joined it already;"
            f" `sealkeep remove {numbers} --with KIT` removes them, with KIT the file of the recovery kit"
        )


def _goes_on_with_discard(error: PeerError | RefusedError) -> bool:
    """Whether giving up what a device wrote leads on."""
    return error.code == "pinned" if isinstance(error, RefusedError) else error.device is not None


def kept(method: str) -> str:
    """How a vault is locked, as a person says it."""
    return "locked by this system's keyring" if method == "keyring" else "locked by your passphrase"
