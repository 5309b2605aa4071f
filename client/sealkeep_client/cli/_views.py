"""`checkpoint`, `repair` and `evidence`: whether all devices were shown one history, and what to do where they were not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._output import bold, clean_line, count, dim, print_json, print_table
from sealkeep_client.cli._progress import progress_bar
from sealkeep_client.cli._watch import json_enrolled, tell_enrolled
from sealkeep_protocol.errors import HistoryError, PeerError

if TYPE_CHECKING:
    from sealkeep_client.vault import Checkpoint, Lost, RepairReport, Vault
    from sealkeep_protocol.evidence import Finding

_LONGEST_EVIDENCE: Final = 64 << 20


# Checkpoints


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD WORD]")
@json_option
@pass_app
def checkpoint_command(app: App, words: tuple[str, ...], as_json: bool) -> None:
    """Compare with another device what both were shown.

    Sync both devices. On one, `sealkeep checkpoint` shows two random words and a code of four. On the other, give it the
    two words: it shows the same code exactly when the relay has shown both the same history. Needs no relay.
    """
    if len(words) not in (0, 2):
        raise click.UsageError("give the two words that the other device shows, or none")

    async def compute(vault: Vault) -> Checkpoint:
        return await vault.checkpoint((words[0], words[1]) if words else None)

    shown = app.with_vault(compute)
    if as_json:
        feeds = [{"device": device, "name": name, "seq": seq} for device, name, seq in shown.feeds]
        print_json(
            {"type": "checkpoint", "words": shown.words, "code": shown.code, "entry": shown.entry, "feeds": feeds}
        )
        return
    if not words:
        click.echo(f"{dim('Words')}  {bold(' '.join(shown.words))}")
    click.echo(f"{dim('Code ')}  {bold(' '.join(shown.code))}\n")
    if not words:
        click.echo(f"On another device of yours: `sealkeep checkpoint {' '.join(shown.words)}`")
    click.echo("If it shows the same code, both were shown the same history, up to here:\n")
    rows = [(f"{name} ({device})", count(seq)) for device, name, seq in shown.feeds]
    print_table(("Device", "Segments"), [*rows, ("changes of the account", count(shown.entry + 1))], right=(1,))
    click.echo(
        "\nIf the code differs, compare these numbers. Where they differ too, sync both devices and begin again. Where\n"
        "they are the same, your devices were shown different histories: keep both as they are, and change nothing."
    )


# Repair


@click.command()
@json_option
@pass_app
def repair_command(app: App, as_json: bool) -> None:
    """Bring back to a relay that was restored from a backup what this device holds.

    A relay that lost something is reported by every device that has seen more. Ask whoever runs it; if it was restored
    from a backup, run this on each of your devices, one after the other.
    """

    async def work(vault: Vault) -> tuple[RepairReport, HistoryError | None]:
        with progress_bar(quiet=as_json) as progress:
            report = await vault.repair(progress=progress)
            try:
                await vault.sync(progress=progress)
            except HistoryError as error:
                if not report.missing:
                    raise
                return report, error
        return report, None

    report, error = app.with_vault(work)
    if as_json:
        print_json(
            {
                "type": "repair",
                "entries": report.entries,
                "segments": report.segments,
                "missing": [
                    {"device": m.device, "first": m.first, "last": m.last, "removed": m.removed} for m in report.missing
                ],
                "enrolled": json_enrolled(report.enrolled),
            }
        )
    else:
        _tell_repaired(report)
    if error is not None:
        raise error


def _tell_repaired(report: RepairReport) -> None:
    if report.entries or report.segments:
        click.echo(
            f"Brought back: {count(report.segments, 'segment')},"
            f" {count(report.entries, 'change of the account', 'changes of the account')}."
        )
    elif not report.missing:
        click.echo("The relay shows all that this device has seen.")
    tell_enrolled(report.enrolled)
    for lost in report.missing:
        click.echo(f"Not here either: {_named(lost)}. Run `sealkeep repair` on your other devices.")
        if lost.removed:
            click.echo(
                f"That device was removed. If none of yours has it: `sealkeep remove {lost.device} --discard-after"
                f" {lost.first - 1} --with KIT`, with your oldest recovery kit, gives it up; then repair again."
            )


def _named(lost: Lost) -> str:
    return f"of device {lost.device}, " + (
        f"segment {lost.first}" if lost.first == lost.last else f"segments {lost.first} to {lost.last}"
    )


# Evidence


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def evidence_command(file: Path, as_json: bool) -> None:
    """Check a file that proves a fork: two signed statements that contradict each other.

    Needs no vault and no relay: the file holds all that it takes. It gives away no message, and no key.
    """
    from sealkeep_protocol.evidence import decode_evidence, verify_evidence

    with file.open("rb") as opened:
        data = opened.read(_LONGEST_EVIDENCE + 1)
    try:
        finding = verify_evidence(decode_evidence(data))
    except PeerError as error:
        raise click.ClickException(f"{file} proves nothing: {clean_line(str(error))} ({error.code})") from error
    if as_json:
        print_json(
            {
                "type": "evidence",
                "kind": finding.kind.name.lower(),
                "account": finding.account.hex(),
                "accused": finding.accused,
                "places": [{"device": place.device, "seq": place.seq} for place in finding.places],
                "entry": finding.entry,
                "relay": None if finding.identity is None else finding.identity.hex(),
            }
        )
        return
    click.echo(f"{bold('Proven:')} {_proven(finding)}")
    click.echo(_meaning(finding))
    click.echo(f"Account {finding.account.hex()}")
    if finding.identity is not None:
        click.echo(f"Relay   {finding.identity.hex()}")


def _proven(finding: Finding) -> str:
    if finding.accused == "roster":
        return f"two different histories of the account were signed; they part at its change number {finding.entry}."
    place = finding.places[0]
    if finding.accused == "devices":
        named = finding.places[1]
        return (
            f"device {place.device} signed (segment {place.seq}) that it was shown another segment {named.seq} of device"
            f" {named.device} than this one, which device {named.device} signed."
        )
    if finding.accused == "relay":
        shown = f"segment {place.seq} of device {place.device}"
        return f"the relay has refused {shown} by its signature; it is shown all the same."
    return f"the keys of device {place.device} signed two different segments {place.seq}."


def _meaning(finding: Finding) -> str:
    author = finding.places[0].device if finding.places else None
    return {
        "device": (
            "Either that device runs twice (its home was copied), or somebody else has its keys; or the relay had refused"
            " one of the two: then that device can show the refusal, and it is the relay that lies."
        ),
        "devices": "One of the two signed two histories, or says so wrongly.",
        "relay": (
            f"An honest relay never shows it. But device {author} has both the segment and the refusal: this proves it to"
            " those who know that they did not come from there."
        ),
        "roster": "Whoever showed both to this account's devices has forked it.",
    }[finding.accused]
