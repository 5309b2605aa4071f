"""Questions that arise while something goes on, so that asking must not stop it."""

from __future__ import annotations

import asyncio
import sys

import click


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
