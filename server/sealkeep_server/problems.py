"""Problems (spec §9.1) as an exception, and the one table that says which problem an error of the layers below is."""

from __future__ import annotations

from collections.abc import Mapping

from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_server.stores import DamagedError, StoreError, UnavailableError


class ProblemError(Exception):
    """A request ends with a problem. `code` is one of §9.1; `detail` says what to do, and never repeats a peer's input.

    `members` are further members of the problem object, `headers` further HTTP headers; `close` asks for the connection
    to be closed with the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        members: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        if code not in PROBLEMS:
            raise ValueError(f"{code!r} is not a problem code")
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.members: dict[str, str | list[str]] = dict(members or {})
        self.headers = dict(headers or {})
        self.close = close

    @property
    def status(self) -> int:
        return PROBLEMS[self.code].status


# What a device or signer sent, by the code with which the protocol refused it (§9.2).
_OF_PEER = {
    "malformed": "malformed",
    "too-large": "too-large",
    "unsupported": "unsupported",
    "signature": "signature",
    "identity": "signature",
    "key": "invalid",
    "commitment": "invalid",
    "digest": "invalid",
    "gap": "gap",
    "fork": "fork",
    "replay": "invalid",
    "missing": "invalid",
    "roster": "invalid",
    "author": "invalid",
    "epoch": "invalid",
    "pinned": "pinned",
}


def problem_of(error: Exception) -> ProblemError:
    """The problem that an error is to the peer: `internal` for what is nobody's fault but the relay's."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, PeerError):
        # The protocol's own messages name sizes, numbers and places, never what was in them (ERR-03).
        return ProblemError(_OF_PEER.get(error.code, "invalid"), str(error))
    if isinstance(error, UnavailableError):
        return ProblemError("unavailable")
    if isinstance(error, DamagedError):
        return ProblemError("internal", "Something that is stored here cannot be read; the operator has been told.")
    if isinstance(error, StoreError):
        return ProblemError("unavailable")
    return ProblemError("internal")


def is_fault(error: Exception) -> bool:
    """Whether the operator has to know: the relay or its store is at fault, not the peer."""
    return not isinstance(error, (ProblemError, PeerError))
