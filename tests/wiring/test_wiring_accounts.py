"""Customers from settings: what each has of its own, and what it has as everybody does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pellucid.customers.customer import Customer
from pellucid.customers.defaults import Defaults
from pellucid.customers.lifetimes import Lifetimes
from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN, Tier, Token
from pellucid.wiring.accounts import customers_of
from pellucid.wiring.values import origin_headers_of

SHARED = {"_all_": "https://all.example/", "_img_": "https://img.example/"}


def _customer(token: str = DEFAULT_TOKEN, **sections: Any) -> Customer:
    customer = customers_of(SettingsTree.model_validate({"data_dir": Path("/data"), **sections})).get(Token(token))
    assert customer is not None
    return customer


def test_a_server_where_nothing_is_set() -> None:
    customer = _customer()
    assert (customer.defaults, customer.lifetimes, customer.allow_hosts) == (Defaults(), Lifetimes(), ())
    assert customer.aliases.keys() == {"_samples_", "_upload_"}
    assert customer.aliases["_upload_"] == "file:///data/uploads"
    assert "_upload_" not in _customer(uploads={"enabled": False}).aliases


@pytest.mark.parametrize("token", [{}, {"tokens": {"default": {}}}, {"tokens": {"default": {"browser_s": None}}}])
def test_what_is_set_for_the_server_is_everybodys(token: dict[str, Any]) -> None:
    customer = _customer(
        aliases=SHARED,
        origin={"allow_hosts": ["*.Shop.example"], "cache_control": "ignore"},
        model={"quality": "best"},
        cache={"browser_s": 1, "cdn_s": 2, "pending_s": 3, "failed_s": 4, "stale_s": 5},
        uploads={"keep_s": 60},
        cdn={"targeted": True},
        **token,
    )
    assert SHARED.items() <= customer.aliases.items()
    assert customer.allow_hosts == ("shop.example",)
    assert customer.defaults.tier is Tier.BEST
    assert customer.lifetimes == Lifetimes(
        browser_s=1,
        cdn_s=2,
        pending_s=3,
        failed_s=4,
        stale_s=5,
        upload_s=60,
        targeted=True,
        respect_origin=False,
    )


def test_what_a_customer_sets_goes_before_it() -> None:
    own = {"_img_": "cdn.shop.example/b", "_own_": "file:///pictures"}
    lives = {"browser_s": 0, "cdn_s": 20, "pending_s": 30, "failed_s": 40, "stale_s": 50}
    sections: dict[str, Any] = {
        "aliases": SHARED,
        "model": {"quality": "best"},
        "cache": {"browser_s": 1},
        "tokens": {"shop": {"aliases": own, "quality": "fast", **lives}, "blog": {}},
    }
    shop, blog = _customer("shop", **sections), _customer("blog", **sections)
    assert shop.aliases == {**blog.aliases, **own}
    assert shop.aliases["_all_"] == SHARED["_all_"]
    assert blog.aliases["_img_"] == SHARED["_img_"]
    assert "_own_" not in blog.aliases
    assert (shop.defaults.tier, blog.defaults.tier) == (Tier.FAST, Tier.BEST)
    assert shop.lifetimes == Lifetimes(**lives)
    assert blog.lifetimes == Lifetimes(browser_s=1)


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("_samples_", "tokens.shop.aliases names _samples_, which is where the sample photographs are"),
        ("_upload_", "tokens.shop.aliases names _upload_, which is where uploads are"),
        ("_all_b_", "tokens.shop.aliases: the alias _all_ is contained in _all_b_"),
        ("_new_samples_", "tokens.shop.aliases: the alias _samples_ is contained in _new_samples_"),
    ],
)
@pytest.mark.parametrize("uploads", [True, False])
def test_an_alias_that_is_in_the_way_stops_the_start(alias: str, said: str, *, uploads: bool) -> None:
    tokens = {"blog": {}, "shop": {"aliases": {alias: "https://a.example/"}}}
    with pytest.raises(SettingsError, match=said):
        _customer("shop", aliases=SHARED, tokens=tokens, uploads={"enabled": uploads})


def test_an_alias_of_the_server_that_leads_nowhere_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"alias _a_ leads to 'ftp://a\.example', which is no address"):
        _customer(aliases={"_a_": "ftp://a.example"})


@pytest.mark.parametrize("tokens", [{}, {"shop": {"aliases": {"_b_": "https://b.example"}}}])
def test_names_that_the_server_had_stay(tokens: dict[str, Any]) -> None:
    """They were never checked against each other, and none is taken for another here."""
    mine = {
        "_a_": "https://a.example",
        "_a_a_": "https://b.example",
        "_samples_": "https://c.example",
        "_ü_": "d.example",
    }
    assert mine.items() <= _customer("shop" if tokens else "default", aliases=mine, tokens=tokens).aliases.items()


def test_an_alias_whose_host_gets_headers_by_https_alone_stops_the_start() -> None:
    def check(alias: str, **shop: Any) -> None:
        sections = {
            "data_dir": Path("/data"),
            "aliases": {"_m_": "http://minio.internal/"},
            "tokens": {"shop": {"aliases": {alias: "http://bucket.internal/"}, **shop}},
        }
        origin_headers_of(SettingsTree.model_validate(sections))

    bucket, minio = ({"origin_headers": {f"{name}.internal": {"X-Key": "1"}}} for name in ("bucket", "minio"))
    check("_own_")
    with pytest.raises(SettingsError, match=r"alias _own_ leads to http://bucket.*https:// in tokens.shop.aliases"):
        check("_own_", **bucket)
    with pytest.raises(SettingsError, match=r"alias _m_ leads to http://minio.*https:// in PELLUCID_ALIASES"):
        check("_own_", **minio)
    check("_m_", **minio)  # its own takes the place of everybody's
