"""Pictures made of photographs with true masks: backgrounds without their subject, and subjects small on another
background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pellucid.image.vips import from_array, to_array, to_srgb_size

Pixels = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.float32]

SIDES = (0.15, 0.25, 0.4, 0.6)
"""Of a small subject, as shares of the frame's side: pictures take them in turn."""

FRAME = (900, 700)


def paint_over(photo: Pixels, subject: npt.NDArray[np.bool_], rng: np.random.Generator) -> Pixels:
    """The background alone: the subject's place takes blurs of what is around it, wider ones further in, and grain."""
    hole = ndimage.binary_dilation(subject, iterations=8)
    known = (~hole).astype(np.float32)
    filled = photo.astype(np.float32)
    open_ = hole.copy()
    for sigma in (4, 16, 64, 160):
        weight = ndimage.gaussian_filter(known, sigma)
        near = open_ & (weight > 0.02)
        for colour in range(3):
            blurred = ndimage.gaussian_filter(photo[..., colour] * known, sigma)
            filled[near, colour] = blurred[near] / weight[near]
        open_ &= ~near
    return np.clip(filled + rng.normal(0, 3, filled.shape), 0, 255).astype(np.uint8)


def small_scenes(
    photos: Sequence[Pixels], truths: Sequence[Alpha], grounds: Sequence[Pixels], rng: np.random.Generator
) -> Iterator[tuple[int, Pixels, Alpha]]:
    """Subjects that fill less than half of their photograph, small on the ground of another one: the photograph's
    number, the scene and its alpha.
    """
    width, height = FRAME
    for number, (photo, alpha) in enumerate(zip(photos, truths, strict=True)):
        subject = alpha >= 0.5
        if not 0 < subject.mean() < 0.5:
            continue
        side = SIDES[number % len(SIDES)]
        ground = scaled(grounds[(number * 7 + 3) % len(grounds)], width, height).astype(np.float64)
        rows, columns = np.nonzero(subject)
        scale = side * np.sqrt(width * height / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
        w, h = (max(8, int(length * scale)) for length in reversed(subject.shape))
        small = scaled(photo, w, h)
        soft = (ndimage.gaussian_filter(alpha, 0.7) * 255).astype(np.uint8)
        small_alpha = scaled(np.repeat(soft[..., None], 3, axis=2), w, h)[..., 0] / 255
        left = int(rng.uniform(0.3, 0.7) * width - columns.mean() * scale)
        top = int(rng.uniform(0.4, 0.7) * height - rows.mean() * scale)
        inside = slice(max(0, top), min(height, top + h)), slice(max(0, left), min(width, left + w))
        source = tuple(slice(part.start - at, part.stop - at) for part, at in zip(inside, (top, left), strict=True))
        truth = np.zeros((height, width), np.float32)
        truth[inside] = small_alpha[source]
        a = truth[inside][..., None]
        ground[inside] = small[source] * a + ground[inside] * (1 - a)
        yield number, ground.astype(np.uint8), truth


def scaled(picture: Pixels, width: int, height: int) -> Pixels:
    return to_array(to_srgb_size(from_array(picture), width=width, height=height))
