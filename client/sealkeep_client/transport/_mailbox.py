"""One mailbox at a relay (spec §8.8), as one of its two peers."""

from __future__ import annotations

import base64
from typing import Final

from sealkeep_client.answers import decode_mailbox, decode_message
from sealkeep_client.transport._http import HttpRelay
from sealkeep_protocol.mailboxes import PASS_SIZE

WAIT: Final = 20  # seconds; what a relay grants


class HttpMailbox:
    """Speaks with the relay under a pass, 32 fresh random bytes. Needs no credentials.

    Methods raise `RefusedError` and `TransportError`; each but `make` may be repeated.
    """

    def __init__(self, relay: HttpRelay, secret: bytes) -> None:
        if len(secret) != PASS_SIZE:
            raise ValueError("a pass is 32 bytes long")
        self._relay = relay
        self._headers = {"Authorization": f"Bearer {base64.urlsafe_b64encode(secret).rstrip(b'=').decode()}"}

    def __repr__(self) -> str:
        return "<HttpMailbox>"

    async def make(self) -> tuple[int, int]:
        """Make a mailbox, and be its maker: its number, and the seconds that it lives."""
        return decode_mailbox(await self._relay.ask("POST", "/v1/mailboxes", headers=self._headers))

    async def put(self, number: int, place: int, message: bytes) -> None:
        """Put message number `place`."""
        await self._relay.ask("PUT", f"/v1/mailboxes/{number}/{place}", body=message, headers=self._headers)

    async def get(self, number: int, place: int, *, wait: int = WAIT) -> bytes | None:
        """Message number `place`; None where it has not come within `wait` seconds."""
        return decode_message(
            await self._relay.ask(
                "GET", f"/v1/mailboxes/{number}/{place}", query={"wait": str(wait)}, headers=self._headers
            )
        )

    async def end(self, number: int) -> None:
        """End the mailbox."""
        await self._relay.ask("DELETE", f"/v1/mailboxes/{number}", headers=self._headers)
