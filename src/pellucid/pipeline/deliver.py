"""From a spec to a delivery. Orchestration only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customer
from pellucid.errors import (
    BusyError,
    DamagedImageError,
    ImageError,
    OriginUnreachableError,
    RenderError,
    SpecError,
    StoreError,
)
from pellucid.formats import FORMATS, NEGOTIATED, ImageFormat
from pellucid.insights.needs import needs_of
from pellucid.insights.values import NO_INSIGHTS, Insights
from pellucid.mattes.files import MatteFiles
from pellucid.notify.targets import WebhookTargets
from pellucid.pipeline.cutouts import CutoutRequest, CutoutResolver
from pellucid.pipeline.failures import Failures
from pellucid.pipeline.insights import InsightResolver
from pellucid.pipeline.pages import PageResolver
from pellucid.pipeline.states import CutoutState, CutoutStatus, Dependence, ImageResult, Stages, StatusResult
from pellucid.pipeline.untouched import UntouchedOrigins
from pellucid.render.cost import is_light_output
from pellucid.render.job import Rendered, RenderJob, make_blank_job, make_job
from pellucid.render.output import DEFAULT_MEMORY_BYTES, Choice, choose_output, is_negotiable
from pellucid.render.plan import Plan, plan
from pellucid.render.pool import RenderPool
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import Fit, Interim, Spec, Token
from pellucid.store import keys
from pellucid.store.renditions import Rendition, Renditions, RenditionSource, make_rendition

_log = structlog.get_logger(__name__)

_TRIES = 3
"""How often what vanished between look-up and rendering is looked for again before the caller is told to come back."""

Maker = Callable[[], Awaitable[Rendition | None]]

_UNDECIDED = frozenset({CutoutState.PENDING, CutoutState.BUSY})
"""States in which the caller's choice of the interim counts."""


