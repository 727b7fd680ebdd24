"""From a spec to a delivery. Orchestration only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog
from cachetools import TTLCache

from pellucid import keys
from pellucid.clients import SERVER, Client
from pellucid.errors import OriginUnreachableError, RenderError, SpecError, StoreError
from pellucid.flight import SingleFlight
from pellucid.formats import FORMATS, ImageFormat
from pellucid.mattes import Mattes
from pellucid.notify.listening import Listening
from pellucid.pipeline.cuttings import Cuttings, Wish
from pellucid.pipeline.states import CutoutState, Cutting, Delivery, Stages, Withheld
from pellucid.render.output import OutputChoice, choose_output
from pellucid.render.plan import Plan, plan
from pellucid.render.pool import RenderPool
from pellucid.render.run import BlankJob, RenderJob
from pellucid.renditions import Found, Rendition, Renditions, make_rendition
from pellucid.source.origins import Origin, Origins
from pellucid.spec import Pending, Spec, Token

_log = structlog.get_logger(__name__)

_FAILURES = 1000
_FAILURE_S = 60.0

Maker = Callable[[], Awaitable[Rendition | None]]

_OWED_SOON = frozenset({CutoutState.PENDING, CutoutState.BUSY})
"""States in which the caller's choice of the interim counts."""


