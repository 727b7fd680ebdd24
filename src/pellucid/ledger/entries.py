"""The statements of the ledger. Each function is a part of a transaction that the caller has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pellucid.database.insert import insert_once
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import balances, charges, holds
from pellucid.ledger.values import REMOVAL, Account, Claim, day_of, month_of
from pellucid.spec import Tier, Token


def lock_month(db: sa.Connection, token: Token, moment: float) -> None:
    """Until the transaction ends nobody else gets past here for this token: not for this
    month alone: at midnight, one process may be in the old month still, and what it holds counts
    against the new one.
    """
    lock(db, Lock.ACCOUNTS, token)
    db.execute(insert_once(db, balances).values(token=token, month=month_of(moment), charged=0))


def account_values(claim: Claim, *, now: float) -> dict[str, Any]:
    """The parameters of `ACCOUNT_COLUMNS`."""
    return {
        **_key(claim),
        "month": month_of(now),
        "origin": claim.origin,
        "since": now - claim.charge_every_s,
        "spared": int(bool(claim.origin) and claim.charge_every_s > 0),
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
    """What the ledger knows of the claim at `now`. One statement."""
    return read_account(db.execute(_ACCOUNT, account_values(claim, now=now)).one())


def sums(db: sa.Connection, token: Token, *, now: float) -> tuple[int, int]:
    """What the token was charged in the month of `now`, and what is held of it. One statement."""
    row = db.execute(_SUMS, {"token": token, "month": month_of(now)}).one()
    return int(row.charged or 0), int(row.held_in_all or 0)


def hold(db: sa.Connection, claim: Claim, *, credits: int, store: str, job: str, now: float) -> None:
    """Hold `credits`, or let a hold that is there wait for `job` of `store`."""
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
    """Nothing is held any more for the claim. What was goes to another claim of the same URL that is held for nothing
    because of it (`Ledger.price_of`): one of them is to be paid. The token's month must be locked.
    """
    db.execute(holds.delete().where(*_of(holds, claim)))
    if credits and claim.origin:
        free = sa.and_(*_of_url(claim), holds.c.credits == 0)
        first = sa.select(holds.c.origin_digest).where(free).order_by(holds.c.held_at, holds.c.origin_digest).limit(1)
        db.execute(holds.update().where(free, holds.c.origin_digest.in_(first)).values(credits=credits))


def take_over_credits(db: sa.Connection, claim: Claim) -> int:
    """What is held for another claim of the same URL, which is held for nothing from now on: this one is there first.
    0 where there is none. The token's month must be locked.
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
    """Nothing is held any more for removals that an older version did not write down as owed."""
    db.execute(holds.delete().where(holds.c.store == "", holds.c.held_at < before))


def charge(db: sa.Connection, claim: Claim, *, credits: int, now: float) -> bool:
    """Write the charge down, unless it is there (False); the hold goes. The token's month must be locked."""
    row = {
        "operation": REMOVAL,
        "credits": credits,
        "origin_host": claim.origin_host,
        "origin": claim.origin,
        "day": day_of(now),
    }
    insert = insert_once(db, charges).values(**_key(claim), **row, charged_at=now)
    # RETURNING says whether it was written; the row count of such an insert is -1 in places.
    written = db.execute(insert.returning(charges.c.token)).first() is not None
    if written:
        month = (balances.c.token == claim.token, balances.c.month == month_of(now))
        db.execute(balances.update().where(*month).values(charged=balances.c.charged + credits))
    db.execute(holds.delete().where(*_of(holds, claim)))
    return written


def holds_of(db: sa.Connection, *, store: str, job: str) -> list[tuple[Claim, int]]:
    """What waits for a removal, with its credits, in the order in which tokens are to be locked."""
    those = (holds.c.store == store, holds.c.job == job)
    query = sa.select(holds).where(*those).order_by(holds.c.token, holds.c.origin_digest, holds.c.tier)
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


# Statements that every answer needs are built once: building one takes several times as long as SQLite needs for it.

_TOKEN, _MONTH = sa.bindparam("token", type_=sa.String), sa.bindparam("month", type_=sa.String)


def _of_claim(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(table.c[name] == sa.bindparam(name, type_=sa.String) for name in ("token", "origin_digest", "tier"))


def _of_origin(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    """Charged, or about to be, for whatever bytes."""
    names = ("token", "origin", "tier")
    return (*(table.c[name] == sa.bindparam(name, type_=sa.String) for name in names), table.c.credits > 0)


def _paid_lately() -> sa.ColumnElement[int]:
    latest = sa.select(sa.func.max(charges.c.charged_at)).where(*_of_origin(charges)).scalar_subquery()
    other = holds.c.origin_digest != sa.bindparam("origin_digest", type_=sa.String)
    soon = sa.exists().where(*_of_origin(holds), other)  # the bytes before these
    since, spared = sa.bindparam("since", type_=sa.Float), sa.bindparam("spared", type_=sa.Integer)
    return sa.case((sa.and_(spared == 1, sa.or_(latest > since, soon)), 1), else_=0)


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
"""The columns of an account, to be selected beside others."""

_ACCOUNT: sa.Select[*tuple[Any, ...]] = sa.select(*ACCOUNT_COLUMNS)
_SUMS: sa.Select[*tuple[Any, ...]] = sa.select(*_SUM_COLUMNS)
