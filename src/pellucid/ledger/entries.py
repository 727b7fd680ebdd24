"""The statements of the ledger. Each function is a part of a transaction that the caller has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pellucid.database.tables import balances, charges, holds
from pellucid.ledger.values import REMOVAL, Claim, Hold, day_of, month_of
from pellucid.spec import Tier, Token


def lock_month(db: sa.Connection, token: Token, moment: float) -> int:
    """What the token was charged in the month of `moment`. Until the transaction ends nobody else gets past here for
    this token: in SQLite by the write lock, in PostgreSQL by those of its rows, of all months: at midnight, one process
    may be in the old month still, and what it holds counts against the new one.
    """
    month = month_of(moment)
    db.execute(_insert_once(db, balances).values(token=token, month=month, charged=0))
    query = sa.select(balances).filter_by(token=token).order_by(balances.c.month).with_for_update()
    return {row.month: row.charged for row in db.execute(query)}[month]


def charged_in(db: sa.Connection, token: Token, month: str) -> int:
    """Credits that the token was charged in a month (2026-11)."""
    return db.scalar(sa.select(balances.c.charged).filter_by(token=token, month=month)) or 0


def paid(db: sa.Connection, claim: Claim) -> int | None:
    """The credits that the claim cost, None if it was not paid."""
    return db.scalar(sa.select(charges.c.credits).where(*_of(charges, claim)))


def held(db: sa.Connection, claim: Claim) -> Hold | None:
    """The claim's hold."""
    row = db.execute(sa.select(holds).where(*_of(holds, claim))).first()
    return None if row is None else _hold(row)


def held_in_all(db: sa.Connection, token: Token) -> int:
    """Credits held of the token."""
    total = sa.func.coalesce(sa.func.sum(holds.c.credits), 0)
    return int(db.execute(sa.select(total).where(holds.c.token == token)).scalar_one())


def hold(db: sa.Connection, claim: Claim, *, credits: int, job: str, now: float) -> None:
    """Hold `credits`, or let a hold that is there point to `job` from `now` on."""
    row = {"operation": REMOVAL, "credits": credits, "origin_host": claim.origin_host, "job": job, "held_at": now}
    changed = db.execute(holds.update().where(*_of(holds, claim)).values(job=job, held_at=now)).rowcount
    if not changed:
        db.execute(holds.insert().values(**_key(claim), **row))


def drop_hold(db: sa.Connection, claim: Claim, *, held_at: float | None = None) -> None:
    """Forget the hold; with `held_at`, only if it is that one still."""
    same = [] if held_at is None else [holds.c.held_at == held_at]
    db.execute(holds.delete().where(*_of(holds, claim), *same))


def charge(db: sa.Connection, claim: Claim, *, credits: int, now: float) -> bool:
    """Write the charge down, unless it is there (False); the hold goes. The token's month must be locked."""
    row = {"operation": REMOVAL, "credits": credits, "origin_host": claim.origin_host, "day": day_of(now)}
    insert = _insert_once(db, charges).values(**_key(claim), **row, charged_at=now)
    # RETURNING says whether it was written; the row count of such an insert is -1 in places.
    written = db.execute(insert.returning(charges.c.token)).first() is not None
    if written:
        month = (balances.c.token == claim.token, balances.c.month == month_of(now))
        db.execute(balances.update().where(*month).values(charged=balances.c.charged + credits))
    drop_hold(db, claim)
    return written


def holds_of(db: sa.Connection, job: str) -> list[Hold]:
    """What waits for `job`, in the order in which tokens are to be locked."""
    query = sa.select(holds).where(holds.c.job == job).order_by(holds.c.token, holds.c.origin_digest, holds.c.tier)
    return [_hold(row) for row in db.execute(query)]


def holds_before(db: sa.Connection, moment: float, *, limit: int) -> list[Hold]:
    """What is held since before `moment`, the oldest first."""
    query = sa.select(holds).where(holds.c.held_at < moment).order_by(holds.c.held_at).limit(limit)
    return [_hold(row) for row in db.execute(query)]


def _hold(row: sa.Row[Any]) -> Hold:
    claim = Claim(
        token=Token(row.token), origin_digest=row.origin_digest, tier=Tier(row.tier), origin_host=row.origin_host
    )
    return Hold(claim=claim, credits=row.credits, job=row.job, held_at=row.held_at)


def _key(claim: Claim) -> dict[str, str]:
    return {"token": claim.token, "origin_digest": claim.origin_digest, "tier": claim.tier.value}


def _of(table: sa.Table, claim: Claim) -> Sequence[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in _key(claim).items()]


def _insert_once(db: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that does nothing where the key is there already."""
    if db.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
