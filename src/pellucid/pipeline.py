"""From a spec to a delivery: the way of a request, without HTTP. Orchestration only."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass

import structlog
from cachetools import TTLCache

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.errors import OriginUnreachableError, QueueError, RenderError, SpecError
from pellucid.flight import SingleFlight
from pellucid.formats import FORMATS, ImageFormat
from pellucid.mattes import Mattes
from pellucid.notify.listening import Listening
from pellucid.queue.port import Failed, Full, Job, Listener, Owed, Priority, Queue, Receipt
from pellucid.render.output import OutputChoice, choose_output
from pellucid.render.plan import Plan, plan
from pellucid.render.pool import RenderPool
from pellucid.render.run import RenderJob
from pellucid.renditions import Rendition, Renditions, make_rendition
from pellucid.source.origins import Origin, Origins
from pellucid.spec import Spec, Token

_log = structlog.get_logger(__name__)


_FAILURES = 1000
_FAILURE_S = 60.0


class CutoutState(enum.StrEnum):
    """Where a cutout stands; the words of the `Pellucid-Cutout` header."""

    PENDING = "pending"
    BUSY = "busy"
    READY = "ready"
    FAILED = "failed"
    NO_SUBJECT = "no-subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """The state of the cutout of one request, with what the queue said when the matte is not there."""

    state: CutoutState
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What to answer. `cutting` is None for a spec that removes nothing; `negotiable` asks for `Vary: Accept`."""

    rendition: Rendition
    negotiable: bool
    cutting: Cutting | None


class Pipeline:
    """Delivers specs. `recipe` is what new mattes are made with; its tier is that of URLs that name none."""

    def __init__(
        self,
        *,
        origins: Origins,
        mattes: Mattes,
        renditions: Renditions,
        queue: Queue,
        pool: RenderPool,
        recipe: Recipe,
        max_output_pixels: int,
        listening: Listening | None = None,
    ) -> None:
        self._origins = origins
        self._mattes = mattes
        self._renditions = renditions
        self._queue = queue
        self._pool = pool
        self._recipe_ids = {tier: each.id for tier, each in recipe.by_tier.items()}
        self._tier = recipe.tier
        self._max_output_pixels = max_output_pixels
        self._listening = listening or Listening()
        self._renders: SingleFlight[str, Rendition | None] = SingleFlight()
        # A picture that crashed its decoder or took too long is left alone for a while, or it would hold up all others.
        self._failures: TTLCache[str, str] = TTLCache(_FAILURES, _FAILURE_S, time.monotonic)

    async def deliver(self, token: Token, spec: Spec, *, accepted: frozenset[ImageFormat]) -> Delivery:
        """The rendition for `spec` as it can be answered now: the cutout, or the interim while its matte is owed.

        `accepted` are the formats that the client names. Raises OriginError, ImageError, SpecError, RenderError,
        BusyError, StoreError when not even the interim can be made.
        """
        notify = self._listening.listeners(spec)
        origin = await self._origins.get(token, spec.origin)
        target = plan(
            spec.render, width=origin.facts.width, height=origin.facts.height, max_pixels=self._max_output_pixels
        )
        recipe_id = self._recipe_ids[spec.tier or self._tier]
        name = keys.matte_name(origin.digest, 0, recipe_id)
        cutting = await self._cutting(origin, name, recipe_id, notify) if spec.cutout else None
        cut = cutting is not None and cutting.state is CutoutState.READY
        output = choose_output(spec, origin.facts, cut=cut, accepted=accepted)
        _check_sides(target, output.format)
        rendition = await self._render(token, spec, origin, target=target, output=output, matte=name if cut else None)
        if rendition is None:
            # The matte vanished between look-up and rendering (a damaged file): owe it again, answer the interim.
            return await self.deliver(token, spec, accepted=accepted)
        return Delivery(rendition=rendition, negotiable=output.negotiable, cutting=cutting)

    async def _cutting(self, origin: Origin, name: str, recipe_id: str, notify: tuple[Listener, ...]) -> Cutting:
        header = await self._mattes.header(name)
        if header is not None:
            return Cutting(state=CutoutState.NO_SUBJECT if header.empty else CutoutState.READY)
        if not origin.stored:
            # A full disk: no worker could read the bytes.
            return Cutting(state=CutoutState.BUSY)
        job = Job(key=name, origin_digest=origin.digest, page=0, recipe_id=recipe_id)
        try:
            receipt = await self._queue.submit(job, priority=Priority.IMPATIENT, notify=notify)
        except QueueError as error:
            _log.error("queue failed", error=str(error))
            return Cutting(state=CutoutState.BUSY)
        match receipt:
            case Owed():
                return Cutting(state=CutoutState.PENDING, receipt=receipt)
            case Full():
                return Cutting(state=CutoutState.BUSY, receipt=receipt)
            case Failed():
                return Cutting(state=CutoutState.FAILED, receipt=receipt)

    async def _render(
        self, token: Token, spec: Spec, origin: Origin, *, target: Plan, output: OutputChoice, matte: str | None
    ) -> Rendition | None:
        background = spec.render.background
        quality = spec.output.quality
        key = keys.rendition_key(
            token, origin.digest, matte or "-", repr(target), repr(background), output.format, repr(quality)
        )
        found = await self._renditions.get(key)
        if found is not None:
            return found
        job = RenderJob(facts=origin.facts, plan=target, background=background, format=output.format, quality=quality)

        async def make() -> Rendition | None:
            failure = self._failures.get(origin.digest)
            if failure is not None:
                raise RenderError(failure)
            async with self._pool.room():
                matte_blob = await self._mattes.read(matte) if matte is not None else None
                if matte is not None and matte_blob is None:
                    return None
                try:
                    body = await self._pool.render(await self._bytes(token, spec, origin), matte_blob, job)
                except RenderError as error:
                    self._failures[origin.digest] = str(error)
                    raise
            rendition = make_rendition(body, FORMATS[output.format].media_type)
            await self._renditions.put(key, rendition)
            return rendition

        return await self._renders.run(key, make)

    async def _bytes(self, token: Token, spec: Spec, origin: Origin) -> bytes:
        data = await self._origins.read(origin)
        if data is None:
            again = await self._origins.refetch(token, spec.origin)
            data = await self._origins.read(again)
            if data is None or again.digest != origin.digest:
                raise OriginUnreachableError("the origin's bytes were lost while it was rendered; ask again")
        return data


def _check_sides(target: Plan, written: ImageFormat) -> None:
    """Raises SpecError when the format cannot hold a picture that long."""
    largest = FORMATS[written].largest_side
    if max(target.width, target.height) > largest:
        raise SpecError(
            f"the result would be {target.width} x {target.height} pixels, {written.upper()} holds {largest} a side"
        )
