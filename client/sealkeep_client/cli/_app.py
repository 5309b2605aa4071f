"""What every command works with: the home, how it is unlocked, and a vault that is opened for one piece of work."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import platformdirs

from sealkeep_client.cli._failures import TERMINATED, Stopped
from sealkeep_client.cli._output import say

if TYPE_CHECKING:
    from sealkeep_client.store import Unlock
    from sealkeep_client.vault import Vault

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


def default_home() -> Path:
    """The home where none is given."""
    return platformdirs.user_data_path("sealkeep", appauthor=False)


class App:
    """The global options of one call."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def unlock_new(self) -> Unlock:
        """How a home that is about to be made will be kept. May ask on a terminal."""
        from sealkeep_client.cli._passphrase import for_new_home

        return for_new_home(self.home)

    def unlock_begun(self) -> Unlock:
        """How the home that was begun here, to join an account, is kept. May ask on a terminal."""
        from sealkeep_client.cli._passphrase import for_home

        return for_home(self.home, held=True)

    def with_vault(self, work: Callable[[Vault], Awaitable[T]]) -> T:
        """Open the vault, do the work, close it. May ask for the passphrase on a terminal before."""
        from sealkeep_client.cli._passphrase import for_home
        from sealkeep_client.vault import Vault

        unlock = for_home(self.home)

        async def open_and_work() -> T:
            async with await Vault.open(self.home, unlock=unlock) as vault:
                return await work(vault)

        return run(open_and_work())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on an event loop. Ctrl-C and SIGTERM cancel the work, and raise `Stopped` when it has been put down."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_terminable(work))
    except _Terminated:
        raise Stopped(status=TERMINATED) from None
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            click.echo(err=True)  # below the ^C that the terminal shows
        raise Stopped from None


class _Terminated(Exception):  # noqa: N818 (nothing went wrong)
    """The work has been put down after a SIGTERM."""


async def _terminable(work: Coroutine[Any, Any, T]) -> T:
    """Carry the work through; at the first SIGTERM it is cancelled, the second one ends the process."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return await work  # which has no such signal, or is not the one that gets it
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    came = False

    def end() -> None:
        nonlocal came
        came = True
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        return await task
    except asyncio.CancelledError:
        if came:
            raise _Terminated from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def run_or_tell(work: Coroutine[Any, Any, T], left: Callable[[], str | None]) -> T:
    """Run what begins something. A failure is told together with where it has left things, if not where they were."""
    try:
        return run(work)
    except Stopped as stopped:
        state = left()
        raise (stopped if state is None else stopped.saying(state)) from None
    except BaseException:
        state = left()
        if state is not None:
            say(state)
        raise


def json_option(command: Command) -> Command:
    """`--json`, for commands whose output a program may read."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(command)


pass_app = click.make_pass_decorator(App)
