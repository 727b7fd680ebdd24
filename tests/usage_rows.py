"""Charges, holds and balances put into a database as the ledger writes them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import sqlalchemy as sa

from pellucid.database.tables import balances, charges, holds

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One charge for a unique image."""

    day: date
    token: str = "default"
    operation: str = "bg_remove"
    tier: str = "standard"
    host: str = "shop.example"
    credits: int = 200


def many(charge: Charge, count: int) -> list[Charge]:
    return [replace(charge) for _ in range(count)]


def write_charges(connection: sa.Connection, rows: Iterable[Charge]) -> None:
    """The charges, and the sums of their months."""
    rows = list(rows)
    if not rows:
        return
    connection.execute(
        charges.insert(),
        [
            {
                "token": row.token,
                "origin_digest": f"{next(_numbers):032x}",
                "tier": row.tier,
                "operation": row.operation,
                "credits": row.credits,
                "origin_host": row.host,
                "day": row.day.isoformat(),
                "charged_at": 0.0,
            }
            for row in rows
        ],
    )
    months: Counter[tuple[str, str]] = Counter()
    for row in rows:
        months[row.token, row.day.isoformat()[:7]] += row.credits
    connection.execute(
        balances.insert(),
        [{"token": token, "month": month, "charged": charged} for (token, month), charged in months.items()],
    )


def write_hold(connection: sa.Connection, token: str, *, credits: int = 200) -> None:
    connection.execute(
        holds.insert().values(
            token=token,
            origin_digest=f"{next(_numbers):032x}",
            tier="standard",
            operation="bg_remove",
            credits=credits,
            origin_host="shop.example",
            job="job",
            held_at=0.0,
            store="here",
        )
    )
