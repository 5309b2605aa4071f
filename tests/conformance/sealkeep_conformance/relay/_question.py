"""What is asked of a relay: one request, taken apart (spec §8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.types import AccountId

Route: TypeAlias = str  # one of `ROUTES`
ROUTES: Final[tuple[Route, ...]] = (
    "info", "health", "create", "roster", "enter", "wraps", "challenge", "token", "append", "changes", "feed", "heads",
    "copy", "copy-roster", "mailbox-make", "mailbox-put", "mailbox-get", "mailbox-end",
    "claim", "chunk-put", "chunk-get", "chunks-of", "prove",
)  # fmt: skip

_MAILBOX: Final = "/v1/mailboxes/(?P<mailbox>[1-9][0-9]{0,4})"
_ACCOUNT: Final = "/v1/accounts/(?P<account>[0-9a-f]{64})"
_FEED: Final = f"{_ACCOUNT}/feeds/(?P<device>[1-9][0-9]{{0,17}})"
_ROUTED: Final[dict[str, dict[str, Route]]] = {
    f"{_ACCOUNT}/segments": {"POST": "append"},
    f"{_ACCOUNT}/copies": {"POST": "copy"},
    f"{_ACCOUNT}/copies/roster": {"POST": "copy-roster"},
    f"{_ACCOUNT}/changes": {"GET": "changes"},
    f"{_ACCOUNT}/heads": {"GET": "heads"},
    _FEED: {"GET": "feed"},
    f"{_FEED}/(?P<seq>[1-9][0-9]{{0,17}})/chunks": {"GET": "chunks-of"},
    f"{_ACCOUNT}/claims": {"POST": "claim"},
    f"{_ACCOUNT}/chunks/(?P<chunk>[0-9a-f]{{64}})": {"GET": "chunk-get", "PUT": "chunk-put"},
    f"{_ACCOUNT}/proofs": {"POST": "prove"},
    f"{_ACCOUNT}/roster": {"GET": "roster", "POST": "enter"},
    f"{_ACCOUNT}/wraps": {"GET": "wraps"},
    f"{_ACCOUNT}/challenge": {"POST": "challenge"},
    f"{_ACCOUNT}/token": {"POST": "token"},
    "/v1/accounts": {"POST": "create"},
    "/v1/info": {"GET": "info"},
    "/v1/mailboxes": {"POST": "mailbox-make"},
    _MAILBOX: {"DELETE": "mailbox-end"},
    f"{_MAILBOX}/(?P<message>[1-9][0-9]{{0,3}})": {"GET": "mailbox-get", "PUT": "mailbox-put"},
    "/health": {"GET": "health"},
}
_TABLE: Final = [(re.compile(pattern), methods) for pattern, methods in _ROUTED.items()]
_DOOR: Final = re.compile(r"/for/(?P<door>[a-z0-9-]{1,32})(?P<rest>/.*)")
_MAX_NUMBER: Final = (1 << 63) - 1
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Question:
    """A request. `door` is the way by which it came: each device may have a URL of its own (`HostileRelay.door`), so that
    requests without a token are told apart, as a real relay tells them by address. `signer` is known behind a token."""

    route: Route
    door: str = ""
    account: AccountId | None = None
    device: int | None = None  # whose feed is asked for
    seq: int | None = None  # of a segment in it
    chunk: bytes | None = None
    mailbox: int | None = None
    message: int | None = None
    signer: Signer | None = None
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def number(self, name: str, default: int) -> int:
        """A number of the query. Raises `ProblemError` (`malformed`)."""
        text = self.query.get(name)
        if text is None:
            return default
        if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) > _MAX_NUMBER:
            raise ProblemError("malformed")
        return int(text)

    @property
    def wait(self) -> int:
        """How many seconds to wait for a message. Raises `ProblemError` (`malformed`)."""
        text = self.query.get("wait", "0")
        if not re.fullmatch("0|[1-9][0-9]{0,3}", text):
            raise ProblemError("malformed")
        return int(text)

    @property
    def limit(self) -> int | None:
        """The largest number of items that is wanted; None: the relay's own. Raises `ProblemError` (`malformed`)."""
        if "limit" not in self.query:
            return None
        limit = self.number("limit", 0)
        if limit == 0:
            raise ProblemError("malformed")
        return limit

    @property
    def parts(self) -> str:
        """headers, summaries or bodies. Raises `ProblemError` (`malformed`)."""
        parts = self.query.get("parts", "bodies")
        if parts not in ("headers", "summaries", "bodies"):
            raise ProblemError("malformed")
        return parts

    @property
    def incarnation(self) -> bytes | None:
        """Raises `ProblemError` (`malformed`)."""
        text = self.query.get("incarnation")
        if text is not None and not re.fullmatch("[0-9a-f]{32}", text):
            raise ProblemError("malformed")
        return None if text is None else bytes.fromhex(text)


class MethodError(ProblemError):
    """An address that is there, with another method; `allowed` are those it has."""

    def __init__(self, allowed: str) -> None:
        super().__init__("method")
        self.allowed = allowed


def ask(method: str, path: str, query: Mapping[str, str]) -> Question:
    """Take a request's line apart. Raises `ProblemError` (`not-found`) or `MethodError`."""
    door = ""
    if match := _DOOR.fullmatch(path):
        door, path = match["door"], match["rest"]
    for pattern, methods in _TABLE:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if method not in methods:
            raise MethodError(", ".join(methods))
        values = found.groupdict()
        numbers = {name: int(value) for name, value in values.items() if name not in ("account", "chunk")}
        return Question(
            methods[method],
            door,
            AccountId(bytes.fromhex(values["account"])) if "account" in values else None,
            device=numbers.get("device"),
            seq=numbers.get("seq"),
            chunk=bytes.fromhex(values["chunk"]) if "chunk" in values else None,
            mailbox=numbers.get("mailbox"),
            message=numbers.get("message"),
            query=MappingProxyType(dict(query)),
        )
    raise ProblemError("not-found")
