"""Customers and what they pay, from settings."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.customers.customer import Customer, Customers
from pellucid.ledger.ledger import Ledger
from pellucid.settings.model import SettingsTree
from pellucid.source.weburl import normalise_hosts
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token


def customers_of(settings: SettingsTree) -> Customers:
    """The tokens that are configured, or `default` for everybody."""
    shared = normalise_hosts(settings.origin.allow_hosts)
    if not settings.tokens:
        limit = settings.credits.per_month
        return Customers([Customer(token=DEFAULT_TOKEN, credits_per_month=limit, origins=shared, open=settings.open)])
    return Customers(
        Customer(
            token=Token(name),
            hosts=each.hosts,
            key_hash=each.key_hash.get_secret_value(),
            credits_per_month=each.credits_per_month,
            origins=normalise_hosts(each.origins) or shared,
            # Who names origins means these: the server's `open` is about what is fetched then, not about who pays.
            open=(settings.open and not each.origins) if each.open is None else each.open,
        )
        for name, each in settings.tokens.items()
    )


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
