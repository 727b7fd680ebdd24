"""`pellucid usage`: credits looked up in the database itself, with or without a server running."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.table import Table

from pellucid.cli.words import counted
from pellucid.customers.customer import Customers
from pellucid.ledger.report import describe_usage, write_csv
from pellucid.ledger.usage import (
    LOOKUP_S,
    MAX_ROWS,
    Dimension,
    TokenBalance,
    Usage,
    UsageQuery,
    look_up,
    look_up_balances,
    parse_query,
)
from pellucid.wiring.accounts import customers_of
from pellucid.wiring.storage import look_into_database

if TYPE_CHECKING:
    from pellucid.settings.model import SettingsTree

_BAR_CELLS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def show_usage(
    settings: SettingsTree,
    *,
    first: str | None,
    last: str | None,
    by: str | None,
    token: str | None,
    as_csv: bool,
    as_json: bool,
) -> int:
    """Print what was charged from `first` to `last`, and where tokens stand this month; returns 0.

    The parameters are those of `parse_query`. Raises BadValueError, DatabaseError, SettingsError.
    """
    now = datetime.now(UTC)
    query = parse_query(first=first, last=last, by=by, token=token, today=now.date())
    usage, balances = asyncio.run(_read(settings, query, now))
    if as_csv:
        sys.stdout.write(write_csv(usage))
    elif as_json:
        document = msgspec.json.encode(describe_usage(usage, balances))
        sys.stdout.write(msgspec.json.format(document, indent=2).decode() + "\n")
    else:
        _print(usage, balances, today=now.date())
    if usage.truncated and (as_csv or as_json):
        sys.stderr.write(f"only the first {MAX_ROWS} rows; choose fewer days or a coarser --by\n")
    return 0


async def read_balances(settings: SettingsTree, customers: Customers) -> list[TokenBalance]:
    """Where all tokens stand this month."""
    async with look_into_database(settings) as database:
        return await database.read(lambda db: look_up_balances(db, customers, now=datetime.now(UTC)))


async def _read(settings: SettingsTree, query: UsageQuery, now: datetime) -> tuple[Usage, list[TokenBalance]]:
    customers = customers_of(settings)
    async with look_into_database(settings) as database:
        usage = await database.read(lambda db: look_up(db, query), max_wait_s=LOOKUP_S)
        return usage, await database.read(lambda db: look_up_balances(db, customers, now=now, token=query.token))


def _print(usage: Usage, balances: list[TokenBalance], *, today: date) -> None:
    console = wide_console()
    query = usage.query
    span = f"from {query.first} to {query.last} (UTC)" if query.first != query.last else f"on {query.first} (UTC)"
    if not usage.removals:
        yet = " yet" if query.last >= today else ""
        whose = f" for {query.token}" if query.token else ""
        console.print(f"No removals{yet}{whose} {span}.")
        _print_standing(console, [each for each in balances if each.limit is not None or each.charged or each.held])
        return
    charged = f"{counted(usage.credits, 'credit')} for {counted(usage.removals, 'removal')}"
    console.print(f"{span[0].upper()}{span[1:]}: {charged}\n")
    table = make_table(*query.by, numbers=("removals", "credits"))
    bars = console.is_terminal and query.by == (Dimension.DAY,)
    if bars:
        table.add_column("")
    most = max((row.credits for row in usage.rows), default=0)
    for row in usage.rows:
        cells = [*row.group, f"{row.removals:,}", count(row.credits)]
        table.add_row(*cells, *([bar(row.credits, most)] if bars else []))
    if usage.rows:
        console.print(table)
    if usage.truncated:
        console.print(f"only the first {MAX_ROWS:,} rows; choose fewer days or a coarser --by")
    _print_standing(console, balances)


def _print_standing(console: Console, balances: list[TokenBalance]) -> None:
    if not balances:
        return
    console.print(f"\nThis month, until {balances[0].resets_at:%Y-%m-%d}")
    standing = make_table("token", numbers=("limit", "charged", "held", "remaining"))
    for each in balances:
        remaining = count(each.remaining)
        standing.add_row(each.token, count(each.limit), count(each.charged), count(each.held), remaining)
    console.print(standing)


def wide_console() -> Console:
    """Standard output; where it is no terminal, lines are as long as they need to be."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=10_000)


def make_table(*texts: str, numbers: tuple[str, ...]) -> Table:
    """A table without lines; columns of numbers are set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def count(credits: int | None) -> str:
    """Credits with thousands set apart; `any` where there is no limit."""
    return "any" if credits is None else f"{credits:,}"


def bar(value: int, most: int) -> str:
    """A bar of block characters, `most` being 40 of them wide; anything above 0 is seen."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(value * _BAR_CELLS * 8 / most))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
