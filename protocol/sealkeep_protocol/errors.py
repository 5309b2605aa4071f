"""Every error that sealkeep raises, as one tree.

    SealkeepError
    ├── UsageError               the caller asked for what cannot be
    ├── PeerError                somebody sent what an honest peer never sends; `.code` is the spec's code (§9.2)
    │   ├── MalformedError       it is not what the spec describes: malformed, too-large, unsupported
    │   ├── AuthenticationError  it was not made by who it says: signature, commitment, ciphertext, digest
    │   └── HistoryError         it contradicts what was seen: rollback, fork, gap, replay, …
    ├── PairingError             two devices did not come together: a wrong or used code, or one of them gave up
    ├── RefusedError             an honest relay said no; `.code` is a problem code (§9.1)
    ├── TransportError           the line broke; trying again may help
    ├── StoreError               this device's own disk or database
    └── SourceError              a file given for import is not what it seems

No message holds a secret, a plaintext or a peer's raw input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sealkeep_protocol.evidence import Contradiction


class SealkeepError(Exception):
    """Base of all errors. `retryable` says whether the same call may succeed later by itself."""

    retryable = False

    def __reduce__(self) -> tuple[object, ...]:
        # `Exception` would call the class with `args` alone. Errors go from a worker process to its parent whole.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[SealkeepError], args: tuple[object, ...], state: dict[str, object]) -> SealkeepError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(SealkeepError):
    """The caller asked for what cannot be done: a mistake in the calling program or command."""


class PeerError(SealkeepError):
    """A peer broke the protocol. `code` is one of the codes of spec §9.2; device and seq say where, if known."""

    codes: frozenset[str] = frozenset()

    def __init__(self, code: str, message: str, *, device: int | None = None, seq: int | None = None) -> None:
        if code not in self.codes:
            raise ValueError(f"{code!r} is not a code of {type(self).__name__}")
        super().__init__(message)
        self.code = code
        self.device = device
        self.seq = seq
        self.proof: Contradiction | None = None  # what proves it to others, where something does (spec §11.2)
        self.evidence: str | None = None  # the file in which that was saved
        # Where a removed device's pin cannot stand: whether the highest recovery kit can lower it from here (ROS-23), and
        # from elsewhere only to which seq.
        self.can_lower = False
        self.lower_to: int | None = None
        self.restored: int | None = None  # of a rollback: since when the relay's store is said to be another one, ms

    def __str__(self) -> str:
        where = [f"{name} {value}" for name, value in (("device", self.device), ("seq", self.seq)) if value is not None]
        return f"{', '.join(where)}: {self.args[0]}" if where else str(self.args[0])

    def proved_by(self, proof: Contradiction | None) -> PeerError:
        """The same error with what proves it."""
        self.proof = proof
        return self

    def at(self, *, device: int | None = None, seq: int | None = None) -> PeerError:
        """The same error, placed: what is known already stays. Raise it again with a bare `raise`, not `from` itself."""
        self.device = device if self.device is None else self.device
        self.seq = seq if self.seq is None else self.seq
        return self


class MalformedError(PeerError):
    """Bytes that are not what the spec describes."""

    codes = frozenset({"malformed", "too-large", "unsupported"})


class AuthenticationError(PeerError):
    """Bytes that were not made by who they say, or were changed since."""

    codes = frozenset({"signature", "commitment", "ciphertext", "digest", "key", "identity"})


class HistoryError(PeerError):
    """Something that contradicts what was seen or signed before."""

    codes = frozenset(
        {
            "rollback",
            "fork",
            "gap",
            "replay",
            "roster",
            "author",
            "epoch",
            "pinned",
            "clone",
            "missing",
            "receipt",
            "refusal",
        }
    )


class PairingError(SealkeepError):
    """Two devices did not pair (spec §10), and nobody is known to have broken the protocol. The code is used up."""


class RefusedError(SealkeepError):
    """The relay refused, as an honest relay may. `code` is a problem code of spec §9.1, `status` the HTTP status;
    `retry_after` is what it asks to wait before the same again, in seconds, where it says."""

    def __init__(
        self, code: str, message: str, *, status: int, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class TransportError(SealkeepError):
    """The connection failed, or an answer did not arrive whole. Nothing is known of the request's effect."""

    retryable = True


class StoreError(SealkeepError):
    """This device's own files: locked, full, damaged, or of a newer version."""


class SourceError(SealkeepError):
    """A file that was given for import cannot be read as what it is. `path` and `line` say where, if known."""

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line
