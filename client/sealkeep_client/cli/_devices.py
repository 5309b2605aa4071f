"""`devices`, `remove` and `rotate`: who belongs to the account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._asking import ask, can_ask
from sealkeep_client.cli._device_log import entry_json, print_log
from sealkeep_client.cli._names import cell, quoted, signer
from sealkeep_client.cli._new_kit import KitFile, kit_in_hand, kit_in_hand_option, new_kit_option
from sealkeep_client.cli._news import news_lines
from sealkeep_client.cli._output import ago, bold, print_json, print_table, say, when
from sealkeep_protocol.errors import PeerError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealkeep_client.vault import DeviceInfo, KitInfo, MembershipChange, RosterChange, Vault


@click.command()
@click.option("--log", is_flag=True, help="The signed history of every change of keys, devices and recovery kits.")
@json_option
@pass_app
def devices_command(app: App, log: bool, as_json: bool) -> None:
    """List the devices of your account. Needs no relay: it shows what the last sync brought."""

    async def look(vault: Vault) -> tuple[list[DeviceInfo], list[KitInfo], list[RosterChange]]:
        return await vault.devices(), await vault.kits(), await vault.device_log()

    devices, kits, history = app.with_vault(look)
    if log:
        if as_json:
            for change in history:
                print_json(entry_json(change))
        else:
            print_log(history)
        return
    if as_json:
        for device in devices:
            print_json(device_json(device))
        for kit in kits:
            print_json(_kit_json(kit))
        return
    print_devices(devices)
    warn_of_kits(kits, devices)


def print_devices(devices: Sequence[DeviceInfo]) -> None:
    """The table of devices."""
    now = time.time()
    rows = [
        [
            str(device.number),
            cell(device.name),
            _added(device),
            _seen(device, now),
            _state(device),
        ]
        for device in devices
    ]
    print_table(["No.", "Name", "Added", "Last seen", ""], rows, right=(0,), last=1)


def _added(device: DeviceInfo) -> str:
    how = "with the account" if device.number == 1 else f"by {signer(device.added_by)}"
    return how if device.added_at is None else f"{when(device.added_at)}, {how}"


def _seen(device: DeviceInfo, now: float) -> str:
    if device.last_seen is None:
        return "never"
    if device.seen_from == "messages":  # a device that has imported them may have done so at any later time
        return f"wrote messages of {when(device.last_seen)[:10]}"
    return ago(device.last_seen, now)


def _presented(device: DeviceInfo) -> str:
    """The same in a line of its own."""
    seen = _seen(device, time.time())
    if device.last_seen is None:
        seen = "never seen"
    elif device.seen_from != "messages":
        seen = f"last seen {seen}"
    return f"{quoted(device.name)} (device {device.number}), added by {signer(device.added_by)}, {seen}"


def _state(device: DeviceInfo) -> str:
    if device.removed_by is not None:
        at = "" if device.removed_at is None else f" {when(device.removed_at)}"
        return f"removed{at}, by {signer(device.removed_by)}"
    return "this device" if device.this else "active"


def warn_of_kits(kits: Sequence[KitInfo], devices: Sequence[DeviceInfo]) -> None:
    """Say which recovery kits a removed device made that are still in force."""
    first = next(kit.number for kit in kits if kit.in_force)  # above which none ranks: the owner's own
    suspects = [kit for kit in kits if kit.in_force and kit.removed_device and kit.number > first]
    for device in devices:
        numbers = [str(kit.number) for kit in suspects if kit.device == device.number]
        if numbers:
            which = (
                f"recovery kit {numbers[0]} was" if len(numbers) == 1 else f"recovery kits {', '.join(numbers)} were"
            )
            say(
                f"{which} made on {quoted(device.name)}, which was removed, and can remove your devices 7 days after that;"
                f" if you did not do it, end this with your own, older kit: `sealkeep remove {device.number} --with FILE`"
            )


def device_json(device: DeviceInfo) -> dict[str, Any]:
    return {
        "type": "device",
        "number": device.number,
        "name": device.name,
        "state": "removed" if device.removed_by is not None else "active",
        "this": device.this,
        "added_by": device.added_by,
        "brought_by": device.brought_by,
        "added": device.added_at,
        "last_seen": device.last_seen,
        "seen_from": device.seen_from,
        "segments": device.segments,
        "removed_by": device.removed_by,
        "removed": device.removed_at,
    }


def _kit_json(kit: KitInfo) -> dict[str, Any]:
    return {
        "type": "kit",
        "number": kit.number,
        "set_by": kit.set_by,
        "set": kit.set_at,
        "current": kit.current,
        "in_force": kit.in_force,
        "device": kit.device,
        "device_removed": kit.removed_device,
    }


@click.command()
@click.argument("devices", nargs=-1, required=True, metavar="DEVICE...")
@kit_in_hand_option("Sign with this recovery kit. It also ends the kits that a removed device made later.")
@new_kit_option("--kit", "Where a new recovery kit is written, if a removed device has seen the one that you have")
@click.option(
    "--discard",
    is_flag=True,
    help="Give up what it wrote from where it does not hold, or while it goes on; with your oldest kit (--with) also of a"
    " device that was removed before.",
)
@click.option(
    "--discard-after",
    type=click.IntRange(min=0),
    metavar="SEQ",
    help="Give up what it wrote after this segment.",
)
@json_option
@pass_app
def remove_command(
    app: App,
    devices: tuple[str, ...],
    old_kit: Any,
    new_kit: Any,
    discard: bool,
    discard_after: int | None,
    as_json: bool,
) -> None:
    """Remove devices from your account, by name or number.

    From then on a removed device reads and writes nothing any more; what it has stays on it, and what it wrote stays with
    you. Asks first, on a terminal.
    """
    if discard_after is not None and len(devices) > 1:
        raise UsageError("--discard-after is for one device at a time")
    kit = kit_in_hand(old_kit)
    file = KitFile(new_kit)
    names: dict[int, str] = {}

    async def work(vault: Vault) -> tuple[MembershipChange, list[DeviceInfo], list[KitInfo]]:
        known = (await vault.device_log())[-1].number  # before a sync brings what nobody has looked at
        chosen = await _choose(vault, devices)
        names.update({device.number: device.name for device in chosen})
        gives_up = discard or discard_after is not None
        if gives_up or any(device.removed_by is None for device in chosen):
            chosen = await _ask(chosen, await vault.devices(), await vault.kits(), file)
            names.update({device.number: device.name for device in chosen})
        given_up = dict.fromkeys(names, discard_after) if gives_up else {}
        change = await vault.remove(
            *names, on_kit=file.keep, prepared=file.prepared, kit=kit, since=known, discard=given_up
        )
        return change, await vault.devices(), await vault.kits()

    try:
        with file.telling():
            change, now, kits = app.with_vault(work)
    except PeerError as error:
        if error.device in names and not discard:
            say(f"--discard removes {_named(error.device, names)} all the same, and gives up what it wrote from there")
        raise
    except RefusedError as refused:
        if refused.code == "pinned":
            say("it goes on writing; --discard removes it all the same, and gives up what it writes meanwhile")
        raise
    staying = _brought_in(now, {*names, *(number for number, _ in change.removed)})
    _tell_removed(change, names, file, staying, as_json)
    if not as_json:
        warn_of_kits(kits, now)


def _named(number: int | None, names: dict[int, str]) -> str:
    return f"{quoted(names.get(number or 0, ''))} (device {number})"


async def _choose(vault: Vault, wanted: Sequence[str]) -> list[DeviceInfo]:
    """The devices that were meant. One that is not known here may have come since: then this device syncs first."""
    known = await vault.devices()
    if not all(_matching(known, word) for word in wanted):
        for line in news_lines((await vault.sync()).changes):
            say(line)
        known = await vault.devices()
    chosen: dict[int, DeviceInfo] = {}
    for word in wanted:
        matching = _matching(known, word)
        if not matching:
            raise UsageError(f"there is no device “{word}”; `sealkeep devices` lists them")
        if len(matching) > 1:
            numbers = ", ".join(str(device.number) for device in matching)
            raise UsageError(f"several devices are called “{word}”: give one of the numbers {numbers}")
        if matching[0].this:
            raise UsageError("a device does not remove itself: run this on another one of yours")
        chosen[matching[0].number] = matching[0]
    return list(chosen.values())


def _matching(known: Sequence[DeviceInfo], word: str) -> list[DeviceInfo]:
    by_number = [device for device in known if word == str(device.number)]
    by_name = [device for device in known if device.name == word]
    return by_number or [device for device in by_name if device.active] or by_name


def _brought_in(known: Sequence[DeviceInfo], removed: set[int]) -> list[DeviceInfo]:
    """The active devices that these have added, and those have, and so on; not this one."""
    gone = set(removed)
    found: list[DeviceInfo] = []
    for device in sorted(known, key=lambda device: device.number):  # whoever adds was there before
        if device.brought_by in gone and device.number not in gone:
            gone.add(device.number)
            if device.active and not device.this:
                found.append(device)
    return found


async def _ask(
    chosen: list[DeviceInfo], known: Sequence[DeviceInfo], kits: Sequence[KitInfo], file: KitFile
) -> list[DeviceInfo]:
    """Let the person say yes, where somebody can; the devices that he means. Raises `ClickException` for anything else."""
    if not can_ask():
        return chosen
    for device in chosen:
        click.echo(_presented(device), err=True)
    also = _brought_in(known, {device.number for device in chosen})
    if also:
        names = {device.number: device.name for device in known}
        for device in also:
            adder = quoted(names.get(device.brought_by or 0, ""))
            click.echo(
                f"{quoted(device.name)} (device {device.number}) was added by {adder}, and would stay.", err=True
            )
        if await ask("Remove it also?" if len(also) == 1 else "Remove them also?"):
            chosen = [*chosen, *also]
    current = next(kit for kit in kits if kit.current)
    if current.device in {device.number for device in chosen}:
        click.echo(f"It has seen your recovery kit, so that a new one is made: {file.path}", err=True)
    which = "this device" if len(chosen) == 1 else "these devices"
    if all(device.removed_by is not None for device in chosen):
        question = "It was" if len(chosen) == 1 else "They were"
        question += " removed before. Give up what cannot be kept, on all devices and for good?"
    else:
        question = f"Remove {which} for good?"
    if not await ask(question):
        raise click.ClickException("nothing was changed")
    return chosen


def _tell_removed(
    change: MembershipChange, names: dict[int, str], file: KitFile, staying: Sequence[DeviceInfo], as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "type": "remove",
                "entry": change.entry,
                "removed": [{"number": number, "name": name} for number, name in change.removed],
                "kit": str(file.path) if change.new_kit else None,
                "given_up": [{"number": number, "name": name} for number, name in change.lowered],
                "kits_ended": change.ended,
                "staying": [
                    {"number": device.number, "name": device.name, "brought_by": device.brought_by}
                    for device in staying
                ],
            }
        )
        return
    _tell_of_change(change, names, file)
    if staying:
        names_of = ", ".join(f"{quoted(device.name)} (device {device.number})" for device in staying)
        numbers = " ".join(str(device.number) for device in staying)
        stays = "stays" if len(staying) == 1 else "stay"
        say(
            f"{names_of} came into the account from there, and {stays} in it: if that was not you,"
            f" `sealkeep remove {numbers}`"
        )


def _tell_of_change(change: MembershipChange, names: dict[int, str], file: KitFile) -> None:
    for number, name in change.lowered:
        click.echo(f"{quoted(name)} (device {number}) was removed before. What it wrote ends earlier now.")
    if change.entry is None:
        click.echo("It is removed already." if len(names) == 1 else "They are removed already.")
        return
    if change.ended:
        click.echo(
            f"{'It is' if len(names) == 1 else 'They are'} removed already; the recovery kits from there are ended now."
        )
    meant = [f"{quoted(name)} (device {number})" for number, name in change.removed if number in names]
    others = [f"{quoted(name)} (device {number})" for number, name in change.removed if number not in names]
    if meant:
        subject = "It reads and writes" if len(meant) == 1 else "They read and write"
        click.echo(f"Removed {', '.join(meant)}. {subject} nothing any more.")
    if others:
        click.echo(f"Removed as well, since it came from there meanwhile: {', '.join(others)}.")
    if change.new_kit:
        tell_new_kit(file, "A removed device had seen your recovery kit.")


def tell_new_kit(file: KitFile, why: str) -> None:
    """What to do with a kit that has just come into force."""
    click.echo(f"{why} Your new one is {bold(str(file.path))}: print it, put it in a safe place, and delete the file.")
    click.echo("Destroy the old one: by itself it opens nothing that is written from now on.")


@click.command()
@json_option
@pass_app
def rotate_command(app: App, as_json: bool) -> None:
    """Renew your account's keys. What is written from now on has new ones.

    Devices do this by themselves wherever it is needed: it does no harm.
    """

    async def renew(vault: Vault) -> MembershipChange:
        return await vault.rotate()

    change = app.with_vault(renew)
    if as_json:
        print_json({"type": "rotate", "entry": change.entry})
        return
    click.echo("The account's keys are renewed, for all of its devices and its recovery kit.")
