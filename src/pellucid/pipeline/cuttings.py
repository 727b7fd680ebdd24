"""The state of one cutout: the matte there and paid, an older one, or a job owed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import structlog

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.errors import DatabaseError, QueueError, StoreError
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim, Standing
from pellucid.mattes import Mattes
from pellucid.pipeline.spending import ORIGIN_NOT_LISTED, may_spend
from pellucid.pipeline.states import Bill, CutoutState, Cutting
from pellucid.queue.port import Failed, Full, Job, Listener, Owed, Priority, Queue, Receipt
from pellucid.source.origins import Origin, Origins
from pellucid.spec import OriginRef, Tier, Token
from pellucid.tokens import Customers

_log = structlog.get_logger(__name__)

_STATES: dict[type[Receipt] | None, CutoutState] = {
    Owed: CutoutState.PENDING,
    Full: CutoutState.BUSY,
    Failed: CutoutState.FAILED,
    None: CutoutState.BUSY,
}
"""By what the queue said; None = it could not be asked, or no worker could read the origin's bytes."""


_HUGE_PIXELS = 40_000_000
"""The matte of a larger picture takes seconds (4 s at 100 million pixels, 0.16 at one): all others go first, or a few
of those would hold up every cutout.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whose cutout of what: `ref` is how the URL named `origin`, `tier` None for the server's default. `keyed` if the
    token's key was sent.
    """

    token: Token
    ref: OriginRef
    origin: Origin
    tier: Tier | None
    keyed: bool = False


