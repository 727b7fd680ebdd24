"""What is answered to somebody who wants a cutout of which there is no matte: looked up in one statement, decided by a
pure function, and written down, hold and removal together, in one transaction that looks and decides once more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pellucid.database.bell import ring
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import listeners, removals, stores
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Account, ClaimStatus
from pellucid.queue import outbox, rows
from pellucid.queue.rows import COLUMNS, PENDING, RUNNING, VERSION, WAITING, Row, mine, read_row
from pellucid.queue.turns import RENEW_S, cost_of, eta_s, is_full, rank
from pellucid.queue.values import Answer, Failed, Full, Pending, Submission

ASSUMED_JOB_S = 1.0
"""For the estimate before any removal was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a removal waits: `ahead` are those of living workers' recipes up to and with it, `running` those at work.
    `workers` live; `job_s` is the mean time of a removal.
    """

    ahead: int
    running: int
    workers: int
    job_s: float

    def pending(self, row: Row, now: float) -> Pending:
        """The receipt of `row`."""
        if row.state == RUNNING:
            return Pending(position=1, eta_s=self.job_s, attempts=row.attempts)
        place = self.ahead + self.running
        wait_s = max(0.0, row.due_at - now)
        eta = eta_s(place=place, workers=self.workers, job_s=self.job_s, wait_s=wait_s)
        return Pending(position=1 if self.ahead <= 1 else place, eta_s=eta, attempts=row.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What the database says. `is_foreign`: a later version has the row, which only it understands. `new_rank` is what
    the removal would get if it were owed now; `unknown` of the listeners do not listen yet.
    """

    row: Row | None
    is_foreign: bool
    account: Account
    place: Place
    new_rank: float
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Beside the database: which store, recipes that living workers make, how many live, and the moment."""

    store: str
    served: frozenset[str]
    workers: int
    now: float


def read(db: sa.Connection, submission: Submission, scene: Surroundings) -> QueueState:
    """Everything that an answer depends on, in one statement."""
    values = {
        **entries.account_values(submission.claim, now=scene.now),
        "store": scene.store,
        "key": submission.job.key,
        "urgency": submission.urgency.value,
        "recipes": sorted(scene.served | {submission.job.recipe_id}),
        "urls": [each.url for each in submission.notify],
    }
    return _found(db.execute(_QUERY, values).one(), submission, scene)


def _build_query() -> sa.Select[Any]:
    store, key = sa.bindparam("store", type_=sa.String), sa.bindparam("key", type_=sa.String)
    before, flow, at_work = (removals.alias(name) for name in ("before", "flow", "at_work"))
    earlier = sa.or_(
        before.c.rank < removals.c.rank, sa.and_(before.c.rank == removals.c.rank, before.c.key <= removals.c.key)
    )
    ahead = (
        sa.select(sa.func.count())
        .select_from(before)
        .where(
            before.c.store == store,
            before.c.state == WAITING,
            before.c.recipe_id.in_(sa.bindparam("recipes", expanding=True)),
            earlier,
        )
        .correlate(removals)
    )
    last = sa.select(sa.func.max(flow.c.rank)).where(
        flow.c.store == store,
        flow.c.token == sa.bindparam("token", type_=sa.String),
        flow.c.urgency == sa.bindparam("urgency", type_=sa.String),
        flow.c.recipe_id.in_(sa.bindparam("recipes", expanding=True)),
        flow.c.state == WAITING,
    )
    running = (
        sa.select(sa.func.count()).select_from(at_work).where(at_work.c.store == store, at_work.c.state == RUNNING)
    )
    heard = sa.select(sa.func.count()).where(
        listeners.c.store == store,
        listeners.c.key == key,
        listeners.c.url.in_(sa.bindparam("urls", expanding=True)),
    )
    of_store = stores.c.store == store
    one = sa.select(sa.literal(1).label("one")).subquery()
    return sa.select(
        *COLUMNS,
        removals.c.version,
        *entries.ACCOUNT_COLUMNS,
        ahead.scalar_subquery().label("ahead"),
        last.scalar_subquery().label("last"),
        running.scalar_subquery().label("running"),
        sa.select(stores.c.job_s).where(of_store).scalar_subquery().label("job_s"),
        sa.select(stores.c.virtual_time).where(of_store).scalar_subquery().label("virtual_time"),
        heard.scalar_subquery().label("heard"),
    ).select_from(one.outerjoin(removals, sa.and_(removals.c.store == store, removals.c.key == key)))


_QUERY = _build_query()


def _found(row: sa.Row[Any], submission: Submission, scene: Surroundings) -> QueueState:
    cost = cost_of(submission.urgency, submission.pixels)
    is_foreign = row.key is not None and row.version > VERSION
    return QueueState(
        row=None if row.key is None or is_foreign else read_row(row),
        is_foreign=is_foreign,
        account=entries.read_account(row),
        place=Place(ahead=row.ahead, running=row.running, workers=scene.workers, job_s=row.job_s or ASSUMED_JOB_S),
        new_rank=rank(virtual_time=row.virtual_time or 0.0, last=row.last, cost=cost),
        unknown=len({each.url for each in submission.notify}) - row.heard,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, and what is written first: a new removal if `submits`, else a change of the present one or none."""

    answer: Answer
    writes: bool = False
    submits: bool = False


