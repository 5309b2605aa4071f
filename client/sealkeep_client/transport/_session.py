"""What a connection needs to log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sealkeep_protocol.primitives import SigningKey
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.types import AccountId

Parts: TypeAlias = Literal["headers", "summaries", "bodies"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, at which account, to the relay of which pinned identity."""

    account: AccountId
    signer: Signer
    key: SigningKey = field(repr=False)
    identity: bytes
