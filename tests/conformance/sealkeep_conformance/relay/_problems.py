"""Problems (spec §9.1) of the conformance relay."""

from __future__ import annotations

from sealkeep_protocol.errors import PeerError
from sealkeep_protocol.problems import PROBLEMS

# What a peer sent, by the code with which the protocol refused it (§9.2); everything else is `invalid`.
_OF_PEER = {code: code for code in ("malformed", "too-large", "unsupported", "signature", "gap", "fork", "pinned")}


class ProblemError(Exception):
    """A request ends with a problem; `code` is one of §9.1, `retry_after` the seconds to wait where that is said."""

    def __init__(self, code: str, *, retry_after: int | None = None) -> None:
        if code not in PROBLEMS:
            raise ValueError(f"{code!r} is not a problem code")
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


def problem_of(error: PeerError) -> ProblemError:
    """The problem that a peer's mistake is to the peer."""
    return ProblemError("signature" if error.code == "identity" else _OF_PEER.get(error.code, "invalid"))