class Pipeline:
    """Delivers specs. `wait_s` is how long `bg_pending=wait` holds an answer."""

    def __init__(
        self,
        *,
        origins: Origins,
        mattes: Mattes,
        cuttings: Cuttings,
        renditions: Renditions,
        pool: RenderPool,
        max_output_pixels: int,
        wait_s: float,
        listening: Listening | None = None,
    ) -> None:
        self._origins = origins
        self._mattes = mattes
        self._cuttings = cuttings
        self._renditions = renditions
        self._pool = pool
        self._max_output_pixels = max_output_pixels
        self._wait_s = wait_s
        self._listening = listening or Listening()
        self._renders: SingleFlight[str, Rendition | None] = SingleFlight()
        # A picture that crashed its decoder or took too long is left alone for a while, or it would hold up all others.
        self._failures: TTLCache[str, str] = TTLCache(_FAILURES, _FAILURE_S, time.monotonic)

    async def deliver(
        self,
        token: Token,
        spec: Spec,
        *,
        accepted: frozenset[ImageFormat],
        client: Client = SERVER,
        patience_s: float = 0.0,
        keyed: bool = False,
        unreadable: str | None = None,
    ) -> Delivery | Withheld:
        """The rendition for `spec` as it can be answered now: the cutout, or the interim while its matte is owed.

        `accepted` are the formats that the `client` names; it shares fetches and rendering with others. A pending
        cutout is waited for `patience_s`, or longer where the spec says so. `keyed` if the token's key was sent;
        `unreadable` names a matte that turned out to be so. Raises OriginError, ImageError, SpecError, RenderError,
        BusyError, StoreError when not even the interim can be made.
        """
        stages = Stages()
        notify = self._listening.listeners(token, spec)
        with stages.measure("origin"):
            origin = await self._origins.get(token, spec.origin, client=client)
        self._plan(spec, origin)  # what cannot be rendered owes no matte
        cutting, waited = None, False
        if spec.cutout:
            wish = Wish(token=token, ref=spec.origin, origin=origin, tier=spec.tier, keyed=keyed)
            with stages.measure("cutout"):
                cutting = await self._cuttings.request(wish, notify=notify)
            patience_s = max(patience_s, self._wait_s if spec.pending is Pending.WAIT else 0.0)
            if cutting.state is CutoutState.PENDING and patience_s > 0:
                with stages.measure("wait"):
                    await self._cuttings.wait(cutting, timeout_s=patience_s)
                    cutting = await self._cuttings.request(wish, notify=notify)
                waited = True
            if unreadable is not None and cutting.shown == unreadable:
                cutting = cutting.without_matte(origin)
            if cutting.state in _OWED_SOON and spec.pending in (Pending.ACCEPTED, Pending.LOCKED):
                negotiable = choose_output(spec, origin.facts, cut=False, accepted=accepted).negotiable
                return Withheld(cutting=cutting, negotiable=negotiable)
        pixels = origin if cutting is None else cutting.origin
        blank = cutting is not None and cutting.state in _OWED_SOON and spec.pending is Pending.BLANK
        cut = blank or (cutting is not None and cutting.shown is not None)
        output = choose_output(spec, pixels.facts, cut=cut, accepted=accepted)
        target = self._plan(spec, pixels)
        _check_sides(target, output.format)
        with stages.measure("render"):
            made = await (
                self._blank(token, spec, target, output, client=client)
                if blank
                else self._render(
                    token,
                    spec,
                    pixels,
                    target=target,
                    output=output,
                    matte=cutting and cutting.shown,
                    client=client,
                )
            )
        if made is None:
            # The matte or the former bytes vanished between look-up and rendering: owe it again, answer the interim.
            # One that is there and cannot be read is not owed again.
            shown = None if cutting is None else cutting.shown
            failed = shown if shown is not None and self._mattes.is_unreadable(shown) else None
            return await self.deliver(token, spec, accepted=accepted, client=client, keyed=keyed, unreadable=failed)
        return Delivery(
            rendition=made[0],
            found=made[1],
            origin=origin,
            negotiable=output.negotiable,
            cutting=cutting,
            waited=waited,
            stages=stages,
        )

    async def look(self, token: Token, spec: Spec, *, client: Client = SERVER, keyed: bool = False) -> Cutting:
        """Where the cutout of `spec` stands, without owing anything. Raises what `deliver` raises, QueueError,
        DatabaseError, and SpecError for a spec that removes nothing.
        """
        if not spec.cutout:
            raise SpecError("the URL removes no background; add bg_remove=1")
        origin = await self._origins.get(token, spec.origin, client=client)
        wish = Wish(token=token, ref=spec.origin, origin=origin, tier=spec.tier, keyed=keyed)
        return await self._cuttings.look(wish)

    async def wait(self, cutting: Cutting, *, timeout_s: float) -> None:
        """Until the matte of `cutting` is no longer owed, at most `timeout_s`."""
        await self._cuttings.wait(cutting, timeout_s=timeout_s)

    def _plan(self, spec: Spec, origin: Origin) -> Plan:
        facts = origin.facts
        return plan(spec.render, width=facts.width, height=facts.height, max_pixels=self._max_output_pixels)

    async def _render(
        self,
        token: Token,
        spec: Spec,
        origin: Origin,
        *,
        target: Plan,
        output: OutputChoice,
        matte: str | None,
        client: Client,
    ) -> tuple[Rendition, Found] | None:
        background = spec.render.background
        quality = spec.output.quality
        key = keys.rendition_key(
            token, origin.digest, matte or "-", repr(target), repr(background), output.format, repr(quality)
        )
        job = RenderJob(facts=origin.facts, plan=target, background=background, format=output.format, quality=quality)

        async def make() -> Rendition | None:
            failure = self._failures.get(origin.digest)
            if failure is not None:
                raise RenderError(failure)
            async with self._pool.room(client):
                try:
                    matte_blob = await self._mattes.read(matte) if matte is not None else None
                except StoreError as error:
                    _log.error("matte not read", matte=matte, error=str(error))
                    return None
                if matte is not None and matte_blob is None:
                    return None
                data = await self._bytes(token, spec, origin, client)
                if data is None:
                    return None
                try:
                    body = await self._pool.render(data, matte_blob, job)
                except RenderError as error:
                    self._failures[origin.digest] = str(error)
                    raise
            return await self._keep(key, body, output)

        return await self._found_or_made(key, make)

    async def _blank(
        self, token: Token, spec: Spec, target: Plan, output: OutputChoice, *, client: Client
    ) -> tuple[Rendition, Found] | None:
        job = BlankJob(
            width=target.width,
            height=target.height,
            background=spec.render.background,
            format=output.format,
            quality=spec.output.quality,
        )
        key = keys.rendition_key(token, "blank", repr(job))

        async def make() -> Rendition:
            async with self._pool.room(client):
                body = await self._pool.blank(job)
            return await self._keep(key, body, output)

        return await self._found_or_made(key, make)

    async def _found_or_made(self, key: str, make: Maker) -> tuple[Rendition, Found] | None:
        found = await self._renditions.get(key)
        if found is not None:
            return found
        shared = self._renders.is_flying(key)
        made = await self._renders.run(key, make)
        return None if made is None else (made, Found.SHARED if shared else Found.MADE)

    async def _keep(self, key: str, body: bytes, output: OutputChoice) -> Rendition:
        rendition = make_rendition(body, FORMATS[output.format].media_type)
        await self._renditions.put(key, rendition)
        return rendition

    async def _bytes(self, token: Token, spec: Spec, origin: Origin, client: Client) -> bytes | None:
        """The bytes of `origin`; None for former ones that are gone."""
        data = await self._origins.read(origin)
        if data is None:
            again = await self._origins.refetch(token, spec.origin, client=client)
            if again.digest != origin.digest and any(each.digest == origin.digest for each in again.former):
                return None
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
