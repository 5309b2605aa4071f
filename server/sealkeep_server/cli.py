"""`sealkeep relay`: run the relay."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

from sealkeep_server.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

_ENVIRONMENT = "SEALKEEP_RELAY_"


def _address(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int]:
    host, _colon, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter("give HOST:PORT, such as 127.0.0.1:8440")
    return host.strip("[]"), int(port)


def _with_settings(command: Command) -> Command:
    """A flag and an environment variable for every setting, under its own name."""
    for setting in reversed(fields(Settings)):
        command = click.option(
            f"--{setting.name.replace('_', '-')}",
            type=type(setting.default),
            default=setting.default,
            show_default=True,
            envvar=_ENVIRONMENT + setting.name.upper(),
            help=f"{setting.metadata['about'].capitalize()}.",
        )(command)
    return command


@click.group(invoke_without_command=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_data_path("sealkeep-relay"),
    show_default="the user's data directory",
    envvar=_ENVIRONMENT + "DATA",
    help="Where everything is kept; made when missing.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8440",
    show_default=True,
    callback=_address,
    envvar=_ENVIRONMENT + "LISTEN",
    metavar="HOST:PORT",
    help="Port 0 takes a free one.",
)
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON object.")
@click.option("--debug", is_flag=True, envvar=_ENVIRONMENT + "DEBUG", help="Log everything, peers' input too.")
@_with_settings
@click.pass_context
def relay(
    ctx: click.Context, /, data: Path, listen: tuple[str, int], as_json: bool, debug: bool, **values: float | str
) -> None:
    """Run a relay: one process, one directory, no other service.

    It keeps what devices send, and cannot read it. Stop it with SIGTERM or Ctrl-C.
    """
    ctx.obj = data
    if ctx.invoked_subcommand is not None:
        return
    # Imported here, so that other commands of `sealkeep` need not load a server.
    from sealkeep_server import app, log
    from sealkeep_server.stores import OpenError

    try:
        settings = Settings(**values)  # type: ignore[arg-type]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    log.configure(debug=debug)

    def ready(listening: app.Listening) -> None:
        if as_json:
            said = {
                "type": "listening",
                "url": listening.url,
                "identity": listening.identity.hex(),
                "incarnation": listening.incarnation.hex(),
            }
            click.echo(json.dumps(said))
        else:
            click.echo(f"sealkeep relay {listening.identity.hex()} listens on {listening.url}")

    try:
        app.run(data, *listen, settings, ready=ready)
    except OpenError as error:
        raise click.ClickException(str(error)) from error


@relay.command()
@click.pass_obj
def restored(data: Path) -> None:
    """Say that the data directory came from a backup. Once, before the relay starts again.

    Devices that have seen more than the backup holds notice it in any case. This tells them why, and lets their owners
    bring back with `sealkeep repair` what their devices still hold.
    """
    from sealkeep_server.stores import OpenError
    from sealkeep_server.stores.sqlite import mark_restored

    try:
        incarnation = mark_restored(data, time.time_ns() // 1_000_000)
    except OpenError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{data} has a new incarnation, {incarnation.hex()}: devices are told that it was restored.")
