"""The SQL statements of the ledger. Each function is part of a transaction that the caller has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pellucid.database.insert import insert_once
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import balances, charges, holds
from pellucid.ledger.values import REMOVAL, Account, Claim, day_of, month_of
from pellucid.spec import Tier, Token


def lock_account(db: sa.Connection, token: Token, now: float) -> None:
    """Lock the token's account until the transaction ends, and create the row of the month.

    The lock is for all months: at midnight another process may still be in the old month, and its holds count against
    the new one.
    """
    lock(db, Lock.ACCOUNTS, token)
    db.execute(insert_once(db, balances).values(token=token, month=month_of(now), charged=0))


def account_values(claim: Claim, *, now: float) -> dict[str, Any]:
    """The parameters of `ACCOUNT_COLUMNS`."""
    return {
        **_key(claim),
        "month": month_of(now),
        "origin": claim.origin,
        "since": now - claim.charge_every_s,
        "once_per_origin": int(bool(claim.origin) and claim.charge_every_s > 0),
    }


def read_account(row: sa.Row[*tuple[Any, ...]]) -> Account:
    """The account in a row with `ACCOUNT_COLUMNS`."""
    return Account(
        paid=row.paid,
        held=row.held,
        held_for=None if row.held_job is None else (row.held_store, row.held_job),
        charged=row.charged or 0,
        held_in_all=int(row.held_in_all or 0),
        paid_lately=bool(row.paid_lately),
    )


def account(db: sa.Connection, claim: Claim, *, now: float) -> Account:
    """Read the account of the claim at `now`. One statement."""
    return read_account(db.execute(_ACCOUNT, account_values(claim, now=now)).one())


def sums(db: sa.Connection, token: Token, *, now: float) -> tuple[int, int]:
    """Credits that the token was charged in the month of `now`, and credits that are held. One statement."""
    row = db.execute(_SUMS, {"token": token, "month": month_of(now)}).one()
    return int(row.charged or 0), int(row.held_in_all or 0)


def hold(db: sa.Connection, claim: Claim, *, credits: int, store: str, job: str, now: float) -> None:
    """Hold `credits` until `job` of `store` ends. An existing hold keeps its credits and moves to that job."""
    db.execute(
        insert_once(db, holds).values(
            **_key(claim),
            operation=REMOVAL,
            credits=credits,
            origin_host=claim.origin_host,
            origin=claim.origin,
            store=store,
            job=job,
            held_at=now,
        )
    )
    db.execute(holds.update().where(*_of(holds, claim)).values(store=store, job=job))


def drop_hold(db: sa.Connection, claim: Claim, credits: int) -> None:
    """Delete the hold of the claim. Its credits move to another claim of the same URL, if one is held at no cost
    because of this one (`Ledger.price_of`): one of them is to be paid. The account must be locked.
    """
    db.execute(holds.delete().where(*_of(holds, claim)))
    if credits and claim.origin:
        free = sa.and_(*_of_url(claim), holds.c.credits == 0)
        first = sa.select(holds.c.origin_digest).where(free).order_by(holds.c.held_at, holds.c.origin_digest).limit(1)
        db.execute(holds.update().where(free, holds.c.origin_digest.in_(first)).values(credits=credits))


def transfer_credits(db: sa.Connection, claim: Claim) -> int:
    """Take the credits held for another claim of the same URL, because this one has its cutout first. The other is held
    at no cost from now on. Returns the credits, 0 if there are none. The account must be locked.
    """
    if not claim.origin:
        return 0
    paying = sa.and_(*_of_url(claim), holds.c.origin_digest != claim.origin_digest, holds.c.credits > 0)
    row = db.execute(sa.select(holds.c.origin_digest, holds.c.credits).where(paying).limit(1)).first()
    if row is None:
        return 0
    db.execute(holds.update().where(paying, holds.c.origin_digest == row.origin_digest).values(credits=0))
    return row.credits


def _of_url(claim: Claim) -> Sequence[sa.ColumnElement[bool]]:
    return holds.c.token == claim.token, holds.c.origin == claim.origin, holds.c.tier == claim.tier.value


def drop_lost_holds(db: sa.Connection, *, before: float) -> None:
    """Delete holds without a job, which older versions wrote."""
    db.execute(holds.delete().where(holds.c.store == "", holds.c.held_at < before))


def charge(db: sa.Connection, claim: Claim, *, credits: int, now: float) -> bool:
    """Write the charge and delete the hold. False if the charge exists already. The account must be locked."""
    row = {
        "operation": REMOVAL,
        "credits": credits,
        "origin_host": claim.origin_host,
        "origin": claim.origin,
        "day": day_of(now),
    }
    insert = insert_once(db, charges).values(**_key(claim), **row, charged_at=now)
    # RETURNING shows whether the row was written; the row count of such an insert is -1 with some drivers.
    written = db.execute(insert.returning(charges.c.token)).first() is not None
    if written:
        month = (balances.c.token == claim.token, balances.c.month == month_of(now))
        db.execute(balances.update().where(*month).values(charged=balances.c.charged + credits))
    db.execute(holds.delete().where(*_of(holds, claim)))
    return written


def holds_of(db: sa.Connection, *, store: str, job: str) -> list[tuple[Claim, int]]:
    """The claims held for a job, with their credits, in the order in which tokens must be locked."""
    of_job = (holds.c.store == store, holds.c.job == job)
    query = sa.select(holds).where(*of_job).order_by(holds.c.token, holds.c.origin_digest, holds.c.tier)
    return [(_claim(row), row.credits) for row in db.execute(query)]


def _claim(row: sa.Row[Any]) -> Claim:
    return Claim(
        token=Token(row.token),
        origin_digest=row.origin_digest,
        tier=Tier(row.tier),
        origin_host=row.origin_host,
        origin=row.origin,
    )


def _key(claim: Claim) -> dict[str, str]:
    return {"token": claim.token, "origin_digest": claim.origin_digest, "tier": claim.tier.value}


def _of(table: sa.Table, claim: Claim) -> Sequence[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in _key(claim).items()]


def _scalar(column: sa.Column[Any], *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    return sa.select(column).where(*where).scalar_subquery()


# Frequent statements are built once: building one takes several times as long as SQLite needs to run it.

_TOKEN, _MONTH = sa.bindparam("token", type_=sa.String), sa.bindparam("month", type_=sa.String)


def _of_claim(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(table.c[name] == sa.bindparam(name, type_=sa.String) for name in ("token", "origin_digest", "tier"))


def _of_origin(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    """Condition: rows of the claim's URL that cost credits, for any bytes."""
    names = ("token", "origin", "tier")
    return (*(table.c[name] == sa.bindparam(name, type_=sa.String) for name in names), table.c.credits > 0)


