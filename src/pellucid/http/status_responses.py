"""Pure: the answer to a caller who asked for a status in place of an interim."""

from __future__ import annotations

import math

import msgspec

from pellucid.http.headers import ALWAYS, NO_STORE, Headers, cutout_headers, depending
from pellucid.http.problems import BUSY, PENDING, make_problem
from pellucid.http.status import describe_cutout
from pellucid.pipeline.states import StatusResult
from pellucid.queue.values import Pending
from pellucid.spec import Interim, Spec

_BUSY_RETRY_S = 10


def status_response(withheld: StatusResult, spec: Spec) -> tuple[int, Headers, bytes]:
    """Status, headers, body: 202 with the status, 423, or 503 where nothing more can be owed. Nobody may keep it."""
    cutout = withheld.cutout
    state = cutout_headers(cutout, spec)

    def depend(headers: Headers) -> Headers:
        return depending([*headers, *state], negotiable=withheld.negotiable, waited_s=withheld.waited_s)

    if not isinstance(cutout.receipt, Pending):
        problem = make_problem(BUSY, detail="no further cutout can be owed now", retry_after_s=_BUSY_RETRY_S)
        return problem.status, depend(problem.headers), problem.body
    retry_after_s = max(1, math.ceil(cutout.receipt.eta_s))
    if spec.removal.interim is Interim.LOCKED:
        problem = make_problem(PENDING, detail="the cutout is being made; ask again", retry_after_s=retry_after_s)
        return problem.status, depend(problem.headers), problem.body
    headers = [
        *ALWAYS,
        *NO_STORE,
        (b"content-type", b"application/json"),
        (b"retry-after", str(retry_after_s).encode()),
    ]
    return 202, depend(headers), msgspec.json.encode(describe_cutout(cutout, spec))
