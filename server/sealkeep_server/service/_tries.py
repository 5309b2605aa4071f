"""How often one address, and its neighbourhood, tries something: counted in memory alone, so that no address is ever
written down."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_REMEMBERED: Final = 10_000  # of each kind at a time; beyond, the one that is longest forgotten first
# One household has 2^64 addresses of IPv6, and one customer of a provider up to 2^80.
_OWN: Final = {4: 32, 6: 64}
_AROUND: Final = {4: 24, 6: 48}


class Tries:
    """At most `most` tries of one address in any `seconds` that begin with its first, and `most_around` of its
    neighbourhood (/24; IPv6: /48). Of IPv6 a /64 is one address. `now` gives seconds."""

    def __init__(self, *, most: int, most_around: int, seconds: float, now: Callable[[], float]) -> None:
        self._own = _Counts(most, seconds, now)
        self._around = _Counts(most_around, seconds, now)

    def take(self, address: str | None) -> int | None:
        """Count a try; how many this address has had before in its time, or None where it is one too many.

        A peer without an address is one of its own.
        """
        # The neighbourhood first: otherwise its many addresses, each for a first time, would push out what is remembered.
        if self._around.take(_network(address, _AROUND)) is None:
            return None
        return self._own.take(_network(address, _OWN))


class _Counts:
    def __init__(self, most: int, seconds: float, now: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._now = now
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str) -> int | None:
        now = self._now()
        since, count = self._counts.pop(key, (now, 0))
        if now - since >= self._seconds:
            since, count = now, 0
        self._counts[key] = (since, min(count + 1, self._most + 1))
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count if count < self._most else None


def _network(address: str | None, lengths: dict[int, int]) -> str:
    try:
        parsed = ipaddress.ip_address((address or "").split("%")[0])
    except ValueError:
        return ""
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, lengths[parsed.version]), strict=False))