def _paid_lately() -> sa.ColumnElement[int]:
    latest = sa.select(sa.func.max(charges.c.charged_at)).where(*_of_origin(charges)).scalar_subquery()
    other = holds.c.origin_digest != sa.bindparam("origin_digest", type_=sa.String)
    soon = sa.exists().where(*_of_origin(holds), other)  # for earlier bytes of the URL
    since, once_per_origin = sa.bindparam("since", type_=sa.Float), sa.bindparam("once_per_origin", type_=sa.Integer)
    return sa.case((sa.and_(once_per_origin == 1, sa.or_(latest > since, soon)), 1), else_=0)


_SUM_COLUMNS: tuple[sa.Label[Any], ...] = (
    _scalar(balances.c.charged, balances.c.token == _TOKEN, balances.c.month == _MONTH).label("charged"),
    sa.select(sa.func.sum(holds.c.credits)).where(holds.c.token == _TOKEN).scalar_subquery().label("held_in_all"),
)

ACCOUNT_COLUMNS: tuple[sa.Label[Any], ...] = (
    _scalar(charges.c.credits, *_of_claim(charges)).label("paid"),
    _scalar(holds.c.credits, *_of_claim(holds)).label("held"),
    _scalar(holds.c.store, *_of_claim(holds)).label("held_store"),
    _scalar(holds.c.job, *_of_claim(holds)).label("held_job"),
    *_SUM_COLUMNS,
    _paid_lately().label("paid_lately"),
)
"""The columns of an account, for use in larger statements."""

_ACCOUNT: sa.Select[*tuple[Any, ...]] = sa.select(*ACCOUNT_COLUMNS)
_SUMS: sa.Select[*tuple[Any, ...]] = sa.select(*_SUM_COLUMNS)
