"""`kit verify`, `kit replace` and `close-account`: what is done with a recovery kit beside recovering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sealkeep_client.cli._app import App, json_option, pass_app, run
from sealkeep_client.cli._asking import ask, can_ask
from sealkeep_client.cli._devices import tell_new_kit
from sealkeep_client.cli._kit_terminal import confirm_kit, type_kit
from sealkeep_client.cli._missing import missing_json, missing_lines
from sealkeep_client.cli._names import quoted
from sealkeep_client.cli._new_kit import KitFile, kit_in_hand, kit_in_hand_option, new_kit_option, read_kit_file
from sealkeep_client.cli._output import count, print_json, say, when

if TYPE_CHECKING:
    from sealkeep_client.kit import RecoveryKit
    from sealkeep_client.vault import Closing, KitReport, MembershipChange, Vault

_kit_option = click.option(
    "--kit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The recovery kit, or what its QR code says, as a file.  [default: to type it, on a terminal]",
)
_relay_option = click.option(
    "--relay", metavar="URL", help="Where the account is kept now.  [default: the relay that the kit names]"
)


def _read(kit: Path | None) -> RecoveryKit:
    return type_kit() if kit is None else read_kit_file(kit)


@click.group()
def kit_command() -> None:
    """Try your recovery kit, or replace it."""


@kit_command.command("verify")
@_kit_option
@_relay_option
@json_option
def verify_kit_command(kit: Path | None, relay: str | None, as_json: bool) -> int:
    """Prove that the recovery kit brings everything back. Changes nothing.

    Every key of the account that the kit must open is opened, from the kit alone. Needs the relay, and no vault.
    """
    from sealkeep_client.vault import Vault

    report = run(Vault.verify_kit(_read(kit), relay=relay))
    if as_json:
        print_json(
            {
                "type": "kit verify",
                "restores_all": report.restores_all,
                "number": report.number,
                "epochs": report.epochs,
                "missing": list(report.missing),
                "missing_keys": [missing_json(key) for key in report.missing_keys],
                "lost": report.lost,
                "spoilt_by": list(report.spoilt_by),
                "in_force": report.in_force,
                "current": report.current,
                "replaced_by": report.replaced_by,
                "replaced": report.replaced_at,
            }
        )
        return 0 if report.restores_all else 1
    if report.restores_all:
        keys = _all(report.epochs) if not report.missing else "every key that anything was written under"
        click.echo(f"The kit is right: it opens {keys}, and so restores everything.")
        return 0
    for line in _shortcomings(report):
        say(line)
    return 1


def _all(epochs: int) -> str:
    return "the account's one key" if epochs == 1 else f"all {count(epochs)} keys of the account"


def _shortcomings(report: KitReport) -> list[str]:
    lines = []
    if report.replaced_by is not None:
        at = "" if report.replaced_at is None else f" on {when(report.replaced_at)}"
        lines.append(f"this is not the newest recovery kit: {quoted(report.replaced_by)} made another one{at}")
    if not report.in_force:
        return [*lines, "it restores nothing any more: destroy it, and keep the newest one"]
    opened, keys = count(report.epochs - len(report.missing)), count(report.epochs, "key")
    lost = count(report.lost, "segment") if report.lost else "nothing so far"
    lines.append(f"the kit opens {opened} of {keys}; {lost} was written under the others, which it does not restore")
    rest_with_devices = any(active for key in report.missing_keys for _, _, active in key.devices)
    if report.replaced_by is not None:
        lines.append("try the newest one; if you did not make that: `sealkeep recover --remove-others` with this one")
    elif report.spoilt_by and (rest_with_devices or not report.missing_keys):
        names = ", ".join(map(quoted, report.spoilt_by))
        lines.append(
            f"{names} renewed the keys and gave the kit one that does not open; `sealkeep rotate` on a device that reads"
            " everything gives it a good one: then try again"
        )
    else:
        lines += missing_lines(report.missing_keys)
    return lines


@kit_command.command("replace")
@new_kit_option("--kit", "Where the new recovery kit is written")
@kit_in_hand_option("Sign with the old kit itself: then it cannot do anything any more.")
@click.option(
    "--confirm/--no-confirm",
    default=True,
    help="Ask for two groups of the kit back, on a terminal.  [default: confirm]",
)
@json_option
@pass_app
def replace_kit_command(app: App, new_kit: Path | None, old_kit: Path | None, confirm: bool, as_json: bool) -> None:
    """Make a new recovery kit. The old one by itself opens nothing that is written from then on.

    Without --with, the old kit keeps a last right, so that a stolen device cannot shut you out: whoever has it can remove
    your devices, and take the account over as it was until now. Where somebody else may have seen it, sign with it.
    """
    file = KitFile(new_kit)
    old = kit_in_hand(old_kit)

    async def replace(vault: Vault) -> MembershipChange:
        return await vault.replace_kit(on_kit=file.keep, prepared=file.prepared, kit=old)

    with file.telling():
        change = app.with_vault(replace)
    if as_json:
        print_json({"type": "kit replace", "entry": change.entry, "kit": str(file.path), "ended": old is not None})
        return
    if change.entry is None:
        click.echo(f"{file.path} is your recovery kit already; --kit gives a further one another name.")
        return
    tell_new_kit(file, "The recovery kit is replaced.")
    click.echo(
        "What was written until now it can still open, for whoever has kept a copy of that: nobody can undo this."
    )
    if old is None:
        click.echo(
            "It can also still remove all of your devices, as after a theft. `sealkeep kit replace --with FILE`, signed"
            " with the kit that is replaced, leaves it not even that."
        )
    if confirm and file.written is not None:
        confirm_kit(file.written)


@click.command()
@_kit_option
@_relay_option
@json_option
def close_account_command(kit: Path | None, relay: str | None, as_json: bool) -> None:
    """Close your account at the relay, with its recovery kit.

    The relay then takes and gives nothing any more. What your devices have stays on them, and can be read and exported.
    Asks first, on a terminal.
    """
    from sealkeep_client.vault import Vault

    page = _read(kit)

    async def close() -> Closing:
        if can_ask():
            click.echo(
                "Export what you want to keep first, on a device: `sealkeep export OUT --format html`.", err=True
            )
            if not await ask("Close the account for good?"):
                raise click.ClickException("nothing was changed")
        return await Vault.close_account(page, relay=relay)

    closing = run(close())
    if as_json:
        said = {"days": closing.days, "before": closing.before, "closed": closing.at}
        print_json({"type": "close-account", "account": page.account.hex(), **said})
        return
    if not closing.days:
        already = " already" if closing.before else ""
        click.echo(f"The account is closed{already}: the relay takes and gives nothing any more.")
    elif closing.before:
        on = "" if closing.at is None else f" on {when(closing.at)}"
        click.echo(
            f"The account was closed before{on}. Your devices are shut out {closing.days} days after that, unless an"
            " older recovery kit takes it back."
        )
    else:
        click.echo(f"The account is closed in {closing.days} days, unless an older recovery kit takes it back before.")
