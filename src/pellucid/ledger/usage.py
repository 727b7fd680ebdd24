"""Usage reports: credits charged in a range of days, and the balances of tokens this month.

SQLite and PostgreSQL give the same results. The queries only read: run them with `Database.read`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType

import sqlalchemy as sa

from pellucid.customers.customer import Customers
from pellucid.database.tables import balances, charges, holds
from pellucid.errors import BadValueError
from pellucid.ledger.values import month_of, next_month
from pellucid.spec import Token

MAX_DAYS = 400
"""Days of one report: a year and the month before, to compare."""

MAX_ROWS = 10_000
"""Rows of one report. If there were more, `Usage.truncated` is set."""

LOOKUP_S = 60.0
"""Timeout of one report."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Dimension(enum.StrEnum):
    """What charges may be grouped by. HOST is the host or alias of the origin that was charged."""

    DAY = "day"
    TOKEN = "token"  # noqa: S105 - a customer, no secret
    OPERATION = "operation"
    TIER = "tier"
    HOST = "host"


_COLUMNS: Mapping[Dimension, sa.Column[str]] = MappingProxyType(
    {
        Dimension.DAY: charges.c.day,
        Dimension.TOKEN: charges.c.token,
        Dimension.OPERATION: charges.c.operation,
        Dimension.TIER: charges.c.tier,
        Dimension.HOST: charges.c.origin_host,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A range of UTC days, at most `MAX_DAYS`, and how its charges are grouped."""

    first: date
    last: date
    """Included."""
    by: tuple[Dimension, ...] = (Dimension.DAY,)
    token: Token | None = None
    """None: all tokens."""

    def __post_init__(self) -> None:
        days = (self.last - self.first).days + 1
        if days < 1:
            raise BadValueError(parameter="from", value=str(self.first), grammar=f"no day after `to`, {self.last}")
        if days > MAX_DAYS:
            grammar = f"a day less than {MAX_DAYS} days before `to`, {self.last}"
            raise BadValueError(parameter="from", value=str(self.first), grammar=grammar)
        if not self.by or len(set(self.by)) < len(self.by):
            raise BadValueError(parameter="by", value=",".join(self.by), grammar=_BY_GRAMMAR)

    def days(self) -> list[str]:
        """Every day, 2026-11-25, in order."""
        numbers = range(self.first.toordinal(), self.last.toordinal() + 1)
        return [date.fromordinal(number).isoformat() for number in numbers]


_BY_GRAMMAR = f"a comma-separated list of {', '.join(Dimension)}, each once"


def parse_query(*, first: str | None, last: str | None, by: str | None, token: str | None, today: date) -> UsageQuery:
    """Parse the parameters `from`, `to`, `by` and `token`; None for one that is missing. The defaults are: `to` today,
    `from` the first of its month, `by` day, all tokens. Raises BadValueError.
    """
    last_day = today if last is None else _parse_day("to", last)
    first_day = last_day.replace(day=1) if first is None else _parse_day("from", first)
    if first is not None and last is None and first_day > today:
        raise BadValueError(parameter="from", value=first, grammar=f"a day that has begun; today is {today} (UTC)")
    if token is not None and not _TOKEN.fullmatch(token):
        raise BadValueError(parameter="token", value=token, grammar="lower-case letters, digits and -, at most 40")
    return UsageQuery(
        first=first_day,
        last=last_day,
        by=(Dimension.DAY,) if by is None else _parse_dimensions(by),
        token=None if token is None else Token(token),
    )


def _parse_day(parameter: str, value: str) -> date:
    try:
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass  # such as the 31st of a short month
    raise BadValueError(parameter=parameter, value=value, grammar="a day (UTC) as YYYY-MM-DD")


def _parse_dimensions(value: str) -> tuple[Dimension, ...]:
    try:
        return tuple(Dimension(name.strip()) for name in value.split(","))
    except ValueError as error:
        raise BadValueError(parameter="by", value=value, grammar=_BY_GRAMMAR) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Number of charges of one group, and their credits."""

    group: tuple[str, ...]
    """A value for each of the query's dimensions."""
    removals: int
    credits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The result of a query."""

    query: UsageQuery
    rows: tuple[UsageRow, ...]
    """By day, then by credits, the highest first."""
    removals: int
    """Sum over all rows, also those beyond `MAX_ROWS`; so is `credits`."""
    credits: int
    truncated: bool = False
    """There were more than `MAX_ROWS` rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBalance:
    """Credits of a token this month."""

    token: Token
    limit: int | None
    """None: any number."""
    charged: int
    held: int
    """Held for pending jobs."""
    resets_at: datetime
    """Start of the next month."""

    @property
    def remaining(self) -> int | None:
        """Credits that may still be spent, never below 0; None for any number."""
        return None if self.limit is None else max(0, self.limit - self.charged - self.held)


def look_up(connection: sa.Connection, query: UsageQuery) -> Usage:
    """Sum up charges. A query by day alone has a row for every day, with 0 where nothing was charged."""
    columns = [_COLUMNS[dimension] for dimension in query.by]
    sums = (sa.func.count().label("removals"), sa.func.sum(charges.c.credits).label("spent"))
    wanted: list[sa.ColumnElement[bool]] = [charges.c.day.between(query.first.isoformat(), query.last.isoformat())]
    if query.token is not None:
        wanted.append(charges.c.token == query.token)
    # By day first, so that a truncation cuts off the last days; then by credits. The rest makes the order unique.
    order = [charges.c.day] if Dimension.DAY in query.by else []
    statement = (
        sa.select(*columns, *sums)
        .where(*wanted)
        .group_by(*columns)
        .order_by(*order, sa.desc("spent"), *columns)
        .limit(MAX_ROWS + 1)
    )
    found = [
        # PostgreSQL returns sums of integers as Decimal.
        UsageRow(group=tuple(row)[:-2], removals=row.removals, credits=int(row.spent))
        for row in connection.execute(statement)
    ]
    if len(found) > MAX_ROWS:
        removals, credits = connection.execute(sa.select(*sums).where(*wanted)).one()
        return Usage(query=query, rows=tuple(found[:MAX_ROWS]), removals=removals, credits=int(credits), truncated=True)
    rows = _with_every_day(found, query) if query.by == (Dimension.DAY,) else _sorted(found, query)
    return Usage(
        query=query,
        rows=tuple(rows),
        removals=sum(row.removals for row in found),
        credits=sum(row.credits for row in found),
    )


def _with_every_day(found: Iterable[UsageRow], query: UsageQuery) -> list[UsageRow]:
    charged = {row.group: row for row in found}
    return [charged.get((day,), UsageRow(group=(day,), removals=0, credits=0)) for day in query.days()]


def _sorted(found: list[UsageRow], query: UsageQuery) -> list[UsageRow]:
    """Sort as `look_up` does. Ties are sorted by code points, whatever the database's collation."""
    at = query.by.index(Dimension.DAY) if Dimension.DAY in query.by else None
    return sorted(found, key=lambda row: ("" if at is None else row.group[at], -row.credits, row.group))


def look_up_balances(
    connection: sa.Connection, customers: Customers, *, now: datetime, token: Token | None = None
) -> list[TokenBalance]:
    """Balances in the month of `now` (UTC), by name: of `token`, or of all tokens that are configured, were charged
    this month or have holds, at most `MAX_ROWS`.
    """
    month = month_of(now.timestamp())
    none = sa.literal(0, sa.BigInteger)
    # One statement: a hold becomes a charge in one transaction, and must be seen exactly once.
    parts = sa.union_all(
        sa.select(balances.c.token, balances.c.charged, none.label("held")).where(balances.c.month == month),
        sa.select(holds.c.token, none.label("charged"), holds.c.credits.label("held")),
    ).subquery()
    statement = (
        sa.select(parts.c.token, sa.func.sum(parts.c.charged), sa.func.sum(parts.c.held))
        .group_by(parts.c.token)
        .order_by(parts.c.token)
        .limit(MAX_ROWS)
    )
    if token is not None:
        statement = statement.where(parts.c.token == token)
    sums = {Token(name): (int(charged), int(held)) for name, charged, held in connection.execute(statement)}
    names = {token} if token is not None else {*sums, *customers.tokens}
    resets_at = datetime.fromtimestamp(next_month(now.timestamp()), UTC)
    return [
        TokenBalance(
            token=name,
            limit=customers.limit(name),
            charged=sums.get(name, (0, 0))[0],
            held=sums.get(name, (0, 0))[1],
            resets_at=resets_at,
        )
        for name in sorted(names)[:MAX_ROWS]
    ]
