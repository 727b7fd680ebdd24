"""Who sent an upload, as far as the limits need to know."""

from __future__ import annotations

import hashlib
import ipaddress

_IPV6_BITS = 64
"""One customer of a provider has a /64 at least: single addresses of it cost nothing."""


def client_network(address: str) -> str:
    """The IPv4 address or IPv6 /64 of `address`; what is no address (a Unix socket's client) stands for itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)  # a socket that listens on both
        return str(ipaddress.ip_network((int(parsed), _IPV6_BITS), strict=False))
    return str(parsed)


def client_digest(address: str, *, key: bytes) -> str:
    """What the database holds of a client: 32 hex digits. Keyed (BLAKE2b, up to 64 bytes) with what does not leave the
    machine, because all IPv4 addresses are tried in a minute.
    """
    return hashlib.blake2b(client_network(address).encode(), key=key, digest_size=16).hexdigest()
