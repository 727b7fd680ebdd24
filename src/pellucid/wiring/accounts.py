"""Customers and what they pay, from settings."""

from __future__ import annotations

from pellucid.database.database import Database
from pellucid.ledger.ledger import Ledger
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN, Token
from pellucid.tokens import Customer, Customers


def customers_of(settings: SettingsTree) -> Customers:
    """The tokens that are configured, or `default` for everybody."""
    if not settings.tokens:
        return Customers([Customer(token=DEFAULT_TOKEN, credits_per_month=settings.credits.per_month)])
    return Customers(
        Customer(
            token=Token(name),
            hosts=each.hosts,
            key_hash=each.key_hash.get_secret_value(),
            credits_per_month=each.credits_per_month,
        )
        for name, each in settings.tokens.items()
    )


def ledger_of(settings: SettingsTree, database: Database) -> Ledger:
    """The ledger in `database`, with the prices and limits of the settings."""
    return Ledger(database, price=settings.credits.price, limit=customers_of(settings).limit)
