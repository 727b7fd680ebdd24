"""The examples that `serve` prints: requests that are answered, with any customers."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from pellucid.customers.customer import hash_key
from pellucid.http.authentication import Authenticator
from pellucid.serve.examples import example_lines
from pellucid.settings.model import SettingsTree
from pellucid.wiring.accounts import customers_of

_KEY = "pel_shops"
_KEYED = {"key_hash": hash_key(_KEY)}


@pytest.mark.parametrize("address", ["127.0.0.1:8400", "[::1]:8400", "0.0.0.0:80"])
@pytest.mark.parametrize(
    ("tokens", "sent"),
    [
        ({}, ""),
        ({"default": {}}, ""),
        ({"shop": _KEYED, "default": {}}, ""),
        ({"shop": _KEYED}, "Authorization"),
        ({"shop": _KEYED | {"hosts": ["img.example"]}}, "Authorization"),
        ({"shop": {"hosts": ["img.example", "a.example"]}}, "Host"),
        ({"shop": {"hosts": ["img.example"]}, "blog": _KEYED}, "Authorization"),
    ],
)
def test_printed_requests_are_answered(tokens: dict[str, Any], sent: str, address: str) -> None:
    customers = customers_of(SettingsTree.model_validate({"tokens": tokens}))
    callers = Authenticator(customers, admin_key="")
    opening, *lines = example_lines(f"http://{address}", "/_samples_/mug.jpg", customers)
    assert opening.startswith("Try")
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line)
        headers = dict(each.split(": ", 1) for each in words if ": " in each)
        assert set(headers) == ({sent} if sent else set())
        assert words[-1].startswith(f"http://{address}/_samples_/mug.jpg?w=400")
        key = headers.get("Authorization", "").replace("$KEY", _KEY)
        callers.token_of(headers.get("Host", address), key)


def test_customers_without_host_or_key_are_reported() -> None:
    customers = customers_of(SettingsTree.model_validate({"tokens": {"shop": {}}}))
    (line,) = example_lines("http://127.0.0.1:8400", "/_samples_/mug.jpg", customers)
    assert "pellucid tokens new" in line
