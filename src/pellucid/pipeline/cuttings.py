"""The state of one cutout: the matte there and paid, an older one, or a removal owed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from cachetools import LRUCache

from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customers
from pellucid.cutout.recipe import Recipe
from pellucid.errors import DatabaseError, StoreError
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Account, Balance, Claim, Standing
from pellucid.mattes.facts import KnownMatte
from pellucid.pipeline.spending import ORIGIN_NOT_LISTED, may_spend
from pellucid.pipeline.states import Bill, CutoutState, Cutting
from pellucid.queue.queue import Queue
from pellucid.queue.turns import Urgency
from pellucid.queue.values import DAMAGED, Answer, Asking, Failed, Full, Job, Listener, Owed, Receipt
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store import keys

_log = structlog.get_logger(__name__)

_STATES: dict[type[Receipt] | None, CutoutState] = {
    Owed: CutoutState.PENDING,
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
class Wish:
    """Whose cutout of what: `ref` is how the URL named `origin`, `tier` None for the server's default. `keyed` if the
    token's key was sent.
    """

    token: Token
    ref: OriginRef
    origin: Origin
    tier: Tier | None
    keyed: bool = False


Adopt = Callable[[Sequence[str]], Awaitable[bool]]
"""Has the database know the mattes of some bytes that lie in the store; whether there were any that it did not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A cutout that is there and paid, or needs no payment: there is no subject."""

    empty: bool
    confidence: float
    charged: int


class Cuttings:
    """Looks mattes up, has them paid and owes those that are missing. `recipe` is what new ones are made with; its tier
    is that of URLs that name none. With `show_stale`, an older cutout is shown rather than the background. While the
    disk `lacks_space` nothing new is owed. `customers` say whose pictures may cost them credits, `charge_every_s` how
    often one origin may whose bytes change. `adopt` looks for mattes that the database does not know yet.
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
        self._tier = recipe.tier
        self._show_stale = show_stale
        self._charge_every_s = charge_every_s
        self._lacks_space = lacks_space
        self._adopt = adopt
        self._uses: set[str] = set()
        self._shown: LRUCache[tuple[Token, str], _Shown] = LRUCache(_IN_MEMORY)
        self._balances: SingleFlight[Token, Balance] = SingleFlight()

    async def request(self, wish: Wish, *, notify: tuple[Listener, ...] = ()) -> Cutting:
        """The state of the cutout; a missing matte is owed from now on, and `notify` hear how it ends. While the
        database is away, what is not known to be paid is `busy`, and `Cutting.unknown`.
        """
        try:
            return await self._request(wish, notify)
        except DatabaseError as error:
            # Nobody gets what cannot be written down, and nobody is charged for what they did not get.
            _log.error("database failed", error=str(error))
            return replace(self._cutting(wish, CutoutState.BUSY), unknown=True)

    async def look(self, wish: Wish) -> Cutting:
        """The state without owing or charging anything. Raises DatabaseError."""
        if wish.origin.facts.damaged:
            return await self._of_damaged(wish)
        there = self._remembered(wish)
        if there is not None:
            return await self._billed(wish, there)
        asking = self._asking(wish, older=False)
        answer: Answer | None = None
        for _ in range(2):
            known = self._of_job(wish, await self._known(wish))
            if known is not None and (known.facts.empty or known.charged is not None):
                return await self._billed(wish, self._there(wish, known, charged=known.charged or 0))
            if answer is not None and answer.receipt is None:
                break
            # A removal ends and its matte is known in one transaction: what ended between the two looks is seen by a
            # third.
            answer = await self._queue.look(asking)
            if answer.receipt is not None:
                break
        assert answer is not None  # noqa: S101  the loop looked
        # What is owed may be owed for others only.
        if answer.standing is Standing.REFUSED and not isinstance(answer.receipt, Failed):
            return self._refused(wish, answer)
        state = CutoutState.UNASKED if answer.receipt is None else _STATES[type(answer.receipt)]
        return self._priced(wish, replace(self._cutting(wish, state), receipt=answer.receipt), answer.account)

    async def wait(self, cutting: Cutting, *, timeout_s: float) -> None:
        """Until the matte of `cutting` is no longer owed, at most `timeout_s`."""
        try:
            await self._queue.wait(cutting.job, timeout_s=timeout_s)
        except DatabaseError as error:
            _log.error("database failed", error=str(error))

    async def forget(self, name: str) -> None:
        """The matte `name` turned out to be gone: the next request has it made again."""
        for token in self._customers.tokens:
            self._shown.pop((token, name), None)
        try:
            await self._queue.forget_mattes([name])
        except DatabaseError as error:
            _log.error("a lost matte is still known", matte=name, error=str(error))

    def take_uses(self) -> set[str]:
        """Mattes that were shown since this was last asked."""
        uses, self._uses = self._uses, set()
        return uses

    async def _request(self, wish: Wish, notify: tuple[Listener, ...]) -> Cutting:
        if wish.origin.facts.damaged:
            return await self._of_damaged(wish)
        there = self._remembered(wish)
        if there is not None:
            return await self._billed(wish, there)
        mattes = await self._known(wish)
        known = self._of_job(wish, mattes)
        if known is not None:
            return await self._shown_or_refused(wish, known)
        older = await self._older(wish, mattes)
        asking = self._asking(wish, older=older is not None, notify=notify)
        if self._may_owe(wish.origin):
            answer = await self._queue.ask(asking)
        else:
            answer = await self._queue.look(asking)
        if answer.standing is Standing.REFUSED and not isinstance(answer.receipt, Failed):
            refused = self._refused(wish, answer)
            return refused if older is None else replace(refused, origin=older[1], shown=older[0].facts.name)
        if older is not None:
            cutting = self._stale(wish, older, receipt=answer.receipt)
        else:
            state = _STATES[None if answer.receipt is None else type(answer.receipt)]
            cutting = replace(self._cutting(wish, state), receipt=answer.receipt)
        return self._priced(wish, replace(cutting, unheard=bool(answer.unheard)), answer.account)

    async def _of_damaged(self, wish: Wish) -> Cutting:
        """Of half a picture nothing is owed, and no matte is shown; the cutout of the former bytes is, if there is
        one.
        """
        cutting = replace(self._cutting(wish, CutoutState.FAILED), reason=DAMAGED)
        if self._show_stale and wish.origin.former:
            mattes = await self._queue.known(wish.token, [each.digest for each in wish.origin.former])
            older = await self._older(wish, mattes)
            if older is not None:
                cutting = replace(self._stale(wish, older, receipt=None), reason=DAMAGED)
        return await self._billed(wish, cutting)

    async def _known(self, wish: Wish) -> list[KnownMatte]:
        """The mattes of these bytes, and of the former ones where they may be shown."""
        digests = [wish.origin.digest]
        if self._show_stale:
            digests += [each.digest for each in wish.origin.former]
        mattes = await self._queue.known(wish.token, digests)
        if self._adopt is not None and self._of_job(wish, mattes) is None and await self._adopt(digests):
            mattes = await self._queue.known(wish.token, digests)
        return mattes

    async def _shown_or_refused(self, wish: Wish, known: KnownMatte) -> Cutting:
        """The matte is there: it is shown if its token pays for it."""
        charged = known.charged or 0
        if known.charged is None and not known.facts.empty:
            standing, charged = await self._queue.charge(self._claim(wish), may_spend=self._may_spend(wish))
            if standing is Standing.REFUSED:
                return await self._billed(wish, self._refused(wish, None))
        return await self._billed(wish, self._there(wish, known, charged=charged))

    def _remembered(self, wish: Wish) -> Cutting | None:
        shown = self._shown.get((wish.token, self._job(wish).key))
        return None if shown is None else self._cutting_of(wish, shown)

    def _there(self, wish: Wish, known: KnownMatte, *, charged: int) -> Cutting:
        """A matte that is there and paid, from now on remembered."""
        facts = known.facts
        shown = _Shown(empty=facts.empty, confidence=facts.confidence, charged=charged)
        self._shown[wish.token, facts.name] = shown
        return self._cutting_of(wish, shown)

    def _cutting_of(self, wish: Wish, shown: _Shown) -> Cutting:
        cutting = self._cutting(wish, CutoutState.NO_SUBJECT if shown.empty else CutoutState.READY)
        if len(self._uses) < _IN_MEMORY:
            self._uses.add(cutting.job)
        return replace(
            cutting,
            shown=None if shown.empty else cutting.job,
            confidence=shown.confidence,
            bill=Bill(price=self._ledger.price(self._claim(wish).tier), charged=shown.charged),
        )

    def _stale(self, wish: Wish, older: tuple[KnownMatte, Origin], *, receipt: Receipt | None) -> Cutting:
        return replace(
            self._cutting(wish, CutoutState.STALE),
            origin=older[1],
            shown=older[0].facts.name,
            receipt=receipt,
            bill=Bill(price=self._ledger.price(self._claim(wish).tier), charged=older[0].charged or 0),
        )

    def _refused(self, wish: Wish, answer: Answer | None) -> Cutting:
        reason = None if self._may_spend(wish) else ORIGIN_NOT_LISTED
        cutting = replace(self._cutting(wish, CutoutState.NO_CREDITS), reason=reason)
        return cutting if answer is None else self._priced(wish, cutting, answer.account)

    def _cutting(self, wish: Wish, state: CutoutState) -> Cutting:
        return Cutting(state=state, job=self._job(wish).key, origin=wish.origin)

    # Bills: they decide nothing

    def _priced(self, wish: Wish, cutting: Cutting, account: Account) -> Cutting:
        """`cutting` with a bill that needs no further query."""
        claim = self._claim(wish)
        bill = cutting.bill or Bill(price=self._ledger.price_of(claim, account))
        if self._ledger.is_limited(wish.token):
            balance = self._queue.balance_of(wish.token, account)
            bill = replace(bill, remaining=balance.remaining, resets_at=balance.resets_at)
        return replace(cutting, bill=bill)

    async def _billed(self, wish: Wish, cutting: Cutting) -> Cutting:
        """`cutting` with what is left of a limit, without that where the database is away."""
        bill = cutting.bill or Bill(price=self._ledger.price(self._claim(wish).tier))
        if self._ledger.is_limited(wish.token):
            try:
                balance = await self._balances.run(wish.token, lambda: self._queue.balance(wish.token))
            except DatabaseError as error:
                _log.warning("no balance", error=str(error))
            else:
                bill = replace(bill, remaining=balance.remaining, resets_at=balance.resets_at)
        return replace(cutting, bill=bill)

    # What is asked for

    def _asking(self, wish: Wish, *, older: bool, notify: tuple[Listener, ...] = ()) -> Asking:
        pixels = wish.origin.facts.width * wish.origin.facts.height
        # Who sees a cutout already can wait for the better one longer than who sees a background.
        urgency = Urgency.UPGRADE if older or pixels > _HUGE_PIXELS else Urgency.PAGE
        return Asking(
            job=self._job(wish),
            claim=self._claim(wish),
            urgency=urgency,
            pixels=pixels,
            may_spend=self._may_spend(wish),
            notify=notify,
        )

    def _may_spend(self, wish: Wish) -> bool:
        customer = self._customers.get(wish.token)
        return may_spend(customer, ref=wish.ref, source=wish.origin.source, url=wish.origin.url, keyed=wish.keyed)

    def _may_owe(self, origin: Origin) -> bool:
        """With a full disk no worker could read the bytes, or keep what it makes of them."""
        return origin.stored and not self._lacks_space()

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
            origin=keys.origin_digest_of(wish.ref),
            charge_every_s=self._charge_every_s(wish.ref),
        )

    def _of_job(self, wish: Wish, mattes: Sequence[KnownMatte]) -> KnownMatte | None:
        key = self._job(wish).key
        return next((each for each in mattes if each.facts.name == key), None)

    # Older ones

    async def _older(self, wish: Wish, mattes: Sequence[KnownMatte]) -> tuple[KnownMatte, Origin] | None:
        """The newest usable matte of another recipe or of former bytes, and the pixels that it fits. The token must
        have paid for those; what it did not, it may be shown once the new one is charged.
        """
        if not self._show_stale:
            return None
        usable = [each for each in mattes if each.newest and not each.facts.empty and each.charged is not None]
        if not usable:
            return None
        tiers = (wish.tier,) if wish.tier is not None else (self._tier, *(set(Tier) - {self._tier}))
        async for pixels in self._pixels(wish.origin):
            of_pixels = {each.facts.tier: each for each in usable if each.facts.origin_digest == pixels.digest}
            for tier in tiers:
                if tier in of_pixels:
                    return of_pixels[tier], pixels
        return None

    async def _pixels(self, origin: Origin) -> AsyncIterator[Origin]:
        yield origin
        for former in origin.former:
            try:
                found = await self._origins.former(origin, former)
            except StoreError as error:
                _log.warning("former bytes not read", origin=former.digest, error=str(error))
                continue
            if found is not None and not found.facts.damaged:
                yield found
