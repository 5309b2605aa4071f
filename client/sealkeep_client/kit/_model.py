"""What a recovery kit says, whatever it is written on (spec §3.7)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Final

from sealkeep_protocol import cbor
from sealkeep_protocol.kit import GROUP_BYTES
from sealkeep_protocol.primitives import HASH_SIZE, KEY_SIZE, sha256
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

VERSION: Final = 1
MAX_RELAY: Final = 256  # characters
MAX_FEEDS: Final = 48  # more do not go into a QR code
_MAX_DEVICE, _MAX_NUMBER = (1 << 16) - 1, (1 << 32) - 1
_CHECK: Final = b"sealkeep/v1/kit-check"


def check_of(encoded: bytes) -> bytes:
    """The check of a kit's CBOR, whatever its version."""
    return sha256(_CHECK + encoded)[:GROUP_BYTES]


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """All that brings an account back without any of its devices; whoever has it can read everything.

    `relay` is a URL (ASCII, at most 256 characters), `identity` that relay's public key (32 bytes), `seed` the recovery
    seed (32 bytes), `date` the ISO date on which the kit was made. `roster` is the number, from 0, and the id of the
    newest roster entry then; `feeds` holds (device, seq, header id) of at most 48 feeds, by device. A relay that shows
    less has rolled the account back. Raises `ValueError` for what no kit holds.
    """

    relay: str
    identity: bytes
    account: AccountId
    seed: bytes = field(repr=False)
    roster: tuple[int, ObjectId]
    feeds: tuple[tuple[DeviceId, Seq, ObjectId], ...]
    date: str

    def __post_init__(self) -> None:
        identifiers = (self.identity, self.account, self.roster[1], *(identifier for _, _, identifier in self.feeds))
        if len(self.seed) != KEY_SIZE or any(len(identifier) != HASH_SIZE for identifier in identifiers):
            raise ValueError("a kit's seed and identifiers are 32 bytes long")
        if not 0 < len(self.relay) <= MAX_RELAY or not all("!" <= letter <= "~" for letter in self.relay):
            raise ValueError(f"a kit's relay is a URL of at most {MAX_RELAY} ASCII characters, without spaces")
        if not _is_date(self.date):
            raise ValueError("a kit's date is YYYY-MM-DD")
        if not 0 <= self.roster[0] <= _MAX_NUMBER or (
            self.roster[0] == 0 and bytes(self.roster[1]) != bytes(self.account)
        ):
            raise ValueError("a kit's roster entry has a number from 0, and number 0 is the account's id")
        devices = {device for device, _, _ in self.feeds}
        if len(devices) < len(self.feeds) or len(devices) > MAX_FEEDS:
            raise ValueError(f"a kit's heads are one for each device, and at most {MAX_FEEDS}")
        if not all(1 <= device <= _MAX_DEVICE and 1 <= seq <= _MAX_NUMBER for device, seq, _ in self.feeds):
            raise ValueError("a kit's heads have positive numbers")
        object.__setattr__(self, "feeds", tuple(sorted(self.feeds)))

    def encode(self) -> bytes:
        """The kit as deterministic CBOR, which its check and its URI are made of: it must never change."""
        feeds = [list(head) for head in self.feeds]
        return cbor.encode(
            [VERSION, self.relay, self.identity, self.account, self.seed, list(self.roster), feeds, self.date]
        )

    def check(self) -> bytes:
        """4 bytes that fit no other kit, so that lines of two kits, or a line left out, are noticed."""
        return check_of(self.encode())

    def to_text(self) -> str:
        """The page as plain text, in ASCII."""
        from sealkeep_client.kit._text import write_text

        return write_text(self)

    def to_svg(self) -> str:
        """The page as a drawing, with a QR code."""
        from sealkeep_client.kit._svg import write_svg

        return write_svg(self)

    def to_pdf(self) -> bytes:
        """The page to print, with a QR code. The same kit gives the same bytes."""
        from sealkeep_client.kit._pdf import write_pdf

        return write_pdf(self)

    def to_uri(self) -> str:
        """What the QR code holds: the whole kit as one word."""
        from sealkeep_client.kit._uri import encode_uri

        return encode_uri(self)

    @classmethod
    def from_text(cls, text: str) -> RecoveryKit:
        """Read a kit that was saved, printed and scanned, or typed: any case, spacing and hyphens.

        Raises `KitError`, naming the line and the groups that are wrong.
        """
        from sealkeep_client.kit._lines import read_lines

        return read_lines(text)

    @classmethod
    def from_uri(cls, uri: str) -> RecoveryKit:
        """Read what the QR code holds. Raises `KitError` for a damaged one."""
        from sealkeep_client.kit._uri import decode_uri

        return decode_uri(uri)


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
