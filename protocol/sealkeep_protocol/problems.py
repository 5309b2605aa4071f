"""The closed list of problem codes of a relay (spec §9.1)."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """An HTTP status, what happened, and whether the same request may succeed later."""

    status: int
    title: str
    retryable: bool = False


PROBLEMS: dict[str, Problem] = {
    "malformed": Problem(400, "The request is not what the protocol describes."),
    "unsupported": Problem(400, "The request uses something of a later protocol version."),
    "unauthorized": Problem(401, "A token is missing, unknown or expired."),
    "signature": Problem(403, "A signature does not verify."),
    "revoked": Problem(403, "The signer is not, or no longer, in the account's roster."),
    "disputed": Problem(
        403, "The recovery kit was made on a device that was removed: it has to wait, an older one need not."
    ),
    "forbidden": Problem(403, "This signer may not do this."),
    "not-found": Problem(404, "There is no such thing here."),
    "method": Problem(405, "This address has no such method."),
    "timeout": Problem(408, "The request came too slowly.", retryable=True),
    "gap": Problem(409, "The segment does not continue its feed."),
    "chunks-missing": Problem(409, "Chunks that the segment uses are not there."),
    "fork": Problem(409, "Something else stands at this place already."),
    "epoch-stale": Problem(409, "The segment's epoch is not the current one."),
    "incarnation": Problem(409, "The relay's store is not the one of this cursor."),
    "closed": Problem(410, "The account was closed."),
    "mailbox-used": Problem(410, "The mailbox has had its one exchange."),
    "roster-conflict": Problem(412, "The roster has another head."),
    "too-large": Problem(413, "The request exceeds a limit of this relay."),
    "media-type": Problem(415, "The body has a media type or coding that this address does not take."),
    "range": Problem(416, "There is nothing in the range of bytes that was asked for."),
    "invalid": Problem(422, "The request breaks a rule of the protocol."),
    "pinned": Problem(422, "The pin of a removed device does not allow this."),
    "busy": Problem(429, "Too many requests, connections or roster entries.", retryable=True),
    "headers-too-large": Problem(431, "The request's header exceeds a limit of this relay."),
    "internal": Problem(500, "The relay met a fault of its own; nothing was stored.", retryable=True),
    "unavailable": Problem(503, "The relay cannot take this right now.", retryable=True),
    "quota": Problem(507, "The account has no room left."),
}

TYPE_PREFIX = "urn:sealkeep:problem:"
