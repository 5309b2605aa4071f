"""Questions on the terminal: such as must not stop what goes on meanwhile, and for what nobody else may read."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sealkeep_client.cli._output import say


def can_ask() -> bool:
    """Whether a person is there to be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


async def ask(question: str) -> bool:
    """Ask on the terminal; anything but a yes is a no. Ctrl-C ends the waiting at once.

    What was typed before the question is no answer to it.
    """
    _forget_typed()
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    return (await _line()).strip().lower() in ("y", "yes")


@contextmanager
def unseen() -> Iterator[None]:
    """Let the terminal not show what is typed meanwhile, and so not keep it. Where it cannot do that, it is said."""
    if sys.platform == "win32":  # pragma: no cover (`read_line` hides it there)
        yield
        return
    import termios

    terminal = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(terminal)
        changed = termios.tcgetattr(terminal)
        changed[3] = changed[3] & ~termios.ECHO | termios.ECHONL
        # What was typed or pasted ahead stays: it may be the next lines.
        termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
    except termios.error:
        say("this terminal shows what you type: clear it afterwards, and what can be scrolled back to")
        yield
        return
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def read_line(question: str, *, hidden: bool = False) -> str:
    """Ask for a line on the terminal. Raises `click.Abort` for Ctrl-C and at the end of input."""
    if hidden and sys.platform == "win32":  # pragma: no cover
        return getpass.getpass(f"{question}: ")
    click.echo(f"{question}: ", nl=False, err=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        raise click.Abort
    return line.rstrip("\r\n")


def _forget_typed() -> None:
    if sys.platform != "win32" and sys.stdin.isatty():
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _line() -> str:
    """A line that is typed; empty at the end of input."""
    if sys.platform == "win32":  # pragma: no cover (its event loop watches no console)
        return await asyncio.to_thread(sys.stdin.readline)
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        # A terminal hands over whole lines.
        if not typed.done():
            typed.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        return await typed
    finally:
        loop.remove_reader(sys.stdin.fileno())
