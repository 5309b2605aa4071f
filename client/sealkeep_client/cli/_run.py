"""From the process to a command and back: arguments in, an exit status out, every failure as plain lines."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from sealkeep_client.cli._failures import FAILED, USAGE, explain
from sealkeep_client.cli._group import sealkeep
from sealkeep_client.cli._output import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. `arguments` are those of the process unless given."""
    sealkeep.debug = False
    _fill_channels()
    _forgive_encodings()
    try:
        status = sealkeep.main(args=arguments, prog_name="sealkeep", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing is left to be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if sealkeep.debug:
            traceback.print_exc()
        explanation = explain(error)
        say(*explanation.lines)
        return explanation.status


def _fill_channels() -> None:
    """Let nothing be opened, and written into, in the place of a standard channel that whoever calls has closed."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))


def _forgive_encodings() -> None:
    """Let a terminal of a small character set show `?`, rather than fail on somebody's emoji."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
