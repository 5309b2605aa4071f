"""What a relay does, between HTTP and the store."""

from sealkeep_server.service._accounts import Copied
from sealkeep_server.service._append import Appended, Batch
from sealkeep_server.service._copying import CopiedBatch
from sealkeep_server.service._files import MAX_CLAIMED, MAX_PROVED, Files
from sealkeep_server.service._mailboxes import Mailboxes
from sealkeep_server.service._relay import Relay
from sealkeep_server.service._tokens import Token

__all__ = [
    "MAX_CLAIMED",
    "MAX_PROVED",
    "Appended",
    "Batch",
    "Copied",
    "CopiedBatch",
    "Files",
    "Mailboxes",
    "Relay",
    "Token",
]
