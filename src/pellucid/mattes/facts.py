"""The rows of mattes, and whether they are paid. Each function is part of a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pellucid.database.insert import upsert
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import charges, mattes
from pellucid.image.box import Box
from pellucid.image.matte_file import MatteHeader
from pellucid.spec import Tier, Token
from pellucid.store.keys import page_digest

_VERSION = 1
"""Version of the rows that this code writes. Rows of a later version are left alone."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MatteFacts:
    """A matte without its pixels."""

    name: str
    origin_digest: str
    page: int
    tier: Tier
    recipe_id: str
    confidence: float
    """In [0, 1]."""
    empty: bool
    """No foreground was recognised."""
    width: int
    """Of the whole image, in pixels; so is `height`."""
    height: int
    size_bytes: int
    subject: Box | None = None
    """The box around what is not transparent, in pixels of the whole image; None if it was not measured."""

    @classmethod
    def of_header(cls, name: str, header: MatteHeader, *, tier: Tier, size_bytes: int) -> MatteFacts:
        """The facts in the header of the file called `name`."""
        digest, page, _ = name.split(".", 2)
        return cls(
            name=name,
            origin_digest=digest,
            page=int(page),
            tier=tier,
            recipe_id=header.recipe_id,
            confidence=header.confidence,
            empty=header.empty,
            width=header.full.width,
            height=header.full.height,
            size_bytes=size_bytes,
            subject=header.subject,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMatte:
    """An existing matte, and whether a token has paid for it."""

    facts: MatteFacts
    newest: bool
    """Of its origin, page and tier."""
    charged: int | None
    """Credits that the token paid for these bytes in this tier; None if it has not paid."""


def known_mattes(
    db: sa.Connection, *, store: str, token: Token, digests: Sequence[str], page: int = 1
) -> list[KnownMatte]:
    """The mattes of the `page` of these bytes, from 1, and what the token paid for them. One statement for the first
    page, one for each of `digests` for others.
    """
    values = {"store": store, "token": token}
    if page == 1:
        rows = list(db.execute(_KNOWN, {**values, "digests": list(digests)}))
    else:
        rows = [
            row
            for each in digests
            for row in db.execute(
                _KNOWN_PAGE, {**values, "digest": each, "page": page - 1, "paid_as": page_digest(each, page)}
            )
        ]
    return [KnownMatte(facts=_facts(row), newest=row.newest, charged=row.charged) for row in rows]


def write(db: sa.Connection, facts: MatteFacts, *, store: str, now: float) -> None:
    """Write the row of a new matte, which becomes the newest of its origin, page and tier."""
    lock(db, Lock.MATTES, store)
    kind = _kind(store, facts.origin_digest, facts.page, facts.tier.value)
    db.execute(mattes.update().where(kind, mattes.c.name != facts.name, mattes.c.newest).values(newest=False))
    upsert(db, mattes, [_row(facts, store=store, newest=True, made_at=now)], keep=("used_at",))


def adopt(db: sa.Connection, facts: MatteFacts, *, store: str, made_at: float) -> None:
    """Write the row of a matte whose file exists since `made_at`, unless there is one by now."""
    lock(db, Lock.MATTES, store)
    if db.scalar(sa.select(sa.exists().where(mattes.c.store == store, mattes.c.name == facts.name))):
        return
    kind = _kind(store, facts.origin_digest, facts.page, facts.tier.value)
    latest: float | None = db.scalar(sa.select(sa.func.max(mattes.c.made_at)).where(kind))
    newest = latest is None or made_at >= latest
    if newest:
        db.execute(mattes.update().where(kind, mattes.c.newest).values(newest=False))
    db.execute(mattes.insert().values(_row(facts, store=store, newest=newest, made_at=made_at)))


def delete(db: sa.Connection, names: Collection[str], *, store: str) -> None:
    """Delete rows of mattes. Of the remaining ones of the same origin, page and tier, the latest becomes the newest."""
    lock(db, Lock.MATTES, store)
    named = (mattes.c.store == store, mattes.c.name.in_(list(names)))
    columns = (mattes.c.origin_digest, mattes.c.page, mattes.c.tier)
    found = db.execute(sa.select(*columns).where(*named, mattes.c.newest)).all()
    db.execute(mattes.delete().where(*named))
    for row in found:
        left = _kind(store, row.origin_digest, row.page, row.tier)
        last = sa.select(mattes.c.name).where(left).order_by(mattes.c.made_at.desc(), mattes.c.name).limit(1)
        db.execute(mattes.update().where(left, mattes.c.name.in_(last)).values(newest=True))


def names_of(db: sa.Connection, origin_digest: str, *, store: str) -> list[str]:
    """Names of all mattes of some bytes."""
    query = sa.select(mattes.c.name).where(mattes.c.store == store, mattes.c.origin_digest == origin_digest)
    return list(db.scalars(query))


def note_uses(db: sa.Connection, names: Collection[str], *, store: str, now: float) -> None:
    """Record that mattes were used, at most once a day."""
    outdated = (mattes.c.store == store, mattes.c.name.in_(list(names)), mattes.c.used_at < now - _DAY_S)
    db.execute(mattes.update().where(*outdated).values(used_at=now))


def _kind(store: str, origin_digest: str, page: int, tier: str) -> sa.ColumnElement[bool]:
    """Condition: mattes of one origin, page and tier, of which one is the newest."""
    return sa.and_(
        mattes.c.store == store,
        mattes.c.origin_digest == origin_digest,
        mattes.c.page == page,
        mattes.c.tier == tier,
    )


def _row(facts: MatteFacts, *, store: str, newest: bool, made_at: float) -> dict[str, Any]:
    box = facts.subject
    return {
        "store": store,
        "name": facts.name,
        "version": _VERSION,
        "origin_digest": facts.origin_digest,
        "page": facts.page,
        "tier": facts.tier.value,
        "recipe_id": facts.recipe_id,
        "newest": newest,
        "confidence": facts.confidence,
        "empty": facts.empty,
        "width": facts.width,
        "height": facts.height,
        "subject_left": None if box is None else box.left,
        "subject_top": None if box is None else box.top,
        "subject_width": None if box is None else box.width,
        "subject_height": None if box is None else box.height,
        "size_bytes": facts.size_bytes,
        "made_at": made_at,
        "used_at": made_at,
    }


def _facts(row: sa.Row[Any]) -> MatteFacts:
    box = None
    if row.subject_left is not None:
        box = Box(left=row.subject_left, top=row.subject_top, width=row.subject_width, height=row.subject_height)
    return MatteFacts(
        name=row.name,
        origin_digest=row.origin_digest,
        page=row.page,
        tier=Tier(row.tier),
        recipe_id=row.recipe_id,
        confidence=row.confidence,
        empty=row.empty,
        width=row.width,
        height=row.height,
        size_bytes=row.size_bytes,
        subject=box,
    )


def _build_known(paid_as: sa.ColumnElement[str], *those: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """`paid_as` is the digest that they are charged under."""
    paid = sa.and_(
        charges.c.token == sa.bindparam("token", type_=sa.String),
        charges.c.origin_digest == paid_as,
        charges.c.tier == mattes.c.tier,
    )
    return (
        sa.select(mattes, charges.c.credits.label("charged"))
        .select_from(mattes.outerjoin(charges, paid))
        .where(
            mattes.c.store == sa.bindparam("store", type_=sa.String),
            *those,
            mattes.c.version <= _VERSION,
        )
    )


_KNOWN = _build_known(
    mattes.c.origin_digest,
    mattes.c.origin_digest.in_(sa.bindparam("digests", expanding=True)),
    mattes.c.page == 0,
)
_KNOWN_PAGE = _build_known(
    sa.bindparam("paid_as", type_=sa.String),
    mattes.c.origin_digest == sa.bindparam("digest", type_=sa.String),
    mattes.c.page == sa.bindparam("page", type_=sa.Integer),
)
"""Built once: building them takes several times as long as SQLite needs to run them."""
