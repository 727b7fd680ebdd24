"""Pure: usage reports as JSON and as CSV, the same over HTTP and on the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from pellucid.ledger.usage import MAX_ROWS, TokenBalance, Usage

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters that start a formula in spreadsheets, also in quotes. Clients choose the host names in a report (OWASP,
CSV Injection).
"""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all rows, also those beyond `MAX_ROWS`."""

    removals: int
    credits: int


class BalanceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Credits of one token this month. `limit` and `remaining` are null without a limit, `resets_at` is RFC 3339."""

    token: str
    limit: int | None
    charged: int
    held: int
    remaining: int | None
    resets_at: str


class UsageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The response of `/-/usage`. A row has the values that it is grouped by, `removals` and `credits`. `truncated`:
    there were more rows. `balance` is an object for a customer, a list for the operator.
    """

    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")
    by: list[str]
    rows: list[dict[str, str | int]]
    truncated: bool
    total: Sums
    balance: BalanceDocument | list[BalanceDocument]


def describe_usage(usage: Usage, balance: TokenBalance | Sequence[TokenBalance]) -> UsageDocument:
    """Build the document of `usage`."""
    by = [str(dimension) for dimension in usage.query.by]
    return UsageDocument(
        first=usage.query.first.isoformat(),
        last=usage.query.last.isoformat(),
        by=by,
        rows=[
            {**dict(zip(by, row.group, strict=True)), "removals": row.removals, "credits": row.credits}
            for row in usage.rows
        ],
        truncated=usage.truncated,
        total=Sums(removals=usage.removals, credits=usage.credits),
        balance=_describe(balance) if isinstance(balance, TokenBalance) else [_describe(each) for each in balance],
    )


def write_csv(usage: Usage) -> str:
    """The rows as CSV (RFC 4180) with a header. A text that a spreadsheet would take for a formula gets an apostrophe
    in front.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*usage.query.by, "removals", "credits"])
    writer.writerows([*map(_harmless, row.group), row.removals, row.credits] for row in usage.rows)
    return out.getvalue()


def csv_name(usage: Usage) -> str:
    """A file name for `write_csv`: letters, digits, `-` and `.` only. It shows if rows are missing."""
    token = f"-{usage.query.token}" if usage.query.token else ""
    part = f"-first-{MAX_ROWS}-rows" if usage.truncated else ""
    return f"usage{token}-{usage.query.first}-to-{usage.query.last}{part}.csv"


def _describe(balance: TokenBalance) -> BalanceDocument:
    return BalanceDocument(
        token=balance.token,
        limit=balance.limit,
        charged=balance.charged,
        held=balance.held,
        remaining=balance.remaining,
        resets_at=balance.resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