def decide(found: QueueState, submission: Submission, ledger: Ledger, scene: Surroundings) -> Verdict:
    """Pure: what the answer is. Depth is asked about only where `submits`."""
    row, account = found.row, found.account
    claim_status = ledger.claim_status(submission.claim, account, may_spend=submission.may_spend)
    answer = Answer(claim_status=claim_status, receipt=None, account=account)
    if found.is_foreign:
        # It will be there some time, and is charged when it is shown.
        receipt = Pending(position=1, eta_s=found.place.job_s)
        return Verdict(answer=replace(answer, receipt=receipt, unregistered=submission.notify))
    if row is not None and row.state == rows.FAILED and row.due_at > scene.now:
        receipt = Failed(reason=row.reason or "", retry_in_s=row.due_at - scene.now, attempts=row.attempts)
        return Verdict(answer=replace(answer, receipt=receipt))
    if row is not None and row.is_pending:
        answer = replace(answer, receipt=found.place.pending(row, scene.now))
    if claim_status is ClaimStatus.REFUSED:
        return Verdict(answer=answer)
    if row is None or not row.is_pending:
        return Verdict(answer=answer, writes=True, submits=True)
    is_held = claim_status is ClaimStatus.PAID or account.held_for == (scene.store, row.key)
    writes = not is_held or found.unknown > 0 or is_raised(found) or row.asked_at < scene.now - RENEW_S
    return Verdict(answer=answer, writes=writes)


def is_raised(found: QueueState) -> bool:
    """Whether who asks now has it done earlier: the turn of a token that comes sooner, or a page in place of none."""
    return found.row is not None and found.row.state == WAITING and found.new_rank < found.row.rank


def depth_of(db: sa.Connection, submission: Submission, scene: Surroundings) -> tuple[int, int]:
    """How many removals the token owes that living workers serve, or of the recipe that is asked for; and how many
    tokens owe some, this one included.
    """
    served = mine(scene.store, states=PENDING, recipes=scene.served | {submission.job.recipe_id})
    query = sa.select(removals.c.token, sa.func.count().label("pending")).where(served).group_by(removals.c.token)
    counts: dict[str, int] = {row.token: row.pending for row in db.execute(query)}
    return counts.get(submission.claim.token, 0), len(counts.keys() | {submission.claim.token})


def full(db: sa.Connection, submission: Submission, scene: Surroundings, *, depth: int) -> Full | None:
    """The receipt of a token that may owe no further removal, None where it may."""
    of_token, tokens = depth_of(db, submission, scene)
    if is_full(of_token=of_token, tokens=tokens, depth=depth):
        return Full(of_token=of_token, depth=max(1, depth // tokens))
    return None


def submit(db: sa.Connection, submission: Submission, ledger: Ledger, scene: Surroundings, *, depth: int) -> Answer:
    """Write down what `decide` says is to be written, and answer. One transaction: hold, removal and listeners."""
    lock(db, Lock.REMOVALS, scene.store)
    entries.lock_month(db, submission.claim.token, scene.now)
    found = read(db, submission, scene)
    verdict = decide(found, submission, ledger, scene)
    if not verdict.writes:
        return verdict.answer
    if verdict.submits:
        refusal = full(db, submission, scene, depth=depth)
        if refusal is not None:
            return replace(verdict.answer, receipt=refusal)
    claim_status = verdict.answer.claim_status
    if claim_status is not ClaimStatus.PAID:
        credits = ledger.price_of(submission.claim, found.account)
        entries.hold(db, submission.claim, credits=credits, store=scene.store, job=submission.job.key, now=scene.now)
        claim_status = ClaimStatus.HELD
    _write(db, found, submission, scene)
    unregistered = outbox.listen(db, submission.job.key, submission.notify, store=scene.store)
    ring(db)
    pending = read(db, submission, scene)
    assert pending.row is not None  # noqa: S101  written a few lines above, in this transaction
    receipt = pending.place.pending(pending.row, scene.now)
    return Answer(claim_status=claim_status, receipt=receipt, account=found.account, unregistered=unregistered)


def _write(db: sa.Connection, found: QueueState, submission: Submission, scene: Surroundings) -> None:
    row, turn = (
        found.row,
        {"token": submission.claim.token, "urgency": submission.urgency.value, "rank": found.new_rank},
    )
    if row is None:
        rows.insert(
            db,
            submission.job,
            store=scene.store,
            token=submission.claim.token,
            urgency=submission.urgency,
            rank=found.new_rank,
            now=scene.now,
        )
        return
    values: dict[str, object] = {"asked_at": scene.now}
    if not row.is_pending:
        values |= {"state": WAITING, "attempts": 0, "pauses": 0, "due_at": 0.0, "reason": None, **turn}
    elif is_raised(found):
        values |= turn
    rows.change(db, row.key, store=scene.store, **values)
