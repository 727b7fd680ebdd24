"""PURE: which addresses may be dialled. Asked with the address itself, after DNS, for every connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from pellucid.errors import OriginRefusedError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _v4(*networks: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(network) for network in networks)


def _v6(*networks: str) -> tuple[IPv6Network, ...]:
    return tuple(IPv6Network(network) for network in networks)


# The tables follow the IANA special-purpose address registries. `ipaddress.is_global` is not used: its answers changed
# between patch releases of Python (CVE-2024-4032).
_CLOSED_V4 = _v4(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carrier-grade NAT; one cloud keeps its metadata service here
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # the host agent of one cloud's virtual machines, on an address that looks public
    "169.254.0.0/16",  # link-local; cloud metadata services
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # IETF protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays, withdrawn
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarking
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)

_NAT64 = IPv6Network("64:ff9b::/96")

# In IPv6 the list says what is open, everything else is closed: global unicast, and NAT64, which an IPv6-only host
# needs to reach IPv4 origins (the address inside is judged as well).
_OPEN_V6 = (IPv6Network("2000::/3"), _NAT64)
_CLOSED_V6 = _v6(
    "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4, withdrawn
    "3fff::/20",  # documentation
)

# Forms that carry an IPv4 address in their last 32 bits. RFC 8215 leaves the layout of 64:ff9b:1::/48 to the operator;
# any but this one reads as 0.0.0.0/8 or the like and is refused.
_LAST_32_BITS = (_NAT64, *_v6("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48"))

# The interface identifier of ISATAP (RFC 5214) is 0000:5efe:<IPv4>, its universal and group bits set or not.
_ISATAP_MASK = 0xFCFFFFFF
_ISATAP = 0x00005EFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The rule for outgoing connections: globally routable addresses and `allow_networks`, ports in `allow_ports`
    (None = any port).

    IPv4 inside IPv6 must pass as well. Not known here: a NAT64 prefix of the operator's own (RFC 6052), which is global
    unicast to everybody else.
    """

    allow_networks: tuple[Network, ...] = ()
    allow_ports: frozenset[int] | None = None

    def check_port(self, port: int) -> None:
        """Raises OriginRefusedError when this server does not fetch from `port`."""
        if port < 1 or (self.allow_ports is not None and port not in self.allow_ports):
            raise OriginRefusedError(
                f"this server does not fetch from port {port}; PELLUCID_ORIGIN_ALLOW_PORTS lists those it does"
            )

    def check_address(self, ip: str, port: int) -> None:
        """Raises OriginRefusedError when `ip`, the textual address about to be dialled, or `port` is closed.

        The message does not name the address: it would tell a stranger about the network around this server.
        """
        self.check_port(port)
        if not self._is_open(ip):
            raise OriginRefusedError(
                "the host resolves to a network that this server does not fetch from; "
                "PELLUCID_ORIGIN_ALLOW_NETWORKS lists exceptions"
            )

    def _is_open(self, ip: str) -> bool:
        try:
            address = ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return False
            if address.ipv4_mapped is not None:
                # The kernel dials the IPv4 address: it alone counts.
                address = address.ipv4_mapped
        return all(self._is_listed(part) or _is_public(part) for part in (address, *_embedded(address)))

    def _is_listed(self, address: Address) -> bool:
        return _in_any(address, self.allow_networks)


def _in_any(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _in_any(address, _CLOSED_V4)
    return _in_any(address, _OPEN_V6) and not _in_any(address, _CLOSED_V6)


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that `address` hides, none for most."""
    if isinstance(address, IPv4Address) or address.is_unspecified or address.is_loopback:
        return ()
    if address.teredo is not None:
        return address.teredo
    found: list[IPv4Address] = []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    low = int(address) & 0xFFFFFFFF
    high = int(address) >> 32 & 0xFFFFFFFF
    if _in_any(address, _LAST_32_BITS) or high & _ISATAP_MASK == _ISATAP:
        found.append(IPv4Address(low))
    return tuple(found)
