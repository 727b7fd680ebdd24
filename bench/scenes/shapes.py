"""Shapes as signed distances, negative inside. Lengths and places are shares of the picture's height.

Places are (x, y) with the origin at the top left; distances float32 (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scenes.textures import FloatArray, Size

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """The places of all pixel centres of a picture of `size` (width, height) pixels; `right` is its right border."""

    size: Size
    right: float = field(init=False)
    x: FloatArray = field(init=False)
    y: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        width, height = self.size
        y, x = (np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)) / np.float32(height)
        object.__setattr__(self, "right", width / height)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)


def coverage(distance: FloatArray) -> FloatArray:
    """How much of each pixel the shape covers, [0, 1]: exact for an edge along a row or a column."""
    return np.clip(0.5 - distance * np.float32(distance.shape[0]), 0, 1)


def disc(frame: Frame, centre: Point, radius: float) -> FloatArray:
    """A disc."""
    return np.hypot(frame.x - np.float32(centre[0]), frame.y - np.float32(centre[1])) - np.float32(radius)


def ring(frame: Frame, centre: Point, radius: float, thickness: float, *, stretch: float = 1.0) -> FloatArray:
    """A ring around the middle line of `radius`, `stretch` times as high as wide (the thickness then varies a bit)."""
    x, y = frame.x - np.float32(centre[0]), (frame.y - np.float32(centre[1])) / np.float32(stretch)
    return np.abs(np.hypot(x, y) - np.float32(radius)) - np.float32(thickness / 2)


def box(frame: Frame, centre: Point, half: npt.ArrayLike, *, corner: float, turn: float = 0.0) -> FloatArray:
    """A box with the half sides `half` (across, down), rounded corners, turned by `turn` radians."""
    across, down = np.asarray(half, np.float32) - np.float32(corner)
    x0, y0 = frame.x - np.float32(centre[0]), frame.y - np.float32(centre[1])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = np.abs(x0 * cos + y0 * sin) - across, np.abs(y0 * cos - x0 * sin) - down
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return outside + np.minimum(np.maximum(x, y), 0) - np.float32(corner)


def bar(frame: Frame, start: Point, end: Point, thickness: float) -> FloatArray:
    """A bar with round ends."""
    x, y = frame.x - np.float32(start[0]), frame.y - np.float32(start[1])
    dx, dy = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    share = np.clip((x * dx + y * dy) / max(float(dx * dx + dy * dy), 1e-12), 0, 1)
    return np.hypot(x - share * dx, y - share * dy) - np.float32(thickness / 2)


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A closed curve around `centre`: radius r (1 + sum of a_k cos(k t + p_k)) in direction t."""

    centre: Point
    radius: float
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]
    stretch: float = 1.0
    """How many times as high as wide."""

    def radii(self, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The radius in each direction and its derivative, before stretching."""
        radius = np.ones_like(angle)
        slope = np.zeros_like(angle)
        for k, (amplitude, phase) in enumerate(zip(self.amplitudes, self.phases, strict=True), start=2):
            radius += np.float32(amplitude) * np.cos(np.float32(k) * angle + np.float32(phase))
            slope -= np.float32(amplitude * k) * np.sin(np.float32(k) * angle + np.float32(phase))
        return radius * np.float32(self.radius), slope * np.float32(self.radius)

    def distance(self, frame: Frame) -> FloatArray:
        """To the first order: right at the edge, which is where it matters."""
        x = frame.x - np.float32(self.centre[0])
        y = (frame.y - np.float32(self.centre[1])) / np.float32(self.stretch)
        reach = np.hypot(x, y)
        angle = np.arctan2(y, x)
        radius, slope = self.radii(angle)
        reach_or_one = np.maximum(reach, np.float32(1e-4))
        bend = slope / reach_or_one
        # The gradient of reach - radius(angle), stretching included.
        gx = (x - bend * -y) / reach_or_one
        gy = (y - bend * x) / reach_or_one / np.float32(self.stretch)
        return (reach - radius) / np.maximum(np.hypot(gx, gy), np.float32(0.2))

    def edge(self, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Places (n, 2) on the curve in the directions `angle` (n), and the unit vectors outwards there."""
        radius, slope = self.radii(angle)
        cos, sin = np.cos(angle), np.sin(angle)
        stretch = np.array((1, self.stretch), np.float32)
        place = np.stack((cos, sin), axis=-1) * radius[:, None]
        tangent = np.stack((slope * cos - radius * sin, slope * sin + radius * cos), axis=-1) * stretch
        outwards = np.stack((tangent[:, 1], -tangent[:, 0]), axis=-1)
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        return place * stretch + np.array(self.centre, np.float32), outwards


def random_blob(rng: np.random.Generator, centre: Point, radius: float, *, wobble: float, stretch: float = 1.0) -> Blob:
    """A blob whose waves get weaker as they get shorter; `wobble` is the strongest as a share of the radius."""
    amplitudes = tuple(float(rng.normal(0, wobble / k)) for k in range(2, 8))
    phases = tuple(float(phase) for phase in rng.uniform(0, 2 * np.pi, 6))
    return Blob(centre=centre, radius=radius, amplitudes=amplitudes, phases=phases, stretch=stretch)


def polygon(frame: Frame, corners: FloatArray) -> FloatArray:
    """A simple polygon with the `corners` (n, 2)."""
    distance = np.full(frame.x.shape, np.inf, np.float32)
    inside = np.zeros(frame.x.shape, np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = bar(frame, (float(x1), float(y1)), (float(x2), float(y2)), 0)
        distance = np.minimum(distance, edge)
        if y1 != y2:
            crosses = (frame.y < y1) != (frame.y < y2)
            inside ^= crosses & (frame.x < x1 + (frame.y - y1) / (y2 - y1) * (x2 - x1))
    return np.where(inside, -distance, distance)
