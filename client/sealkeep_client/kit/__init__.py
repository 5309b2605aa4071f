"""The recovery kit: one page of plain words and checked groups that brings an account back without any device (spec §3.7).

RecoveryKit      what it says; to and from text, SVG, PDF and the URI of its QR code
write_kit        to a file, in the form of its name
read_kit         from a file, in whatever form it is
read_written     from a file that `write_kit` wrote whole
Typing           from a person who types it, group by group
is_group         whether a person has it in hand
"""

from __future__ import annotations

from sealkeep_client.kit._files import ENDINGS, read_kit, read_written, write_kit
from sealkeep_client.kit._model import MAX_FEEDS, MAX_RELAY, RecoveryKit
from sealkeep_client.kit._typing import Typing, is_group
from sealkeep_protocol.kit import KitError

__all__ = [
    "ENDINGS",
    "MAX_FEEDS",
    "MAX_RELAY",
    "KitError",
    "RecoveryKit",
    "Typing",
    "is_group",
    "read_kit",
    "read_written",
    "write_kit",
]
