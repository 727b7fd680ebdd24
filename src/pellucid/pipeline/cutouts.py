"""The state of one cutout: the matte there and paid, an older one, or a removal owed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from cachetools import LRUCache

from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customer, Customers
from pellucid.cutout.recipe import Recipe
from pellucid.errors import DatabaseError, StoreError
from pellucid.image.box import Box
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Account, Balance, Claim, ClaimStatus
from pellucid.mattes.facts import KnownMatte
from pellucid.pipeline.spending import ORIGIN_NOT_LISTED, may_spend
from pellucid.pipeline.states import Bill, CutoutState, CutoutStatus
from pellucid.queue.queue import Queue
from pellucid.queue.turns import Urgency
from pellucid.queue.values import DAMAGED, Answer, Failed, Full, Job, Listener, Pending, Receipt, Submission
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.source.records import FormerBytes
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store import keys

_log = structlog.get_logger(__name__)

_STATES: dict[type[Receipt] | None, CutoutState] = {
    Pending: CutoutState.PENDING,
    Full: CutoutState.BUSY,
    Failed: CutoutState.FAILED,
    None: CutoutState.BUSY,
}
"""By what the queue said; None = nothing may be owed now."""

_HUGE_PIXELS = 40_000_000
"""The matte of a larger picture takes seconds (4 s at 100 million pixels, 0.16 at one): who waits for one can wait a
little longer, or a few of those would hold up every cutout.
"""

_IN_MEMORY = 100_000
"""Cutouts known to be there and paid, about 0.4 kB each. Neither ends, so that this is never out of date: for these
nothing is asked of the database, which may be away.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoutRequest:
    """Whose cutout of what: `ref` is how the URL named `origin`, `tier` None for the customer's default. `has_key` if
    the customer's key was sent.
    """

    customer: Customer
    ref: OriginRef
    origin: Origin
    tier: Tier | None
    has_key: bool = False

    @property
    def token(self) -> Token:
        """Under which name it is written down what is owed and paid."""
        return self.customer.token

    @property
    def effective_tier(self) -> Tier:
        """The tier that is wished, whoever said so."""
        return self.tier or self.customer.defaults.tier


