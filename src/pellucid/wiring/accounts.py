"""Customers and what they pay, from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pellucid.customers.customer import Customer, Customers
from pellucid.customers.defaults import Defaults
from pellucid.customers.lifetimes import UPLOAD_LIFE_S, Lifetimes
from pellucid.ledger.ledger import Ledger
from pellucid.settings.model import SettingsTree
from pellucid.source.weburl import normalise_hosts
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.wiring.aliases import customer_aliases_of, shared_aliases_of


def customers_of(settings: SettingsTree) -> Customers:
    """The tokens that are configured, or `default` for everybody. Raises SettingsError for aliases that cannot be."""
    hosts = normalise_hosts(settings.origin.allow_hosts)
    everybody = Customer(
        token=DEFAULT_TOKEN,
        credits_per_month=settings.credits.per_month,
        origins=hosts,
        open=settings.open,
        aliases=shared_aliases_of(settings),
        allow_hosts=hosts,
        defaults=Defaults(tier=settings.model.quality),
        lifetimes=_lifetimes_of(settings),
    )
    if not settings.tokens:
        return Customers([everybody])
    return Customers(_customer_of(settings, name, everybody) for name in settings.tokens)


def _customer_of(settings: SettingsTree, name: str, everybody: Customer) -> Customer:
    """The customer of the table `tokens.NAME`; what that leaves open is as for `everybody`."""
    own = settings.tokens[name]
    return replace(
        everybody,
        token=Token(name),
        hosts=own.hosts,
        key_hash=own.key_hash.get_secret_value(),
        credits_per_month=own.credits_per_month,
        origins=normalise_hosts(own.origins) or everybody.origins,
        # Who names origins means these: the server's `open` is about what is fetched then, not about who pays.
        open=(settings.open and not own.origins) if own.open is None else own.open,
        aliases=customer_aliases_of(settings, name, everybody.aliases),
        defaults=replace(everybody.defaults, tier=_own_or(own.quality, everybody.defaults.tier)),
        lifetimes=replace(
            everybody.lifetimes,
            browser_s=_own_or(own.browser_s, everybody.lifetimes.browser_s),
            cdn_s=_own_or(own.cdn_s, everybody.lifetimes.cdn_s),
            pending_s=_own_or(own.pending_s, everybody.lifetimes.pending_s),
            failed_s=_own_or(own.failed_s, everybody.lifetimes.failed_s),
            stale_s=_own_or(own.stale_s, everybody.lifetimes.stale_s),
        ),
        notify_urls=own.notify_urls,
    )


def _lifetimes_of(settings: SettingsTree) -> Lifetimes:
    """Those of customers who have none of their own."""
    cache = settings.cache
    return Lifetimes(
        browser_s=cache.browser_s,
        cdn_s=cache.cdn_s,
        pending_s=cache.pending_s,
        failed_s=cache.failed_s,
        stale_s=cache.stale_s,
        upload_s=min(UPLOAD_LIFE_S, int(settings.uploads.keep_s)),
        targeted=settings.cdn.targeted,
        respect_origin=settings.origin.cache_control == "respect",
    )


_T = TypeVar("_T")


def _own_or(own: _T | None, everybodys: _T) -> _T:
    """What the customer has set, 0 included."""
    return everybodys if own is None else own


def describe_closed(settings: SettingsTree) -> list[str]:
    """One sentence for each customer who has a limit and has not said whose pictures may use it up: most requests get
    no cutout then, which the operator should hear at the start and not from the customer.
    """
    return [
        _describe_closed(each, has_tokens=bool(settings.tokens))
        for each in customers_of(settings)
        if each.credits_per_month is not None and not each.origins and not each.open
    ]


def _describe_closed(customer: Customer, *, has_tokens: bool) -> str:
    if not has_tokens:
        return (
            "credits.per_month is set, and neither origin.allow_hosts nor open: "
            "only pictures behind an alias have their background removed"
        )
    who = f"token {customer.token} has a limit, and neither origins nor open"
    if customer.key_hash:
        return f"{who}: only requests with its key, or for pictures behind an alias, remove backgrounds"
    return f"{who}, and no key: only requests for pictures behind an alias remove backgrounds"


def ledger_of(settings: SettingsTree) -> Ledger:
    """The ledger's rules: the prices and limits of the settings."""
    return Ledger(price=settings.credits.price, limit=customers_of(settings).limit)


def charge_every_s_of(settings: SettingsTree) -> Callable[[OriginRef], float]:
    """How often one origin whose bytes change may be charged: by host with its subdomains, or alias; the longest name
    that fits counts.
    """
    given = {name.lower().removeprefix("*").strip("."): each for name, each in settings.credits.charge_every.items()}
    own = sorted(given.items(), key=lambda each: -len(each[0]))

    def charge_every_s(ref: OriginRef) -> float:
        name = ref.alias or ref.host.partition(":")[0].rstrip(".")
        for host, seconds in own:
            if name == host or (not ref.alias and name.endswith(f".{host}")):
                return seconds
        return settings.credits.charge_every_s

    return charge_every_s
