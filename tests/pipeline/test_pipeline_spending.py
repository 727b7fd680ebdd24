"""Whose pictures may cost a customer credits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.pipeline.spending import may_spend
from pellucid.settings.load import load_settings
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.uploads.store import UPLOADS_ALIAS
from pellucid.wiring.accounts import customers_of, describe_closed

SHOP = Customer(token=Token("shop"), credits_per_month=1000, origins=("shop.example",))
OWN = OriginRef(host="img.shop.example", path="/a.jpg")
STRANGE = OriginRef(host="elsewhere.example", path="/a.jpg")
ALIASED = OriginRef(alias="_samples_", path="/a.jpg")
UPLOADED = OriginRef(alias=UPLOADS_ALIAS, path="/a")


def _may(customer: Customer, ref: OriginRef, *, url: str | None = None, has_key: bool = False) -> bool:
    source = "file:///pictures/a.jpg" if ref.alias else str(ref)
    home = source if ref.alias else f"https://{ref}"
    return may_spend(customer, ref=ref, source=source, url=home if url is None else url, has_key=has_key)


@pytest.mark.parametrize(
    ("customer", "refs"),
    [
        (SHOP, [OWN, ALIASED]),
        (replace(SHOP, origins=()), [ALIASED]),
        (replace(SHOP, origins=("shop.example", "elsewhere.example")), [OWN, STRANGE, ALIASED]),
        (replace(SHOP, credits_per_month=0), [OWN, ALIASED]),
        (replace(SHOP, open=True), [OWN, STRANGE, ALIASED, UPLOADED]),
        (replace(SHOP, credits_per_month=None, origins=()), [OWN, STRANGE, ALIASED, UPLOADED]),
        (DEFAULT_CUSTOMER, [OWN, STRANGE, ALIASED, UPLOADED]),
    ],
)
def test_who_has_a_limit_says_whose_pictures_count(customer: Customer, refs: list[OriginRef]) -> None:
    assert [ref for ref in (OWN, STRANGE, ALIASED, UPLOADED) if _may(customer, ref)] == refs
    assert all(_may(customer, ref, has_key=True) for ref in (OWN, STRANGE, ALIASED, UPLOADED))


@pytest.mark.parametrize(
    ("source", "url", "expected"),
    [
        ("cdn.example/shop/a.jpg", "https://cdn.example/shop/a.jpg", True),
        ("http://cdn.example/shop/a.jpg", "https://cdn.example./elsewhere", True),
        ("cdn.example/shop/a.jpg", "https://img.cdn.example/a.jpg", True),
        ("cdn.example/out?to=x", "https://elsewhere.example/a.jpg", False),
        ("cdn.example/out?to=x", "https://cdn.example.elsewhere.example/a.jpg", False),
        ("cdn.example/out?to=x", "https://img.shop.example/a.jpg", True),  # listed
        ("cdn.example/out?to=x", "nonsense", False),
        ("file:///pictures/a.jpg", "file:///pictures/a.jpg", True),
    ],
)
def test_an_alias_stands_for_its_host_not_for_where_that_redirects(source: str, url: str, expected: bool) -> None:
    alias = OriginRef(alias="_shop_", path="/a.jpg")
    assert may_spend(SHOP, ref=alias, source=source, url=url, has_key=False) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.example", True),
        ("shop.example:8080", True),
        ("a.b.shop.example", True),
        ("shop.example.evil.example", False),
        ("notshop.example", False),
        ("example", False),
        ("[::1]", False),
        ("127.0.0.1", False),
    ],
)
def test_a_host_stands_for_itself_and_its_subdomains(host: str, expected: bool) -> None:
    assert _may(SHOP, OriginRef(host=host, path="/shop.example/a.jpg", query="shop.example")) is expected
    assert _may(SHOP, OriginRef(scheme="http", host=host, path="/"), url=f"http://{host}/") is expected


def test_a_redirect_does_not_lead_out_of_the_list() -> None:
    """Shops have pages that redirect to wherever their query says."""
    assert _may(SHOP, OWN, url="https://www.shop.example/b.jpg")
    assert not _may(SHOP, OWN, url="https://elsewhere.example/b.jpg")
    assert not _may(SHOP, OWN, url="_odd_/b.jpg")


def _customer(environ: dict[str, str], token: str = DEFAULT_TOKEN) -> Customer:
    customer = customers_of(load_settings(flags={}, environ=environ)).get(Token(token))
    assert customer is not None
    return customer


def test_without_tokens_the_servers_settings_count() -> None:
    limit = {"PELLUCID_CREDITS_PER_MONTH": "100"}
    assert _customer(limit).origins == ()
    assert not _customer(limit).open
    assert _customer(limit | {"PELLUCID_OPEN": "true"}).open
    assert _customer(limit | {"PELLUCID_ORIGIN_ALLOW_HOSTS": "*.Shop.example"}).origins == ("shop.example",)


@pytest.mark.parametrize(
    ("token", "server", "origins", "is_open"),
    [
        ("", {}, (), False),
        ("", {"PELLUCID_OPEN": "true"}, (), True),
        ("", {"PELLUCID_ORIGIN_ALLOW_HOSTS": "all.example"}, ("all.example",), False),
        (', "origins": ["*.Own.example"]', {"PELLUCID_ORIGIN_ALLOW_HOSTS": "all.example"}, ("own.example",), False),
        (', "origins": ["own.example"]', {"PELLUCID_OPEN": "true"}, ("own.example",), False),
        (', "origins": ["own.example"], "open": true', {}, ("own.example",), True),
        (', "open": true', {}, (), True),
        (', "open": false', {"PELLUCID_OPEN": "true"}, (), False),
    ],
)
def test_what_a_token_says_goes_before_what_the_server_says(
    token: str, server: dict[str, str], origins: tuple[str, ...], is_open: bool
) -> None:
    customer = _customer({"PELLUCID_TOKENS": f'{{"shop": {{"credits_per_month": 5{token}}}}}'} | server, "shop")
    assert (customer.origins, customer.open) == (origins, is_open)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, []),
        (
            {"PELLUCID_CREDITS_PER_MONTH": "0"},
            [
                "credits.per_month is set, and neither origin.allow_hosts nor open: "
                "only pictures behind an alias have their background removed"
            ],
        ),
        ({"PELLUCID_CREDITS_PER_MONTH": "5", "PELLUCID_OPEN": "true"}, []),
        ({"PELLUCID_CREDITS_PER_MONTH": "5", "PELLUCID_ORIGIN_ALLOW_HOSTS": "a.example"}, []),
        (
            {
                "PELLUCID_TOKENS": '{"keyed": {"credits_per_month": 5, "key_hash": "' + "ab" * 32 + '"}, '
                '"shut": {"credits_per_month": 5}, "free": {}, "ajar": {"credits_per_month": 5, "open": true}}'
            },
            [
                "token keyed has a limit, and neither origins nor open: "
                "only requests with its key, or for pictures behind an alias, remove backgrounds",
                "token shut has a limit, and neither origins nor open, and no key: "
                "only requests for pictures behind an alias remove backgrounds",
            ],
        ),
    ],
)
def test_the_start_says_who_gets_few_cutouts(environ: dict[str, str], said: list[str]) -> None:
    assert describe_closed(load_settings(flags={}, environ=environ)) == said
