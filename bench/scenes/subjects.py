"""Foregrounds of the synthetic scenes, by kind: what makes their edges differ is how pixels get mixed."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from scenes.coats import fur, hair
from scenes.layers import Layer, disc_kernel, empty, line_kernel, painted
from scenes.shapes import Frame, bar, box, coverage, disc, polygon, random_blob, ring
from scenes.textures import FloatArray, Size, hsv, noise, palette, ramp, surface


def glass(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """A tinted vessel that shows its background: thin in the middle, denser at the walls, with lights and a drink."""
    frame = Frame(size)
    middle = frame.right / 2
    wall = _vessel(rng, frame)
    hue, tint = rng.uniform(), rng.uniform(0.15, 0.6)
    inside = coverage(wall)
    depth = np.maximum(-wall, 0)
    thin = rng.uniform(0.12, 0.35)
    dense = rng.uniform(0.6, 0.85)
    alpha = np.float32(thin) + np.float32(dense - thin) * np.exp(-depth / np.float32(rng.uniform(0.008, 0.02)))
    shade = 0.75 - 0.5 * np.exp(-depth / np.float32(0.02)) + 0.12 * noise(rng, size, 0.2)
    value = 0.85 if light else 0.4
    shades = np.stack((hsv(hue, tint + 0.2, 0.15), hsv(hue, tint, value), hsv(hue, tint * 0.4, value + 0.15)))
    layer = painted(ramp(shades, shade.astype(np.float32)), inside * alpha)
    if rng.uniform() < 0.7:
        top = np.float32(rng.uniform(0.4, 0.6))
        surface_ = frame.y - top - np.float32(0.004) * np.sin(frame.x * 30)
        drink = coverage(np.maximum(np.maximum(wall + np.float32(0.016), surface_ * -1), frame.y - np.float32(0.72)))
        other = rng.uniform()
        colour = ramp(np.stack((hsv(other, 0.9, 0.45), hsv(other, 0.75, 0.95))), 0.5 + 0.25 * noise(rng, size, 0.15))
        layer = painted(colour, drink * np.float32(rng.uniform(0.45, 0.75))).over(layer)
    for side in (-1, 1):
        x = middle + side * rng.uniform(0.07, 0.12)
        stripe = bar(frame, (x, rng.uniform(0.22, 0.3)), (x + side * 0.01, rng.uniform(0.4, 0.6)), 0.012)
        glow = np.exp(-np.maximum(stripe, 0) / np.float32(0.006)) * inside * np.float32(rng.uniform(0.5, 0.95))
        layer = painted(hsv(hue, 0.05, 1.0), glow.astype(np.float32)).over(layer)
    return layer


def holes(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """A mug with its handle, linked rings or a pierced plate: the background shows through closed loops."""
    frame = Frame(size)
    middle = frame.right / 2
    first = surface(rng, size, palette(rng, light=light))
    second = surface(rng, size, palette(rng, light=not light))
    what = int(rng.integers(3))
    if what == 0:
        body = coverage(box(frame, (middle - 0.08, 0.54), (0.22, 0.28), corner=0.05))
        handle = ring(frame, (middle + 0.16, 0.54), 0.14, rng.uniform(0.03, 0.06), stretch=rng.uniform(1.0, 1.3))
        return painted(first, body).over(painted(second, coverage(handle)))
    layer = empty(size)
    if what == 1:
        for place, colours in ((-0.32, first), (0.0, second), (0.32, first)):
            centre = (middle + place, 0.5 + rng.uniform(-0.08, 0.08))
            link = ring(frame, centre, rng.uniform(0.18, 0.24), rng.uniform(0.025, 0.06), stretch=rng.uniform(0.8, 1.3))
            layer = painted(colours, coverage(link)).over(layer)
        return layer
    plate = box(frame, (middle, 0.5), (0.45, 0.36), corner=0.1, turn=rng.uniform(-0.3, 0.3))
    for row in range(3):
        for column in range(4):
            centre = (middle + (column - 1.5) * 0.19, 0.5 + (row - 1) * 0.18)
            hole = disc(frame, centre, rng.uniform(0.02, 0.075))
            plate = np.maximum(plate, -hole)
    return painted(first, coverage(plate))


def motion(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """An opaque object that moved while the shutter was open: two of its sides fade."""
    length = rng.uniform(0.02, 0.07) * size[1]
    return _solid(rng, size, light=light).blurred(line_kernel(length, rng.uniform(0, np.pi)))


def defocus(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """An opaque object before the plane of focus: its outline is a soft band all around."""
    return _solid(rng, size, light=light).blurred(disc_kernel(rng.uniform(0.006, 0.022) * size[1]))


def hard(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """An opaque object in focus: one mixed pixel across its edge, and a thin part or two."""
    frame = Frame(size)
    middle = frame.right / 2
    stick = bar(frame, (middle - 0.4, rng.uniform(0.15, 0.85)), (middle + 0.4, rng.uniform(0.15, 0.85)), 0.012)
    thin = painted(surface(rng, size, palette(rng, light=True)), coverage(stick))
    return _solid(rng, size, light=light).over(thin)


class Kind(Protocol):
    """Draws one foreground; `light` says whether its main part is bright or dark."""

    def __call__(self, rng: np.random.Generator, size: Size, *, light: bool) -> Layer: ...


KINDS: dict[str, Kind] = {
    "hair": hair,
    "fur": fur,
    "glass": glass,
    "holes": holes,
    "motion": motion,
    "defocus": defocus,
    "hard": hard,
}


def _solid(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """Two overlapping opaque things with textures of their own: a star or a gear, a blob or a turned box."""
    frame = Frame(size)
    middle = frame.right / 2
    count = int(rng.integers(5, 9))
    turn = rng.uniform(0, 2 * np.pi) + np.arange(2 * count) * np.pi / count
    reach = np.where(np.arange(2 * count) % 2 == 0, rng.uniform(0.3, 0.36), rng.uniform(0.17, 0.26))
    corners = np.stack((middle - 0.1 + reach * np.cos(turn), 0.5 + reach * np.sin(turn)), axis=-1).astype(np.float32)
    star = painted(surface(rng, size, palette(rng, light=light)), coverage(polygon(frame, corners)))
    if rng.uniform() < 0.5:
        other = random_blob(rng, (middle + 0.2, 0.56), 0.22, wobble=0.12).distance(frame)
    else:
        other = box(frame, (middle + 0.2, 0.56), rng.uniform(0.12, 0.26, 2), corner=0.03, turn=rng.uniform(0, 1.5))
    return painted(surface(rng, size, palette(rng, light=not light)), coverage(other)).over(star)


def _vessel(rng: np.random.Generator, frame: Frame) -> FloatArray:
    """A bottle, a goblet or a bowl, as a signed distance."""
    middle = frame.right / 2
    what = int(rng.integers(3))
    if what == 0:
        body = box(frame, (middle, 0.6), (rng.uniform(0.15, 0.2), 0.3), corner=0.08)
        return np.minimum(body, box(frame, (middle, 0.24), (0.06, 0.17), corner=0.02))
    if what == 1:
        bowl = np.maximum(
            random_blob(rng, (middle, 0.36), 0.22, wobble=0.01, stretch=1.15).distance(frame), 0.14 - frame.y
        )
        stem = box(frame, (middle, 0.74), (0.014, 0.16), corner=0.01)
        return np.minimum(np.minimum(bowl, stem), box(frame, (middle, 0.9), (0.15, 0.02), corner=0.015))
    round_ = random_blob(rng, (middle, 0.5), 0.32, wobble=0.02, stretch=rng.uniform(0.9, 1.1)).distance(frame)
    return np.maximum(round_, np.float32(rng.uniform(0.18, 0.28)) - frame.y)