class Pipeline:
    """Delivers specs. `wait_s` is how long `bg_pending=wait` holds an answer; `negotiate` as for
    `render.output.choose_output`.
    """

    def __init__(
        self,
        *,
        origins: Origins,
        pages: PageResolver,
        insights: InsightResolver,
        mattes: MatteFiles,
        cutouts: CutoutResolver,
        renditions: Renditions,
        pool: RenderPool,
        max_output_pixels: int,
        max_enlarged_pixels: int,
        wait_s: float,
        negotiate: frozenset[ImageFormat] = NEGOTIATED,
        render_memory_bytes: int = DEFAULT_MEMORY_BYTES,
        webhook_targets: WebhookTargets | None = None,
    ) -> None:
        self._origins = origins
        self._untouched = UntouchedOrigins(origins)
        self._pages = pages
        self._insights = insights
        self._mattes = mattes
        self._cutouts = cutouts
        self._renditions = renditions
        self._pool = pool
        self._max_output_pixels = max_output_pixels
        self._max_enlarged_pixels = max_enlarged_pixels
        self._wait_s = wait_s
        self._negotiate = negotiate
        self._render_memory_bytes = render_memory_bytes
        self._webhook_targets = webhook_targets or WebhookTargets()
        self._renders: SingleFlight[str, Rendition | None] = SingleFlight()
        self._failures = Failures()

    async def deliver(
        self,
        customer: Customer,
        spec: Spec,
        *,
        accepted: frozenset[ImageFormat],
        client: Client = SERVER,
        max_wait_s: float = 0.0,
        has_key: bool = False,
        dependence: Dependence | None = None,
    ) -> ImageResult | StatusResult:
        """The rendition for `spec` as it can be answered now: the cutout, or the interim while its matte is owed.

        `accepted` are the formats that the `client` names; it shares fetches and rendering with others. A pending
        cutout is waited for `max_wait_s`, or longer where the spec says so. `has_key` if the customer's key was sent.
        `dependence` is filled in, also when this raises. Raises OriginError, ImageError, SpecError, RenderError,
        BusyError, StoreError when not even the interim can be made.
        """
        answer = _Answer(
            customer=customer,
            spec=spec,
            accepted=accepted,
            client=client,
            max_wait_s=max_wait_s,
            has_key=has_key,
            dependence=dependence or Dependence(),
        )
        for _ in range(_TRIES):
            delivery = await self._try(answer)
            if delivery is not None:
                return delivery
        raise BusyError("the picture changes while it is rendered")

    async def _try(self, answer: _Answer) -> ImageResult | StatusResult | None:
        """None when the matte, or the origin's former bytes, vanished between look-up and rendering, or the origin
        turned out to be damaged.
        """
        customer, spec, client, stages = answer.customer, answer.spec, answer.client, answer.stages
        notify = self._webhook_targets.for_spec(customer, spec)
        with stages.measure("origin"):
            origin = await self._origins.get(customer, spec.origin, version=spec.version, client=client)
        if spec.geometry.fit is Fit.PROXY:
            with stages.measure("read"):
                rendition = await self._untouched.read(customer, spec.origin, origin, client=client)
            return ImageResult(
                rendition=rendition,
                found=RenditionSource.DISK,
                origin=origin,
                negotiable=False,
                cutout=None,
                stages=stages,
            )
        if spec.source.page != 1:
            with stages.measure("origin"):
                origin = await self._pages.turn_to(customer, spec, origin, client=client)
        self._shape(answer, origin, cut=False)  # what cannot be rendered owes no matte
        cutout = None
        if spec.removal.remove:
            request = CutoutRequest(
                customer=customer, ref=spec.origin, origin=origin, tier=spec.removal.tier, has_key=answer.has_key
            )
            with stages.measure("cutout"):
                cutout = await self._cutouts.resolve(request, notify=notify)
            max_wait_s = max(answer.max_wait_s, self._wait_s if spec.removal.interim is Interim.WAIT else 0.0)
            if cutout.state is CutoutState.PENDING and max_wait_s > 0 and not answer.dependence.waited:
                answer.dependence.hold(answer.max_wait_s)
                with stages.measure("wait"):
                    await self._cutouts.wait(cutout, timeout_s=max_wait_s)
                    cutout = await self._cutouts.resolve(request, notify=notify)
            if cutout.found_damaged and not origin.facts.damaged:
                await self._origins.mark_damaged(customer, spec.origin, origin)
                return None
            if cutout.unknown:
                kept = await self._kept(answer, origin, cutout)
                if kept is not None:
                    return kept
            if answer.unreadable is not None and cutout.matte == answer.unreadable:
                cutout = cutout.without_matte(origin)
            cutout = self._renderable(answer, cutout, origin)
            if cutout.state in _UNDECIDED and spec.removal.interim in (Interim.ACCEPTED, Interim.LOCKED):
                return StatusResult(
                    cutout=cutout, negotiable=answer.dependence.negotiable, waited_s=answer.dependence.waited_s
                )
        pixels = origin if cutout is None else cutout.origin
        blank = cutout is not None and cutout.state in _UNDECIDED and spec.removal.interim is Interim.BLANK
        cut = blank or (cutout is not None and cutout.matte is not None)
        insights = await self._look(answer, pixels, cutout)
        target, output = self._shape(answer, pixels, cut=cut, insights=insights)
        with stages.measure("render"):
            made = await (
                self._blank(customer, spec, target, output, insights, client=client)
                if blank
                else self._render(
                    customer,
                    spec,
                    pixels,
                    target=target,
                    output=output,
                    insights=insights,
                    matte=cutout and cutout.matte,
                    client=client,
                )
            )
        if made is None:
            matte = None if cutout is None else cutout.matte
            answer.unreadable = None
            if matte is not None and self._mattes.is_unreadable(matte):
                answer.unreadable = matte  # it is there, and not owed again
            return None
        return ImageResult(
            rendition=made[0],
            found=made[1],
            origin=origin,
            negotiable=answer.dependence.negotiable,
            cutout=cutout,
            waited=answer.dependence.waited,
            stages=stages,
        )

    async def _kept(self, answer: _Answer, origin: Origin, cutout: CutoutStatus) -> ImageResult | None:
        """The cutout if it was rendered before: its key has the token's name in it, so the token has paid for it, and
        the database need not say so.
        """
        if needs_of(answer.spec, has_subject=False):
            return None  # the plan may depend on the subject, which the database knows
        target, output = self._shape(answer, origin, cut=True)
        job = make_job(answer.spec, origin.facts, target, output)
        key = _rendition_key(answer.customer.token, answer.spec, origin, job, matte=cutout.job)
        found = await self._renditions.get(key, client=answer.client)
        if found is None:
            return None
        return ImageResult(
            rendition=found[0],
            found=found[1],
            origin=origin,
            negotiable=answer.dependence.negotiable,
            cutout=replace(cutout, state=CutoutState.READY, matte=cutout.job, unknown=False),
            stages=answer.stages,
        )

    async def cutout_status(
        self, customer: Customer, spec: Spec, *, client: Client = SERVER, has_key: bool = False
    ) -> CutoutStatus:
        """Where the cutout of `spec` stands, without owing anything. Raises what `deliver` raises,
        DatabaseError, and SpecError for a spec that removes nothing.
        """
        if not spec.removal.remove:
            raise SpecError("the URL removes no background; add bg_remove=1")
        origin = await self._origins.get(customer, spec.origin, client=client)
        origin = await self._pages.turn_to(customer, spec, origin, client=client)
        request = CutoutRequest(
            customer=customer, ref=spec.origin, origin=origin, tier=spec.removal.tier, has_key=has_key
        )
        return await self._cutouts.status(request)

    def _renderable(self, answer: _Answer, cutout: CutoutStatus, origin: Origin) -> CutoutStatus:
        """`cutout`; without its matte where that is one of former bytes of a size that cannot be rendered."""
        if cutout.origin is origin:
            return cutout
        try:
            self._shape(answer, cutout.origin, cut=True)
        except SpecError:
            return cutout.without_matte(origin)
        return cutout

    async def _look(self, answer: _Answer, origin: Origin, cutout: CutoutStatus | None) -> Insights:
        """What the plan depends on: of the subject where a matte is applied, of the image itself else."""
        subject = None if cutout is None or cutout.matte is None else cutout.subject
        needs = needs_of(answer.spec, has_subject=subject is not None)
        insights = NO_INSIGHTS
        if needs:
            with answer.stages.measure("look"):
                insights = await self._insights.get(
                    answer.customer, answer.spec.origin, origin, needs, client=answer.client
                )
        # What is centred, and what is left by `trim`.
        return insights if subject is None else replace(insights, subject=subject, content=subject)

    def _shape(
        self, answer: _Answer, origin: Origin, *, cut: bool, insights: Insights = NO_INSIGHTS
    ) -> tuple[Plan, Choice]:
        """Size and format of a rendition of `origin`. Raises SpecError."""
        facts = origin.facts
        answer.dependence.negotiable |= is_negotiable(answer.spec, facts, negotiate=self._negotiate)
        target = plan(
            answer.spec.geometry,
            width=facts.width,
            height=facts.height,
            max_pixels=self._max_output_pixels,
            max_enlarged_pixels=self._max_enlarged_pixels,
            insights=insights,
        )
        output = choose_output(
            answer.spec,
            facts,
            target,
            cut=cut,
            accepted=answer.accepted,
            negotiate=self._negotiate,
            memory_bytes=self._render_memory_bytes,
        )
        return target, output

    async def _render(
        self,
        customer: Customer,
        spec: Spec,
        origin: Origin,
        *,
        target: Plan,
        output: Choice,
        insights: Insights,
        matte: str | None,
        client: Client,
    ) -> tuple[Rendition, RenditionSource] | None:
        job = make_job(spec, origin.facts, target, output, insights)
        key = _rendition_key(customer.token, spec, origin, job, matte=matte)
        light = is_light_output(job, cut=matte is not None)
        scope = origin.picture if matte is None else f"{origin.picture} {matte}"

        async def make() -> Rendition | None:
            self._failures.check(key, scope, light=light)
            for _ in range(_TRIES):
                inputs = _Inputs(self._origins, self._mattes, origin, matte)
                try:
                    made = await self._pool.render(
                        inputs.read,
                        job,
                        origin=origin.picture,
                        size_bytes=origin.size_bytes,
                        cut=matte is not None,
                        client=client,
                    )
                except (RenderError, ImageError) as error:
                    if isinstance(error, DamagedImageError):
                        await self._origins.mark_damaged(customer, spec.origin, origin)
                    self._failures.remember(key, scope, error, light=light)
                    raise
                if made is not None and made.damaged and not origin.facts.damaged:
                    await self._origins.mark_damaged(customer, spec.origin, origin)
                    return None
                if made is not None:
                    return self._keep(key, made)
                if inputs.matte_is_gone:
                    if matte is not None and not self._mattes.is_unreadable(matte):
                        await self._cutouts.forget(matte)
                    return None
                if not await self._bring_back(customer, spec, origin, client):
                    return None
            raise OriginUnreachableError("the origin's bytes were lost while it was rendered; ask again")

        return await self._found_or_made(key, make, client)

    async def _blank(
        self, customer: Customer, spec: Spec, target: Plan, output: Choice, insights: Insights, *, client: Client
    ) -> tuple[Rendition, RenditionSource] | None:
        job = make_blank_job(spec, target, output, insights)
        key = keys.rendition_key(customer.token, "blank", repr(job))

        async def make() -> Rendition:
            return self._keep(key, await self._pool.blank(job, client=client))

        return await self._found_or_made(key, make, client)

    async def _found_or_made(self, key: str, make: Maker, client: Client) -> tuple[Rendition, RenditionSource] | None:
        found = await self._renditions.get(key, client=client)
        if found is not None:
            return found
        shared = self._renders.is_in_flight(key)
        try:
            made = await self._renders.run(key, make)
        except BusyError:
            if not shared:
                raise
            made = await self._renders.run(key, make)  # it was another one's line that was full
        return None if made is None else (made, RenditionSource.SHARED if shared else RenditionSource.MADE)

    def _keep(self, key: str, made: Rendered) -> Rendition:
        rendition = make_rendition(made.body, FORMATS[made.format].media_type)
        self._renditions.put(key, rendition)
        return rendition

    async def _bring_back(self, customer: Customer, spec: Spec, origin: Origin, client: Client) -> bool:
        """Fetch the bytes of `origin` again; False for former ones, which are gone. Raises what `Origins.get` raises,
        and OriginUnreachableError when its server sends other bytes now.
        """
        again = await self._origins.refetch(customer, spec.origin, client=client)
        if again.digest == origin.digest:
            return True
        if any(each.digest == origin.digest for each in again.former):
            return False
        raise OriginUnreachableError("the origin's bytes were lost while it was rendered; ask again")


