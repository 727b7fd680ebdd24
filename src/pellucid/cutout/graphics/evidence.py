"""What speaks for and against a picture being a flat graphic: its border, and a few thousand of its pixels. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.cutout.graphics.colours import EXACT, Palette, Pixels, clusters, distance, most_frequent, nearest
from pellucid.cutout.graphics.samples import CROSS, RING, SOFT, Samples, bend, spread
from pellucid.inference.runtime import FloatArray

_BORDER_PIXELS = 1024
"""Pixels looked at along each side."""

_ON_GROUND = 16
"""Levels that a border pixel may differ from the ground by."""

_GROUND_OF_BORDER = 0.6
_GROUND_OF_PICTURE = 0.2
_MOST_NOISE = 6
"""Levels. The 90th percentile of what the border differs from its colour by; 3 in a scan of a signature."""

_BESIDE = ((5, 0), (-5, 0), (0, 5), (0, -5))
_SAMPLES = 16_000
_FIRST_SAMPLES = 2_500
_HOPELESS = 0.7
"""Of the first samples; a product on a white ground is told by these, in a quarter of the time."""

FEW = 40
"""Fewer samples say nothing. With fewer on ink the grid is made 16 times as dense, once."""

_INKS = 12

_SHADOW = 48
"""Levels. Ramps that are this close to the ground are shadows, which this method would leave opaque."""

_SHADED = 0.15
"""So many of the samples on ground beside ink are off its colour and yet smooth where there is a shadow: at least 0.4
in 7 of 8 made graphics with one, at most 0.07 in those without."""


@dataclass(frozen=True, slots=True)
class Border:
    """The most frequent colour ((3,), levels), its share of the border, [0, 1], and the noise in it, levels."""

    ground: FloatArray
    share: float
    noise: float


def read_border(rgb: Pixels) -> Border:
    """The border of `rgb` (uint8, H x W x 3)."""
    height, width = rgb.shape[:2]
    across, down = _every_few(width), _every_few(height)
    border = np.concatenate((rgb[0, across], rgb[-1, across], rgb[down, 0], rgb[down, -1]))
    ground = most_frequent(border, bits=5)
    off = distance(border, ground)
    on_ground = off[off <= _ON_GROUND]
    return Border(ground, on_ground.size / off.size, float(np.percentile(on_ground, 90)))


def _every_few(length: int) -> npt.NDArray[np.intp]:
    return np.arange(0, length, -(-length // _BORDER_PIXELS), dtype=np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What samples say. `palette`: ground, inks, noise. `against`: the share of samples off the ground that nothing
    explains, plus the share of those with a spread between flat and edge and no ground beside them: [0, 2].
    """

    palette: Palette
    against: float


def gather(rgb: Pixels, border: Border) -> Evidence | None:
    """The evidence in `rgb` (uint8, H x W x 3); None where there is no one ground colour, or nothing on it."""
    ground = border.ground
    if border.share < _GROUND_OF_BORDER or border.noise > _MOST_NOISE:
        return None
    for count in (_FIRST_SAMPLES, _SAMPLES, 16 * _SAMPLES):
        samples = Samples.grid(rgb, count)
        off = distance(samples.colours(), ground)
        beside_ink = _beside_ink(samples.where(off <= _ON_GROUND), ground)
        clear = distance(beside_ink.around(CROSS[4:]), ground).max(axis=0, initial=0) <= _ON_GROUND
        if _is_shaded(beside_ink, ground):
            return None
        noise = max(border.noise, _ringing(beside_ink.where(clear), ground, percentile=60))
        on_ink = off > max(3, 2 * noise)
        if on_ink.sum() > (1 - _GROUND_OF_PICTURE) * len(samples):
            return None
        if on_ink.sum() < FEW:
            continue
        most_noise = max(noise, _ringing(beside_ink, ground, percentile=65))
        evidence = _explain(samples.where(on_ink), ground, noise=noise, most_noise=most_noise)
        if count > _FIRST_SAMPLES or evidence.against > _HOPELESS:
            return evidence
    return None


def _beside_ink(samples: Samples, ground: FloatArray) -> Samples:
    """Those with ink a few pixels away."""
    height, width = samples.rgb.shape[:2]
    beside = np.zeros(len(samples), np.bool_)
    for down, across in _BESIDE:
        rows, columns = (samples.rows + down).clip(0, height - 1), (samples.columns + across).clip(0, width - 1)
        beside |= distance(samples.rgb[rows, columns], ground) > SOFT
    return samples.where(beside)