class Cuttings:
    """Looks mattes up, has them paid and owes those that are missing. `recipe` is what new ones are made with; its tier
    is that of URLs that name none. With `show_stale`, an older cutout is shown rather than the background. While the
    disk `lacks_space` nothing new is owed. `customers` say whose pictures may cost them credits.
    """

    def __init__(
        self,
        *,
        mattes: Mattes,
        queue: Queue,
        origins: Origins,
        ledger: Ledger,
        customers: Customers,
        recipe: Recipe,
        show_stale: bool,
        lacks_space: Callable[[], bool] = lambda: False,
    ) -> None:
        self._mattes = mattes
        self._queue = queue
        self._origins = origins
        self._ledger = ledger
        self._customers = customers
        self._recipe_ids = {tier: each.id for tier, each in recipe.by_tier.items()}
        self._tier = recipe.tier
        self._show_stale = show_stale
        self._lacks_space = lacks_space

    async def request(self, wish: Wish, *, notify: tuple[Listener, ...] = ()) -> Cutting:
        """The state of the cutout; a missing matte is owed from now on, and `notify` hear how it ends."""
        try:
            cutting = await self._request(wish, notify)
        except DatabaseError as error:
            # Nobody gets what cannot be written down, and nobody is charged for what they did not get.
            _log.error("ledger failed", error=str(error))
            return self._busy(wish)
        return await self._billed(wish, cutting)

    async def look(self, wish: Wish) -> Cutting:
        """The state without owing or charging anything. Raises QueueError, DatabaseError."""
        return await self._billed(wish, await self._look(wish))

    async def wait(self, cutting: Cutting, *, timeout_s: float) -> None:
        """Until the matte of `cutting` is no longer owed, at most `timeout_s`."""
        try:
            await self._queue.wait(cutting.job, timeout_s=timeout_s)
        except QueueError as error:
            _log.error("queue failed", error=str(error))

    async def _request(self, wish: Wish, notify: tuple[Listener, ...]) -> Cutting:
        job = self._job(wish)
        claim = self._claim(wish)
        may_spend = self._may_spend(wish)
        refused = self._refused(wish, job)
        there = await self._there(wish, job)
        if there is not None:
            if there.shown is not None and await self._ledger.charge(claim, may_spend=may_spend) is Standing.REFUSED:
                return refused
            return there
        older = await self._older(wish)
        shown = Cutting(
            state=CutoutState.STALE,
            job=job.key,
            origin=wish.origin if older is None else older[1],
            shown=None if older is None else older[0],
        )
        # Who sees a cutout already can wait for the better one longer than who sees a background.
        is_huge = wish.origin.facts.width * wish.origin.facts.height > _HUGE_PIXELS
        priority = Priority.IMPATIENT if older is None and not is_huge else Priority.PATIENT
        receipt = await self._known_failure(job)
        if receipt is None:
            if await self._ledger.hold(claim, job.key, may_spend=may_spend) is Standing.REFUSED:
                return replace(refused, origin=shown.origin, shown=shown.shown)
            receipt = await self._submit(wish.origin, job, priority, notify)
            if not isinstance(receipt, Owed):
                await self._ledger.release(claim)
        if older is not None:
            return replace(shown, receipt=receipt)
        return replace(shown, state=_STATES[None if receipt is None else type(receipt)], receipt=receipt)

    async def _look(self, wish: Wish) -> Cutting:
        job = self._job(wish)
        unasked = Cutting(state=CutoutState.UNASKED, job=job.key, origin=wish.origin)
        receipt: Owed | Failed | None = None
        for last in (False, True):
            there = await self._there(wish, job)
            if there is not None and (there.shown is None or await self._ledger.is_paid(self._claim(wish))):
                return there
            # The matte comes before its charge, the charge before the job's end: looked at in the other order, what
            # ended in between is seen at the second look.
            receipt = None if last else await self._queue.look(job.key)
            if isinstance(receipt, Failed):
                return replace(unasked, state=CutoutState.FAILED, receipt=receipt)
            if receipt is not None:
                break
        # What is owed may be owed for others only.
        if await self._ledger.is_refused(self._claim(wish), may_spend=self._may_spend(wish)):
            return self._refused(wish, job)
        return unasked if receipt is None else replace(unasked, state=_STATES[type(receipt)], receipt=receipt)

    def _may_spend(self, wish: Wish) -> bool:
        customer = self._customers.get(wish.token)
        return may_spend(customer, ref=wish.ref, source=wish.origin.source, url=wish.origin.url, keyed=wish.keyed)

    def _refused(self, wish: Wish, job: Job) -> Cutting:
        reason = None if self._may_spend(wish) else ORIGIN_NOT_LISTED
        return Cutting(state=CutoutState.NO_CREDITS, job=job.key, origin=wish.origin, reason=reason)

    async def _billed(self, wish: Wish, cutting: Cutting) -> Cutting:
        """`cutting` with its bill, without one where the ledger cannot be asked: it decides nothing."""
        try:
            return replace(cutting, bill=await self._bill(wish, cutting))
        except DatabaseError as error:
            _log.warning("no bill", error=str(error))
            return cutting

    async def _bill(self, wish: Wish, cutting: Cutting) -> Bill:
        token, claim = wish.token, self._claim(wish)
        charged = await self._ledger.cost(claim) if cutting.shown is not None else None
        bill = Bill(price=self._ledger.price(claim.tier), charged=charged or 0)
        if self._ledger.is_limited(token):
            balance = await self._ledger.balance(token)
            bill = replace(bill, remaining=balance.remaining, resets_at=balance.resets_at)
        return bill

    def _busy(self, wish: Wish) -> Cutting:
        return Cutting(state=CutoutState.BUSY, job=self._job(wish).key, origin=wish.origin)

    def _job(self, wish: Wish) -> Job:
        digest = wish.origin.digest
        recipe_id = self._recipe_ids[wish.tier or self._tier]
        return Job(key=keys.matte_name(digest, 0, recipe_id), origin_digest=digest, page=0, recipe_id=recipe_id)

    def _claim(self, wish: Wish) -> Claim:
        return Claim(
            token=wish.token,
            origin_digest=wish.origin.digest,
            tier=wish.tier or self._tier,
            origin_host=wish.ref.alias or wish.ref.host,
        )

    async def _there(self, wish: Wish, job: Job) -> Cutting | None:
        try:
            header = await self._mattes.header(job.key)
        except StoreError as error:
            # It may be there: it is not made again, and not called failed.
            _log.error("matte not read", matte=job.key, error=str(error))
            return self._busy(wish)
        if header is None:
            return None
        if header.empty:
            state, shown = CutoutState.NO_SUBJECT, None
        else:
            state, shown = CutoutState.READY, job.key
        return Cutting(state=state, job=job.key, origin=wish.origin, shown=shown, confidence=header.confidence)

    async def _known_failure(self, job: Job) -> Failed | None:
        """What the queue remembers of a failure that is to be left alone for now: nothing is held for it."""
        try:
            receipt = await self._queue.look(job.key)
        except QueueError:
            return None
        return receipt if isinstance(receipt, Failed) and receipt.retry_in_s > 0 else None

    async def _submit(
        self, origin: Origin, job: Job, priority: Priority, notify: tuple[Listener, ...]
    ) -> Receipt | None:
        if not origin.stored or self._lacks_space():
            return None  # a full disk: no worker could read the bytes, or keep what it makes of them
        try:
            return await self._queue.submit(job, priority=priority, notify=notify)
        except QueueError as error:
            _log.error("queue failed", error=str(error))
            return None

    async def _older(self, wish: Wish) -> tuple[str, Origin] | None:
        """The newest usable matte of another recipe or of former bytes, and the pixels that it fits. The token must
        have paid for those; what it did not, it may be shown once the new one is charged.
        """
        if not self._show_stale:
            return None
        tier, claim = wish.tier, self._claim(wish)
        async for pixels in self._pixels(wish.origin):
            for each in (tier,) if tier is not None else (self._tier, *(set(Tier) - {self._tier})):
                name = await self._usable(pixels.digest, each)
                if name is None:
                    continue
                if await self._ledger.is_paid(replace(claim, origin_digest=pixels.digest, tier=each)):
                    return name, pixels
        return None

    async def _usable(self, digest: str, tier: Tier) -> str | None:
        """The newest matte of those bytes in a tier, if it shows something. What cannot be read is as if not there."""
        try:
            name = await self._mattes.newest(digest, 0, tier)
            header = await self._mattes.header(name) if name is not None else None
        except StoreError as error:
            _log.warning("older matte not read", origin=digest, error=str(error))
            return None
        return None if header is None or header.empty else name

    async def _pixels(self, origin: Origin) -> AsyncIterator[Origin]:
        yield origin
        for former in origin.former:
            try:
                found = await self._origins.former(origin, former)
            except StoreError as error:
                _log.warning("former bytes not read", origin=former.digest, error=str(error))
                continue
            if found is not None:
                yield found
