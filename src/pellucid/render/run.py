"""The steps that make a rendition, in their order. The order is the semantics.

1. scale              Decode at the size that is wanted: JPEG shrinks while it decodes, SVG is drawn at that size, and
                      everything after it is cheap. The crop belongs to this step, so pixels outside it are never
                      computed.
2. remove_background  The matte at the same size, so before anything is turned; it multiplies into the image's own
                      alpha. Foreground colours are estimated here, at the rendered size, before any backdrop exists
                      that could be taken for the old background.
3. turn               Mirror, and rotate by quarter turns. Before the corners, which are named as they are seen.
4. round_corners      The corners of the image, not of its canvas: on a canvas of one colour nobody would see those.
5. rotate             By any other angle: the round corners turn with the image, the box around it has none.
6. lay_on_canvas      Padding, and what is behind: the named colour, or a blurred copy of the image with its background;
                      white where the result is to be opaque. After all that makes pixels transparent.
7. encode             Pixels only, no metadata.

Without a matte and round corners all of it stays inside libvips.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pellucid.image import vips
from pellucid.image.decode import Damage
from pellucid.image.encode import write
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES
from pellucid.image.vips import VipsImage
from pellucid.render.job import BlankJob, Rendered, RenderJob
from pellucid.render.steps.behind import blurred_copy
from pellucid.render.steps.canvas import backdrop_of, lay_on_canvas
from pellucid.render.steps.corners import round_corners
from pellucid.render.steps.matte import remove_background
from pellucid.render.steps.scale import scale
from pellucid.render.steps.turn import rotate, turn
from pellucid.spec import TRANSPARENT

Step = Callable[[VipsImage, RenderJob], VipsImage]


def steps_of(scaled: VipsImage, matte: bytes | None, job: RenderJob) -> tuple[Step, ...]:
    """What happens to the `scaled` image before it is encoded; with a `matte` (a blob of `image.matte_file`) the
    background goes.
    """
    removing: tuple[Step, ...] = () if matte is None else (partial(remove_background, matte=matte),)
    behind = None if job.blurred_copy is None else blurred_copy(turn(scaled, job), job, job.blurred_copy)
    return (*removing, turn, round_corners, rotate, partial(lay_on_canvas, behind=behind))


def render(
    origin: bytes, matte: bytes | None, job: RenderJob, *, max_bytes: int = DEFAULT_MAX_DECODE_BYTES
) -> Rendered:
    """A rendition of `origin`; with `matte` its background is removed.

    Raises `DamagedImageError` when nothing of the origin can be decoded, `ImageError` when the matte cannot be,
    `ImageLimitError` when decoding would take more than `max_bytes` of memory, `RenderError` when the result cannot be
    written.
    """
    damage = Damage()
    image = scale(origin, job, max_bytes=max_bytes, on_damage=damage.note)
    for step in steps_of(image, matte, job):
        image = step(image, job)
    written = write(image, format=job.format, quality=job.quality, or_jpeg=job.or_jpeg)
    return Rendered(body=written.body, format=written.format, damaged=damage.noted)


def render_blank(job: BlankJob) -> Rendered:
    """An empty image; white where it is opaque and no colour is named. Raises `RenderError`."""
    colour = backdrop_of(job) or TRANSPARENT
    channels = colour.rgb if colour.opaque else (*colour.rgb, colour.alpha)
    image = vips.uniform(job.width, job.height, channels)
    written = write(image, format=job.format, quality=job.quality, or_jpeg=job.or_jpeg)
    return Rendered(body=written.body, format=written.format)
