"""Pure: who sends a request, as far as limits need to know."""

from __future__ import annotations

import ipaddress
from typing import NewType

Client = NewType("Client", str)
"""The IPv4 address or IPv6 /64 that a request comes from (`client_network`); what is bounded by client counts it."""

SERVER = Client("")
"""The server itself: work that no request asked for."""

_IPV6_BITS = 64
"""One customer of a provider has a /64 at least: single addresses of it cost nothing."""


def client_network(address: str) -> Client:
    """The IPv4 address or IPv6 /64 of `address`; what is no address (a Unix socket's client) stands for itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return Client(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return Client(str(parsed.ipv4_mapped))  # a socket that listens on both
        return Client(str(ipaddress.ip_network((int(parsed), _IPV6_BITS), strict=False)))
    return Client(str(parsed))
