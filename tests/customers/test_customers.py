"""Whose name a request is in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid.customers.customer import Customer, Customers, hash_key, make_key
from pellucid.customers.lifetimes import Lifetimes
from pellucid.errors import AuthenticationError
from pellucid.http.authentication import Authenticator
from pellucid.spec import DEFAULT_TOKEN, Token

KEY = make_key()
SHOP = Customer(token=Token("shop"), hosts=("img.shop.example", "cdn.shop.example"), credits_per_month=1000)
BLOG = Customer(token=Token("blog"), key_hash=hash_key(KEY))


def _authenticator(*customers: Customer) -> Authenticator:
    return Authenticator(Customers(customers), admin_key="the operator's")


@pytest.mark.parametrize(
    ("host", "authorization", "token"),
    [
        ("img.shop.example", "", "shop"),
        ("CDN.shop.example.:8400", "", "shop"),
        ("img.shop.example", "Bearer {key}", "blog"),
        ("elsewhere.example", "bearer  {key}", "blog"),
        ("img.shop.example", "Basic dTpw", "shop"),
        ("img.shop.example", "Bearer the operator's", "shop"),
    ],
)
def test_a_key_goes_before_the_host(host: str, authorization: str, token: str) -> None:
    # The key itself in the name of a case would be another one in each process that pytest starts.
    assert _authenticator(SHOP, BLOG).token_of(host, authorization.format(key=KEY)) == token


@pytest.mark.parametrize(
    ("host", "authorization"),
    [
        ("elsewhere.example", ""),
        ("", ""),
        ("evil.img.shop.example", ""),
        ("img.shop.example", "Bearer guess"),
        ("elsewhere.example", "Bearer the operator's"),
    ],
)
def test_who_is_nobody_gets_nothing(host: str, authorization: str) -> None:
    with pytest.raises(AuthenticationError):
        _authenticator(SHOP, BLOG).token_of(host, authorization)


def test_default_takes_the_rest_where_it_is_configured() -> None:
    callers = _authenticator(SHOP, Customer(token=DEFAULT_TOKEN))
    assert callers.has_customers
    assert callers.token_of("elsewhere.example", "") == DEFAULT_TOKEN
    assert callers.token_of("[::1]:8400", "") == DEFAULT_TOKEN
    assert callers.token_of("img.shop.example", "") == "shop"


def test_default_alone_is_for_everybody() -> None:
    callers = _authenticator(Customer(token=DEFAULT_TOKEN, credits_per_month=5))
    assert not callers.has_customers
    assert callers.token_of("", "Bearer guess") == DEFAULT_TOKEN


def test_the_operator() -> None:
    assert _authenticator(SHOP).is_operator("Bearer the operator's")
    assert not _authenticator(SHOP).is_operator("Bearer the operator")
    assert not Authenticator(Customers([]), admin_key="").is_operator("Bearer ")


def test_keys_differ_and_are_looked_up_by_their_hash() -> None:
    assert make_key() != make_key()
    customers = Customers([SHOP, BLOG])
    assert customers.of_key(KEY) is BLOG
    assert customers.of_key(BLOG.key_hash) is None
    assert (customers.limit(Token("shop")), customers.limit(Token("blog"))) == (1000, None)


def test_a_customer_that_changed_is_another_one() -> None:
    """What is kept by customer, such as whole answers, is not found by the changed one; nor is it where all are equal
    but the token.
    """
    same = replace(SHOP, aliases={})
    assert (same == SHOP, hash(same) == hash(SHOP)) == (True, True)
    assert replace(SHOP, token=Token("blog")) != SHOP
    assert replace(SHOP, aliases={"_a_": "https://a.example/"}) != SHOP
    assert {SHOP: 1}.get(replace(SHOP, lifetimes=Lifetimes(browser_s=1))) is None
