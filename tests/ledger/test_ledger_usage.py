"""Usage: sums by any grouping against a plain model, days without charges, bounds, balances; on both databases."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.customers.customer import Customer, Customers
from pellucid.database.database import Database
from pellucid.database.tables import balances, charges
from pellucid.errors import BadValueError
from pellucid.ledger.report import csv_name, describe_usage, write_csv
from pellucid.ledger.usage import (
    MAX_DAYS,
    MAX_ROWS,
    Dimension,
    TokenBalance,
    Usage,
    UsageQuery,
    UsageRow,
    look_up,
    look_up_balances,
    parse_query,
)
from pellucid.spec import DEFAULT_TOKEN, Token
from usage_rows import Charge, many, write_charges, write_hold

NOVEMBER = date(2026, 11, 1)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)

days = st.dates(date(2026, 10, 28), date(2026, 11, 6))
# Names that languages sort otherwise than code points do. PostgreSQL holds no NUL.
hosts = st.sampled_from(["a.example", "B.example", "_samples_", "é.example", "a-b.example", "ab.example"]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=6
)
rows = st.lists(
    st.builds(
        Charge,
        day=days,
        token=st.sampled_from(["default", "shop", "shop-2"]),
        operation=st.sampled_from(["bg_remove", "other"]),
        tier=st.sampled_from(["fast", "standard", "best"]),
        host=hosts,
        credits=st.sampled_from([0, 1, 200, 2**50]),
    ),
    max_size=12,
)
groupings = st.lists(st.sampled_from(Dimension), min_size=1, unique=True).map(tuple)
tokens = st.none() | st.sampled_from([Token("shop"), Token("nobody")])


def _wipe(connection: sa.Connection) -> None:
    for table in (charges, balances):
        connection.execute(table.delete())


def _model(charged: list[Charge], query: UsageQuery) -> Usage:
    """The result of `look_up`, by counting."""
    wanted = [row for row in charged if query.first <= row.day <= query.last and query.token in (None, row.token)]
    removals: Counter[tuple[str, ...]] = Counter()
    spent: Counter[tuple[str, ...]] = Counter()
    if query.by == (Dimension.DAY,):
        removals.update({(day,): 0 for day in query.days()})
    for row in wanted:
        group = tuple(str(getattr(row, dimension)) for dimension in query.by)
        removals[group] += 1
        spent[group] += row.credits
    found = [UsageRow(group=group, removals=count, credits=spent[group]) for group, count in removals.items()]
    at = query.by.index(Dimension.DAY) if Dimension.DAY in query.by else None
    found.sort(key=lambda row: ("" if at is None else row.group[at], -row.credits, row.group))
    return Usage(query=query, rows=tuple(found), removals=len(wanted), credits=sum(row.credits for row in wanted))


@given(charged=rows, ends=st.tuples(days, days), by=groupings, token=tokens)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_sums_are_those_of_a_plain_model(
    database: Database,
    charged: list[Charge],
    ends: tuple[date, date],
    by: tuple[Dimension, ...],
    token: Token | None,
) -> None:
    query = UsageQuery(first=min(ends), last=max(ends), by=by, token=token)
    await database.run(lambda db: (_wipe(db), write_charges(db, charged)))
    assert await database.read(lambda db: look_up(db, query)) == _model(charged, query)


async def test_every_day_has_a_row_when_grouped_by_day_alone(database: Database) -> None:
    charged = [*many(Charge(day=NOVEMBER), 2), Charge(day=date(2026, 11, 30), credits=100)]
    await database.run(lambda db: write_charges(db, charged))
    query = UsageQuery(first=NOVEMBER, last=date(2026, 11, 30))
    usage = await database.read(lambda db: look_up(db, query))
    assert [row.group[0] for row in usage.rows] == [f"2026-11-{day:02}" for day in range(1, 31)]
    assert [row.credits for row in usage.rows] == [400] + [0] * 28 + [100]
    nothing = await database.read(lambda db: look_up(db, UsageQuery(first=NOVEMBER, last=NOVEMBER, token=Token("x"))))
    assert nothing.rows == (UsageRow(group=("2026-11-01",), removals=0, credits=0),)


async def test_a_truncated_report_says_so_and_has_the_sums_of_all_rows(database: Database) -> None:
    charged = [Charge(day=NOVEMBER, host=f"{number}.example", credits=1 + number % 7) for number in range(MAX_ROWS + 5)]
    await database.run(lambda db: write_charges(db, charged))
    query = UsageQuery(first=NOVEMBER, last=NOVEMBER, by=(Dimension.HOST,))
    usage = await database.read(lambda db: look_up(db, query))
    assert (len(usage.rows), usage.truncated) == (MAX_ROWS, True)
    assert (usage.removals, usage.credits) == (len(charged), sum(row.credits for row in charged))
    assert [row.credits for row in usage.rows] == sorted((row.credits for row in charged), reverse=True)[:MAX_ROWS]
    assert "first-10000-rows" in csv_name(usage)
    assert describe_usage(usage, []).truncated
    fits = await database.read(lambda db: look_up(db, UsageQuery(first=NOVEMBER, last=NOVEMBER, by=(Dimension.TIER,))))
    assert (len(fits.rows), fits.truncated, fits.credits) == (1, False, usage.credits)


async def test_balances_have_the_charges_of_this_month_and_the_holds(database: Database) -> None:
    customers = Customers(
        [
            Customer(token=Token("shop"), credits_per_month=1000),
            Customer(token=Token("idle"), credits_per_month=0),
            Customer(token=DEFAULT_TOKEN),
        ]
    )

    def write(connection: sa.Connection) -> None:
        today = [*many(Charge(day=NOON.date(), token="shop"), 3), *many(Charge(day=NOON.date(), token="gone"), 1)]
        write_charges(connection, [*today, Charge(day=date(2026, 10, 31), token="shop", credits=77)])
        for token in ("shop", "shop", DEFAULT_TOKEN):
            write_hold(connection, token)

    await database.run(write)
    found = await database.read(lambda db: look_up_balances(db, customers, now=NOON))
    assert [(each.token, each.limit, each.charged, each.held, each.remaining) for each in found] == [
        ("default", None, 0, 200, None),
        ("gone", None, 200, 0, None),
        ("idle", 0, 0, 0, 0),
        ("shop", 1000, 600, 400, 0),
    ]
    assert {each.resets_at for each in found} == {datetime(2026, 12, 1, tzinfo=UTC)}
    one = await database.read(lambda db: look_up_balances(db, customers, now=NOON, token=Token("shop")))
    assert one == [found[3]]
    nobody = await database.read(lambda db: look_up_balances(db, customers, now=NOON, token=Token("nobody")))
    assert [(each.token, each.charged, each.held) for each in nobody] == [("nobody", 0, 0)]


async def test_the_month_is_that_of_utc_and_ends_with_the_year(database: Database) -> None:
    await database.run(lambda db: write_charges(db, [Charge(day=date(2026, 12, 31))]))
    # 23:30 on new year's eve in Reykjavik is half past midnight in Paris.
    now = datetime.fromisoformat("2027-01-01T00:30:00+01:00")
    found = await database.read(lambda db: look_up_balances(db, Customers([]), now=now))
    assert [(each.charged, each.resets_at) for each in found] == [(200, datetime(2027, 1, 1, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({}, "2026-11-01", "2026-11-25"),
        ({"first": "2026-10-30"}, "2026-10-30", "2026-11-25"),
        ({"last": "2026-02-28"}, "2026-02-01", "2026-02-28"),
        ({"last": "2026-12-24"}, "2026-12-01", "2026-12-24"),
        ({"first": "2024-02-29", "last": "2024-02-29"}, "2024-02-29", "2024-02-29"),
        ({"first": "9999-12-01", "last": "9999-12-31"}, "9999-12-01", "9999-12-31"),
    ],
)
def test_default_days(given: dict[str, str], first: str, last: str) -> None:
    query = _parse(**given)
    assert (query.first.isoformat(), query.last.isoformat(), query.by) == (first, last, (Dimension.DAY,))
    assert query.days()[-1] == last


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"first": "2026-02-29"}, "from"),
        ({"first": "20261101"}, "from"),
        ({"first": "2026-W45-1"}, "from"),
        ({"first": "٢٠٢٦-11-01"}, "from"),
        ({"last": ""}, "to"),
        ({"last": "2026-11-01T00:00:00"}, "to"),
        ({"first": "2026-11-26"}, "from"),
        ({"first": "2026-11-02", "last": "2026-11-01"}, "from"),
        ({"first": "0001-01-01"}, "from"),
        ({"by": ""}, "by"),
        ({"by": "day,"}, "by"),
        ({"by": "day,day"}, "by"),
        ({"by": "charged_at"}, "by"),
        ({"token": "Shop"}, "token"),
        ({"token": "a" * 41}, "token"),
        ({"token": ""}, "token"),
    ],
)
def test_bad_values_are_named(given: dict[str, str], parameter: str) -> None:
    with pytest.raises(BadValueError) as caught:
        _parse(**given)
    assert caught.value.parameter == parameter
    assert caught.value.grammar


def test_no_more_days_than_the_bound() -> None:
    last = date(2026, 11, 25)
    assert len(UsageQuery(first=last - timedelta(MAX_DAYS - 1), last=last).days()) == MAX_DAYS
    with pytest.raises(BadValueError, match="400"):
        UsageQuery(first=last - timedelta(MAX_DAYS), last=last)


def _parse(**given: Any) -> UsageQuery:
    return parse_query(**{"first": None, "last": None, "by": None, "token": None, "today": NOON.date(), **given})


@given(st.lists(st.text(max_size=8), max_size=6))
def test_csv_can_be_read_again_and_no_cell_begins_a_formula(names: list[str]) -> None:
    query = UsageQuery(first=NOVEMBER, last=NOVEMBER, by=(Dimension.HOST, Dimension.TIER))
    found = tuple(UsageRow(group=(name, "best"), removals=1, credits=400) for name in names)
    text = write_csv(Usage(query=query, rows=found, removals=0, credits=0))
    header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["host", "tier", "removals", "credits"]
    assert [line[0] in (name, f"'{name}") for line, name in zip(lines, names, strict=True)] == [True] * len(names)
    assert [line[1:] for line in lines] == [["best", "1", "400"]] * len(names)
    assert not [line for line in lines if line[0][:1] in ("=", "+", "-", "@", "\t", "\r", "\n")]


def test_csv_as_it_is_written() -> None:
    query = UsageQuery(first=NOVEMBER, last=date(2026, 11, 2), by=(Dimension.HOST,), token=Token("shop"))
    hostile = ('=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(1)", "\tx", "a,b", "plain.example")
    found = tuple(UsageRow(group=(name,), removals=1, credits=2) for name in hostile)
    usage = Usage(query=query, rows=found, removals=7, credits=14)
    assert write_csv(usage) == (
        "host,removals,credits\r\n"
        '"\'=HYPERLINK(""http://x"",""y"")",1,2\r\n'
        "'+1,1,2\r\n"
        "'-1,1,2\r\n"
        "'@SUM(1),1,2\r\n"
        "'\tx,1,2\r\n"
        '"a,b",1,2\r\n'
        "plain.example,1,2\r\n"
    )
    assert csv_name(usage) == "usage-shop-2026-11-01-to-2026-11-02.csv"


def test_a_balance_is_never_below_zero() -> None:
    balance = TokenBalance(token=DEFAULT_TOKEN, limit=100, charged=150, held=0, resets_at=NOON)
    assert balance.remaining == 0
