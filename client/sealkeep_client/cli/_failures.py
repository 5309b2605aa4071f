"""What a failure means to a person: an exit status, what happened, what is safe, what to do."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from sealkeep_protocol.errors import (
    MalformedError,
    PeerError,
    RefusedError,
    SealkeepError,
    SourceError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from sealkeep_protocol.kit import KitError

FAILED, USAGE, MISBEHAVED, STOPPED, TERMINATED = 1, 2, 3, 130, 143


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """The person pressed Ctrl-C, and the work has been put down; `state` says where that leaves him, and what to do.

    `status` is the exit status: another one where it was a signal from elsewhere.
    """

    def __init__(
        self, state: str = "nothing is lost; the same command again goes on from here", *, status: int = STOPPED
    ) -> None:
        super().__init__(state)
        self.state = state
        self.status = status

    def saying(self, state: str) -> Stopped:
        """The same, and where that leaves him."""
        return Stopped(state, status=self.status)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The exit status and the lines for standard error, without the leading `sealkeep:`."""

    status: int
    lines: tuple[str, ...]


# The promises of spec §1.2, in a person's words, by the code (spec §9.2) that says that one does not hold.
_AUTHORSHIP = "P3: only your own devices write your history, and nobody can change what they wrote"
_ORDER = "P4: nothing is dropped, put in another order, shown twice or rolled back without being noticed"
_FORKS = "P5: all your devices are shown one and the same history"
_REVOCATION = "P6: a removed device reads and writes nothing any more"
_NOTHING_LOST = "P9: what the relay has confirmed, it keeps"
_COMMITMENT = "P11: what is sealed opens under one key only"
_PROMISES: Final = {
    "signature": _AUTHORSHIP,
    "ciphertext": _AUTHORSHIP,
    "digest": _AUTHORSHIP,
    "key": _AUTHORSHIP,
    "author": _AUTHORSHIP,
    "roster": _AUTHORSHIP,
    "identity": "the relay is the one that this device, or the recovery kit, has known from the beginning",
    "commitment": _COMMITMENT,
    "rollback": _ORDER,
    "gap": _ORDER,
    "replay": _ORDER,
    "missing": _ORDER,
    "fork": _FORKS,
    "epoch": _REVOCATION,
    "pinned": _REVOCATION,
    "receipt": _NOTHING_LOST,
    "refusal": _NOTHING_LOST,
}
_MALFORMED = "the relay speaks sealkeep's protocol"
_SAFE = "everything that this device had; nothing of the refused data was taken over"
_TELL = "keep this device and its directory as they are; tell whoever runs the relay, with these lines"
_ADVICE: Final = {
    "unsupported": "update sealkeep: this was written by a newer version, or by something else altogether",
    "identity": "check the relay's address; if the relay was moved, ask whoever runs it before you go on",
    "rollback": "ask whoever runs the relay whether it was restored from a backup; delete nothing here",
    "clone": "`sealkeep sync` again: it goes on as a new device, and sends what only this one has",
}
_REPAIR: Final = (
    "if whoever runs it confirms that, `sealkeep repair` brings back what your devices hold; delete nothing here"
)

IF_REMOVED: Final = (
    "what is on it can still be read, and `sealkeep export OUT --format html` saves it, with what was not sent; to join"
    " again, in a new directory: `sealkeep --home NEWDIR recover`"
)
"""What is left to a device that was removed."""
_REFUSALS: Final = {
    "closed": "what is on this device can still be read and exported",
    "quota": "everything is safe on this device; ask whoever runs the relay for more room",
    "busy": "everything is safe on this device; try again in a minute",
    "unavailable": "everything is safe on this device; try again in a minute",
    "internal": "everything is safe on this device; try again, and tell whoever runs the relay",
    "timeout": "everything is safe on this device; try again",
    "not-found": "check the relay's address: this relay does not know the account",
}


