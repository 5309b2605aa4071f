"""Every limit and interval of a relay, by name.

Each field of `Settings` is a flag (`body_bytes` → `--body-bytes`) and an environment variable (`SEALKEEP_RELAY_BODY_BYTES`)
of the command. What a client can use is announced under the same names in `/v1/info` (spec §8.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias, TypeVar

from sealkeep_protocol.mailboxes import MAX_SECONDS

KIB, MIB = 1024, 1024 * 1024


Network: TypeAlias = IPv4Network | IPv6Network
Value = TypeVar("Value", int, float, str)


def _setting(default: Value, about: str, *, announced: bool = False, least: float = 1) -> Value:
    metadata = {"about": about, "announced": announced, "least": least}
    # A descriptor of dataclasses that stands for its default, as the type checker's own stub for `field` has it.
    result: Value = field(default=default, metadata=metadata)
    return result


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits in bytes, counts and seconds, and which proxies are trusted.

    Raises `ValueError`, naming the field, for a value that cannot be.

    Memory is bounded by `connections` times `header_bytes`, plus `transfers` times about three items, plus
    `arriving_bytes`, plus some times `cached_roster_bytes`; readers of rosters hold two entries each.
    """

    # Sizes of what a peer sends.
    body_bytes: int = _setting(64 * MIB, "largest body of a request", announced=True, least=64 * KIB)
    object_bytes: int = _setting(
        320 * KIB, "largest body that is one object (a roster entry with its wraps)", announced=True, least=64 * KIB
    )
    item_bytes: int = _setting(
        616 * KIB,
        "largest item of a batch: a header, a summary, a body and the ids of its chunks",
        announced=True,
        least=605 * KIB,
    )
    batch_items: int = _setting(1024, "most segments in a batch", announced=True)
    header_bytes: int = _setting(16 * KIB, "largest HTTP header", announced=True, least=512)

    # Sizes of what it answers.
    page_items: int = _setting(10_000, "most items of a page", announced=True)
    page_bytes: int = _setting(64 * MIB, "bytes after which a page ends", announced=True)

    # Slow peers.
    header_seconds: float = _setting(10.0, "time for a whole HTTP header, from its first byte", least=0.01)
    idle_seconds: float = _setting(75.0, "time a connection may lie idle between requests", least=0.01)
    body_seconds: float = _setting(20.0, "longest pause inside a body, either way", least=0.01)
    rate_bytes: int = _setting(4 * KIB, "least bytes a second of a body, on average", least=0)
    rate_grace_seconds: float = _setting(10.0, "time before that rate is asked for", least=0)
    linger_seconds: float = _setting(5.0, "time to drain a refused body, so that the answer is read", least=0)
    stop_seconds: float = _setting(10.0, "time for requests under way when the relay stops", least=0)

    # How much at once.
    connections: int = _setting(2048, "connections")
    account_requests: int = _setting(32, "requests of one account at a time")
    transfers: int = _setting(128, "batches and pages under way at a time; each holds a few items in memory")
    arriving_bytes: int = _setting(64 * MIB, "bytes of bodies that are one object, arriving at a time", least=64 * KIB)
    retry_after_seconds: int = _setting(1, "what a busy relay asks its peers to wait")

    # Roster entries (spec §5.5); those of recovery keys that no device set are not limited.
    roster_seconds: float = _setting(3600.0, "the time in which roster entries are counted", least=0.001)
    roster_entries: int = _setting(100, "most roster entries in that time of a device and all that descends from it")
    roster_reserve: int = _setting(4, "roster entries in that time that each signer of longer standing has in any case")

    # Whom peers' addresses are taken from; nobody else is believed what Forwarded or X-Forwarded-For say.
    trusted_proxies: str = _setting("", "networks of reverse proxies, such as 127.0.0.1,10.0.0.0/8, with commas")

    # Authentication.
    challenge_seconds: int = _setting(120, "life of a challenge")
    token_seconds: int = _setting(900, "life of a token")
    token_key_days: int = _setting(30, "age at which the key of tokens is replaced")

    # Files (spec §12). A chunk has about 1 MiB; of each that moves a few slices are held in memory.
    claim_seconds: int = _setting(3600, "life of a claim", announced=True)
    idle_chunk_seconds: int = _setting(86_400, "time after which a chunk that nobody claims or names is erased")
    account_proofs: int = _setting(2, "requests for storage proofs of one account at a time")
    proofs: int = _setting(2, "chunks and segments that are read for proofs at a time")
    account_bytes: int = _setting(0, "bytes that an account may use; 0 for no limit", least=0)
    housekeeping_seconds: float = _setting(600.0, "time between two looks for what can be erased", least=0.01)

    # Mailboxes, through which devices pair.
    mailboxes: int = _setting(1000, "mailboxes at a time")
    mailbox_seconds: int = _setting(600, "life of a mailbox", announced=True, least=10)
    mailbox_tries: int = _setting(20, "mailboxes that one address (IPv6: a /64) makes or enters in that time")
    mailbox_network_tries: int = _setting(100, "the same of its neighbourhood (a /24; IPv6: a /48)")
    mailbox_waits: int = _setting(256, "requests at a time that wait for a message")
    mailbox_wait_seconds: float = _setting(20.0, "longest wait for a message", least=0)

    # The embedded store.
    inline_bytes: int = _setting(8 * KIB, "bodies up to this size stand in the database itself", least=0)
    group_jobs: int = _setting(256, "most writes that share one commit")
    checkpoint_idle_seconds: float = _setting(2.0, "idle time after which the write-ahead log is emptied", least=0.01)
    cached_accounts: int = _setting(10_000, "accounts whose roster is kept in memory")
    cached_roster_bytes: int = _setting(32 * MIB, "bytes of the entries of those rosters, in all")

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, least = getattr(self, setting.name), setting.metadata["least"]
            if not isinstance(value, str) and value < least:
                raise ValueError(f"{setting.name} must be at least {least}, not {value}")
        if self.mailbox_seconds > MAX_SECONDS:
            # PAI-03: "… how long one lives (an hour at most), …"
            raise ValueError(f"mailbox_seconds must not be above {MAX_SECONDS}")
        if self.idle_chunk_seconds < self.claim_seconds:
            raise ValueError("idle_chunk_seconds must not be below claim_seconds")
        if 0 < self.account_bytes <= self.item_bytes:
            raise ValueError("account_bytes must be above item_bytes, or 0")
        if self.item_bytes > self.body_bytes:
            raise ValueError("item_bytes must not be above body_bytes")
        self.proxies()

    def proxies(self) -> tuple[Network, ...]:
        """The networks of `trusted_proxies`. Raises `ValueError`."""
        names = [name.strip() for name in self.trusted_proxies.split(",") if name.strip()]
        try:
            return tuple(ip_network(name) for name in names)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}; give networks, such as 127.0.0.1,10.0.0.0/8") from None

    def announced(self) -> dict[str, int]:
        """The limits that clients may use, for `/v1/info`."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self) if setting.metadata["announced"]}
