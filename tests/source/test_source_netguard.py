"""Which addresses may be dialled."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import OriginRefusedError
from pellucid.source.netguard import Guard, Network

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # 127.0.0.1, compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.1.2.3",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",  # benchmarking
    "2001:20::1",  # ORCHID
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:808:808::1",
    "2606:4700::5efe:127.0.0.1",  # ISATAP
    "2606:4700::200:5efe:10.0.0.1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "localhost",
    "0177.0.0.1",
    "127.1",
    "0x7f000001",
    "2130706433",
]

OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "198.17.255.255",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2606:4700::5efe:8.8.8.8",
    "2a00:1450:4001:80e::200e",
]


def is_open(guard: Guard, ip: str, port: int = 443) -> bool:
    try:
        guard.check_address(ip, port)
    except OriginRefusedError:
        return False
    return True


def listing(*networks: str) -> Guard:
    parsed: tuple[Network, ...] = tuple(ip_network(network) for network in networks)
    return Guard(allow_networks=parsed, allow_ports=None)


@pytest.mark.parametrize("ip", CLOSED)
def test_closed(ip: str) -> None:
    assert not is_open(Guard(), ip)


@pytest.mark.parametrize("ip", OPEN)
def test_open(ip: str) -> None:
    assert is_open(Guard(), ip)


def test_a_listed_network_is_open_and_no_other() -> None:
    guard = listing("10.1.0.0/16", "fd00::/8", "::1/128")
    assert is_open(guard, "10.1.2.3")
    assert is_open(guard, "::ffff:10.1.2.3")
    assert is_open(guard, "64:ff9b::10.1.2.3")
    assert is_open(guard, "fd12::1")
    assert is_open(guard, "::1")
    assert not is_open(guard, "10.2.0.1")
    assert not is_open(guard, "::ffff:10.2.0.1")
    assert not is_open(guard, "127.0.0.1")


def test_a_listed_ipv6_network_does_not_open_the_ipv4_addresses_inside() -> None:
    guard = listing("::/0")
    assert is_open(guard, "fd00::1")
    assert is_open(guard, "2002:808:808::1")
    assert not is_open(guard, "2002:a00:1::1")
    assert not is_open(guard, "64:ff9b:1::10.0.0.1")
    assert not is_open(guard, "::127.0.0.1")
    assert not is_open(guard, "::ffff:0:127.0.0.1")
    assert not is_open(guard, "fe80::1%eth0")
    # Teredo hides its client's address inverted: 192.0.2.45 here.
    assert not is_open(guard, "2001:0:808:808:8000:63bf:3fff:fdd2")


def test_ports() -> None:
    guard = Guard(allow_ports=frozenset({80, 443}))
    assert is_open(guard, "8.8.8.8", 80)
    assert not is_open(guard, "8.8.8.8", 22)
    assert is_open(Guard(allow_ports=None), "8.8.8.8", 22)
    assert not is_open(Guard(allow_ports=None), "8.8.8.8", 0)
    with pytest.raises(OriginRefusedError, match="PELLUCID_ORIGIN_ALLOW_PORTS"):
        guard.check_address("8.8.8.8", 6379)


@pytest.mark.parametrize("ip", ["10.11.12.13", "::ffff:10.11.12.13", "fd00::1234"])
def test_the_message_names_the_setting_but_not_the_address(ip: str) -> None:
    with pytest.raises(OriginRefusedError, match="PELLUCID_ORIGIN_ALLOW_NETWORKS") as caught:
        Guard().check_address(ip, 443)
    assert "12" not in str(caught.value)


@given(st.integers(0, 2**32 - 1))
def test_ipv4_is_judged_alike_in_its_own_form_and_mapped(number: int) -> None:
    plain = is_open(Guard(), str(IPv4Address(number)))
    assert is_open(Guard(), f"::ffff:{IPv4Address(number)}") == plain
    assert is_open(Guard(), f"64:ff9b::{IPv4Address(number)}") == plain
    assert not plain or IPv4Address(number).is_global


@given(st.integers(0, 2**128 - 1) | st.integers(0x20 << 120, (0x40 << 120) - 1))
def test_open_ipv6_is_global_unicast(number: int) -> None:
    address = IPv6Address(number)
    if is_open(Guard(), str(address)) and address.ipv4_mapped is None:
        assert address in IPv6Network("2000::/3") or address in IPv6Network("64:ff9b::/96")
