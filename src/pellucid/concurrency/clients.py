"""Pure: the client of a request, as limits count it."""

from __future__ import annotations

import ipaddress
from typing import NewType

Client = NewType("Client", str)
"""The IPv4 address or IPv6 /64 that a request comes from (`client_network`). Limits per client count it."""

SERVER = Client("")
"""The server itself, for work without a request."""

_IPV6_BITS = 64
"""A customer of a provider has at least a /64, so single addresses are free to change."""


def client_network(address: str) -> Client:
    """The IPv4 address or IPv6 /64 of `address`. Other texts (clients of a Unix socket) are returned unchanged."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return Client(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return Client(str(parsed.ipv4_mapped))  # from a socket that listens on IPv4 and IPv6
        return Client(str(ipaddress.ip_network((int(parsed), _IPV6_BITS), strict=False)))
    return Client(str(parsed))