def _is_shaded(samples: Samples, ground: FloatArray) -> bool:
    """Whether the ground is darker or lighter beside ink, and smooth: a shadow, a glow, a picture enlarged."""
    if len(samples) < FEW // 2:
        return False
    colours, cross = samples.colours(), samples.around(CROSS)
    return bool(((distance(colours, ground) > 3) & (bend(colours, cross) <= 2)).mean() > _SHADED)


def _ringing(samples: Samples, ground: FloatArray, *, percentile: int) -> float:
    """What a lossy format leaves on the ground beside ink, levels; 0 where too few samples lie there."""
    few = len(samples) < FEW // 2
    return 0.0 if few else float(np.percentile(distance(samples.colours(), ground), percentile))


def _explain(samples: Samples, ground: FloatArray, *, noise: float, most_noise: float) -> Evidence:
    on_ground, flatness, on_ink = max(3.0, 2 * noise), max(2.0, 2.5 * noise), max(2.0, 1.5 * noise)
    colours, cross, ring = samples.colours(), samples.around(CROSS), samples.around(RING)
    ranges = spread(colours, cross)
    flat = ranges <= flatness
    inked = distance(colours, ground) >= max(4, 6 * noise)
    even = flat & inked if noise else (ranges == 0)
    inks = clusters(colours[even], least=max(4, 0.005 * len(samples)), most=_INKS, radius=on_ink)
    # Thin strokes have no flat area: their ink is what is farthest from the ground around them.
    window = np.concatenate((cross, colours[None], ring))
    off = distance(window, ground)
    beside_ground = (off <= on_ground).any(axis=0)
    strongest = window[off.argmax(axis=0), np.arange(len(samples))]
    far = distance(strongest, ground) >= max(24, 6 * noise)
    strokes = strongest[~flat & beside_ground & far & (nearest(strongest, inks) > 24)]
    thin = clusters(strokes, least=max(4, 0.01 * len(samples)), most=_INKS + 2 - len(inks), radius=24)
    inks = np.concatenate((inks, _without_mixtures(thin, strokes, ground)))

    area = flat & (nearest(colours, inks) <= on_ink + 1)
    if noise <= EXACT:
        area |= flat & (bend(colours, cross) <= 2) & (distance(colours, ground) >= _SHADOW)
    mixed = beside_ground & (_off_segments(colours, ground, inks) <= max(12, 3 * noise))
    amid = (nearest(ring, np.concatenate((ground[None], inks))) <= on_ink + 3).sum(axis=0) >= 3
    unexplained = ~(area | (~flat & (mixed | amid)))
    soft = ~flat & ~beside_ground & (ranges < SOFT)
    return Evidence(
        palette=Palette(ground=ground, inks=inks, noise=most_noise), against=float(unexplained.mean() + soft.mean())
    )


def _without_mixtures(inks: FloatArray, strokes: Pixels, ground: FloatArray) -> FloatArray:
    """Those of `inks` (K x 3, clusters of `strokes`) that are no mixtures of the ground and another one."""
    kept: list[FloatArray] = []
    counts = [int((distance(strokes, ink) <= 24).sum()) for ink in inks]
    for ink, count in zip(inks, counts, strict=True):
        stronger = [
            other
            for other, of_other in zip(inks, counts, strict=True)
            if np.linalg.norm(other - ground) > np.linalg.norm(ink - ground) and count < of_other / 2
        ]
        if not stronger or _off_segments(ink[None], ground, np.array(stronger))[0] > 12:
            kept.append(ink)
    return np.array(kept, np.float32).reshape(-1, 3)


def _off_segments(colours: Pixels, ground: FloatArray, inks: FloatArray) -> npt.NDArray[np.float32]:
    """The distance of `colours` (n x 3) to the nearest of the straight lines between the ground and the inks."""
    off = colours.astype(np.float32) - ground
    least = np.full(len(colours), np.inf, np.float32)
    for direction in inks - ground:
        along = np.clip(off @ direction / max(float(direction @ direction), 1.0), 0, 1)
        np.minimum(least, np.abs(off - along[:, None] * direction).max(axis=-1), out=least)
    return least