def explain(error: BaseException) -> Explanation:
    """Say what an error means."""
    if isinstance(error, (Stopped, click.Abort, KeyboardInterrupt)):
        stopped = error if isinstance(error, Stopped) else Stopped()
        return Explanation(stopped.status, (_one_line(f"stopped: {stopped.state}"),))
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return Explanation(error.exit_code, (_one_line(error.format_message()),))
    if isinstance(error, click.exceptions.Exit):
        return Explanation(error.exit_code, ())
    if isinstance(error, PeerError):
        return _misbehaved(error)
    if isinstance(error, SealkeepError):
        return Explanation(USAGE if isinstance(error, UsageError) else FAILED, (_one_line(_failed(error)),))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return Explanation(FAILED, (_one_line(f"{where}{error.strerror or error}"),))
    if isinstance(error, MemoryError):
        return Explanation(FAILED, ("there is not enough memory; nothing is lost",))
    what = f"{type(error).__name__}: {error}" if isinstance(error, ImportError) else type(error).__name__
    return Explanation(
        FAILED, (f"a fault in sealkeep itself ({what}); nothing is lost; --debug before the command shows where",)
    )


def _usage(error: click.UsageError) -> Explanation:
    message = _one_line(error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:]
    hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
    return Explanation(USAGE, (f"{message}{hint}",))


def _misbehaved(error: PeerError) -> Explanation:
    if error.code == "clone":
        # Not the relay's doing: two devices write as one.
        first = f"{error} ({error.code})"
        return Explanation(MISBEHAVED, (_one_line(first), _row("safe", _SAFE), _row("do", _ADVICE["clone"])))
    promise = _PROMISES.get(error.code, _MALFORMED)
    kind = "sent what cannot be right" if isinstance(error, MalformedError) else "seems to break a promise"
    return Explanation(
        MISBEHAVED,
        (
            _one_line(f"the relay {kind}: {error} ({error.code})"),
            _row("promise", promise),
            *_words(error),
            *_proof(error),
            _row("safe", _SAFE),
            _row("do", _advice(error)),
        ),
    )


def _advice(error: PeerError) -> str:
    if error.restored is not None:
        return _REPAIR
    if error.can_lower or error.lower_to is not None:
        option = "--discard" if error.can_lower else f"--discard-after {error.lower_to}"
        return (
            f"if that stays so, `sealkeep remove {error.device} {option} --with KIT`"
            + ("" if error.can_lower else " on another of your devices")
            + f" gives up what device {error.device}, which was removed, wrote from there; KIT is the file of your oldest"
            " recovery kit"
        )
    return _ADVICE.get(error.code, _TELL)


def _words(error: PeerError) -> list[str]:
    """What a relay says for itself that shows less than it did."""
    if error.restored is None:
        return []
    if not error.restored:
        return [_row("says", "that it has become another store; it does not say why")]
    try:
        moment = datetime.datetime.fromtimestamp(error.restored / 1000)
    except (OverflowError, ValueError, OSError):  # it may say anything
        return [_row("says", "that it was restored from a backup, at no time there is")]
    return [_row("says", f"that it was restored from a backup on {moment:%Y-%m-%d at %H:%M}")]


def _proof(error: PeerError) -> list[str]:
    if error.evidence is None:
        return []
    return [
        _row("proof", error.evidence),
        _row("", "anybody can check it: `sealkeep evidence` with this file"),
    ]


def _failed(error: SealkeepError) -> str:
    if isinstance(error, TransportError):
        return f"{error}: everything is safe on this device; it goes on when the relay can be reached again"
    if isinstance(error, RefusedError):
        if _is_removed(error):
            return f"{error} ({error.code}); {IF_REMOVED}"
        advice = _REFUSALS.get(error.code, "everything is safe on this device")
        if error.retry_after is not None and error.retry_after > 60:
            advice = f"everything is safe on this device; try again in {_wait(error.retry_after)}"
        return f"{error} ({error.code}); {advice}"
    if isinstance(error, SourceError):
        return f"{error}; nothing was imported"
    if isinstance(error, _kit_error()):
        return f"{error}; {'compare it with the page, and try again; ' if error.groups else ''}nothing was changed"
    return str(error)


def _is_removed(error: RefusedError) -> bool:
    from sealkeep_client.engine import RemovedError

    return isinstance(error, RemovedError)


def _kit_error() -> type[KitError]:
    # Loaded for a failure only: `sealkeep --help` needs no cryptography.
    from sealkeep_protocol.kit import KitError

    return KitError


def _wait(seconds: float) -> str:
    """How long something takes, for a person."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds > unit:
            return f"{math.ceil(seconds / unit)} {name}s"
    return "a minute"


def _row(label: str, text: str) -> str:
    return f"  {label:8} {text}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
