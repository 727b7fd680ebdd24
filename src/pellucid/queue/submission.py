"""Submission of a job for a cutout whose matte does not exist.

`read` gets the state in one statement, and the pure function `decide` says what to answer and whether to write. If
something is to be written, `submit` reads and decides again in one transaction and writes hold and job together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pellucid.database.changes import signal_change
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import listeners, removals, stores
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Account, ClaimStatus
from pellucid.queue import outbox, rows
from pellucid.queue.rows import COLUMNS, PENDING, RUNNING, VERSION, WAITING, Row, matching, read_row
from pellucid.queue.turns import RENEW_S, cost_of, eta_s, is_full, rank
from pellucid.queue.values import Answer, Failed, Full, Pending, Submission

ASSUMED_JOB_S = 1.0
"""Used for estimates before the first job was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """Where a job stands in the queue."""

    ahead: int
    """Waiting jobs up to and including it, of recipes that living workers compute."""
    running: int
    workers: int
    """Living workers."""
    job_s: float
    """Mean seconds of a job."""

    def pending(self, row: Row, now: float) -> Pending:
        """The receipt of the waiting or running job in `row`."""
        if row.state == RUNNING:
            return Pending(position=1, eta_s=self.job_s, attempts=row.attempts)
        place = self.ahead + self.running
        wait_s = max(0.0, row.due_at - now)
        eta = eta_s(place=place, workers=self.workers, job_s=self.job_s, wait_s=wait_s)
        return Pending(position=1 if self.ahead <= 1 else place, eta_s=eta, attempts=row.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What the database knows of a submission."""

    row: Row | None
    """The row of its job, if there is one."""
    is_foreign: bool
    """A later version of Pellucid wrote the row, and only that version understands it. `row` is None then."""
    account: Account
    position: QueuePosition
    new_rank: float
    """The rank that the job would get if it were queued now."""
    new_listeners: int
    """How many of the submission's listeners are not registered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext:
    """What a submission depends on beside the database."""

    store: str
    served: frozenset[str]
    """Recipes that living workers compute."""
    workers: int
    """Living workers."""
    now: float
    """Seconds since the epoch."""


def read(db: sa.Connection, submission: Submission, context: SubmissionContext) -> QueueState:
    """Read everything that an answer depends on, in one statement."""
    values = {
        **entries.account_values(submission.claim, now=context.now),
        "store": context.store,
        "key": submission.job.key,
        "urgency": submission.urgency.value,
        "recipes": sorted(context.served | {submission.job.recipe_id}),
        "urls": [each.url for each in submission.notify],
    }
    return _read_state(db.execute(_QUERY, values).one(), submission, context)


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
    registered = sa.select(sa.func.count()).where(
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
        registered.scalar_subquery().label("registered"),
    ).select_from(one.outerjoin(removals, sa.and_(removals.c.store == store, removals.c.key == key)))


_QUERY = _build_query()


def _read_state(row: sa.Row[Any], submission: Submission, context: SubmissionContext) -> QueueState:
    cost = cost_of(submission.urgency, submission.pixels)
    is_foreign = row.key is not None and row.version > VERSION
    return QueueState(
        row=None if row.key is None or is_foreign else read_row(row),
        is_foreign=is_foreign,
        account=entries.read_account(row),
        position=QueuePosition(
            ahead=row.ahead, running=row.running, workers=context.workers, job_s=row.job_s or ASSUMED_JOB_S
        ),
        new_rank=rank(virtual_time=row.virtual_time or 0.0, last=row.last, cost=cost),
        new_listeners=len({each.url for each in submission.notify}) - row.registered,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a submission, and what is written before it is given."""

    answer: Answer
    writes: bool = False
    """Something is to be written."""
    submits: bool = False
    """The job is to be queued, as a new row or in place of a failure. False: at most its present row changes."""


def decide(found: QueueState, submission: Submission, ledger: Ledger, context: SubmissionContext) -> Decision:
    """Pure: decide what to answer, and whether to write. The caller checks the token's depth where `submits`.

    1. A later version of Pellucid has the job: pending. It ends some time, and is charged when the cutout is delivered.
    2. It failed and may not be retried yet: failed.
    3. The token may not pay for it: refused, with the receipt of a job that is pending for other tokens.
    4. It is not pending: submit it.
    5. It is pending: write if credits are to be held, listeners to be added, the turn to become earlier, or the time of
       the last request to be updated. Else only answer.
    """
    row, account = found.row, found.account
    claim_status = ledger.claim_status(submission.claim, account, may_spend=submission.may_spend)
    answer = Answer(claim_status=claim_status, receipt=None, account=account)
    if found.is_foreign:
        receipt = Pending(position=1, eta_s=found.position.job_s)
        return Decision(answer=replace(answer, receipt=receipt, unregistered=submission.notify))
    if row is not None and row.state == rows.FAILED and row.due_at > context.now:
        receipt = Failed(reason=row.reason or "", retry_in_s=row.due_at - context.now, attempts=row.attempts)
        return Decision(answer=replace(answer, receipt=receipt))
    if row is not None and row.is_pending:
        answer = replace(answer, receipt=found.position.pending(row, context.now))
    if claim_status is ClaimStatus.REFUSED:
        return Decision(answer=answer)
    if row is None or not row.is_pending:
        return Decision(answer=answer, writes=True, submits=True)
    is_held = claim_status is ClaimStatus.PAID or account.held_for == (context.store, row.key)
    is_outdated = row.asked_at < context.now - RENEW_S
    writes = not is_held or found.new_listeners > 0 or gains_earlier_turn(found) or is_outdated
    return Decision(answer=answer, writes=writes)


def gains_earlier_turn(found: QueueState) -> bool:
    """Whether the job would run earlier under the new submission: that of a token with fewer pending jobs, or of a page
    where no page waited before.
    """
    return found.row is not None and found.row.state == WAITING and found.new_rank < found.row.rank


def pending_counts(db: sa.Connection, submission: Submission, context: SubmissionContext) -> tuple[int, int]:
    """Number of the token's pending jobs, and number of tokens with pending jobs, this one included. A job counts if
    its recipe is the submission's or is computed by a living worker.
    """
    served = matching(context.store, states=PENDING, recipes=context.served | {submission.job.recipe_id})
    query = sa.select(removals.c.token, sa.func.count().label("pending")).where(served).group_by(removals.c.token)
    counts: dict[str, int] = {row.token: row.pending for row in db.execute(query)}
    return counts.get(submission.claim.token, 0), len(counts.keys() | {submission.claim.token})


def full_receipt(db: sa.Connection, submission: Submission, context: SubmissionContext, *, depth: int) -> Full | None:
    """The receipt for a token that may have no further pending job, None where it may."""
    of_token, tokens = pending_counts(db, submission, context)
    if is_full(of_token=of_token, tokens=tokens, depth=depth):
        return Full(of_token=of_token, depth=max(1, depth // tokens))
    return None


def submit(
    db: sa.Connection, submission: Submission, ledger: Ledger, context: SubmissionContext, *, depth: int
) -> Answer:
    """Write what `decide` says is to be written, and answer. Part of one transaction: hold, job and listeners."""
    lock(db, Lock.REMOVALS, context.store)
    entries.lock_account(db, submission.claim.token, context.now)
    found = read(db, submission, context)
    decision = decide(found, submission, ledger, context)
    if not decision.writes:
        return decision.answer
    if decision.submits:
        refusal = full_receipt(db, submission, context, depth=depth)
        if refusal is not None:
            return replace(decision.answer, receipt=refusal)
    claim_status = decision.answer.claim_status
    if claim_status is not ClaimStatus.PAID:
        credits = ledger.price_of(submission.claim, found.account)
        entries.hold(
            db, submission.claim, credits=credits, store=context.store, job=submission.job.key, now=context.now
        )
        claim_status = ClaimStatus.HELD
    _write(db, found, submission, context)
    unregistered = outbox.add_listeners(db, submission.job.key, submission.notify, store=context.store)
    signal_change(db)
    pending = read(db, submission, context)
    assert pending.row is not None  # noqa: S101  written a few lines above, in this transaction
    receipt = pending.position.pending(pending.row, context.now)
    return Answer(claim_status=claim_status, receipt=receipt, account=found.account, unregistered=unregistered)


def _write(db: sa.Connection, found: QueueState, submission: Submission, context: SubmissionContext) -> None:
    row, turn = (
        found.row,
        {"token": submission.claim.token, "urgency": submission.urgency.value, "rank": found.new_rank},
    )
    if row is None:
        rows.insert(
            db,
            submission.job,
            store=context.store,
            token=submission.claim.token,
            urgency=submission.urgency,
            rank=found.new_rank,
            now=context.now,
        )
        return
    values: dict[str, object] = {"asked_at": context.now}
    if not row.is_pending:
        values |= {"state": WAITING, "attempts": 0, "pauses": 0, "due_at": 0.0, "reason": None, **turn}
    elif gains_earlier_turn(found):
        values |= turn
    rows.update(db, row.key, store=context.store, **values)
