"""Challenge, login, token (spec §8.3). Both challenge and token are stateless: any process that has the keys takes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass

from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import CHALLENGE_NONCE_SIZE, Challenge, verify_challenge, verify_login
from sealkeep_protocol.types import AccountId
from sealkeep_server import log
from sealkeep_server.identity import TokenKeys
from sealkeep_server.problems import ProblemError
from sealkeep_server.service._accounts import Accounts
from sealkeep_server.stores import OpenError

# key id ‖ account ‖ signer's kind ‖ signer's number ‖ expiry in s; then the tag. Authenticated: change it with the label.
_CLAIMS = struct.Struct(">4s32sBQQ")
_TAG_SIZE = 32
_LABEL = b"sealkeep-token-1"


@dataclass(frozen=True, slots=True)
class Token:
    """A token's text and the seconds until it expires."""

    text: str
    seconds: int


class Tokens:
    """Issues and checks challenges and tokens. `now` gives seconds since 1970."""

    def __init__(
        self,
        accounts: Accounts,
        identity: SigningKey,
        keys: TokenKeys,
        *,
        now: Callable[[], float],
        challenge_seconds: int,
        token_seconds: int,
    ) -> None:
        self._accounts = accounts
        self._identity = identity
        self._keys = keys
        self._now = now
        self._challenge_seconds = challenge_seconds
        self._token_seconds = token_seconds

    async def challenge(self, account: AccountId, signer: Signer) -> bytes:
        """A challenge for a signer of this account. Raises `ProblemError` (`not-found`, `revoked`, `closed`)."""
        await self._accounts.signer_key(account, signer)
        expires = int((self._now() + self._challenge_seconds) * 1000)
        return Challenge(signer, expires, secrets.token_bytes(CHALLENGE_NONCE_SIZE)).sign(account, self._identity)

    async def login(self, account: AccountId, challenge: bytes, login: bytes) -> Token:
        """Take the answer to a challenge. Raises `ProblemError` or `PeerError`."""
        # REL-07: "A token MUST be bound to one account and signer and expire; a relay MUST refuse a challenge that is
        # expired (after 120 s) or not its own, and a login for another challenge, signer or identity."
        challenge_id, said = verify_challenge(challenge, account, self._identity.public)
        if said.expires <= self._now() * 1000:
            raise ProblemError("unauthorized", "The challenge has expired; ask for another one.")
        key = await self._accounts.signer_key(account, said.signer)
        verify_login(login, account, key, challenge_id=challenge_id, identity=self._identity.public)
        return self._issue(account, said.signer)

    def _issue(self, account: AccountId, signer: Signer) -> Token:
        try:
            self._keys.renew(self._now())
        except OpenError as error:
            log.fault("token-keys-fault", error)  # the old key is as good as it was
        key_id = self._keys.newest
        expires = int(self._now()) + self._token_seconds
        claims = _CLAIMS.pack(key_id, account, signer.is_recovery, signer.number, expires)
        text = base64.urlsafe_b64encode(claims + _tag(self._keys[key_id], claims)).rstrip(b"=").decode()
        return Token(text, self._token_seconds)

    async def check(self, account: AccountId, text: str) -> Signer:
        """Who carries this token, checked against the roster as it stands. Raises `ProblemError` (`unauthorized`,
        `revoked`, `closed`, `not-found`)."""
        signer = self._authenticate(account, text)
        # REL-06: "A relay MUST check the token's signer against the roster as it stands at every request; a removed one
        # gets `revoked`."
        await self._accounts.signer_key(account, signer)
        return signer

    def _authenticate(self, account: AccountId, text: str) -> Signer:
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            claims, tag = raw[: _CLAIMS.size], raw[_CLAIMS.size :]
            key_id, bound, is_recovery, number, expires = _CLAIMS.unpack(claims)
            key = self._keys[key_id]
        except (UnicodeEncodeError, binascii.Error, struct.error, KeyError):
            raise ProblemError("unauthorized", "Log in again.") from None
        if not hmac.compare_digest(_tag(key, claims), tag) or bound != account or expires <= self._now():
            raise ProblemError("unauthorized", "Log in again.")
        return Signer(is_recovery, number)


def _tag(key: bytes, claims: bytes) -> bytes:
    return hashlib.blake2b(claims, key=key, person=_LABEL, digest_size=_TAG_SIZE).digest()