def _rendition_key(token: Token, spec: Spec, origin: Origin, job: RenderJob, *, matte: str | None) -> str:
    # The job says which page it is, and whether the bytes are known to be damaged: what was made of them before is not
    # found again then.
    return keys.rendition_key(token, origin.digest, matte or "-", repr(job), spec.version)


@dataclass(slots=True, kw_only=True)
class _Answer:
    """One request on its way, through all tries: what was measured and waited stays."""

    customer: Customer
    spec: Spec
    accepted: frozenset[ImageFormat]
    client: Client
    max_wait_s: float
    has_key: bool
    dependence: Dependence
    unreadable: str | None = None
    """A matte that turned out to be there and unreadable: the answer goes without."""
    stages: Stages = field(default_factory=Stages)


class _Inputs:
    """The bytes that a rendition is made of. Read while a place is held: from the store, never from a server."""

    def __init__(self, origins: Origins, mattes: MatteFiles, origin: Origin, matte: str | None) -> None:
        self._origins = origins
        self._mattes = mattes
        self._origin = origin
        self._matte = matte
        self.matte_is_gone = False

    async def read(self) -> tuple[bytes, bytes | None] | None:
        """Origin and matte; None when one of them is gone."""
        matte = None
        if self._matte is not None:
            try:
                matte = await self._mattes.read(self._matte)
            except StoreError as error:
                _log.error("matte not read", matte=self._matte, error=str(error))
            if matte is None:
                self.matte_is_gone = True
                return None
        data = await self._origins.read(self._origin)
        return None if data is None else (data, matte)
