"""Which addresses count as one client."""

from __future__ import annotations

import pytest

from pellucid.concurrency.clients import client_network
from pellucid.uploads.clients import client_digest

KEY = bytes(32)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert client_network(address) == network


def test_digests_distinguish_networks_and_depend_on_the_key() -> None:
    assert client_digest("2001:db8::1", key=KEY) == client_digest("2001:db8::ffff", key=KEY)
    assert client_digest("192.0.2.7", key=KEY) != client_digest("192.0.2.8", key=KEY)
    assert client_digest("192.0.2.7", key=KEY) != client_digest("192.0.2.7", key=b"x" * 32)
    assert len(client_digest("192.0.2.7", key=KEY)) == 32
