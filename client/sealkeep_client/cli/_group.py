"""The group of all commands: its own, known by name and loaded when used, and plug-ins from the entry points.

`sealkeep --help` imports none of them, so that it answers at once and needs no server.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from sealkeep_client.cli._app import App, default_home

ENTRY_POINTS: Final = "sealkeep.commands"


class _Own(NamedTuple):
    module: str
    about: str


_OWN: Final = {
    "init": _Own("_account", "Begin: a new account on this device, and its recovery kit."),
    "recover": _Own("_account", "Bring everything back on a new device, from the recovery kit."),
    "link": _Own("_pairing", "Join an account that another device of yours is in."),
    "accept": _Own("_pairing", "Let a new device in, by the code that it shows."),
    "import": _Own("_import", "Take in exports of Telegram, WeChat and WhatsApp."),
    "sync": _Own("_sync", "Send and fetch what is new."),
    "status": _Own("_sync", "Show what is here, and what waits to be sent."),
    "repair": _Own("_views", "Bring back to a restored relay what this device holds."),
    "checkpoint": _Own("_views", "Compare with another device what both were shown."),
    "evidence": _Own("_views", "Check a file that proves a fork."),
    "verify": _Own("_sync", "Read everything from the relay again, and prove it."),
    "devices": _Own("_devices", "List the devices of your account, and its signed history."),
    "remove": _Own("_devices", "Remove devices from your account."),
    "rotate": _Own("_devices", "Renew your account's keys."),
    "kit": _Own("_kit", "Try your recovery kit, or replace it."),
    "close-account": _Own("_kit", "Close your account at the relay."),
    "chats": _Own("_read", "List the chats."),
    "show": _Own("_read", "Show the messages of a chat."),
    "search": _Own("_read", "Find messages by words."),
    "files": _Own("_files", "List the files of messages."),
    "attach": _Own("_files", "Add files to a message."),
    "save": _Own("_files", "Write the files of a message out."),
    "export": _Own("_export", "Write everything as JSON lines, or as a page to read."),
}
# A plug-in is not loaded to be listed; this is what its package would say.
_ABOUT: Final = {"relay": "Run a relay."}


class Commands(click.Group):
    """Finds commands by name. `debug` remembers the global option for failures that have no context."""

    debug = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OWN, *sorted(_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            module = importlib.import_module(f"sealkeep_client.cli.{_OWN[cmd_name].module}")
            command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
            return command
        plugin = _plugins().get(cmd_name)
        return None if plugin is None else _load(plugin)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            raise click.UsageError(f"there is no command `{name}`{_alike(name, self.list_commands(ctx))}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, own.about) for name, own in _OWN.items()])
        plugins = _plugins()
        if plugins:
            with formatter.section("Further commands"):
                formatter.write_dl(
                    [(name, _ABOUT.get(name, f"From {_package(plugins[name])}.")) for name in sorted(plugins)]
                )


def _plugins() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS) if point.name not in _OWN}


def _load(plugin: metadata.EntryPoint) -> click.Command:
    try:
        command: Any = plugin.load()
    except Exception as error:
        raise click.ClickException(
            f"the command `{plugin.name}` of {_package(plugin)} does not load: {type(error).__name__}: {error};"
            " install that package again, or remove it"
        ) from error
    if not isinstance(command, click.Command):
        raise click.ClickException(f"the command `{plugin.name}` of {_package(plugin)} is not a command; remove it")
    return command


def _package(plugin: metadata.EntryPoint) -> str:
    return f"the package {plugin.dist.name}" if plugin.dist is not None else "an unknown package"


def _alike(name: str, names: list[str]) -> str:
    import difflib

    found = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"sealkeep {metadata.version('sealkeep')}")
        ctx.exit()


@click.command(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has its own --help. Exit status: 0 done, 1 failed, 2 called wrongly, 3 the relay misbehaved.",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SEALKEEP_HOME",
    metavar="DIR",
    help="This device's state; made when missing.  [env: SEALKEEP_HOME; default: your data directory]",
)
@click.option("--debug", is_flag=True, help="Show where in the program an error arose.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
@click.pass_context
def sealkeep(ctx: click.Context, home: Path | None, debug: bool) -> None:
    """Keep your chats, end-to-end encrypted, on a relay that cannot read them, and in step on all your devices."""
    sealkeep.debug = debug
    ctx.obj = App(home or default_home())
