"""Whose request it is, where the relay stands behind a reverse proxy.

What a header says of an address is somebody's word. A proxy appends its peer's address to what came with the request, so
that the right-most words are the nearest proxy's; what stands to the left of the first address that is no proxy's may be
invented. `aiohttp_remotes` does the like as a middleware of `web.Application`, which the relay does not have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol, TypeAlias

from sealkeep_server.settings import Network

Address: TypeAlias = IPv4Address | IPv6Address


class Headers(Protocol):
    """The header lines of a request, in the order in which they came."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


# RFC 7239 §4: `for=192.0.2.60;proto=http, for="[2001:db8:cafe::17]:4711"`. Tokens are those of RFC 9110 §5.6.2.
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
_PAIR: Final = rf"({_WORD})=({_WORD}|{_QUOTED})"
_ELEMENT: Final = re.compile(rf"[ \t]*{_PAIR}(?:;{_PAIR})*[ \t]*")
_ONE_PAIR: Final = re.compile(_PAIR)
# A port or not; an address of version 6 with a port stands in brackets.
_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?")


def client_address(remote: str | None, headers: Headers, trusted: Sequence[Network]) -> str | None:
    """The address that a request is counted for: of who spoke to the first proxy that is trusted; without one, the peer's.

    A proxy that names no address (`unknown`, `_hidden`) is counted itself. A request with both headers may have one of
    them from the client, and nobody knows which. Source: RFC 7239, spec §10.1.
    """
    # PAI-15: "A relay MUST take a peer's address from a header only where the connection comes from a proxy that its
    # operator named; where that header is malformed, or it cannot tell which header is the proxy's, the proxy's own
    # address counts."
    peer = _parse(remote or "")
    if peer is None or not _is_in(peer, trusted):
        return remote
    forwarded, old = headers.getall("Forwarded", ()), headers.getall("X-Forwarded-For", ())
    if bool(forwarded) == bool(old):
        return str(peer)
    nodes = _nodes(", ".join(forwarded)) if forwarded else [node.strip(" \t") for node in ",".join(old).split(",")]
    for node in reversed(nodes or ()):
        address = _of_node(node, bare=not forwarded)
        if address is None:
            break
        peer = address
        if not _is_in(peer, trusted):
            break
    return str(peer)


def _nodes(value: str) -> list[str] | None:
    """The `for` of each element of `Forwarded`, "" where it has none; None where the header is malformed."""
    nodes, place = [], 0
    while True:
        element = _ELEMENT.match(value, place)
        if element is None:
            return None
        pairs: dict[str, str] = {}
        for name, said in _ONE_PAIR.findall(element[0]):
            if name.lower() in pairs:  # RFC 7239 §4: each parameter once
                return None
            pairs[name.lower()] = re.sub(r"\\(.)", r"\1", said[1:-1]) if said.startswith('"') else said
        nodes.append(pairs.get("for", ""))
        place = element.end()
        if place == len(value):
            return nodes
        if value[place] != ",":
            return None
        place += 1


def _of_node(node: str, *, bare: bool) -> Address | None:
    """The address of a node; `bare` ones of version 6 stand without brackets."""
    if bare and (address := _parse(node)) is not None:
        return address
    match = _NODE.fullmatch(node)
    return None if match is None else _parse(match[1] or match[2])


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
