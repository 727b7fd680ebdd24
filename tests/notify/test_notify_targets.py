"""Who is called for a spec, and whom a URL may name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.errors import BadValueError, SettingsError
from pellucid.notify.targets import WebhookTargets
from pellucid.queue.values import Listener
from pellucid.spec import Geometry, OriginRef, Removal, Spec, Token

SPEC = Spec(
    origin=OriginRef(host="h.example", path="/a.png"), removal=Removal(remove=True), geometry=Geometry(width=400)
)


def with_callback(callback: str, *, cutout: bool = True) -> Spec:
    return replace(SPEC, removal=Removal(remove=cutout, notify=callback))


CALLBACK = "https://hooks.shop.example:8443/done?id=7"


def test_nobody_by_default() -> None:
    assert WebhookTargets().for_spec(DEFAULT_CUSTOMER, SPEC) == ()


def test_the_operators_urls_come_first_and_are_told_the_canonical_url() -> None:
    webhook_targets = WebhookTargets(urls=("https://a.example/", "https://b.example/"), allow_hosts=("shop.example",))
    image = "/h.example/a.png?w=400&bg_remove=1"
    assert webhook_targets.for_spec(DEFAULT_CUSTOMER, SPEC) == (
        Listener(url="https://a.example/", image=image),
        Listener(url="https://b.example/", image=image),
    )
    called = webhook_targets.for_spec(DEFAULT_CUSTOMER, with_callback(CALLBACK))
    assert [listener.url for listener in called] == ["https://a.example/", "https://b.example/", CALLBACK]
    assert {listener.image for listener in called} == {
        f"{image}&bg_notify=https:%2F%2Fhooks.shop.example:8443%2Fdone%3Fid%3D7"
    }


def test_a_customers_own_urls_hear_of_its_cutouts_only() -> None:
    shop = Customer(token=Token("shop"), notify_urls=("https://shop.example/", "https://a.example/"))
    webhook_targets = WebhookTargets(urls=("https://a.example/",))
    assert [each.url for each in webhook_targets.for_spec(shop, SPEC)] == [
        "https://a.example/",
        "https://shop.example/",
    ]
    assert [each.url for each in webhook_targets.for_spec(DEFAULT_CUSTOMER, SPEC)] == ["https://a.example/"]


def test_without_a_cutout_nobody_is_called() -> None:
    webhook_targets = WebhookTargets(urls=("https://a.example/",), allow_hosts=("shop.example",))
    assert webhook_targets.for_spec(DEFAULT_CUSTOMER, with_callback(CALLBACK, cutout=False)) == ()


@pytest.mark.parametrize("cutout", [True, False])
@pytest.mark.parametrize("allow_hosts", [(), ("other.example",), ("op.example",), ("a.hooks.shop.example",)])
def test_a_callback_elsewhere_is_refused_with_the_settings_name(allow_hosts: tuple[str, ...], cutout: bool) -> None:
    with pytest.raises(BadValueError, match="PELLUCID_NOTIFY_ALLOW_HOSTS") as caught:
        WebhookTargets(allow_hosts=allow_hosts).for_spec(DEFAULT_CUSTOMER, with_callback(CALLBACK, cutout=cutout))
    assert (caught.value.parameter, caught.value.value) == ("bg_notify", CALLBACK)


@pytest.mark.parametrize(
    ("allow_hosts", "callback"),
    [
        (("shop.example",), "https://shop.example/"),
        (("*.Shop.example",), "https://a.b.shop.example./"),
        (("127.0.0.1",), "http://127.0.0.1:8080/x"),
    ],
)
def test_allowed_hosts_cover_their_subdomains(allow_hosts: tuple[str, ...], callback: str) -> None:
    webhook_targets = WebhookTargets(allow_hosts=allow_hosts)
    assert webhook_targets.for_spec(DEFAULT_CUSTOMER, with_callback(callback))[-1].url == callback


@pytest.mark.parametrize(
    "callback", ["https://127.1/", "https://a b.example/", "https://shop.example:99999/", "x://y/"]
)
def test_a_callback_that_no_server_has_is_refused(callback: str) -> None:
    with pytest.raises(BadValueError, match="absolute http or https URL"):
        WebhookTargets(allow_hosts=("shop.example",)).for_spec(DEFAULT_CUSTOMER, with_callback(callback))


def test_an_entry_that_is_no_host() -> None:
    with pytest.raises(SettingsError, match="no host name"):
        WebhookTargets(allow_hosts=("a b",))
