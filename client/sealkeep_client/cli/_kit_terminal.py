"""The recovery kit on a terminal: typed group by group, and two groups of it asked back when it is new."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from sealkeep_client.cli._asking import read_line, unseen
from sealkeep_client.cli._output import say
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.kit import GROUPS

if TYPE_CHECKING:
    from sealkeep_client.kit import RecoveryKit

Choose: TypeAlias = Callable[[Sequence[int]], Sequence[int]]
_TRIES: Final = 3  # wrong answers in all


def choose_two(numbers: Sequence[int]) -> Sequence[int]:
    """Two of the numbers, by chance."""
    return sorted(secrets.SystemRandom().sample(numbers, 2))


def confirm_kit(kit: RecoveryKit, choose: Choose = choose_two) -> bool:
    """Ask for two groups of the code, where somebody can answer; whether they were right. Nothing depends on it."""
    from sealkeep_client.kit import is_group

    if not _is_asked():
        return False
    click.echo(
        "Is it there and can it be read? Type two groups of its code from the page; they are not shown here.", err=True
    )
    tries = _TRIES
    try:
        with unseen():
            for number in choose(range(1, GROUPS + 1)):
                while not is_group(kit, number, read_line(f"Code, group {number}", hidden=True)):
                    tries -= 1
                    if not tries:
                        _say_unconfirmed()
                        return False
                    say(f"that is not group {number} of this kit's code; look at the page again")
    except click.Abort:
        click.echo(err=True)  # below what the terminal shows of Ctrl-C or Ctrl-D
        _say_unconfirmed()
        return False
    click.echo("The kit is right.", err=True)
    return True


def type_kit(option: str = "--kit") -> RecoveryKit:
    """Ask for the kit's lines. Raises `UsageError` where nobody can answer; `option` gives a file instead."""
    from sealkeep_client.kit import KitError, Typing

    if not _is_asked():
        raise UsageError(f"no kit: give its file with {option} FILE, or run this on a terminal to type it")
    click.echo(
        "Type the recovery kit as it stands on the page. Capitals and spaces do not matter,\n"
        "and several groups may be typed at once. The code is not shown while you type it, so that it does not stay on\n"
        "this screen; what is mistyped is told by its group. Ctrl-C ends this, and changes nothing.",
        err=True,
    )
    typing = Typing()
    with ExitStack() as hiding:
        hiding.enter_context(unseen())
        while True:
            if not typing.is_secret:
                hiding.close()
            try:
                kit = typing.answer(read_line(typing.prompt, hidden=typing.is_secret))
            except KitError as error:
                say(str(error))
                continue
            if kit is not None:
                return kit


def _say_unconfirmed() -> None:
    say("the kit was not confirmed; the vault is made and nothing is lost: `sealkeep kit verify` tries the kit later")


def _is_asked() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