Adopt = Callable[[Sequence[str]], Awaitable[bool]]
"""Has the database know the mattes of some bytes that lie in the store; whether there were any that it did not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaidCutout:
    """A cutout that is there and paid, or needs no payment: there is no subject."""

    empty: bool
    confidence: float
    charged: int
    subject: Box | None


class CutoutResolver:
    """Looks mattes up, has them paid and owes those that are missing. `recipe` is what new ones are made with, in the
    tier of each request. With `show_stale`, an older cutout is shown rather than the background. While the disk
    `lacks_space` nothing new is owed. `customers` are all who may have paid for a matte; `charge_every_s` says how
    often one origin may cost something whose bytes change. `adopt` looks for mattes that the database does not know
    yet.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        origins: Origins,
        ledger: Ledger,
        customers: Customers,
        recipe: Recipe,
        show_stale: bool,
        charge_every_s: Callable[[OriginRef], float] = lambda _: 0.0,
        lacks_space: Callable[[], bool] = lambda: False,
        adopt: Adopt | None = None,
    ) -> None:
        self._queue = queue
        self._origins = origins
        self._ledger = ledger
        self._customers = customers
        self._recipe_ids = {tier: each.id for tier, each in recipe.by_tier.items()}
        self._show_stale = show_stale
        self._charge_every_s = charge_every_s
        self._lacks_space = lacks_space
        self._adopt = adopt
        self._uses: set[str] = set()
        self._paid: LRUCache[tuple[Token, str], _PaidCutout] = LRUCache(_IN_MEMORY)
        self._balances: SingleFlight[Token, Balance] = SingleFlight()

    async def resolve(self, request: CutoutRequest, *, notify: tuple[Listener, ...] = ()) -> CutoutStatus:
        """The state of the cutout; a missing matte is owed from now on, and `notify` hear how it ends. While the
        database is away, what is not known to be paid is `busy`, and `CutoutStatus.unknown`.
        """
        try:
            return await self._request(request, notify)
        except DatabaseError as error:
            # Nobody gets what cannot be written down, and nobody is charged for what they did not get.
            _log.error("database failed", error=str(error))
            return replace(self._status(request, CutoutState.BUSY), unknown=True)

    async def status(self, request: CutoutRequest) -> CutoutStatus:
        """The state without owing or charging anything. Raises DatabaseError."""
        if request.origin.facts.damaged:
            return await self._of_damaged(request)
        there = self._remembered(request)
        if there is not None:
            return await self._billed(request, there)
        submission = self._submission(request, older=False)
        answer: Answer | None = None
        for _ in range(2):
            known = self._of_job(request, await self._known(request))
            if known is not None and (known.facts.empty or known.charged is not None):
                return await self._billed(request, self._there(request, known, charged=known.charged or 0))
            if answer is not None and answer.receipt is None:
                break
            # A removal ends and its matte is known in one transaction: what ended between the two looks is seen by a
            # third.
            answer = await self._queue.status(submission)
            if answer.receipt is not None:
                break
        assert answer is not None  # noqa: S101  the loop looked
        # What is owed may be owed for others only.
        if answer.claim_status is ClaimStatus.REFUSED and not isinstance(answer.receipt, Failed):
            return self._refused(request, answer)
        state = CutoutState.UNASKED if answer.receipt is None else _STATES[type(answer.receipt)]
        return self._priced(request, replace(self._status(request, state), receipt=answer.receipt), answer.account)

    async def wait(self, cutout: CutoutStatus, *, timeout_s: float) -> None:
        """Until the matte of `cutout` is no longer owed, at most `timeout_s`."""
        try:
            await self._queue.wait(cutout.job, timeout_s=timeout_s)
        except DatabaseError as error:
            _log.error("database failed", error=str(error))

    async def forget(self, name: str) -> None:
        """The matte `name` turned out to be gone: the next request has it made again."""
        for token in self._customers.tokens:
            self._paid.pop((token, name), None)
        try:
            await self._queue.forget_mattes([name])
        except DatabaseError as error:
            _log.error("a lost matte is still known", matte=name, error=str(error))

    def take_uses(self) -> set[str]:
        """Mattes that were shown since this was last asked."""
        uses, self._uses = self._uses, set()
        return uses

    async def _request(self, request: CutoutRequest, notify: tuple[Listener, ...]) -> CutoutStatus:
        if request.origin.facts.damaged:
            return await self._of_damaged(request)
        there = self._remembered(request)
        if there is not None:
            return await self._billed(request, there)
        mattes = await self._known(request)
        known = self._of_job(request, mattes)
        if known is not None:
            return await self._shown_or_refused(request, known)
        older = await self._older(request, mattes)
        submission = self._submission(request, older=older is not None, notify=notify)
        if self._may_submit(request.origin):
            answer = await self._queue.submit(submission)
        else:
            answer = await self._queue.status(submission)
        if answer.claim_status is ClaimStatus.REFUSED and not isinstance(answer.receipt, Failed):
            refused = self._refused(request, answer)
            return refused if older is None else replace(refused, origin=older[1], matte=older[0].facts.name)
        if older is not None:
            cutout = self._stale(request, older, receipt=answer.receipt)
        else:
            state = _STATES[None if answer.receipt is None else type(answer.receipt)]
            cutout = replace(self._status(request, state), receipt=answer.receipt)
        return self._priced(request, replace(cutout, unregistered=bool(answer.unregistered)), answer.account)

    async def _of_damaged(self, request: CutoutRequest) -> CutoutStatus:
        """Of half a picture nothing is owed, and no matte is shown; the cutout of the former bytes is, if there is
        one.
        """
        cutout = replace(self._status(request, CutoutState.FAILED), reason=DAMAGED)
        former = self._former(request.origin)
        if former:
            mattes = await self._queue.known_mattes(request.token, [each.digest for each in former])
            older = await self._older(request, mattes)
            if older is not None:
                cutout = replace(self._stale(request, older, receipt=None), reason=DAMAGED)
        return await self._billed(request, cutout)

    async def _known(self, request: CutoutRequest) -> list[KnownMatte]:
        """The mattes of these bytes, and of the former ones where they may be shown."""
        page = request.origin.facts.page
        digests = [request.origin.digest, *(each.digest for each in self._former(request.origin))]
        mattes = await self._queue.known_mattes(request.token, digests, page=page)
        if self._adopt is not None and self._of_job(request, mattes) is None and await self._adopt(digests):
            mattes = await self._queue.known_mattes(request.token, digests, page=page)
        return mattes

    async def _shown_or_refused(self, request: CutoutRequest, known: KnownMatte) -> CutoutStatus:
        """The matte is there: it is shown if its token pays for it."""
        charged = known.charged or 0
        if known.charged is None and not known.facts.empty:
            claim_status, charged = await self._queue.charge(self._claim(request), may_spend=self._may_spend(request))
            if claim_status is ClaimStatus.REFUSED:
                return await self._billed(request, self._refused(request, None))
        return await self._billed(request, self._there(request, known, charged=charged))

    def _remembered(self, request: CutoutRequest) -> CutoutStatus | None:
        matte = self._paid.get((request.token, self._job(request).key))
        return None if matte is None else self._status_of(request, matte)

    def _there(self, request: CutoutRequest, known: KnownMatte, *, charged: int) -> CutoutStatus:
        """A matte that is there and paid, from now on remembered."""
        facts = known.facts
        matte = _PaidCutout(empty=facts.empty, confidence=facts.confidence, charged=charged, subject=facts.subject)
        self._paid[request.token, facts.name] = matte
        return self._status_of(request, matte)

    def _status_of(self, request: CutoutRequest, matte: _PaidCutout) -> CutoutStatus:
        cutout = self._status(request, CutoutState.NO_SUBJECT if matte.empty else CutoutState.READY)
        if len(self._uses) < _IN_MEMORY:
            self._uses.add(cutout.job)
        return replace(
            cutout,
            matte=None if matte.empty else cutout.job,
            confidence=matte.confidence,
            subject=matte.subject,
            bill=Bill(price=self._ledger.price(self._claim(request).tier), charged=matte.charged),
        )

    def _stale(
        self, request: CutoutRequest, older: tuple[KnownMatte, Origin], *, receipt: Receipt | None
    ) -> CutoutStatus:
        return replace(
            self._status(request, CutoutState.STALE),
            origin=older[1],
            matte=older[0].facts.name,
            receipt=receipt,
            subject=older[0].facts.subject,
            bill=Bill(price=self._ledger.price(self._claim(request).tier), charged=older[0].charged or 0),
        )

    def _refused(self, request: CutoutRequest, answer: Answer | None) -> CutoutStatus:
        reason = None if self._may_spend(request) else ORIGIN_NOT_LISTED
        cutout = replace(self._status(request, CutoutState.NO_CREDITS), reason=reason)
        return cutout if answer is None else self._priced(request, cutout, answer.account)

    def _status(self, request: CutoutRequest, state: CutoutState) -> CutoutStatus:
        return CutoutStatus(state=state, job=self._job(request).key, origin=request.origin)

    # Bills: they decide nothing

    def _priced(self, request: CutoutRequest, cutout: CutoutStatus, account: Account) -> CutoutStatus:
        """`cutout` with a bill that needs no further query."""
        claim = self._claim(request)
        bill = cutout.bill or Bill(price=self._ledger.price_of(claim, account))
        if self._ledger.is_limited(request.token):
            balance = self._queue.balance_of(request.token, account)
            bill = replace(bill, remaining=balance.remaining, resets_at=balance.resets_at)
        return replace(cutout, bill=bill)

    async def _billed(self, request: CutoutRequest, cutout: CutoutStatus) -> CutoutStatus:
        """`cutout` with what is left of a limit, without that where the database is away."""
        bill = cutout.bill or Bill(price=self._ledger.price(self._claim(request).tier))
        if self._ledger.is_limited(request.token):
            try:
                balance = await self._balances.run(request.token, lambda: self._queue.balance(request.token))
            except DatabaseError as error:
                _log.warning("no balance", error=str(error))
            else:
                bill = replace(bill, remaining=balance.remaining, resets_at=balance.resets_at)
        return replace(cutout, bill=bill)

    # What is asked for

    def _submission(self, request: CutoutRequest, *, older: bool, notify: tuple[Listener, ...] = ()) -> Submission:
        pixels = request.origin.facts.width * request.origin.facts.height
        # Who sees a cutout already can wait for the better one longer than who sees a background.
        urgency = Urgency.UPGRADE if older or pixels > _HUGE_PIXELS else Urgency.PAGE
        return Submission(
            job=self._job(request),
            claim=self._claim(request),
            urgency=urgency,
            pixels=pixels,
            may_spend=self._may_spend(request),
            notify=notify,
        )

    def _may_spend(self, request: CutoutRequest) -> bool:
        return may_spend(
            request.customer,
            ref=request.ref,
            source=request.origin.source,
            url=request.origin.url,
            has_key=request.has_key,
        )

    def _may_submit(self, origin: Origin) -> bool:
        """With a full disk no worker could read the bytes, or keep what it makes of them."""
        return origin.stored and not self._lacks_space()

    def _job(self, request: CutoutRequest) -> Job:
        digest = request.origin.digest
        page = request.origin.facts.page - 1
        recipe_id = self._recipe_ids[request.effective_tier]
        return Job(key=keys.matte_name(digest, page, recipe_id), origin_digest=digest, page=page, recipe_id=recipe_id)

    def _claim(self, request: CutoutRequest) -> Claim:
        return Claim(
            token=request.token,
            origin_digest=request.origin.picture,
            tier=request.effective_tier,
            origin_host=request.ref.alias or request.ref.host,
            origin=keys.page_digest(keys.origin_digest_of(request.ref), request.origin.facts.page),
            charge_every_s=self._charge_every_s(request.ref),
        )

    def _of_job(self, request: CutoutRequest, mattes: Sequence[KnownMatte]) -> KnownMatte | None:
        key = self._job(request).key
        return next((each for each in mattes if each.facts.name == key), None)

    # Older ones

    async def _older(self, request: CutoutRequest, mattes: Sequence[KnownMatte]) -> tuple[KnownMatte, Origin] | None:
        """The newest usable matte of another recipe or of former bytes, and the pixels that it fits. The token must
        have paid for those; what it did not, it may be shown once the new one is charged.
        """
        if not self._show_stale:
            return None
        usable = [each for each in mattes if each.newest and not each.facts.empty and each.charged is not None]
        if not usable:
            return None
        wished = request.effective_tier
        tiers = (wished,) if request.tier is not None else (wished, *(set(Tier) - {wished}))
        async for pixels in self._pixels(request.origin):
            of_pixels = {each.facts.tier: each for each in usable if each.facts.origin_digest == pixels.digest}
            for tier in tiers:
                if tier in of_pixels:
                    return of_pixels[tier], pixels
        return None

    def _former(self, origin: Origin) -> tuple[FormerBytes, ...]:
        """The former bytes that may be shown. None of those of a page other than the first: their records have the
        size of the first one.
        """
        return origin.former if self._show_stale and origin.facts.page == 1 else ()

    async def _pixels(self, origin: Origin) -> AsyncIterator[Origin]:
        yield origin
        for former in self._former(origin):
            try:
                found = await self._origins.former(origin, former)
            except StoreError as error:
                _log.warning("former bytes not read", origin=former.digest, error=str(error))
                continue
            if found is not None and not found.facts.damaged:
                yield found
