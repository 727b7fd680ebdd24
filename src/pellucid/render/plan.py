"""Pure: a render spec resolved against a real picture size. All arithmetic on sizes happens here, exactly, once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from pellucid.errors import SpecError
from pellucid.spec import Enlarge, Fit, RenderSpec

# libvips' own bound on a side; only the crop of a very long and thin picture comes near it.
_LARGEST_SIDE = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Whole pixels: scale the upright picture to `scaled_width` x `scaled_height`, then keep the box `left`, `top`,
    `width`, `height` of it. The box lies inside the scaled picture; every size is at least 1.
    """

    scaled_width: int
    scaled_height: int
    left: int
    top: int
    width: int
    height: int


def plan(
    render: RenderSpec, *, width: int, height: int, max_pixels: int, max_enlarged_pixels: int | None = None
) -> Plan:
    """Resolve `render` for an upright picture of `width` x `height` pixels.

    No size keeps the picture as it is; one size keeps its proportions; both fill the box and cut the overflow around
    the centre (`Fit.CROP`) or lie inside it (`Fit.BOUND`). Fractions are rounded half up, at the end. Raises
    `SpecError` when the result has more than `max_pixels`, or more than both the picture and `max_enlarged_pixels`
    (None: no bound of its own).
    """
    resolved = _resolve(render, width, height)
    pixels = resolved.width * resolved.height
    size = f"the result would have {resolved.width} x {resolved.height} = {pixels} pixels"
    if pixels > max_pixels:
        raise SpecError(f"{size}, the limit is {max_pixels} pixels")
    if max_enlarged_pixels is not None and pixels > max(max_enlarged_pixels, width * height):
        raise SpecError(
            f"{size}, more than the picture, which has {width} x {height}; the limit for enlarged pictures is "
            f"{max_enlarged_pixels} pixels"
        )
    if max(resolved.scaled_width, resolved.scaled_height) > _LARGEST_SIDE:
        raise SpecError(
            f"a crop to {resolved.width} x {resolved.height} pixels would enlarge this picture of {width} x {height} "
            f"pixels beyond {_LARGEST_SIDE} pixels a side"
        )
    return resolved


def _resolve(render: RenderSpec, width: int, height: int) -> Plan:
    wanted_width = None if render.width is None else Fraction(render.width)
    wanted_height = None if render.height is None else Fraction(render.height)
    never_larger = render.enlarge is Enlarge.NEVER
    if wanted_width is not None and wanted_height is not None and render.fit is Fit.BOUND:
        scale = min(wanted_width / width, wanted_height / height)
        return _whole(width, height, min(scale, Fraction(1)) if never_larger else scale)
    if never_larger and (_exceeds(wanted_width, width) or _exceeds(wanted_height, height)):
        # Cloudimage: if any target dimension exceeds the origin, the origin comes as it is, uncropped.
        return _whole(width, height, Fraction(1))
    if wanted_width is not None and wanted_height is not None:
        return _crop(width, height, _round(wanted_width), _round(wanted_height))
    scale = Fraction(1)
    if wanted_width is not None:
        scale = wanted_width / width
    elif wanted_height is not None:
        scale = wanted_height / height
    # 1.25 px of a picture of 1 x 2 do not exceed it, and would make it 3 high.
    return _whole(width, height, min(scale, Fraction(1)) if never_larger else scale)


def _whole(width: int, height: int, scale: Fraction) -> Plan:
    scaled_width, scaled_height = _round(width * scale), _round(height * scale)
    return Plan(
        scaled_width=scaled_width, scaled_height=scaled_height, left=0, top=0, width=scaled_width, height=scaled_height
    )


def _crop(width: int, height: int, box_width: int, box_height: int) -> Plan:
    scale = max(Fraction(box_width, width), Fraction(box_height, height))
    scaled_width, scaled_height = _round(width * scale), _round(height * scale)
    return Plan(
        scaled_width=scaled_width,
        scaled_height=scaled_height,
        left=(scaled_width - box_width) // 2,
        top=(scaled_height - box_height) // 2,
        width=box_width,
        height=box_height,
    )


def _exceeds(wanted: Fraction | None, actual: int) -> bool:
    return wanted is not None and _round(wanted) > actual


def _round(value: Fraction) -> int:
    """Half up, and never to nothing."""
    return max(1, math.floor(value + Fraction(1, 2)))
