"""The file that a new recovery kit goes to, for all commands that may make one."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sealkeep_client.cli._failures import Stopped
from sealkeep_client.cli._output import say
from sealkeep_protocol.errors import TransportError, UsageError

if TYPE_CHECKING:
    from sealkeep_client.kit import RecoveryKit
    from sealkeep_client.vault import KitInfo


def check_ending(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """The name of a kit that is to be written says its form."""
    from sealkeep_client.kit import ENDINGS

    if value is not None and value.suffix.lower() not in ENDINGS:
        raise click.BadParameter(f"its name says what is written, by ending in {', '.join(ENDINGS)}")
    return value


def new_kit_option(name: str, about: str) -> Callable[..., Any]:
    """`--kit FILE` or the like: where a new kit is written, with the date in its name unless given."""
    return click.option(
        name,
        "new_kit",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=check_ending,
        metavar="FILE",
        help=f"{about}: .pdf, .svg or .txt; never over an existing file.  [default: sealkeep-recovery-kit-DATE.pdf]",
    )


TYPED: Final = "-"  # in place of a kit's file: it is typed on the terminal


def kit_in_hand_option(about: str) -> Callable[..., Any]:
    """`--with FILE`: a kit that signs, in place of this device."""
    return click.option(
        "--with",
        "old_kit",
        type=click.Path(dir_okay=False, exists=True, allow_dash=True, path_type=Path),
        metavar="FILE",
        help=f"{about} `--with {TYPED}` asks for it line by line, on a terminal.",
    )


def kit_in_hand(given: Path | None) -> RecoveryKit | None:
    """The kit that `--with` gives, from its file or typed; None where it was not given."""
    if given is None:
        return None
    if str(given) != TYPED:
        return read_kit_file(given)
    from sealkeep_client.cli._kit_terminal import type_kit

    return type_kit("--with")


def read_kit_file(path: Path) -> RecoveryKit:
    """Read a kit from a file, and say so where others of this machine can read it as well."""
    from sealkeep_client.kit import read_kit

    kit = read_kit(path)
    _warn_of_readers(path)
    return kit


def _warn_of_readers(path: Path) -> None:
    if sys.platform == "win32":  # whose permissions are not in the mode
        return
    found = path.stat()
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        say(
            f"{path} can be read by others on this machine, and whoever reads a recovery kit has the account:"
            f" `chmod 600 {shlex.quote(str(path))}`, or delete it when it is printed"
        )


class KitFile:
    """Where a new kit goes. One that an earlier call wrote there, and did not come to use, is used first.

    `option` names the file. `written` is the kit that stands there by now.
    """

    def __init__(self, path: Path | None, *, option: str = "--kit") -> None:
        from sealkeep_client.kit import KitError, read_written

        self._option = option
        self._is_new = False  # written by this call
        self.path = path or Path(f"sealkeep-recovery-kit-{datetime.date.today().isoformat()}.pdf")
        self.prepared: RecoveryKit | None = None
        self.written: RecoveryKit | None = None
        if self.path.is_file():
            try:
                self.prepared = self.written = read_written(self.path)
            except KitError:
                self.prepared = None  # something else, which is not written over

    def keep(self, kit: RecoveryKit) -> None:
        """Write it, durably, for its owner alone. Raises `UsageError` where something else is there."""
        from sealkeep_client.kit import write_kit

        try:
            write_kit(self.path, kit)
        except FileExistsError:
            raise UsageError(
                f"{self.path} is there already: a kit is never written over; give another name with {self._option}"
            ) from None
        self.written = kit
        self._is_new = True

    @contextlib.contextmanager
    def telling(self, in_force: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Where what puts the kit in force fails, say what the file is: unless it is `in_force`, nobody knows."""
        try:
            yield
        except BaseException as error:
            unknown = self._is_new or (self.prepared is not None and isinstance(error, (TransportError, Stopped)))
            if unknown and not in_force():
                say(
                    f"{self.path} is written, and it is not known whether it is in force: keep it beside the one that you"
                    f" had; the same command again, with `{self._option} {shlex.quote(str(self.path))}`, finds out"
                )
            raise

    def drop_other(self, kits: Sequence[KitInfo]) -> None:
        """Forget the kit that stands there where it is not the current one of the account."""
        from sealkeep_protocol.keys import PrivateKeys

        if self.written is not None:
            own = PrivateKeys.of_recovery(self.written.seed).signing.public
            if not any(kit.current and kit.key == own for kit in kits):
                self.written = None
