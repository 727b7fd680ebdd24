"""Pure: the answer to a caller who asked for a status in place of an interim."""

from __future__ import annotations

import math

import msgspec

from pellucid.http.headers import ALWAYS, NO_STORE, Headers, cutting_headers, depending
from pellucid.http.problems import BUSY, PENDING, make_problem
from pellucid.http.status import describe_cutting
from pellucid.pipeline.states import Withheld
from pellucid.queue.values import Owed
from pellucid.spec import Pending, Spec

_BUSY_RETRY_S = 10


def withheld_answer(withheld: Withheld, spec: Spec) -> tuple[int, Headers, bytes]:
    """Status, headers, body: 202 with the status, 423, or 503 where nothing more can be owed. Nobody may keep it."""
    cutting = withheld.cutting
    state = cutting_headers(cutting, spec)

    def depend(headers: Headers) -> Headers:
        return depending([*headers, *state], negotiable=withheld.negotiable, waited_s=withheld.waited_s)

    if not isinstance(cutting.receipt, Owed):
        problem = make_problem(BUSY, detail="no further cutout can be owed now", retry_after_s=_BUSY_RETRY_S)
        return problem.status, depend(problem.headers), problem.body
    retry_after_s = max(1, math.ceil(cutting.receipt.eta_s))
    if spec.pending is Pending.LOCKED:
        problem = make_problem(PENDING, detail="the cutout is being made; ask again", retry_after_s=retry_after_s)
        return problem.status, depend(problem.headers), problem.body
    headers = [
        *ALWAYS,
        *NO_STORE,
        (b"content-type", b"application/json"),
        (b"retry-after", str(retry_after_s).encode()),
    ]
    return 202, depend(headers), msgspec.json.encode(describe_cutting(cutting, spec))
