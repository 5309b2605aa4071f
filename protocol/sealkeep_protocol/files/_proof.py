"""Storage proofs (spec §12.5): an answer to a fresh challenge that only a holder of the bytes can give."""

from __future__ import annotations

import hmac
from typing import Final

from sealkeep_protocol.errors import AuthenticationError, HistoryError
from sealkeep_protocol.primitives import Buffer, equal

CHALLENGE_SIZE: Final = 32


def prove(challenge: bytes, *parts: Buffer) -> bytes:
    """The answer to a challenge over a chunk, or over a segment's summary and body one behind the other; 32 bytes.

    Raises `ValueError` for a challenge that is not of `CHALLENGE_SIZE`.
    """
    if len(challenge) != CHALLENGE_SIZE:
        raise ValueError(f"a challenge is {CHALLENGE_SIZE} bytes long")
    answer = hmac.new(challenge, digestmod="sha256")
    for part in parts:
        answer.update(part)
    return answer.digest()


def check_proof(expected: bytes, answer: bytes | None, what: str) -> None:
    """Compare an answer with the one that the bytes give; `what` they are stands in the error.

    Raises `HistoryError` (`missing`) for none, `AuthenticationError` (`digest`) for another.
    """
    # FIL-17: "A device MUST … compare answers in constant time, …; a missing or other answer is `missing` or `digest`."
    if answer is None:
        raise HistoryError("missing", f"the relay cannot show that it has {what}")
    if not equal(expected, answer):
        raise AuthenticationError("digest", f"the relay shows that it has other bytes for {what}")
