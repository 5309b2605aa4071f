"""How often one address tries something: counted in memory alone, so that no address is ever written down."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

_ADDRESSES = 10_000  # remembered at a time; beyond, the one that is longest forgotten first


class Tries:
    """At most `most` tries of one address in any `seconds` that begin with its first. `now` gives seconds."""

    def __init__(self, *, most: int, seconds: float, now: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._now = now
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, address: str | None) -> bool:
        """Count a try; False where it is one too many. A peer without an address is one of its own."""
        key, now = _network(address), self._now()
        since, count = self._counts.pop(key, (now, 0))
        if now - since >= self._seconds:
            since, count = now, 0
        self._counts[key] = (since, min(count + 1, self._most + 1))
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        return count < self._most


def _network(address: str | None) -> str:
    """Whose address it is: one household has 2^64 addresses of IPv6."""
    try:
        parsed = ipaddress.ip_address((address or "").split("%")[0])
    except ValueError:
        return ""
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed.ipv4_mapped or parsed) if parsed.version == 6 else str(parsed)
